"""Independent standard normal noise per view and sample (DreamFusion, arXiv 2209.14988)."""

from torch import Tensor

from score3d.draw import Draw

__all__ = ["iid"]


def iid(draw: Draw, view: object) -> Tensor:
    """The draw's own noise [B,S,C,h,w]."""
    return draw.noise

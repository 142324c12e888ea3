"""No demand on the geometry."""

from torch import Tensor

from score3d.draw import Draw

__all__ = ["nothing"]


def nothing(view: object, g: Tensor, draw: Draw) -> Tensor | None:
    """None: there is no consistency term."""
    return None

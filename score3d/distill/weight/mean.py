"""All noise samples of a view count alike."""

from torch import Tensor

__all__ = ["mean"]


def mean(r: Tensor) -> Tensor:
    """r [B,S,C,h,w] -> [B,C,h,w]."""
    return r.mean(1)

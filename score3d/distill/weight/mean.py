"""All noise samples of a view count alike."""

from torch import Tensor

from score3d.distill.equation import Asked
from score3d.teachers.base import Teacher

__all__ = ["mean"]


def mean(teacher: Teacher, asked: Asked) -> Tensor:
    """r [B,S,C,h,w] -> [B,C,h,w]."""
    return asked.r.mean(1)

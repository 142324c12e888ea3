"""The noise itself as what is subtracted: SDS (DreamFusion, arXiv 2209.14988, eq. 3).

E[eps] = 0, so the mean gradient does not change; subtracting it is a control variate.
"""

from torch import Tensor

from score3d.distill.equation import Noisy
from score3d.teachers.base import Teacher

__all__ = ["own_noise"]


def own_noise(teacher: Teacher, noisy: Noisy) -> Tensor:
    """eps [M,C,h,w], unchanged."""
    return noisy.eps

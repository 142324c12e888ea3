"""The source's description as the negative prompt, for edits.

    e = e(y_src) + s (e(y) - e(y_src))

Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598) with what is there in the place of
the empty prompt. What both descriptions share, "a boat", cancels, and the scale drives the
difference alone, "yellow, not blue", where it is seen. With the step's own noise as the baseline
it fades once the teacher takes the picture for the goal; DDS, whose two guided branches look at
different pictures, drives on.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.prompts import Conditioning
from score3d.teachers.base import Teacher

__all__ = ["SourceNegative"]


@dataclass(frozen=True)
class SourceNegative:
    """guidance: the scale s. rescale: phi of `rescale.py`, in [0,1]."""

    guidance: float
    rescale: float = 0.0

    def __call__(self, teacher: Teacher, z_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """e [M,C,h,w] in one forward of 2M rows. Raises ValueError without a source."""
        if cond.source is None:
            raise ValueError("source-negative edits something; these prompts have no source")
        plain = ClassifierFree(self.guidance, self.rescale)
        return plain(teacher, z_t, t, replace(cond, negative=cond.source))

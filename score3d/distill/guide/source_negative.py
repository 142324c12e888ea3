"""The source's description as half of the negative prompt, for edits.

    e = e(y) + (s - 1) (e(y) - (e_u + e(y_src)) / 2)

Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598) away from the mean of the
unconditional prediction and that for what is there. Away from the empty prompt alone, what the
descriptions share, "a boat", takes most of the scale; away from the source alone it cancels, and
"a checkered green sofa" loses its green. With the step's own noise as the baseline the pull fades
once the teacher takes the picture for the goal; DDS, whose two guided branches look at different
pictures, drives on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.distill.guide.rescale import rescaled
from score3d.prompts import Conditioning
from score3d.teachers.base import Teacher

__all__ = ["SourceNegative"]


@dataclass(frozen=True)
class SourceNegative:
    """guidance: the scale s. rescale: phi of `rescale.py`, in [0,1]."""

    guidance: float
    rescale: float = 0.0

    def __call__(self, teacher: Teacher, z_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """e [M,C,h,w] in one forward of 3M rows. Raises ValueError without a source."""
        if cond.source is None:
            raise ValueError("source-negative edits something; these prompts have no source")
        emb = torch.cat([cond.negative, cond.source, cond.positive])
        e_u, e_src, e_c = teacher.eps(torch.cat([z_t] * 3), torch.cat([t] * 3), emb).chunk(3)
        e = e_c + (self.guidance - 1) * (e_c - (e_u + e_src) / 2)
        return rescaled(e, e_c, z_t, t, teacher.schedule, self.rescale)

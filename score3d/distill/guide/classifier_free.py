"""Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598), in diffusers' convention:

    e = e_u + s (e_c - e_u)

so guidance 1 is the plain conditional model, 0 the unconditional one. threestudio's SDS writes
e_c + s (e_c - e_u): its "100" is 101 here. With a negative prompt, e_u is the prediction for it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.distill.guide.rescale import rescaled
from score3d.prompts import Conditioning
from score3d.teachers.base import Teacher

__all__ = ["ClassifierFree"]


@dataclass(frozen=True)
class ClassifierFree:
    """guidance: the scale s, any real number. rescale: phi of `rescale.py`, in [0,1]."""

    guidance: float
    rescale: float = 0.0

    def __call__(self, teacher: Teacher, z_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """e [M,C,h,w] for noisy latents z_t [M,C,h,w] at times t [M]. One forward of 2M rows, or
        of M rows at guidance 1, where the unconditional branch cancels."""
        if self.guidance == 1.0:
            return teacher.eps(z_t, t, cond.positive)
        emb = torch.cat([cond.negative, cond.positive])
        e_u, e_c = teacher.eps(torch.cat([z_t, z_t]), torch.cat([t, t]), emb).chunk(2)
        e = e_u + self.guidance * (e_c - e_u)
        return rescaled(e, e_c, z_t, t, teacher.schedule, self.rescale)

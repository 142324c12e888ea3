"""InstructPix2Pix's two scales (Brooks, Holynski, Efros 2023, arXiv 2211.09800, eq. 3).

    e = e_0 + s_I (e_I - e_0) + s_T (e_IT - e_I)

e_0: neither picture nor text (a zero picture), e_I: the picture alone, e_IT: both.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.distill.guide.rescale import rescaled
from score3d.prompts import Conditioning
from score3d.teachers.base import Teacher

__all__ = ["InstructPix2Pix"]


@dataclass(frozen=True)
class InstructPix2Pix:
    """guidance: the text's scale s_T. image_guidance: the picture's s_I. rescale: phi of
    `rescale.py`, in [0,1]."""

    guidance: float
    image_guidance: float = 1.5
    rescale: float = 0.0

    def __call__(self, teacher: Teacher, z_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """e [M,C,h,w] in one forward of 3M rows. Raises ValueError for a teacher that takes no
        picture, or without one."""
        if "instruct" not in teacher.capabilities:
            raise ValueError("instruct-pix2pix needs a teacher that edits pictures")
        if cond.image is None:
            raise ValueError("instruct-pix2pix needs a picture to edit; these prompts have none")
        emb = torch.cat([cond.negative, cond.negative, cond.positive])
        image = torch.cat([torch.zeros_like(cond.image), cond.image, cond.image])
        e_0, e_i, e_it = teacher.eps(
            torch.cat([z_t] * 3), torch.cat([t] * 3), emb, image=image
        ).chunk(3)
        e = e_0 + self.image_guidance * (e_i - e_0) + self.guidance * (e_it - e_i)
        return rescaled(e, e_it, z_t, t, teacher.schedule, self.rescale)

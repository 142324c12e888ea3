"""Perp-Neg: negatives that cannot undo the prompt (Armandpour et al. 2023, arXiv 2304.04968).

    p   = e_c - e_u,    n_k = e_k - e_u
    e   = e_u + s (p + sum_k w_k (n_k - <n_k, p> / <p, p> p)),      w_k <= 0

Only the part of a negative that is perpendicular to the prompt's own direction is steered away
from. The negatives are the object's other sides (`Conditioning.opposites`), against the Janus
problem; the weights depend on the azimuth (`prompts.opposite_weights`). The positive text is the
view's own phrase: the paper blends the embeddings of neighbouring phrases instead.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.distill.guide.rescale import rescaled
from score3d.prompts import Conditioning
from score3d.teachers.base import Teacher

__all__ = ["PerpNeg", "perpendicular"]


def perpendicular(a: Tensor, b: Tensor) -> Tensor:
    """The part of a [M,K,C,h,w] that is orthogonal to b [M,C,h,w], per row; a itself where b
    is zero. The projection is made in float64: nearly parallel a and b would lose it."""
    x, y = a.double().flatten(2), b.double().flatten(1).unsqueeze(1)
    square = (y * y).sum(2, keepdim=True)
    share = (x * y).sum(2, keepdim=True) / torch.where(square > 0, square, torch.ones_like(square))
    return (x - share * y).view_as(a).to(a)


@dataclass(frozen=True)
class PerpNeg:
    """guidance: the scale s. rescale: phi of `rescale.py`, in [0,1]."""

    guidance: float
    rescale: float = 0.0
    opposites = True  # tells the loop to ask the prompts for them

    def __call__(self, teacher: Teacher, z_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """e [M,C,h,w] in one forward of (2 + K) M rows. Raises ValueError without opposites."""
        if cond.opposites is None or cond.opposite_weights is None:
            raise ValueError("perp-neg needs the views' opposites; these prompts have none")
        negatives = cond.opposites.unbind(1)
        emb = torch.cat([cond.negative, cond.positive, *negatives])
        copies = 2 + len(negatives)
        e_u, e_c, *e_n = teacher.eps(torch.cat([z_t] * copies), torch.cat([t] * copies), emb).chunk(
            copies
        )
        p = e_c - e_u
        away = perpendicular(torch.stack(e_n, 1) - e_u.unsqueeze(1), p)
        weights = cond.opposite_weights.to(p)[:, :, None, None, None]
        e = e_u + self.guidance * (p + (weights * away).sum(1))
        return rescaled(e, e_c, z_t, t, teacher.schedule, self.rescale)

"""The one equation of score distillation, and the six slots of a rule.

For views i = 1..B with latents z_i, times t_i and S noises each:

    eps_is  = noise(draw, view)                              how noise is drawn
    z_t     = alpha_t z_i + sigma_t eps_is
    e_is    = guide(teacher, z_t, t, cond)                   what the teacher says
    r_is    = w(t) (e_is - baseline(teacher, z_t, t, eps, cond))
    r_i     = weight(r_is)                                   which samples count
    g_i     = couple(r_1..r_B ; z_t)                         how views talk to each other

`distill` returns g [B,C,h,w], a gradient on the latents and never a number: a "loss" whose
gradient is g would only print ||g||^2 in disguise. Gradients are per view; the loop divides by
B. Nothing here is differentiated: the teacher's Jacobian is dropped by definition (Poole et
al. 2022, arXiv 2209.14988, eq. 3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from score3d.draw import Draw
from score3d.prompts import Conditioning
from score3d.teachers.base import Teacher

__all__ = ["Rule", "distill"]

# noise(draw, view) -> [B,S,C,h,w]; `view` is the render, for noise that lives on geometry
Noise = Callable[[Draw, object], Tensor]
# guide(teacher, z_t [M,C,h,w], t [M], cond of M rows) -> [M,C,h,w]
Guide = Callable[[Teacher, Tensor, Tensor, Conditioning], Tensor]
# baseline(teacher, z_t, t, eps, cond) -> [M,C,h,w]
Baseline = Callable[[Teacher, Tensor, Tensor, Tensor, Conditioning], Tensor]
# weight(r [B,S,C,h,w]) -> [B,C,h,w]
Weight = Callable[[Tensor], Tensor]
# couple(r [B,C,h,w], z_t [B,C,h,w]) -> [B,C,h,w]
Couple = Callable[[Tensor, Tensor], Tensor]
# consistency(view, g [B,C,h,w]) -> a scalar on the render's graph, or None
Consistency = Callable[[object, Tensor], Tensor | None]
# w(alpha, sigma) -> like alpha
TimeWeight = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """One row of the table of methods: a filler for each slot, and w(t)."""

    noise: Noise
    guide: Guide
    baseline: Baseline
    weight: Weight
    couple: Couple
    consistency: Consistency
    time_weight: TimeWeight

    @property
    def opposites(self) -> bool:
        """Whether the guide steers away from the object's other sides."""
        return getattr(self.guide, "opposites", False)


@torch.no_grad()
def distill(
    teacher: Teacher, z: Tensor, cond: Conditioning, draw: Draw, view: object, rule: Rule
) -> Tensor:
    """The gradient [B,C,h,w], float32, of `rule` at latents z [B,C,h,w]."""
    eps = rule.noise(draw, view)
    b, s = eps.shape[:2]
    t = draw.t.repeat_interleave(s)
    rows = cond.repeat(s)
    flat = eps.flatten(0, 1)
    alpha, sigma = teacher.schedule.alpha_sigma(t, z)
    z_t = alpha * z.repeat_interleave(s, 0) + sigma * flat
    said = rule.guide(teacher, z_t, t, rows)
    r = rule.time_weight(alpha, sigma) * (said - rule.baseline(teacher, z_t, t, flat, rows))
    r = rule.weight(r.unflatten(0, (b, s)))
    return rule.couple(r, z_t.unflatten(0, (b, s))[:, 0])

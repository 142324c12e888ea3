"""From noisy latents to a picture, for rewards: one step, or a DDIM chain (Song et al. 2021,
arXiv 2010.02502, eta = 0).

    x0   = (z_t - sigma_t e) / alpha_t
    z_t' = alpha_t' x0 + sigma_t' e          to the next of `steps` evenly spaced times below t
"""

import torch
from torch import Tensor

from score3d.distill.equation import Asked, Guide
from score3d.teachers.base import Teacher

__all__ = ["denoise"]


def denoise(teacher: Teacher, guide: Guide, asked: Asked, steps: int) -> Tensor:
    """x0 [M,C,h,w] of the noisy latents that were asked about. steps: times of the whole
    schedule, of which a row uses those below its own; 0 takes the first prediction of x0. The
    guide is asked once per time for the rows that have reached it."""
    noisy, schedule = asked.noisy, teacher.schedule
    z, t, e = noisy.z_t.clone(), noisy.t.clone(), asked.said.clone()
    count = len(schedule.alphas_cumprod)
    for k in reversed(range(steps)):
        grid = torch.full_like(t, (k * count // steps + 0.5) / count)
        row = schedule.timesteps(grid) < schedule.timesteps(t)
        if not row.any():
            continue
        alpha, sigma = schedule.alpha_sigma(t[row], z[row])
        x0 = (z[row] - sigma * e[row]) / alpha
        alpha, sigma = schedule.alpha_sigma(grid[row], x0)
        z[row], t[row] = alpha * x0 + sigma * e[row], grid[row]
        e[row] = guide(teacher, z[row], t[row], noisy.cond.rows(row))
    alpha, sigma = schedule.alpha_sigma(t, z)
    return (z - sigma * e) / alpha

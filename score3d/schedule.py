"""The forward process of a teacher: z_t = alpha_t z + sigma_t eps, with t continuous in (0,1).

A network trained on T discrete steps sees step floor(t T); alpha and sigma are taken at that
very step, so that the noise level and what the network is told never disagree.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["NoiseSchedule"]


@dataclass(frozen=True)
class NoiseSchedule:
    """alphas_cumprod [T]: the cumulative products as diffusers' schedulers hold them."""

    alphas_cumprod: Tensor

    @classmethod
    def scaled_linear(cls, start: float = 0.00085, end: float = 0.012, steps: int = 1000):
        """Stable Diffusion's schedule: betas linear in their square root."""
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()
        return cls(torch.cumprod(1 - betas, 0))

    def timesteps(self, t: Tensor) -> Tensor:
        """Network steps [B] (int64) of continuous times t [B] in (0,1)."""
        count = len(self.alphas_cumprod)
        return (t * count).long().clamp(0, count - 1)

    def alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t, sigma_t [B,1,1,1] with the dtype and device of `like` [B,C,h,w]."""
        bar = self.alphas_cumprod.to(t.device)[self.timesteps(t)].double()
        shape = (-1,) + (1,) * (like.ndim - 1)
        alpha, sigma = bar.sqrt().view(shape), (1 - bar).sqrt().view(shape)
        return alpha.to(like), sigma.to(like)

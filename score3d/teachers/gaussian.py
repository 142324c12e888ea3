"""The analytic teacher: data distributed as N(m, s^2 I), whose score is known in closed form.

    eps*(z_t, t) = sigma_t (z_t - alpha_t m) / (alpha_t^2 s^2 + sigma_t^2)

The optimal noise prediction of a diffusion model of that data. With it every loss has a
closed-form gradient and a known fixed point: the oracle of the tests.
"""

import torch
from torch import Tensor

from score3d.schedule import NoiseSchedule

__all__ = ["GaussianTeacher"]


class GaussianTeacher:
    """Teacher of N(m, s^2 I) on pictures themselves: encode and decode are identities.

    mean [C,h,w]; std > 0. Conditioning shifts the mean: the embedding of a prompt is a single
    number, 0 for the empty prompt and 1 for any other, and the mean is emb * mean.
    """

    view_style = "none"
    capabilities: frozenset[str] = frozenset()

    def __init__(self, mean: Tensor, std: float, schedule: NoiseSchedule | None = None) -> None:
        if std <= 0:
            raise ValueError(f"std must be positive, got {std}")
        self.mean, self.std = mean, std
        self.schedule = schedule or NoiseSchedule.scaled_linear()
        self.latent_shape = (mean.shape[0], mean.shape[1], mean.shape[2])
        self.resolution = mean.shape[-1]

    def embed(self, prompts: list[str]) -> Tensor:
        return torch.tensor([[[1.0 if p else 0.0]] for p in prompts])

    def encode(self, rgb: Tensor) -> Tensor:
        return rgb

    def decode(self, z: Tensor) -> Tensor:
        return z.clamp(0, 1)

    def eps(
        self,
        z_t: Tensor,
        t: Tensor,
        emb: Tensor,
        image: Tensor | None = None,
        camera: Tensor | None = None,
    ) -> Tensor:
        alpha, sigma = self.schedule.alpha_sigma(t, z_t)
        mean = emb.to(z_t).view(-1, 1, 1, 1) * self.mean.to(z_t)
        return sigma * (z_t - alpha * mean) / (alpha**2 * self.std**2 + sigma**2)

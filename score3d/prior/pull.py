"""The 3D score as a part of the optimisation of a scene of Gaussians."""

from dataclasses import dataclass

import torch

from score3d.files.splats import SH_C0
from score3d.prior.points import PointPrior
from score3d.teachers.embedded import Thing

__all__ = ["PriorPull"]


@dataclass(frozen=True)
class PriorPull:
    """Adds the score of `prior` for `thing` to the gradient of the means, up to step `until`.

    weight: relative to the gradient that is there already, so that it means the same whatever the
    loss and its guidance. Random numbers come from (seed, step) alone: resuming changes nothing.
    """

    prior: PointPrior
    thing: Thing
    weight: float
    until: int
    seed: int
    guidance: float = 3.0
    points: int = 512

    def __call__(self, step: int, params: torch.nn.ParameterDict) -> None:
        means = params["means"]
        if step >= self.until or means.grad is None:
            return
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        colours = (params["sh0"].detach()[:, 0] * SH_C0 + 0.5).clamp(0, 1)
        pull = self.prior.pull(
            means.detach(), colours, self.thing, generator, self.guidance, self.points
        )
        length = pull.norm()
        if torch.isfinite(length) and length > 0:
            means.grad += pull * (self.weight * means.grad.norm() / length)

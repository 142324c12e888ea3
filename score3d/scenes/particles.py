"""n scenes optimised together: the particles of VSD and of Stein variational coupling.

ProlificDreamer (arXiv 2305.16213) and CSD (arXiv 2307.04787) both speak of particles: scenes of
one prompt that share a student, or repel each other. Here they are one scene whose views are
theirs in turn, so that the loop need not know.
"""

from dataclasses import replace

import torch
from torch import Tensor

from score3d.cameras import Cameras
from score3d.draw import Draw
from score3d.files.splats import Splats
from score3d.scenes.base import Render, Scene

__all__ = ["ParticleScene"]


class ParticleScene:
    """Scenes of one kind; row p B/n + v of a batch of B is view v of particle p."""

    def __init__(self, particles: list[Scene]) -> None:
        self.particles = particles

    def __len__(self) -> int:
        return sum(len(p) for p in self.particles)

    def _slices(self, count: int) -> list[slice]:
        each, rest = divmod(count, len(self.particles))
        if rest:
            raise ValueError(f"{count} views cannot be shared by {len(self.particles)} particles")
        return [slice(i * each, (i + 1) * each) for i in range(len(self.particles))]

    def render(self, views: Cameras, background: Tensor) -> Render:
        """The particles' pictures below each other; each one's own render is in `parts`."""
        parts = tuple(
            p.render(views[rows], background[rows])
            for p, rows in zip(self.particles, self._slices(len(views)), strict=True)
        )
        held = [p.latents for p in parts if p.latents is not None]
        return Render(
            torch.cat([p.rgb for p in parts]),
            torch.cat([p.alpha for p in parts]),
            {},
            latents=torch.cat(held) if held else None,
            parts=parts,
        )

    def regulariser(self, view: Render) -> Tensor:
        return torch.stack(
            [p.regulariser(part) for p, part in zip(self.particles, view.parts, strict=True)]
        ).mean()

    def step(self, step: int) -> None:
        for p in self.particles:
            p.step(step)

    def adapt(self, draw: Draw, view: Render) -> None:
        rows = self._slices(len(draw.views))
        for i, (p, part) in enumerate(zip(self.particles, view.parts, strict=True)):
            own = replace(draw, views=draw.views[rows[i]], adapt_seed=draw.adapt_seed + i)
            p.adapt(own, part)

    def parameters(self) -> dict[str, Tensor]:
        return {
            f"{i}.{k}": v for i, p in enumerate(self.particles) for k, v in p.parameters().items()
        }

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"particle.{i}.{k}": v
            for i, p in enumerate(self.particles)
            for k, v in p.state_dict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for i, p in enumerate(self.particles):
            prefix = f"particle.{i}."
            p.load_state_dict(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )

    def prune(self, min_opacity: float) -> int:
        return sum(p.prune(min_opacity) for p in self.particles)

    def splats(self) -> Splats:
        """The first particle."""
        return self.particles[0].splats()

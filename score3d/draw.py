"""All randomness of one step, as a value: `draw_at(spec, step)`.

Every number depends on (seed, step, stream) alone: runs with different losses share cameras,
backgrounds, times and noise (fair comparisons), and a resumed run is bit-identical.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from score3d.cameras import Cameras, orbit

__all__ = ["Draw", "DrawSpec", "draw_at"]


@dataclass(frozen=True)
class DrawSpec:
    """What `draw_at` needs to know.

    views: cameras per step. noises: noise samples per view. elevation, distance: ranges
    (degrees, world units); fov in degrees. t_max falls linearly to t_max_end over the first
    `anneal` share of `steps`. background: "random", or a gray level in [0,1].
    shared_t: one time for all views of a step, instead of times spread over the range.
    resolution grows to `side` from the share `at` of the run on, for each (at, side) of `growth`.
    ring: views come in rings of this many, evenly around the object, counter-clockwise, the first
    within half a sector of the front; a ring shares elevation, distance, background and time.
    1 for views on their own. `views` is a multiple of it.
    particles: scenes that see the same cameras and backgrounds, each with noise of its own.
    pair_angle: 0, or views come in pairs that share everything but the noise and an azimuth that
    differs by this many degrees. from_front: every camera looks from azimuth and elevation 0.
    cameras: square ones, of which each step draws its views, in place of an orbit; none twice in a
    step if there are enough. Elevation, distance and fov then say nothing, and there are no rings
    and pairs.
    """

    seed: int
    steps: int
    views: int
    noises: int
    latent_shape: tuple[int, int, int]
    resolution: int
    elevation: tuple[float, float] = (-10.0, 50.0)
    distance: tuple[float, float] = (1.9, 2.1)
    fov: float = 40.0
    t_min: float = 0.02
    t_max: float = 0.98
    t_max_end: float = 0.5
    anneal: float = 0.8
    background: str | float = "random"
    shared_t: bool = False
    particles: int = 1
    pair_angle: float = 0.0
    from_front: bool = False
    growth: tuple[tuple[float, int], ...] = ()
    ring: int = 1
    cameras: Cameras | None = None

    def resolution_at(self, step: int) -> int:
        """The pictures' side at `step`."""
        sides = [side for at, side in sorted(self.growth) if step >= at * self.steps]
        return sides[-1] if sides else self.resolution

    def t_range(self, step: int) -> tuple[float, float]:
        """The times drawn from at `step`."""
        share = min(1.0, step / max(1.0, self.anneal * self.steps))
        return self.t_min, self.t_max + (self.t_max_end - self.t_max) * share


@dataclass(frozen=True)
class Draw:
    """One step's randomness: cameras of B views, backgrounds [B,3] in [0,1], t [B] in (0,1),
    noise [B,S,C,h,w] ~ N(0, I), and a seed for what the scene's adaptation draws.

    With n particles, B is n times the views of one: row p B/n + v is view v of particle p."""

    step: int
    views: Cameras
    background: Tensor
    t: Tensor
    noise: Tensor
    adapt_seed: int
    particles: int = 1

    def generator(self, stream: int) -> torch.Generator:
        """For what a slot filler draws at this step; one stream (>= 0) per filler and use."""
        return _generator(self.adapt_seed, self.step, 100 + stream)

    def to(self, device: torch.device | str) -> "Draw":
        """The same draw on `device`; numbers are always drawn on the CPU."""
        return Draw(
            self.step,
            self.views.to(device),
            self.background.to(device),
            self.t.to(device),
            self.noise.to(device),
            self.adapt_seed,
            self.particles,
        )


def _seed(seed: int, step: int, stream: int) -> int:
    return int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0]) >> 1


def _generator(seed: int, step: int, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(seed, step, stream))


def _of_ring(values: Tensor, ring: int) -> Tensor:
    """The first of each ring in the place of all its views."""
    return values[::ring].repeat_interleave(ring, 0)


def _views(spec: DrawSpec, step: int) -> tuple[Cameras, Tensor]:
    """Cameras and backgrounds [V,3] of one particle's V views."""
    g_view, g_back = _generator(spec.seed, step, 0), _generator(spec.seed, step, 1)
    pairs = 2 if spec.pair_angle else 1
    b = spec.views // pairs
    sector = 360.0 / b
    jitter = (torch.rand(b, generator=g_view) - 0.5) * sector / 2
    azimuth = torch.arange(b) * sector + torch.rand((), generator=g_view) * sector + jitter
    elevation = torch.rand(b, generator=g_view)
    elevation = spec.elevation[0] + elevation * (spec.elevation[1] - spec.elevation[0])
    distance = torch.rand(b, generator=g_view)
    distance = spec.distance[0] + distance * (spec.distance[1] - spec.distance[0])
    if spec.ring > 1:
        sector = 360.0 / spec.ring
        first = _of_ring((torch.rand(b, generator=g_view) - 0.5) * sector, spec.ring)
        azimuth = first + torch.arange(b) % spec.ring * sector
        elevation, distance = _of_ring(elevation, spec.ring), _of_ring(distance, spec.ring)
    if spec.from_front:
        azimuth, elevation = torch.zeros(b), torch.zeros(b)
    if spec.background == "random":
        gray = torch.rand(b, 1, generator=g_back).expand(b, 3)
        tint = (torch.rand(b, 3, generator=g_back) - 0.5) * 0.6
        coloured = torch.rand(b, 1, generator=g_back) < 0.5
        background = torch.where(coloured, (gray + tint).clamp(0, 1), gray)
    else:
        background = torch.full((b, 3), float(spec.background))
    background = _of_ring(background, spec.ring)
    turn = spec.pair_angle * torch.arange(pairs)
    azimuth = (azimuth[:, None] + turn).flatten()
    elevation, distance, background = (
        v.repeat_interleave(pairs, 0) for v in (elevation, distance, background)
    )
    side = spec.resolution_at(step)
    if spec.cameras is not None:
        return _drawn(spec.cameras, spec.views, side, _generator(spec.seed, step, 0)), background
    return orbit(azimuth % 360, elevation, distance, spec.fov, side, side), background


def _drawn(cameras: Cameras, count: int, side: int, g: torch.Generator) -> Cameras:
    """`count` of some square cameras, with pictures of `side` pixels."""
    times = -(-count // len(cameras))
    rows = torch.cat([torch.randperm(len(cameras), generator=g) for _ in range(times)])[:count]
    Ks = cameras.Ks[rows]
    Ks[:, :2] *= side / cameras.width
    angles = cameras.azimuth[rows], cameras.elevation[rows]
    return Cameras(cameras.viewmats[rows], Ks, *angles, side, side)


def draw_at(spec: DrawSpec, step: int) -> Draw:
    """The draw of `step`. Azimuths are stratified: one per equal sector, with one common offset
    and a jitter of half a sector, so that every step sees all sides. Times are stratified over
    the batch and shuffled, which lowers the gradient's variance at no cost."""
    g_time, g_noise = _generator(spec.seed, step, 2), _generator(spec.seed, step, 3)
    cameras, background = _views(spec, step)
    n = spec.particles
    b = n * spec.views
    pairs = 2 if spec.pair_angle else 1
    times = b // pairs
    low, high = spec.t_range(step)
    unit = (torch.randperm(times, generator=g_time) + torch.rand(times, generator=g_time)) / times
    unit = unit.repeat_interleave(pairs)
    if spec.shared_t:
        unit = torch.rand(1, generator=_generator(spec.seed, step, 5)).expand(b)
    elif spec.ring > 1:
        groups = b // spec.ring
        drawn = torch.rand(groups, generator=_generator(spec.seed, step, 5))
        order = torch.randperm(groups, generator=g_time)
        unit = ((order + drawn) / groups).repeat_interleave(spec.ring)
    noise = torch.randn(b, spec.noises, *spec.latent_shape, generator=g_noise)
    t = low + unit * (high - low)
    seed = _seed(spec.seed, step, 4)
    return Draw(step, cameras.tile(n), background.repeat(n, 1), t, noise, seed, n)

"""Compact splats at a size or a quality: drop splats, refit the others, quantise.

The splats are refitted to pictures of the scene given while they are rounded and while those that
are not worth their bits go (score3d.refine); then the steps are scaled until the target is met
exactly. Without refitting, the steps are found for each of several shares of splats kept, and the
best share wins. Quality is PSNR against the pictures of the scene given, from views that the
refitting has not seen, on middle gray.

The idea of optimising rate and distortion together, with pruning, entropy-constrained quantisation
and harmonics for each splat, is that of RDO-Gaussian (Wang et al., "End-to-End Rate-Distortion
Optimized 3D Gaussian Representation", ECCV 2024). Quantisation is scalar, not by vectors, with
steps from the same price: see docs/decisions/0005-scalar-quantisation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from score3d.cameras import Cameras, orbit
from score3d.files.compact import Steps, decode_compact, encode_compact
from score3d.files.splat_latents import Latents, fitted_law
from score3d.files.splats import Splats
from score3d.refine import Sensitivity, refine
from score3d.scenes.photograph import photograph

__all__ = ["REFINE", "Compressed", "Reference", "compress", "steps_at"]

REFINE = 400  # optimisation steps
SHARES = (1.0, 0.6, 0.4, 0.28, 0.2)  # of splats, without refitting
VIEWS = 96
VIEW, CHECK = 128, 192  # sides of the pictures for fitting and for measuring
RANGE = (-8.0, 3.0)  # of the logarithm to the base 2 of the coarseness, without refitting
NUDGE = (-2.0, 2.0)  # the same after it


@dataclass(frozen=True)
class Compressed:
    """The result: the bytes of a .s3z file, its splats, and PSNR in dB."""

    data: bytes
    splats: Splats
    psnr: float


def steps_at(coarseness: float, like: Steps | None = None) -> Steps:
    """Steps `coarseness` times those of `like`; by default, of steps that cost about as much
    picture quality each and are about 46 dB at 1."""
    k, octaves = coarseness, -float(np.log2(coarseness))
    if like is None:
        # where splats overlap, fine files err most by splats that swap their order in depth, and
        # that error falls with the step, not with its square
        like = Steps(10.5 + max(0.0, octaves - 4), 0.25, 0.1, 0.5, 0.04, 0.06)
    bits = float(np.clip(round(2 * (like.position + octaves)) / 2, 4, 18))
    return Steps(bits, k * like.scales, min(k * like.rotation, 0.45), k * like.opacity,
                 k * like.colour, k * like.harmonics, like.law, like.cube)  # fmt: skip


def compress(
    splats: Splats,
    psnr: float | None = None,
    size: int | None = None,
    tell: Callable[[str], object] = lambda text: None,
    refine_steps: int = REFINE,
) -> Compressed:
    """Compress to at least `psnr` dB as small as may be, or to at most `size` bytes as well as
    may be; one of the two must be given. `refine_steps` 0: without refitting.

    Raises:
        ValueError: neither or both given, no splats, or some that are not finite.
        RuntimeError: the target cannot be met; the message says what can be had.
    """
    if (psnr is None) == (size is None):
        raise ValueError("compress: give a PSNR or a size, one of them")
    if len(splats) == 0 or splats.finite()[1]:
        raise ValueError("compress: the scene must have splats, all of them finite")
    judge = Reference(splats)
    values = Latents.of(splats)
    best: Compressed | None = None
    if refine_steps:
        refitted, steps = refine(values, judge, refine_steps, psnr, size, tell=tell)
        best = _search(refitted, steps, judge, psnr, size, NUDGE)
        tell("refitted: " + (_said(best) if best else "does not meet the target"))
    if best is None:  # refitted or not, all splats at the finest steps meet what can be met
        best = _without(values, judge, psnr, size, tell)
    if best is None:
        had = _at(values, steps_at(2.0 ** RANGE[psnr is None]), judge)
        raise RuntimeError(f"compress: the target cannot be met; to be had is {_said(had)}")
    return best


def _without(
    values: Latents,
    judge: Reference,
    psnr: float | None,
    size: int | None,
    tell: Callable[[str], object],
) -> Compressed | None:
    """Shares of the splats as they are, those first whose loss would show most."""
    best: Compressed | None = None
    found = Sensitivity(values, judge, 0)
    order = np.argsort(-found.lost, kind="stable")
    for share in SHARES:
        kept = values.select(np.sort(order[: max(1, round(share * len(order)))]))
        law = fitted_law(found.by, values.opacity, values.scales)
        result = _search(kept, replace(steps_at(1.0), law=law), judge, psnr, size, RANGE)
        tell(f"{share:.0%} of the splats: " + (_said(result) if result else "not the target"))
        best = _better(best, result, psnr)
    return best


class Reference:
    """Cameras around a scene and its own pictures from them; `psnr` compares others with it."""

    def __init__(self, splats: Splats) -> None:
        visible = splats.opacities > 0.05
        means = (splats.means[visible] if visible.any() else splats.means).astype(np.float64)
        low, high = np.quantile(means, [0.01, 0.99], axis=0)
        self.centre = 0.5 * (low + high)
        self.distance = max(3.2 * float(np.linalg.norm(high - low)) / 2, 0.05)
        self.checks = self._cameras([20, 65, 110, 155, 200, 245, 290, 335],
                                    [-20, 40, 5, 60, -5, 25, 50, 10], CHECK)  # fmt: skip
        self.pictures = photograph(splats, self.checks, 0.5)
        i = np.arange(VIEWS)  # a spiral of the golden angle, denser near the level
        self.views = self._cameras(i * 137.508 % 360, -40 + 125 * (i + 0.5) / VIEWS, VIEW)
        black, white = (photograph(splats, self.views, gray) for gray in (0.0, 1.0))
        # colour over black, and what comes through: the picture over any gray
        self.colours, self.through = torch.from_numpy(black), torch.from_numpy(white - black)

    def psnr(self, splats: Splats) -> float:
        error = photograph(splats, self.checks, 0.5) - self.pictures
        return float(-10 * np.log10(max(float((error**2).mean()), 1e-12)))

    def _cameras(self, azimuth: Iterable[float], elevation: Iterable[float], size: int) -> Cameras:
        a, e = (torch.tensor([float(x) for x in angle]) for angle in (azimuth, elevation))
        cameras = orbit(a, e, self.distance, 40.0, size, size)
        viewmats = cameras.viewmats.clone()
        centre = torch.from_numpy(self.centre).float()
        viewmats[:, :3, 3] -= viewmats[:, :3, :3] @ centre
        return replace(cameras, viewmats=viewmats)


def _said(found: Compressed) -> str:
    return f"{len(found.data)} bytes at {found.psnr:.1f} dB"


def _at(values: Latents, steps: Steps, judge: Reference) -> Compressed:
    data = encode_compact(values, steps)
    decoded = decode_compact(data, "compressed")
    return Compressed(data, decoded, judge.psnr(decoded))


def _search(
    values: Latents,
    steps: Steps,
    judge: Reference,
    psnr: float | None,
    size: int | None,
    within: tuple[float, float],
) -> Compressed | None:
    """The coarsest multiple of the steps with `psnr`, or the finest within `size`, if any."""
    low, high = within
    found = None
    for _ in range(9):
        middle = 0.5 * (low + high)
        tried = _at(values, steps_at(2.0**middle, steps), judge)
        if psnr is not None:
            good = tried.psnr >= psnr
            low, high = (middle, high) if good else (low, middle)
        else:
            good = len(tried.data) <= (size or 0)
            low, high = (low, middle) if good else (middle, high)
        if good:
            found = _better(found, tried, psnr)
    return found


def _better(
    one: Compressed | None, other: Compressed | None, psnr: float | None
) -> Compressed | None:
    if one is None or other is None:
        return one or other
    if psnr is not None:
        return one if len(one.data) <= len(other.data) else other
    return one if one.psnr >= other.psnr else other

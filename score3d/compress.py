"""Compact splats at a size or a quality: prune, tune, quantise.

For each of several shares of splats kept: the splats that contribute least to pictures from all
around are dropped, the rest are tuned for a while to show what the scene showed (under noise like
that of the quantisation to come), and the coarseness of the quantisation is found by bisection.
The share that meets the target best wins. Quality is PSNR against the pictures of the scene given,
from views that the tuning has not seen, on middle gray.

The idea of optimising rate and distortion with pruning and entropy-constrained quantisation is
that of RDO-Gaussian (Wang et al., "End-to-End Rate-Distortion Optimized 3D Gaussian
Representation", ECCV 2024); quantisation is scalar here, since codebooks cost more than they save
in scenes of some thousands of splats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.cameras import Cameras, orbit
from score3d.files.compact import Steps, decode_compact, encode_compact
from score3d.files.splats import Splats
from score3d.render import rasterization
from score3d.scenes.photograph import photograph

__all__ = ["Compressed", "Reference", "compress", "steps_at"]

SHARES = (1.0, 0.6, 0.4, 0.28, 0.2)
TUNING = 120  # optimisation steps for each share
VIEWS = 96
VIEW, CHECK = 128, 192  # sides of the pictures for tuning and for measuring
RANGE = (-6.0, 3.0)  # of the logarithm to the base 2 of the coarseness
PARAMETERS = {"means": 4e-4, "quats": 5e-3, "log_scales": 1e-2, "logits": 2e-2, "sh": 1e-2}


@dataclass(frozen=True)
class Compressed:
    """The result: the bytes of a .s3z file, its splats, PSNR in dB, and how it was made."""

    data: bytes
    splats: Splats
    psnr: float
    share: float
    coarseness: float


def steps_at(coarseness: float) -> Steps:
    """Quantisation steps that cost about as much picture quality each; 1 is about 46 dB."""
    bits = int(np.clip(round(10.5 - np.log2(coarseness)), 4, 16))
    k = coarseness
    return Steps(bits, 0.25 * k, min(0.1 * k, 0.45), 0.5 * k, 0.04 * k, 0.06 * k)


def compress(
    splats: Splats,
    psnr: float | None = None,
    size: int | None = None,
    tell: Callable[[str], object] = lambda text: None,
    shares: Iterable[float] = SHARES,
    tuning: int = TUNING,
) -> Compressed:
    """Compress to at least `psnr` dB as small as may be, or to at most `size` bytes as well as
    may be; one of the two must be given.

    Raises:
        ValueError: neither or both given, no splats, some that are not finite, or a target that
            no share meets (the message says what can be had).
    """
    if (psnr is None) == (size is None):
        raise ValueError("compress: give a PSNR or a size, one of them")
    if len(splats) == 0 or splats.finite()[1]:
        raise ValueError("compress: the scene must have splats, all of them finite")
    judge = Reference(splats)
    order = np.argsort(-_contribution(splats, judge), kind="stable")
    best: Compressed | None = None
    nearest = ""
    for share in shares:
        kept = splats.select(np.sort(order[: max(1, round(share * len(splats)))]))
        found = _search(kept, judge, share, psnr, size)
        if tuning:
            coarseness = found.coarseness if found else 1.0
            tuned = _tuned(kept, judge, steps_at(coarseness), tuning)
            # tuning under noise may lose what a very fine quantisation would keep
            found = _better(found, _search(tuned, judge, share, psnr, size), psnr)
        if found is None:
            closest = _at(kept, judge, share, RANGE[0] if psnr is not None else RANGE[1])
            nearest = nearest or f"{len(closest.data)} bytes at {closest.psnr:.1f} dB"
            tell(f"{share:.0%} of the splats: does not meet the target")
            continue
        tell(f"{share:.0%} of the splats: {len(found.data)} bytes, {found.psnr:.1f} dB")
        best = _better(best, found, psnr)
    if best is None:
        raise ValueError(f"compress: the target cannot be met; to be had is {nearest}")
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


def _render(values: dict[str, Tensor], degree: int, view: Cameras, gray: float) -> Tensor:
    return rasterization(
        values["means"], values["quats"], values["log_scales"].exp(), values["logits"].sigmoid(),
        values["sh"], view.viewmats, view.Ks, view.width, view.height, sh_degree=degree,
        backgrounds=torch.full((1, 3), gray),
    )[0][0]  # fmt: skip


def _tensors(splats: Splats) -> dict[str, Tensor]:
    arrays = (splats.means, splats.quats, splats.log_scales, splats.logit_opacities, splats.sh)
    return dict(zip(PARAMETERS, map(torch.from_numpy, arrays), strict=True))


def _contribution(splats: Splats, judge: Reference) -> NDArray[np.float64]:
    """The blending weight of each splat summed over the pixels of all views [N]: the derivative of
    the pictures' sum by a colour added to it."""
    values = {name: value.clone() for name, value in _tensors(splats).items()}
    values["sh"].requires_grad_()
    for i in range(len(judge.views)):
        _render(values, splats.sh_degree, judge.views[i : i + 1], 0.0).sum().backward()
    gradient = values["sh"].grad
    assert gradient is not None
    return gradient[:, 0].abs().sum(dim=1).double().numpy()


def _tuned(splats: Splats, judge: Reference, steps: Steps, count: int) -> Splats:
    """The splats after `count` steps towards the pictures, under uniform noise of the width of the
    quantisation steps (Balle et al. 2017)."""
    generator = torch.Generator().manual_seed(0)
    values = {name: value.clone() for name, value in _tensors(splats).items()}
    values["quats"] = torch.nn.functional.normalize(values["quats"], dim=1)
    widths = {"means": judge.distance / 2 / (1 << steps.position), "quats": steps.rotation,
              "log_scales": steps.scales, "logits": steps.opacity,
              "sh": steps.colour / 0.28209479177387814}  # fmt: skip
    for value in values.values():
        value.requires_grad_()
    scale = {"means": judge.distance / 2}
    groups = [
        {"params": [values[name]], "lr": rate * scale.get(name, 1.0)}
        for name, rate in PARAMETERS.items()
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    rates = [group["lr"] for group in groups]
    for step in range(count):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - 0.9 * step / count)
        noisy = {
            name: value + widths[name] * (torch.rand(value.shape, generator=generator) - 0.5)
            for name, value in values.items()
        }
        gray = float(torch.rand((), generator=generator))
        i = int(torch.randint(len(judge.views), (), generator=generator))
        seen = _render(noisy, splats.sh_degree, judge.views[i : i + 1], gray)
        loss = ((seen - judge.colours[i] - gray * judge.through[i]) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        (1e3 * loss).backward()
        optimizer.step()
    return Splats(*(value.detach().numpy() for value in values.values()))


def _at(splats: Splats, judge: Reference, share: float, logarithm: float) -> Compressed:
    coarseness = 2.0**logarithm
    data = encode_compact(splats, steps_at(coarseness))
    decoded = decode_compact(data, "compressed")
    return Compressed(data, decoded, judge.psnr(decoded), share, coarseness)


def _search(
    splats: Splats, judge: Reference, share: float, psnr: float | None, size: int | None
) -> Compressed | None:
    """The coarsest quantisation with `psnr`, or the finest within `size`, if there is one."""
    low, high = RANGE
    found = None
    for _ in range(9):
        middle = 0.5 * (low + high)
        tried = _at(splats, judge, share, middle)
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

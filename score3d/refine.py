"""Refits splats to the pictures of the scene they come from, at the precision of .s3z.

At every step the splats are rounded as the file will round them, so that each makes up for the
rounding of the others and for those that go. What is minimised is the mean squared error of
pictures plus lambda times the bits, as in RDO-Gaussian (Wang et al., "End-to-End Rate-Distortion
Optimized 3D Gaussian Representation", ECCV 2024). From lambda follow

- the steps: sqrt(6 lambda / (h ln 2)) for a number that, changed by s, adds h s^2 to the error
  (a uniform error of width s adds h s^2 / 12, and a step costs -log2 s bits);
- which splats go: those whose loss adds less error than their bits are worth. A picture is linear
  in the opacity of each splat, so the change by its loss is the opacity times a derivative;
- which splats have harmonics, of which degree (in `quantise`).

h and those errors are the diagonal of J^T J, with J the derivatives of all pixels, estimated with
random signs (Hutchinson 1989). lambda is moved until the size or the PSNR is as wanted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.cameras import Cameras
from score3d.files.compact import Steps, decode_compact, encode_compact, quantise
from score3d.files.splat_latents import (
    ATTRIBUTES,
    HALF_OCTAVES,
    MOST,
    Latents,
    Law,
    features,
    finer,
    fitted_law,
    from_ycc,
)
from score3d.files.splats import SH_C0, Splats
from score3d.render import rasterization
from score3d.rounding import Rounding, tensors
from score3d.scenes.adaptation import replace_rows

__all__ = ["Pictures", "Sensitivity", "refine", "steps_for"]

FROM_YCC = torch.from_numpy(from_ycc(np.eye(3))).float()
RATES = {"position": 4e-4, "opacity": 2e-2, "scales": 1e-2, "rotation": 5e-3, "colour": 3e-3,
         "harmonics": 3e-3}  # fmt: skip
ROUNDS = 10  # changes of lambda, of steps and of the splats kept
SETTLING = 0.3  # the last part, in which no splat goes
REFRESH = 25  # steps between new tables
# Splats that go first must be cheap to lose by this factor: of 0.25 to 8, 0.5 and 1 were best
BOLDNESS = 0.7
MOST_AT_ONCE = 0.25  # of the splats may go in a round after the first
MARGIN = 0.1  # dB beyond the PSNR wanted, since steps are last scaled to meet it


class Pictures(Protocol):
    """What is fitted, see `score3d.compress.Reference`: cameras; colours over black and what comes
    through to the background, [B, H, W, 3]; their distance."""

    views: Cameras
    colours: Tensor
    through: Tensor
    distance: float

    def psnr(self, splats: Splats) -> float: ...


class Sensitivity:
    """How much the pictures change with each splat.

    by: for each attribute the mean squared change of pixels by a unit of a number of it, [N].
    lost: the mean squared change by the loss of the splat, [N].
    """

    def __init__(self, values: Latents, pictures: Pictures, seed: int, every: int = 1) -> None:
        """From each `every`-th view, beginning with number `seed` mod `every`."""
        generator = torch.Generator().manual_seed(seed)
        leaves = {name: value.requires_grad_() for name, value in tensors(values).items()}
        total = {name: torch.zeros_like(value) for name, value in leaves.items()}
        pixels = 0
        for i in range(seed % every, len(pictures.views), every):
            seen = _render(leaves, pictures.views[i : i + 1], 0.5)
            signs = 2.0 * torch.randint(0, 2, seen.shape, generator=generator) - 1
            found = torch.autograd.grad((seen * signs).sum(), list(leaves.values()))
            for name, gradient in zip(leaves, found, strict=True):
                total[name] += gradient.square()
            pixels += seen.numel()
        n = len(values.opacity)
        self.by = {
            name: (value.reshape(n, -1).mean(1) if value.numel() else torch.zeros(n))
            .double()
            .numpy()
            / pixels
            for name, value in total.items()
        }
        transparent = np.maximum(1 / (1 + np.exp(values.opacity)), 1e-3)
        self.lost = self.by["opacity"] / transparent**2  # d/d opacity = d/d logit / (o (1 - o))

    def select(self, keep: NDArray[np.int64]) -> None:
        self.by = {name: value[keep] for name, value in self.by.items()}
        self.lost = self.lost[keep]


def steps_for(
    price: float, found: Sensitivity, values: Latents, law: Law, cube: NDArray[np.float64]
) -> Steps:
    """The steps at a price of `price` (lambda: mean squared error a bit)."""

    def best(h: NDArray[np.float64]) -> float:
        return math.sqrt(6 * price / math.log(2) / max(float(h.mean()), 1e-30))

    step = {"opacity": best(found.by["opacity"])}
    for name in ATTRIBUTES:
        k = finer(law, name, features(values.opacity, None if name == "scales" else values.scales))
        step[name] = best(found.by[name] * HALF_OCTAVES[k + MOST] ** 2)
    return Steps(
        min(max(math.log2(cube[3] / step["position"]), 2), 18), min(step["scales"], 0.6),
        min(step["rotation"], 0.4), min(step["opacity"], 1.5), min(step["colour"], 0.2),
        min(max(step["harmonics"], 1e-4), 2), law, cube,
    )  # fmt: skip


def refine(
    start: Latents,
    pictures: Pictures,
    count: int,
    psnr: float | None = None,
    size: int | None = None,
    seed: int = 0,
    tell: Callable[[str], object] = lambda text: None,
) -> tuple[Latents, Steps]:
    """Fewer splats, and the steps to store them with, after `count` optimisation steps towards
    `size` bytes or `psnr` dB; either is met only nearly."""
    corner = start.position.min(axis=0)
    cube = np.append(corner, max((start.position - corner).max(), 1e-9))
    cube = cube.astype(np.float32).astype(np.float64)
    found = Sensitivity(start, pictures, seed)
    law = fitted_law(found.by, start.opacity, start.scales)

    def excess(values: Latents, steps: Steps) -> float:
        """Octaves by which there are too many bytes, or about that from the PSNR."""
        data = encode_compact(values, steps)
        if size is not None:
            return math.log2(len(data) / size)
        assert psnr is not None
        return (pictures.psnr(decode_compact(data, "compressed")) - psnr - MARGIN) / 9

    def kept(price: float, most: float) -> NDArray[np.int64]:
        """Which splats of `values` are worth their bits."""
        with torch.no_grad():
            bits = Rounding(values, steps_for(price, found, values, law, cube))(tensors(values))[1]
        worth = found.lost / np.maximum(bits.double().numpy(), 1)
        limit = min(BOLDNESS * price, float(np.quantile(worth, most)))
        return np.flatnonzero((worth >= limit) | (worth == worth.max()))

    values = start
    low, high = -18.0, -3.0  # of the price, logarithm to the base 10
    for _ in range(9):
        middle = 0.5 * (low + high)
        some = start.select(kept(10**middle, 0.9))
        steps = steps_for(10**middle, found, start, law, cube)
        low, high = (middle, high) if excess(some, steps) > 0.3 else (low, middle)
    price = 10**high
    params = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in tensors(start).items()})
    rates = RATES | {"position": RATES["position"] * pictures.distance / 2}
    optimizers: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.Adam([p], lr=rates[name], betas=(0.9, 0.99), eps=1e-15)
        for name, p in params.items()
    }
    generator = torch.Generator().manual_seed(seed)
    every = max(count // ROUNDS, 1)
    began = time.monotonic()
    for step in range(count):
        left = 1 - step / count
        if step % every == 0:
            values = _latents(params)
            if step:
                price *= 2 ** (1.5 * min(max(excess(values, steps), -1.0), 1.0))
                found = Sensitivity(
                    quantise(values, steps).latents, pictures, seed + step // every, every=3
                )
                law = fitted_law(found.by, values.opacity, values.scales)
            if left > SETTLING:
                keep = kept(price, MOST_AT_ONCE if step else 0.9)
                found.select(keep)
                index = torch.from_numpy(keep)
                rows = {name: p.detach()[index] for name, p in params.items()}
                replace_rows(params, optimizers, rows, index)
                values = _latents(params)
            steps = steps_for(price, found, values, law, cube)
        if step % every % REFRESH == 0 or left * count <= 5:
            rounding = Rounding(_latents(params), steps)
        for name, optimizer in optimizers.items():
            optimizer.param_groups[0]["lr"] = rates[name] * max(left, 0.05)
            optimizer.zero_grad(set_to_none=True)
        rounded, bits = rounding(dict(params.items()))
        gray = float(torch.rand((), generator=generator))
        i = int(torch.randint(len(pictures.views), (), generator=generator))
        seen = _render(rounded, pictures.views[i : i + 1], gray)
        error = (seen - pictures.colours[i] - gray * pictures.through[i]).square().mean()
        (error / price + bits.sum()).mul(1e-3).backward()
        for optimizer in optimizers.values():
            optimizer.step()
        with torch.no_grad():
            rotation = params["rotation"]
            rotation.mul_((0.95 / rotation.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1))
            params["opacity"].clamp_(-8, 8)
        if step == 20:
            seconds = (time.monotonic() - began) / 21 * count
            tell(f"refitting for {count} steps: about {seconds:.0f} s")
    return _latents(params), steps


def _latents(params: torch.nn.ParameterDict) -> Latents:
    return Latents(**{name: p.detach().double().numpy().copy() for name, p in params.items()})


def _render(values: dict[str, Tensor], view: Cameras, gray: float) -> Tensor:
    """Picture [H, W, 3]."""
    rotation = values["rotation"]
    real = (1 - rotation.square().sum(1, keepdim=True)).clamp_min(1e-6).sqrt()
    dc = (values["colour"] @ FROM_YCC - 0.5) / SH_C0
    sh = torch.cat([dc[:, None], values["harmonics"] @ FROM_YCC], 1)
    return rasterization(
        values["position"], torch.cat([real, rotation], 1), values["scales"].exp(),
        values["opacity"].sigmoid(), sh, view.viewmats, view.Ks, view.width, view.height,
        sh_degree=math.isqrt(sh.shape[1]) - 1, backgrounds=torch.full((1, 3), gray),
    )[0][0]  # fmt: skip

"""Refits splats to the pictures of the scene they come from, at the precision of .s3z.

The splats are rounded as the file will round them at every step, with gradients passed straight
through (Bengio et al. 2013), so that each makes up for the rounding of the others. What is
minimised is the mean squared error of pictures plus lambda times the bits, by the tables that the
coder has learned (Balle et al. 2017; for splats Wang et al., "End-to-End Rate-Distortion Optimized
3D Gaussian Representation", ECCV 2024). From lambda follow

- the steps: sqrt(6 lambda / (h ln 2)) for a number whose change by s adds h s^2 to the error;
- which splats go: those whose loss adds less error than lambda times their bits. A picture is linear
  in the opacity of each splat, so that the change by its loss is the opacity times a derivative.

h and those errors are the diagonal of J^T J, J the derivatives of all pixels, estimated with random
signs (Hutchinson 1989). lambda itself is moved until size or PSNR is what it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from score3d.cameras import Cameras
from score3d.files.compact import Quantised, Steps, encode_compact, predictions, quantise
from score3d.files.octree import interleave, neighbours
from score3d.files.range_coder import learned
from score3d.files.splat_latents import ATTRIBUTES, Latents, finer, fitted_law, HALF_OCTAVES, MOST, features
from score3d.files.splats import SH_C0, Splats
from score3d.render import rasterization
from score3d.scenes.adaptation import replace_rows

RATES = {"position": 4e-4, "opacity": 2e-2, "scales": 1e-2, "rotation": 5e-3, "colour": 3e-3,
         "harmonics": 3e-3}  # fmt: skip
ROUND = 100  # steps between changes of lambda, of steps and of the splats kept
SETTLING = 0.3  # last part of the steps, in which no splat goes
BOLDNESS = 2.0  # a splat goes if the error, before the others make up for it, is this times worth
MOST_AT_ONCE = 0.2


class Pictures(Protocol):
    """What `refine` fits: see `score3d.compress.Reference`."""

    views: Cameras
    colours: Tensor
    through: Tensor
    distance: float

    def psnr(self, splats: Splats) -> float: ...


def render(values: dict[str, Tensor], view: Cameras, gray: float) -> Tensor:
    """Picture [H, W, 3] of latents as tensors."""
    real = (1 - values["rotation"].square().sum(1, keepdim=True)).clamp_min(1e-6).sqrt()
    dc = ((_from_ycc(values["colour"]) - 0.5) / SH_C0)[:, None]
    sh = torch.cat([dc, _from_ycc(values["harmonics"])], 1)
    return rasterization(
        values["position"], torch.cat([real, values["rotation"]], 1), values["scales"].exp(),
        values["opacity"].sigmoid(), sh, view.viewmats, view.Ks, view.width, view.height,
        sh_degree={1: 0, 4: 1, 9: 2, 16: 3}[sh.shape[1]], backgrounds=torch.full((1, 3), gray),
    )[0][0]  # fmt: skip


def _from_ycc(ycc: Tensor) -> Tensor:
    y, green, orange = ycc.unbind(-1)
    return torch.stack([y - green + orange, y + green, y - green - orange], -1)


def tensors(values: Latents) -> dict[str, Tensor]:
    return {f.name: torch.from_numpy(getattr(values, f.name)).float() for f in fields(values)}


def sensitivity(values: Latents, pictures: Pictures, seed: int, probes: int = 1) -> dict[str, NDArray]:
    """Of each number of each splat, the mean squared change of the pictures' pixels by a unit of
    it, where the pictures are linear: arrays like the latents."""
    generator = torch.Generator().manual_seed(seed)
    leaves = {name: value.requires_grad_() for name, value in tensors(values).items()}
    total = {name: torch.zeros_like(value) for name, value in leaves.items()}
    pixels = 0
    for i in range(0, len(pictures.views)):
        for _ in range(probes):
            seen = render(leaves, pictures.views[i : i + 1], 0.5)
            signs = 2.0 * torch.randint(0, 2, seen.shape, generator=generator) - 1
            found = torch.autograd.grad((seen * signs).sum(), list(leaves.values()))
            for name, gradient in zip(leaves, found, strict=True):
                total[name] += gradient.square()
            pixels += seen.numel()
    return {name: (value / pixels).double().numpy() for name, value in total.items()}


def per_splat(found: dict[str, NDArray]) -> dict[str, NDArray]:
    n = len(found["opacity"])
    return {name: value.reshape(n, -1).mean(axis=1) if value.size else np.zeros(n) for name, value in found.items()}


def steps_for(lam: float, h: dict[str, NDArray], values: Latents, law: NDArray, cube: NDArray) -> Steps:
    """The steps that trade error for bits at `lam`, mean squared error a bit."""
    found = features(values.opacity, values.scales)
    step = {"opacity": np.sqrt(6 * lam / np.log(2) / max(h["opacity"].mean(), 1e-30))}
    for name in ATTRIBUTES:
        k = finer(law, name, features(values.opacity) if name == "scales" else found)
        step[name] = np.sqrt(6 * lam / np.log(2) / max((h[name] * HALF_OCTAVES[k + MOST] ** 2).mean(), 1e-30))
    bits = float(np.clip(np.log2(cube[3] / step["position"]), 2, 18))
    return Steps(bits, float(min(step["scales"], .6)), float(min(step["rotation"], .4)), float(min(step["opacity"], 1.5)),
                 float(min(step["colour"], .2)), float(step["harmonics"].clip(1e-4, 2)), law, cube)  # fmt: skip


class Rate:
    """Bits of latents by the tables the coder would have learned; refreshed now and then."""

    def __init__(self, q: Quantised) -> None:
        leaf = q.grid >> (q.needed - q.depth)[:, None]
        order = np.argsort(interleave(leaf, q.depth), kind="stable")
        near = neighbours(leaf[order])
        self.predicted: dict[str, Tensor] = {}
        self.tables: dict[str, tuple[int, Tensor]] = {}
        self.degrees = q.degrees
        for name, symbols in q.symbols.items():
            shift = np.zeros(symbols.shape, np.int64)
            if name in ("scales", "colour"):
                shift[order] = predictions(symbols[order], q.sizes[name][order], near)
                if np.log((symbols-shift).std(axis=0)+.3).sum() >= np.log(symbols.std(axis=0)+.3).sum():
                    shift[:] = 0
            self.predicted[name] = torch.from_numpy(shift.reshape(len(shift), -1)).float()
            rest = (symbols - shift).reshape(len(shift), -1)
            if name.startswith("sh"):
                rest = rest[q.degrees >= int(name[2])]
            low, high = int(rest.min(initial=0)) - 2, int(rest.max(initial=0)) + 2
            table = np.stack([-np.log2(learned(c - low, high - low + 1)) for c in rest.T])
            self.tables[name] = low, torch.from_numpy(table).float()

    def bits(self, values: dict[str, Tensor], sizes: dict[str, Tensor]) -> Tensor:
        """[N], without positions."""
        total = torch.zeros(len(values["opacity"]))
        for name, (low, table) in self.tables.items():
            chosen = None
            if name.startswith("sh"):
                d = int(name[2])
                chosen = torch.from_numpy(self.degrees >= d)
                value = values["harmonics"][:, d * d - 1 : (d + 1) ** 2 - 1].reshape(len(total), -1)
                size = sizes["harmonics"]
            else:
                value, size = values[name].reshape(len(total), -1), sizes[name]
            at = (value / size[:, None] - self.predicted[name] - low).clamp(0, table.shape[1] - 1.001)
            whole = at.detach().floor().long()
            column = torch.arange(table.shape[0])
            a, b = table[column, whole], table[column, whole + 1]
            cost = (a + (b - a) * (at - whole)).sum(1)
            total = total + (cost if chosen is None else torch.where(chosen, cost, 0.0))
        return total


def refine(
    start: Latents, pictures: Pictures, size: int | None, psnr: float | None, count: int,
    tell: Callable[[str], object] = lambda text: None, seed: int = 0, lam: float | None = None,
) -> tuple[Latents, Steps]:
    params = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in tensors(start).items()})
    rates = RATES | {"position": RATES["position"] * pictures.distance / 2}
    optimizers = {name: torch.optim.Adam([params[name]], lr=rates[name], betas=(0.9, 0.99), eps=1e-15) for name in params}
    corner = start.position.min(axis=0)
    cube = np.append(corner, max((start.position - corner).max(), 1e-9)).astype(np.float32).astype(np.float64)
    generator = torch.Generator().manual_seed(seed)

    def now() -> Latents:
        return Latents(**{name: p.detach().double().numpy().copy() for name, p in params.items()})

    h = sensitivity(start, pictures, seed)
    law = fitted_law(per_splat(h), start.opacity, start.scales)
    if lam is None:
        low, high = -16.0, -4.0
        for _ in range(9):
            lam = 10 ** (0.5 * (low + high))
            data = encode_compact(start, steps_for(lam, per_splat(h), start, law, cube))
            if size is not None:
                over = len(data) > 1.4 * size
            else:
                from score3d.files.compact import decode_compact
                over = pictures.psnr(decode_compact(data, "")) > psnr - 2
            low, high = (np.log10(lam), high) if over else (low, np.log10(lam))
    assert lam is not None
    steps, q, rate = None, None, None
    for step in range(count):
        left = 1 - step / count
        if step % ROUND == 0:
            values = now()
            if step:
                h = sensitivity(quantise(values, steps, q.degrees).latents, pictures, seed + step)
                law = fitted_law(per_splat(h), values.opacity, values.scales)
                data = encode_compact(values, steps)
                if size is not None:
                    lam *= (len(data) / (0.985 * size)) ** 1.5
                else:
                    from score3d.files.compact import decode_compact
                    lam *= 10 ** (0.7 * np.clip(pictures.psnr(decode_compact(data, "")) - psnr - .1,-3,3) / 10)
            steps = steps_for(lam, per_splat(h), values, law, cube)
            q = quantise(values, steps)
            rate = Rate(q)
            if step and left > SETTLING:
                with torch.no_grad():
                    sizes = {n: torch.from_numpy(s).float() for n, s in (q.sizes | {"opacity": np.full(len(q.degrees), steps.opacity)}).items()}
                    bits = rate.bits(tensors(q.latents), sizes).double().numpy()
                bits = bits + 3 * q.needed - np.log2(len(bits)) + 1.5
                opacity = 1 / (1 + np.exp(-values.opacity))
                lost = h["opacity"] / np.maximum(1 - opacity, 1e-3) ** 2
                worth = lost / np.maximum(bits, 1)
                go = worth < BOLDNESS * lam
                most = max(int(MOST_AT_ONCE * len(go)), 0)
                if go.sum() > most:
                    go = np.zeros(len(go), bool); go[np.argsort(worth)[:most]] = True
                if go.all(): go[np.argmax(worth)] = False
                keep = torch.from_numpy(np.flatnonzero(~go))
                replace_rows(params, optimizers, {n: p.detach()[keep] for n, p in params.items()}, keep)
                values = now()
                h = {n: x[keep.numpy()] for n, x in h.items()}
                steps = steps_for(lam, per_splat(h), values, law, cube)
                q = quantise(values, steps); rate = Rate(q)
                tell(f"{step}: {len(data) if step else 0} bytes, lambda {lam:.2e}, {len(keep)} splats, sh {np.mean(q.degrees>0):.2f} bits {bits.mean():.0f} pos {q.needed.mean()*3:.0f} steps {steps.position:.1f} {steps.scales:.3f} {steps.rotation:.3f} {steps.opacity:.2f} {steps.colour:.3f} {steps.harmonics:.3f}")
        elif step % (ROUND // 2) == 0:
            q = quantise(now(), steps); rate = Rate(q)
        for name, optimizer in optimizers.items():
            optimizer.param_groups[0]["lr"] = rates[name] * max(left, 0.05)
        with torch.no_grad():
            q = quantise(now(), steps, rate.degrees)
        rounded = tensors(q.latents)
        through = {name: p + (rounded[name] - p).detach() for name, p in params.items()}
        sizes = {n: torch.from_numpy(s).float() for n, s in q.sizes.items()} | {"opacity": torch.full((len(q.degrees),), steps.opacity)}
        gray = float(torch.rand((), generator=generator))
        i = int(torch.randint(len(pictures.views), (), generator=generator))
        seen = render(through, pictures.views[i : i + 1], gray)
        error = (seen - pictures.colours[i] - gray * pictures.through[i]).square().mean()
        loss = error / lam / 1e3 + rate.bits(dict(params.items()), sizes).sum() / 1e3
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
        with torch.no_grad():
            norm = params["rotation"].norm(dim=1, keepdim=True)
            params["rotation"].mul_((0.95 / norm.clamp(min=1e-9)).clamp(max=1))
            params["opacity"].clamp_(-8, 8)
    return now(), replace(steps)

"""What .s3z makes of splats that are being optimised: rounded values with gradients, and bits.

Rounding passes gradients straight through (Bengio et al. 2013, arXiv 1308.3432). Bits are those of
the adaptive tables once they have seen the scene, interpolated between whole numbers, as
entropy-constrained quantisation has it (Chou, Lookabaugh and Gray 1989).
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from score3d.files.compact import (
    PREDICTED,
    Steps,
    cheaper_predicted,
    neighbours_in_order,
    predictions,
    quantise,
)
from score3d.files.range_coder import learned
from score3d.files.splat_latents import Latents

__all__ = ["Rounding", "tensors"]

MARGIN = 2  # symbols beyond those seen that a value may reach before tables are made anew


def tensors(values: Latents) -> dict[str, Tensor]:
    """Latents as float32 tensors by name."""
    return {f.name: torch.from_numpy(getattr(values, f.name)).float() for f in fields(values)}


class Rounding:
    """The steps, SH degrees, predictions and tables that N splats have at one moment; they stay
    while the splats move a little.

    degrees: SH degree [N]. sizes: the step of each splat [N] by attribute.
    """

    def __init__(self, values: Latents, steps: Steps) -> None:
        q = quantise(values, steps)
        order, near = neighbours_in_order(q)
        self.degrees = q.degrees
        self.sizes = {name: torch.from_numpy(s).float() for name, s in q.sizes.items()}
        self._corner = torch.from_numpy(q.cube[:3]).float()
        self._cell = torch.from_numpy(q.cube[3] / 2.0**q.needed).float()[:, None]
        # an octree codes N splats in any order, which saves log2 N! bits (Stirling)
        self._position_bits = torch.from_numpy(3.0 * q.needed) - np.log2(max(len(order) / np.e, 1))
        self._shift: dict[str, Tensor] = {}
        self._tables: dict[str, tuple[int, Tensor]] = {}
        for name, symbols in q.symbols.items():
            shift = np.zeros(symbols.shape, np.int64)
            if name in PREDICTED:
                expected = predictions(symbols[order], q.sizes[name][order], near)
                if cheaper_predicted(symbols[order], expected):
                    shift[order] = expected
            rest = (symbols - shift).reshape(len(order), -1)
            self._shift[name] = torch.from_numpy(shift.reshape(rest.shape)).float()
            if name.startswith("sh"):
                rest = rest[q.degrees >= int(name[2])]
            low = int(rest.min(initial=0)) - MARGIN
            size = int(rest.max(initial=0)) + MARGIN - low + 1
            table = np.stack([-np.log2(learned(column - low, size)) for column in rest.T])
            self._tables[name] = low, torch.from_numpy(table).float()

    def __call__(self, values: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """The values as they will be read, and the bits of each splat [N]; both with gradients."""
        rounded = {}
        cell = (values["position"] - self._corner) / self._cell
        rounded["position"] = _through(
            values["position"], self._corner + (cell.detach().floor() + 0.5) * self._cell
        )
        bits = self._position_bits.float()
        for name in ("opacity", "scales", "rotation", "colour"):
            steps = (values[name].reshape(len(bits), -1)) / self.sizes[name][:, None]
            rounded[name] = self._rounded(values[name], steps, self.sizes[name])
            bits = bits + self._cost(name, steps)
        rounded["harmonics"] = values["harmonics"]
        if values["harmonics"].numel():
            kept = []
            for d in range(1, math.isqrt(values["harmonics"].shape[1] + 1)):
                part = values["harmonics"][:, d * d - 1 : (d + 1) ** 2 - 1]
                has = torch.from_numpy(self.degrees >= d)
                steps = part.flatten(1) / self.sizes["harmonics"][:, None]
                bits = bits + torch.where(has, self._cost(f"sh{d}", steps), 0.0)
                kept.append(
                    self._rounded(part, steps, self.sizes["harmonics"]) * has[:, None, None]
                )
            rounded["harmonics"] = torch.cat(kept, 1)
        return rounded, bits

    def _rounded(self, value: Tensor, steps: Tensor, size: Tensor) -> Tensor:
        return _through(value, (steps.detach().round() * size[:, None]).reshape(value.shape))

    def _cost(self, name: str, steps: Tensor) -> Tensor:
        low, table = self._tables[name]
        at = (steps - self._shift[name] - low).clamp(0, table.shape[1] - 1.001)
        whole = at.detach().long()
        column = torch.arange(len(table))
        below, above = table[column, whole], table[column, whole + 1]
        return (below + (above - below) * (at - whole)).sum(1)


def _through(value: Tensor, rounded: Tensor) -> Tensor:
    return value + (rounded - value).detach()

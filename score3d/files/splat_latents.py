"""The numbers that .s3z quantises, and how finely each splat's are quantised.

Latents are position, logit of the opacity, log scales, rotation (the vector part of the quaternion
with the smallest rotation), colour (Y, Cg, Co of rgb) and harmonics (the same of coefficients).

A large opaque splat must be stored more finely than a faint speck. With D = sum h s^2 / 12 for
steps s and sensitivities h (derivatives of the pictures, squared), the rate falls by log2 s each,
so that steps should fall as h^(-1/2) (Gersho and Gray 1992, ch. 8). h is predicted from what the
reader knows by then, the opacity and the sizes of the splat, by a power law whose exponents are in
the file (`Law`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from score3d.files.smallest_rotation import smallest_rotation
from score3d.files.splats import SH_C0, Splats

__all__ = ["ATTRIBUTES", "LAW", "Latents", "Law", "fitted_law", "from_ycc", "step_sizes", "to_ycc"]

ATTRIBUTES = ("position", "scales", "rotation", "colour", "harmonics")  # opacity: one step for all
LARGEST = {"scales": 20.0, "rotation": 1.0, "colour": 3.0, "harmonics": 8.0}
# beyond these steps a rounded value is not the same splat less exactly, but another splat
COARSEST = {"scales": 0.8, "rotation": 0.5, "colour": 0.3, "harmonics": 8.0}
SYMBOLS = 16_000  # values are at most this many steps from zero
UNIT = 16  # exponents are whole numbers of 1/16
MOST = 16  # half octaves by which a step may differ from the common one
HALF_OCTAVES = np.array(  # 2^(-k/2), k = -MOST..MOST, the same bits everywhere
    [2.0 ** -(k // 2) / (np.sqrt(2.0) if k % 2 else 1.0) for k in range(-MOST, MOST + 1)]
)
FROM_YCC = np.array([[1, 1, 1], [-1, 1, -1], [1, 0, -1]])
# [5, 6] of ATTRIBUTES: constant, then exponents of opacity, smallest, middle and largest scale, and
# of the anisotropy (see `features`), in 1/16. Means over eight fitted scenes.
Law = NDArray[np.int16]
LAW: Law = np.array(
    [[0, 18, -22, -19, 12, 0], [0, 26, 0, 0, 0, 0], [0, 21, -29, -15, 48, 16],
     [0, 17, -18, 5, 17, 0], [0, 17, -18, 5, 17, 0]], np.int16
)  # fmt: skip


@dataclass
class Latents:
    """N splats as float64 arrays; `harmonics` [N, K - 1, 3] may be empty, `opacity` is [N]."""

    position: NDArray
    opacity: NDArray
    scales: NDArray
    rotation: NDArray
    colour: NDArray
    harmonics: NDArray

    @classmethod
    def of(cls, splats: Splats) -> Latents:
        quats, scales = smallest_rotation(splats)
        sh = splats.sh.astype(np.float64)
        return cls(
            splats.means.astype(np.float64),
            np.clip(splats.logit_opacities.astype(np.float64), -12, 12),
            np.clip(scales, -20, 20),
            quats[:, 1:],
            to_ycc((0.5 + SH_C0 * sh[:, 0]).clip(-2, 3)),
            to_ycc(sh[:, 1:]),
        )

    def select(self, rows: NDArray) -> Latents:
        return Latents(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def degree(self) -> int:
        return {0: 0, 3: 1, 8: 2, 15: 3}[self.harmonics.shape[1]]

    def splats(self) -> Splats:
        real = np.sqrt(np.maximum(0, 1 - (self.rotation**2).sum(axis=1, keepdims=True)))
        dc = (from_ycc(self.colour) - 0.5) / SH_C0
        return Splats(
            self.position.astype(np.float32),
            np.concatenate([real, self.rotation], axis=1).astype(np.float32),
            self.scales.astype(np.float32),
            self.opacity.astype(np.float32),
            np.concatenate([dc[:, None], from_ycc(self.harmonics)], axis=1).astype(np.float32),
        )


def to_ycc(rgb: NDArray) -> NDArray:
    """[..., 3] to (Y, Cg, Co) [..., 3]."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return np.stack(
        [0.25 * red + 0.5 * green + 0.25 * blue, green / 2 - (red + blue) / 4, (red - blue) / 2],
        axis=-1,
    )


def from_ycc(ycc: NDArray) -> NDArray:
    """(Y, Cg, Co) [..., 3] to [..., 3]."""
    return ycc @ FROM_YCC.astype(ycc.dtype)


def features(opacity: NDArray, scales: NDArray | None = None) -> NDArray[np.int64]:
    """[N, 6] in 1/64: one, and log2 of the opacity, of the sorted scales and of the anisotropy
    (largest - smallest) / largest + 1/64; without `scales` zeros for them. Whole numbers, so that
    reader and writer cannot differ by a rounding error."""
    found = np.zeros((len(opacity), 6))
    found[:, 0] = 1
    found[:, 1] = -np.log1p(np.exp(-opacity.clip(-12, 12))) / np.log(2)
    if scales is not None:
        s = np.sort(scales.clip(-20, 20), axis=1)
        found[:, 2:5] = s / np.log(2)
        found[:, 5] = np.log2(1 + 1 / 64 - np.exp(s[:, 0] - s[:, 2]))
    return np.rint(64 * found).astype(np.int64)


def finer(law: Law, attribute: str, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """By how many half octaves each splat's step is finer than the common one, [N]."""
    exponents = law[ATTRIBUTES.index(attribute)].astype(np.int64)
    total = (found * exponents).sum(axis=1)
    return ((total + 32 * UNIT) // (64 * UNIT)).clip(-MOST, MOST)


def step_sizes(
    law: Law, attribute: str, common: float, opacity: NDArray, scales: NDArray | None = None
) -> NDArray[np.float64]:
    """The step of each splat [N]; opacity [N] and scales [N, 3] are as the reader knows them."""
    k = finer(law, attribute, features(opacity, scales))
    finest = LARGEST[attribute] / SYMBOLS
    return (common * HALF_OCTAVES[k + MOST]).clip(finest, max(COARSEST[attribute], common))


def centred(law: Law, opacity: NDArray, scales: NDArray) -> Law:
    """The law with constants such that a splat of some opacity has on average the common step."""
    found = features(opacity, scales)
    weight = 1 / (1 + np.exp(-opacity))
    mean = (found * weight[:, None]).sum(axis=0) / weight.sum() / 64
    result = law.astype(np.float64)
    result[:, 0] = -(result[:, 1:] * mean[1:]).sum(axis=1)
    return np.rint(result).clip(-32768, 32767).astype(np.int16)


def fitted_law(sensitivity: dict[str, NDArray], opacity: NDArray, scales: NDArray) -> Law:
    """The law nearest to measured sensitivities [N] by attribute (least squares in logarithms, a
    little drawn towards LAW); splats among the least visible seventh do not count."""
    found = features(opacity, scales) / 64
    law = LAW.astype(np.float64).copy()
    for row, name in enumerate(ATTRIBUTES):
        h = np.log2(sensitivity[name] + 1e-30)
        seen = h >= np.quantile(h, 0.15)
        used = [0, 1] if name == "scales" else [0, 1, 2, 3, 4, 5]
        if name != "rotation" and 5 in used:
            used.remove(5)
        x, y = found[seen][:, used], h[seen]
        prior = LAW[row, used] / UNIT
        x, y = x - x.mean(axis=0), y - y.mean()
        x, prior = x[:, 1:], prior[1:]
        ridge = 0.02 * len(x) * np.eye(x.shape[1]) + 5 * np.eye(x.shape[1])
        law[row, used[1:]] = UNIT * (
            prior + np.linalg.solve(x.T @ x + ridge, x.T @ (y - x @ prior))
        )
    return centred(np.rint(law).clip(-127, 127).astype(np.int16), opacity, scales)

"""The splats every file reader returns and every writer takes.

Notation: N splats, SH of degree D in 0..3 with K = (D + 1)^2 coefficients per colour channel.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = ["SH_C0", "FileFormatError", "Splats", "half_turn"]

FloatArray = NDArray[np.float32]

SH_C0 = 0.28209479177387814  # 1 / (2 sqrt(pi)), the constant spherical harmonic


# Coefficients of the basis functions that are odd in (y, z) together, and so change sign under F:
# degree 1: y, z | 2: xy, xz | 3: y(3xx-yy), y(4zz-xx-yy), z(2zz-3xx-3yy), z(xx-yy)
ODD_COEFFICIENTS = (1, 2, 4, 7, 9, 11, 12, 14)


class FileFormatError(ValueError):
    """A file is not what it should be; one line that names it, what is wrong and what would do."""


@dataclass(frozen=True, eq=False)
class Splats:
    """3D Gaussians with the raw (unactivated) parameters of 3D Gaussian Splatting.

    World frame: right-handed, +y up, objects face +z. Arrays are converted to contiguous float32.
    Values may be non-finite (a diverged scene can still be saved); see `finite`.

    Args:
        means: centres, shape [N, 3], world units.
        quats: rotations, shape [N, 4], (w, x, y, z), not necessarily of unit length.
        log_scales: natural logarithm of the standard deviations, shape [N, 3].
        logit_opacities: inverse sigmoid of the opacity, shape [N].
        sh: spherical harmonics, shape [N, K, 3], coefficient-major, K in {1, 4, 9, 16}.
            The colour in direction d is 0.5 + sum_k sh[:, k] Y_k(d).

    Raises:
        ValueError: a shape is wrong; the message names the array and the shape expected.

    Source: Kerbl et al., "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023.
    """

    means: FloatArray
    quats: FloatArray
    log_scales: FloatArray
    logit_opacities: FloatArray
    sh: FloatArray

    def __post_init__(self) -> None:
        for field in fields(self):
            with np.errstate(over="ignore", invalid="ignore"):  # too large for float32: infinity
                value = np.ascontiguousarray(getattr(self, field.name), dtype=np.float32)
            object.__setattr__(self, field.name, value)
        n = len(self.means) if self.means.ndim else 0
        expected = {"means": (n, 3), "quats": (n, 4), "log_scales": (n, 3), "logit_opacities": (n,)}
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"splats: {name} has shape {found}, expected {shape}")
        found = self.sh.shape
        if self.sh.ndim != 3 or found[0] != n or found[1] not in (1, 4, 9, 16) or found[2] != 3:
            raise ValueError(f"splats: sh has shape {found}, expected ({n}, 1 | 4 | 9 | 16, 3)")

    @classmethod
    def none(cls) -> Splats:
        """No splats at all."""
        return cls(*(np.zeros(s, np.float32) for s in ((0, 3), (0, 4), (0, 3), (0,), (0, 1, 3))))

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        """Degree D of the spherical harmonics, 0 to 3."""
        return {1: 0, 4: 1, 9: 2, 16: 3}[self.sh.shape[1]]

    @property
    def rgb(self) -> FloatArray:
        """Direction-independent colour, shape [N, 3], sRGB as optimised, clipped to [0, 1]."""
        return np.clip(np.float32(0.5) + np.float32(SH_C0) * self.sh[:, 0], 0.0, 1.0)

    @property
    def opacities(self) -> FloatArray:
        """Opacity of each splat at its centre, shape [N], in [0, 1]."""
        # tanh never overflows, unlike 1 / (1 + exp(-x))
        return np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * self.logit_opacities)

    def select(self, mask: NDArray[np.bool_] | NDArray[np.integer]) -> Splats:
        """The splats where `mask` (bool [N], or integer indices [M]) says so, as a copy."""
        return Splats(*(getattr(self, field.name)[mask] for field in fields(self)))

    def finite(self) -> tuple[Splats, int]:
        """The splats without a NaN or infinity in any parameter, and how many were dropped."""
        keep = np.ones(len(self), dtype=bool)
        for field in fields(self):
            value = getattr(self, field.name)
            keep &= np.isfinite(value).all(axis=tuple(range(1, value.ndim)))
        return self.select(keep), int(len(self) - keep.sum())


def half_turn(splats: Splats) -> Splats:
    """The splats turned by F = diag(1, -1, -1), half a turn about x; its own inverse, bit for bit.

    The covariance R S^2 R^T becomes (F R F) S^2 (F R F)^T because F S^2 F = S^2, and F R F is the
    quaternion (w, x, -y, -z).
    """
    means, quats, sh = splats.means.copy(), splats.quats.copy(), splats.sh.copy()
    means[:, 1:] = -means[:, 1:]
    quats[:, 2:] = -quats[:, 2:]
    odd = [k for k in ODD_COEFFICIENTS if k < sh.shape[1]]
    sh[:, odd] = -sh[:, odd]
    return Splats(means, quats, splats.log_scales, splats.logit_opacities, sh)

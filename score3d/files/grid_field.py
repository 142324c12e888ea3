"""Density and colour of a radiance field on a cubic grid, at points in space."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import expit

from score3d.files.atomic import atomic_write
from score3d.files.splats import FileFormatError, FloatArray

__all__ = ["GridField"]


class GridField:
    """Values at the corners of cells that fill [-bound, bound]^3, z slowest; between them they are
    interpolated trilinearly, then activated: density is softplus per cell, colour a sigmoid.

    Args:
        raw: [N, N, N], density before activation. raw_colour: [3, N, N, N], likewise.
    """

    def __init__(self, raw: FloatArray, raw_colour: FloatArray, bound: float) -> None:
        self.raw, self.raw_colour, self.bound = raw, raw_colour, bound

    @property
    def cell(self) -> float:
        """The side of a cell, world units."""
        return 2 * self.bound / (len(self.raw) - 1)

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two opposite corners of the cube."""
        return np.full(3, -self.bound), np.full(3, self.bound)

    def density(self, points: NDArray) -> FloatArray:
        """At points [M, 3], shape [M], extinction per world unit; 0 outside the cube."""
        raw = map_coordinates(self.raw, self._at(points), order=1, cval=-1e9)
        return (np.logaddexp(0, raw) / self.cell).astype(np.float32)

    def colour(self, points: NDArray) -> tuple[FloatArray, FloatArray]:
        """rgb [M, 3] in [0, 1] and density [M] at points [M, 3]; beyond the cube the colour is
        that of its border."""
        return self.nearest_colour(points), self.density(points)

    def nearest_colour(self, points: NDArray) -> FloatArray:
        """rgb [M, 3] in [0, 1], also where the density is zero."""
        return expit(self.raw_colour_at(points)).astype(np.float32)

    def raw_colour_at(self, points: NDArray) -> FloatArray:
        """Colour before activation [M, 3]."""
        at = self._at(points)
        rgb = [map_coordinates(c, at, order=1, mode="nearest") for c in self.raw_colour]
        return np.stack(rgb, axis=1).astype(np.float32)

    def opacity_seen_along(self, axis: int, u: NDArray, v: NDArray) -> FloatArray:
        """What a viewer sees from far away along an axis: alpha at u x v, shape [U, V], in [0, 1).

        u and v are coordinates along the other two axes, in ascending order of axis.
        """
        grids = [u, v]
        grids.insert(axis, np.linspace(-self.bound, self.bound, len(self.raw)))
        points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
        depth = self.density(points.reshape(-1, 3)).reshape(points.shape[:3]).sum(axis=axis)
        return -np.expm1(-depth * np.float32(self.cell))

    def _at(self, points: NDArray) -> NDArray[np.float64]:
        """Indices [3, M] into the values, z first."""
        return ((np.asarray(points, np.float64) + self.bound) / self.cell).T[::-1]

    def save(self, path: Path) -> None:
        """Write an .npz of half-precision numbers: raw, raw_colour, bound. Raises OSError."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            half = (np.clip(v, -6e4, 6e4).astype(np.float16) for v in (self.raw, self.raw_colour))
            np.savez_compressed(file, **dict(zip(("raw", "raw_colour"), half, strict=True)),
                                bound=self.bound)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> GridField:
        """What `save` wrote. Raises FileFormatError, OSError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                raw, colour = (file[k].astype(np.float32) for k in ("raw", "raw_colour"))
                bound = float(file["bound"])
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
            raise FileFormatError(f"{path}: not a radiance field of score3d ({error})") from error
        n = len(raw)
        if raw.shape != (n, n, n) or colour.shape != (3, n, n, n) or n < 2 or not bound > 0:
            raise FileFormatError(f"{path}: shapes {raw.shape} and {colour.shape} are no field")
        return cls(raw, colour, bound)

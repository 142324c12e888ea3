"""Density and colour of a radiance field on a cubic grid, at points in space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from score3d.files.splats import FloatArray

__all__ = ["GridField"]


class GridField:
    """Values at the corners of cubes that fill [-bound, bound]^3, z slowest; between, trilinear.

    Args:
        density: [N, N, N], extinction per world unit, >= 0. colour: [3, N, N, N] in [0, 1].
    """

    def __init__(self, density: FloatArray, colour: FloatArray, bound: float) -> None:
        self.values, self.rgb, self.bound = density, colour, bound

    @property
    def cell(self) -> float:
        """The side of a cube, world units."""
        return 2 * self.bound / (len(self.values) - 1)

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of the cube."""
        return np.full(3, -self.bound), np.full(3, self.bound)

    def density(self, points: NDArray) -> FloatArray:
        """At points [M, 3], shape [M], per world unit; 0 outside the cube."""
        return map_coordinates(self.values, self._at(points), order=1, cval=0.0)

    def colour(self, points: NDArray) -> tuple[FloatArray, FloatArray]:
        """rgb [M, 3] in [0, 1] and density [M] at points [M, 3]; beyond the cube that of its
        border."""
        at = self._at(points)
        rgb = [map_coordinates(c, at, order=1, mode="nearest") for c in self.rgb]
        return np.stack(rgb, axis=1), self.density(points)

    def nearest_colour(self, points: NDArray) -> FloatArray:
        """rgb [M, 3] where `colour` has none to give: it has everywhere."""
        return self.colour(points)[0]

    def opacity_seen_along(self, axis: int, u: NDArray, v: NDArray) -> FloatArray:
        """What a viewer sees from far away along an axis: alpha at u x v, shape [U, V], in [0, 1).

        u and v are coordinates along the other two axes, in ascending order of axis.
        """
        line = np.linspace(-self.bound, self.bound, len(self.values))
        grids = [u, v]
        grids.insert(axis, line)
        points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
        depth = self.density(points.reshape(-1, 3)).reshape(points.shape[:3]).sum(axis=axis)
        return -np.expm1(-depth * self.cell)

    def _at(self, points: NDArray) -> NDArray[np.float64]:
        """Indices [3, M] into the values, z first."""
        return ((np.asarray(points, np.float64) + self.bound) / self.cell).T[::-1]

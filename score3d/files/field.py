"""Density and colour of a cloud of Gaussians at points in space.

Notation: N Gaussians with opacity o_i, covariance S_i, s_i = det(S_i)^(1/6) (its mean standard
deviation) and q_i(x) = (x - m_i)^T S_i^-1 (x - m_i).

    density(x) = sum_i k_i g(q_i(x)),         k_i = -log(1 - o_i) / (sqrt(2 pi) s_i)
    g(q) = max(0, exp(-q / 2) - c) / (1 - c),   c = exp(-9 / 2)

The density is extinction per world unit: along a line through the centre of a round Gaussian it
integrates to -log(1 - o_i), so the line is dimmed by just o_i. Plain o_i in place of k_i would
make a large faint splat count as much as a small faint one, though it dims far less per length;
fog is made of large faint splats. g is the Gaussian lowered so that it reaches zero at three
standard deviations instead of being cut there; a cut would leave ridges in the surface extracted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from score3d.files.splats import FloatArray, Splats

__all__ = ["Field", "GaussianField"]

CUTOFF = 3.0  # standard deviations
FLOOR = float(np.exp(-0.5 * CUTOFF**2))
OPAQUE = 0.99  # opacities are capped here, as renderers do; 1 would be infinitely dense
BLOCK = 250_000  # point-Gaussian pairs evaluated at once: 1 MB, so that it stays in the cache


class Field(Protocol):
    """What a surface is made of: see `GaussianField`, whose methods these are."""

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

    def density(self, points: NDArray) -> FloatArray: ...

    def colour(self, points: NDArray) -> tuple[FloatArray, FloatArray]: ...

    def nearest_colour(self, points: NDArray) -> FloatArray: ...

    def opacity_seen_along(self, axis: int, u: NDArray, v: NDArray) -> FloatArray: ...


class GaussianField:
    """The density and colour of splats, evaluated where asked.

    Args:
        splats: finite splats, N >= 1.
        blur: standard deviation, world units, added to every Gaussian (in quadrature, peak kept),
            so that one thinner than the spacing of the samples is not missed between them. >= 0.
    """

    def __init__(self, splats: Splats, blur: float) -> None:
        quats = splats.quats.astype(np.float64)
        quats[:, 0] += ~quats.any(axis=1)  # a zero quaternion is read as no rotation
        w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
        rotations = np.stack(
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
             2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
             2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            axis=1,
        ).reshape(-1, 3, 3)  # fmt: skip
        # beyond e^±20 a scale is a diverged parameter, and its square would overflow float32
        variances = np.exp(2 * np.clip(splats.log_scales.astype(np.float64), -20, 20)) + blur**2
        self.means = splats.means.astype(np.float64)
        self.opacities = splats.opacities
        self.rgb = splats.rgb
        self.covariances = np.einsum("nij,nj,nkj->nik", rotations, variances, rotations)
        self.precisions = np.einsum("nij,nj,nkj->nik", rotations, 1 / variances, rotations)
        depth = -np.log1p(-np.minimum(self.opacities, np.float32(OPAQUE)))
        size = np.exp(0.5 * np.log(variances).mean(axis=1))
        self.peaks = (depth / (np.sqrt(2 * np.pi) * size)).astype(np.float32)
        self.extents = CUTOFF * np.sqrt(np.einsum("nii->ni", self.covariances))
        self.sharpness = 1 / np.sqrt(variances.min(axis=1))
        self._means_by_axis = np.ascontiguousarray(self.means.T)
        self._extents_by_axis = np.ascontiguousarray(self.extents.T)

    def box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two opposite corners of a box around all Gaussians."""
        return (self.means - self.extents).min(axis=0), (self.means + self.extents).max(axis=0)

    def nearest_colour(self, points: NDArray) -> FloatArray:
        """The colour [M, 3] of the Gaussian whose centre is nearest to each of points [M, 3]."""
        return self.rgb[KDTree(self.means).query(points)[1]]

    def density(self, points: NDArray) -> FloatArray:
        """Density at points [M, 3], shape [M], >= 0, per world unit."""
        result = np.zeros(len(points), np.float32)
        for rows, near, shape in self._blocks(points):
            result[rows] = shape @ self.peaks[near]
        return result

    def colour(self, points: NDArray) -> tuple[FloatArray, FloatArray]:
        """Density-weighted mean colour at points [M, 3]: rgb [M, 3] in [0, 1], density [M].

        Where the density is zero the colour is zero.
        """
        density = np.zeros(len(points), np.float32)
        colour = np.zeros((len(points), 3), np.float32)
        for rows, near, shape in self._blocks(points):
            density[rows] = shape @ self.peaks[near]
            colour[rows] = shape @ (self.peaks[near, None] * self.rgb[near])
        colour /= np.maximum(density, np.finfo(np.float32).tiny)[:, None]
        return colour, density

    def opacity_seen_along(self, axis: int, u: NDArray, v: NDArray) -> FloatArray:
        """What a viewer sees from far away along an axis: alpha at u x v, shape [U, V], in [0, 1).

        u and v are coordinates along the other two axes, in ascending order of axis.
        alpha = 1 - prod_i (1 - o_i exp(-q_i / 2)) with q_i of the projected Gaussian; a product
        has no order, so nothing is sorted.
        """
        kept = [a for a in range(3) if a != axis]
        means, extents = self.means[:, kept], self.extents[:, kept]
        inverse = np.linalg.inv(self.covariances[:, kept][:, :, kept])
        log_transmittance = np.zeros((len(u), len(v)), np.float32)
        for row, at in enumerate(u):
            near = np.flatnonzero(np.abs(at - means[:, 0]) <= extents[:, 0])
            a = (at - means[near, 0])[:, None]
            b = v[None, :] - means[near, 1][:, None]
            p = inverse[near]
            q = p[:, :1, 0] * a * a + 2 * p[:, :1, 1] * a * b + p[:, 1:, 1] * b * b
            alpha = self.opacities[near, None] * np.exp(-0.5 * q.astype(np.float32))
            log_transmittance[row] = np.log1p(-np.minimum(alpha, np.float32(OPAQUE))).sum(axis=0)
        return -np.expm1(log_transmittance)

    def _blocks(self, points: NDArray) -> Iterator[tuple[NDArray, NDArray, FloatArray]]:
        """Yield (rows of points [T], Gaussians near them [G], g(q) [T, G]) for all points.

        Points are grouped in cubes, so that one small matrix product gives every q of a group.
        """
        if len(points) == 0:
            return
        low, high = points.min(axis=0), points.max(axis=0)
        # about six samples of a grid along the side of a cube: fewer waste the matrix product, more
        # meet Gaussians that are far from most of them
        side = int(np.clip(len(points) ** (1 / 3) / 6, 1, 30))
        size = max(float((high - low).max()), 1e-12) / side
        x, y, z = np.floor((points - low) / size).astype(np.int64).T
        key = (x * 32 + y) * 32 + z
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
            group = points[order[start:stop]].astype(np.float64)
            low, high = group.min(axis=0), group.max(axis=0)
            centre = 0.5 * (low + high)  # small numbers, so that float32 is enough
            near, linear = self._near(centre, 0.5 * (high - low))
            if len(near) == 0:
                continue
            step = max(1, BLOCK // len(near))
            for first in range(0, len(group), step):
                rows = order[start + first : min(start + first + step, stop)]
                x, y, z = (group[first : first + step] - centre).astype(np.float32).T
                monomials = np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z,
                                      x * y, x * z, y * z], axis=1)  # fmt: skip
                shape = monomials @ linear
                np.exp(shape, out=shape)
                shape -= np.float32(FLOOR / (1 - FLOOR))
                np.maximum(shape, 0, out=shape)
                yield rows, near, shape

    def _near(self, centre: NDArray, half: NDArray) -> tuple[NDArray, FloatArray]:
        """Gaussians [G] that reach into the box centre +- half, and their exponents [10, G].

        g(q) = max(0, exp(l) - c / (1 - c)) with l = -q / 2 - log(1 - c), and with x measured from
        the centre q = x^T P x - 2 (P m)^T x + m^T P m: linear in the ten monomials of x.
        """
        x, y, z = np.abs(self._means_by_axis - centre[:, None])
        (ex, ey, ez), (hx, hy, hz) = self._extents_by_axis, half
        near = np.flatnonzero((x <= ex + hx) & (y <= ey + hy) & (z <= ez + hz))
        m, p = self.means[near] - centre, self.precisions[near]
        pm = np.einsum("nij,nj->ni", p, m)
        q = np.einsum("ni,ni->n", m, pm)
        # q^(1/2) is a distance, which differs by at most this across the box; half of what is left
        # for large Gaussians lies in the corners of their bounding boxes
        kept = np.sqrt(q) <= CUTOFF + np.linalg.norm(half) * self.sharpness[near]
        near, p, pm, q = near[kept], p[kept], pm[kept], q[kept]
        constant = -0.5 * q - np.log1p(-FLOOR)
        squares, products = p[:, [0, 1, 2], [0, 1, 2]], p[:, [0, 0, 1], [1, 2, 2]]
        linear = np.concatenate([constant[:, None], pm, -0.5 * squares, -products], axis=1)
        return near, linear.T.astype(np.float32)

"""Of the 24 ways to write one ellipsoid, that with the smallest rotation."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import Splats

__all__ = ["cube_turns", "smallest_rotation"]


def smallest_rotation(splats: Splats) -> tuple[NDArray, NDArray]:
    """Of the 24 rotations that, with their scales permuted, describe the same ellipsoid, the one
    nearest to none: unit quaternions [N, 4] with a positive real part, and log scales [N, 3]."""
    q = splats.quats.astype(np.float64)
    q[:, 0] += ~q.any(axis=1)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    best = np.full(len(q), -1.0)
    quats, scales = q.copy(), splats.log_scales.astype(np.float64).copy()
    for turn, order in cube_turns():
        product = _multiply(q, turn)
        better = np.abs(product[:, 0]) > best + 1e-12
        best = np.where(better, np.abs(product[:, 0]), best)
        quats[better] = product[better] * np.where(product[better, :1] < 0, -1, 1)
        scales[better] = splats.log_scales[better][:, order]
    return quats, scales


def cube_turns() -> list[tuple[NDArray, list[int]]]:
    """The rotations of a cube as quaternions, and which old axis each new one is."""
    found = []
    half = np.sqrt(0.5)
    for q in itertools.product((-1, -half, -0.5, 0, 0.5, half, 1), repeat=4):
        if abs(np.dot(q, q) - 1) < 1e-9:
            w, x, y, z = q
            matrix = np.array(
                [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                 [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                 [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
            )  # fmt: skip
            first = next(v for v in q if v)  # of q and -q, one
            if first > 0 and np.allclose(np.abs(matrix).max(axis=0), 1):
                # R S R^T = (R T)(T^T S T)(R T)^T: column j of T picks the old axis
                found.append((np.array(q), np.abs(matrix).argmax(axis=0).tolist()))
    return found


def _multiply(a: NDArray, b: NDArray) -> NDArray:
    w, x, y, z = a.T
    p, q, r, s = b
    return np.stack(
        [w * p - x * q - y * r - z * s, w * q + x * p + y * s - z * r,
         w * r - x * s + y * p + z * q, w * s + x * r - y * q + z * p],
        axis=1,
    )  # fmt: skip

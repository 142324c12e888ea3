"""Codebooks: the few values that stand for many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import FloatArray

__all__ = ["scalar_codebook", "vector_codebook"]

BLOCK = 32_000_000  # distances held at once


def scalar_codebook(values: NDArray, size: int = 256) -> tuple[FloatArray, NDArray[np.int64]]:
    """At most `size` ascending values and, for each of `values`, the index of the nearest.

    Lloyd's algorithm in one dimension, where the nearest centre is found by bisection; it starts
    from centres placed with the density to the power 1/3, which is optimal for many centres
    (Panter and Dite 1951). Values that differ in at most `size` ways are kept exactly.

    Args:
        values: any shape, finite.
        size: 2 to 65536.

    Returns:
        The codebook [<= size] and indices of the shape of `values`.
    """
    flat = np.asarray(values, np.float64).ravel()
    distinct, inverse = np.unique(flat, return_inverse=True)
    if len(distinct) <= size:
        return distinct.astype(np.float32), inverse.reshape(np.shape(values))
    ordered = np.sort(flat)
    total = np.concatenate([[0], np.cumsum(ordered)])
    # distances between quantiles measure the inverse density
    knots = np.quantile(ordered, np.linspace(0, 1, 4 * size + 1))
    weight = np.cumsum(np.concatenate([[0], np.diff(knots) ** (2 / 3)]))
    centres = np.interp((np.arange(size) + 0.5) / size * weight[-1], weight, knots)
    for _ in range(50):
        edges = np.searchsorted(ordered, 0.5 * (centres[1:] + centres[:-1]))
        edges = np.concatenate([[0], edges, [len(ordered)]])
        count = np.diff(edges)
        mean = (total[edges[1:]] - total[edges[:-1]]) / np.maximum(count, 1)
        moved = np.where(count > 0, mean, centres)
        if np.abs(moved - centres).max() < 1e-7 * (ordered[-1] - ordered[0]):
            break
        centres = moved
    centres = np.sort(centres).astype(np.float32)
    index = np.searchsorted(0.5 * (centres[1:] + centres[:-1]), flat)
    return centres, index.reshape(np.shape(values))


def vector_codebook(
    rows: FloatArray, size: int, passes: int = 6, seed: int = 0
) -> tuple[FloatArray, NDArray[np.int64]]:
    """At most `size` rows that stand for all, and the index [N] of the one nearest to each.

    Rows that differ in at most `size` ways are kept exactly; otherwise k-means from a random start.

    Args:
        rows: shape [N, D], finite.
        size: >= 1.
    """
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    if len(distinct) <= size:
        return distinct, inverse.reshape(-1)
    rng = np.random.default_rng(seed)
    centres = distinct[rng.choice(len(distinct), size, replace=False)]
    for _ in range(passes):
        index = _nearest(rows, centres)
        count = np.bincount(index, minlength=size)
        sums = np.stack([np.bincount(index, column, minlength=size) for column in rows.T], axis=1)
        used = count > 0
        centres[used] = (sums[used] / count[used, None]).astype(np.float32)
        centres[~used] = rows[rng.integers(len(rows), size=int((~used).sum()))]
    return centres, _nearest(rows, centres)


def _nearest(rows: FloatArray, centres: FloatArray) -> NDArray[np.int64]:
    half = 0.5 * (centres**2).sum(axis=1)
    step = max(1, BLOCK // len(centres))
    return np.concatenate(
        [
            (half - rows[start : start + step] @ centres.T).argmin(axis=1)
            for start in range(0, len(rows), step)
        ]
    )

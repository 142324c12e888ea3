"""Whether a panorama that was edited window by window shows where the windows met."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["seam_energy"]


def seam_energy(picture: NDArray[np.floating], borders: Sequence[int], ring: bool = True) -> float:
    """Mean absolute difference of neighbouring columns at `borders`, over that elsewhere; 1 where
    borders are like any other place.

    picture: [H,W,C], also a difference of two pictures. borders: numbers of columns whose left
    edge is a border; 0 is the edge between the last column and the first and counts only in a
    `ring`. NaN without borders or without interior; infinite where the interior is flat and the
    borders are not.
    """
    steps = np.abs(picture - np.roll(picture, 1, axis=1)).mean(axis=(0, 2), dtype=np.float64)
    at = np.zeros(len(steps), np.bool_)
    at[list(borders)] = True
    counted = np.ones_like(at)
    counted[0] = ring
    border, interior = steps[at & counted], steps[~at & counted]
    if not len(border) or not len(interior):
        return float("nan")
    if interior.mean() == 0:
        return 1.0 if border.mean() == 0 else float("inf")
    return float(border.mean() / interior.mean())

"""Positions of splats as an octree, and which of its leaves lie near each other."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from score3d.files.range_coder import Decoder, Encoder, gaussian_start
from score3d.files.splats import FileFormatError

__all__ = ["deinterleave", "get_octree", "interleave", "neighbours", "put_octree"]

WINDOW, NEAREST = 48, 3


def interleave(grid: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    key = np.zeros(len(grid), np.int64)
    for bit in range(bits):
        for axis in range(3):
            key |= (grid[:, axis] >> bit & 1) << (3 * bit + axis)
    return key


def deinterleave(key: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    grid = np.zeros((len(key), 3), np.int64)
    for bit in range(bits):
        for axis in range(3):
            grid[:, axis] |= (key >> (3 * bit + axis) & 1) << bit
    return grid


def put_octree(coder: Encoder, key: NDArray[np.int64], bits: int) -> None:
    """An octree from the root down; a node's context is whether its parent had a single child."""
    single = np.zeros(1, np.int64)
    for level in range(bits, 0, -1):
        child = np.unique(key >> 3 * (level - 1))
        _, first = np.unique(child >> 3, return_index=True)
        occupied = np.add.reduceat(1 << (child & 7), first)
        coder.put(occupied, np.ones(256, np.int64), single)
        single = np.repeat((occupied & (occupied - 1)) == 0, _bits_set(occupied)).astype(np.int64)
    _, held = np.unique(key, return_counts=True)
    while True:  # digits to the base 255, for the leaf that holds thousands
        coder.put(np.minimum(held - 1, 255), gaussian_start(256, 0, 0.5))
        held = held[held > 255] - 255
        if len(held) == 0:
            return


def get_octree(coder: Decoder, n: int, bits: int, name: str) -> NDArray[np.int64]:
    node, single = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for _ in range(bits):
        occupied = coder.get(len(node), np.ones(256, np.int64), single)
        if (occupied == 0).any() or _bits_set(occupied).sum() > n:
            raise FileFormatError(f"{name}: its octree makes no sense")
        present = (occupied[:, None] >> np.arange(8) & 1).astype(bool)
        node = ((node[:, None] << 3) + np.arange(8))[present]
        single = np.repeat((occupied & (occupied - 1)) == 0, _bits_set(occupied)).astype(np.int64)
    held, at = np.ones(len(node), np.int64), np.arange(len(node))
    while len(at):
        digit = coder.get(len(at), gaussian_start(256, 0, 0.5))
        held[at] += np.minimum(digit, 255)
        at = at[digit == 255]
        if held.sum() > n:
            break
    if held.sum() != n:
        raise FileFormatError(f"{name}: its octree holds {held.sum()} splats, expected {n}")
    return np.repeat(node, held)


def _bits_set(values: NDArray) -> NDArray[np.int64]:
    return (values[:, None] >> np.arange(8) & 1).sum(axis=1)


@nb.njit(cache=True)
def neighbours(grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each splat the nearest of the 48 before it, [N, 3], of equals the latest; whole numbers
    only, so that the reader finds the same ones. Early splats repeat the first."""
    result = np.zeros((len(grid), NEAREST), np.int64)
    for i in range(len(grid)):
        far = np.full(NEAREST, 1 << 60)
        for other in range(i - 1, max(i - WINDOW, 0) - 1, -1):
            squared = 0
            for axis in range(3):
                squared += (grid[i, axis] - grid[other, axis]) ** 2
            at = NEAREST
            while at and squared < far[at - 1]:
                at -= 1
            if at < NEAREST:
                far[at + 1 :] = far[at:-1].copy()
                result[i, at + 1 :] = result[i, at:-1].copy()
                far[at], result[i, at] = squared, other
    return result

"""What several splat formats share: packed numbers, orders, and limits on what a file may ask for.

Notation: N splats; quaternions are (w, x, y, z).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import SH_C0, FileFormatError, FloatArray, Splats

__all__ = [
    "ROOM_PER_BYTE",
    "check_room",
    "colour_to_dc",
    "dc_to_colour",
    "decode_json",
    "logit",
    "morton_order",
    "pack_largest_three",
    "require_finite",
    "unpack_largest_three",
]

HALF_ROOT = float(np.sqrt(0.5))
# A file may decode to this many bytes whatever its size, and to a multiple of its size beyond.
# Scenes that compress well stay far below: SOG, the smallest, is about 20 times below floats.
ROOM, ROOM_PER_BYTE = 16_000_000, 100


def check_room(name: str, count: int, bytes_each: int, file_size: int, room: int = ROOM) -> None:
    """Refuse a count of splats that so small a file cannot hold, before memory is spent on it.

    Raises FileFormatError when `count` splats of `bytes_each` bytes once decoded are more than
    `room` (16 MB) and more than 100 times the size of the file: a wrong header or a bomb.
    """
    if count * bytes_each > max(room, ROOM_PER_BYTE * file_size):
        raise FileFormatError(
            f"{name}: the header promises {count} splats, far more than a file of {file_size}"
            " bytes can hold; it is damaged or not to be trusted"
        )


def require_finite(splats: Splats, name: str) -> None:
    """Raise ValueError if a packed format would have to store NaN or infinity."""
    _, dropped = splats.finite()
    if dropped:
        raise ValueError(
            f"{name}: {dropped} splats are not finite, which this format cannot hold;"
            " drop them first (Splats.finite)"
        )


def decode_json(name: str, data: bytes, what: str) -> dict[str, Any]:
    """A JSON object from bytes, or FileFormatError."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise FileFormatError(f"{name}: {what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{name}: {what} is not a JSON object")
    return value


def logit(opacity: NDArray[np.floating]) -> FloatArray:
    """Inverse sigmoid of an opacity in [0, 1], kept within +-13.8 (1e-6 from 0 and 1)."""
    clipped = np.clip(np.asarray(opacity, np.float64), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped)).astype(np.float32)


def colour_to_dc(rgb: NDArray[np.floating]) -> FloatArray:
    """Coefficients of the constant harmonic for colours in [0, 1]."""
    return ((np.asarray(rgb, np.float64) - 0.5) / SH_C0).astype(np.float32)


def dc_to_colour(dc: FloatArray) -> NDArray[np.float64]:
    """The colour 0.5 + Y_0 dc, not clipped."""
    return 0.5 + SH_C0 * dc.astype(np.float64)


def pack_largest_three(
    quats: FloatArray,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Unit quaternions as the index [N] of the largest component and the other three [N, 3].

    The sign is chosen so that the largest is positive, which makes it the root of the rest; the
    three lie in [-sqrt(1/2), sqrt(1/2)], in ascending order of their index. A zero quaternion
    counts as no rotation.
    """
    q = quats.astype(np.float64)
    q[:, 0] += ~q.any(axis=1)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    largest = np.abs(q).argmax(axis=1)
    rows = np.arange(len(q))
    q *= np.where(q[rows, largest] < 0, -1.0, 1.0)[:, None]
    return largest, q[rows[:, None], _others(largest)]


def unpack_largest_three(largest: NDArray[np.integer], three: NDArray[np.floating]) -> FloatArray:
    """Inverse of `pack_largest_three`, shape [N, 4]."""
    q = np.empty((len(three), 4), np.float64)
    rows = np.arange(len(three))
    q[rows[:, None], _others(largest)] = three
    q[rows, largest] = np.sqrt(np.maximum(0, 1 - (np.asarray(three, np.float64) ** 2).sum(1)))
    return q.astype(np.float32)


def _others(largest: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]


def morton_order(means: FloatArray) -> NDArray[np.int64]:
    """Indices [N] that bring neighbours in space together: a Z-order curve of 10 bits an axis."""
    if len(means) == 0:
        return np.empty(0, np.int64)
    low = means.min(axis=0).astype(np.float64)
    extent = np.maximum(means.max(axis=0) - low, np.finfo(np.float32).tiny)
    cell = np.clip((means - low) / extent * 1024, 0, 1023).astype(np.uint64)
    key = np.zeros(len(means), np.uint64)
    for bit in range(10):
        for axis in range(3):
            key |= (cell[:, axis] >> np.uint64(bit) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return np.argsort(key, kind="stable")

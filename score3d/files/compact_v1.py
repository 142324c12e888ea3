"""Reads the first version of .s3z ("S3Z1"): one step for each attribute, whatever the splat."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from score3d.files.octree import NEAREST, deinterleave, get_octree, neighbours
from score3d.files.packing import check_room
from score3d.files.range_coder import Decoder, gaussian_start
from score3d.files.splat_latents import from_ycc
from score3d.files.splats import SH_C0, FileFormatError, Splats

__all__ = ["decode_compact_v1"]

HEAD = struct.Struct("<4sBBBxII")
LARGEST = 4095
ROOM = 4_000_000  # bytes that a small file may decode to; ten times that is used meanwhile
SLICES = (slice(1, 4), slice(4, 9), slice(9, 16))
FIELDS = ("scales", "rotation", "opacity", "colour", "sh1", "sh2", "sh3")


def decode_compact_v1(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .s3z file. Raises FileFormatError; `name` is for it."""
    if len(data) < HEAD.size:
        raise FileFormatError(f"{name}: not a .s3z file, or cut short")
    _, degree, bits, flags, n, crc = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    if zlib.crc32(body) != crc:
        raise FileFormatError(f"{name}: damaged or cut short (its checksum differs)")
    fields = FIELDS[: 4 + degree] if degree <= 3 else ()
    offset = 36 + 14 * len(fields)
    if not fields or not 1 <= bits <= 16 or n < 1 or len(body) < offset:
        raise FileFormatError(f"{name}: its header makes no sense")
    check_room(name, n, 4 * (11 + 3 * (degree + 1) ** 2), len(data), ROOM)
    with np.errstate(invalid="ignore"):  # NaNs of the kind that signals
        numbers = np.frombuffer(body, "<f4", 9).astype(np.float64)
    coder = Decoder(body[offset:], name)
    key = get_octree(coder, n, bits, name)
    grid = deinterleave(key, bits)
    near = neighbours(grid)
    degrees = coder.get(n, np.ones(degree + 1, np.int64)) if degree else np.zeros(n, np.int64)
    values: dict[str, NDArray] = {}
    for i, field in enumerate(fields):
        low, count = struct.unpack_from("<iH", body, 36 + 14 * i)
        mean, deviation = np.frombuffer(body, "<f4", 2, 42 + 14 * i)
        if not (1 <= count <= LARGEST and np.isfinite([mean, deviation]).all() and deviation >= 0):
            raise FileFormatError(f"{name}: the table of {field} makes no sense")
        start = gaussian_start(count, float(mean), float(deviation))
        width = {"scales": 3, "rotation": 3, "opacity": 1, "colour": 3}.get(field)
        rows = n
        if width is None:
            width = 3 * (2 * int(field[2]) + 1)
            rows = int((degrees >= int(field[2])).sum())
        symbols = np.stack([coder.get(rows, start) for _ in range(width)], axis=1) + low
        values[field] = _restored(symbols, near) if flags >> i & 1 else symbols
    with np.errstate(all="ignore"):  # numbers of a damaged file become rows that are not finite
        return _splats(values, degrees, grid, numbers, degree, bits)


def _splats(
    values: dict[str, NDArray],
    degrees: NDArray,
    grid: NDArray,
    numbers: NDArray[np.float64],
    degree: int,
    bits: int,
) -> Splats:
    scales, rotation, opacity, colour, harmonics = numbers[4:]
    vector = values["rotation"] * rotation
    real = np.sqrt(np.maximum(0, 1 - (vector**2).sum(axis=1, keepdims=True)))
    sh = np.zeros((len(grid), (degree + 1) ** 2, 3))
    sh[:, 0] = (from_ycc(values["colour"] * colour) - 0.5) / SH_C0
    for d in range(1, degree + 1):
        chosen = np.flatnonzero(degrees >= d)
        sh[chosen, SLICES[d - 1]] = (values[f"sh{d}"] * harmonics).reshape(len(chosen), -1, 3)
    return Splats(
        (numbers[:3] + grid * (numbers[3] / ((1 << bits) - 1))).astype(np.float32),
        np.concatenate([real, vector], axis=1).astype(np.float32),
        (values["scales"] * scales).astype(np.float32),
        (values["opacity"][:, 0] * opacity).astype(np.float32),
        sh.astype(np.float32),
    )


def _restored(rest: NDArray, near: NDArray) -> NDArray:
    values = rest.copy()
    for i in range(1, len(values)):
        values[i] += values[near[i]].sum(axis=0) // NEAREST
    return values

"""Compact splats (.s3z): quantised, predicted from neighbours, and arithmetic-coded.

    header   "S3Z1", SH degree, bits of position, flags of prediction, count, CRC-32 of the rest;
             then float32: corner and size of the cube of positions, the step of each attribute,
             and for each attribute the least symbol, the number of symbols, mean and deviation
    body     occupancy of an octree (one byte a node, two contexts), how many splats a leaf holds,
             then for each attribute its symbols in Z-order

Attributes are log scales, rotation, opacity (a logit), colour (as Y, Cg, Co) and the harmonics of
each degree; a splat says up to which degree it has any. Of the 24 ways to write one ellipsoid
(permuted axes, flipped signs) that with the smallest rotation is kept, so that the vector part of
the quaternion is short. Colours and scales may be coded as differences from the mean of the three
nearest of the 48 splats before.

Axes are those of our world.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import atomic_write
from score3d.files.packing import check_room, require_finite
from score3d.files.range_coder import Decoder, Encoder, gaussian_start
from score3d.files.splats import SH_C0, FileFormatError, FloatArray, Splats

__all__ = ["Steps", "decode_compact", "encode_compact", "write_compact"]

MAGIC = b"S3Z1"
HEAD = struct.Struct("<4sBBBxII")
LARGEST = 4095  # symbols of one attribute; values beyond +-2000 steps are cut off there
WINDOW, NEAREST = 48, 3
SLICES = (slice(1, 4), slice(4, 9), slice(9, 16))
FIELDS = ("scales", "rotation", "opacity", "colour", "sh1", "sh2", "sh3")
PREDICTED = ("scales", "colour")


@dataclass(frozen=True)
class Steps:
    """How coarsely each attribute is stored.

    position: bits an axis, 1 to 16. scales: of ln. rotation: of the vector part of the unit
    quaternion. opacity: of the logit. colour: of rgb. harmonics: of coefficients; splats whose
    coefficients of a degree all round to zero do without it.
    """

    position: int = 11
    scales: float = 0.2
    rotation: float = 0.08
    opacity: float = 0.4
    colour: float = 0.03
    harmonics: float = 0.06


def write_compact(path: str | Path, splats: Splats, steps: Steps | None = None) -> None:
    """Write `encode_compact` as a file, atomically. Raises ValueError, OSError."""
    data = encode_compact(splats, steps or Steps())
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def encode_compact(splats: Splats, steps: Steps) -> bytes:
    """The bytes of a .s3z file. Raises ValueError: not finite, or none."""
    require_finite(splats, "compact splats")
    if len(splats) == 0:
        raise ValueError("compact splats: there must be at least one")
    corner = splats.means.min(axis=0)
    size = float(max((splats.means - corner).max(), 1e-9))
    cells = (1 << steps.position) - 1
    grid = np.round((splats.means - corner) / np.float64(size) * cells).astype(np.int64)
    key = _interleave(grid, steps.position)
    order = np.argsort(key, kind="stable")
    key, grid, splats = key[order], grid[order], splats.select(order)
    coder = Encoder()
    _put_positions(coder, key, steps.position)
    near = _neighbours(grid)
    values, degrees = _quantised(splats, steps)
    flags, described = 0, []
    jobs: list[tuple[NDArray, NDArray]] = []
    for i, name in enumerate(FIELDS[: 4 + splats.sh_degree]):
        symbols = values[name]
        if name in PREDICTED:
            rest = symbols - _predicted(symbols, near)
            if _spread(rest) < _spread(symbols) and np.ptp(rest) < LARGEST:
                symbols, flags = rest, flags | 1 << i
        if name.startswith("sh"):
            symbols = symbols[degrees >= int(name[2])]
        low = int(symbols.min(initial=0))
        count = int(symbols.max(initial=0)) - low + 1
        table = np.array([symbols.mean() - low if symbols.size else 0, symbols.std()], "<f4")
        described.append(struct.pack("<iH", low, count) + table.tobytes())
        start = gaussian_start(count, float(table[0]), float(table[1]))
        jobs.append((symbols - low, start))
    if splats.sh_degree:
        coder.put(degrees, np.ones(splats.sh_degree + 1, np.int64))
    for symbols, start in jobs:
        for column in symbols.T:  # each component learns a table of its own
            coder.put(column, start)
    sizes = [steps.scales, steps.rotation, steps.opacity, steps.colour, steps.harmonics]
    body = np.array([*corner, size, *sizes], "<f4").tobytes() + b"".join(described) + coder.bytes()
    head = HEAD.pack(MAGIC, splats.sh_degree, steps.position, flags, len(splats), zlib.crc32(body))
    return head + body


def decode_compact(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .s3z file. Raises FileFormatError; `name` is for it."""
    if len(data) < HEAD.size or data[:4] != MAGIC:
        raise FileFormatError(f"{name}: not a .s3z file, or cut short")
    _, degree, bits, flags, n, crc = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    if zlib.crc32(body) != crc:
        raise FileFormatError(f"{name}: damaged or cut short (its checksum differs)")
    fields = FIELDS[: 4 + degree] if degree <= 3 else ()
    offset = 36 + 14 * len(fields)
    if not fields or not 1 <= bits <= 16 or n < 1 or len(body) < offset:
        raise FileFormatError(f"{name}: its header makes no sense")
    check_room(name, n, 4 * (11 + 3 * (degree + 1) ** 2), len(data))
    numbers = np.frombuffer(body, "<f4", 9).astype(np.float64)
    coder = Decoder(body[offset:])
    key = _get_positions(coder, n, bits, name)
    grid = _deinterleave(key, bits)
    near = _neighbours(grid)
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
    sh[:, 0] = _from_ycc(values["colour"] * colour)
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


def _quantised(splats: Splats, steps: Steps) -> tuple[dict[str, NDArray], NDArray]:
    """Whole numbers by attribute, [N, width], and the SH degree of each splat [N]."""
    quats, scales = _smallest_rotation(splats)
    values = {
        "scales": np.clip(scales, -20, 20) / steps.scales,
        "rotation": quats[:, 1:] / steps.rotation,
        "opacity": np.clip(splats.logit_opacities, -12, 12)[:, None] / steps.opacity,
        "colour": _to_ycc(splats.sh[:, 0]) / steps.colour,
    }
    degrees = np.zeros(len(splats), np.int64)
    for d in range(1, splats.sh_degree + 1):
        part = splats.sh[:, SLICES[d - 1]].reshape(len(splats), -1) / steps.harmonics
        values[f"sh{d}"] = part
        degrees = np.where(np.round(part).any(axis=1), d, degrees)
    return {k: np.round(v).clip(-2000, 2000).astype(np.int64) for k, v in values.items()}, degrees


def _smallest_rotation(splats: Splats) -> tuple[NDArray, NDArray]:
    """Of the 24 rotations that, with their scales permuted, describe the same ellipsoid, the one
    nearest to none: unit quaternions [N, 4] with a positive real part, and log scales [N, 3]."""
    q = splats.quats.astype(np.float64)
    q[:, 0] += ~q.any(axis=1)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    best = np.full(len(q), -1.0)
    quats, scales = q.copy(), splats.log_scales.astype(np.float64).copy()
    for turn, order in _cube_turns():
        product = _multiply(q, turn)
        better = np.abs(product[:, 0]) > best + 1e-12
        best = np.where(better, np.abs(product[:, 0]), best)
        quats[better] = product[better] * np.where(product[better, :1] < 0, -1, 1)
        scales[better] = splats.log_scales[better][:, order]
    return quats, scales


def _cube_turns() -> list[tuple[NDArray, list[int]]]:
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


def _to_ycc(dc: FloatArray) -> NDArray[np.float64]:
    red, green, blue = (0.5 + SH_C0 * dc.astype(np.float64)).clip(-2, 3).T
    return np.stack(
        [0.25 * red + 0.5 * green + 0.25 * blue, green / 2 - (red + blue) / 4, (red - blue) / 2],
        axis=1,
    )


def _from_ycc(ycc: NDArray) -> NDArray[np.float64]:
    y, green, orange = ycc.T
    rgb = np.stack([y - green + orange, y + green, y - green - orange], axis=1)
    return (rgb - 0.5) / SH_C0


def _interleave(grid: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    key = np.zeros(len(grid), np.int64)
    for bit in range(bits):
        for axis in range(3):
            key |= (grid[:, axis] >> bit & 1) << (3 * bit + axis)
    return key


def _deinterleave(key: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    grid = np.zeros((len(key), 3), np.int64)
    for bit in range(bits):
        for axis in range(3):
            grid[:, axis] |= (key >> (3 * bit + axis) & 1) << bit
    return grid


def _put_positions(coder: Encoder, key: NDArray[np.int64], bits: int) -> None:
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


def _get_positions(coder: Decoder, n: int, bits: int, name: str) -> NDArray[np.int64]:
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


def _neighbours(grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each splat the nearest of those before it, [N, 3]; whole numbers only, so that the
    reader finds the same ones. Early splats repeat the first."""
    n = len(grid)
    result = np.zeros((n, NEAREST), np.int64)
    back = np.arange(1, WINDOW + 1)
    for start in range(0, n, 20_000):
        at = np.arange(start, min(start + 20_000, n))
        other = at[:, None] - back
        squared = ((grid[at][:, None] - grid[np.maximum(other, 0)]) ** 2).sum(axis=2)
        squared[other < 0] = 1 << 60
        chosen = np.argsort(squared, axis=1, kind="stable")[:, :NEAREST]
        result[at] = np.maximum(np.take_along_axis(other, chosen, axis=1), 0)
    return result


def _predicted(symbols: NDArray, near: NDArray) -> NDArray:
    """The rounded-down mean of the neighbours; of the first splat, zero."""
    mean = symbols[near].sum(axis=1) // NEAREST
    mean[0] = 0
    return mean


def _restored(rest: NDArray, near: NDArray) -> NDArray:
    values = rest.copy()
    for i in range(1, len(values)):
        values[i] += values[near[i]].sum(axis=0) // NEAREST
    return values


def _spread(symbols: NDArray) -> float:
    """About the entropy of the columns, up to a constant."""
    return float(np.log(symbols.std(axis=0) + 0.3).sum())

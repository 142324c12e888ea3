"""Compact splats (.s3z): quantised, predicted from neighbours, and arithmetic-coded.

    header   "S3Z2", SH degree, depth of the octree, flags of prediction, half octaves of position,
             count, CRC-32 of the rest; then float32: corner and size of the cube of positions, the
             common step of each attribute; int16: the law of steps (see splat_latents); and for
             each group of attributes the least symbol, the number of symbols, mean and deviation
    body     occupancy of an octree (one byte a node, two contexts), how many splats a leaf holds,
             opacities, scales, further bits of positions, rotations, colours, and harmonics, each
             component in Z-order with a table of its own

How fine an attribute is depends on the opacity and the sizes of the splat. A splat says up to which
degree it has harmonics; the encoder drops those that cost more bits than they save error. Colours
and scales may be coded as differences from the mean of the three nearest of the 48 splats before.

Axes are those of our world. Files of the first version ("S3Z1") are read by compact_v1.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numba as nb
import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import atomic_write
from score3d.files.octree import deinterleave, get_octree, interleave, neighbours, put_octree
from score3d.files.packing import ROOM_PER_BYTE, check_room, require_finite
from score3d.files.range_coder import Decoder, Encoder, gaussian_start
from score3d.files.splat_latents import (
    LAW,
    SYMBOLS,
    Latents,
    Law,
    centred,
    features,
    finer,
    step_sizes,
)
from score3d.files.splats import FileFormatError, Splats

__all__ = ["Quantised", "Steps", "decode_compact", "encode_compact", "quantise", "write_compact"]

MAGIC = b"S3Z2"
HEAD = struct.Struct("<4sBBBBII")
TABLE = struct.Struct("<hHee")
FIXED = 4 * 9 + 2 * 5 * 6  # bytes of the corner, size, common steps, and the law
COMMON = ("scales", "rotation", "opacity", "colour", "harmonics")
TABLE_BITS = 11  # of a symbol have a table; those below come as they are
ROOM = 4_000_000  # bytes that a small file may decode to; ten times that is used meanwhile
DEEPEST = 20  # bits of position an axis
PREDICTED = ("scales", "colour")
SLICES = (slice(0, 3), slice(3, 8), slice(8, 15))
EVEN = np.array([2000, 2000])
# With the best step s = sqrt(6 lambda / (h ln 2)), an error of e steps costs this times e^2 bits.
BITS_PER_SQUARE = 6 / np.log(2)


@dataclass(frozen=True)
class Steps:
    """How coarsely each attribute of a typical splat is stored; `law` says how others differ.

    position: bits an axis, 1 to 20. scales: of ln. rotation: of the vector part of the unit
    quaternion. opacity: of the logit, the same for all splats. colour: of rgb. harmonics: of
    coefficients. law: without one, the usual exponents. cube: corner and size of the cube that
    positions are counted in, [4]; without one, the smallest.
    """

    position: float = 11
    scales: float = 0.2
    rotation: float = 0.08
    opacity: float = 0.4
    colour: float = 0.03
    harmonics: float = 0.06
    law: Law | None = None
    cube: NDArray | None = None


@dataclass
class Quantised:
    """Whole numbers of steps of N splats, and the latents that they stand for.

    symbols: [N, width] by attribute, of harmonics [N, 2 d + 1, 3] as "sh1", ...; sizes: the step of
    each splat [N] by attribute. degrees: SH degree [N]. needed: bits of position [N], at least
    `depth`; grid: the cell of so many bits [N, 3]."""

    symbols: dict[str, NDArray[np.int64]]
    sizes: dict[str, NDArray[np.float64]]
    degrees: NDArray[np.int64]
    depth: int
    needed: NDArray[np.int64]
    grid: NDArray[np.int64]
    cube: NDArray[np.float64]
    law: Law
    latents: Latents

    @property
    def leaf(self) -> NDArray[np.int64]:
        """The leaf of the octree that each splat is in, [N, 3]."""
        return self.grid >> (self.needed - self.depth)[:, None]


def write_compact(path: str | Path, splats: Splats, steps: Steps | None = None) -> None:
    """Write `encode_compact` as a file, atomically. Raises ValueError, OSError."""
    data = encode_compact(splats, steps or Steps())
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def quantise(values: Latents, steps: Steps, degrees: NDArray[np.int64] | None = None) -> Quantised:
    """Round to steps. Without `degrees`, a splat keeps the degree of harmonics that is worth its
    bits."""
    cube = np.asarray(steps.cube if steps.cube is not None else _cube(values.position), "<f4")
    cube = cube.astype(np.float64)
    common = _common(steps)
    symbols = {"opacity": _whole(values.opacity[:, None] / common["opacity"])}
    opacity = symbols["opacity"][:, 0] * common["opacity"]
    law = steps.law if steps.law is not None else centred(LAW, opacity, values.scales)
    sizes = {"opacity": np.full(len(opacity), common["opacity"])}
    sizes["scales"] = step_sizes(law, "scales", common["scales"], opacity)
    symbols["scales"] = _whole(values.scales / sizes["scales"][:, None])
    scales = symbols["scales"] * sizes["scales"][:, None]
    found = features(opacity, scales)
    needed = _needed(law, round(2 * steps.position), found)
    depth = int(np.clip(np.quantile(needed, 0.02), 1, 16))
    needed = np.maximum(needed, depth)
    grid = np.floor((values.position - cube[:3]) / cube[3] * 2.0 ** needed[:, None])
    grid = np.clip(grid, 0, 2.0 ** needed[:, None] - 1).astype(np.int64)
    for name in ("rotation", "colour", "harmonics"):
        sizes[name] = step_sizes(law, name, common[name], opacity, scales)
    for name in ("rotation", "colour"):
        symbols[name] = _whole(getattr(values, name) / sizes[name][:, None])
    wanted = values.harmonics / sizes["harmonics"][:, None, None]
    harmonics = _whole(wanted)
    if degrees is None:
        degrees = _worth(wanted, harmonics)
    for d in range(values.degree):
        harmonics[degrees <= d, SLICES[d]] = 0
        symbols[f"sh{d + 1}"] = harmonics[:, SLICES[d]]
    latents = Latents(
        _centres(grid, needed, cube),
        opacity,
        scales,
        symbols["rotation"] * sizes["rotation"][:, None],
        symbols["colour"] * sizes["colour"][:, None],
        harmonics * sizes["harmonics"][:, None, None],
    )
    return Quantised(symbols, sizes, degrees, depth, needed, grid, cube, law, latents)


def encode_compact(splats: Splats | Latents, steps: Steps) -> bytes:
    """The bytes of a .s3z file. Raises ValueError: not finite, or none."""
    if isinstance(splats, Splats):
        require_finite(splats, "compact splats")
        splats = Latents.of(splats)
    if len(splats.position) == 0:
        raise ValueError("compact splats: there must be at least one")
    q = quantise(splats, steps)
    order, near = neighbours_in_order(q)
    key = interleave(q.leaf[order], q.depth)
    symbols = {name: values[order] for name, values in q.symbols.items()}
    degrees, flags = q.degrees[order], 0
    for bit, name in enumerate(PREDICTED):
        expected = predictions(symbols[name], q.sizes[name][order], near)
        if cheaper_predicted(symbols[name], expected):
            symbols[name], flags = symbols[name] - expected, flags | 1 << bit
    coder, tables = Encoder(), []

    def put(block: NDArray) -> None:
        """Components that begin with the same table, and each learn one."""
        low = int(block.min(initial=0))
        count = int(block.max(initial=0)) - low + 1
        high = (block - low) >> _plain_bits(count)
        mean, deviation = (high.mean(), high.std()) if block.size else (0.0, 0.0)
        tables.append(TABLE.pack(low, count, mean, deviation))
        _, start, plain = _table(tables[-1], "")
        for column, rest in zip(high.T, (block - low).T, strict=True):
            coder.put(column, start)
            if plain:
                coder.put(rest & ((1 << plain) - 1), np.ones(1 << plain, np.int64))

    put_octree(coder, key, q.depth)
    put(symbols["opacity"])
    put(symbols["scales"])
    _put_bits(coder, q.grid[order], (q.needed - q.depth)[order])
    put(symbols["rotation"])
    put(symbols["colour"])
    degree = q.latents.degree
    if degree:
        coder.put(degrees, np.ones(degree + 1, np.int64))
    for d in range(1, degree + 1):
        for channel in range(3):
            put(symbols[f"sh{d}"][degrees >= d, :, channel])
    numbers = np.array([*q.cube, *_common(steps).values()], "<f4")
    body = b"".join([numbers.tobytes(), q.law.astype("<i2").tobytes(), *tables, coder.bytes()])
    most = len(order) * _floats(degree)
    if most > ROOM:  # no file is so small that its reader takes it for a bomb
        body = body.ljust(most // ROOM_PER_BYTE, b"\0")
    return HEAD.pack(MAGIC, degree, q.depth, flags, round(2 * steps.position), len(order),
                     zlib.crc32(body)) + body  # fmt: skip


def decode_compact(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .s3z file. Raises FileFormatError; `name` is for it."""
    if data[:4] == b"S3Z1":
        from score3d.files.compact_v1 import decode_compact_v1

        return decode_compact_v1(data, name)
    if len(data) < HEAD.size or data[:4] != MAGIC:
        raise FileFormatError(f"{name}: not a .s3z file, or cut short")
    _, degree, depth, flags, halves, n, crc = HEAD.unpack_from(data)
    body = data[HEAD.size :]
    if zlib.crc32(body) != crc:
        raise FileFormatError(f"{name}: damaged or cut short (its checksum differs)")
    offset = FIXED + TABLE.size * (4 + 3 * degree)
    if degree > 3 or not 1 <= depth <= 16 or n < 1 or len(body) < offset:
        raise FileFormatError(f"{name}: its header makes no sense")
    check_room(name, n, _floats(degree), len(data), ROOM)
    with np.errstate(invalid="ignore"):  # NaNs of the kind that signals
        numbers = np.frombuffer(body, "<f4", 9).astype(np.float64)
    if not (np.isfinite(numbers).all() and (numbers[3:] > 0).all()):
        raise FileFormatError(f"{name}: its header makes no sense")
    law = np.frombuffer(body, "<i2", 30, 36).reshape(5, 6)
    common: dict[str, float] = dict(zip(COMMON, numbers[4:], strict=True))
    coder = Decoder(body[offset:], name)
    tables = (body[i : i + TABLE.size] for i in range(FIXED, offset, TABLE.size))

    def get(rows: int, width: int) -> NDArray[np.int64]:
        low, start, plain = _table(next(tables), name)
        found = np.full((rows, width), low, np.int64)
        for column in found.T:
            column += coder.get(rows, start) << plain
            if plain:
                column += coder.get(rows, np.ones(1 << plain, np.int64))
        return found

    def scaled(kind: str, width: int) -> NDArray[np.float64]:
        size, symbols = step_sizes(law, kind, common[kind], *known), get(n, width)
        if kind in PREDICTED and flags >> PREDICTED.index(kind) & 1:
            symbols = _restored(symbols, size, near)
        return symbols * size[:, None]

    with np.errstate(all="ignore"):  # numbers of a damaged file become rows that are not finite
        leaf = deinterleave(get_octree(coder, n, depth, name), depth)
        near = neighbours(leaf)
        known = [get(n, 1)[:, 0] * common["opacity"]]
        known.append(scaled("scales", 3))
        needed = np.maximum(_needed(law, halves, features(*known)), depth)
        grid = _get_bits(coder, leaf, needed - depth)
        rotation, colour = scaled("rotation", 3), scaled("colour", 3)
        degrees = coder.get(n, np.ones(degree + 1, np.int64)) if degree else np.zeros(n, np.int64)
        harmonics = np.zeros((n, (degree + 1) ** 2 - 1, 3))
        size = step_sizes(law, "harmonics", common["harmonics"], *known)
        for d in range(1, degree + 1):
            chosen = np.flatnonzero(degrees >= d)
            part = np.stack([get(len(chosen), 2 * d + 1) for _ in range(3)], axis=2)
            harmonics[chosen, SLICES[d - 1]] = part * size[chosen, None, None]
        position = _centres(grid, needed, numbers[:4])
        return Latents(position, known[0], known[1], rotation, colour, harmonics).splats()


def _floats(degree: int) -> int:
    """Bytes of a splat in float32."""
    return 4 * (11 + 3 * (degree + 1) ** 2)


def _table(described: bytes, name: str) -> tuple[int, NDArray[np.int64], int]:
    """The least symbol, the frequencies to begin with, and how many bits have no table."""
    low, count, mean, deviation = TABLE.unpack(described)
    if not (count and np.isfinite([mean, deviation]).all() and deviation >= 0):
        raise FileFormatError(f"{name}: a table makes no sense")
    plain = _plain_bits(count)
    return low, gaussian_start(((count - 1) >> plain) + 1, mean, deviation), plain


def _plain_bits(count: int) -> int:
    return max(0, (count - 1).bit_length() - TABLE_BITS)


def _common(steps: Steps) -> dict[str, float]:
    """The steps as the file has them; that of opacities fine enough for SYMBOLS at most."""
    found = {name: float(np.float32(getattr(steps, name))) for name in COMMON}
    return found | {"opacity": max(found["opacity"], float(np.float32(12.5 / SYMBOLS)))}


def _cube(position: NDArray) -> NDArray:
    corner = position.min(axis=0)
    return np.append(corner, max((position - corner).max(), 1e-9))


def _whole(values: NDArray) -> NDArray[np.int64]:
    return np.round(values).clip(-SYMBOLS, SYMBOLS).astype(np.int64)


def _needed(law: Law, halves: int, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of position an axis [N]; `halves` are the half octaves of the typical splat."""
    return ((halves + finer(law, "position", found)) >> 1).clip(1, DEEPEST)


def _centres(grid: NDArray, needed: NDArray, cube: NDArray) -> NDArray[np.float64]:
    return cube[:3] + cube[3] * (grid + 0.5) / 2.0 ** needed[:, None]


def _worth(wanted: NDArray, rounded: NDArray) -> NDArray[np.int64]:
    """SH degree of each splat [N] by which bits and error, at the exchange rate that the steps
    imply, are least; `wanted` and `rounded` [N, K, 3] are in steps."""
    n = len(wanted)
    saved = wanted**2 - (wanted - rounded) ** 2
    best, degrees, total = np.zeros(n), np.zeros(n, np.int64), np.zeros(n)
    for d in (d for d in range(1, 4) if SLICES[d - 1].start < wanted.shape[1]):
        used = rounded[:, SLICES[d - 1]]
        active = used.any(axis=(1, 2))
        if not active.any():
            break
        bits = np.zeros(n)
        for channel in range(3):
            values, at = np.unique(used[..., channel], return_inverse=True)
            counted = used[active][..., channel].ravel()
            share = np.array([(counted == v).sum() + 0.1 for v in values])
            bits -= np.log2(share / share.sum())[at].reshape(n, -1).sum(axis=1)
        total += bits - BITS_PER_SQUARE * saved[:, SLICES[d - 1]].sum(axis=(1, 2))
        degrees[total < best] = d
        best = np.minimum(best, total)
    return degrees


def _put_bits(coder: Encoder, grid: NDArray[np.int64], extra: NDArray[np.int64]) -> None:
    """The last `extra` [N] bits of each coordinate, which nothing foretells."""
    for bit in range(int(extra.max(initial=0))):
        coder.put((grid[extra > bit] >> bit & 1).ravel(), EVEN)


def _get_bits(
    coder: Decoder, leaf: NDArray[np.int64], extra: NDArray[np.int64]
) -> NDArray[np.int64]:
    grid = leaf << extra[:, None]
    for bit in range(int(extra.max(initial=0))):
        chosen = extra > bit
        grid[chosen] |= coder.get(3 * int(chosen.sum()), EVEN).reshape(-1, 3) << bit
    return grid


def predictions(
    symbols: NDArray[np.int64], sizes: NDArray[np.float64], near: NDArray[np.int64]
) -> NDArray[np.int64]:
    """What the neighbours' mean is in steps of each splat; of the first, zero."""
    values = symbols * sizes[:, None]
    a, b, c = values[near.T]
    found = np.round((a + b + c) / 3 / sizes[:, None]).clip(-SYMBOLS, SYMBOLS).astype(np.int64)
    found[0] = 0
    return found


@nb.njit(cache=True)
def _restored(
    rest: NDArray[np.int64], sizes: NDArray[np.float64], near: NDArray[np.int64]
) -> NDArray[np.int64]:
    symbols = rest.copy()
    values = np.empty(rest.shape)
    for i in range(len(rest)):
        for j in range(rest.shape[1]):
            if i:
                a, b, c = values[near[i, 0], j], values[near[i, 1], j], values[near[i, 2], j]
                found = np.round((a + b + c) / 3 / sizes[i])
                symbols[i, j] += np.int64(min(max(found, -SYMBOLS), SYMBOLS))
            values[i, j] = symbols[i, j] * sizes[i]
    return symbols


def neighbours_in_order(q: Quantised) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of the file [N], and in it the neighbours of each splat [N, 3]."""
    order = np.argsort(interleave(q.leaf, q.depth), kind="stable")
    return order, neighbours(q.leaf[order])


def cheaper_predicted(symbols: NDArray[np.int64], expected: NDArray[np.int64]) -> bool:
    """Whether differences from the predictions, both [N, width], cost fewer bits."""
    rest = symbols - expected
    entropy = [np.log(x.std(axis=0) + 0.3).sum() for x in (rest, symbols)]  # up to a constant
    return bool(entropy[0] < entropy[1] and np.ptp(rest) < 65535)

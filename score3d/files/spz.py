"""SPZ, versions 2 to 4: quantised splats, about ten times smaller than float PLY.

    version 4      32-byte header, table of (compressed, raw) sizes, one Zstandard stream for each
                   of positions, opacities, colours, scales, rotations and, if any, harmonics
    versions 2, 3  16-byte header and the same arrays in the same order, all in one gzip stream

    positions   3 x 24-bit signed, in units of 2^-fractional_bits
    opacities   uint8 of 255 sigmoid
    colours     3 x uint8: 0.15 * 255 dc + 127.5, which leaves room beyond [0, 1]
    scales      3 x uint8: 16 (ln s + 10)
    rotations   3, 4: uint32, largest three: 2 bits index of the largest of (x, y, z, w), then for
                each of the others a sign and 9 bits of its size over sqrt(1/2); 2: x, y, z as uint8
    harmonics   uint8, 128 is zero, coefficient-major with rgb inside (PLY is channel-major)

Axes: the file does not say, and tools disagree. The format's README has +y up ("rub": right, up,
back), while its own PLY converter and splat-transform 3 store what the PLY held, y down ("ply").
The latter is the default here, since it is what most converted files are.

Source: https://github.com/nianticlabs/spz (format description in its README).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import atomic_write
from score3d.files.packing import (
    HALF_ROOT,
    check_room,
    logit,
    pack_largest_three,
    require_finite,
    unpack_largest_three,
)
from score3d.files.splats import FileFormatError, FloatArray, Splats, half_turn

__all__ = ["SPZ_AXES", "decode_spz", "write_spz"]

SPZ_AXES = ("ply", "rub")

MAGIC = 0x5053474E
COLOUR_SCALE = 0.15
HEADER, HEADER_4 = struct.Struct("<IIIBBBB"), struct.Struct("<IIIBBBBI12x")
COEFFICIENTS = (0, 3, 8, 15)
# bits kept of a harmonic of degree 1, and of higher ones, as the format's own encoder does
FIRST_BITS, HIGHER_BITS = 5, 4


def write_spz(path: str | Path, splats: Splats, version: int = 4, axes: str = "ply") -> None:
    """Write splats as SPZ, atomically.

    Args:
        path: the file; replaced if it exists.
        splats: N finite splats, |position| below 2^23.
        version: 4, or 3 for readers that know gzip only.
        axes: "ply" or "rub", see above.

    Raises:
        ValueError: another version, or values that the format cannot hold.
        OSError: the file cannot be written.
    """
    require_finite(splats, str(path))
    if version not in (3, 4):
        raise ValueError(f"SPZ version {version}: 3 and 4 are written")
    splats = _turned(splats, axes)
    n, degree = len(splats), splats.sh_degree
    reach = float(np.abs(splats.means).max(initial=0))
    if reach >= 1 << 23:
        raise ValueError(f"{path}: a position of {reach:.3g} is too far out for SPZ (2^23)")
    # 12 bits is what every encoder uses; a very small or very large scene needs others
    bits = 12
    while bits > 0 and reach * (1 << bits) >= (1 << 23) - 1:
        bits -= 1
    while bits < 20 and 0 < reach * (1 << bits) < 512:
        bits += 1
    fixed = np.round(splats.means.astype(np.float64) * (1 << bits)).astype("<i4")
    arrays = [
        fixed.view(np.uint8).reshape(n, 3, 4)[:, :, :3],
        _byte(255 * splats.opacities),
        _byte(splats.sh[:, 0] * (COLOUR_SCALE * 255) + 127.5),
        _byte((splats.log_scales + 10) * 16),
        _pack_rotations(splats.quats),
    ]
    if degree:
        arrays.append(_pack_harmonics(splats.sh[:, 1:]))
    raw = [np.ascontiguousarray(array).tobytes() for array in arrays]
    if version == 3:
        gzip = zlib.compressobj(9, wbits=31)
        body = HEADER.pack(MAGIC, 3, n, degree, bits, 0, 0) + b"".join(raw)
        data = gzip.compress(body) + gzip.flush()
    else:
        import zstandard

        streams = [zstandard.ZstdCompressor(level=19).compress(part) for part in raw]
        data = HEADER_4.pack(MAGIC, 4, n, degree, bits, 0, len(streams), HEADER_4.size)
        for stream, part in zip(streams, raw, strict=True):
            data += struct.pack("<QQ", len(stream), len(part))
        data += b"".join(streams)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def decode_spz(data: bytes, name: str, axes: str = "ply") -> Splats:
    """Splats from the bytes of an SPZ file. Raises FileFormatError; `name` is for it."""
    return _turned(_decode(data, name), axes)


def _turned(splats: Splats, axes: str) -> Splats:
    """From our world to the axes of the file, or back, which is the same."""
    if axes not in SPZ_AXES:
        raise ValueError(f"SPZ axes {axes!r}; known: {', '.join(SPZ_AXES)}")
    return half_turn(splats) if axes == "ply" else splats


def _decode(data: bytes, name: str) -> Splats:
    if data[:2] == b"\x1f\x8b":
        return _decode_gzip(data, name)
    if len(data) < HEADER_4.size:
        raise FileFormatError(f"{name}: not an SPZ file, or cut short")
    magic, version, n, degree, bits, _, count, table = HEADER_4.unpack_from(data)
    if magic != MAGIC:
        raise FileFormatError(f"{name}: not an SPZ file (it does not begin with NGSP)")
    if version != 4:
        raise FileFormatError(f"{name}: SPZ version {version} outside gzip; 2, 3 and 4 are read")
    sizes = _sizes(name, n, degree, 4, len(data))
    if count < len(sizes) or table < HEADER_4.size or table + 16 * count > len(data):
        raise FileFormatError(f"{name}: the table of {count} streams does not fit; cut short?")
    offset, parts = table + 16 * count, []
    for i, size in enumerate(sizes):
        packed, raw = struct.unpack_from("<QQ", data, table + 16 * i)
        if raw != size or packed > len(data) - offset:
            raise FileFormatError(
                f"{name}: stream {i} has {raw} bytes ({packed} packed), expected {size};"
                " the file is cut short or damaged"
            )
        parts.append(_zstd(data[offset : offset + packed], size, name))
        offset += packed
    return _assemble(parts, n, degree, bits, 4)


def _decode_gzip(data: bytes, name: str) -> Splats:
    stream = zlib.decompressobj(wbits=31)
    take: Callable[[int], bytes] = lambda size: _inflate(stream, data, size, name)  # noqa: E731
    head = take(HEADER.size)
    magic, version, n, degree, bits, _, _ = HEADER.unpack(head)
    if magic != MAGIC:
        raise FileFormatError(f"{name}: a gzip file, but not SPZ inside")
    if version not in (2, 3):
        raise FileFormatError(f"{name}: SPZ version {version} in gzip; 2 and 3 are read")
    sizes = _sizes(name, n, degree, version, len(data))
    body = take(sum(sizes))
    cuts = np.cumsum([0, *sizes])
    parts = [body[a:b] for a, b in pairwise(cuts)]
    return _assemble(parts, n, degree, bits, version)


def _inflate(stream: zlib._Decompress, data: bytes, size: int, name: str) -> bytes:
    """The next `size` bytes of a gzip stream and no more."""
    source = stream.unconsumed_tail or (b"" if stream.eof else data)
    try:
        out = stream.decompress(source, size) if size else b""
    except zlib.error:
        raise FileFormatError(f"{name}: damaged gzip data") from None
    if len(out) < size:
        raise FileFormatError(f"{name}: the gzip data end too early; the file is cut short")
    return out


def _zstd(packed: bytes, size: int, name: str) -> bytes:
    """A Zstandard stream that must hold just `size` bytes."""
    import zstandard

    try:
        # a window larger than the content is never needed; it is memory before the first byte
        limit = max(size, 1 << 10)
        reader = zstandard.ZstdDecompressor(max_window_size=_window(limit)).stream_reader(packed)
        out = reader.read(size + 1)
    except (zstandard.ZstdError, MemoryError):
        raise FileFormatError(f"{name}: damaged Zstandard data") from None
    if len(out) != size:
        raise FileFormatError(f"{name}: a stream holds {len(out)} bytes or more, expected {size}")
    return out


def _window(size: int) -> int:
    """A power of two that holds `size`, within what Zstandard accepts, and its default at least."""
    return 1 << min(max((size - 1).bit_length(), 23), 27)


def _sizes(name: str, n: int, degree: int, version: int, file_size: int) -> list[int]:
    if degree > 3:
        raise FileFormatError(f"{name}: SH degree {degree}; 0 to 3 are read")
    sizes = [9 * n, n, 3 * n, 3 * n, (4 if version >= 3 else 3) * n]
    if degree:
        sizes.append(3 * COEFFICIENTS[degree] * n)
    check_room(name, n, 4 * (14 + 3 * COEFFICIENTS[degree]), file_size)
    return sizes


def _assemble(parts: list[bytes], n: int, degree: int, bits: int, version: int) -> Splats:
    position, alpha, colour, scale, rotation = (
        np.frombuffer(part, np.uint8).reshape(n, -1) if n else np.empty((0, width), np.uint8)
        for part, width in zip(parts[:5], (9, 1, 3, 3, 4 if version >= 3 else 3), strict=True)
    )
    wide = np.zeros((n, 3, 4), np.uint8)
    wide[:, :, 1:] = position.reshape(n, 3, 3)  # in the top bytes, so that the shift keeps the sign
    fixed = wide.view("<i4")[:, :, 0] >> 8
    sh = ((colour / 255 - 0.5) / COLOUR_SCALE).astype(np.float32)[:, None]
    if degree:
        harmonics = np.frombuffer(parts[5], np.uint8).reshape(n, COEFFICIENTS[degree], 3)
        higher = ((harmonics - 128.0) / 128).astype(np.float32)
        sh = np.concatenate([sh, higher], axis=1)
    return Splats(
        means=np.ldexp(fixed.astype(np.float64), -bits).astype(np.float32),
        quats=_unpack_rotations(rotation, version),
        log_scales=(scale / 16 - 10).astype(np.float32),
        logit_opacities=logit(alpha[:, 0] / 255),
        sh=sh,
    )


def _byte(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _pack_rotations(quats: FloatArray) -> NDArray[np.uint32]:
    largest, three = pack_largest_three(quats[:, [1, 2, 3, 0]])
    size = np.floor(np.abs(three) / HALF_ROOT * 511 + 0.5).clip(0, 511).astype(np.uint32)
    part = (three < 0).astype(np.uint32) << 9 | size
    packed = largest.astype(np.uint32) << 30 | part[:, 0] << 20 | part[:, 1] << 10 | part[:, 2]
    return packed.astype("<u4")


def _unpack_rotations(rotation: NDArray[np.uint8], version: int) -> FloatArray:
    if version == 2:
        xyz = rotation / 127.5 - 1
        w = np.sqrt(np.maximum(0, 1 - (xyz**2).sum(axis=1)))
        return np.concatenate([w[:, None], xyz], axis=1).astype(np.float32)
    packed = np.ascontiguousarray(rotation).view("<u4")[:, 0]
    part = np.stack([packed >> 20, packed >> 10, packed], axis=1) & 1023
    three = (part & 511) / 511 * HALF_ROOT * np.where(part & 512, -1, 1)
    # the three may be too long for a unit quaternion in a damaged file; the renderer normalises
    return unpack_largest_three(packed >> 30, three)[:, [3, 0, 1, 2]]


def _pack_harmonics(rest: FloatArray) -> NDArray[np.uint8]:
    steps = np.full(rest.shape[1], 1 << (8 - HIGHER_BITS))
    steps[:3] = 1 << (8 - FIRST_BITS)
    value = np.round(np.clip(rest, -2, 2) * 128) + 128
    step = steps[None, :, None]
    return np.clip((value + step // 2) // step * step, 0, 255).astype(np.uint8)

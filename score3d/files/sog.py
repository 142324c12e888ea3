"""SOG version 2: splats in lossless WebP pictures and a meta.json, bundled in a ZIP file.

One pixel a splat, row by row; bytes are R, G, B, A.

    means_l, means_u  low and high bytes of 16 bits between mins and maxs, per axis, of
                      sign(x) ln(1 + |x|)
    quats             the three smaller of (w, x, y, z) as 255 (q / sqrt(2) + 1/2); A = 252 + index
                      of the largest
    scales            indices into a codebook of log scales
    sh0               indices into a codebook of constant harmonics; A = 255 sigmoid
    shN_labels        R + 256 G: which row of the palette
    shN_centroids     64 palette rows a picture row, each 3, 8 or 15 pixels of codebook indices

Where the published description and the reference code differ (it calls the scales linear and the
first quaternion component x), this follows the code. Axes are those of a splat PLY: y down.

Source: https://developer.playcanvas.com/user-manual/gaussian-splatting/formats/sog/
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from score3d.files.atomic import atomic_write
from score3d.files.codebook import scalar_codebook, vector_codebook
from score3d.files.packing import (
    check_room,
    decode_json,
    logit,
    morton_order,
    pack_largest_three,
    require_finite,
    unpack_largest_three,
)
from score3d.files.splats import FileFormatError, FloatArray, Splats, half_turn

__all__ = ["decode_sog", "read_sog_folder", "write_sog"]

PALETTE = 16_384  # harmonics are kept exactly (up to the codebook) for fewer splats than this
META_LIMIT = 500_000  # bytes
COEFFICIENTS = (0, 3, 8, 15)
PictureArray = NDArray[np.uint8]


def write_sog(path: str | Path, splats: Splats) -> None:
    """Write splats as a SOG bundle, atomically, in Z-order.

    Raises:
        ValueError: no splats, or values that are not finite.
        OSError: the file cannot be written.
    """
    require_finite(splats, str(path))
    n = len(splats)
    if n == 0:
        raise ValueError(f"{path}: a SOG file needs at least one splat")
    turned = half_turn(splats.select(morton_order(splats.means)))
    width = 4 * -(-int(np.ceil(np.sqrt(n))) // 4)
    height = 4 * -(-n // (4 * width))
    pictures: dict[str, PictureArray] = {}

    def picture(name: str, rgb: NDArray, alpha: NDArray | int = 255) -> list[str]:
        page = np.zeros((height * width, 4), np.uint8)
        page[:n, :3], page[:n, 3] = rgb, alpha
        pictures[name] = page.reshape(height, width, 4)
        return [name]

    logs = np.sign(turned.means) * np.log1p(np.abs(turned.means.astype(np.float64)))
    mins, maxs = logs.min(axis=0), logs.max(axis=0)
    extent = np.where(maxs > mins, maxs - mins, 1)
    fixed = np.round((logs - mins) / extent * 65535).astype(np.uint16)
    largest, three = pack_largest_three(turned.quats)
    scale_book, scale_index = scalar_codebook(np.clip(turned.log_scales, -20, 20))
    colour_book, colour_index = scalar_codebook(turned.sh[:, 0])
    meta: dict[str, Any] = {
        "version": 2,
        "asset": {"generator": "score3d"},
        "count": n,
        "means": {
            "mins": mins.tolist(),
            "maxs": maxs.tolist(),
            "files": picture("means_l.webp", fixed & 255) + picture("means_u.webp", fixed >> 8),
        },
        "scales": {"codebook": _full(scale_book), "files": picture("scales.webp", scale_index)},
        "quats": {
            "files": picture(
                "quats.webp", np.round(255 * (three * np.sqrt(0.5) + 0.5)), 252 + largest
            )
        },
        "sh0": {
            "codebook": _full(colour_book),
            "files": picture("sh0.webp", colour_index, np.round(255 * turned.opacities)),
        },
    }
    if turned.sh_degree:
        coefficients = COEFFICIENTS[turned.sh_degree]
        palette, label = vector_codebook(turned.sh[:, 1:].reshape(n, -1), min(n, PALETTE))
        book, index = scalar_codebook(palette)
        rows = -(-len(palette) // 64)
        page = np.zeros((rows * 64, coefficients, 4), np.uint8)
        page[: len(palette), :, :3] = index.reshape(-1, coefficients, 3)
        page[..., 3] = 255
        pictures["shN_centroids.webp"] = page.reshape(rows, 64 * coefficients, 4)
        labels = np.stack([label & 255, label >> 8, np.zeros_like(label)], axis=1)
        meta["shN"] = {
            "count": len(palette),
            "bands": turned.sh_degree,
            "codebook": _full(book),
            "files": ["shN_centroids.webp", *picture("shN_labels.webp", labels)],
        }
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as bundle:
        bundle.writestr(zipfile.ZipInfo("meta.json"), json.dumps(meta))
        for name, page in pictures.items():
            bundle.writestr(zipfile.ZipInfo(name), _webp(page))


def decode_sog(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .sog bundle. Raises FileFormatError; `name` is for it.

    Nothing is unpacked to the disk, and a member is never read beyond what it may hold.
    """
    try:
        bundle = zipfile.ZipFile(io.BytesIO(data))
        members = {info.filename: info for info in bundle.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
        raise FileFormatError(f"{name}: not a SOG bundle (not a whole ZIP file)") from None

    def load(member: str, limit: int) -> bytes:
        if member not in members:
            raise FileFormatError(f"{name}: {member[:60]!r} is missing from the bundle")
        try:
            with bundle.open(members[member]) as file:
                content = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError,
                OSError, ValueError, struct.error):  # fmt: skip
            raise FileFormatError(f"{name}: {member[:60]!r} in the bundle is damaged") from None
        if len(content) > limit:
            raise FileFormatError(
                f"{name}: {member[:60]!r} unpacks to more than {limit} bytes; it is damaged or not"
                " to be trusted"
            )
        return content

    return _decode(load, len(data), name)


def read_sog_folder(meta: str | Path) -> Splats:
    """Splats from an unbundled SOG: a meta.json and the pictures beside it.

    Raises:
        FileFormatError: not such a file, or it names files outside its folder.
        OSError: a file cannot be opened.
    """
    meta = Path(meta)

    def load(member: str, limit: int) -> bytes:
        path = meta if member == "meta.json" else meta.with_name(member)
        if not path.is_file():
            raise FileFormatError(f"{meta}: {member[:60]!r} is not beside it")
        with open(path, "rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise FileFormatError(f"{meta}: {member[:60]!r} is larger than {limit} bytes")
        return content

    size = sum(path.stat().st_size for path in meta.parent.glob("*.webp"))
    return _decode(load, size, str(meta))


def _decode(load: Callable[[str, int], bytes], size: int, name: str) -> Splats:
    meta = _Meta(name, decode_json(name, load("meta.json", META_LIMIT), "meta.json"))
    if meta.value.get("version") != 2:
        found = str(meta.value.get("version", "1 (no version)"))[:20]
        raise FileFormatError(f"{name}: SOG version {found}; only 2 is read")
    n = meta.whole("count")
    bands = meta.part("shN").whole("bands") if "shN" in meta.value else 0
    if bands > 3:
        raise FileFormatError(f"{name}: {bands} bands of harmonics; 0 to 3 are read")
    check_room(name, n, 4 * (14 + 3 * COEFFICIENTS[bands]), size)

    def picture(part: _Meta, index: int) -> PictureArray:
        member = part.file(index)
        page = _pixels(load(member, max(size, 1024)), 4 * n + 1_000_000, f"{name}: {member!r}")
        if page.shape[0] * page.shape[1] < n:
            raise FileFormatError(f"{name}: {member!r} has too few pixels for {n} splats")
        return page.reshape(-1, 4)[:n]

    means = meta.part("means")
    low, high = means.floats("mins", 3), means.floats("maxs", 3)
    fixed = picture(means, 0)[:, :3] + 256.0 * picture(means, 1)[:, :3]
    with np.errstate(all="ignore"):
        logs = low + (high - low) * (fixed / 65535)
        centres = np.sign(logs) * np.expm1(np.abs(logs))
    quats = picture(meta.part("quats"), 0)
    largest = quats[:, 3].astype(np.int64) - 252
    three = (quats[:, :3] / 255 - 0.5) * np.sqrt(2)
    three[largest < 0], largest[largest < 0] = 0, 0  # an invalid tag: no rotation
    scales, sh0 = meta.part("scales"), meta.part("sh0")
    colours = picture(sh0, 0)
    sh = sh0.codebook()[colours[:, :3]][:, None]
    if bands:
        sh = np.concatenate([sh, _harmonics(meta.part("shN"), load, picture, bands, n)], axis=1)
    return half_turn(
        Splats(
            means=centres,
            quats=unpack_largest_three(largest, three),
            log_scales=scales.codebook()[picture(scales, 0)[:, :3]],
            logit_opacities=logit(colours[:, 3] / 255),
            sh=sh,
        )
    )


def _harmonics(
    part: _Meta,
    load: Callable[[str, int], bytes],
    picture: Callable[[_Meta, int], PictureArray],
    bands: int,
    n: int,
) -> FloatArray:
    count, coefficients = part.whole("count"), COEFFICIENTS[bands]
    if count > 65536:
        raise FileFormatError(f"{part.name}: a palette of {count} rows; at most 65536 are allowed")
    member = part.file(0)
    width, height = 64 * coefficients, -(-count // 64)
    page = _pixels(load(member, 4 * width * height + 4096), width * height, f"{part.name}: shN")
    if page.shape[1] != width or page.shape[0] < height:
        raise FileFormatError(
            f"{part.name}: {member!r} has {page.shape[1]} x {page.shape[0]} pixels,"
            f" expected {width} x {height}"
        )
    palette = part.codebook()[page[:height].reshape(height * 64, coefficients, 4)[:count, :, :3]]
    pixels = picture(part, 1)
    label = pixels[:, 0] + 256 * pixels[:, 1].astype(np.int64)
    known = label < count
    if not known.any():
        return np.zeros((n, coefficients, 3), np.float32)
    return palette[np.where(known, label, 0)] * known[:, None, None].astype(np.float32)


class _Meta:
    """Typed access to meta.json; whatever is wrong with it is a FileFormatError."""

    def __init__(self, name: str, value: dict[str, Any]) -> None:
        self.name, self.value = name, value

    def part(self, key: str) -> _Meta:
        value = self.value.get(key)
        if not isinstance(value, dict):
            raise FileFormatError(f"{self.name}: meta.json has no object {key!r}")
        return _Meta(self.name, value)

    def whole(self, key: str) -> int:
        value = self.value.get(key)
        if type(value) is not int or value < 0:
            raise FileFormatError(
                f"{self.name}: {key} is {str(value)[:20]!r}, expected a whole number >= 0"
            )
        return value

    def floats(self, key: str, count: int) -> NDArray[np.float64]:
        value = self.value.get(key)
        good = isinstance(value, list) and len(value) == count
        if not good or any(type(v) not in (int, float) or abs(v) > 1e30 for v in value or []):
            raise FileFormatError(f"{self.name}: {key} in meta.json is not {count} numbers")
        return np.array(value, np.float64)

    def codebook(self) -> FloatArray:
        return self.floats("codebook", 256).astype(np.float32)

    def file(self, index: int) -> str:
        files = self.value.get("files")
        if not isinstance(files, list) or index >= len(files) or not isinstance(files[index], str):
            raise FileFormatError(f"{self.name}: meta.json names no file for a picture")
        member = files[index]
        if not re.fullmatch(r"\w[\w.-]*", member):
            raise FileFormatError(
                f"{self.name}: meta.json names {member[:60]!r}, which is not a plain file name"
            )
        return member


def _full(book: FloatArray) -> list[float]:
    """Codebooks have 256 entries; the rest repeat the last."""
    full = np.pad(book, (0, 256 - len(book)), mode="edge")
    return [float(f"{value:.8g}") for value in full]  # float32, not its longer double


def _webp(page: PictureArray) -> bytes:
    out = io.BytesIO()
    # exact: colours of transparent pixels are data
    Image.fromarray(page, "RGBA").save(
        out, "WEBP", lossless=True, quality=100, method=4, exact=True
    )
    return out.getvalue()


def _pixels(data: bytes, limit: int, name: str) -> PictureArray:
    """A lossless WebP picture [H, W, 4] of at most `limit` pixels."""
    size = _webp_size(data)
    if size is None:
        raise FileFormatError(f"{name} is not a lossless WebP picture")
    if size[0] * size[1] > max(limit, 64):
        raise FileFormatError(f"{name} has {size[0]} x {size[1]} pixels, far more than it needs")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError):
        raise FileFormatError(f"{name} is a damaged WebP picture") from None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height, from the header, before a decoder allocates anything for them."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8L" and data[20] == 0x2F:
        packed = int.from_bytes(data[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None

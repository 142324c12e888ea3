"""KSPLAT, read only: the format of the GaussianSplats3D viewer.

    main header     4096 bytes: version 0.1 or later, section count, splat count, compression level
    section header  1024 bytes each: splats, buckets, harmonics degree of a section
    section         sizes of its partly filled buckets, bucket centres, then the splats

A splat is centre, standard deviations (linear), quaternion w, x, y, z, RGBA bytes and harmonics.
Level 0 has float32 throughout; 1 has uint16 centres relative to their bucket, float16 for the
rest; 2 also has uint8 harmonics. Axes are those of a splat PLY: y down (`half_turn`).

Source: https://github.com/mkkellogg/GaussianSplats3D
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from score3d.files.packing import check_room, colour_to_dc, logit
from score3d.files.splats import FileFormatError, FloatArray, Splats, half_turn

__all__ = ["decode_ksplat"]

MAIN, SECTION = 4096, 1024
HARMONICS = (0, 9, 24, 45)
# the file has each degree channel by channel: for value i of the file, its (coefficient, channel)
ORDER = [
    (first + i, channel)
    for first, count in ((0, 3), (3, 5), (8, 7))
    for channel in range(3)
    for i in range(count)
]


def decode_ksplat(data: bytes, name: str) -> Splats:
    """Splats from the bytes of a .ksplat file. Raises FileFormatError; `name` is for it."""
    if len(data) < MAIN:
        raise FileFormatError(f"{name}: shorter than a .ksplat header; cut short?")
    major, minor = data[0], data[1]
    if major != 0 or minor < 1:
        raise FileFormatError(f"{name}: .ksplat version {major}.{minor}; 0.1 and later are read")
    sections, total = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 16)[0]
    level = struct.unpack_from("<H", data, 20)[0]
    low, high = struct.unpack_from("<ff", data, 36)
    if level > 2:
        raise FileFormatError(f"{name}: compression level {level}; 0, 1 and 2 are read")
    if MAIN + SECTION * sections > len(data):
        raise FileFormatError(f"{name}: {sections} section headers do not fit; cut short?")
    offset, parts = MAIN + SECTION * sections, []
    for i in range(sections):
        section = _Section(data, MAIN + SECTION * i, offset, level, name)
        if section.count:
            parts.append(section.read(low or -1.5, high or 1.5))
        offset = section.end
    found = sum(len(part) for part in parts)
    if found != total:
        raise FileFormatError(f"{name}: {found} splats in the sections, the header says {total}")
    if not parts:
        raise FileFormatError(f"{name}: the file is empty")
    most = max(part.sh.shape[1] for part in parts)
    check_room(name, found, 4 * (11 + 3 * most), len(data))
    sh = [np.pad(part.sh, ((0, 0), (0, most - part.sh.shape[1]), (0, 0))) for part in parts]
    return half_turn(
        Splats(
            *(
                np.concatenate([getattr(part, field) for part in parts])
                for field in ("means", "quats", "log_scales", "logit_opacities")
            ),
            sh=np.concatenate(sh),
        )
    )


class _Section:
    def __init__(self, data: bytes, header: int, offset: int, level: int, name: str) -> None:
        self.data, self.level, self.name = data, level, name
        self.count, self.room, self.capacity, self.buckets = struct.unpack_from(
            "<IIII", data, header
        )
        self.block = struct.unpack_from("<f", data, header + 16)[0]
        bucket_size = struct.unpack_from("<H", data, header + 20)[0]
        self.range = struct.unpack_from("<I", data, header + 24)[0] or (32767 if level else 1)
        self.full, self.partial = struct.unpack_from("<II", data, header + 32)
        degree = struct.unpack_from("<H", data, header + 40)[0]
        if degree > 3:
            raise FileFormatError(f"{name}: SH degree {degree}; 0 to 3 are read")
        self.harmonics = HARMONICS[degree]
        wide, narrow = ("<f4", "<f4") if level == 0 else ("<u2", "<f2")
        self.row = np.dtype(
            [
                ("mean", wide, 3),
                ("scale", narrow, 3),
                ("quat", narrow, 4),
                ("rgba", "u1", 4),
                ("sh", {0: "<f4", 1: "<f2", 2: "u1"}[level], (self.harmonics,)),
            ]
        )
        self.sizes_at = offset
        self.centres_at = offset + 4 * self.partial
        self.rows_at = self.centres_at + bucket_size * self.buckets
        self.end = self.rows_at + self.row.itemsize * self.room
        if self.count > self.room or self.end > len(data):
            raise FileFormatError(
                f"{name}: a section of {self.count} splats does not fit in the file; cut short?"
            )
        if level and self.count and bucket_size < 12:
            raise FileFormatError(f"{name}: buckets of {bucket_size} bytes hold no centre")

    def read(self, low: float, high: float) -> Splats:
        rows = np.frombuffer(self.data, self.row, self.count, self.rows_at)
        with np.errstate(all="ignore"):  # bad numbers become bad rows, see Splats.finite
            means: NDArray = rows["mean"].astype(np.float64)
            if self.level:
                step = self.block / 2 / self.range
                means = (means - self.range) * step + self._centres()
            scale = rows["scale"].astype(np.float32)
            log_scales = np.where(scale > 0, np.log(scale), np.where(scale == 0, -10, np.nan))
            quats = rows["quat"].astype(np.float32)
            sh = rows["sh"].astype(np.float32)
            if self.level == 2:
                sh = low + sh / 255 * np.float32(high - low)
        harmonics: FloatArray = np.empty((self.count, 1 + self.harmonics // 3, 3), np.float32)
        harmonics[:, 0] = colour_to_dc(rows["rgba"][:, :3] / 255)
        for i in range(self.harmonics):
            coefficient, channel = ORDER[i]
            harmonics[:, 1 + coefficient, channel] = sh[:, i]
        return Splats(means, quats, log_scales, logit(rows["rgba"][:, 3] / 255), harmonics)

    def _centres(self) -> NDArray[np.float64]:
        """The centre of the bucket of each splat, [N, 3]: full buckets come first."""
        if self.partial and self.centres_at > len(self.data):
            raise FileFormatError(f"{self.name}: the sizes of buckets are cut short")
        sizes = np.frombuffer(self.data, "<u4", self.partial, self.sizes_at).astype(np.int64)
        in_full = self.full * self.capacity
        index = np.arange(self.count, dtype=np.int64)
        bucket = index // max(self.capacity, 1)
        ends = in_full + np.cumsum(sizes)
        bucket = np.where(
            index < in_full, bucket, self.full + np.searchsorted(ends, index, side="right")
        )
        if self.buckets == 0 or bucket.max(initial=0) >= self.buckets:
            raise FileFormatError(f"{self.name}: splats outside the {self.buckets} buckets")
        stride = (self.rows_at - self.centres_at) // self.buckets
        centres = np.ndarray((self.buckets, 3), "<f4", self.data, self.centres_at, (stride, 4))
        return centres[bucket].astype(np.float64)

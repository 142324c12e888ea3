"""COLMAP models: cameras and images, in text or binary.

Images hold world-to-camera rotations (w, x, y, z) and translations with OpenCV axes, as `Cameras`
does; the upper left pixel's centre is at 0.5. The world is that of a PLY trained from the model, so
that it takes the half turn about x that PLY files take when they are read (`files/ply.py`).

Source: Schönberger and Frahm, "Structure-from-Motion Revisited", 2016; colmap.github.io/format.html
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import FileFormatError

__all__ = ["MODELS", "ColmapModel", "find_colmap", "read_colmap"]

T = TypeVar("T")

# name: (number in binary files, number of parameters, of which focal lengths)
MODELS = {
    "SIMPLE_PINHOLE": (0, 3, 1),
    "PINHOLE": (1, 4, 2),
    "SIMPLE_RADIAL": (2, 4, 1),
    "RADIAL": (3, 5, 1),
    "OPENCV": (4, 8, 2),
}
OTHERS = {
    5: "OPENCV_FISHEYE",
    6: "FULL_OPENCV",
    7: "FOV",
    8: "SIMPLE_RADIAL_FISHEYE",
    9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
}
NUMBERS = {number: name for name, (number, _, _) in MODELS.items()} | OTHERS
HALF_TURN = np.diag([1.0, -1.0, -1.0, 1.0])  # a model's world to ours and back
LARGEST = 1 << 20  # pixels: no side of a picture is longer
LONGEST_NAME = 4096  # bytes
SMALLEST_CAMERA, SMALLEST_IMAGE = 24 + 3 * 8, 4 + 7 * 8 + 4 + 1 + 8  # bytes in binary files


@dataclass(frozen=True)
class ColmapModel:
    """The V images of a model in the order of the file. viewmats [V,4,4]: world-to-camera, OpenCV
    axes, our +y up world. Ks [V,3,3]: pixels. sizes [V,2]: width, height in pixels. names: of the
    pictures. distorted: some lens has distortion, which is not in Ks."""

    viewmats: NDArray[np.float64]
    Ks: NDArray[np.float64]
    sizes: NDArray[np.int64]
    names: list[str]
    distorted: bool


@dataclass(frozen=True)
class _Lens:
    K: NDArray[np.float64]
    size: tuple[int, int]
    distorted: bool


@dataclass(frozen=True)
class _Image:
    pose: list[float]  # qw, qx, qy, qz, tx, ty, tz
    camera: int
    name: str


def find_colmap(folder: Path) -> Path | None:
    """The folder that holds a model: this one or its sparse/0; None if there is none."""
    for place in (folder, folder / "sparse" / "0"):
        for ending in (".bin", ".txt"):
            if all((place / f"{part}{ending}").is_file() for part in ("cameras", "images")):
                return place
    return None


def read_colmap(folder: str | Path) -> ColmapModel:
    """The cameras of the model in a folder: cameras and images in binary (.bin) if both are there,
    else in text (.txt). Distortion is left out. Memory used is a small multiple of what the images
    take; 2D points are passed over.

    Raises:
        FileFormatError: no model, damaged, or a lens that is no pinhole; one line naming the file.
        OSError: a file cannot be opened.
    """
    folder = Path(folder)
    if all((folder / f"{part}.bin").is_file() for part in ("cameras", "images")):
        files = folder / "cameras.bin", folder / "images.bin"
        lenses, images = _mapped(files[0], _binary_cameras), _mapped(files[1], _binary_images)
    else:
        files = folder / "cameras.txt", folder / "images.txt"
        if not all(f.is_file() for f in files):
            raise FileFormatError(
                f"{folder}: no COLMAP model, which is cameras.bin and images.bin, or .txt of both"
            )
        lenses, images = _text_cameras(files[0]), _text_images(files[1])
    if not images:
        raise FileFormatError(f"{files[1]}: holds no images")
    for image in images:
        if image.camera not in lenses:
            raise FileFormatError(
                f"{files[1]}: image {image.name!r} is of camera {image.camera}, which "
                f"{files[0].name} does not hold"
            )
    used = [lenses[image.camera] for image in images]
    return ColmapModel(
        np.stack([_viewmat(files[1], image) for image in images]) @ HALF_TURN,
        np.stack([lens.K for lens in used]),
        np.array([lens.size for lens in used], np.int64),
        [image.name for image in images],
        any(lens.distorted for lens in used),
    )


def _viewmat(path: Path, image: _Image) -> NDArray[np.float64]:
    pose = np.array(image.pose)
    norm = math.hypot(*pose[:4])
    if not np.isfinite(pose).all() or not 1e-6 < norm < 1e6:
        raise FileFormatError(
            f"{path}: image {image.name!r} has a pose that is no rotation and translation"
        )
    w, x, y, z = pose[:4] / norm
    viewmat = np.eye(4)
    viewmat[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    viewmat[:3, 3] = pose[4:]
    return viewmat


def _parameters(path: Path, model: str, camera: int) -> int:
    """How many a model has. Raises FileFormatError for one that is not read."""
    if model not in MODELS:
        raise FileFormatError(
            f"{path}: camera {camera} is of model {model[:40]}, which is not read; read are "
            f"{', '.join(MODELS)} (`colmap image_undistorter` makes the second)"
        )
    return MODELS[model][1]


def _lens(
    path: Path, camera: int, model: str, width: int, height: int, values: list[float]
) -> _Lens:
    focals = MODELS[model][2]
    fx, fy, (cx, cy) = values[0], values[focals - 1], values[focals : focals + 2]
    finite = np.isfinite(values).all()
    if not finite or min(fx, fy) <= 0 or not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise FileFormatError(
            f"{path}: camera {camera} has {width} x {height} pixels and the parameters "
            f"{values}; expected a size and focal lengths above 0"
        )
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    return _Lens(K, (width, height), any(values[focals + 2 :]))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, without the spaces at their ends; memory does not grow with the file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            yield number, line.strip()


def _text_cameras(path: Path) -> dict[int, _Lens]:
    lenses = {}
    for number, line in _lines(path):
        if not line or line.startswith("#"):
            continue
        words = line.split()
        try:
            camera, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            values = [float(v) for v in words[4:]]
        except (ValueError, IndexError):
            raise FileFormatError(
                f"{path}: line {number} is not CAMERA_ID MODEL WIDTH HEIGHT PARAMS"
            ) from None
        if len(values) != _parameters(path, model, camera):
            raise FileFormatError(
                f"{path}: line {number} gives {len(values)} parameters, and {model} has "
                f"{MODELS[model][1]}"
            )
        lenses[camera] = _lens(path, camera, model, width, height, values)
    return lenses


def _text_images(path: Path) -> list[_Image]:
    images, lines = [], _lines(path)
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        words = line.split(maxsplit=9)
        try:
            if len(words) != 10:
                raise ValueError
            int(words[0])
            images.append(_Image([float(v) for v in words[1:8]], int(words[8]), words[9]))
        except ValueError:
            raise FileFormatError(
                f"{path}: line {number} is not IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
            ) from None
        _, points = next(lines, (0, ""))
        if len(points.split()) % 3:
            raise FileFormatError(
                f"{path}: line {number + 1} is not the image's 2D points, X Y POINT3D_ID of each; "
                "an image without any is followed by an empty line"
            )
    return images


class _Bytes:
    """Values read one after another from little-endian bytes; nothing beyond their end."""

    def __init__(self, path: Path, data: Any) -> None:
        self.path, self.data, self.at = path, data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The values of a `struct` format."""
        start = self.at
        self.skip(struct.calcsize("<" + form))
        return struct.unpack_from("<" + form, self.data, start)

    def skip(self, count: int) -> None:
        if count > len(self.data) - self.at:
            raise FileFormatError(
                f"{self.path}: ends in the middle of what it announces; it is cut short or no "
                "file of COLMAP's"
            )
        self.at += count

    def count(self, smallest: int) -> int:
        """A number of things of which each takes at least `smallest` bytes."""
        (count,) = self.take("Q")
        if count * smallest > len(self.data) - self.at:
            raise FileFormatError(
                f"{self.path}: announces {count} entries and has {len(self.data)} bytes; it is cut "
                "short or no file of COLMAP's"
            )
        return count

    def name(self) -> str:
        """Text up to a zero byte."""
        end = self.data.find(b"\0", self.at, self.at + LONGEST_NAME)
        if end < 0:
            raise FileFormatError(f"{self.path}: an image's name has no end; the file is damaged")
        text = bytes(self.data[self.at : end])
        self.at = end + 1
        return text.decode("utf-8", "replace")


def _mapped(path: Path, read: Callable[[_Bytes], T]) -> T:
    """What `read` makes of a file, of which only the pages that it looks at are loaded."""
    with open(path, "rb") as file:
        if path.stat().st_size == 0:
            return read(_Bytes(path, b""))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return read(_Bytes(path, data))


def _binary_cameras(data: _Bytes) -> dict[int, _Lens]:
    lenses = {}
    for _ in range(data.count(SMALLEST_CAMERA)):
        camera, number, width, height = data.take("iiQQ")
        model = NUMBERS.get(number, f"number {number}")
        values = list(data.take(f"{_parameters(data.path, model, camera)}d"))
        lenses[camera] = _lens(data.path, camera, model, width, height, values)
    return lenses


def _binary_images(data: _Bytes) -> list[_Image]:
    images = []
    for _ in range(data.count(SMALLEST_IMAGE)):
        _, *pose, camera = data.take("i7di")
        images.append(_Image(pose, camera, data.name()))
        data.skip(data.count(24) * 24)  # 2D points
    return images

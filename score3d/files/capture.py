"""The cameras of a capture, whichever program wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.colmap import find_colmap, read_colmap
from score3d.files.splats import FileFormatError
from score3d.files.transforms import Shots, read_transforms

__all__ = ["centre_squares", "read_capture"]

EXPECTED = (
    "expected a transforms.json, a folder that holds one, or the folder of a COLMAP model "
    "(cameras and images, .bin or .txt; also in its sparse/0)"
)
DISTORTED = "the lens distortion that it gives is not zero and is left out"
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")  # as nerfstudio and instant-ngp name it
SLACK = 1e-2  # by which a rotation's products of axes may be off


def centre_squares(
    Ks: NDArray[np.float64], sizes: NDArray[np.int64], side: int
) -> NDArray[np.float64]:
    """Intrinsics [V,3,3] in pixels of the largest square in the middle of each picture, scaled to
    `side` pixels. Ks [V,3,3]: of the whole pictures. sizes [V,2]: their width and height."""
    edge = sizes.min(1)
    squares = Ks.copy()
    squares[:, :2, 2] -= (sizes - edge[:, None]) / 2
    squares[:, :2] *= (side / edge)[:, None, None]
    return squares


def read_capture(path: str | Path, side: int) -> tuple[Shots, list[str]]:
    """The cameras of a capture, and remarks for people.

    path: a transforms.json (coordinates of the scene as score3d holds it, +y up), a folder that
    holds one, or a folder with a COLMAP model in it or in sparse/0 (coordinates of a PLY trained
    from it, which is turned as such files are). side: in pixels, of the squares in the middle of
    the pictures that the cameras are to show.

    Raises:
        FileFormatError: nothing of the kind, or damaged; one line naming the file and the fault.
        OSError: a file cannot be opened.
    """
    path = Path(path)
    if not path.exists():
        raise FileFormatError(f"{path}: no such file or folder; {EXPECTED}")
    file = path / "transforms.json" if path.is_dir() else path
    if file.is_file():
        if file.suffix.lower() != ".json":
            raise FileFormatError(f"{path}: not a capture; {EXPECTED}")
        shots, notes = _transforms(file)
        sizes = np.array([(shots.width, shots.height)] * len(shots.viewmats), np.int64)
    else:
        folder = find_colmap(path)
        if folder is None:
            raise FileFormatError(f"{path}: holds no capture; {EXPECTED}")
        file, model = folder, read_colmap(folder)
        none = [""] * len(model.names)
        shots = Shots(model.viewmats, model.Ks, 0, 0, model.names, none)
        sizes, notes = model.sizes, [f"{folder}: {DISTORTED}"] if model.distorted else []
    _check(file, shots)
    Ks = centre_squares(shots.Ks, sizes, side)
    return Shots(shots.viewmats, Ks, side, side, shots.pictures, shots.masks), notes


def _transforms(file: Path) -> tuple[Shots, list[str]]:
    try:
        shots = read_transforms(file)
    except OverflowError as error:
        raise FileFormatError(f"{file}: a number is too large ({error})") from error
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    parts = [data, *data["frames"]]
    for model in (str(part.get("camera_model", "")) for part in parts):
        if "FISHEYE" in model.upper() or "EQUIRECT" in model.upper() or data.get("is_fisheye"):
            raise FileFormatError(
                f"{file}: a {model or 'fisheye'} camera, and only pinhole cameras are read; "
                "undistort the pictures first"
            )
    bent = any(part.get(name) for part in parts for name in DISTORTION)
    return shots, [f"{file}: {DISTORTED}"] if bent else []


def _check(file: Path, shots: Shots) -> None:
    """Cameras with which a picture can be made."""
    R = shots.viewmats[:, :3, :3]
    off = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    bad = np.flatnonzero(~(off <= SLACK) | (np.linalg.det(R) < 0))
    if len(bad):
        raise FileFormatError(
            f"{file}: camera {bad[0]} ({shots.pictures[bad[0]]}) is not turned and moved alone; "
            "its matrix also scales, shears or mirrors"
        )
    if not (shots.Ks[:, (0, 1), (0, 1)] > 0).all():
        raise FileFormatError(f"{file}: a focal length that is not above 0")

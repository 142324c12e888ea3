"""transforms.json: cameras as nerfstudio and instant-ngp write them.

Camera-to-world matrices with OpenGL axes (x right, y up, z backward), intrinsics in pixels. World
coordinates are those of the scene as score3d holds it (+y up).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.atomic import write_text
from score3d.files.splats import FileFormatError

__all__ = ["Shots", "read_transforms", "write_transforms"]

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera axes to OpenCV's and back


@dataclass(frozen=True)
class Shots:
    """viewmats [V,4,4]: world-to-camera, OpenCV. Ks [V,3,3]. width, height in pixels. pictures,
    masks: V file names, "" where the file names none."""

    viewmats: NDArray[np.float64]
    Ks: NDArray[np.float64]
    width: int
    height: int
    pictures: list[str]
    masks: list[str]

    def where(self, keep: list[int]) -> Shots:
        """The shots of these numbers."""
        return Shots(
            self.viewmats[keep],
            self.Ks[keep],
            self.width,
            self.height,
            [self.pictures[i] for i in keep],
            [self.masks[i] for i in keep],
        )


def write_transforms(path: str | Path, shots: Shots) -> None:
    """Write them, atomically. Raises OSError."""
    frames = [
        {
            "file_path": picture,
            "mask_path": mask,
            "fl_x": K[0, 0],
            "fl_y": K[1, 1],
            "cx": K[0, 2],
            "cy": K[1, 2],
            "transform_matrix": (np.linalg.inv(viewmat) @ FLIP).tolist(),
        }
        for viewmat, K, picture, mask in zip(
            shots.viewmats, shots.Ks, shots.pictures, shots.masks, strict=True
        )
    ]
    data = {"w": shots.width, "h": shots.height, "frames": frames}
    write_text(path, json.dumps(data, indent=1) + "\n")


def read_transforms(path: str | Path) -> Shots:
    """The cameras of a file; intrinsics may be given once or per frame, also as camera_angle_x.
    Raises FileFormatError, OSError."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        frames: list[dict[str, Any]] = data["frames"]
        first = data | (frames[0] if frames else {})
        width, height = int(first["w"]), int(first["h"])
        viewmats = [
            np.linalg.inv(np.array(f["transform_matrix"], np.float64).reshape(4, 4) @ FLIP)
            for f in frames
        ]
        Ks = [_intrinsics(data | f, width, height) for f in frames]
    except (ValueError, KeyError, TypeError, np.linalg.LinAlgError) as error:
        raise FileFormatError(
            f"{path}: not a transforms.json with w, h, intrinsics and frames ({error!r})"
        ) from error
    if not frames or width < 1 or height < 1:
        raise FileFormatError(f"{path}: names no frames, or pictures without a size")
    if any((f.get("w", width), f.get("h", height)) != (width, height) for f in frames):
        raise FileFormatError(f"{path}: frames of different sizes, which are not read")
    if not (np.isfinite(viewmats).all() and np.isfinite(Ks).all()):
        raise FileFormatError(f"{path}: a camera that is not finite")
    return Shots(
        np.stack(viewmats).astype(np.float64),
        np.stack(Ks).astype(np.float64),
        width,
        height,
        [str(f.get("file_path", "")) for f in frames],
        [str(f.get("mask_path", "")) for f in frames],
    )


def _intrinsics(f: dict[str, Any], width: int, height: int) -> NDArray[np.float64]:
    fx = f["fl_x"] if "fl_x" in f else 0.5 * width / np.tan(0.5 * float(f["camera_angle_x"]))
    fx = float(fx)
    fy = float(f.get("fl_y", fx))
    cx, cy = float(f.get("cx", width / 2)), float(f.get("cy", height / 2))
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])

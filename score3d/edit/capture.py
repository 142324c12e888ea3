"""Editing with the cameras of a capture in place of an orbit around the scene."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from score3d.cameras import Cameras
from score3d.config import Config, ConfigError
from score3d.edit.frame import Frame
from score3d.edit.region import framed
from score3d.files.capture import read_capture
from score3d.files.splats import Splats

__all__ = ["Capture", "captured", "one_by_one", "sees"]

NEAR = 0.01  # world units: the renderer shows nothing that is nearer
UPRIGHT = 0.5  # cosine of the angle between +y and the mean up of the cameras


@dataclass(frozen=True)
class Capture:
    """Square cameras in the frame, each of which sees something, and remarks for people."""

    cameras: Cameras
    notes: tuple[str, ...]

    def some(self, count: int, side: int) -> Cameras:
        """At most `count` of them, evenly over the capture, of `side` pixels."""
        c = self.cameras
        picked = np.unique(np.linspace(0, len(c) - 1, count).round().astype(int))
        rows, Ks = torch.from_numpy(picked), c.Ks.clone()
        Ks[:, :2] *= side / c.width
        return Cameras(
            c.viewmats[rows], Ks[rows], c.azimuth[rows], c.elevation[rows], side, side
        )  # fmt: skip


def one_by_one(config: Config) -> Config:
    """The settings with views on their own: the cameras of a capture make no rings and grids.
    Raises ConfigError for a loss that pairs views."""
    if config.distill.pair_angle:
        raise ConfigError(
            "distill.pair_angle pairs views that it lays out itself, and edit.cameras gives those "
            "of a capture: use one of the two"
        )
    views = config.views.model_copy(update={"layout": "single", "ring": 1})
    return config.model_copy(update={"views": views})


def captured(path: Path, frame: Frame, start: Splats, side: int) -> Capture:
    """The cameras of a capture (see `read_capture`) in the frame, as squares of `side` pixels,
    without those that see no centre of `start` (the scene in the frame). Azimuth and elevation
    are those of the camera's place, seen from the frame's origin. Raises ConfigError if none is
    left, FileFormatError, OSError."""
    shots, notes = read_capture(path, side)
    cameras = framed(shots, frame)
    R, t = cameras.viewmats[:, :3, :3].double(), cameras.viewmats[:, :3, 3].double()
    x, y, z = -torch.einsum("vij,vi->vj", R, t).T
    cameras = replace(
        cameras,
        azimuth=torch.rad2deg(torch.atan2(x, z)).float() % 360,
        elevation=torch.rad2deg(torch.atan2(y, torch.hypot(x, z))).float(),
    )
    seeing = sees(cameras, start)
    count, blind = len(seeing), int((~seeing).sum())
    if blind == count:
        raise ConfigError(
            f"{path}: none of its {count} cameras has a Gaussian of the scene in the square in the "
            "middle of its picture; is it of this scene, and in the same coordinates?"
        )
    if blind:
        notes.append(
            f"{path}: {blind} of {count} cameras see nothing of the scene and are left out"
        )
    rows = torch.from_numpy(np.flatnonzero(seeing))
    cameras = Cameras(
        cameras.viewmats[rows], cameras.Ks[rows], cameras.azimuth[rows], cameras.elevation[rows],
        side, side,
    )  # fmt: skip
    if float(-cameras.viewmats[:, 1, 1].mean()) < UPRIGHT:  # rows of R: right, down, forward
        notes.append(
            f"{path}: up in its pictures is not the scene's +y; either the scene does not stand "
            "upright, and words for sides are off, or the capture is in other coordinates"
        )
    return Capture(cameras, tuple(notes))


def sees(cameras: Cameras, splats: Splats) -> np.ndarray:
    """Which of V cameras have a centre of `splats` in front of them and inside their picture, [V].
    One camera at a time, so that memory does not grow with their number."""
    means = torch.from_numpy(splats.means)
    found = np.zeros(len(cameras), np.bool_)
    size = torch.tensor([cameras.width, cameras.height])
    for i, (viewmat, K) in enumerate(zip(cameras.viewmats, cameras.Ks, strict=True)):
        points = means @ viewmat[:3, :3].T + viewmat[:3, 3]
        points = points[points[:, 2] > NEAR]
        pixels = points[:, :2] / points[:, 2:] * K.diagonal()[:2] + K[:2, 2]
        found[i] = bool(((pixels >= 0) & (pixels < size)).all(1).any())
    return found

"""Which Gaussians an edit may change."""

import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from score3d.cameras import Cameras
from score3d.config import ConfigError
from score3d.edit.frame import Frame
from score3d.edit.lifting import Lifted, lift
from score3d.files.pictures import write_png
from score3d.files.splats import Splats
from score3d.files.transforms import Shots, read_transforms, write_transforms
from score3d.scenes.photograph import photograph

__all__ = ["Selection", "framed", "lift_folder", "parse_region", "select", "selection",
           "write_views"]  # fmt: skip

FORMS = "box:x0,y0,z0,x1,y1,z1, sphere:x,y,z,radius or mask:FOLDER"
WORDS = re.compile(r"[^\W\d_]+(?:[\s'-]+[^\W\d_]+)*")
ARTICLES = re.compile(r"^(?:(?:an?|the)(?:\s+|$))+")


class Selection:
    """selected [N], and a remark for people."""

    def __init__(self, selected: NDArray[np.bool_], note: str) -> None:
        self.selected, self.note = selected, note


def parse_region(region: str) -> tuple[str, list[float] | str]:
    """("box", 6 numbers), ("sphere", 4 numbers), ("mask", folder), or for what has no colon
    ("words", the words in lower case without leading articles). Raises ConfigError."""
    kind, colon, rest = region.partition(":")
    if kind == "mask" and rest:
        return kind, rest
    words = ARTICLES.sub("", " ".join(region.lower().split()))
    if WORDS.fullmatch(words):
        return "words", words
    numbers = {"box": 6, "sphere": 4}.get(kind)
    try:
        values = [float(v) for v in rest.split(",")] if colon else []
    except ValueError:
        values = []
    if numbers is None or len(values) != numbers or not np.isfinite(values).all():
        raise ConfigError(f"region {region!r}: expected {FORMS}, or words like 'the roof'")
    if kind == "box" and not all(a < b for a, b in zip(values[:3], values[3:], strict=True)):
        raise ConfigError(f"region {region!r}: the first corner must be below the second")
    if kind == "sphere" and values[3] <= 0:
        raise ConfigError(f"region {region!r}: the radius must be positive")
    return kind, values


def select(splats: Splats, frame: Frame, region: str, bias: float = 0.0) -> Selection:
    """The Gaussians of `splats` (file coordinates) that `region` names: those whose centre lies in
    the box or sphere (file coordinates, +y up), or those that the masks of a folder lift to.
    Raises ConfigError for a region that selects nothing, and for words, which only an edit's
    teacher understands (`word_region`)."""
    kind, value = parse_region(region)
    if kind == "words":
        raise ConfigError(
            f"region {region!r}: words are for `score3d edit scene`, whose teacher finds them; "
            f"here {FORMS}"
        )
    means = splats.means
    if isinstance(value, str):
        lifted = lift_folder(splats, frame, Path(value), bias)
        selected = lifted.labels == 1
        note = f"{selected.sum()} of {len(splats)} Gaussians selected by masks"
        unseen = int((~lifted.seen).sum())
        if unseen:
            note += f"; {unseen} are seen in none of the masked views and stay as they are"
    elif kind == "box":
        selected = ((means >= value[:3]) & (means <= value[3:])).all(1)
        note = f"{selected.sum()} of {len(splats)} Gaussians in the box"
    else:
        selected = np.asarray(np.linalg.norm(means - np.array(value[:3]), axis=1) <= value[3])
        note = f"{selected.sum()} of {len(splats)} Gaussians in the sphere"
    return selection(splats, region, np.asarray(selected, np.bool_), note)


def selection(splats: Splats, region: str, selected: NDArray[np.bool_], note: str) -> Selection:
    """What `region` selected [N] of splats (file coordinates). Raises ConfigError for nothing."""
    if not selected.any():
        low, high = splats.means.min(0), splats.means.max(0)
        corners = " to ".join("(" + ", ".join(f"{v:.3g}" for v in c) + ")" for c in (low, high))
        raise ConfigError(f"region {region!r} selects nothing; centres lie in {corners}")
    return Selection(selected, note)


def lift_folder(splats: Splats, frame: Frame, folder: Path, bias: float = 0.0) -> Lifted:
    """Labels 0 and 1 from the masks of a folder: its transforms.json names each view's
    "mask_path", a picture that is light where the object is. Views whose mask is not there are
    passed over. Raises ConfigError, FileFormatError, OSError."""
    file = folder / "transforms.json"
    if not file.is_file():
        raise ConfigError(
            f"{folder}: no transforms.json, which says where the masks were seen from; "
            "`score3d segment SCENE --write-views DIR` makes views to paint masks for"
        )
    shots = read_transforms(file)
    there = [i for i, name in enumerate(shots.masks) if name and (folder / name).is_file()]
    if not there:
        raise ConfigError(
            f"{folder}: none of the masks that transforms.json names (mask_path) is there"
        )
    shots = shots.where(there)
    masks = np.stack([_mask(folder / n, shots.width, shots.height) for n in shots.masks])
    if not masks.any():
        raise ConfigError(f"{folder}: the {len(masks)} masks are all dark: they mark nothing")
    return lift(frame.into(splats), framed(shots, frame), masks, bias)


def _mask(path: Path, width: int, height: int) -> NDArray[np.int64]:
    try:
        with Image.open(path) as image:
            found = np.asarray(image.convert("L"))
    except OSError as error:
        raise ConfigError(f"{path}: not a picture that can be read ({error})") from error
    if found.shape != (height, width):
        raise ConfigError(
            f"{path}: {found.shape[1]} x {found.shape[0]} pixels, and its view has "
            f"{width} x {height}"
        )
    return (found > 127).astype(np.int64)


def framed(shots: Shots, frame: Frame) -> Cameras:
    """Cameras in file coordinates as cameras in the frame: the same pixels, depths scaled. Azimuth
    and elevation are left 0."""
    viewmats = shots.viewmats.copy()
    R, t = viewmats[:, :3, :3], viewmats[:, :3, 3]
    viewmats[:, :3, 3] = frame.scale * (t + R @ np.array(frame.centre))
    count = torch.zeros(len(viewmats))
    return Cameras(
        torch.from_numpy(viewmats).float(),
        torch.from_numpy(shots.Ks).float(),
        count,
        count,
        shots.width,
        shots.height,
    )


def write_views(folder: Path, splats: Splats, frame: Frame, cameras: Cameras) -> None:
    """Pictures of a scene to paint masks for, and where they were seen from: view_000.png, ... and
    transforms.json, which expects mask_000.png, ... beside them. `cameras` are in the frame, what
    is written in file coordinates."""
    names = [f"{i:03d}.png" for i in range(len(cameras))]
    viewmats = cameras.viewmats.double().numpy().copy()
    R, t = viewmats[:, :3, :3], viewmats[:, :3, 3]
    viewmats[:, :3, 3] = t / frame.scale - R @ np.array(frame.centre)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = photograph(frame.into(splats), cameras, 0.8)
    for name, picture in zip(names, pictures, strict=True):
        write_png(folder / f"view_{name}", picture)
    shots = Shots(
        viewmats,
        cameras.Ks.double().numpy(),
        cameras.width,
        cameras.height,
        [f"view_{n}" for n in names],
        [f"mask_{n}" for n in names],
    )
    write_transforms(folder / "transforms.json", shots)

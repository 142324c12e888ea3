"""Textured models made elsewhere, as shapes of the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from score3d.cameras import orbit
from score3d.world.palette import name_of
from score3d.world.raster import seen_texels
from score3d.world.shapes import BOUNDING_RADIUS, Shape, normalised
from score3d.world.skin import LUMA, Skin, recoloured

__all__ = ["InstanceFacts", "TexturedModel", "convert", "look_at"]

MOST_FACES = 80_000
# Texture pixels kept per world unit (the bounding sphere has radius 0.55): at 64 pixels a unit
# is about 44 of them, so textures are averaged beforehand to what two samples a pixel can show.
TEXELS_PER_UNIT = 120.0
MOST_SIDE = 512
CUT_OUT = 0.05  # share of transparent surface beyond which a model is made of stencils (leaves)
NAMED = 0.6  # share of what is seen, half of it in every view, that gives the whole a colour name
PAINTABLE = 0.55  # share of what is seen, half of it in every view, that must take a new colour
ALIKE = 0.18  # RGB distance of mean colours up to which pictures are taken to be one material


@dataclass(frozen=True)
class InstanceFacts:
    """What a look from all sides says about a model.

    faces: their number. colour: the colour name that covers most of it, "" if none does.
    main: the pictures of the dominant material, empty if a new colour of it would not give the
    whole that colour. reference: luma of that material, median of what is seen.
    """

    faces: int
    colour: str
    main: list[int]
    reference: float


@dataclass(frozen=True)
class TexturedModel:
    """vertices [V,3], faces [F,3], and a skin (`Skin`) with texels [T,3] uint8.

    Centred on its bounding box, inside a sphere of radius BOUNDING_RADIUS.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    image: NDArray[np.int32]
    texels: NDArray[np.uint8]
    sizes: NDArray[np.int64]

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> TexturedModel:
        """Raises OSError, KeyError for another kind of file."""
        with np.load(path) as data:
            return cls(**{k: data[k] for k in cls.__dataclass_fields__})

    def skin(self) -> Skin:
        return Skin(
            self.uv.astype(np.float64), self.image.astype(np.int64), self.texels / 255.0, self.sizes
        )

    def shape(
        self,
        radius: float = BOUNDING_RADIUS,
        turn: float = 0.0,
        stretch: NDArray[np.float64] | None = None,
        colour: tuple[list[int], NDArray[np.float64], float] | None = None,
    ) -> Shape:
        """As a shape of the world.

        turn: degrees about +y, counter-clockwise seen from above. stretch [3]: factors along the
        axes, after the turn. colour: arguments of `recoloured` after the skin.
        """
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        turned = self.vertices.astype(np.float64) @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        v = normalised(turned if stretch is None else turned * stretch, radius)
        skin = self.skin()
        if colour is not None:
            skin = recoloured(skin, *colour)
        means = np.stack([skin.texels[skin.rows(i)].mean(0) for i in range(len(skin.sizes))])
        return Shape(v, self.faces.astype(np.int64), means[skin.image], skin=skin)


def convert(path: Path, rotation: NDArray[np.float64]) -> TexturedModel:
    """A mesh file with its materials and textures, turned by `rotation` [3,3] first.

    Colours are the texture's, else the material's diffuse one; faces that are transparent are
    left out. Raises ValueError for a mesh without faces or with too many of them, or with textures
    that are cut out by transparency.
    """
    import trimesh

    scene = trimesh.load_scene(path, process=False, split_object=False, group_material=True)
    corners, uvs, pictures = [], [], []
    hidden = shown = 0.0
    for mesh in scene.geometry.values():
        if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
            continue
        material, uv = getattr(mesh.visual, "material", None), getattr(mesh.visual, "uv", None)
        picture = getattr(material, "image", None)
        faces = np.asarray(mesh.faces)
        if picture is not None and uv is not None and len(uv) == len(mesh.vertices):
            places = np.asarray(uv, np.float64)[faces]
            holes = _holes(picture, places)
            hidden += float(mesh.area_faces[holes].sum())
            faces, places, picture = faces[~holes], places[~holes], _opaque(picture)
        else:
            picture, places = _plain(material), np.zeros((len(faces), 3, 2))
            if picture is None:
                continue
        shown += float(mesh.area)
        corners.append(np.asarray(mesh.vertices, np.float64)[faces] @ rotation.T)
        uvs.append(places)
        pictures.append(picture)
    count = sum(map(len, corners))
    if hidden > CUT_OUT * shown:
        raise ValueError("textures that are cut out by transparency")
    if not 0 < count <= MOST_FACES:
        raise ValueError(f"{count} faces, not 1 to {MOST_FACES}")
    v, faces = np.unique(np.concatenate(corners).reshape(-1, 3), axis=0, return_inverse=True)
    v = normalised(v, BOUNDING_RADIUS)
    faces = faces.reshape(-1, 3)
    ends = np.cumsum([0, *map(len, corners)])
    shrunk = [
        _shrunk(p, v[faces[a:b]], uv)
        for p, uv, a, b in zip(pictures, uvs, ends[:-1], ends[1:], strict=True)
    ]
    sizes = np.array([(0, p.shape[1], p.shape[0]) for p in shrunk])
    sizes[1:, 0] = np.cumsum(sizes[:-1, 1] * sizes[:-1, 2])
    return TexturedModel(
        v.astype(np.float32),
        faces.astype(np.int32),
        np.concatenate(uvs).astype(np.float32),
        np.repeat(np.arange(len(shrunk), dtype=np.int32), np.diff(ends)),
        np.concatenate([p.reshape(-1, 3) for p in shrunk]),
        sizes.astype(np.int64),
    )


def _holes(picture: Image.Image, uv: NDArray) -> NDArray[np.bool_]:
    """The faces [F,3,2] in whose middle the picture is transparent."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return np.zeros(len(uv), np.bool_)
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    h, w = alpha.shape
    u, v = (uv.mean(1) % 1).T
    return alpha[((1 - v) * h).astype(int) % h, (u * w).astype(int) % w] < 128


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture with the mean of the rest in place of what is transparent."""
    rgba = np.asarray(picture.convert("RGBA"))
    rgb, through = rgba[..., :3].copy(), rgba[..., 3] < 128
    if through.any() and not through.all():
        rgb[through] = rgb[~through].mean(0)
    return Image.fromarray(rgb)


def _plain(material: Any) -> Image.Image | None:
    """One pixel of a material's diffuse colour, None if it cannot be seen."""
    colour = np.array([153, 153, 153])
    if getattr(material, "diffuse", None) is not None:
        colour = np.asarray(material.diffuse)[:3]
    opacity = (getattr(material, "kwargs", None) or {}).get("d", 1.0)
    if float(np.ravel(opacity)[0]) < 0.05:
        return None
    return Image.new("RGB", (1, 1), tuple(int(c) for c in colour))


def _shrunk(picture: Image.Image, corners: NDArray, uv: NDArray) -> NDArray[np.uint8]:
    """[H,W,3]: averaged so that a world unit has no more than TEXELS_PER_UNIT pixels."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(a, b), axis=1).sum()
    p, q = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    covered = np.abs(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() * picture.width * picture.height
    factor = TEXELS_PER_UNIT * np.sqrt(area / covered) if covered > 0 else 1.0
    factor = min(1.0, factor, MOST_SIDE / max(picture.size))
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return np.asarray(picture.resize(size, Image.Resampling.BOX))


def look_at(path: Path, turn: float) -> InstanceFacts:
    """The facts of a saved model, from twelve views like those of training pictures."""
    model = TexturedModel.load(path)
    angles = torch.tensor([*range(0, 360, 45), *range(30, 390, 90)], dtype=torch.float32)
    views = orbit(angles, torch.tensor([10.0] * 8 + [65.0] * 4), 2.0, 40.0, 64, 64)
    colours, images, view = seen_texels(model.shape(turn=turn), views)
    said = name_of(colours)
    names, counts = np.unique(said[said != ""], return_counts=True)
    name = str(names[counts.argmax()]) if len(names) else ""
    mean, least = _share(said == name, view)
    if mean < NAMED or least < NAMED / 2:
        name = ""
    share = np.bincount(images, minlength=len(model.sizes))
    means = np.stack(
        [np.bincount(images, colours[:, c], len(share)) / np.maximum(share, 1) for c in range(3)], 1
    )
    near = np.linalg.norm(means - means[share.argmax()], axis=1) < ALIKE
    main = [int(i) for i in np.flatnonzero(near & (share > 0))]
    reference = float(np.median(colours[np.isin(images, main)] @ LUMA))
    # Tried out, because a picture may hold much else, which does not take the colour; with two
    # colours, because other parts may have one of them already.
    for paint in (np.array([0.85, 0.05, 0.05]), np.array([0.1, 0.75, 0.85])):
        tried, _, _ = seen_texels(model.shape(turn=turn, colour=(main, paint, reference)), views)
        mean, least = _share(np.linalg.norm(tried - paint, axis=1) < 0.3, view)
        if mean < PAINTABLE or least < PAINTABLE / 2:
            main = []
    return InstanceFacts(len(model.faces), name, main, round(reference, 4))


def _share(hit: NDArray[np.bool_], view: NDArray[np.int64]) -> tuple[float, float]:
    """The share of samples [N] that are hit, and the least of any view."""
    seen = np.bincount(view)
    return float(hit.mean()), float((np.bincount(view, hit, len(seen)) / np.maximum(seen, 1)).min())

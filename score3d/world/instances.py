"""Real models in the folder that scripts/fetch_real_models.py makes: instances of nouns."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.world.models import TexturedModel
from score3d.world.nouns import NOUNS
from score3d.world.palette import COLOURS, sample_colour
from score3d.world.shapes import BOUNDING_RADIUS, Shape
from score3d.world.skin import Skin

__all__ = ["RealModels", "coloured_mesh", "textured_scene"]

SPLITS = ("train", "held-out")
# Share of shapes, of those that can, whose dominant material gets one of the world's colours.
REPAINTED = 0.65
# Stretch along each axis: one model per noun would be one shape per noun.
STRETCH = (0.9, 1.1)
# Raise it whenever anything that changes pictures of real models alone changes.
LOOK = 1


class RealModels:
    """The instances of one split, "train" or "held-out"; models are read when first needed.

    Raises OSError without a folder of models, ValueError for another split or for a folder
    without any of these nouns.
    """

    def __init__(self, folder: Path, split: str = "train", nouns: list[str] | None = None) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
        rows: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())
        self.folder = folder
        self.rows = [e for e in rows if e["split"] == split and e["noun"] in (nouns or NOUNS)]
        if not self.rows:
            raise ValueError(f"{folder}: no {split} models of these nouns")
        self.of_noun: dict[str, list[dict[str, Any]]] = {}
        for e in self.rows:
            self.of_noun.setdefault(e["noun"], []).append(e)
        text = json.dumps([LOOK, self.rows], sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        self._models: dict[str, TexturedModel] = {}

    def model(self, row: dict[str, Any]) -> TexturedModel:
        name = row["npz"]
        if name not in self._models:
            self._models[name] = TexturedModel.load(self.folder / name)
        return self._models[name]

    def shape(self, row: dict[str, Any], radius: float = BOUNDING_RADIUS) -> Shape:
        """The instance of a row as it is, facing +z."""
        return self.model(row).shape(radius, row.get("turn", 0.0))

    def sample(self, rng: np.random.Generator) -> tuple[Shape, tuple[int, ...]]:
        """A random instance of a random noun and its labels as `Renders` has them: noun, colour,
        material, second colour, relation, second noun."""
        names, nouns = sorted(COLOURS), sorted(self.of_noun)
        rows = self.of_noun[nouns[rng.integers(len(nouns))]]
        row = rows[rng.integers(len(rows))]
        radius = BOUNDING_RADIUS * rng.uniform(0.88, 1.0)
        stretch = rng.uniform(*STRETCH, 3)
        j = int(rng.integers(len(names)))
        paint = sample_colour(names[j], rng)
        colour = None
        if rng.random() < REPAINTED and row["main"] and not row.get("natural"):
            colour = row["main"], paint, row["reference"]
        else:
            j = names.index(row["colour"]) if row["colour"] else -1
        shape = self.model(row).shape(radius, row.get("turn", 0.0), stretch, colour)
        return shape, (NOUNS.index(row["noun"]), j, -1, -1, -1, -1)


def _picture(skin: Skin, image: int) -> NDArray[np.uint8]:
    _, width, height = skin.sizes[image]
    rgb = skin.texels[skin.rows(image)].reshape(height, width, 3)
    return np.round(rgb * 255).astype(np.uint8)


def textured_scene(shape: Shape) -> Any:
    """A trimesh.Scene of a shape with a skin: a mesh for each picture, textures repeating."""
    import trimesh
    from PIL import Image
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    assert shape.skin is not None
    scene = trimesh.Scene()
    for image in range(len(shape.skin.sizes)):
        mine = shape.skin.image == image
        if not mine.any():
            continue
        material = PBRMaterial(
            name=f"material{image}",
            baseColorTexture=Image.fromarray(_picture(shape.skin, image)),
            metallicFactor=0.0,
            roughnessFactor=1.0,
            doubleSided=True,
        )
        corners = shape.vertices[shape.faces[mine]].reshape(-1, 3)
        visual = TextureVisuals(uv=shape.skin.uv[mine].reshape(-1, 2), material=material)
        faces = np.arange(len(corners)).reshape(-1, 3)
        scene.add_geometry(trimesh.Trimesh(corners, faces, visual=visual, process=False))
    return scene


def coloured_mesh(shape: Shape, longest: float = 0.02) -> Any:
    """One trimesh.Trimesh of a shape with a skin whose edges are no longer than `longest` (world
    units) and whose faces have the colour of the texture in their middle: for sampling points and
    Gaussians, and for readers of one mesh."""
    import trimesh
    from trimesh.remesh import subdivide_to_size
    from trimesh.triangles import points_to_barycentric
    from trimesh.visual import ColorVisuals

    skin = shape.skin
    assert skin is not None
    divided: Any = subdivide_to_size(
        shape.vertices, shape.faces, longest, max_iter=30, return_index=True
    )
    vertices, faces, source = divided
    middle = vertices[faces].mean(1)
    share = points_to_barycentric(shape.vertices[shape.faces[source]], middle)
    uv = np.einsum("mk,mkd->md", np.nan_to_num(share, nan=1 / 3), skin.uv[source])
    first, width, height = skin.sizes[skin.image[source]].T
    x = np.floor((uv[:, 0] % 1) * width).astype(int) % width
    y = np.floor((1 - uv[:, 1] % 1) * height).astype(int) % height
    rgb = np.round(skin.texels[first + y * width + x] * 255).astype(np.uint8)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.visual = ColorVisuals(mesh, face_colors=rgb)
    return mesh

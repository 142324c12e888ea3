"""Coloured triangle meshes of the world's nouns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from score3d.world.families import FAMILIES, SECOND_PARTS
from score3d.world.families.parts import Parts
from score3d.world.finish import MATTE, Finish, sample_finish
from score3d.world.palette import sample_colour
from score3d.world.primitives import rotated
from score3d.world.skin import Skin

__all__ = [
    "BOUNDING_RADIUS",
    "RELATIONS",
    "SIMPLE",
    "STANDS",
    "Shape",
    "build",
    "build_pair",
    "normalised",
]

# Every shape is centred on its bounding box and scaled into a sphere of about this radius.
BOUNDING_RADIUS = 0.55

# Relations join two of the simple shapes; "on top of" needs a flat top below.
RELATIONS = ("on top of", "next to")
SIMPLE = ("cone", "cube", "cylinder", "pyramid", "sphere", "torus")
STANDS = ("cube", "cylinder")


@dataclass(frozen=True)
class Shape:
    """vertices [V,3] float64, faces [F,3] int64, face_colours [F,3] sRGB in [0,1].

    finish: the material of the faces marked in `finished` [F] (none when it is missing).
    skin: textures, which replace the faces' colours where there are any.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    face_colours: NDArray[np.float64]
    finish: Finish = MATTE
    finished: NDArray[np.bool_] | None = None
    skin: Skin | None = None


def _join(parts: Parts) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """One vertex and face array of all parts, and the tone of every face."""
    offsets = np.cumsum([0, *(len(v) for (v, _), _ in parts)])
    vertices = np.concatenate([v for (v, _), _ in parts])
    faces = np.concatenate([f + o for ((_, f), _), o in zip(parts, offsets, strict=False)])
    return vertices, faces, [tone for (_, f), tone in parts for _ in range(len(f))]


def normalised(v: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Vertices [V,3] centred on their bounding box, inside a sphere of that radius."""
    v = v - (v.min(0) + v.max(0)) / 2
    return v * (radius / np.linalg.norm(v, axis=1).max())


def build(
    noun: str,
    colour: str,
    rng: np.random.Generator,
    radius: float = BOUNDING_RADIUS,
    *,
    material: str = "matte",
    second_colour: str | None = None,
) -> Shape:
    """A random instance of `noun` whose main parts have a colour called `colour`.

    material: one of `MATERIALS`, on the main parts only. second_colour: the colour of the
    parts that SECOND_PARTS names for this noun. Raises KeyError for a noun or colour the
    world does not have or a second colour for a noun without such parts, ValueError for an
    unknown material.
    """
    if second_colour is not None and noun not in SECOND_PARTS:
        raise KeyError(f"{noun} has no second part")
    vertices, faces, tones = _join(FAMILIES[noun](rng))
    if second_colour is None:
        names = [t.rstrip("*") for t in tones]
    else:
        names = [f"*{second_colour}" if t.endswith("*") else t for t in tones]
    # Starred tones are drawn last: a second colour then changes nothing but its own parts.
    plain = (n for n, t in zip(names, tones, strict=True) if not t.endswith("*"))
    palette = {
        name: sample_colour(colour if name == "main" else name.lstrip("*"), rng)
        for name in dict.fromkeys(("main", *plain, *names))
    }
    colours = np.array([palette[name] for name in names])
    finished = np.array([name == "main" for name in names])
    finish = sample_finish(material, colour, rng)
    return Shape(normalised(vertices, radius), faces, colours, finish, finished)


def build_pair(
    noun: str,
    colour: str,
    relation: str,
    second_noun: str,
    second_colour: str,
    rng: np.random.Generator,
    radius: float = BOUNDING_RADIUS,
) -> Shape:
    """Two simple shapes: the first "on top of" or "next to" (at either side, along x) the other.

    Raises ValueError for nouns outside SIMPLE, an unknown relation, or something on top of a
    shape without a flat top.
    """
    if not {noun, second_noun} <= set(SIMPLE) or relation not in RELATIONS:
        raise ValueError(f"no relation of {noun!r} {relation!r} {second_noun!r}")
    if relation == "on top of" and second_noun not in STANDS:
        raise ValueError(f"nothing stands on top of a {second_noun}")
    vertices, faces, colours = [], [], []
    for name, tone in ((noun, colour), (second_noun, second_colour)):
        v, f, _ = _join(FAMILIES[name](rng))
        if name in ("torus", "cylinder", "cone") and relation == "next to" and rng.random() < 0.2:
            v = rotated((v, f), "x", 90)[0]  # standing or lying
        v = normalised(v, 0.5 * rng.uniform(0.85, 1.15))
        vertices.append(v - (0, v[:, 1].min(), 0))
        faces.append(f)
        colours.append(np.broadcast_to(sample_colour(tone, rng), (len(f), 3)))
    first, other = vertices
    if relation == "on top of":
        first = first + np.array([0, other[:, 1].max(), 0])
    else:
        side, gap = rng.choice((-1, 1)), rng.uniform(0.04, 0.15)
        reach = np.abs(first[:, 0]).max() + np.abs(other[:, 0]).max() + gap
        first = first + np.array([side * reach, 0, rng.uniform(-0.1, 0.1)])
    v = np.concatenate([first, other])
    f = np.concatenate([faces[0], faces[1] + len(first)])
    return Shape(normalised(v, radius), f, np.concatenate(colours))

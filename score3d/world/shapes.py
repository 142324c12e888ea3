"""Coloured triangle meshes of the world's nouns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from score3d.world.families import FAMILIES
from score3d.world.palette import sample_colour

__all__ = ["BOUNDING_RADIUS", "Shape", "build"]

# Every shape is centred on its bounding box and scaled into a sphere of about this radius.
BOUNDING_RADIUS = 0.55


@dataclass(frozen=True)
class Shape:
    """vertices [V,3] float64, faces [F,3] int64, face_colours [F,3] sRGB in [0,1]."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    face_colours: NDArray[np.float64]


def build(
    noun: str, colour: str, rng: np.random.Generator, radius: float = BOUNDING_RADIUS
) -> Shape:
    """A random instance of `noun` whose main parts have a colour called `colour`.

    Raises KeyError for a noun or colour the world does not have.
    """
    parts = FAMILIES[noun](rng)
    tones = {tone: sample_colour(colour if tone == "main" else tone, rng) for _, tone in parts}
    vertices, faces, colours, offset = [], [], [], 0
    for (v, f), tone in parts:
        vertices.append(v)
        faces.append(f + offset)
        colours.append(np.broadcast_to(tones[tone], (len(f), 3)))
        offset += len(v)
    v = np.concatenate(vertices)
    v = v - (v.min(0) + v.max(0)) / 2
    v = v * (radius / np.linalg.norm(v, axis=1).max())
    return Shape(v, np.concatenate(faces), np.concatenate(colours))

"""Instances of the procedural world that no teacher or judge was trained on, as Gaussians.

For the scripts beside this one. Instances come from seeds that training never uses (its streams
begin with another number), so that the split is one of instances, not of nouns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from score3d.cameras import orbit
from score3d.files.splats import Splats
from score3d.files.surfels import surfels
from score3d.world.clouds import visible_faces
from score3d.world.raster import render_shape
from score3d.world.shapes import Shape, build

__all__ = ["LIGHT", "Instance", "instance", "ring"]

STREAM = 12
AMBIENT, KEY, HEAD = 0.54, 0.27, 0.22
DIRECTION = np.array([0.3, 0.8, 0.52])
LIGHT = (AMBIENT, KEY, HEAD, DIRECTION)
FACED = 0.7  # mean cosine between a seen surface and the line of sight


@dataclass(frozen=True)
class Instance:
    """splats: discs on what can be seen of the surface, with the light in their colours. part
    [N]: which of them belong to the noun's second part."""

    splats: Splats
    part: NDArray[np.bool_]


def _shape(noun: str, colour: str, seed: int, second: str | None) -> Shape:
    return build(noun, colour, np.random.default_rng([STREAM, seed]), second_colour=second)


def instance(
    noun: str, colour: str, seed: int, second: str | None = None, count: int = 4000
) -> Instance:
    """A held-out instance of a noun. second: the colour of its second part."""
    shape = _shape(noun, colour, seed, second)
    seen = visible_faces(shape)
    part = np.zeros(len(shape.faces), np.bool_)
    if second is not None:  # another second colour changes those faces and nothing else
        other = _shape(noun, colour, seed, "white" if second != "white" else "black")
        part = (other.face_colours != shape.face_colours).any(1)
    corners = shape.vertices[shape.faces[seen]]
    edges = corners[:, 1:] - corners[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    lengths = np.linalg.norm(normals, axis=1)
    rng = np.random.default_rng([STREAM, seed, 1])
    face = rng.choice(len(lengths), count, p=lengths / lengths.sum())
    u = rng.random((count, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    points = corners[face, 0] + (u[:, :, None] * edges[face]).sum(1)
    across = normals[face] / np.maximum(lengths[face, None], 1e-12)
    outward = np.sign((across * points).sum(1, keepdims=True))
    lit = AMBIENT + KEY * np.clip(outward * across @ DIRECTION[:, None], 0, None) + HEAD * FACED
    rgb = np.clip(shape.face_colours[seen][face] * lit, 0, 1)
    spacing = float(np.sqrt(lengths.sum() / 2 / count))
    return Instance(surfels(points, across, rgb, spacing), part[seen][face])


def ring(noun: str, seed: int, height: int = 64, count: int = 8) -> NDArray[np.float32]:
    """[height, count*height, 3] in [0,1]: instances of a noun in red side by side, on gray."""
    rows = []
    for k in range(count):
        shape = _shape(noun, "red", 100 * seed + k, None)
        camera = orbit(*_at(45.0 * k), 2.0, 40.0, height, height)
        rows.append(render_shape(shape, camera, np.full((1, 3), 0.8), LIGHT)[0][0])
    return np.concatenate(rows, 1).astype(np.float32)


def _at(azimuth: float):
    import torch

    return torch.tensor([azimuth]), torch.tensor([15.0])

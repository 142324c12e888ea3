"""Ground truth for comparing geometry: instances of a noun as point clouds."""

import numpy as np
import torch
from numpy.typing import NDArray

from score3d.cameras import orbit
from score3d.world.raster import face_owners
from score3d.world.shapes import BOUNDING_RADIUS, Shape, build

__all__ = ["instance_clouds", "sample_surface", "visible_faces"]


def sample_surface(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    points: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """[points,3] samples of a mesh's surface, uniform by area.

    Raises ValueError for a mesh without area."""
    corners = vertices[faces]
    edges = corners[:, 1:] - corners[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    if not areas.sum() > 0:
        raise ValueError("a mesh without area has no surface to sample")
    chosen = rng.choice(len(faces), points, p=areas / areas.sum())
    u = rng.random((points, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    return corners[chosen, 0] + (u[:, :, None] * edges[chosen]).sum(1)


def visible_faces(shape: Shape, views: int = 40, size: int = 96) -> NDArray[np.bool_]:
    """[F]: which faces are seen from somewhere on a sphere around the shape.

    Parts run through each other, and what is hidden inside is no surface of the object. A
    face counts when it owns a sample of one of `views` pictures of size x size pixels.
    """
    k = np.arange(views) + 0.5
    elevation = np.degrees(np.arcsin(1 - 2 * k / views))
    azimuth = (k * 137.508) % 360
    cameras = orbit(torch.from_numpy(azimuth), torch.from_numpy(elevation), 2.0, 40.0, size, size)
    seen = np.zeros(len(shape.faces), np.bool_)
    seen[face_owners(shape, cameras)] = True
    return seen


def instance_clouds(
    noun: str, count: int = 64, points: int = 2048, seed: int = 0, hidden: bool = False
) -> NDArray[np.float32]:
    """[count,points,3] surface samples of `count` random instances of `noun`.

    Instances are centred on their bounding boxes, inside a sphere of radius 0.55, +y up and
    facing +z. Faces that no outside view shows are left out unless `hidden`. The same arguments
    give the same clouds. Raises KeyError for an unknown noun.
    """
    rng = np.random.default_rng([seed, count, points])
    clouds = np.empty((count, points, 3), np.float32)
    for i in range(count):
        shape = build(noun, "gray", rng, BOUNDING_RADIUS)
        faces = shape.faces if hidden else shape.faces[visible_faces(shape)]
        clouds[i] = sample_surface(shape.vertices, faces, points, rng)
    return clouds

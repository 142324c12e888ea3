"""Ground truth for comparing geometry: instances of a noun as point clouds and silhouettes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from score3d.cameras import Cameras, sphere
from score3d.world.raster import face_owners, render_shape
from score3d.world.shapes import BOUNDING_RADIUS, Shape, build

__all__ = ["instance_clouds", "instance_silhouettes", "sample_surface", "visible_faces"]


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
    seen = np.zeros(len(shape.faces), np.bool_)
    seen[face_owners(shape, sphere(views, size))] = True
    return seen


def _instances(noun: str, count: int, seed: int) -> Iterator[tuple[Shape, np.random.Generator]]:
    """`count` random shapes, each with the generator that made it."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        yield build(noun, "gray", rng, BOUNDING_RADIUS), rng


def instance_clouds(
    noun: str, count: int = 64, points: int = 2048, seed: int = 0, hidden: bool = False
) -> NDArray[np.float32]:
    """[count,points,3] surface samples of `count` random instances of `noun`.

    Instances are centred on their bounding boxes, inside a sphere of radius 0.55, +y up and
    facing +z. Faces that no outside view shows are left out unless `hidden`. The same arguments
    give the same clouds. Raises KeyError for an unknown noun.
    """
    clouds = np.empty((count, points, 3), np.float32)
    for i, (shape, rng) in enumerate(_instances(noun, count, seed)):
        faces = shape.faces if hidden else shape.faces[visible_faces(shape)]
        clouds[i] = sample_surface(shape.vertices, faces, points, rng)
    return clouds


def instance_silhouettes(
    noun: str, cameras: Cameras, count: int = 64, seed: int = 0
) -> NDArray[np.bool_]:
    """[count,B,H,W]: where the instances of `instance_clouds` with the same count and seed
    cover more than half of a pixel."""
    black, light = np.zeros((len(cameras), 3)), (0.5, 0.3, 0.2, np.array([0.0, 1.0, 0.0]))
    masks = [
        render_shape(shape, cameras, black, light)[1] > 0.5
        for shape, _ in _instances(noun, count, seed)
    ]
    return np.stack(masks)

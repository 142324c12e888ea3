"""How near an asset's geometry is to the objects its prompt names.

The world behind the embedded teacher is known, so what is generated can be held against it:
Chamfer distance and silhouette overlap with the nearest of many instances of the noun. Both
after centring and scaling, since a prompt says nothing about size.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from scipy.spatial import KDTree

from score3d.cameras import Cameras, sphere, turntable
from score3d.files.splats import Splats
from score3d.scenes.photograph import depth_pictures
from score3d.world.clouds import instance_clouds, instance_silhouettes
from score3d.world.nouns import SYMMETRIC
from score3d.world.shapes import BOUNDING_RADIUS

__all__ = [
    "Geometry",
    "chamfer",
    "compare_geometry",
    "holes",
    "nearest_instance",
    "normalised",
    "one_sided",
    "visible_points",
]

INSTANCES, POINTS, SIDE = 64, 2048, 64
# In radii. A point of a part on one side has nothing within FAR of it on the other side; a point is
# there if something is within NEAR. NEAR is less, or a part would be seen on either side of itself.
FAR, NEAR = 0.1, 0.08
LEAST = 0.02  # of an instance's points: with fewer it has no such part


@dataclass(frozen=True)
class Geometry:
    """Distances to the nearest of the instances.

    chamfer: mean distance from either surface to the other, summed over both directions, in
    radii of the bounding sphere; two samples of one sphere are 0.08 apart.
    iou: mean intersection over union of 8 silhouettes. holes, one_sided: see the functions; the
    second of the instance nearest by Chamfer distance, None also for a noun without a front.
    """

    chamfer: float
    iou: float
    holes: float
    one_sided: bool | None = None


def _silhouette_cameras() -> Cameras:
    return turntable(8, SIDE)


def visible_points(splats: Splats, views: int = 24, side: int = 96) -> NDArray[np.float32]:
    """[P,3]: the surface as seen from all around, from depth pictures of `views` cameras.

    Gaussians inside an object are no surface of it, so they are not asked where they are.
    Raises ValueError if nothing is opaque enough to be seen.
    """
    cameras = sphere(views, side)
    depth, alpha = depth_pictures(splats, cameras)
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1)
    rays = torch.einsum("bij,hwj->bhwi", torch.linalg.inv(cameras.Ks), pixels)
    local = rays * torch.from_numpy(depth)[..., None]
    rotation, shift = cameras.viewmats[:, :3, :3], cameras.viewmats[:, :3, 3]
    world = torch.einsum("bji,bhwj->bhwi", rotation, local - shift[:, None, None])
    points = world.numpy()[alpha > 0.5]
    if not len(points):
        raise ValueError("nothing in the scene is opaque enough to have a surface")
    return points


def _box(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Centre of the bounding box, and the radius around it that holds 99.5 % of the points: a
    few stray splats must not shrink all the rest."""
    low, high = np.quantile(points, (0.0025, 0.9975), axis=0)
    centre = (low + high) / 2
    return centre, float(np.quantile(np.linalg.norm(points - centre, axis=1), 0.995))


def normalised(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points around their centre, in radii of their bounding sphere."""
    centre, radius = _box(points)
    return ((points - centre) / max(radius, 1e-9)).astype(np.float32)


def chamfer(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean distance from a to b plus mean distance from b to a (not squared)."""
    to_b, to_a = KDTree(b).query(a)[0], KDTree(a).query(b)[0]
    return float(to_b.mean() + to_a.mean())


def one_sided(points: NDArray[np.float32], truth: NDArray[np.float32]) -> bool | None:
    """Whether what the true instance has on one side alone (a mug's handle, a chair's back) is
    there, and not on the other side as well.

    Both [P,3], normalised, +y up and facing +z. The parts are those points of `truth` that would
    have nothing near them if it stood turned by half a turn. Of them at least half must have a
    point near, and fewer than half once they are turned. None if there are no such parts.
    """
    half_turn = np.array([-1, 1, -1], np.float32)
    part = truth[KDTree(truth * half_turn).query(truth)[0] > FAR]
    if len(part) < LEAST * len(truth):
        return None
    mine = KDTree(points)
    here, there = (np.mean(mine.query(at)[0] < NEAR) for at in (part, part * half_turn))
    return bool(here >= 0.5 > there)


@lru_cache(maxsize=8)
def _truth(noun: str) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    clouds = [normalised(c) for c in instance_clouds(noun, INSTANCES, POINTS)]
    return clouds, instance_silhouettes(noun, _silhouette_cameras(), INSTANCES)


def holes(masks: NDArray[np.bool_]) -> float:
    """The share of the filled silhouettes [B,H,W] that is not covered: mean over those that cover
    anything. Objects may have true ones, so that only differences between scenes of one noun
    count."""
    shares = [1 - m.sum() / np.asarray(binary_fill_holes(m)).sum() for m in masks if m.any()]
    return float(np.mean(shares)) if shares else 0.0


def nearest_instance(points: NDArray[np.float32], noun: str) -> tuple[float, bool | None]:
    """Chamfer distance of normalised points [P,3] to the nearest of 64 instances of `noun`, and
    `one_sided` of it, None for a noun without a front. Raises KeyError as `compare_geometry`."""
    clouds = _truth(noun)[0]
    distances = [chamfer(points, c) for c in clouds]
    nearest = int(np.argmin(distances))
    parts = None if noun in SYMMETRIC else one_sided(points, clouds[nearest])
    return distances[nearest], parts


def compare_geometry(splats: Splats, noun: str) -> Geometry:
    """Against 64 instances of `noun`. Raises ValueError for a scene without a surface, KeyError
    for a noun the world does not have."""
    silhouettes = _truth(noun)[1]
    seen = visible_points(splats)
    centre, radius = _box(seen)
    rng = np.random.default_rng(0)
    points = normalised(seen)[rng.choice(len(seen), POINTS, replace=len(seen) < POINTS)]
    scale = BOUNDING_RADIUS / max(radius, 1e-9)
    placed = replace(
        splats,
        means=(splats.means - centre.astype(np.float32)) * np.float32(scale),
        log_scales=splats.log_scales + np.float32(np.log(scale)),
    )
    _, alpha = depth_pictures(placed, _silhouette_cameras())
    mine = alpha > 0.5
    both = (silhouettes & mine).sum((2, 3))
    either = (silhouettes | mine).sum((2, 3))
    overlap = (both / np.maximum(either, 1)).mean(1)
    distance, parts = nearest_instance(points, noun)
    return Geometry(distance, float(overlap.max()), holes(mine), parts)

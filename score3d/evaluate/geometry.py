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
from score3d.world.shapes import BOUNDING_RADIUS

__all__ = ["Geometry", "chamfer", "compare_geometry", "holes", "normalised", "visible_points"]

INSTANCES, POINTS, SIDE = 64, 2048, 64


@dataclass(frozen=True)
class Geometry:
    """Distances to the nearest of the instances.

    chamfer: mean distance from either surface to the other, summed over both directions, in
    radii of the bounding sphere; two samples of one sphere are 0.08 apart.
    iou: mean intersection over union of 8 silhouettes. holes: see the function.
    """

    chamfer: float
    iou: float
    holes: float


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


def compare_geometry(splats: Splats, noun: str) -> Geometry:
    """Against 64 instances of `noun`. Raises ValueError for a scene without a surface, KeyError
    for a noun the world does not have."""
    clouds, silhouettes = _truth(noun)
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
    distance = min(chamfer(points, c) for c in clouds)
    return Geometry(distance, float(overlap.max()), holes(mine))

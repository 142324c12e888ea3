"""Shapes of the world as volumes: how full each cell is, and the colour of what one sees of it.

Any mesh will do, closed or not: a cell is empty if some view looks through it (space carving,
Kutulakos and Seitz 2000, from the depth of rendered views), which also empties what a part that
runs through another hides. What no view looks through is full.
"""

import functools

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, maximum_filter

from score3d.cameras import sphere
from score3d.world.raster import Lighting, render_shape
from score3d.world.shapes import Shape

__all__ = ["BOUND", "CELL", "SIDE", "SURFACE", "volume_of"]

SIDE, BOUND = 36, 0.56  # cells a side of the cube [-BOUND, BOUND]^3; shapes reach 0.55
VIEWS, SIZE = 26, 96  # of SIDE cells; as many more pixels as there are more cells
FINE = 2  # cells are carved at twice the side, and averaged
CELL = 2 * BOUND / SIDE
# A fine cell so many cells behind the surface is full: what is thin as paper is then one thick.
SKIN = 0.35
SURFACE = 0.33
# The light of training pictures, on average.
LIGHT: Lighting = (0.54, 0.27, 0.22, np.array([0.0, 0.8, 0.6]))


@functools.cache
def _projection(side: int, size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Pixel [VIEWS,N] and depth [VIEWS,N] of the middles of cells, x slowest, z fastest."""
    cameras = sphere(VIEWS, size)
    line = (np.arange(side) + 0.5) / side * 2 * BOUND - BOUND
    at = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    views, focal = cameras.viewmats.numpy(), cameras.Ks.numpy()
    pixel = np.empty((VIEWS, len(at)), np.int32)
    depth = np.empty((VIEWS, len(at)), np.float32)
    for i, (view, K) in enumerate(zip(views, focal, strict=True)):
        local = at @ view[:3, :3].T + view[:3, 3]
        xy = local[:, :2] / local[:, 2:] * (K[0, 0], K[1, 1]) + K[:2, 2]
        x, y = np.clip(xy.astype(np.int32), 0, size - 1).T
        pixel[i], depth[i] = y * size + x, local[:, 2]
    return pixel, depth


@njit(cache=True, nogil=True)
def _carve(seen, pixel, depth, skin, full):
    """full [N]: 1 where no view sees past a cell. seen [VIEWS,P]: depth, 0 where nothing is hit."""
    for n in range(full.shape[0]):
        full[n] = 1.0
        for v in range(pixel.shape[0]):
            d = seen[v, pixel[v, n]]
            if d == 0.0 or d - depth[v, n] > skin:
                full[n] = 0.0
                break


@njit(cache=True, nogil=True)
def _colour(seen, rgb, pixel, depth, near, total, weight):
    """Sums over the views whose surface is within `near` of a cell."""
    for n in range(weight.shape[0]):
        for v in range(pixel.shape[0]):
            d = seen[v, pixel[v, n]]
            if d > 0.0 and abs(d - depth[v, n]) < near:
                w = 1.0 - abs(d - depth[v, n]) / near
                weight[n] += w
                for c in range(3):
                    total[n, c] += w * rgb[v, pixel[v, n], c]


@functools.cache
def _rays(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Eye [VIEWS,3] and, per pixel, the way to depth 1 [VIEWS,P,3], in world axes."""
    cameras = sphere(VIEWS, size)
    y, x = np.mgrid[:size, :size].reshape(2, -1) + 0.5
    eyes, ways = [], []
    for view, K in zip(cameras.viewmats.numpy(), cameras.Ks.numpy(), strict=True):
        local = np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], 1)
        eyes.append(-view[:3, :3].T @ view[:3, 3])
        ways.append(local @ view[:3, :3])
    return np.array(eyes, np.float32), np.array(ways, np.float32)


@njit(cache=True, nogil=True)
def _touch(seen, eyes, ways, side, touched):
    """touched [side^3]: 1 where a point lies that some view sees."""
    for v in range(seen.shape[0]):
        for p in range(seen.shape[1]):
            d = seen[v, p]
            if d == 0.0:
                continue
            cell = 0
            for c in range(3):
                k = int((eyes[v, c] + d * ways[v, p, c] + BOUND) / (2 * BOUND / side))
                cell = cell * side + min(max(k, 0), side - 1)
            touched[cell] = 1.0


def _blurred(field: NDArray[np.float32], side: float) -> NDArray[np.float32]:
    for axis in range(3):
        weights = (side, 1 - 2 * side, side)
        field = np.asarray(correlate1d(field, weights, axis=axis, mode="constant"), np.float32)
    return field


def volume_of(shape: Shape, side: int = SIDE) -> NDArray[np.float32]:
    """[4,side,side,side] over x, y, z: fullness in [0,1], smoothed over a cell, and r, g, b less
    0.5 where a surface is within a cell or so, 0 elsewhere; lit as training pictures are on
    average. The surface is where fullness is SURFACE. What is too thin to be a surface there is
    drawn as a line or sheet of cells."""
    size, cell = SIZE * side // SIDE, 2 * BOUND / side
    cameras = sphere(VIEWS, size)
    rgb, _, seen = render_shape(shape, cameras, np.zeros((VIEWS, 3)), LIGHT, supersample=1)
    rgb, seen = rgb.reshape(VIEWS, -1, 3), seen.reshape(VIEWS, -1)
    full = np.empty((side * FINE) ** 3, np.float32)
    _carve(seen, *_projection(side * FINE, size), SKIN * cell, full)
    full = _blurred(full.reshape(side, FINE, side, FINE, side, FINE).mean((1, 3, 5)), 0.25)
    touched = np.zeros(side**3, np.float32)
    _touch(seen, *_rays(size), side, touched)
    thin = touched.reshape(full.shape) * (maximum_filter(full, 3) < SURFACE)
    full = np.maximum(full, np.maximum(0.5 * thin, np.minimum(_blurred(thin, 0.2), 0.7)))
    total, weight = np.zeros((side**3, 3), np.float32), np.zeros(side**3, np.float32)
    _colour(seen, rgb, *_projection(side, size), 1.5 * cell, total, weight)
    known = weight > 0
    total[known] = total[known] / weight[known, None] - 0.5
    return np.concatenate([full[None], total.T.reshape(3, side, side, side)])

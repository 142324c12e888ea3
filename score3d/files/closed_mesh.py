"""Surfaces without debris, with fewer triangles, and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import trimesh

__all__ = ["closed", "solid_parts"]

SMALLEST_PART = 0.02  # of the area of the largest part


def solid_parts(vertices: NDArray, triangles: NDArray) -> tuple[NDArray, NDArray, int]:
    """The mesh without small parts and cavity walls, and how many of these there were."""
    part = _parts(len(vertices), triangles)
    corners = vertices[triangles].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.bincount(part, 0.5 * np.linalg.norm(cross, axis=1))
    volumes = np.bincount(part, np.einsum("ni,ni->n", corners[:, 0], cross) / 6)
    # a wall around a cavity encloses a negative volume, a sheet folded flat none
    solid = volumes > 1e-9 * np.maximum(areas, np.finfo(float).tiny) ** 1.5
    kept = solid & (areas >= SMALLEST_PART * areas[solid].max(initial=0))
    used, triangles = np.unique(triangles[kept[part]], return_inverse=True)
    return vertices[used], triangles.reshape(-1, 3), int((~kept).sum())


def _parts(count: int, triangles: NDArray) -> NDArray:
    """The number of the connected part each triangle belongs to, shape [F]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    links = coo_matrix((np.ones(len(ends), bool), ends.T), shape=(count, count))
    return connected_components(links, directed=False)[1][triangles[:, 0]]


def _decimate(vertices: NDArray, triangles: NDArray, target: int) -> tuple[NDArray, NDArray]:
    import fast_simplification

    # aggression: 3 of 10 pinches fewer edges shut, but stops short of the target where the
    # surface is a sponge; only then harder
    for aggression in (3, 7, 10):
        if len(triangles) > target:
            fewer = fast_simplification.simplify(
                np.asarray(vertices, np.float64),
                np.asarray(triangles, np.int32),
                target_count=target,
                agg=aggression,
            )
            vertices, triangles = fewer[0], fewer[1]
    return np.asarray(vertices, np.float64), np.asarray(triangles, np.int64)


def closed(
    vertices: NDArray, triangles: NDArray, parts: int, faces: int
) -> tuple[trimesh.Trimesh, int]:
    """The surface with about `faces` triangles and the number of parts left out; with up to four
    times as many if that is what it takes to stay closed, which thin walls may need."""
    import trimesh

    found = []
    for target in (faces, 2 * faces, 4 * faces):
        fewer = _split(*_decimate(vertices, triangles, target))
        corners, kept, slivers = solid_parts(*fewer)  # what the splitting cut off
        found.append((trimesh.Trimesh(corners, kept, process=False), parts + slivers))
        if found[-1][0].is_watertight or len(triangles) <= target:
            return found[-1]
    return found[0]


def _split(vertices: NDArray, triangles: NDArray) -> tuple[NDArray, NDArray]:
    """The same triangles with a vertex of its own for each fan around a corner.

    Decimation can squeeze a tunnel or a thin sheet shut until two sides share an edge, which four
    triangles then meet in. Corners stay joined only across edges of exactly two triangles, so the
    sides come apart again, at the same places, and the mesh is closed.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(triangles)
    corner = np.arange(3 * n).reshape(n, 3)
    start = np.concatenate([corner[:, [0, 1]], corner[:, [1, 2]], corner[:, [2, 0]]])
    ends = triangles.reshape(-1)[start]
    flip = ends[:, 0] > ends[:, 1]
    start[flip], ends[flip] = start[flip][:, ::-1], ends[flip][:, ::-1]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    first = np.flatnonzero((np.diff(ends[order], axis=0, prepend=-1) != 0).any(axis=1))
    pairs = first[np.diff(first, append=len(order)) == 2]
    a, b = start[order[pairs]], start[order[pairs + 1]]
    links = np.concatenate([np.stack([a[:, k], b[:, k]]) for k in (0, 1)], axis=1)
    fans = coo_matrix((np.ones(links.shape[1], bool), links), shape=(3 * n, 3 * n))
    count, fan = connected_components(fans, directed=False)
    source = np.zeros(count, np.int64)
    source[fan] = triangles.reshape(-1)
    return vertices[source], fan.reshape(n, 3).astype(np.int64)

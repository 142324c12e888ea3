"""A UV atlas for a mesh and a base-colour texture baked into it."""

from __future__ import annotations

from typing import Protocol

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from score3d.files.splats import FloatArray

__all__ = ["Colour", "bake", "surface_colour", "unwrap"]

CANDIDATES = 2_000_000  # texels tested at once


def unwrap(
    vertices: NDArray, normals: NDArray, faces: NDArray, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], tuple[int, int]]:
    """Cut a mesh into charts that nowhere overlap and pack them into an atlas, with xatlas.

    Now and then xatlas lays a chart over itself. Such a chart is cut in two across its longest
    direction and the atlas is made again, until none does.

    Args:
        vertices, normals: shape [V, 3]; faces: shape [F, 3].
        size: wanted side of the texture, texels.

    Returns:
        source [W]: the vertex each new vertex is a copy of (vertices double along seams);
        faces [F, 3] of new vertices; uv [W, 2] in [0, 1], v up; (height, width) of the texture.
    """
    middles = np.asarray(vertices, np.float64)[faces].mean(axis=1)
    pieces = [np.arange(len(faces))]
    while True:
        source, new_faces, uv, shape = _atlas(vertices, normals, faces, pieces, size)
        charts = _overlapping_charts(new_faces, uv, shape)
        if not charts:
            return source, new_faces, uv, shape
        moved = np.concatenate(charts)
        pieces = [kept for p in pieces if len(kept := p[~np.isin(p, moved)])]
        for chart in charts:
            apart = middles[chart] - middles[chart].mean(axis=0)
            order = np.argsort(apart @ np.linalg.svd(apart, full_matrices=False)[2][0])
            half = len(chart) // 2
            pieces += [np.sort(chart[order[:half]]), np.sort(chart[order[half:]])]


def _atlas(
    vertices: NDArray, normals: NDArray, faces: NDArray, pieces: list[NDArray], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], tuple[int, int]]:
    """As `unwrap` returns it; no chart holds faces of two pieces."""
    import xatlas

    atlas = xatlas.Atlas()
    used = [np.unique(faces[piece], return_inverse=True) for piece in pieces]
    for vertex, face in used:
        atlas.add_mesh(
            np.ascontiguousarray(vertices[vertex], np.float32),
            np.ascontiguousarray(face.reshape(-1, 3), np.uint32),
            np.ascontiguousarray(normals[vertex], np.float32),
        )
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    packing.resolution = size
    packing.padding = 2
    packing.bilinear = True
    atlas.generate(charts, packing)
    sources, uvs, new_faces, count = [], [], np.empty((len(faces), 3), np.int64), 0
    for i, (piece, (vertex, _)) in enumerate(zip(pieces, used, strict=True)):
        source, face, uv = atlas.get_mesh(i)
        new_faces[piece] = face.astype(np.int64) + count
        sources.append(vertex[source])
        uvs.append(uv.astype(np.float64))
        count += len(source)
    return np.concatenate(sources), new_faces, np.concatenate(uvs), (atlas.height, atlas.width)


def _overlapping_charts(faces: NDArray, uv: NDArray, shape: tuple[int, int]) -> list[NDArray]:
    """The faces of every chart of more than one face in which two faces share a point of a raster
    with half the spacing of the texels."""
    height, width = 2 * shape[0], 2 * shape[1]
    doubled = _doubly_covered(uv[faces] * (width, height) - 0.5, height, width)
    if not doubled.any():
        return []
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2).T
    linked = coo_matrix((np.ones(edges.shape[1]), edges), shape=(len(uv), len(uv)))
    chart = connected_components(linked, directed=False)[1][faces[:, 0]]
    found = [np.flatnonzero(chart == c) for c in np.unique(chart[doubled])]
    return [f for f in found if len(f) > 1]


@nb.njit(cache=True)
def _doubly_covered(
    corners: NDArray[np.float64], height: int, width: int
) -> NDArray[np.bool_]:  # pragma: no cover - compiled
    """Which faces [F] hold a whole-numbered point well inside that another face holds, too.
    corners [F, 3, 2]: (column, row)."""
    owner = np.full((height, width), -1, np.int64)
    doubled = np.zeros(len(corners), np.bool_)
    for f in range(len(corners)):
        a, b, c = corners[f, 0], corners[f, 1], corners[f, 2]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9:
            continue
        low, high = min(a[1], b[1], c[1]), max(a[1], b[1], c[1])
        left, right = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
        for row in range(max(int(np.ceil(low)), 0), min(int(np.floor(high)), height - 1) + 1):
            first, last = max(int(np.ceil(left)), 0), min(int(np.floor(right)), width - 1)
            for column in range(first, last + 1):
                x, y = column - a[0], row - a[1]
                s = (x * (c[1] - a[1]) - y * (c[0] - a[0])) / area
                t = ((b[0] - a[0]) * y - (b[1] - a[1]) * x) / area
                if s > 1e-3 and t > 1e-3 and s + t < 1 - 1e-3:
                    if owner[row, column] >= 0:
                        doubled[f] = doubled[owner[row, column]] = True
                    owner[row, column] = f
    return doubled


class Colour(Protocol):
    """What colours a surface; part of `score3d.files.field.Field`."""

    def colour(self, points: NDArray) -> tuple[FloatArray, FloatArray]: ...

    def nearest_colour(self, points: NDArray) -> FloatArray: ...


def surface_colour(field: Colour, points: NDArray) -> FloatArray:
    """rgb [M, 3] in [0, 1] at points [M, 3]; the nearest where the density is zero."""
    colour, density = field.colour(points)
    lost = density == 0
    if lost.any():
        colour[lost] = field.nearest_colour(points[lost])
    return colour


def bake(
    field: Colour,
    vertices: NDArray,
    faces: NDArray,
    uv: NDArray,
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """The colour of the field at the surface point of every texel.

    Args:
        field: where the colour comes from; and `nearest_colour` where the density is zero.
        vertices: [W, 3]; faces: [F, 3]; uv: [W, 2] in [0, 1], v up.
        shape: (height, width) of the texture.

    Returns:
        sRGB, shape [height, width, 3], the top row is v = 1. Texels outside the charts take the
        colour of the nearest one inside, so that filtering and mip maps do not bleed.
    """
    height, width = shape
    points, inside = _surface_points(vertices, faces, uv, shape)
    colour = surface_colour(field, points)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[inside] = np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    assert nearest is not None
    return picture[nearest[0], nearest[1]]


def _surface_points(
    vertices: NDArray, faces: NDArray, uv: NDArray, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Surface points [M, 3] of the texels whose centre lies in a chart, and the mask of those."""
    height, width = shape
    # texel units with the row downwards; the centre of texel (row, column) is a whole number
    corners = np.stack([uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5], axis=1)[faces]
    low = np.maximum(np.ceil(corners.min(axis=1) - 1e-6), 0).astype(np.int64)
    high = np.floor(corners.max(axis=1) + 1e-6).astype(np.int64)
    high = np.minimum(high, [width - 1, height - 1])
    spans = np.maximum(high - low + 1, 0)
    counts = spans[:, 0] * spans[:, 1]
    position = np.zeros((height, width, 3))
    inside = np.zeros((height, width), bool)
    total = np.cumsum(counts)
    cuts = np.searchsorted(total, np.arange(CANDIDATES, total[-1] + CANDIDATES, CANDIDATES))
    for first, last in zip([0, *cuts], [*cuts, len(faces)], strict=True):
        count = counts[first:last]
        if count.sum() == 0:
            continue
        face = first + np.repeat(np.arange(last - first), count)
        offset = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
        column = low[face, 0] + offset % spans[face, 0]
        row = low[face, 1] + offset // spans[face, 0]
        a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
        at = np.stack([column, row], axis=1)
        area = _cross(b - a, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            wb = _cross(at - a, c - a) / area
            wc = _cross(b - a, at - a) / area
        hit = (wb >= -1e-6) & (wc >= -1e-6) & (wb + wc <= 1 + 1e-6)
        face, row, column = face[hit], row[hit], column[hit]
        weights = np.stack([1 - wb[hit] - wc[hit], wb[hit], wc[hit]], axis=1)
        position[row, column] = np.einsum("mk,mkd->md", weights, vertices[faces[face]])
        inside[row, column] = True
    return position[inside], inside


def _cross(a: NDArray, b: NDArray) -> NDArray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]

"""A signed distance on a lattice of tetrahedra that can be moved, and its surface.

Shen et al. 2021 (DMTet, arXiv 2111.04276): every corner of the lattice has a signed distance and an
offset; the surface crosses an edge where the linearly interpolated distance is zero (marching
tetrahedra, Doi and Koide 1991). The lattice is body-centred cubic, as in Labelle and Shewchuk 2007
(isosurface stuffing): all its tetrahedra are alike and better shaped than those of cut-up cubes.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from score3d.files.atomic import atomic_write
from score3d.files.grid_field import GridField
from score3d.files.splats import FileFormatError, FloatArray

__all__ = ["Lattice", "TetrahedralField", "corner_normals", "lattice", "march_tetrahedra"]

# of an edge: how close to a corner of the lattice an exported surface crosses it. Triangles there
# would have no area.
CLOSEST = 0.02

# Even permutations of a tetrahedron's corners with the given ones in front.
ONE = np.array([(0, 1, 2, 3), (1, 0, 3, 2), (2, 0, 1, 3), (3, 0, 2, 1)])
TWO = np.array([(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 2, 0), (2, 3, 0, 1)])


@dataclass(frozen=True)
class Lattice:
    """points [V,3] in [-1,1]^3: the corners of n^3 cubes, x slowest, then their centres.
    tetrahedra [T,4] of positive orientation. border [V]: whether a corner is one of the lattice's
    own surface."""

    points: NDArray[np.float64]
    tetrahedra: NDArray[np.int32]
    border: NDArray[np.bool_]


@lru_cache(maxsize=2)
def lattice(cells: int) -> Lattice:
    """The body-centred lattice of `cells` cubes a side: around each face between two cubes, four
    tetrahedra of an edge of it and both centres."""
    n = cells
    corner = np.arange((n + 1) ** 3, dtype=np.int32).reshape((n + 1,) * 3)
    centre = (len(corner.ravel()) + np.arange(n**3, dtype=np.int32)).reshape((n,) * 3)
    line = np.linspace(-1, 1, n + 1)
    middle = 0.5 * (line[1:] + line[:-1])
    points = [np.stack(np.meshgrid(a, a, a, indexing="ij"), -1).reshape(-1, 3)
              for a in (line, middle)]  # fmt: skip
    parts = []
    for axis in range(3):
        # with the axis in front, the two others in cyclic order
        turn = [(axis + k) % 3 for k in range(3)]
        corners, centres = corner.transpose(turn), centre.transpose(turn)
        before, after = centres[:-1], centres[1:]
        face = corners[1:-1]
        ring = [face[:, :-1, :-1], face[:, 1:, :-1], face[:, 1:, 1:], face[:, :-1, 1:]]
        for k in range(4):
            quad = (before, after, ring[k], ring[(k + 1) % 4])
            parts.append(np.stack([q.ravel() for q in quad], 1))
    edge = np.ones((n + 1,) * 3, bool)
    edge[1:-1, 1:-1, 1:-1] = False
    outer = np.ones((n,) * 3, bool)
    outer[1:-1, 1:-1, 1:-1] = False
    border = np.concatenate([edge.ravel(), outer.ravel()])
    return Lattice(np.concatenate(points), np.concatenate(parts), border)


def march_tetrahedra(
    inside: NDArray[np.bool_], tetrahedra: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges [E,2] of the lattice, the inside end first, on each of which the surface has a corner;
    and faces [F,3] of those corners, counter-clockwise from outside. inside [V].

    The surface is closed if no corner on the lattice's border is inside.
    """
    within = inside[tetrahedra]
    count = within.sum(axis=1)
    triangles = []
    for number, table in ((1, ONE), (3, ONE), (2, TWO)):
        t, w = tetrahedra[count == number], within[count == number]
        # the row of the table whose first corners are those inside; or, of three, outside
        w = ~w if number == 3 else w
        first = w.argmax(axis=1)
        if number == 2:
            last = 3 - w[:, ::-1].argmax(axis=1)
            row = np.array([[0, 0, 1, 2], [0, 0, 3, 4], [0, 0, 0, 5], [0] * 4])[first, last]
        else:
            row = first
        i, j, k, m = np.take_along_axis(t, table[row], axis=1).T
        if number == 1:
            triangles.append(((i, j), (i, k), (i, m)))
        elif number == 3:
            triangles.append(((j, i), (m, i), (k, i)))
        else:
            triangles.append(((i, k), (i, m), (j, m)))
            triangles.append(((i, k), (j, m), (j, k)))
    size = len(inside)
    keys = np.concatenate(
        [np.stack([a.astype(np.int64) * size + b for a, b in tri], 1) for tri in triangles]
    )
    unique, faces = np.unique(keys, return_inverse=True)
    return np.stack([unique // size, unique % size], 1), faces.reshape(-1, 3).astype(np.int64)


def corner_normals(vertices: NDArray, faces: NDArray) -> NDArray[np.float64]:
    """Unit normals [V,3], of faces weighted by area; zero for corners of no face."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    normals = np.zeros(vertices.shape)
    for k in range(3):
        np.add.at(normals, faces[:, k], cross)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def _sides(grid: Lattice, far: NDArray[np.bool_], distance: NDArray) -> NDArray[np.float64]:
    """-1 or 1 [V] for corners far from a surface: what most of those of a connected part say, and
    outside for what reaches the border."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = np.concatenate([grid.tetrahedra[:, [0, k]] for k in (1, 2, 3)])
    links = links[far[links].all(axis=1)]
    size = len(far)
    graph = coo_matrix((np.ones(len(links), bool), links.T), shape=(size, size))
    count, part = connected_components(graph, directed=False)
    votes = np.bincount(part, np.sign(distance), minlength=count)
    votes += np.bincount(part, size * (grid.border & far), minlength=count)
    return np.where(votes < 0, -1.0, 1.0)[part]


class TetrahedralField:
    """A surface in [-bound, bound]^3 with a colour.

    Args:
        distance: [V], signed, world units, negative inside, at the corners of `lattice(cells)`.
        offset: [V, 3], how far each corner is moved, world units.
        raw_colour: [3, N, N, N], as of `GridField`.
    """

    def __init__(
        self, cells: int, bound: float, distance: FloatArray, offset: FloatArray,
        raw_colour: FloatArray,
    ) -> None:  # fmt: skip
        self.cells, self.bound, self.distance, self.offset = cells, bound, distance, offset
        self.colours = GridField(np.zeros_like(raw_colour[0]), raw_colour, bound)

    @classmethod
    def around(
        cls, points: NDArray, normals: NDArray, rgb: NDArray, cells: int, bound: float,
        resolution: int,
    ) -> TetrahedralField:  # fmt: skip
        """A closed surface given by points [N, 3], closer to each other than to the next sheet,
        with outward unit normals [N, 3] and colours rgb [N, 3] in [0, 1]; colours on a grid of
        `resolution` cells a side.

        Close to the points the distance is the mean of those from the nearest points' tangent
        planes (IMLS, Kolluri 2005); elsewhere it is the nearest point's own, up to three cells. Of
        far corners, those that the lattice connects are on the same side.
        """
        from scipy.spatial import KDTree

        tree = KDTree(points)
        grid, cell = lattice(cells), 2 * bound / cells
        at = grid.points * bound
        away, nearest = tree.query(at, k=min(12, len(points)))
        away, nearest = away.reshape(len(at), -1), nearest.reshape(len(at), -1)
        planes = np.einsum("vki,vki->vk", at[:, None] - points[nearest], normals[nearest])
        weights = 1 / (away**2 + (0.1 * cell) ** 2)
        distance = (weights * planes).sum(axis=1) / weights.sum(axis=1)
        away = away[:, 0]
        far = away > cell
        side = _sides(grid, far, distance)
        distance = np.where(far, side * np.minimum(away, 3 * cell), distance)
        line = np.linspace(-bound, bound, resolution + 1)
        z, y, x = np.meshgrid(line, line, line, indexing="ij")
        _, nearest = tree.query(np.stack([x, y, z], -1).reshape(-1, 3), k=min(4, len(points)))
        colour = rgb[nearest.reshape(len(z) ** 3, -1)].mean(axis=1)
        raw = logit(np.clip(colour, 0.01, 0.99)).T.reshape(3, *x.shape)
        zeros = np.zeros(at.shape, np.float32)
        return cls(cells, bound, distance.astype(np.float32), zeros, raw.astype(np.float32))

    def surface(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Corners [W, 3] and closed, outward faces [F, 3]; none for an empty field."""
        grid = lattice(self.cells)
        distance = self.distance.astype(np.float64)
        edges, faces = march_tetrahedra((distance < 0) & ~grid.border, grid.tetrahedra)
        points = grid.points * self.bound + self.offset
        near, far = distance[edges[:, 0]], np.abs(distance[edges[:, 1]])
        share = near / np.minimum(near - far, -1e-30)
        share = np.clip(share, CLOSEST, 1 - CLOSEST)[:, None]
        return (1 - share) * points[edges[:, 0]] + share * points[edges[:, 1]], faces

    def colour(self, points: NDArray) -> tuple[FloatArray, FloatArray]:
        """rgb [M, 3] in [0, 1] at points [M, 3], and ones: there is a colour everywhere."""
        rgb = self.colours.nearest_colour(points)
        return rgb, np.ones(len(rgb), np.float32)

    def nearest_colour(self, points: NDArray) -> FloatArray:
        """rgb [M, 3] in [0, 1] at points [M, 3]."""
        return self.colours.nearest_colour(points)

    def save(self, path: Path) -> None:
        """Write an .npz: cells, bound, distance, offset (single), raw_colour (half precision).
        Raises OSError."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            raw = np.clip(self.colours.raw_colour, -6e4, 6e4).astype(np.float16)
            np.savez_compressed(
                file, cells=self.cells, bound=self.bound, distance=np.float32(self.distance),
                offset=np.float32(self.offset), raw_colour=raw,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> TetrahedralField:
        """What `save` wrote. Raises FileFormatError, OSError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                cells, bound = int(file["cells"]), float(file["bound"])
                values = [file[k].astype(np.float32) for k in ("distance", "offset", "raw_colour")]
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
            raise FileFormatError(f"{path}: not a mesh field of score3d ({error})") from error
        corners = (cells + 1) ** 3 + cells**3
        distance, offset, raw = values
        n = raw.shape[-1] if raw.ndim else 0
        right = distance.shape == (corners,) and offset.shape == (corners, 3)
        if not right or raw.shape != (3, n, n, n) or n < 2 or not (2 <= cells <= 256 and bound > 0):
            shapes = ", ".join(str(v.shape) for v in values)
            raise FileFormatError(f"{path}: shapes {shapes} are no mesh field of {cells} cells")
        return cls(cells, bound, distance, offset, raw)

"""Mesh primitives as plain (vertices [V,3], faces [F,3]) arrays.

Shapes are built millions of times for training; these take microseconds where a full mesh
library's constructors take milliseconds.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Geometry",
    "box",
    "cone",
    "cylinder",
    "ellipsoid",
    "lathe",
    "moved",
    "prism",
    "rotated",
    "torus",
    "tube",
]

Geometry = tuple[NDArray[np.float64], NDArray[np.int64]]


def _grid_faces(rows: int, cols: int, wrap_rows: bool = False) -> NDArray[np.int64]:
    """Two triangles per cell of a rows x cols vertex grid; columns wrap around."""
    r = np.arange(rows if wrap_rows else rows - 1)
    a = (r[:, None] * cols + np.arange(cols)).ravel()
    b = (r[:, None] * cols + (np.arange(cols) + 1) % cols).ravel()
    c, d = (a + cols) % (rows * cols), (b + cols) % (rows * cols)
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def lathe(profile: list[tuple[float, float]], segments: int = 24) -> Geometry:
    """Surface of revolution about +y of a (radius, y) profile given from bottom to top."""
    p = np.asarray(profile, dtype=np.float64)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    v = np.empty((len(p), segments, 3))
    v[:, :, 0] = p[:, :1] * np.sin(angle)
    v[:, :, 1] = p[:, 1:]
    v[:, :, 2] = p[:, :1] * np.cos(angle)
    return v.reshape(-1, 3), _grid_faces(len(p), segments)


def cylinder(radius: float, y0: float, y1: float, top: float | None = None, segments: int = 24):
    """Closed cylinder (or frustum, when `top` is another radius) from y0 to y1."""
    top = radius if top is None else top
    return lathe([(0, y0), (radius, y0), (top, y1), (0, y1)], segments)


def cone(radius: float, y0: float, y1: float, segments: int = 24) -> Geometry:
    """Closed cone with its tip at y1."""
    return lathe([(0, y0), (radius, y0), (0, y1)], segments)


def ellipsoid(rx: float, ry: float, rz: float, centre=(0.0, 0.0, 0.0), segments: int = 20):
    """Ellipsoid with the given half axes."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    v, f = lathe(list(zip(np.cos(t), np.sin(t), strict=True)), segments)
    return v * (rx, ry, rz) + np.asarray(centre), f


def box(sx: float, sy: float, sz: float, centre=(0.0, 0.0, 0.0), taper: float = 1.0) -> Geometry:
    """Box with full sizes; `taper` scales the top face in x and z."""
    v = np.array(
        [
            [x, y, z]
            for y in (-0.5, 0.5)
            for x, z in ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
        ]
    )
    v[4:, [0, 2]] *= taper
    f = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]]
    for i in range(4):
        j = (i + 1) % 4
        f += [[i, j, j + 4], [i, j + 4, i + 4]]
    return v * (sx, sy, sz) + np.asarray(centre), np.array(f)


def prism(polygon: list[tuple[float, float]], thickness: float) -> Geometry:
    """A convex polygon in the x-y plane, extruded along z, centred at z = 0."""
    p = np.asarray(polygon, dtype=np.float64)
    n = len(p)
    front = np.column_stack([p, np.full(n, thickness / 2)])
    back = np.column_stack([p, np.full(n, -thickness / 2)])
    f = [[0, i, i + 1] for i in range(1, n - 1)]
    f += [[n, n + i + 1, n + i] for i in range(1, n - 1)]
    for i in range(n):
        j = (i + 1) % n
        f += [[i, i + n, j], [j, i + n, j + n]]
    return np.concatenate([front, back]), np.array(f)


def tube(points, radii, segments: int = 10) -> Geometry:
    """A closed tube through `points` [P,3] with one radius, or one per point."""
    p = np.asarray(points, dtype=np.float64)
    r = np.broadcast_to(np.asarray(radii, dtype=np.float64), (len(p),))
    tangent = np.gradient(p, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # One reference direction, least aligned with the curve as a whole, gives a frame
    # without twist for the gentle curves used here.
    ref = np.eye(3)[np.argmin(np.abs(tangent).max(0))]
    u = np.cross(tangent, ref)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    w = np.cross(tangent, u)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring = np.cos(angle)[None, :, None] * u[:, None] + np.sin(angle)[None, :, None] * w[:, None]
    v = p[:, None] + r[:, None, None] * ring
    v = np.concatenate(
        [np.repeat(p[:1, None], segments, 1), v, np.repeat(p[-1:, None], segments, 1)]
    )
    return v.reshape(-1, 3), _grid_faces(len(v), segments)


def torus(major: float, minor: float, segments: int = 28) -> Geometry:
    """Torus that lies in the x-z plane."""
    a = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    ring = list(zip(major + minor * np.cos(a), minor * np.sin(a), strict=True))
    v, _ = lathe(ring, segments)
    return v, _grid_faces(len(ring), segments, wrap_rows=True)


def moved(g: Geometry, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Geometry:
    """The geometry, translated."""
    return g[0] + (x, y, z), g[1]


def rotated(g: Geometry, axis: str, degrees: float) -> Geometry:
    """The geometry, rotated about the axis 'x', 'y' or 'z' through the origin."""
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    m = np.eye(3)
    m[j, j], m[j, k], m[k, j], m[k, k] = c, -s, s, c
    return g[0] @ m.T, g[1]

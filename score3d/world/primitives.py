"""Mesh primitives as plain (vertices [V,3], faces [F,3]) arrays.

Shapes are built millions of times for training; these take microseconds where a full mesh
library's constructors take milliseconds.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Geometry",
    "box",
    "cone",
    "cylinder",
    "ellipsoid",
    "fan",
    "lathe",
    "loft",
    "moved",
    "prism",
    "rotated",
    "scaled",
    "signed_volume",
    "spine",
    "strip",
    "torus",
    "tube",
]

Geometry = tuple[NDArray[np.float64], NDArray[np.int64]]


@lru_cache(maxsize=512)
def _grid_faces(rows: int, cols: int, wrap_rows: bool = False) -> NDArray[np.int64]:
    """Two triangles per cell of a rows x cols vertex grid; columns wrap around."""
    r = np.arange(rows if wrap_rows else rows - 1)
    a = (r[:, None] * cols + np.arange(cols)).ravel()
    b = (r[:, None] * cols + (np.arange(cols) + 1) % cols).ravel()
    c, d = (a + cols) % (rows * cols), (b + cols) % (rows * cols)
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    faces.flags.writeable = False  # shared by every shape with such a grid
    return faces


@lru_cache(maxsize=64)
def _circle(segments: int) -> NDArray[np.float64]:
    """[segments,2] sine and cosine, once around."""
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    return np.stack([np.sin(angle), np.cos(angle)], 1)


@lru_cache(maxsize=64)
def _unit_sphere(segments: int) -> Geometry:
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return lathe(list(zip(np.cos(t), np.sin(t), strict=True)), segments)


def lathe(profile: list[tuple[float, float]], segments: int = 24) -> Geometry:
    """Surface of revolution about +y of a (radius, y) profile given from bottom to top."""
    p = np.asarray(profile, dtype=np.float64)
    circle = _circle(segments)
    v = np.empty((len(p), segments, 3))
    v[:, :, 0] = p[:, :1] * circle[:, 0]
    v[:, :, 1] = p[:, 1:]
    v[:, :, 2] = p[:, :1] * circle[:, 1]
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
    v, f = _unit_sphere(segments)
    return v * (rx, ry, rz) + np.asarray(centre), f


_BOX = np.array(
    [
        [x, y, z]
        for y in (-0.5, 0.5)
        for x, z in ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
    ]
)
_BOX_FACES = np.array(
    [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]]
    + [
        face
        for i, j in ((0, 1), (1, 2), (2, 3), (3, 0))
        for face in ([i, j, j + 4], [i, j + 4, i + 4])
    ]
)


def box(sx: float, sy: float, sz: float, centre=(0.0, 0.0, 0.0), taper: float = 1.0) -> Geometry:
    """Box with full sizes; `taper` scales the top face in x and z."""
    v = _BOX * (sx, sy, sz)
    v[4:, [0, 2]] *= taper
    return v + np.asarray(centre), _BOX_FACES


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
    # central differences inside, one-sided ones at the ends
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    tangent = padded[2:] - padded[:-2]
    tangent /= np.sqrt((tangent * tangent).sum(1, keepdims=True))
    # One reference direction, least aligned with the curve as a whole, gives a frame
    # without twist for the gentle curves used here.
    axis = int(np.argmin(np.abs(tangent).max(0)))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    u = np.zeros_like(tangent)
    u[:, j], u[:, k] = tangent[:, k], -tangent[:, j]  # the cross product with that axis
    u /= np.sqrt((u * u).sum(1, keepdims=True))
    w = tangent[:, [1, 2, 0]] * u[:, [2, 0, 1]] - tangent[:, [2, 0, 1]] * u[:, [1, 2, 0]]
    circle = _circle(segments)
    v = np.empty((len(p) + 2, segments, 3))
    v[1:-1] = circle[:, 1, None] * u[:, None] + circle[:, 0, None] * w[:, None]
    v[1:-1] = p[:, None] + r[:, None, None] * v[1:-1]
    v[0], v[-1] = p[0], p[-1]
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


def strip(outer, inner, thickness: float, closed: bool = False) -> Geometry:
    """The flat band between two polylines [n,2] in the x-y plane, extruded along z, centred.

    `outer` lies to the right of the direction of travel (outside, when it runs
    counter-clockwise). `closed` joins the last points to the first: a ring.
    """
    a, b = np.asarray(outer, dtype=np.float64), np.asarray(inner, dtype=np.float64)
    n, half = len(a), thickness / 2
    v = np.concatenate([np.column_stack([p, np.full(n, z)]) for z in (half, -half) for p in (a, b)])
    i = np.arange(n if closed else n - 1)
    j = (i + 1) % n
    quads = [
        (i, j, j + n, i + n),
        (i + 2 * n, i + 3 * n, j + 3 * n, j + 2 * n),
        (i, i + 2 * n, j + 2 * n, j),
        (i + n, j + n, j + 3 * n, i + 3 * n),
    ]
    if not closed:
        e = np.array([n - 1])
        quads.append((e * 0, e * 0 + n, e * 0 + 3 * n, e * 0 + 2 * n))
        quads.append((e, e + 2 * n, e + 3 * n, e + n))
    f = [np.stack(t, 1) for p, q, s, t4 in quads for t in ((p, q, s), (p, s, t4))]
    return v, np.concatenate(f)


def fan(polygon, thickness: float, centre=(0.0, 0.0)) -> Geometry:
    """A polygon in the x-y plane, given in either direction, that is visible as a whole from
    `centre` (a star, a shield), extruded along z, centred at z = 0."""
    p = np.asarray(polygon, dtype=np.float64)
    q = np.roll(p, -1, 0)
    if (p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]).sum() < 0:
        p = p[::-1]
    n, half = len(p), thickness / 2
    v = np.concatenate(
        [
            np.column_stack([p, np.full(n, half)]),
            np.column_stack([p, np.full(n, -half)]),
            [[*centre, half], [*centre, -half]],
        ]
    )
    i = np.arange(n)
    j = (i + 1) % n
    return v, np.concatenate(
        [
            np.stack(t, 1)
            for t in (
                (np.full(n, 2 * n), i, j),
                (np.full(n, 2 * n + 1), j + n, i + n),
                (i, i + n, j),
                (j, i + n, j + n),
            )
        ]
    )


def loft(rings) -> Geometry:
    """A closed skin over rings of points [P,n,3], capped by the mean point of the end rings."""
    p = np.asarray(rings, dtype=np.float64)
    n = p.shape[1]
    ends = [np.repeat(p[k : k + 1].mean(1, keepdims=True), n, 1) for k in (0, len(p) - 1)]
    v = np.concatenate([ends[0], p, ends[1]])
    g = v.reshape(-1, 3), _grid_faces(len(v), n)
    return g if signed_volume(g) > 0 else (g[0], g[1][:, ::-1])


def spine(stations, segments: int = 16, square: float = 1.0) -> Geometry:
    """A body along z: (z, y, half width, half height) cross-sections, skinned.

    square 1 gives ellipses, towards 0 they become rectangles.
    """
    s = np.asarray(stations, dtype=np.float64)
    # half a step off the axes, so that rectangles get their corners
    a = np.linspace(0, 2 * np.pi, segments, endpoint=False) + np.pi / segments
    c, d = (np.sign(t) * np.abs(t) ** square for t in (np.cos(a), np.sin(a)))
    rings = np.empty((len(s), segments, 3))
    rings[:, :, 0] = s[:, 2:3] * c
    rings[:, :, 1] = s[:, 1:2] + s[:, 3:4] * d
    rings[:, :, 2] = s[:, :1]
    return loft(rings)


def signed_volume(g: Geometry) -> float:
    """The volume a closed surface encloses: positive when its faces wind outwards."""
    c = g[0][g[1]]
    return float(np.einsum("ij,ij->i", c[:, 0], np.cross(c[:, 1], c[:, 2])).sum() / 6)


def scaled(g: Geometry, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Geometry:
    """The geometry, scaled about the origin; a mirroring keeps faces outwards."""
    f = g[1] if x * y * z > 0 else g[1][:, ::-1]
    return g[0] * (x, y, z), f

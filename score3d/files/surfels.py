"""Gaussians from surfaces: flat ones, evenly over it, each lying in it.

As SuGaR (Guedon and Lepetit 2023, arXiv 2311.12775) and 2DGS (Huang et al. 2024, arXiv 2403.17888)
have them: two axes in the surface, one along the normal and much shorter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from score3d.files.grid_field import GridField
from score3d.files.splats import SH_C0, FileFormatError, FloatArray, Splats

__all__ = [
    "MESH_ENDINGS",
    "SurfelError",
    "is_mesh_file",
    "read_mesh",
    "sample_mesh",
    "sample_surface",
    "surface_points",
    "surfels",
]

MESH_ENDINGS = (".glb", ".obj", ".stl", ".ply", ".off")

COUNT = 6000
OPACITY = 0.95
WIDTH = 0.5  # standard deviation in the surface, in mean distances of neighbours
FLATNESS = 0.2  # standard deviation along the normal, over that


class SurfelError(ValueError):
    """There is no surface to sample; one line."""


def surfels(points: NDArray, normals: NDArray, rgb: NDArray, spacing: float) -> Splats:
    """Flat Gaussians at points [N, 3] across normals [N, 3], of any length, in colours rgb [N, 3]
    in [0, 1].

    spacing: mean distance of neighbours, world units, > 0.
    """
    n = len(points)
    scales = np.full((n, 3), np.log(WIDTH * spacing), np.float32)
    scales[:, 2] += np.float32(np.log(FLATNESS))
    sh = ((np.asarray(rgb, np.float32) - 0.5) / np.float32(SH_C0))[:, None, :]
    logit = np.full(n, np.log(OPACITY / (1 - OPACITY)), np.float32)
    quats = _turn_z_to(normals).astype(np.float32)
    return Splats(np.asarray(points, np.float32), quats, scales, logit, sh)


def _turn_z_to(normals: NDArray) -> NDArray[np.float64]:
    """The quaternions (w, x, y, z) [N, 4] that turn +z to normals by the shortest way."""
    normals = np.asarray(normals, np.float64)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    x, y, z = (normals / np.maximum(lengths, 1e-30)).T
    quats = np.stack([1 + z, -y, x, np.zeros_like(z)], axis=1)
    quats[z < -1 + 1e-9] = (0, 1, 0, 0)  # half a turn, about any axis across
    return quats / np.linalg.norm(quats, axis=1, keepdims=True)


def is_mesh_file(path: Path) -> bool:
    """Whether a file's beginning says that it holds a mesh and no splats. Raises OSError."""
    ending = path.suffix.lower()
    if ending not in (".glb", ".ply"):
        return ending in MESH_ENDINGS
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if ending == ".ply":
        header = head.partition(b"end_header")[0]
        return b"element face" in header and b"f_dc_0" not in header
    size = int.from_bytes(head[12:16], "little")
    try:
        text = head[20 : 20 + size] if 20 + size <= len(head) else path.read_bytes()[20 : 20 + size]
        parsed = json.loads(text)
    except ValueError:
        return False  # the reader of splats says what is wrong
    used = parsed.get("extensionsUsed", []) if isinstance(parsed, dict) else []
    return isinstance(used, list) and not any("gaussian_splatting" in str(u) for u in used)


def read_mesh(path: Path) -> Any:
    """All meshes of a file as one trimesh.Trimesh, as it stands: the world is taken to be +y up,
    objects facing +z, a unit across. Raises FileFormatError, OSError."""
    import trimesh

    path.open("rb").close()  # so that a missing file is an OSError
    try:
        mesh = trimesh.load_mesh(path, process=False)
        mesh = mesh.to_mesh() if isinstance(mesh, trimesh.Scene) else mesh
        whole = isinstance(mesh, trimesh.Trimesh) and len(mesh.faces) > 0
        whole = whole and bool(np.isfinite(mesh.vertices).all())
    except Exception as error:  # trimesh's readers raise whatever they stumble over
        reason = str(error).split("\n")[0][:200]
        raise FileFormatError(f"{path}: cannot be read as a mesh ({reason})") from error
    if not whole:
        raise FileFormatError(f"{path}: holds no mesh with faces and finite corners")
    return mesh


def sample_mesh(
    mesh: Any,
    count: int = COUNT,
    seed: int = 0,
    colour_at: Callable[[NDArray], FloatArray] | None = None,
) -> Splats:
    """`count` (about) Gaussians over the surface of a trimesh.Trimesh, coloured by its texture,
    else its vertices or faces, else gray; `colour_at` [M, 3] -> rgb [M, 3] replaces those.

    Points are drawn by area and thinned to keep their distance (Poisson disks). Raises
    SurfelError for a mesh without area.
    """
    from trimesh.sample import sample_surface as scatter

    area = _area(mesh)
    points, face = scatter(mesh, 3 * count, seed=seed)[:2]
    spacing = np.sqrt(area / count)
    kept = _apart(points, 0.7 * spacing)[:count]
    points, face = np.asarray(points)[kept], face[kept]
    normals, share = _normals(mesh, points, face)
    rgb = colour_at(points) if colour_at else _mesh_colour(mesh, face, share)
    return surfels(points, normals, rgb, np.sqrt(area / len(points)))


def surface_points(mesh: Any, count: int, seed: int = 0) -> tuple[NDArray[np.float64], ...]:
    """Points [N, 3] drawn by area, their unit normals [N, 3] and colours [N, 3] in [0, 1], as of
    `sample_mesh`. Raises SurfelError for a mesh without area."""
    from trimesh.sample import sample_surface as scatter

    _area(mesh)
    points, face = scatter(mesh, count, seed=seed)[:2]
    points = np.asarray(points)
    normals, share = _normals(mesh, points, face)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return points, normals, _mesh_colour(mesh, face, share)


def _area(mesh: Any) -> float:
    area = float(mesh.area) if len(mesh.faces) else 0.0
    if not np.isfinite(area) or area <= 0:
        raise SurfelError("the mesh has no faces with an area; there is nothing to sample")
    return area


def _normals(mesh: Any, points: NDArray, face: NDArray) -> tuple[NDArray, NDArray]:
    """Smooth normals [M, 3], of any length, and barycentric coordinates [M, 3] of points in faces
    [M]."""
    from trimesh.triangles import points_to_barycentric

    share = points_to_barycentric(mesh.triangles[face], points)
    corners = np.asarray(mesh.vertex_normals)[mesh.faces[face]]
    normals = np.einsum("nk,nkd->nd", share, corners)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), mesh.face_normals[face])
    return normals, share


def _apart(points: NDArray, distance: float) -> NDArray[np.int64]:
    """Of the points in their order, those that are not too close to one kept before."""
    from scipy.spatial import KDTree

    pairs = KDTree(points).query_pairs(distance, output_type="ndarray")
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    kept = np.ones(len(points), bool)
    for i, j in pairs:  # i < j, by ascending j: what i is has been decided
        if kept[i]:
            kept[j] = False
    return np.flatnonzero(kept)


def _mesh_colour(mesh: Any, face: NDArray, share: NDArray) -> NDArray[np.float64]:
    """rgb [M, 3] in [0, 1] of points in faces [M] with barycentric coordinates [M, 3]."""
    visual = mesh.visual
    if visual.kind == "texture" and visual.uv is not None:
        uv = np.einsum("mk,mkd->md", share, np.asarray(visual.uv)[mesh.faces[face]])
        material = visual.material
        found = getattr(material, "to_color", None)
        if found is not None:
            return np.asarray(found(uv), np.float64)[:, :3] / 255
    if visual.kind == "face":
        return np.asarray(visual.face_colors, np.float64)[face, :3] / 255
    if visual.kind == "vertex":
        corners = np.asarray(visual.vertex_colors, np.float64)[mesh.faces[face], :3]
        return np.einsum("mk,mkd->md", share, corners) / 255
    return np.full((len(face), 3), 0.5)


def sample_surface(field: GridField, count: int = COUNT) -> Splats:
    """`count` (about) Gaussians over the surface of a radiance field: where a cell is half as
    opaque as the most opaque one. Raises SurfelError if there is none."""
    import trimesh
    from skimage.measure import marching_cubes

    # of the values that are interpolated, in which a surface is closest to a plane
    highest = float(field.raw.max())
    opacity = -np.expm1(-np.logaddexp(0.0, highest))
    if not opacity > 1e-6:
        raise SurfelError(
            f"the field has no surface: the highest opacity of a cell is {opacity:.2g}"
        )
    level = float(np.log(np.expm1(-np.log1p(-0.5 * opacity))))
    padded = np.pad(field.raw, 1, constant_values=level - 10.0)  # so that it closes at the border
    vertices, faces, _, _ = marching_cubes(padded, level, gradient_direction="ascent")
    at = (vertices - 1)[:, ::-1] * field.cell - field.bound
    # reversing the axes mirrors the faces
    mesh = trimesh.Trimesh(at, faces[:, ::-1], process=False)
    return sample_mesh(mesh, count, colour_at=field.nearest_colour)

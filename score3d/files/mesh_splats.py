"""A mesh as Gaussians: flat discs on its surface, in its colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from score3d.files.splats import SH_C0, FileFormatError, Splats

__all__ = ["MESH_ENDINGS", "discs", "read_mesh_splats"]

MESH_ENDINGS = (".obj", ".stl", ".gltf", ".glb")
FLATNESS = 0.1  # thickness of a disc over its radius


def discs(
    points: NDArray[np.floating],
    normals: NDArray[np.floating],
    colours: NDArray[np.floating],
    area: float,
) -> Splats:
    """Opaque discs at points [N,3] of a surface of `area`, seen along normals [N,3], with colours
    [N,3] in [0,1]. Their standard deviation is 0.75 of the mean distance of the points."""
    n = len(points)
    radius = 0.75 * float(np.sqrt(area / n))
    z = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    # the shortest turn that takes +z to the normal; half a turn about x where that is -z
    quats = np.concatenate([1 + z[:, 2:], -z[:, 1:2], z[:, :1], np.zeros((n, 1))], 1)
    quats[z[:, 2] < -1 + 1e-9] = (0, 1, 0, 0)
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    log_scales = np.log(np.tile([radius, radius, FLATNESS * radius], (n, 1)))
    return Splats(points, quats, log_scales, np.full(n, 3.0), ((colours - 0.5) / SH_C0)[:, None, :])


def read_mesh_splats(path: str | Path, count: int = 6000, seed: int = 0) -> Splats:
    """`count` Gaussians on the surface of a mesh file, uniform by area, in the colours of its
    texture, vertices or faces. Raises FileFormatError."""
    import trimesh

    try:
        mesh = trimesh.load(path, force="mesh")
        visual = mesh.visual
        coloured = visual.to_color() if visual.kind == "texture" and visual.uv is None else visual
        sampled = trimesh.sample.sample_surface(mesh, count, sample_color=True, seed=seed)
        points, faces = sampled[0], sampled[1]
        colours = sampled[2] if len(sampled) > 2 else coloured.face_colors[faces]
    except Exception as error:  # trimesh raises whatever its readers raise
        raise FileFormatError(f"{path}: not a mesh that can be read ({error})") from error
    if len(points) == 0 or not np.isfinite(points).all() or not mesh.area > 0:
        raise FileFormatError(f"{path}: a mesh without a surface")
    rgb = np.asarray(colours, np.float64)[:, :3] / 255.0
    return discs(points, mesh.face_normals[faces], rgb, float(mesh.area))

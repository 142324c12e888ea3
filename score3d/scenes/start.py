"""Where a scene begins, if not from nothing: what an earlier run or a file holds."""

from pathlib import Path

import numpy as np

from score3d.files.formats import read_splats
from score3d.files.grid_field import GridField
from score3d.files.mesh import surface_of
from score3d.files.splats import FileFormatError, Splats
from score3d.files.surfels import is_mesh_file, read_mesh, sample_mesh, surface_points
from score3d.files.tetrahedra import TetrahedralField, corner_normals

__all__ = ["starting_field", "starting_splats", "starting_tetrahedra"]

NOTHING = ("", "none")
MESH_POINTS = 60_000  # on the surface of a mesh that is read


def starting_splats(name: str, count: int) -> Splats | None:
    """Gaussians of a run folder, a file of splats or a mesh (`count`, about, cover it); None for
    "" and "none". Raises FileFormatError, OSError."""
    if name in NOTHING:
        return None
    file = Path(name) / "scene.ply" if Path(name).is_dir() else Path(name)
    if is_mesh_file(file):
        return sample_mesh(read_mesh(file), count).finite()[0]
    splats, _ = read_splats(file).finite()
    if len(splats) == 0:
        raise FileFormatError(f"{file}: holds no finite Gaussians to start from")
    return splats


def starting_field(name: str) -> GridField | None:
    """The radiance field of a run folder or a field.npz; None for "" and "none". Raises
    FileFormatError, OSError."""
    if name in NOTHING:
        return None
    file = Path(name) / "field.npz" if Path(name).is_dir() else Path(name)
    if not file.is_file():
        raise FileFormatError(f"{file}: no such file; a run of --scene nerf writes its field.npz")
    return GridField.load(file)


def starting_tetrahedra(
    name: str, cells: int, bound: float, resolution: int
) -> TetrahedralField | None:
    """The surface, on `cells` cells a side, and the colours, on a grid of `resolution`, of a run
    folder (its mesh scene, else its radiance field, else its Gaussians), of a tetrahedra.npz, a
    field.npz, a file of splats or a closed mesh; None for "" and "none". Raises
    FileFormatError, MeshError, OSError."""
    if name in NOTHING:
        return None
    path = file = Path(name)
    if path.is_dir():
        held = [path / n for n in ("tetrahedra.npz", "field.npz", "scene.ply")]
        file = next((f for f in held if f.is_file()), held[-1])
    if file.name == "tetrahedra.npz":
        field = TetrahedralField.load(file)
        vertices, faces = field.surface()
        same = (cells, bound, resolution + 1)
        if len(faces) and (field.cells, field.bound, len(field.colours.raw)) == same:
            return field
        rgb = field.nearest_colour(vertices)
    elif file.suffix != ".npz" and is_mesh_file(file):
        points, normals, rgb = surface_points(read_mesh(file), MESH_POINTS)
        return TetrahedralField.around(points, normals, rgb, cells, bound, resolution)
    else:
        source = GridField.load(file) if file.suffix == ".npz" else starting_splats(name, 1)
        assert source is not None
        vertices, faces, rgb = surface_of(source)
    if len(faces) == 0:
        raise FileFormatError(f"{file}: holds no surface to start from")
    normals = corner_normals(vertices, faces)
    real = np.linalg.norm(normals, axis=1) > 0.5
    return TetrahedralField.around(
        vertices[real], normals[real], rgb[real], cells, bound, resolution
    )

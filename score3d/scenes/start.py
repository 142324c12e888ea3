"""Where a scene begins, if not from nothing: what an earlier run or a file holds."""

from pathlib import Path

from score3d.files.formats import read_splats
from score3d.files.grid_field import GridField
from score3d.files.splats import FileFormatError, Splats
from score3d.files.surfels import is_mesh_file, read_mesh, sample_mesh

__all__ = ["starting_field", "starting_splats"]


def starting_splats(name: str, count: int) -> Splats | None:
    """Gaussians of a run folder, a file of splats or a mesh (`count`, about, cover it); None for
    "". Raises FileFormatError, OSError."""
    if not name:
        return None
    file = Path(name) / "scene.ply" if Path(name).is_dir() else Path(name)
    if is_mesh_file(file):
        return sample_mesh(read_mesh(file), count).finite()[0]
    splats, _ = read_splats(file).finite()
    if len(splats) == 0:
        raise FileFormatError(f"{file}: holds no finite Gaussians to start from")
    return splats


def starting_field(name: str) -> GridField | None:
    """The radiance field of a run folder or a field.npz; None for "". Raises FileFormatError,
    OSError."""
    if not name:
        return None
    file = Path(name) / "field.npz" if Path(name).is_dir() else Path(name)
    if not file.is_file():
        raise FileFormatError(f"{file}: no such file; a run of --scene nerf writes its field.npz")
    return GridField.load(file)

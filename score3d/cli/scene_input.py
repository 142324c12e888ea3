"""Reading the scene that a command's argument names: a run folder or a file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from score3d.files.splats import Splats

__all__ = ["read_finite_scene", "read_scene", "scene_file"]


def scene_file(path: Path) -> Path:
    """The splat file that `path` names: itself, or the scene.ply of a run folder.

    Raises RunFolderError, ValueError.
    """
    from score3d.files.formats import READABLE, splat_ending
    from score3d.files.surfels import MESH_ENDINGS

    if path.is_dir():
        from score3d.runs.folder import RunFolder

        source = RunFolder.open(path, lock=False).scene
        if not source.exists():
            raise ValueError(f"{path}: the run has no scene.ply yet; finish it with --resume")
        return source
    if not path.exists():
        raise ValueError(f"{path}: no such file or run folder")
    if splat_ending(path) not in (*READABLE, *MESH_ENDINGS, "meta.json"):
        raise ValueError(
            f"{path}: expected a run folder, a file of Gaussians ({', '.join(READABLE)}) "
            f"or a mesh ({', '.join(MESH_ENDINGS)})"
        )
    return path


def read_finite_scene(
    path: Path, spz_axes: str = "ply", count: int = 10_000
) -> "tuple[Splats, int]":
    """The splats of a run folder or of a splat file, without rows that are not finite, and how
    many those were; of a mesh about `count` that cover it. Raises RunFolderError,
    FileFormatError, ValueError, OSError."""
    from score3d.files.formats import read_splats
    from score3d.files.surfels import is_mesh_file, read_mesh, sample_mesh

    file = scene_file(path)
    if is_mesh_file(file):
        return sample_mesh(read_mesh(file), count).finite()
    return read_splats(file, spz_axes).finite()


def read_scene(path: Path) -> "Splats":
    """`read_finite_scene`, with a line on stderr for the rows that were dropped."""
    import sys

    splats, dropped = read_finite_scene(path)
    if dropped:
        sys.stderr.write(f"score3d: {path}: {dropped} Gaussians that are not finite were dropped\n")
    return splats

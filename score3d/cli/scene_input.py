"""Reading the scene that a command's argument names: a run folder or a file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from score3d.files.splats import Splats

__all__ = ["read_scene"]


def read_scene(path: Path) -> "Splats":
    """The splats of a run folder (its scene.ply) or of a .ply file, rows that are not finite
    dropped with a line on stderr. Raises RunFolderError, FileFormatError, ValueError."""
    import sys

    from score3d.files.ply import read_ply
    from score3d.runs.folder import RunFolder

    if path.is_dir():
        source = RunFolder.open(path, lock=False).scene
        if not source.exists():
            raise ValueError(f"{path}: the run has no scene.ply yet; finish it with --resume")
    elif not path.exists():
        raise ValueError(f"{path}: no such file or run folder")
    elif path.suffix.lower() != ".ply":
        raise ValueError(f"{path}: expected a run folder or a .ply file of Gaussians")
    else:
        source = path
    splats, dropped = read_ply(source).finite()
    if dropped:
        sys.stderr.write(
            f"score3d: {source}: {dropped} Gaussians that are not finite were dropped\n"
        )
    return splats

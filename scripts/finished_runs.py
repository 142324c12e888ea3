"""Scenes of finished runs, for the scripts beside this one."""

from pathlib import Path

from score3d.config import load_config
from score3d.runs.checkpoint import load_checkpoint
from score3d.scenes.nerf import NerfOptions, NerfScene

__all__ = ["radiance_field"]


def radiance_field(run: Path) -> NerfScene | None:
    """The radiance field that a run made; None if it made something else."""
    if not (run / "field.npz").is_file():
        return None
    config = load_config(str(run / "config.toml"))
    scene = NerfScene(NerfOptions(**config.nerf.model_dump(), bound=config.scene.bound))
    scene.load_state_dict(load_checkpoint(run / "checkpoint").tensors)
    return scene

"""Scenes of finished runs, for the scripts beside this one."""

from dataclasses import replace
from pathlib import Path

from score3d.config import load_config
from score3d.files.tetrahedra import TetrahedralField
from score3d.runs.checkpoint import load_checkpoint
from score3d.scenes.mesh import MeshOptions, MeshScene
from score3d.scenes.nerf import NerfOptions, NerfScene

__all__ = ["own_scene"]


def own_scene(run: Path) -> NerfScene | MeshScene | None:
    """The radiance field or the mesh that a run made, in its own colours; None if it made
    Gaussians."""
    if (run / "field.npz").is_file():
        config = load_config(str(run / "config.toml"))
        scene = NerfScene(NerfOptions(**config.nerf.model_dump(), bound=config.scene.bound))
        scene.load_state_dict(load_checkpoint(run / "checkpoint").tensors)
        return scene
    if (run / "tetrahedra.npz").is_file():
        config = load_config(str(run / "config.toml"))
        options = MeshOptions(**config.mesh.model_dump(), bound=config.scene.bound)
        field = TetrahedralField.load(run / "tetrahedra.npz")
        return MeshScene(replace(options, shading="colour"), field=field)
    return None

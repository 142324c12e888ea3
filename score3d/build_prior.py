"""The 3D prior of a run, from its settings: a beginning, and a pull on the way."""

from pathlib import Path
from typing import Any

from score3d.config import Config
from score3d.files.splats import Splats
from score3d.files.surfels import sample_mesh, surface_points
from score3d.prior.pull import PriorPull
from score3d.prior.volumes import ShapePrior
from score3d.resources import resource

__all__ = ["imagined", "prior_pull"]

SHAP_E = "shap-e:"
PULL_POINTS = 20_000  # of the surface


def _prior(config: Config) -> ShapePrior:
    folder = config.prior.folder
    return ShapePrior(Path(folder) if folder else resource("assets", "prior"))


def _mesh(config: Config, seed: int) -> Any:
    prior = _prior(config)
    return prior.mesh(prior.understand(config.run.prompt), seed, config.prior.guidance)


def imagined(config: Config, seed: int) -> Splats | None:
    """Gaussians where a 3D model puts the prompt's object, for scene.start "prior" (the shipped
    one) and "shap-e:FOLDER" (a checkpoint in diffusers layout); None for any other. Raises
    PromptError, TeacherError, ConfigError."""
    s = config.scene
    if s.start == "prior":
        return sample_mesh(_mesh(config, seed), s.count, seed)
    if s.start.startswith(SHAP_E):
        from score3d.prior.shap_e import shap_e_mesh

        return sample_mesh(shap_e_mesh(s.start[len(SHAP_E) :], config.run.prompt, seed), s.count)
    return None


def prior_pull(config: Config, seed: int) -> PriorPull | None:
    """The pull that prior.weight asks for. Raises PromptError, TeacherError, ConfigError."""
    p = config.prior
    if not p.weight or not p.until:
        return None
    points = surface_points(_mesh(config, seed), PULL_POINTS)[0]
    return PriorPull(points, p.weight, round(p.until * config.run.steps))

"""The 3D prior of a run, from its settings: a beginning, and a pull on the way."""

from pathlib import Path

import torch

from score3d.config import Config, ConfigError
from score3d.files.splats import Splats
from score3d.files.surfels import sample_mesh
from score3d.prior.points import PointPrior
from score3d.prior.pull import PriorPull
from score3d.resources import resource

__all__ = ["imagined", "prior_pull"]

SHAP_E = "shap-e:"


def _prior(config: Config, device: torch.device | str = "cpu") -> PointPrior:
    folder = config.prior.folder
    return PointPrior(Path(folder) if folder else resource("assets", "prior"), device)


def imagined(config: Config, seed: int) -> Splats | None:
    """Gaussians where a 3D model puts the prompt's object, for scene.start "prior" (the shipped
    one) and "shap-e:FOLDER" (a checkpoint in diffusers layout); None for any other. Raises
    PromptError, TeacherError, ConfigError."""
    s = config.scene
    if s.start == "prior":
        return _prior(config).splats(config.run.prompt, s.count, seed, s.init_scale)
    if s.start.startswith(SHAP_E):
        from score3d.prior.shap_e import shap_e_mesh

        return sample_mesh(shap_e_mesh(s.start[len(SHAP_E) :], config.run.prompt, seed), s.count)
    return None


def prior_pull(config: Config, device: torch.device, seed: int) -> PriorPull | None:
    """The 3D score that prior.weight asks for. Raises PromptError, TeacherError, ConfigError."""
    p = config.prior
    if not p.weight or not p.until:
        return None
    if config.scene.sh_degree:
        raise ConfigError("prior.weight reads plain colours: use scene.sh_degree=0")
    prior = _prior(config, device)
    thing = prior.understand(config.run.prompt)
    until = round(p.until * config.run.steps)
    return PriorPull(prior, thing, p.weight, until, seed, p.guidance, p.points)

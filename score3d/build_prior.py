"""The 3D prior of a run, from its settings: a beginning, and a pull on the way."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from score3d.cameras import turntable
from score3d.config import Config, ConfigError
from score3d.distill.weight.judge_reward import judge_reward
from score3d.evaluate.judge import Judge
from score3d.evaluate.two_tower import TwoTower
from score3d.files.splats import Splats
from score3d.files.surfels import sample_mesh, surface_points
from score3d.prior.pull import PriorPull
from score3d.prior.volumes import ShapePrior
from score3d.resources import resource
from score3d.scenes.photograph import photograph
from score3d.teachers.errors import TeacherError

__all__ = ["imagined", "prior_pull"]

SHAP_E = "shap-e:"
PULL_POINTS = 20_000  # of the surface
STRIDE = 7_368_787  # between the seeds of tries: particles' seeds are another stride apart
JUDGED_VIEWS, JUDGED_COUNT, GRAY = 8, 2500, 0.8
# Of the two-tower model's cosine next to the judge's log probabilities (docs/log.md).
TOWER_WEIGHT = 15.0


def _prior(config: Config) -> ShapePrior:
    folder = config.prior.folder
    return ShapePrior(Path(folder) if folder else resource("assets", "prior"))


def _mesh(config: Config, seed: int) -> Any:
    """A sample, or of `prior.tries` samples the one in whose views the judge (as `reward-sds` asks
    it) and the two-tower model see most of the prompt. Raises PromptError, TeacherError,
    ConfigError."""
    prior = _prior(config)
    thing = prior.understand(config.run.prompt)
    if config.prior.tries == 1:
        return prior.mesh(thing, seed, config.prior.guidance)
    # the judge names one colour: of two it would choose the sample that has least of the second
    colour = None if thing.second_colour else thing.colour
    tower, phrase = TwoTower(), [thing.phrase()]
    try:
        reward = judge_reward(Judge(), thing.noun, colour)
        tower.ids(phrase)
    except ValueError as error:
        raise ConfigError(f"prior.tries={config.prior.tries}: {error}") from error
    meshes, rewards, empty = [], [], None
    for k in range(config.prior.tries):
        try:
            mesh = prior.mesh(thing, seed + STRIDE * k, config.prior.guidance)
        except TeacherError as error:
            empty = error
            continue
        pictures = photograph(sample_mesh(mesh, JUDGED_COUNT), turntable(JUDGED_VIEWS, 64), GRAY)
        rgb = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        meshes.append(mesh)
        alike = tower.similarity(rgb, phrase).mean()
        rewards.append(float(reward(rgb).mean() + TOWER_WEIGHT * alike))
    if empty and not meshes:
        raise empty
    return meshes[int(np.argmax(rewards))]


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

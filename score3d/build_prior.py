"""The 3D prior of a run, from its settings: a beginning, and a pull on the way."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from score3d.cameras import turntable
from score3d.config import Config, ConfigError
from score3d.distill.weight.judge_reward import judge_reward
from score3d.evaluate.judge import Judge, choosing_judge
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
# Of the judge's probability: of a shape that is left alone (set after a look at six prompts,
# docs/log.md), and of one with which the search ends.
SURE, FOUND = 0.5, 0.8


def _prior(config: Config) -> ShapePrior:
    folder = config.prior.folder
    return ShapePrior(Path(folder) if folder else resource("assets", "prior"))


def _mesh(config: Config, seed: int) -> tuple[Any, float]:
    """A sample, or of `prior.tries` samples (or more, up to `prior.tries_unsure`) the one in whose
    views the judge (asked as by `reward-sds`) and the two-tower model see most of the prompt, and
    the probability, over views, that the judge gives its noun; 1 where nobody asks. Raises
    PromptError, TeacherError, ConfigError."""
    prior, tries = _prior(config), config.prior.tries
    thing = prior.understand(config.run.prompt)
    most = max(tries, config.prior.tries_unsure)
    if most == 1 and config.prior.unsure == 1:
        return prior.mesh(thing, seed, config.prior.guidance), 1.0
    judge = choosing_judge()
    if most == 1:
        mesh = prior.mesh(thing, seed, config.prior.guidance)
        return mesh, _sureness(judge, thing.noun, _views(mesh))
    # the judge names one colour: of two it would choose the sample that has least of the second
    colour = None if thing.second_colour else thing.colour
    tower, phrase = TwoTower(), [thing.phrase()]
    try:
        reward = judge_reward(judge, thing.noun, colour)
        tower.ids(phrase)
    except ValueError as error:
        asked = f"prior.tries={tries} and prior.tries_unsure={config.prior.tries_unsure}"
        raise ConfigError(f"{asked}: {error}; with 1 and 1 no judge is asked") from error
    best, highest, sure, empty = None, -math.inf, 0.0, None
    for k in range(most):
        if k >= tries and sure >= FOUND:
            break
        try:
            mesh = prior.mesh(thing, seed + STRIDE * k, config.prior.guidance)
        except TeacherError as error:
            empty = error
            continue
        rgb = _views(mesh)
        score = float(reward(rgb).mean() + TOWER_WEIGHT * tower.similarity(rgb, phrase).mean())
        if score > highest:
            best, highest, sure = mesh, score, _sureness(judge, thing.noun, rgb)
    if empty and best is None:
        raise empty
    return best, sure


def _views(mesh: Any) -> Tensor:
    """Pictures [V,3,64,64] in [0,1] from all around."""
    pictures = photograph(sample_mesh(mesh, JUDGED_COUNT), turntable(JUDGED_VIEWS, 64), GRAY)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _sureness(judge: Judge, noun: str, rgb: Tensor) -> float:
    """The mean probability of `noun`; none of what the judge does not know."""
    if noun not in judge.nouns:
        return 0.0
    return float(judge(rgb).noun_probabilities[:, judge.nouns.index(noun)].mean())


def imagined(config: Config, seed: int) -> tuple[Splats, bool] | None:
    """Gaussians where a 3D model puts the prompt's object, for scene.start "prior" (the shipped
    one) and "shap-e:FOLDER" (a checkpoint in diffusers layout), and whether that shape is to be
    trusted (`prior.unsure`); None for any other start. Raises PromptError, TeacherError,
    ConfigError."""
    s = config.scene
    if s.start == "prior":
        mesh, sure = _mesh(config, seed)
        return sample_mesh(mesh, s.count, seed), sure >= SURE
    if s.start.startswith(SHAP_E):
        from score3d.prior.shap_e import shap_e_mesh

        mesh = shap_e_mesh(s.start[len(SHAP_E) :], config.run.prompt, seed)
        return sample_mesh(mesh, s.count), True
    return None


def prior_pull(config: Config, seed: int) -> PriorPull | None:
    """The pull that prior.weight asks for. Raises PromptError, TeacherError, ConfigError."""
    p = config.prior
    if not p.weight or not p.until:
        return None
    points = surface_points(_mesh(config, seed)[0], PULL_POINTS)[0]
    return PriorPull(points, p.weight, round(p.until * config.run.steps))

"""What asks other networks than the teacher, made from the settings."""

from pathlib import Path
from typing import Any

import torch

from score3d.config import Config, ConfigError
from score3d.distill.baseline.stein import Phi, depth_agreement, normal_agreement
from score3d.distill.weight.judge_reward import MakeJudge, judge_reward
from score3d.distill.weight.reward import Reward

__all__ = ["geometry_phi", "judged"]


def judged(config: Config, teacher: Any, judge: MakeJudge | None, device: torch.device) -> Reward:
    """What the judge thinks of a picture as one of the prompt's, or `reward.model` does. Raises
    ConfigError."""
    if config.reward.model != "judge":
        from score3d.evaluate.reward_models import load_reward

        try:
            return load_reward(config.reward.model, config.run.prompt, device)
        except ValueError as error:
            raise ConfigError(str(error)) from error
    world = getattr(teacher, "world", None)
    if world is None or judge is None:
        raise ConfigError(
            f"distill.weight={config.distill.weight} needs the judge, which knows the embedded "
            "teacher's world and no other; use --teacher embedded, --set distill.weight=mean or "
            "--set reward.model=clip:<folder>"
        )
    thing = world.parse(config.run.prompt)
    return judge_reward(judge(), thing.noun, thing.colour)


def geometry_phi(config: Config, teacher: Any, device: torch.device) -> Phi:
    """SteinDreamer's scalar function that `distill.stein_phi` names, by depth or by normals, of
    the network that ships or of a transformers depth model. Raises ConfigError."""
    name = config.distill.stein_phi
    kind, _, folder = name.partition(":")
    if name not in ("depth", "normal") and (kind != "depth" or not folder):
        raise ConfigError(
            f"distill.stein_phi={name!r}; known: silhouette, depth, normal, depth:<folder>"
        )
    if config.scene.kind == "image":
        raise ConfigError(f"distill.stein_phi={name} needs --scene gaussians, which has depth")
    colours = getattr(teacher, "colours", None)
    if colours is None:
        raise ConfigError(f"distill.stein_phi={name} needs a teacher with an autoencoder")
    try:
        if folder:
            from score3d.evaluate.depth_models import DepthModel

            return depth_agreement(DepthModel(Path(folder), device), colours)
        from score3d.evaluate.geometry_network import SmallGeometry

        network = SmallGeometry(device=device)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if name == "depth":
        return depth_agreement(network.depth, colours)
    return normal_agreement(network.normals, colours)

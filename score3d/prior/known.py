"""Whether the 3D prior can imagine a prompt, and the settings of a run that then begins with it."""

import json
from typing import Any

from score3d.config import Config, load_config, suited_preset
from score3d.resources import resource

__all__ = ["prior_knows", "suited_config"]


def prior_knows(prompt: str) -> bool:
    """Whether the prompt is of one object that the shipped prior knows. Raises PromptError for
    words that the embedded teacher does not know."""
    from score3d.teachers.embedded import load_world

    try:
        nouns = json.loads((resource("assets", "prior") / "prior.json").read_text())["nouns"]
    except (OSError, ValueError, KeyError):
        return False
    thing = load_world().parse(prompt)
    return not thing.relation and thing.noun in nouns


def suited_config(
    preset: str | None,
    loss: str | None,
    overrides: list[str] | None,
    options: dict[str, dict[str, Any]],
) -> Config:
    """The settings of `score3d generate`: Gaussians of the embedded teacher whose beginning nobody
    chose begin with the 3D prior's shape, if it knows the prompt; with the loss "sds" they then
    take fewer steps. `--set scene.start=none` for nothing. Raises ConfigError, PromptError."""
    config = load_config(preset, loss, overrides, options)
    plain = config.teacher.name == "embedded" and config.scene.kind == "gaussians"
    if plain and not config.scene.start and prior_knows(config.run.prompt):
        start = suited_preset("starts", "prior", preset)
        if loss not in (None, "sds"):  # for which alone so few steps are known to do
            start.pop("run")
        return load_config(preset, loss, overrides, options, start=start)
    return config

"""Recipes: runs in stages, each from what the one before made, as settings and nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from score3d.config import Config, ConfigError, load_config, read_preset
from score3d.resources import resource

__all__ = ["Recipe", "Stage", "load_recipe", "recipe_names"]

OWN_KEYS = ("name", "share", "loss", "start")


@dataclass(frozen=True)
class Stage:
    """name: of its folder. share: of the scale preset's steps. loss: a row of `score3d losses`.
    start: the name of the stage that it begins with, "" for nothing. settings: by section."""

    name: str
    share: float
    loss: str
    start: str
    settings: dict[str, Any]

    def config(
        self, preset: str, overrides: list[str], options: dict[str, dict[str, Any]], folder: Path
    ) -> Config:
        """Its settings: the preset's, the loss's, the recipe's, `--set`, the command line's.
        folder: of the recipe's run. Raises ConfigError."""
        steps = max(1, round(self.share * load_config(preset).run.steps))
        settings = dict(self.settings)
        settings["run"] = {"steps": steps, **settings.get("run", {})}
        if self.start:
            start = str((folder / self.start).absolute())
            settings["scene"] = {**settings.get("scene", {}), "start": start}
        return load_config(preset, self.loss, overrides, options, settings)


@dataclass(frozen=True)
class Recipe:
    """about: title, cite, and how it differs from the paper."""

    name: str
    about: dict[str, str]
    stages: list[Stage]


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(p.stem for p in resource("configs", "recipes").glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe or a .toml file. Raises ConfigError."""
    data = read_preset(name, "recipe", resource("configs", "recipes"), recipe_names())
    about = data.pop("about", {})
    entries = data.pop("stage", None)
    if data:
        raise ConfigError(f"recipe {name}: unknown key {next(iter(data))!r}; known: about, stage")
    if (
        not isinstance(entries, list)
        or not entries
        or not all(isinstance(e, dict) for e in entries)
    ):
        raise ConfigError(f"recipe {name}: needs at least one [[stage]]")
    stages: list[Stage] = []
    for entry in entries:
        own = {key: entry.pop(key) for key in OWN_KEYS if key in entry}
        stage = Stage(own.get("name", ""), own.get("share", 1.0), own.get("loss", "sds"),
                      own.get("start", ""), entry)  # fmt: skip
        _check(name, stage, [s.name for s in stages])
        stages.append(stage)
    return Recipe(Path(name).stem, about, stages)


def _check(recipe: str, stage: Stage, earlier: list[str]) -> None:
    where = f"recipe {recipe}, stage {stage.name!r}"
    texts = (stage.name, stage.loss, stage.start)
    if not all(isinstance(t, str) for t in texts) or not stage.name.replace("-", "").isalnum():
        raise ConfigError(f"{where}: name must be letters, digits and dashes; loss and start text")
    if stage.name in earlier:
        raise ConfigError(f"{where}: there is one of that name already")
    if stage.start and stage.start not in earlier:
        known = ", ".join(earlier) or "none"
        raise ConfigError(f"{where}: starts from {stage.start!r}; earlier stages: {known}")
    if not isinstance(stage.share, int | float) or not stage.share > 0:
        raise ConfigError(f"{where}: share {stage.share!r} must be a positive number")
    wrong = [key for key, value in stage.settings.items() if not isinstance(value, dict)]
    if wrong:
        raise ConfigError(
            f"{where}: unknown key {wrong[0]!r}; known: {', '.join(OWN_KEYS)} and sections"
        )

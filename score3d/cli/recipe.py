"""`score3d generate --recipe`: the stages of a recipe, one run folder each, in one folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from score3d.config import Config

PLAN = "recipe.json"  # what makes a folder a recipe's

# config, folder, checkpoint: one run
Follow = Callable[["Config", Any, Any], None]


def is_recipe_folder(path: Path) -> bool:
    """Whether a recipe was begun there."""
    return (path / PLAN).is_file()


def begin(
    name: str,
    folder: Path,
    preset: str,
    overrides: list[str],
    chosen: dict[str, dict[str, Any]],
    overwrite: bool,
    check: Callable[["Config"], None],
    follow: Follow,
) -> list[dict[str, Any]]:
    """Check every stage's settings, write the plan, run it. Returns the stages' summaries.
    Raises ConfigError, ValueError and what a run raises."""
    from score3d.config import to_toml
    from score3d.files.atomic import write_text
    from score3d.recipes import load_recipe

    recipe = load_recipe(name)
    configs = [s.config(preset, overrides, chosen, folder) for s in recipe.stages]
    for config in configs:
        check(config)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (overwrite and is_recipe_folder(folder)):
            raise ValueError(
                f"{folder} is not empty; continue it with --resume, replace a recipe's run with "
                "--overwrite, or choose another --out"
            )
        for stage in json.loads((folder / PLAN).read_text())["stages"]:
            _discard(folder / stage["name"])
    folder.mkdir(parents=True, exist_ok=True)
    plan = {
        "recipe": recipe.name,
        "about": recipe.about,
        "stages": [
            {"name": s.name, "config": to_toml(c)}
            for s, c in zip(recipe.stages, configs, strict=True)
        ],
    }
    write_text(folder / PLAN, json.dumps(plan, indent=1))
    return proceed(folder, follow)


def _discard(path: Path) -> None:
    """What an earlier run left, so that its stage is not taken for done."""
    from score3d.runs.folder import RunFolder

    if (path / "config.toml").is_file():
        RunFolder.create(path, overwrite=True).close()


def proceed(folder: Path, follow: Follow) -> list[dict[str, Any]]:
    """Run the stages that are not complete, in order, the first of them from its checkpoint if it
    has one; stops after a stage that was stopped. Returns the summaries so far."""
    import tempfile

    from score3d.config import load_config
    from score3d.runs.checkpoint import load_checkpoint
    from score3d.runs.folder import RunFolder

    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        stages = [(str(s["name"]), str(s["config"])) for s in plan["stages"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / PLAN}: damaged ({error}); begin again with --recipe"
        ) from error
    summaries = []
    for number, (name, text) in enumerate(stages, 1):
        path = folder / name
        if _status(path) != "complete":
            typer.echo(f"stage {number} of {len(stages)}: {name}", err=True)
            if (path / "checkpoint").exists() and (path / "config.toml").is_file():
                with RunFolder.open(path) as run:
                    follow(load_config(str(run.config)), run, load_checkpoint(run.checkpoint))
            else:
                with tempfile.TemporaryDirectory() as scratch:
                    written = Path(scratch) / "config.toml"
                    written.write_text(text, encoding="utf-8")
                    config = load_config(str(written))
                started = (path / "config.toml").is_file()
                with RunFolder.create(path, overwrite=started) as run:
                    follow(config, run, None)
        summaries.append(json.loads((path / "summary.json").read_text()) | {"folder": str(path)})
        if _status(path) != "complete":
            break
    return summaries


def _status(path: Path) -> str:
    try:
        return str(json.loads((path / "summary.json").read_text())["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return "not begun"

"""`score3d generate`: prompt in, 3D asset out."""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score3d.cli.errors import reported

if TYPE_CHECKING:
    from score3d.config import Config

MAX_PROMPT = 1000  # characters; text encoders read some 77 tokens


def generate(
    prompt: Annotated[
        str | None, typer.Argument(help='What to make, like "a red mushroom".')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. Default: runs/<prompt>-<hash>.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="draft, standard, high, or a .toml file.")
    ] = "standard",
    loss: Annotated[
        str | None, typer.Option(help="A row of `score3d losses`. Default: sds.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Several stages: dreamgaussian, gsgen, magic3d, prolificdreamer, or a .toml."
        ),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A name of `score3d teachers` or a diffusers folder.")
    ] = None,
    scene: Annotated[
        str | None, typer.Option(help="Scene kind: gaussians, nerf, mesh, image.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random number.")] = None,
    particles: Annotated[
        int | None, typer.Option(help="Scenes optimised together, with one student.")
    ] = None,
    noises_per_view: Annotated[
        int | None, typer.Option(help="Noise samples per rendered view.")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="Negative prompt.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: section.key=value.")
    ] = None,
    low_vram: Annotated[
        bool, typer.Option("--low-vram", help="Use as little of the device's memory as can be.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Make no connection; only what is on this disk.")
    ] = False,
    token: Annotated[
        str | None, typer.Option(help="Hub token for gated models. Never written anywhere.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop optimising after this time and export.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier run in --out.")] = False,
    live: Annotated[bool, typer.Option(help="Watch the run in a browser, on 127.0.0.1.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Make a 3D asset from a prompt."""
    started = time.monotonic()
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when it is imported
    if token:
        os.environ["HF_TOKEN"] = token
    chosen: dict[str, dict[str, Any]] = {}
    for section, key, value in (
        ("run", "steps", steps),
        ("run", "seed", seed),
        ("run", "negative", negative),
        ("run", "particles", particles),
        ("distill", "noises_per_view", noises_per_view),
        ("run", "device", device),
        ("teacher", "name", teacher),
        ("teacher", "low_vram", low_vram or None),
        ("scene", "kind", scene),
    ):
        if value is not None:
            chosen.setdefault(section, {})[key] = value
    with reported(debug):
        if max_minutes is not None and max_minutes <= 0:
            raise ValueError("--max-minutes must be positive")
        if resume:
            if (
                prompt
                or out
                or loss
                or recipe
                or set_
                or overwrite
                or chosen
                or preset != "standard"
            ):
                raise ValueError(
                    "--resume continues a run with its own settings; it takes only --max-minutes, "
                    "--offline, --token, --json and --quiet"
                )
            if _continue_recipe(resume, max_minutes, started, json_, quiet, live):
                return
            _resume(resume, max_minutes, started, json_, quiet, live)
        elif recipe:
            if loss or scene:
                raise ValueError("--recipe sets the loss and the scene of each stage itself")
            _begin_recipe(
                recipe,
                prompt,
                out,
                preset,
                set_ or [],
                chosen,
                overwrite,
                _Following(max_minutes, started, json_, quiet, live),
            )
        else:
            _start(
                prompt,
                out,
                preset,
                loss,
                set_,
                chosen,
                overwrite,
                max_minutes,
                started,
                json_,
                quiet,
                live,
            )


@dataclass(frozen=True)
class _Following:
    """How the stages of a recipe are followed: as one run is, but JSON comes at the end."""

    max_minutes: float | None
    started: float
    as_json: bool
    quiet: bool
    live: bool

    def __call__(self, config: "Config", folder: Any, checkpoint: Any) -> None:
        quiet = self.quiet or self.as_json
        _follow(config, folder, checkpoint, self.max_minutes, self.started, False, quiet, self.live)

    def close(self, folder: Path, summaries: list[dict[str, Any]]) -> None:
        if self.as_json:
            typer.echo(json.dumps({"folder": str(folder), "stages": summaries}, indent=2))
        elif summaries[-1]["status"] != "complete":
            typer.echo(f"all stages: score3d generate --resume {folder}")


def _begin_recipe(
    name: str,
    prompt: str | None,
    out: Path | None,
    preset: str,
    overrides: list[str],
    chosen: dict[str, dict[str, Any]],
    overwrite: bool,
    follow: _Following,
) -> None:
    from score3d.cli.recipe import begin
    from score3d.runs.folder import slug

    prompt = _checked_prompt(prompt)
    chosen.setdefault("run", {})["prompt"] = prompt
    folder = out or Path("runs") / f"{slug(prompt)}-{Path(name).stem}"

    def check(config: "Config") -> None:
        from score3d.build import validate
        from score3d.checkpoints import check_checkpoint

        _check_words(config)
        check_checkpoint(config)
        validate(config)

    follow.close(folder, begin(name, folder, preset, overrides, chosen, overwrite, check, follow))


def _continue_recipe(
    path: Path, max_minutes: float | None, started: float, as_json: bool, quiet: bool, live: bool
) -> bool:
    """Go on with a recipe's folder; whether it is one."""
    from score3d.cli.recipe import is_recipe_folder, proceed

    if not is_recipe_folder(path):
        return False
    follow = _Following(max_minutes, started, as_json, quiet, live)
    follow.close(path, proceed(path, follow))
    return True


def _checked_prompt(prompt: str | None) -> str:
    prompt = (prompt or "").strip()
    if not prompt:
        raise ValueError('the prompt is empty; try: score3d generate "a red mushroom"')
    if len(prompt) > MAX_PROMPT:
        raise ValueError(
            f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT} make sense"
        )
    return prompt


def _start(
    prompt: str | None,
    out: Path | None,
    preset: str,
    loss: str | None,
    overrides: list[str] | None,
    chosen: dict[str, dict[str, Any]],
    overwrite: bool,
    max_minutes: float | None,
    started: float,
    as_json: bool,
    quiet: bool,
    live: bool,
) -> None:
    from score3d.cli.progress import Progress
    from score3d.prior.known import suited_config
    from score3d.runs.folder import RunFolder, slug

    prompt = _checked_prompt(prompt)
    chosen.setdefault("run", {})["prompt"] = prompt
    config = suited_config(preset, loss, overrides, chosen)
    if live and config.scene.kind == "image":
        raise ValueError("--live shows a 3D scene; a picture (--scene image) has preview.png")
    _check_words(config)
    with Progress(config.run.steps, quiet or as_json) as progress:
        progress.phase("load", "libraries")
        from score3d.build import validate
        from score3d.checkpoints import check_checkpoint

        check_checkpoint(config)
        validate(config)
    with RunFolder.create(out or Path("runs") / slug(prompt), overwrite) as folder:
        _follow(config, folder, None, max_minutes, started, as_json, quiet, live)


def _check_words(config: "Config") -> None:
    """Refuse an unknown word or hub id before anything is written or loaded."""
    if config.teacher.name == "embedded":
        from score3d.teachers.embedded import load_world

        world = load_world()
        world.parse(config.run.prompt)
        if config.run.negative:
            world.parse(config.run.negative)
    else:
        from score3d.teachers.source import answering, is_checkpoint_name

        t = config.teacher
        if is_checkpoint_name(t.name):
            answering(t.name, t.revision, t.local_files_only)


def _resume(
    path: Path, max_minutes: float | None, started: float, as_json: bool, quiet: bool, live: bool
) -> None:
    from score3d.config import load_config
    from score3d.runs.checkpoint import load_checkpoint
    from score3d.runs.folder import RunFolder

    with RunFolder.open(path) as folder:
        config = load_config(str(folder.config))
        checkpoint = load_checkpoint(folder.checkpoint)
        for note in checkpoint.notes:
            sys.stderr.write(f"score3d: {note}\n")
        _follow(config, folder, checkpoint, max_minutes, started, as_json, quiet, live)


def _follow(
    config: "Config",
    folder: Any,
    checkpoint: Any,
    max_minutes: float | None,
    started: float,
    as_json: bool,
    quiet: bool,
    live: bool,
) -> None:
    from score3d.cli.following import follow_events

    def events(*hooks: Any) -> Any:
        from score3d.generate import generate

        return generate(config, folder, checkpoint, *hooks)

    follow_events(events, config, folder, "generate", max_minutes, started, as_json, quiet, live)

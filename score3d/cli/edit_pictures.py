"""`score3d edit image`, `panorama` and `video`."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from score3d.cli.edit import (
    Debug,
    Device,
    Instruction,
    Json,
    MaxMinutes,
    Method,
    Out,
    Overwrite,
    Preset,
    Quiet,
    Resume,
    Seed,
    Settings,
    Source,
    Steps,
    Teacher,
    app,
    configured,
)
from score3d.cli.errors import reported

__all__ = ["app"]


@app.command()
def image(
    input_: Annotated[
        Path | None, typer.Argument(metavar="IMAGE", help="A picture, or an earlier edit of one.")
    ] = None,
    prompt: Instruction = None,
    source: Source = None,
    method: Method = None,
    out: Out = None,
    preset: Preset = None,
    teacher: Teacher = None,
    steps: Steps = None,
    seed: Seed = None,
    device: Device = None,
    set_: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = None,
    overwrite: Overwrite = False,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Edit a picture; detail finer than the teacher sees stays the original's."""
    with reported(debug):
        _picture(
            "image", "frames", input_, prompt, preset, method, set_, out, overwrite, max_minutes,
            resume, json_, quiet, edit__source=source, teacher__name=teacher, run__steps=steps,
            run__seed=seed, run__device=device,
        )  # fmt: skip


@app.command()
def panorama(
    input_: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGE", help="A panorama, or an earlier edit of one."),
    ] = None,
    prompt: Instruction = None,
    source: Source = None,
    method: Method = None,
    ring: Annotated[
        bool | None,
        typer.Option("--ring/--strip", help="Whether it closes to 360 degrees. Default: ring."),
    ] = None,
    out: Out = None,
    preset: Preset = None,
    teacher: Teacher = None,
    steps: Steps = None,
    seed: Seed = None,
    device: Device = None,
    set_: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = None,
    overwrite: Overwrite = False,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Edit a panorama through square windows of full height that agree with each other."""
    with reported(debug):
        _picture(
            "panorama", "ring", input_, prompt, preset, method, set_, out, overwrite, max_minutes,
            resume, json_, quiet, edit__source=source, teacher__name=teacher, run__steps=steps,
            run__seed=seed, run__device=device, edit__ring=ring,
        )  # fmt: skip


def _picture(
    task: str,
    layout: Any,
    input_: Path | None,
    prompt: str | None,
    preset: str | None,
    method: str | None,
    overrides: list[str] | None,
    out: Path | None,
    overwrite: bool,
    max_minutes: float | None,
    resume: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    started = time.monotonic()
    from score3d.cli.following import follow_events
    from score3d.config import load_config
    from score3d.runs.folder import RunFolder, slug

    if max_minutes is not None and max_minutes <= 0:
        raise ValueError("--max-minutes must be positive")
    if resume:
        given = (input_, prompt, preset, method, overrides, out, *options.values())
        if any(v is not None for v in given) or overwrite:
            raise ValueError("--resume continues an edit with its own settings")
        config = load_config(str(RunFolder.open(resume, lock=False).config))
        if config.edit.task != task:
            raise ValueError(f"{resume}: not an edit of {task} kind")
    else:
        config = configured(task, input_, prompt, preset, method, overrides, **options)
    from score3d.edit.picture import edit_picture, read_picture

    source = read_picture(Path(config.edit.input))
    if layout == "ring" and not config.edit.ring:
        layout = "strip"
    if layout != "frames" and source.shape[1] < source.shape[0]:
        raise ValueError(
            f"{config.edit.input}: a panorama is wider than high, and this has "
            f"{source.shape[1]} x {source.shape[0]} pixels; use `score3d edit image`"
        )
    if not resume:
        from score3d.edit.session import planned

        config = planned(config)
    path = out or Path("runs") / slug(f"{config.edit.instruction} {config.edit.input}")
    found = Path(config.edit.input)
    if not resume and found.is_dir() and path.resolve() == found.resolve():
        raise ValueError(f"{path}: an edit does not replace what it edits; choose another --out")
    with RunFolder.open(resume) if resume else RunFolder.create(path, overwrite) as folder:
        checkpoint = None
        if resume:
            from score3d.runs.checkpoint import load_checkpoint

            checkpoint = load_checkpoint(folder.checkpoint)
        follow_events(
            lambda *hooks: edit_picture(config, source, layout, folder, checkpoint, *hooks),
            config, folder, f"edit {task}", max_minutes, started, as_json, quiet,
        )  # fmt: skip


@app.command()
def video(
    input_: Annotated[
        Path | None, typer.Argument(metavar="VIDEO", help="A film: .mp4, .webm, .gif, ...")
    ] = None,
    prompt: Instruction = None,
    source: Source = None,
    method: Method = None,
    out: Out = None,
    preset: Preset = None,
    teacher: Teacher = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps per window.")] = None,
    seed: Seed = None,
    device: Device = None,
    set_: Settings = None,
    max_minutes: MaxMinutes = None,
    resume: Resume = None,
    overwrite: Overwrite = False,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Edit a film: its frames agree, and its rate, size and sound are kept."""
    started = time.monotonic()
    with reported(debug):
        if max_minutes is not None and max_minutes <= 0:
            raise ValueError("--max-minutes must be positive")
        from score3d.cli.following import follow_events
        from score3d.config import load_config
        from score3d.files.video import VIDEO_ENDINGS, inspect_film
        from score3d.runs.folder import RunFolder, slug

        options = {
            "edit__source": source, "teacher__name": teacher, "run__steps": steps,
            "run__seed": seed, "run__device": device,
        }  # fmt: skip
        if resume:
            given = (input_, prompt, preset, method, set_, out, *options.values())
            if any(v is not None for v in given) or overwrite:
                raise ValueError("--resume continues an edit with its own settings")
            config = load_config(str(RunFolder.open(resume, lock=False).config))
            if config.edit.task != "video":
                raise ValueError(f"{resume}: not an edit of video kind")
        else:
            config = configured("video", input_, prompt, preset, method, set_, **options)

        path = Path(config.edit.input)
        if path.is_dir():
            found = [f for e in VIDEO_ENDINGS if (f := path / f"video{e}").is_file()]
            if not found:
                raise ValueError(f"{path}: a folder without a video")
            path = found[0]
        film = inspect_film(path)
        ending = path.suffix.lower() if path.suffix.lower() in VIDEO_ENDINGS else ".mp4"
        from score3d.edit.session import planned
        from score3d.edit.video import edit_video

        if not resume:
            config = planned(config)
        slugged = Path("runs") / slug(f"{config.edit.instruction} {config.edit.input}")
        folder_path = resume or out or slugged
        if folder_path.resolve() == path.parent.resolve():
            raise ValueError(f"{folder_path}: an edit does not replace what it edits; choose --out")
        opened = RunFolder.open if resume else lambda p: RunFolder.create(p, overwrite)
        with opened(folder_path) as folder:
            follow_events(
                lambda *hooks: edit_video(config, film, ending, folder, *hooks),
                config, folder, "edit video", max_minutes, started, json_, quiet,
            )  # fmt: skip

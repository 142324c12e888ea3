"""`score3d edit`: change what exists."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score3d.cli.errors import reported

if TYPE_CHECKING:
    from score3d.config import Config
    from score3d.files.splats import Splats

app = typer.Typer(
    help="Edit a scene, a picture, a panorama or a video by what you say.", no_args_is_help=True
)

Instruction = Annotated[
    str | None, typer.Argument(help='The goal: "make it blue", or a description.')
]
Source = Annotated[str | None, typer.Option("--source", help='What is there now: "a red car".')]
Method = Annotated[
    str | None,
    typer.Option(
        help="contrast (default for scenes), instruct (default for scenes with embedded-instruct), "
        "csd-contrast (default for the rest), csd-edit (default for other teachers that take "
        "instructions), dds, pds, sds, dataset-update, or a .toml file."
    ),
]
Out = Annotated[Path | None, typer.Option(help="Run folder. Default: runs/<prompt>-<hash>.")]
Preset = Annotated[
    str | None, typer.Option(help="A .toml file, like the config.toml of an earlier edit.")
]
Teacher = Annotated[str | None, typer.Option(help="As for `generate`.")]
Steps = Annotated[int | None, typer.Option(help="Optimisation steps.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random number.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting: section.key=value.")
]
MaxMinutes = Annotated[
    float | None, typer.Option(help="Stop optimising after this time and export.")
]
Resume = Annotated[Path | None, typer.Option(help="Continue the edit in this folder.")]
Overwrite = Annotated[bool, typer.Option(help="Replace an earlier run in --out.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Debug = Annotated[bool, typer.Option(help="Show tracebacks.")]


def configured(
    task: str,
    input_: Path | None,
    instruction: str | None,
    preset: str | None,
    method: str | None,
    overrides: list[str] | None,
    **options: Any,
) -> "Config":
    """The settings of an edit; options: section__key=value, None for what was not given."""
    from score3d.config import load_config

    if not preset and input_ is None:
        raise ValueError(f'say what to edit: score3d edit {task} FILE "make it blue"')
    chosen: dict[str, dict[str, Any]] = {"edit": {"task": task}}
    options |= {
        "edit__input": str(input_) if input_ else None,
        "edit__instruction": instruction,
    }
    for name, value in options.items():
        if value is not None:
            section, key = name.split("__")
            chosen.setdefault(section, {})[key] = value
    if preset:
        return load_config(preset, method, overrides, chosen)
    from score3d.edit.session import suited

    given = load_config(None, None, overrides, chosen)
    named = given.teacher.name if method or "name" in given.teacher.model_fields_set else None
    usual = suited(task, given.edit.instruction, given.edit.source, named, given.run.device)
    chosen.setdefault("teacher", {}).setdefault("name", usual.teacher)
    return load_config(usual.file, method or usual.method, overrides, chosen)


@app.command()
def scene(
    input_: Annotated[
        Path | None,
        typer.Argument(metavar="SCENE", help="A run folder, a file of Gaussians, or a mesh."),
    ] = None,
    prompt: Instruction = None,
    source: Source = None,
    method: Method = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="What may change: box:x0,y0,z0,x1,y1,z1, sphere:x,y,z,radius, mask:FOLDER, or a "
            'part that the teacher finds, like "the roof".'
        ),
    ] = None,
    bias: Annotated[
        float | None, typer.Option(help="Of masks, -1 to 1: above 0 selects less.")
    ] = None,
    cameras: Annotated[
        Path | None,
        typer.Option(help="Of a capture: transforms.json, or the folder of a COLMAP model."),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(help="Only edit one view, as a picture, into this .png."),
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
    live: Annotated[bool, typer.Option(help="Watch the run in a browser, on 127.0.0.1.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Edit a scene of Gaussians. The input is never changed; the result is a run folder."""
    started = time.monotonic()
    with reported(debug):
        if max_minutes is not None and max_minutes <= 0:
            raise ValueError("--max-minutes must be positive")
        if resume:
            given = (input_, prompt, source, method, region, out, preset, teacher, steps, set_)
            given = (*given, seed, device, bias, cameras, preview)
            if any(v is not None for v in given) or overwrite:
                raise ValueError("--resume continues an edit with its own settings")
            _scene_resumed(resume, max_minutes, started, json_, quiet, live)
            return
        if source is None and preset is None and input_ and input_.is_dir():
            source = _prompt_of(input_)
        config = configured(
            "scene", input_, prompt, preset, method, set_,
            edit__source=source, edit__region=region, edit__bias=bias, teacher__name=teacher,
            run__steps=steps, run__seed=seed, run__device=device,
            edit__cameras=None if cameras is None else str(cameras),
        )  # fmt: skip
        splats, notes = _read(Path(config.edit.input))
        if config.edit.region:
            from score3d.edit.word_region import check_region

            check_region(config)
        if config.edit.cameras:
            from score3d.files.capture import read_capture

            read_capture(config.edit.cameras, config.views.resolution)
        from score3d.edit.session import planned

        config = planned(config)
        if preview is not None:
            _preview(config, splats, preview, overwrite)
            return
        _run(config, out, overwrite, splats, notes, max_minutes, started, json_, quiet, live)


def _run(
    config: "Config",
    out: Path | None,
    overwrite: bool,
    splats: "Splats",
    notes: tuple[str, ...],
    max_minutes: float | None,
    started: float,
    as_json: bool,
    quiet: bool,
    live: bool,
) -> None:
    from score3d.cli.following import follow_events
    from score3d.edit.scene import edit_scene
    from score3d.runs.folder import RunFolder, slug

    path = out or Path("runs") / slug(f"{config.edit.instruction} {config.edit.input}")
    source = Path(config.edit.input)
    if source.is_dir() and path.resolve() == source.resolve():
        raise ValueError(f"{path}: an edit does not replace what it edits; choose another --out")
    with RunFolder.create(path, overwrite) as folder:
        follow_events(
            lambda *hooks: edit_scene(config, splats, folder, None, *hooks, notes=notes),
            config, folder, "edit scene", max_minutes, started, as_json, quiet, live,
        )  # fmt: skip


def _scene_resumed(
    path: Path, max_minutes: float | None, started: float, as_json: bool, quiet: bool, live: bool
) -> None:
    from score3d.cli.following import follow_events
    from score3d.config import load_config
    from score3d.edit.scene import edit_scene
    from score3d.runs.checkpoint import load_checkpoint
    from score3d.runs.folder import RunFolder

    with RunFolder.open(path) as folder:
        config = load_config(str(folder.config))
        if config.edit.task != "scene":
            raise ValueError(f"{path}: not an edit of a scene; see score3d generate --resume")
        splats, notes = _read(Path(config.edit.input))
        checkpoint = load_checkpoint(folder.checkpoint)
        if len(checkpoint.tensors["param.means"]) != len(splats):
            raise ValueError(f"{config.edit.input} has changed since {path} was begun")
        for note in checkpoint.notes:
            sys.stderr.write(f"score3d: {note}\n")
        follow_events(
            lambda *hooks: edit_scene(config, splats, folder, checkpoint, *hooks, notes=notes),
            config, folder, "edit scene", max_minutes, started, as_json, quiet, live,
        )  # fmt: skip


def _read(path: Path) -> "tuple[Splats, tuple[str, ...]]":
    """The Gaussians of what is named, without rows that are not finite, and remarks."""
    from score3d.cli.scene_input import read_finite_scene
    from score3d.files.surfels import is_mesh_file, read_mesh, sample_mesh

    if path.is_file() and is_mesh_file(path):
        splats = sample_mesh(read_mesh(path)).finite()[0]
        return splats, (f"{path}: a mesh, turned into {len(splats)} Gaussians",)
    splats, dropped = read_finite_scene(path)
    if len(splats) == 0:
        raise ValueError(f"{path}: no Gaussians to edit")
    note = f"{path}: {dropped} Gaussians that are not finite were dropped"
    return splats, (note,) if dropped else ()


def _prompt_of(path: Path) -> str | None:
    """What the run in a folder was asked for; a run of ours knows what it shows."""
    from score3d.config import load_config
    from score3d.runs.folder import RunFolder

    return load_config(str(RunFolder.open(path, lock=False).config)).run.prompt or None


def _preview(config: "Config", splats: "Splats", path: Path, overwrite: bool) -> None:
    from score3d.edit.picture import preview_edit
    from score3d.files.pictures import write_png

    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: a preview is a .png")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; use --overwrite to replace it")
    write_png(path, preview_edit(config, splats))
    typer.echo(str(path))

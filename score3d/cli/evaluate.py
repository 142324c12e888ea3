"""`score3d eval`: what is measured of finished runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported

# name in the report -> heading
COLUMNS = {
    "shape": "shape",
    "colour": "colour",
    "material": "material",
    "sides": "sides",
    "janus": "janus",
    "one_sided": "one side",
    "r_precision": "R-prec.",
    "iou": "IoU",
    "chamfer": "chamfer",
    "saturation": "satur.",
}


def evaluate(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or one .ply with --prompt.")],
    prompt: Annotated[str, typer.Option(help="What a .ply file should show.")] = "",
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Measure runs: shape, colour, material and sides by a judge, R-precision by the two-tower
    model where it is installed, and geometry against the embedded teacher's world."""
    with reported(debug):
        from score3d.cli.scene_input import read_scene
        from score3d.config import load_config
        from score3d.runs.folder import RunFolder

        asked = []
        for path in runs:
            text = prompt
            if not text:
                if not path.is_dir():
                    raise ValueError(f"{path}: say what it should show with --prompt")
                config = RunFolder.open(path, lock=False).config
                text = load_config(str(config)).run.prompt
            asked.append((path, text))
        from score3d.evaluate.assess import Assessor
        from score3d.teachers.embedded import load_world

        world = load_world()
        for _, text in asked:
            world.parse(text)
        assessor = Assessor(world)
        reports = [assessor(read_scene(path), text) | {"run": str(path)} for path, text in asked]
        if json_:
            typer.echo(json.dumps(reports, indent=2))
            return
        note = f"judged by the {assessor.judged_by}"
        if assessor.without:
            note += f"; not measured, for want of a two-tower model: {', '.join(assessor.without)}"
        typer.echo(note)
        width = max(len(r["prompt"]) for r in reports)
        typer.echo(" " * width + "".join(f"{h:>10}" for h in COLUMNS.values()))
        for r in reports:
            cells = "".join(f"{_cell(r.get(k)):>10}" for k in COLUMNS)
            typer.echo(f"{r['prompt']:<{width}}{cells}")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.2f}"

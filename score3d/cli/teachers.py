"""`score3d teachers`: what can be asked, under which licence, and in which words."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from score3d.cli.errors import reported

TWIN = "embedded-instruct"


def teachers(
    name: Annotated[
        str | None, typer.Argument(help="embedded, an alias, or a diffusers folder.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """List the teachers with their licences; or describe one: its vocabulary, its settings, or
    what a folder holds and how much memory it needs."""
    with reported(debug):
        from score3d.config import suggestion
        from score3d.resources import resource
        from score3d.teachers.aliases import ALIASES

        if name is None:
            _list(json_)
        elif name == "embedded":
            _vocabulary(json_)
        elif name == TWIN and resource("assets", "teacher-instruct").is_dir():
            _folder(str(resource("assets", "teacher-instruct")), json_)
        elif Path(name).is_dir():
            _folder(name, json_)
        elif name in ALIASES:
            _alias(name, json_)
        else:
            raise ValueError(
                f"unknown teacher {name!r}; {suggestion(name, ['embedded', *ALIASES])}"
            )


def _list(as_json: bool) -> None:
    from dataclasses import asdict

    from score3d.resources import resource
    from score3d.teachers.aliases import ALIASES

    twin = resource("assets", "teacher-instruct").is_dir()
    if as_json:
        ours = {name: {"licence": "MIT"} for name in ("embedded", TWIN)[: 1 + twin]}
        rows = {**ours, **{k: asdict(a) for k, a in ALIASES.items()}}
        typer.echo(json.dumps(rows, indent=2))
        return
    typer.echo("embedded   ships with score3d; `score3d teachers embedded` lists its words [MIT]")
    if twin:
        typer.echo(f"{TWIN}  ships too, for `score3d edit`: follows instructions [MIT]")
    for name, alias in ALIASES.items():
        gate = ", gated: needs a token" if alias.gated else ""
        typer.echo(f"{name:10} {alias.title}{gate} [{alias.licence}]")
        typer.echo(f"{'':10} {', else '.join(alias.ids)}")
    typer.echo("Or any folder or hub id in diffusers layout: --teacher path/to/folder, owner/name")
    typer.echo("Licences are as the model cards state them; the hub has the text.")


def _alias(name: str, as_json: bool) -> None:
    from dataclasses import asdict

    from score3d.config import suited_preset
    from score3d.teachers.aliases import ALIASES

    alias, settings = ALIASES[name], suited_preset("teachers", name, None)
    if as_json:
        typer.echo(json.dumps(asdict(alias) | {"settings": settings}, indent=2))
        return
    typer.echo(f"{name}: {alias.title}")
    typer.echo(f"  licence: {alias.licence}" + (" (gated)" if alias.gated else ""))
    typer.echo(f"  hub ids: {', '.join(alias.ids)}")
    typer.echo(f"  predicts: {alias.prediction}")
    for section, values in settings.items():
        listed = ", ".join(f"{k} = {v}" for k, v in values.items())
        typer.echo(f"  [{section}] {listed}")


def _folder(name: str, as_json: bool) -> None:
    from dataclasses import asdict

    from score3d.build import build_device
    from score3d.teachers.kinds import CheckpointTeacher

    device = build_device("auto")
    found = CheckpointTeacher(name, device)
    found.check()
    needed = found.estimate(4)
    if as_json:
        typer.echo(json.dumps({"kind": found.kind.__name__, **asdict(needed)}, indent=2))
        return
    typer.echo(f"{name}: a {found.kind.__name__}; its files are whole")
    typer.echo(f"  memory for four views a step: {needed.line(device)}")


def _vocabulary(as_json: bool) -> None:
    from score3d.teachers.embedded import load_world

    world: Any = load_world()
    if as_json:
        typer.echo(json.dumps(vars(world), indent=2))
        return
    typer.echo(
        f"embedded: ships with score3d; {world.training['trained_images']} training pictures"
    )
    typer.echo(f"  nouns, best known first: {', '.join(world.nouns)}")
    typer.echo(f"  colours: {', '.join(world.colours)}")
    typer.echo(f"  materials: {', '.join(world.materials)}")
    parts = ", ".join(f"{noun} with blue {part}" for noun, part in world.second_parts.items())
    typer.echo(f"  second colours: {parts or 'none'}")
    relations = f"{', '.join(world.relations)}, of {', '.join(world.related)}"
    typer.echo(f"  relations: {relations if world.relations else 'none'}")
    typer.echo(f"  phrases: {', '.join(f'{a} = {b}' for a, b in world.phrases.items())}")
    typer.echo(f"  synonyms: {', '.join(f'{a} = {b}' for a, b in world.synonyms.items())}")

"""`score3d teachers`: what can be asked, and in which words."""

import json
from typing import Annotated

import typer

from score3d.cli.errors import reported


def teachers(
    name: Annotated[str, typer.Argument(help="embedded")] = "embedded",
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Describe the teachers: the vocabulary of the embedded one, and how to name another."""
    with reported(debug):
        from score3d.config import suggestion
        from score3d.teachers.embedded import load_world

        if name != "embedded":
            raise ValueError(f"unknown teacher {name!r}; {suggestion(name, ['embedded'])}")
        world = load_world()
        if json_:
            typer.echo(json.dumps(vars(world), indent=2))
            return
        typer.echo(
            f"embedded: ships with score3d; {world.training['trained_images']} training pictures"
        )
        typer.echo(f"  nouns: {', '.join(world.nouns)}")
        typer.echo(f"  colours: {', '.join(world.colours)}")
        typer.echo(f"  synonyms: {', '.join(f'{a} = {b}' for a, b in world.synonyms.items())}")
        typer.echo("Any folder in Stable Diffusion's diffusers layout: --teacher path/to/folder")

"""`score3d losses`: the methods, as rows of slots."""

import json
from typing import Annotated

import typer

from score3d.cli.errors import reported

SLOTS = ("noise", "guide", "baseline", "weight", "couple", "consistency")


def losses(
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """List the distillation losses: what fills each slot of the one equation, and its paper."""
    with reported(debug):
        import tomllib

        from score3d.config import loss_names
        from score3d.resources import resource

        rows = {
            name: tomllib.loads(resource("configs", "losses", f"{name}.toml").read_text())
            for name in loss_names()
        }
        if json_:
            typer.echo(json.dumps(rows, indent=2))
            return
        for name, row in rows.items():
            typer.echo(f"{name}: {row['about']['title']} ({row['about']['cite']})")
            typer.echo("  " + ", ".join(f"{slot} = {row['distill'][slot]}" for slot in SLOTS))
            others = {
                f"{section}.{key}": value
                for section in row.keys() - {"about"}
                for key, value in row[section].items()
                if key not in (*SLOTS, "loss")
            }
            if others:
                typer.echo("  " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in others.items()))

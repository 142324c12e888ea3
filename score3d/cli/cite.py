"""`score3d cite`: the papers a run stands on, as BibTeX."""

from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported


def cite(
    run: Annotated[
        Path, typer.Argument(help="A run folder, or the name of a loss (`score3d losses`).")
    ],
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Print the BibTeX entries of what a run used: loss, slots, scene and kind of teacher."""
    with reported(debug):
        from score3d.citations import keys_of, references
        from score3d.config import load_config, loss_names, suggestion
        from score3d.runs.folder import RunFolder

        if run.is_dir():
            config = load_config(str(RunFolder.open(run, lock=False).config))
        elif str(run) in loss_names():
            config = load_config(None, str(run))
        else:
            raise ValueError(
                f"{run}: no such run folder, and no such loss; {suggestion(str(run), loss_names())}"
            )
        entries = references()
        typer.echo("\n\n".join(entries[key] for key in keys_of(config)))

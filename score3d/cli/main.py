"""`score3d`: the commands in one place."""

import typer

from score3d.cli import (
    batch,
    cite,
    compare,
    compress,
    doctor,
    edit_pictures,
    evaluate,
    export,
    generate,
    losses,
    render,
    segment,
    teachers,
    view,
)

app = typer.Typer(
    name="score3d",
    help="Text to 3D by score distillation, on a CPU out of the box.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(generate.generate)
app.add_typer(edit_pictures.app, name="edit")
app.command("eval")(evaluate.evaluate)
app.command()(export.export)
app.command()(render.render)
app.command()(view.view)
app.command()(compare.compare)
app.command()(batch.batch)
app.command()(compress.compress)
app.command()(doctor.doctor)
app.command()(segment.segment)
app.command()(teachers.teachers)
app.command()(losses.losses)
app.command()(cite.cite)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()

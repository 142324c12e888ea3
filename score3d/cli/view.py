"""`score3d view`: a run or a splat file in a page of this machine."""

import time
from pathlib import Path
from typing import Annotated

import typer

from score3d.cli.errors import reported


def view(
    source: Annotated[Path, typer.Argument(help="A run folder or a file of Gaussians.")],
    before: Annotated[
        Path | None, typer.Option(help="Another run or file to switch to, e.g. before an edit.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; the next free one if it is in use.")] = 8080,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Look at a scene in a browser, with a slider over a run's checkpoints. Ctrl-C ends it."""
    with reported(debug):
        if not 1 <= port <= 65535:
            raise ValueError(f"--port {port}: 1 to 65535")
        from score3d.cli.scene_input import read_scene
        from score3d.report.live_view import LiveView, checkpoint_stages

        scene = read_scene(source)
        stages = checkpoint_stages(source / "checkpoint") if source.is_dir() else []
        other = read_scene(before) if before else None
        shown = LiveView(source.resolve().name, host, port)
        shown.add_stages([*stages, ("scene", lambda: scene)])
        if other is not None:
            shown.add_before(other)
        typer.echo(f"{shown.url}  (Ctrl-C ends)")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            shown.close()

"""Following a run on a terminal: progress, time limit, signals, closing lines."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from score3d.config import Config

__all__ = ["follow_events"]


def follow_events(
    events: Callable[..., Iterator[Any]],
    config: "Config",
    folder: Any,
    command: str,
    max_minutes: float | None,
    started: float,
    as_json: bool = False,
    quiet: bool = False,
    live: bool = False,
) -> None:
    """Consume a run's events, `events(should_stop, *watch)`; `command --resume` continues it."""
    from score3d.cli.progress import Progress

    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        if received:
            os._exit(128 + number)  # the second one means now
        received.append(number)
        sys.stderr.write(
            "score3d: stopping; a checkpoint and the files so far follow. Again to quit now\n"
        )

    def should_stop() -> str:
        if received:
            return "interrupted"
        late = max_minutes is not None and time.monotonic() - started > 60 * max_minutes
        return "time limit" if late else ""

    watch = []
    if live:
        from score3d.report.live_view import LiveView

        view = LiveView(config.run.prompt)
        sys.stderr.write(f"score3d: live view at {view.url}\n")
        watch = [view.watch]
    handlers = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        unit = {"nerf": "cells", "mesh": "faces"}.get(config.scene.kind, "Gaussians")
        with Progress(config.run.steps, quiet or as_json, unit) as progress:
            progress.phase("load")
            follow = events(should_stop, *watch)
            from score3d.follow import Phase

            for event in follow:
                if isinstance(event, Phase):
                    progress.phase(event.name, event.note)
                else:
                    progress.step(event)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    summary = json.loads(folder.summary.read_text())
    if as_json:
        typer.echo(json.dumps(summary | {"folder": str(folder.path)}, indent=2))
    elif not quiet:
        _closing(folder, summary, command)
    if received:
        raise typer.Exit(128 + received[0])


def _closing(folder: Any, summary: dict[str, Any], command: str) -> None:
    seconds = summary["seconds"]
    total = sum(seconds.values())
    parts = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    what = f"{summary['gaussians']} Gaussians" if summary["gaussians"] else "a picture"
    typer.echo(f"{summary['status']}: {what} in {total:.0f} s ({parts})")
    if "judge" in summary:
        judge = summary["judge"]
        colour = f", colour right in {judge['colour']:.0%}" if "colour" in judge else ""
        typer.echo(f"judge: shape right in {judge['shape']:.0%} of 8 views{colour}")
    found = summary.get("edit", {}).get("judge")
    if found:
        words = ", ".join(
            f"{found['asked'].get(k, 'what it is')} in {v['after']:.0%} (before {v['before']:.0%})"
            for k, v in found["shares"].items()
        )
        verdict = "fulfilled" if found["fulfilled"] else "not fulfilled"
        typer.echo(f"{verdict}: the {found['judged_by']} sees {words} of the views")
        if "pixels" in found:
            typer.echo(f"{found['pixels']:.0%} of the pixels of the old colour have the new one")
    outside = summary.get("edit", {}).get("outside_psnr")
    if outside is not None:
        typer.echo(f"outside the region: {outside} dB")
    for note in summary["notes"]:
        typer.echo(f"note: {note}")
    names = (
        "report.html",
        "scene.ply",
        "mesh.glb",
        "contact_sheet.png",
        "turntable.mp4",
        "turntable.webp",
        "picture.png",
        "panorama.png",
        "video.mp4",
        "video.webm",
        "video.gif",
        "comparison.mp4",
    )
    others = [p["folder"] for p in summary.get("particles", [])[1:]]
    for name in (*names, *others):
        if (folder.path / name).exists():
            typer.echo(f"  {folder.path / name}")
    if summary["status"] != "complete":
        typer.echo(f"continue with: score3d {command} --resume {folder.path}")

"""`score3d batch`: many prompts from a file."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from score3d.cli.errors import reported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from score3d.batch.one import Outcome


def batch(
    prompts: Annotated[Path, typer.Argument(help="A text file with one prompt per line.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs, summary and gallery.")],
    preset: Annotated[str | None, typer.Option(help="As in generate.")] = None,
    loss: Annotated[str | None, typer.Option(help="As in generate.")] = None,
    teacher: Annotated[str | None, typer.Option(help="As in generate.")] = None,
    steps: Annotated[int | None, typer.Option(help="As in generate.")] = None,
    seed: Annotated[int | None, typer.Option(help="As in generate.")] = None,
    negative: Annotated[str | None, typer.Option(help="As in generate.")] = None,
    device: Annotated[str | None, typer.Option(help="As in generate.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: section.key=value.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Many at once on a Ray cluster: its address, auto, or local for this machine.",
        ),
    ] = None,
    ray_cpus: Annotated[float, typer.Option(min=0.1, help="Processors that a run claims.")] = 2,
    ray_gpus: Annotated[float, typer.Option(min=0, help="GPUs that a run claims.")] = 0,
    resume: Annotated[
        bool, typer.Option(help="Go on in --out: skip what is complete, resume what is not.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
) -> None:
    """Make an asset of every prompt in a file; one that fails does not stop the others.

    Writes a run folder each, summary.json, summary.csv and gallery.html. Lines that begin with #
    are skipped. The exit code is 0 if all are complete, else 1.
    """
    with reported(debug):
        from score3d.batch.prompts import read_prompts, write_results

        options = _options(
            preset=preset, loss=loss, teacher=teacher, steps=steps, seed=seed,
            negative=negative, device=device,
        )  # fmt: skip
        for assignment in set_ or []:
            options += ["--set", assignment]
        jobs, outcomes = _apart(read_prompts(prompts))
        total = len(jobs) + len(outcomes)
        run = _one_after_another if ray is None else _on_ray(ray, ray_cpus, ray_gpus)
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not resume:
            raise ValueError(f"{out} is not empty; use --resume to go on there, or another folder")
        for outcome in run(jobs, out, options):
            outcomes.append(outcome)
            if not json_:
                typer.echo(_line(outcome, len(outcomes), total))
            write_results(out, sorted(outcomes, key=lambda o: o.line))
        if json_:
            typer.echo((out / "summary.json").read_text(encoding="utf-8").rstrip())
        else:
            counts = json.loads((out / "summary.json").read_text(encoding="utf-8"))["counts"]
            typer.echo(", ".join(f"{n} {status}" for status, n in counts.items()))
            typer.echo(f"  {out / 'gallery.html'}")
        if len(outcomes) < total or any(o.status == "interrupted" for o in outcomes):
            sys.stderr.write("score3d: interrupted; go on with --resume\n")
            raise typer.Exit(130)
        if any(outcome.status != "complete" for outcome in outcomes):
            raise typer.Exit(1)


def _options(**chosen: object) -> list[str]:
    return [
        word
        for name, value in chosen.items()
        if value is not None
        for word in (f"--{name}", str(value))
    ]


def _line(outcome: "Outcome", done: int, total: int) -> str:
    shape = outcome.row()["judge_shape"]
    found = f", {shape:.0%} of views recognised" if isinstance(shape, float) else ""
    said = outcome.error or f"{outcome.seconds:.0f} s{found}"
    return f"[{done}/{total}] {outcome.status}: {outcome.prompt}: {said}"


def _apart(jobs: list[tuple[int, str]]) -> "tuple[list[tuple[int, str]], list[Outcome]]":
    """The jobs, and as failed those whose folder would be that of an earlier line."""
    from score3d.batch.one import Outcome
    from score3d.runs.folder import slug

    first: dict[str, int] = {}
    repeated = []
    for line, prompt in jobs:
        earlier = first.setdefault(prompt, line)
        if earlier != line:
            error = f"the prompt is that of line {earlier}; give it another wording"
            repeated.append(Outcome(line, prompt, slug(prompt), "failed", error, 0.0, {}))
    return [(line, prompt) for prompt, line in first.items()], repeated


def _one_after_another(
    jobs: list[tuple[int, str]], out: Path, options: list[str]
) -> "Iterator[Outcome]":
    from score3d.batch.one import run_one

    stop = _Stop()
    for line, prompt in jobs:
        outcome = run_one(line, prompt, out, options, stop.watch)
        if stop.asked and outcome.status != "complete":
            outcome = dataclasses.replace(outcome, status="interrupted", error="")
        yield outcome
        if stop.asked:
            return


def _on_ray(address: str, cpus: float, gpus: float) -> "Callable[..., Iterator[Outcome]]":
    from score3d.batch import fleet

    missing = fleet.missing_library()
    if missing:
        raise ValueError(missing)

    def run(jobs: list[tuple[int, str]], out: Path, options: list[str]) -> "Iterator[Outcome]":
        with fleet.connected(address):
            stop = _Stop()  # after Ray, which has handlers of its own
            yield from fleet.run_fleet(
                jobs, out, options, cpus, gpus, lambda: stop.asked,
                lambda line: sys.stderr.write(f"{line}\n"),
            )  # fmt: skip

    return run


class _Stop:
    """Ctrl-C and SIGTERM: the run that goes on is told, and ends in good order."""

    def __init__(self) -> None:
        self.asked = False
        self.process: subprocess.Popen[str] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def watch(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def _on_signal(self, number: int, frame: object) -> None:
        # a terminal sends Ctrl-C to the run as well; a second one means now, there as here
        if number == signal.SIGTERM and self.process is not None:
            self.process.send_signal(signal.SIGTERM)
        if self.asked:
            os._exit(128 + number)
        self.asked = True

"""Runs side by side on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from score3d.files.atomic import write_text
from score3d.report.curves import line_chart
from score3d.report.facts import RunFacts
from score3d.report.page import escape, moving, page, picture, table

__all__ = ["comparison_page", "comparison_rows", "write_comparison"]


def write_comparison(path: str | Path, runs: Sequence[RunFacts]) -> None:
    """Write `comparison_page` as a file, atomically. Raises OSError."""
    write_text(path, comparison_page(runs))


def comparison_rows(runs: Sequence[RunFacts]) -> list[list[str]]:
    """Results, then the settings in which the runs differ: [what, of run 1, of run 2, ...]."""
    judged = dict.fromkeys(key for run in runs for key in run.judge)
    rows = [
        ["prompt", *(run.prompt for run in runs)],
        ["status", *(run.status for run in runs)],
        ["steps", *(str(run.summary.get("steps", len(run.metrics))) for run in runs)],
        ["seconds", *(f"{run.seconds:.0f}" for run in runs)],
        ["Gaussians", *(str(run.summary.get("gaussians", "?")) for run in runs)],
        *(
            [f"judge: {key}", *(f"{r.judge[key]:.0%}" if key in r.judge else "" for r in runs)]
            for key in judged
        ),
    ]
    for section in dict.fromkeys(name for run in runs for name in run.config):
        keys = dict.fromkeys(
            key
            for run in runs
            if isinstance(run.config.get(section), dict)
            for key in run.config[section]
        )
        for key in keys:
            values = [str(run.setting(section, key)) for run in runs]
            if len(set(values)) > 1 and (section, key) != ("run", "prompt"):
                rows.append([f"{section}.{key}", *values])
    return rows


def comparison_page(runs: Sequence[RunFacts]) -> str:
    """The page as HTML: turntables and sheets in columns, curves over each other, differences."""
    return page("score3d: comparison of runs", _body(runs))


def _body(runs: Sequence[RunFacts]) -> Iterator[str]:
    names = [run_name(run, runs) for run in runs]
    yield f"<h1>{len(runs)} runs side by side</h1>"
    yield '<div class="row">'
    for run, name in zip(runs, names, strict=True):
        yield (
            f"<figure>{moving(run.path / 'turntable', 'turntable of ' + run.prompt)}"
            f"{picture(run.path / 'contact_sheet.png', 'views of ' + run.prompt)}"
            f"<figcaption>{escape(name)}</figcaption></figure>"
        )
    yield "</div><h2>Results and differences</h2>"
    yield table(comparison_rows(runs), ["", *names])
    yield '<h2>Curves</h2><div class="row">'
    for title, key, logarithmic in (
        ("gradient norm", "grad_norm", True),
        ("Gaussians", "gaussians", False),
        ("diffusion time t", "t", False),
    ):
        curves = {name: run.curve(key) for run, name in zip(runs, names, strict=True)}
        yield line_chart(title, curves, logarithmic)
    yield "</div>"


def run_name(run: RunFacts, runs: Sequence[RunFacts]) -> str:
    """The folder's name, or its whole path where two are called the same."""
    same = sum(other.path.name == run.path.name for other in runs)
    return run.path.name if same == 1 else str(run.path)

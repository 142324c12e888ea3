"""report.html: a run on one page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from score3d.citations import cited
from score3d.config import load_config
from score3d.files.atomic import write_text
from score3d.report.curves import line_chart, shares
from score3d.report.facts import RunFacts, read_facts
from score3d.report.page import Html, escape, moving, page, picture, size_text, table
from score3d.runs.folder import write_summary

__all__ = ["report_page", "write_report", "write_report_or_note"]

VIEWER_LIMIT = 200_000  # splats; a page with more takes long to open


def write_report(folder: str | Path) -> Path:
    """Write report.html into a run folder, from what the folder holds; returns its path.

    Parts that are missing are left out or noted. Raises OSError.
    """
    target = Path(folder) / "report.html"
    write_text(target, report_page(read_facts(folder)))
    return target


def write_report_or_note(folder: str | Path, summary: dict[str, Any]) -> None:
    """`write_report`, but whatever is wrong with a page about the run does not fail the run: it
    becomes one more of the summary's notes."""
    try:
        write_report(folder)
    except Exception as error:
        summary["notes"] = [*summary["notes"], f"no report.html: {error}"]
        write_summary(Path(folder) / "summary.json", summary)


def report_page(facts: RunFacts) -> str:
    """The page as HTML, complete in itself."""
    return page(f"{facts.prompt} - score3d", _body(facts))


def _body(facts: RunFacts) -> Iterator[str]:
    path = facts.path
    yield f"<h1>{escape(facts.prompt)}</h1>"
    yield _headline(facts)
    for note in facts.summary.get("notes") or []:
        yield f'<p class="bad">note: {escape(str(note))}</p>'
    viewer = _viewer(facts)
    yield '<div class="row">'
    if viewer:
        yield viewer
    yield f"<div>{moving(path / 'turntable', 'turntable of ' + facts.prompt)}</div></div>"
    yield "<h2>Views</h2>"
    yield picture(path / "contact_sheet.png", f"views of {facts.prompt}")
    yield "<h2>Curves</h2><div class='row'>"
    yield line_chart("gradient norm", {"|g|": facts.curve("grad_norm")}, logarithmic=True)
    yield line_chart("Gaussians", {"count": facts.curve("gaussians")})
    yield line_chart("diffusion time t", {"t": facts.curve("t")})
    seconds = facts.summary.get("step_seconds")
    yield shares("where the steps' time went", _numbers(seconds))
    yield shares("where the run's time went", _numbers(facts.summary.get("seconds")))
    yield "</div>"
    if facts.judge:
        yield "<h2>Judge</h2>"
        yield "<p>An independent classifier looks at eight views; shares of views named right.</p>"
        rows = [[key, f"{value:.0%}", _said(facts, key)] for key, value in facts.judge.items()]
        yield table(rows, ["asked", "right", "said"])
    yield "<h2>Files</h2>"
    files = [p for p in facts.files() if p.name != "report.html"]
    yield table([[p.name, size_text(p.stat().st_size)] for p in files])
    yield "<h2>What next</h2>"
    yield "<ul>" + "".join(f"<li>{line}</li>" for line in _next(facts)) + "</ul>"
    yield "<h2>Settings</h2>"
    yield "<details><summary>all settings (config.toml runs again)</summary>"
    for section, settings in facts.config.items():
        if isinstance(settings, dict):
            yield f"<h3>{escape(section)}</h3>" + table(settings.items())
    yield "</details>"
    versions = facts.summary.get("versions")
    if isinstance(versions, dict):
        yield f'<p class="quiet">{escape(", ".join(f"{k} {v}" for k, v in versions.items()))}</p>'
    yield "<h2>Citations</h2>"
    yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in _citations(facts)) + "</ul>"


def _headline(facts: RunFacts) -> str:
    parts = [
        facts.status,
        f"{facts.summary.get('steps', len(facts.metrics))} steps",
        f"{facts.summary.get('gaussians', '?')} Gaussians",
        f"{facts.seconds:.0f} s",
        f"loss {facts.setting('distill', 'loss', '?')}",
        f"teacher {facts.setting('teacher', 'name', '?')}",
        f"seed {facts.setting('run', 'seed', '?')}",
    ]
    negative = facts.setting("run", "negative")
    if negative:
        parts.append(f"negative: {negative}")
    return f"<p>{escape(' | '.join(parts))}</p>"


def _viewer(facts: RunFacts) -> str:
    """The viewer in a frame of its own, if there is a scene it can show."""
    from score3d.files.formats import read_splats
    from score3d.report.viewer import viewer_page

    try:
        splats, _ = read_splats(facts.path / "scene.ply").finite()
        if not 0 < len(splats) <= VIEWER_LIMIT:
            return ""
        background = float(facts.setting("output", "background", 0.5))
        text = viewer_page(splats, facts.prompt, background)
    except (OSError, ValueError):
        return ""
    return f'<iframe title="3D viewer" srcdoc="{escape(text)}"></iframe>'


def _said(facts: RunFacts, key: str) -> str:
    said = facts.summary["judge"].get({"shape": "said_shapes", "colour": "said_colours"}.get(key))
    if not isinstance(said, list):
        return ""
    counts = {str(word): said.count(word) for word in said}
    return ", ".join(f"{word} {n}" for word, n in sorted(counts.items(), key=lambda p: -p[1]))


def _next(facts: RunFacts) -> Iterator[Html]:
    run, prompt = shlex.quote(str(facts.path)), shlex.quote(facts.prompt)

    def command(text: str) -> str:
        return f"<code>{escape(text)}</code>"

    if facts.status != "complete":
        yield Html(f"It stopped early; go on with {command(f'score3d generate --resume {run}')}")
    shape = facts.judge.get("shape")
    if shape is not None and shape < 0.75:
        seed = facts.setting("run", "seed", 0)
        another = seed + 1 if isinstance(seed, int) else 1
        again = command(f"score3d generate {prompt} --seed {another} --preset high")
        yield Html(f"The judge is not convinced; another seed and more steps may help: {again}")
    if (facts.path / "scene.ply").exists():
        viewer = command(f"score3d export {run} scene.html")
        yield Html(f"Send it to someone: {viewer}, one file that any browser opens")
        web, mesh = (command(f"score3d export {run} scene.{end}") for end in ("sog", "glb"))
        yield Html(f"Use it elsewhere: {web} for the web, {mesh} for a textured mesh")
    yield Html(f"Lay it beside another run: {command(f'score3d compare {run} OTHER_RUN')}")


def _citations(facts: RunFacts) -> list[str]:
    try:
        return cited(load_config(str(facts.path / "config.toml")))
    except (OSError, ValueError):  # a page of a damaged run is a page all the same
        return []


def _numbers(found: object) -> dict[str, float]:
    if not isinstance(found, dict):
        return {}
    return {str(k): float(v) for k, v in found.items() if isinstance(v, int | float)}

"""The report of a run, comparisons: complete pages, honest about what is missing."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from score3d.files.pictures import write_png, write_turntable
from score3d.files.ply import write_ply
from score3d.files.splats import Splats
from score3d.report.comparison import comparison_page, comparison_rows
from score3d.report.curves import line_chart, shares
from score3d.report.facts import read_facts
from score3d.report.run_report import report_page, write_report


def run_folder(path: Path, prompt: str = "a red <cube>", seed: int = 0) -> Path:
    """A finished run as `generate` leaves it, small."""
    rng = np.random.default_rng(seed)
    path.mkdir()
    (path / "config.toml").write_text(
        f"[run]\nprompt = {json.dumps(prompt)}\nseed = {seed}\nsteps = 50\n"
        '[distill]\nloss = "sds"\n[teacher]\nname = "embedded"\n[scene]\nkind = "gaussians"\n'
    )
    lines = [{"step": i, "grad_norm": 20.0 / (i + 1), "t": 0.5, "gaussians": 100 + i}
             for i in range(50)]  # fmt: skip
    lines[7]["grad_norm"] = "nan"  # type: ignore[assignment]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "metrics.jsonl").write_text(text + '{"step": 50, "grad')
    (path / "summary.json").write_text(
        json.dumps({
            "prompt": prompt, "status": "complete", "steps": 50, "gaussians": 149, "seed": seed,
            "seconds": {"load": 1.0, "optimise": 3.0}, "step_seconds": {"render": 2.0},
            "notes": ["a note"], "versions": {"score3d": "0.1.0"},
            "judge": {"shape": 0.5, "said_shapes": ["cube"] * 4 + ["mug"] * 4},
        })
    )  # fmt: skip
    n = 200
    splats = Splats(
        rng.normal(size=(n, 3)) * 0.2, rng.normal(size=(n, 4)), np.full((n, 3), -3.5),
        np.full(n, 2.0), rng.normal(size=(n, 1, 3)),
    )  # fmt: skip
    write_ply(path / "scene.ply", splats)
    write_png(path / "contact_sheet.png", rng.random((32, 64, 3)))
    write_turntable(path / "turntable", rng.random((2, 16, 16, 3)))
    return path


def test_a_report_has_it_all(tmp_path):
    folder = run_folder(tmp_path / "run")
    text = write_report(folder).read_text()
    for part in ("a red &lt;cube&gt;", "gradient norm", "data:video/mp4", "data:image/png",
                 "srcdoc=", "50%", "cube 4, mug 4", "scene.ply", "score3d generate", "--seed 1",
                 "arXiv 2209.14988", "arXiv 2308.04079", "a note", "score3d 0.1.0"):  # fmt: skip
        assert part in text, part
    assert "<cube>" not in text
    assert "http:" not in text
    assert "https:" not in text


@pytest.mark.parametrize(
    "gone", ["config.toml", "summary.json", "metrics.jsonl", "scene.ply", "contact_sheet.png",
             "turntable.mp4"],
)  # fmt: skip
def test_a_report_without(tmp_path, gone):
    folder = run_folder(tmp_path / "run")
    (folder / gone).unlink()
    text = report_page(read_facts(folder))
    assert "a red &lt;cube&gt;" in text
    (folder / gone).write_bytes(b"\xff\x00{[damaged")
    assert "cube" in report_page(read_facts(folder)) or gone == "summary.json"


def test_an_unfinished_run_says_how_to_go_on(tmp_path):
    folder = run_folder(tmp_path / "it's a run")
    (folder / "summary.json").unlink()
    text = report_page(read_facts(folder))
    assert "unfinished" in text
    assert "--resume &#x27;" in text  # quoted for a shell, escaped for a page


def test_in_a_browser(page, tmp_path):
    write_report(run_folder(tmp_path / "run"))
    page.goto((tmp_path / "run" / "report.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("canvas").wait_for()
    inner = page.frames[1]
    inner.evaluate("viewer.ready")
    url = inner.evaluate("document.querySelector('canvas').toDataURL('image/png')")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))
    assert image.std() > 10  # the scene, not an even gray
    assert page.evaluate("document.querySelector('video').duration") > 0
    assert page.locator("svg").count() == 5


def test_comparison(tmp_path):
    runs = [read_facts(run_folder(tmp_path / f"run{i}", seed=i)) for i in range(3)]
    rows = {row[0]: row[1:] for row in comparison_rows(runs)}
    assert rows["run.seed"] == ["0", "1", "2"]
    assert "run.steps" not in rows  # equal
    assert rows["judge: shape"] == ["50%"] * 3
    text = comparison_page(runs)
    assert text.count("data:video/mp4") == 3
    assert "run2" in text


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "score3d.cli.main", "compare", *map(str, arguments)],
        capture_output=True, text=True,
    )  # fmt: skip


def test_compare_command(tmp_path):
    a, b = run_folder(tmp_path / "a"), run_folder(tmp_path / "b", seed=4)
    result = compare(a, b, "--out", tmp_path / "c.html", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["runs"]["run.seed"] == {"a": "0", "b": "4"}
    assert (tmp_path / "c.html").exists()
    for arguments, says in (
        ((a, b, "--out", tmp_path / "c.html"), "--overwrite"),
        ((a,), "at least two"),
        ((a, tmp_path), "no config.toml"),
        ((a, b, "--out", tmp_path / "c.pdf"), ".html file"),
        ((a, b, "--out", tmp_path / "x" / "c.html"), "there is no folder"),
    ):
        result = compare(*arguments)
        assert result.returncode == 2
        assert says in result.stderr
        assert result.stderr.count("\n") == 1


def test_charts_with_odd_numbers():
    assert "nothing recorded" in line_chart("x", {"a": []})
    assert "nothing recorded" in line_chart("x", {"a": [(0, float("nan")), (1, -1.0)]}, True)
    assert "polyline" in line_chart("x", {"a": [(0, 3.0)]})
    assert "polyline" in line_chart("x", {"a": [(i, 0.0) for i in range(5000)]})
    assert len(line_chart("x", {"a": [(i, float(i)) for i in range(100_000)]})) < 20_000
    assert "nothing recorded" in shares("x", {})
    assert "&lt;" in shares("x", {"<": 1.0})

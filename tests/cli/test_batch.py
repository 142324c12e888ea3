"""Batches: what is good is made, what is bad is said, what was stopped goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from score3d.batch import one
from score3d.batch.one import run_one
from score3d.batch.prompts import read_prompts, write_results
from score3d.runs.folder import slug

TINY = ["--preset", "draft", "--steps", "3", "--set", "output.turntable_views=2",
        "--set", "output.mesh_resolution=16", "--set", "output.picture_size=64"]  # fmt: skip


def batch(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "score3d.cli.main", "batch", *map(str, arguments)],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def test_good_and_bad_prompts(tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# things\na red cube\n\na purple zeppelin\na red cube\n-v\na blue cone\n")
    out = tmp_path / "out"
    result = batch(prompts, "--out", out, *TINY)
    assert result.returncode == 1, result.stderr
    assert "2 complete, 3 failed" in result.stdout
    summary = json.loads((out / "summary.json").read_text())
    rows = {row["line"]: row for row in summary["runs"]}
    assert summary["counts"] == {"complete": 2, "failed": 3}
    assert [rows[n]["status"] for n in (2, 4, 5, 6, 7)] == [
        "complete", "failed", "failed", "failed", "complete"
    ]  # fmt: skip
    assert "zeppelin" in rows[4]["error"]
    assert "line 2" in rows[5]["error"]
    assert "'-v'" in rows[6]["error"]  # a prompt, not an option
    for n in (2, 7):
        folder = out / rows[n]["folder"]
        assert (folder / "scene.ply").exists()
        assert (folder / "report.html").exists()
    with open(out / "summary.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["prompt"] for row in table] == [row["prompt"] for row in summary["runs"]]
    gallery = (out / "gallery.html").read_text()
    assert "2 of 5 complete" in gallery
    assert f"{slug('a red cube')}/report.html" in gallery
    again = batch(prompts, "--out", out, *TINY)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    before = (out / slug("a red cube") / "scene.ply").stat().st_mtime_ns
    prompts.write_text("a red cube\na blue cone\n")
    again = batch(prompts, "--out", out, *TINY, "--resume")
    assert again.returncode == 0
    assert (out / slug("a red cube") / "scene.ply").stat().st_mtime_ns == before


def test_a_stopped_batch_leaves_everything_in_order(tmp_path):
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("a red cube\na blue cone\n")
    command = ["batch", prompts, "--out", out, *TINY, "--steps", "5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "score3d.cli.main", *map(str, command)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = out / slug("a red cube") / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "go on with --resume" in errors
    summary = json.loads((out / "summary.json").read_text())
    assert [row["status"] for row in summary["runs"]] == ["interrupted"]
    assert list((metrics.parent / "checkpoint").glob("step-*"))
    assert (metrics.parent / "scene.ply").exists()


class Generate:
    """In place of `score3d generate`: does what the prompt says and keeps the command lines."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def __call__(self, command: Sequence[str], **_: object) -> Generate:
        self.seen.append(list(command))
        self.returncode, self.errors = 0, ""
        if "--resume" in command:
            path = Path(command[command.index("--resume") + 1])
            prompt = json.loads((path / "summary.json").read_text())["prompt"]
        else:
            path, prompt = Path(command[command.index("--out") + 1]), command[-1]
            path.mkdir(parents=True, exist_ok=True)
            (path / "config.toml").touch()
        (path / "checkpoint" / "step-000001").mkdir(parents=True, exist_ok=True)
        if "bad" in prompt:
            self.returncode, self.errors = 2, "warning: x\nscore3d: no such thing\n"
        elif "crash" in prompt:
            self.returncode = -signal.SIGSEGV
        elif "stop" in prompt and "--resume" not in command:
            self.returncode = 130
            (path / "summary.json").write_text(
                json.dumps({"prompt": prompt, "status": "interrupted", "steps": 1})
            )
        if self.returncode == 0:
            summary = {"prompt": prompt, "status": "complete", "steps": 9, "gaussians": 5}
            (path / "summary.json").write_text(json.dumps(summary))
        return self

    def communicate(self) -> tuple[str, str]:
        return "", self.errors


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> Generate:
    fake = Generate()
    monkeypatch.setattr(one.subprocess, "Popen", fake)
    return fake


def test_twelve_prompts_of_which_two_are_bad(tmp_path, generate):
    prompts = [f"thing {i}" for i in range(10)] + ["bad one", "a crash"]
    outcomes = [run_one(i, p, tmp_path, ["--steps", "9"]) for i, p in enumerate(prompts)]
    assert [o.status for o in outcomes] == ["complete"] * 10 + ["failed"] * 2
    assert outcomes[10].error == "no such thing"
    assert outcomes[11].error == f"killed by signal {signal.SIGSEGV}; it said nothing"
    write_results(tmp_path, outcomes)
    assert "10 of 12 complete" in (tmp_path / "gallery.html").read_text()


def test_resuming(tmp_path, generate):
    assert run_one(1, "stop here", tmp_path, ["--steps", "9"]).status == "interrupted"
    again = run_one(1, "stop here", tmp_path, ["--steps", "9"])
    assert again.status == "complete"
    assert "--resume" in generate.seen[-1]
    assert "--steps" not in generate.seen[-1]  # its own settings
    count = len(generate.seen)
    assert run_one(1, "stop here", tmp_path, []).status == "complete"
    assert len(generate.seen) == count  # nothing was run
    run_one(2, "bad", tmp_path, [])
    (tmp_path / slug("bad") / "checkpoint" / "step-000001").rmdir()
    run_one(2, "bad", tmp_path, [])  # nothing to resume from: begun again
    assert "--overwrite" in generate.seen[-1]


def test_prompt_files(tmp_path):
    path = tmp_path / "p.txt"
    path.write_bytes(b"\xef\xbb\xbf  a red cube  \r\n# no\r\n\r\na blue cone")
    assert read_prompts(path) == [(1, "a red cube"), (4, "a blue cone")]
    for content, message in ((b"\n#\n", "no prompts"), (b"\xff\xfe\x00", "not a text file")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_prompts(path)
    with pytest.raises(ValueError, match="no such file"):
        read_prompts(tmp_path / "none.txt")


def test_the_gallery_escapes_what_people_write(tmp_path, generate):
    outcome = run_one(1, "<b>bold & bad</b>", tmp_path, [])
    write_results(tmp_path, [outcome])
    text = (tmp_path / "gallery.html").read_text()
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold &amp; bad" in text
    assert os.listdir(tmp_path)

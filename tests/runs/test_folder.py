"""Run folders: names, refusals, what --overwrite removes, the lock, metrics and summary."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from score3d.runs.folder import MetricsLog, RunFolder, RunFolderError, slug, write_summary


@pytest.mark.parametrize(
    ("prompt", "start"),
    [
        ("a photo of a corgi", "a-photo-of-a-corgi-"),
        ("  A Corgi!  ", "a-corgi-"),
        ("--overwrite", "overwrite-"),
        ("../../etc/passwd", "etc-passwd-"),
        ("C:\\x", "c-x-"),
        ("a\nb\0c", "a-b-c-"),
        ("déjà vu", "deja-vu-"),
        ("🐕🐕", "prompt-"),
        ("狗", "prompt-"),
        ("", "prompt-"),
        ("\ud800", "prompt-"),
        ("CON", "con-"),
        ("nul.txt", "nul-txt-"),
        ("word " * 2000, "word-word-"),
        ("x" * 10_000, "x" * 55 + "-"),
    ],
)
def test_slug(prompt: str, start: str) -> None:
    name = slug(prompt)
    assert name.startswith(start)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{8}", name)
    assert len(name.encode()) <= 64
    assert slug(prompt) == name


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_slug_of_any_text_is_a_safe_name(prompt: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,54}-[0-9a-f]{8}", slug(prompt))


def test_slugs_of_prompts_that_read_alike_differ() -> None:
    assert len({slug(p) for p in ("a dog", "A dog", "a dog ", "a-dog", "🐕", "🐈")}) == 6


def a_run(path: Path) -> Path:
    """A finished run with one file that is not ours."""
    with RunFolder.create(path) as run:
        run.config.write_text("x = 1\n")
        for file in (run.metrics, run.summary, run.scene, run.mesh, run.contact_sheet, run.preview):
            file.write_text("old")
        run.turntable.with_suffix(".mp4").write_text("old")
        (run.checkpoint / "step-000030").mkdir(parents=True)
        (run.checkpoint / "step-000030" / "meta.json").write_text("{}")
    (path / "notes.txt").write_text("mine")
    return path


def names(path: Path) -> set[str]:
    return {p.name for p in path.iterdir()} - {".lock"}


@pytest.mark.parametrize("where", ["new", "new/deep/er"])
def test_create_makes_parents(tmp_path: Path, where: str) -> None:
    with RunFolder.create(tmp_path / where) as run:
        assert run.path.is_dir()
        assert run.config == tmp_path / where / "config.toml"
        assert run.turntable.name == "turntable"
        assert run.checkpoint.name == "checkpoint"


def test_create_takes_an_empty_folder_and_one_left_by_a_killed_start(tmp_path: Path) -> None:
    RunFolder.create(tmp_path).close()
    (tmp_path / ".tmp-0123").write_text("half")
    RunFolder.create(tmp_path).close()  # holds .lock and .tmp-0123 by now
    assert names(tmp_path) == set()


def test_create_refuses_an_existing_run(tmp_path: Path) -> None:
    path = a_run(tmp_path / "run")
    before = names(path)
    with pytest.raises(RunFolderError, match=r"--overwrite.*--resume") as raised:
        RunFolder.create(path)
    assert "\n" not in str(raised.value)
    assert names(path) == before


def test_overwrite_removes_only_what_a_run_writes(tmp_path: Path) -> None:
    path = a_run(tmp_path / "run")
    RunFolder.create(path, overwrite=True).close()
    assert names(path) == {"notes.txt"}


def test_overwrite_keeps_strangers_in_the_checkpoint_folder(tmp_path: Path) -> None:
    path = a_run(tmp_path / "run")
    (path / "checkpoint" / "best.pt").write_text("mine")
    RunFolder.create(path, overwrite=True).close()
    assert names(path / "checkpoint") == {"best.pt"}


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights")
def test_overwrite_does_not_follow_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "step-000001").mkdir(parents=True)
    path = tmp_path / "run"
    with RunFolder.create(path) as run:
        run.config.write_text("")
        run.checkpoint.symlink_to(elsewhere)
    RunFolder.create(path, overwrite=True).close()
    assert names(path) == set()
    assert names(elsewhere) == {"step-000001"}


def test_overwrite_refuses_what_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "scene.ply").write_text("mine")
    with pytest.raises(RunFolderError, match="does not look like a run"):
        RunFolder.create(tmp_path, overwrite=True)
    assert names(tmp_path) == {"thesis.tex", "scene.ply"}


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunFolderError, match="choose another folder"):
            RunFolder.create(path, overwrite=True)
        with pytest.raises(RunFolderError, match="no run at"):
            RunFolder.open(path)


@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_read_only_parent_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    if call == "mkdir":
        monkeypatch.setattr(Path, "mkdir", denied)
    else:
        monkeypatch.setattr("score3d.runs.folder.open", denied, raising=False)
    with pytest.raises(RunFolderError, match="Permission denied") as raised:
        RunFolder.create(tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert "run" in str(raised.value)


def test_open_refuses_what_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunFolderError, match=r"no config\.toml"):
        RunFolder.open(tmp_path)
    assert names(tmp_path) == set()


def test_lock_excludes_a_second_holder_and_ends_with_close(tmp_path: Path) -> None:
    path = a_run(tmp_path / "run")
    with RunFolder.open(path) as run:
        for attempt in (
            lambda: RunFolder.open(path),
            lambda: RunFolder.create(path, overwrite=True),
        ):
            with pytest.raises(RunFolderError, match="in use by another process"):
                attempt()
        assert run.scene.exists()  # the refused overwrite removed nothing
        RunFolder.open(path, lock=False).close()  # reading needs no lock
    RunFolder.open(path).close()


def test_a_refused_create_lets_go_of_the_lock(tmp_path: Path) -> None:
    path = a_run(tmp_path / "run")
    with pytest.raises(RunFolderError):
        RunFolder.create(path)
    RunFolder.open(path).close()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_lock_ends_when_its_process_is_killed(tmp_path: Path) -> None:
    path = a_run(tmp_path / "run")
    code = (
        "import sys\n"
        "from score3d.runs.folder import RunFolder\n"
        "run = RunFolder.open(sys.argv[1])\n"
        "(run.path / '.tmp-left').write_text('half')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(RunFolderError, match="in use"):
        RunFolder.open(path)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    RunFolder.open(path).close()
    assert ".tmp-left" not in names(path)


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_metrics_of_a_resumed_run_equal_those_of_an_unbroken_one(tmp_path: Path) -> None:
    def record(step: int) -> dict[str, float]:
        return {"step": step, "grad_norm": np.sqrt(step).item()}

    whole, broken = MetricsLog(tmp_path / "whole.jsonl"), MetricsLog(tmp_path / "broken.jsonl")
    for step in range(60):
        whole.append(record(step))
    for step in range(37):
        broken.append(record(step))
    with open(broken.path, "ab") as file:
        file.write(b'{"step": 37, "grad_n')  # killed while writing
    broken.truncate(30)
    for step in range(30, 60):
        broken.append(record(step))
    assert broken.path.read_bytes() == whole.path.read_bytes()


@pytest.mark.parametrize(
    ("step", "tail", "left"),
    [
        (3, b"", [0, 1, 2]),
        (0, b"", []),
        (99, b"", [0, 1, 2, 3, 4]),
        (99, b'{"step": 5', [0, 1, 2, 3, 4]),
        (99, b'{"step": 5}', [0, 1, 2, 3, 4]),  # whole, but without its newline
        (99, b"\x00\x00\n", [0, 1, 2, 3, 4]),
        (99, b'{"loss": 1}\n', [0, 1, 2, 3, 4]),
    ],
)
def test_truncate(tmp_path: Path, step: int, tail: bytes, left: list[int]) -> None:
    log = MetricsLog(tmp_path / "m.jsonl")
    log.truncate(0)
    assert not log.path.exists()
    for i in range(5):
        log.append({"step": i})
    with open(log.path, "ab") as file:
        file.write(tail)
    log.truncate(step)
    assert steps(log.path) == left


def test_metrics_values(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m.jsonl")
    log.append(
        {
            "step": 1,
            "a": float("nan"),
            "b": np.float32(0.5),
            "c": torch.tensor(3),
            "d": [np.inf, -np.inf],
            "e": "狗\n",
            "f": None,
        }
    )
    text = log.path.read_text()
    assert text.count("\n") == 1
    found = json.loads(text, parse_constant=pytest.fail)
    assert found["a"] == "nan"
    assert np.isnan(float(found["a"]))
    assert found["d"] == ["inf", "-inf"]
    assert (found["b"], found["c"], found["e"], found["f"]) == (0.5, 3, "狗\n", None)


@pytest.mark.parametrize("record", [{}, {"step": 1.5}, {"step": "1"}, {"step": True}])
def test_metrics_need_a_step(tmp_path: Path, record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="integer 'step'"):
        MetricsLog(tmp_path / "m.jsonl").append(record)


def test_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, {"steps": 3, "psnr": float("inf"), "nested": {"x": (1, np.int64(2))}})
    assert json.loads(path.read_text()) == {"steps": 3, "psnr": "inf", "nested": {"x": [1, 2]}}
    with pytest.raises(TypeError):
        write_summary(path, {"bad": object()})
    assert json.loads(path.read_text())["steps"] == 3

"""The main job end to end with the embedded teacher, few steps."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from score3d.config import load_config
from score3d.files.ply import read_ply
from score3d.generate import Phase, generate
from score3d.loop import StepInfo
from score3d.runs.checkpoint import load_checkpoint
from score3d.runs.folder import RunFolder

SETTINGS = [
    "run.steps=24",
    "scene.count=200",
    "scene.cap=260",
    "scene.adapt_start=4",
    "scene.adapt_every=5",
    "output.turntable_views=4",
    "output.picture_size=64",
    "output.mesh_resolution=24",
]


def run(path, *settings, checkpoint=None, should_stop=lambda: ""):
    options = {"run": {"prompt": "a red mushroom"}}
    config = load_config("draft", "sds", [*SETTINGS, *settings], options)
    opened = RunFolder.open(path) if checkpoint else RunFolder.create(path)
    with opened as folder:
        return list(generate(config, folder, checkpoint, should_stop))


def test_a_run_writes_what_it_promises(tmp_path):
    path = tmp_path / "run"
    events = run(path)
    phases = [e.name for e in events if isinstance(e, Phase)]
    assert phases == ["load", "optimise", "export", "judge", "done"]
    assert [e.step for e in events if isinstance(e, StepInfo)] == list(range(24))
    summary = json.loads((path / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert summary["steps"] == 24
    assert set(summary["judge"]) >= {"shape", "colour"}
    assert summary["versions"]["torch"] == torch.__version__
    splats = read_ply(path / "scene.ply")
    assert len(splats) == summary["gaussians"]
    sheet = np.asarray(Image.open(path / "contact_sheet.png"))
    assert sheet.std() > 5
    film = path / "turntable.mp4" if (path / "turntable.mp4").exists() else path / "turntable.webp"
    assert film.stat().st_size > 0
    if (path / "mesh.glb").exists():
        # a quarter of the full resolution a side: a sixteenth of the 10000 faces
        assert 0 < len(trimesh.load(path / "mesh.glb", force="mesh").faces) <= 10_000 / 16
    else:
        assert any("mesh" in note for note in summary["notes"])
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(24))
    assert load_config(str(path / "config.toml")).run.prompt == "a red mushroom"


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    """Bit for bit, across an adaptation: scene, moments, metrics."""
    run(tmp_path / "whole")
    count = iter(range(100))
    run(tmp_path / "parts", should_stop=lambda: "interrupted" if next(count) == 11 else "")
    halfway = json.loads((tmp_path / "parts" / "summary.json").read_text())
    assert (halfway["status"], halfway["steps"]) == ("interrupted", 12)
    assert (tmp_path / "parts" / "scene.ply").exists()
    run(tmp_path / "parts", checkpoint=load_checkpoint(tmp_path / "parts" / "checkpoint"))
    for name in ("scene.ply", "metrics.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    a, b = (load_checkpoint(tmp_path / n / "checkpoint") for n in ("whole", "parts"))
    assert a.tensors.keys() == b.tensors.keys()
    assert all(torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors)


def start(path, *arguments):
    settings = [a for s in SETTINGS[1:] for a in ("--set", s)]
    command = [sys.executable, "-m", "score3d.cli.main", "generate", *arguments]
    if "--resume" not in arguments:
        command += ["a red mushroom", "--out", str(path), "--steps", "4000", *settings]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(file, process, seconds=120):
    end = time.monotonic() + seconds
    while not file.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_checkpoints_and_exports(tmp_path, number, code):
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run" / "preview.png", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert load_checkpoint(tmp_path / "run" / "checkpoint").step == summary["steps"]
    assert (tmp_path / "run" / "scene.ply").exists()
    assert "continue with: score3d generate --resume" in out
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_truncated_checkpoint_falls_back_and_says_so(tmp_path):
    path = tmp_path / "run"
    run(path, "run.checkpoint_every=8")
    newest = sorted((path / "checkpoint").iterdir())[-1]
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:500])
    process = start(path, "--resume", str(path), "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    notes = [line for line in err.splitlines() if line.startswith("score3d: ")]
    assert len(notes) == 1
    assert newest.name in notes[0]
    assert json.loads(out)["steps"] == 24


def test_a_scene_without_a_surface_is_a_note_not_a_failure(tmp_path):
    run(tmp_path / "run", "run.steps=1", "scene.init_opacity=0.0001", "scene.count=1")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (tmp_path / "run" / "scene.ply").exists()
    assert (tmp_path / "run" / "mesh.glb").exists() or summary["notes"]


def test_a_run_can_be_rewarded_by_the_judge(tmp_path):
    events = run(
        tmp_path / "run",
        "run.steps=2",
        "distill.weight=reward-min-max",
        "distill.noises_per_view=2",
    )
    assert [e.step for e in events if isinstance(e, StepInfo)] == [0, 1]

"""Runs of several particles, of a picture, and of every loss that starts from nothing."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from score3d.config import load_config, loss_names
from score3d.files.ply import read_ply
from score3d.generate import generate
from score3d.runs.checkpoint import load_checkpoint
from score3d.runs.folder import RunFolder

SETTINGS = [
    "run.steps=6", "scene.count=120", "scene.cap=150", "scene.adapt_start=1", "scene.adapt_every=3",
    "views.count=2", "output.turntable_views=2", "output.picture_size=48",
    "output.mesh_resolution=16", "distill.reward_steps=1",
]  # fmt: skip
EDITING = {"dds", "pds", "csd-edit", "csd-contrast", "contrast", "instruct"}


def run(path, loss, *settings, resume=False, should_stop=lambda: "", overwrite=False):
    options = {"run": {"prompt": "a red mushroom"}}
    config = load_config("draft", loss, [*SETTINGS, *settings], options)
    opened = RunFolder.open(path) if resume else RunFolder.create(path, overwrite)
    checkpoint = load_checkpoint(path / "checkpoint") if resume else None
    with opened as folder:
        for _ in generate(config, folder, checkpoint, should_stop):
            pass
    return json.loads((path / "summary.json").read_text())


@pytest.mark.parametrize("loss", [n for n in loss_names() if n not in EDITING])
def test_every_loss_makes_a_run(tmp_path, loss):
    summary = run(tmp_path / "run", loss, "run.steps=2")
    assert summary["status"] == "complete"
    lines = [json.loads(t) for t in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert not any("skipped" in line for line in lines)
    assert len(read_ply(tmp_path / "run" / "scene.ply")) > 0


def test_particles_lie_in_folders_and_resume(tmp_path):
    """Bit for bit, with the shared student's state in the checkpoint."""
    settings = ("run.particles=3",)
    whole = run(tmp_path / "whole", "vsd", *settings)
    count = iter(range(100))
    stop = lambda: "interrupted" if next(count) == 2 else ""  # noqa: E731
    assert run(tmp_path / "parts", "vsd", *settings, should_stop=stop)["steps"] == 3
    run(tmp_path / "parts", "vsd", *settings, resume=True)
    names = ["scene.ply", "particle-1/scene.ply", "particle-2/scene.ply", "metrics.jsonl"]
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    a, b = (load_checkpoint(tmp_path / n / "checkpoint").tensors for n in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(k.startswith("rule.baseline.adam.") for k in a)
    assert [p["folder"] for p in whole["particles"]] == [".", "particle-1", "particle-2"]
    assert whole["gaussians"] == sum(p["gaussians"] for p in whole["particles"])
    clouds = [read_ply(tmp_path / "whole" / n).means for n in names[:3]]
    assert not np.array_equal(clouds[0], clouds[1])
    assert (tmp_path / "whole" / "particle-2" / "contact_sheet.png").exists()
    (tmp_path / "whole" / "particle-1" / "notes.txt").write_text("mine")
    run(tmp_path / "whole", "sds", "run.steps=1", overwrite=True)
    assert not (tmp_path / "whole" / "particle-2").exists()
    assert [p.name for p in (tmp_path / "whole" / "particle-1").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("latents", ["false", "true"])
def test_a_picture_is_a_run_too(tmp_path, latents):
    summary = run(tmp_path / "run", "sds", "scene.kind=image", f"scene.image_latents={latents}")
    assert summary["gaussians"] == 0
    assert set(summary["judge"]) >= {"shape", "colour"}
    picture = np.asarray(Image.open(tmp_path / "run" / "picture.png"))
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 1
    assert not (tmp_path / "run" / "scene.ply").exists()

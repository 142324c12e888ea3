"""VSD's student on Stable Diffusion's architecture: what trains and what does not."""

import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.loop import optimise
from score3d.prompts import PromptBook

lora = pytest.importorskip("score3d.distill.baseline.lora")
pytest.importorskip("peft")


def test_two_steps_train_the_adapters_alone(checkpoints, monkeypatch):
    # random weights say nothing about what they predict; the check is for real ones
    monkeypatch.setattr(lora.LoraNetwork, "_check_prediction_type", lambda self: None)
    options = {"teacher": {"name": str(checkpoints("sd-v").folder)}}
    settings = ["run.steps=2", "run.prompt=a red cube", "views.resolution=16", "views.count=2",
                "scene.count=30", "teacher.cache_prompts=false"]  # fmt: skip
    config = load_config("draft", "vsd", settings, options)
    teacher = build.build_teacher(config, torch.device("cpu"))
    base = {n: p.detach().clone() for n, p in teacher.unet.named_parameters()}
    rule = build.build_rule(config, teacher)
    scene = build.build_scene(config, torch.device("cpu"))
    student = rule.baseline
    seen = []
    monkeypatch.setattr(
        student.optimizer,
        "step",
        lambda *a, step=student.optimizer.step: (
            seen.append({n: p.grad for n, p in student.network.parameters().items()}),
            step(*a),
        ),
    )
    spec = build.build_spec(config, teacher)
    prompts = PromptBook(teacher, "a red cube")
    assert len(list(optimise(scene, teacher, prompts, rule, spec))) == 2
    assert len(seen) == 2
    adapters = {n: g for n, g in seen[-1].items() if not n.startswith("camera.")}
    assert adapters
    found = [g for g in adapters.values() if g is not None]
    assert all(torch.isfinite(g).all() for g in found)
    assert sum(float(g.abs().sum()) for g in found) > 0
    for name, p in teacher.unet.named_parameters():
        plain = name.replace(".base_layer", "")
        if plain in base:
            assert p.grad is None, name
            assert torch.equal(p, base[plain]), name

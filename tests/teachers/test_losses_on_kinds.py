"""Every loss that starts from nothing, on every kind of checkpoint: two steps, or one line."""

from importlib.util import find_spec

import pytest
import torch

from score3d import build
from score3d.checkpoints import check_checkpoint
from score3d.config import ConfigError, load_config
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.teachers.base import TeacherError

LOSSES = ("sds", "vsd", "csd", "ssd", "gsd", "upgrad")
NEEDS = {"vsd": "peft", "upgrad": "torchjd"}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["sd-v", "sdxl", "multi-view", "flow"])
def test_two_steps(checkpoints, monkeypatch, kind, loss):
    if loss in NEEDS and not find_spec(NEEDS[loss]):
        pytest.skip(f"needs {NEEDS[loss]}")
    if loss == "vsd":  # random weights say nothing about what they predict
        from score3d.distill.baseline.lora import LoraNetwork

        monkeypatch.setattr(LoraNetwork, "_check_prediction_type", lambda self: None)
    options = {"teacher": {"name": str(checkpoints(kind).folder)}}
    settings = ["run.steps=2", "run.prompt=a red cube", "views.resolution=16", "views.count=4",
                "scene.count=30", "teacher.cache_prompts=false"]  # fmt: skip
    config = load_config("draft", loss, settings, options)
    build.validate(config)
    if (kind, loss) == ("multi-view", "gsd"):
        with pytest.raises(ConfigError, match="pairs single views"):
            check_checkpoint(config)
        return
    check_checkpoint(config)
    teacher = build.build_teacher(config, torch.device("cpu"))
    if (kind, loss) == ("flow", "vsd"):
        with pytest.raises(TeacherError, match="needs a teacher with a diffusers UNet"):
            build.build_rule(config, teacher)
        return
    rule = build.build_rule(config, teacher)
    scene = build.build_scene(config, torch.device("cpu"), teacher)
    before = {k: v.detach().clone() for k, v in scene.parameters().items()}
    spec = build.build_spec(config, teacher)
    steps = list(optimise(scene, teacher, PromptBook(teacher, "a red cube"), rule, spec))
    assert len(steps) == 2
    assert all(step.grad_norm > 0 and not step.skipped for step in steps)
    assert any(not torch.equal(before[k], v) for k, v in scene.parameters().items())

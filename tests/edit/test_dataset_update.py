"""Iterative dataset update: the teacher's edit in closed form, the fit, and continuing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from score3d import build
from score3d.config import ConfigError, load_config
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.draw import DrawSpec, draw_at
from score3d.edit.dataset_update import DatasetUpdate
from score3d.edit.original import Original
from score3d.prompts import PromptBook
from score3d.scenes.canvas import CanvasScene
from score3d.teachers.gaussian import GaussianTeacher

STEPS = 60


PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def parts(teacher, t=0.8):
    """A picture [8,8] far from the teacher's mean, and what edits it."""
    scene, still = (CanvasScene(PICTURE, 8, 0.1) for _ in range(2))
    book = PromptBook(teacher, "goal", angles=False)
    spec = DrawSpec(0, STEPS, 2, 1, (3, 8, 8), 8, t_min=t, t_max=t, t_max_end=t, shared_t=True)
    rule = build.build_rule(load_config(None, "dataset-update"))
    rule = replace(rule, guide=ClassifierFree(1.0))  # the conditional model, whose ODE is known
    return scene, still, book, rule, spec, Original(still, PromptBook(teacher, "", angles=False))


def test_the_edit_is_the_probability_flow_of_a_gaussian(gaussian_teacher):
    """DDIM integrates the probability-flow ODE, along which (z_t - alpha m) / sqrt(alpha^2 s^2 +
    sigma^2) stays as it is for data N(m, s^2). The whole schedule: discretisation below 0.02."""
    teacher = gaussian_teacher
    scene, _, book, rule, spec, source = parts(teacher)
    draw = draw_at(spec, 0)
    rgb = scene.render(draw.views, draw.background).rgb.detach()
    made = DatasetUpdate(2, 5, 1000)._edited(rgb, teacher, book, rule, draw, source)
    alpha, sigma = teacher.schedule.alpha_sigma(draw.t, rgb)
    z_t = alpha * rgb + sigma * draw.noise[:, 0]
    kept = (z_t - alpha * teacher.mean) / (alpha**2 * teacher.std**2 + sigma**2).sqrt()
    expected = (teacher.mean + teacher.std * kept).clamp(0, 1)
    assert (made - expected).abs().max() < 0.02
    assert (made - rgb).abs().mean() > 0.1


def test_the_picture_follows_its_targets():
    """Where data hardly vary every edit from high noise is the mean, and so ends the picture. It
    differs from the source by a ramp on the logits, since the change of a picture is smooth."""
    mean = torch.sigmoid(torch.logit(PICTURE[0], 0.02) + torch.linspace(-1.5, 1.5, 8))
    teacher = GaussianTeacher(mean, 0.02)
    scene, _, book, rule, spec, source = parts(teacher, 0.95)
    update = DatasetUpdate(2, 5, 20)
    gaps = [i.grad_norm for i in update(scene, teacher, book, rule, spec, source=source)]
    assert len(gaps) == STEPS
    assert np.abs(scene.pictures()[0] - mean.permute(1, 2, 0).numpy()).mean() < 0.06
    assert gaps[-1] < 0.3 * gaps[0]


def test_until_its_turn_a_target_is_the_original():
    teacher = GaussianTeacher(torch.full((3, 8, 8), 0.5), 0.02)
    scene, still, book, rule, spec, source = parts(teacher)
    update = DatasetUpdate(4, 5, 4)
    steps = update(scene, teacher, book, rule, spec, source=source)
    [next(steps) for _ in range(5)]
    shown = still.render(draw_at(spec, 1).views, torch.zeros(2, 3)).rgb
    assert torch.equal(update.kept[1], shown)  # fitted in step 1, replaced in step 5
    next(steps)
    assert not torch.equal(update.kept[1], shown)


def test_it_continues_bit_for_bit(gaussian_teacher):
    whole, book, rule, spec, source = (parts(gaussian_teacher)[k] for k in (0, 2, 3, 4, 5))
    list(DatasetUpdate(3, 4, 4)(whole, gaussian_teacher, book, rule, spec, source=source))
    first, second = DatasetUpdate(3, 4, 4), DatasetUpdate(3, 4, 4)
    a, b = parts(gaussian_teacher)[0], parts(gaussian_teacher)[0]
    begun = first(a, gaussian_teacher, book, rule, spec, source=source)
    [next(begun) for _ in range(23)]
    b.load_state_dict({k: v.clone() for k, v in a.state_dict().items()})
    second.load_state_dict(first.state_dict())
    list(second(b, gaussian_teacher, book, rule, spec, 23, source=source))
    assert torch.equal(b.change, whole.change)


def test_generate_refuses_it():
    with pytest.raises(ConfigError, match="edits something that exists"):
        build.validate(load_config(None, "dataset-update"))

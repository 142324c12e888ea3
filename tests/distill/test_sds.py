"""Closed forms of score distillation with the analytic Gaussian teacher."""

import pytest
import torch

from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple.independent import independent
from score3d.distill.equation import Rule, distill
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.mean import mean
from score3d.draw import DrawSpec, draw_at
from score3d.prompts import Conditioning
from score3d.schedule import NoiseSchedule
from score3d.teachers.gaussian import GaussianTeacher


def sds_rule(guidance: float = 1.0, weight: str = "sds") -> Rule:
    return Rule(
        iid, ClassifierFree(guidance), own_noise, mean, independent, nothing, TIME_WEIGHTS[weight]
    )


def conditioning(rows: int) -> Conditioning:
    return Conditioning(torch.ones(rows, 1, 1), torch.zeros(rows, 1, 1))


def spec_for(teacher: GaussianTeacher, views: int = 4, noises: int = 1) -> DrawSpec:
    return DrawSpec(1, 100, views, noises, teacher.latent_shape, 8, anneal=1.0)


def test_gradient_of_one_draw_is_the_closed_form(gaussian_teacher):
    """e* - eps with e* = sigma (z_t - alpha m) / (alpha^2 s^2 + sigma^2), times sigma^2."""
    teacher, spec = gaussian_teacher, spec_for(gaussian_teacher)
    z = torch.randn(4, 3, 8, 8)
    draw = draw_at(spec, 0)
    g = distill(teacher, z, conditioning(4), draw, None, sds_rule())
    bar = teacher.schedule.alphas_cumprod[(draw.t * 1000).long()].view(-1, 1, 1, 1)
    alpha, sigma, eps = bar.sqrt(), (1 - bar).sqrt(), draw.noise[:, 0].double()
    z_t = alpha * z.double() + sigma * eps
    expected = sigma**2 * (
        sigma * (z_t - alpha * teacher.mean) / (alpha**2 * 0.09 + sigma**2) - eps
    )
    assert torch.allclose(g.double(), expected, atol=1e-5)


def test_mean_gradient_is_the_closed_form(gaussian_teacher):
    """E[g] = w alpha sigma (z - m) / (alpha^2 s^2 + sigma^2), within 5 standard errors."""
    teacher = gaussian_teacher
    spec = DrawSpec(
        2, 100, 1, 4000, teacher.latent_shape, 8, t_min=0.4, t_max=0.4001, t_max_end=0.4001
    )
    z = torch.rand(1, 3, 8, 8)
    draw = draw_at(spec, 0)
    per_noise = Rule(
        iid,
        ClassifierFree(1.0),
        own_noise,
        lambda teacher, asked: asked.r[0],
        lambda r, asked: r,
        nothing,
        TIME_WEIGHTS["sds"],
    )
    g = distill(teacher, z, conditioning(1), draw, None, per_noise)
    alpha, sigma = teacher.schedule.alpha_sigma(draw.t, z)
    expected = sigma**2 * alpha * sigma * (z - teacher.mean) / (alpha**2 * 0.09 + sigma**2)
    error = g.mean(0) - expected[0]
    standard = g.std(0) / len(g) ** 0.5
    assert (error.abs() < 5 * standard + 1e-6).all()


def test_fixed_point_is_the_mean_of_the_data(gaussian_teacher):
    teacher, spec = gaussian_teacher, spec_for(gaussian_teacher)
    z = torch.zeros(4, 3, 8, 8)
    for step in range(400):
        rate = 0.5 if step < 200 else 0.05
        z -= rate * distill(
            teacher, z, conditioning(4), draw_at(spec, step % 100), None, sds_rule()
        )
    # what is left is the noise of the last steps' gradients at rate 0.05
    assert (z.mean(0) - teacher.mean).abs().mean() < 0.05


@pytest.mark.parametrize("guidance", [0.0, 1.0, 7.5])
def test_guidance_is_the_diffusers_convention(gaussian_teacher, guidance):
    teacher = gaussian_teacher
    z_t, t = torch.randn(4, 3, 8, 8), torch.full((4,), 0.5)
    cond = conditioning(4)
    e_u, e_c = teacher.eps(z_t, t, cond.negative), teacher.eps(z_t, t, cond.positive)
    said = ClassifierFree(guidance)(teacher, z_t, t, cond)
    assert torch.allclose(said, e_u + guidance * (e_c - e_u), atol=1e-6)


def test_guidance_one_skips_the_null_pass(gaussian_teacher):
    rows = []

    class Counting(GaussianTeacher):
        def eps(self, z_t, *args, **kwargs):
            rows.append(len(z_t))
            return super().eps(z_t, *args, **kwargs)

    teacher = Counting(gaussian_teacher.mean, 0.3)
    z_t, t = torch.randn(4, 3, 8, 8), torch.full((4,), 0.5)
    ClassifierFree(1.0)(teacher, z_t, t, conditioning(4))
    ClassifierFree(2.0)(teacher, z_t, t, conditioning(4))
    assert rows == [4, 8]


def test_several_noises_are_averaged(gaussian_teacher):
    teacher = gaussian_teacher
    z = torch.rand(2, 3, 8, 8)
    draw = draw_at(spec_for(teacher, views=2, noises=3), 0)
    g = distill(teacher, z, conditioning(2), draw, None, sds_rule())
    from dataclasses import replace

    singles = [
        distill(
            teacher,
            z,
            conditioning(2),
            replace(draw, noise=draw.noise[:, s : s + 1]),
            None,
            sds_rule(),
        )
        for s in range(3)
    ]
    assert torch.allclose(g, torch.stack(singles).mean(0), atol=1e-6)


def test_time_weights():
    """At a step where abar is 0.64: alpha 0.8, sigma 0.6."""
    schedule = NoiseSchedule(torch.tensor([0.64], dtype=torch.float64))
    t, z_t = torch.full((2,), 0.5), torch.zeros(2, 3, 8, 8)
    for name, value in (("sds", 0.36), ("uniform", 1.0), ("fantasia3d", 0.288)):
        w = TIME_WEIGHTS[name](schedule, t, z_t)
        assert w.shape == (2, 1, 1, 1)
        assert w.flatten().tolist() == pytest.approx([value] * 2)


def test_nothing_reaches_the_teacher(gaussian_teacher):
    gaussian_teacher.mean.requires_grad_()
    z = torch.rand(4, 3, 8, 8, requires_grad=True)
    g = distill(
        gaussian_teacher,
        z,
        conditioning(4),
        draw_at(spec_for(gaussian_teacher), 0),
        None,
        sds_rule(),
    )
    assert not g.requires_grad


def test_several_noises_cost_one_render_and_one_encoding(gaussian_teacher):
    from score3d import build
    from score3d.config import load_config
    from score3d.loop import optimise
    from score3d.prompts import PromptBook

    calls = {"encode": 0, "rows": 0}

    class Counting(GaussianTeacher):
        def encode(self, rgb):
            calls["encode"] += len(rgb)
            return super().encode(rgb)

        def eps(self, z_t, t, emb, image=None, camera=None):
            calls["rows"] += len(z_t)
            return super().eps(z_t, t, emb)

    teacher = Counting(gaussian_teacher.mean, 0.3)
    config = load_config(
        None, None, ["distill.noises_per_view=5", "views.count=2", "views.resolution=8",
                     "scene.count=20", "run.steps=1"],
    )  # fmt: skip
    scene = build.build_scene(config, torch.device("cpu"))
    parts = PromptBook(teacher, "x"), build.build_rule(config), build.build_spec(config, teacher)
    list(optimise(scene, teacher, *parts))
    assert calls == {"encode": 2, "rows": 2 * 2 * 5}

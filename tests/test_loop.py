import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.loop import Diverged, optimise
from score3d.prompts import PromptBook
from score3d.teachers.gaussian import GaussianTeacher


def setup(teacher, *settings):
    config = load_config(
        None, "sds", ["run.steps=60", "views.resolution=16", "views.count=3", "scene.count=60",
                      "scene.cap=90", "scene.adapt_every=7", "scene.adapt_start=5", *settings]
    )  # fmt: skip
    scene = build.build_scene(config, torch.device("cpu"))
    spec, rule = build.build_spec(config, teacher), build.build_rule(config)
    return scene, teacher, PromptBook(teacher, "x"), rule, spec


@pytest.fixture
def teacher():
    mean = torch.zeros(3, 16, 16)
    mean[0] = 0.8
    return GaussianTeacher(mean, 0.1)


@pytest.mark.parametrize("kind", ["none", "mcmc", "gradient"])
def test_sixty_steps_are_thirty_and_thirty(teacher, kind):
    """Bit-identical parameters, moments, adaptation state and metrics, across adaptations."""
    whole = setup(teacher, f"scene.adapt={kind}")
    expected = [(i.step, i.grad_norm, i.primitives) for i in optimise(*whole)]
    first = setup(teacher, f"scene.adapt={kind}")
    seen = []
    for info in optimise(*first):
        seen.append((info.step, info.grad_norm, info.primitives))
        if info.step == 29:
            break
    saved = {k: v.clone() for k, v in first[0].state_dict().items()}
    second = setup(teacher, f"scene.adapt={kind}")
    second[0].load_state_dict(saved)
    seen += [(i.step, i.grad_norm, i.primitives) for i in optimise(*second, start=30)]
    assert seen == expected
    a, b = whole[0].state_dict(), second[0].state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    if kind != "none":
        assert len({n for _, _, n in expected}) > 1


def test_the_picture_approaches_the_teachers_mean(teacher):
    """Guidance 1 on N(m, s^2): renders go to m, a picture that is all red."""
    parts = setup(
        teacher, "distill.guidance=1", "views.background=0", "scene.count=300", "scene.cap=300"
    )
    errors = [
        (i.view.rgb[:, 0].mean() - 0.8).abs().item() + i.view.rgb[:, 1:].mean().item()
        for i in optimise(*parts)
    ]
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5])


def test_one_bad_step_is_skipped_and_changes_nothing(teacher):
    class Flaky(GaussianTeacher):
        calls = 0

        def eps(self, z_t, t, emb, image=None, camera=None):
            Flaky.calls += 1
            return super().eps(z_t, t, emb) * (float("nan") if Flaky.calls == 11 else 1.0)

    scene, *rest = setup(Flaky(teacher.mean, 0.1))
    skipped, before = [], None
    for info in optimise(scene, *rest):
        if info.skipped:
            skipped.append((info.step, info.skipped))
            after = {k: v.detach().clone() for k, v in scene.parameters().items()}
            assert all(torch.equal(before[k], after[k]) for k in after)
        before = {k: v.detach().clone() for k, v in scene.parameters().items()}
    assert skipped == [(10, "gradient")]
    assert all(torch.isfinite(v).all() for v in scene.parameters().values())


def test_a_teacher_that_stays_broken_stops_the_run(teacher):
    class Broken(GaussianTeacher):
        def eps(self, z_t, t, emb, image=None, camera=None):
            return super().eps(z_t, t, emb) * float("inf")

    parts = setup(Broken(teacher.mean, 0.1))
    with pytest.raises(Diverged, match="step 4: gradient is not finite, 5 steps in a row"):
        list(optimise(*parts))


def test_gradient_reaches_the_scene_divided_by_the_views(teacher):
    """The loop's backward equals the textbook surrogate sum(z * g) / B."""
    from score3d.distill.equation import distill
    from score3d.draw import draw_at

    scene, _, prompts, rule, spec = setup(teacher)
    draw = draw_at(spec, 0)
    view = scene.render(draw.views, draw.background)
    g = distill(teacher, view.rgb.detach(), prompts.at(draw.views), draw, view, rule)
    (expected,) = torch.autograd.grad((view.rgb * g).sum() / 3, scene.params["means"])
    grabbed = {}
    step = scene.step
    scene.step = lambda n: (grabbed.update(g=scene.params["means"].grad.clone()), step(n))
    next(iter(optimise(scene, teacher, prompts, rule, spec)))
    assert torch.allclose(grabbed["g"], expected, rtol=1e-4, atol=1e-8)

"""UPGrad on the views' gradients."""

from types import SimpleNamespace

import pytest
import torch

from score3d import build
from score3d.config import ConfigError, load_config
from score3d.distill.couple.upgrad import upgrad, upgrad_weights
from score3d.loop import optimise, view_rows
from score3d.prompts import PromptBook
from score3d.teachers.gaussian import GaussianTeacher


def test_two_conflicting_views_are_the_closed_form():
    """J1 = (1, 0), J2 = (-1, .5): each projected onto the other's half space is v = (1, .8) and
    (1, 1); the mean is (1, .9)."""
    weights = upgrad_weights(torch.tensor([[1.0, 0.0], [-1.0, 0.5]]))
    assert weights.tolist() == pytest.approx([1.0, 0.9], abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_view_is_harmed(seed):
    """<sum_i l_i J_i, J_k> >= 0 for all k (1e-6 of the norms); the mean does harm some."""
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed)).double()
    g = torch.Generator().manual_seed(100 + seed)
    rows = rows * torch.rand(5, 1, generator=g).double() * 100
    together = upgrad_weights(rows) @ rows
    assert (rows @ together / (rows.norm(dim=1) * together.norm().clamp(min=1e-9))).min() > -1e-6
    assert (rows @ rows.mean(0)).min() < 0


def test_without_conflict_nothing_changes():
    rows = torch.rand(4, 9, generator=torch.Generator().manual_seed(0))
    assert upgrad_weights(rows).tolist() == pytest.approx([0.25] * 4, abs=1e-6)


def test_equal_views_and_no_gradient_at_all():
    assert upgrad_weights(torch.ones(3, 4)).sum().item() == pytest.approx(1, abs=1e-3)
    assert torch.isfinite(upgrad_weights(torch.zeros(3, 4))).all()


def test_rows_are_each_views_own_gradient():
    a = torch.randn(5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    b = torch.randn(2, 1, generator=torch.Generator().manual_seed(1), requires_grad=True)
    z = (b * a.square()).view(2, 1, 1, 5)
    g = torch.randn(2, 1, 1, 5, generator=torch.Generator().manual_seed(2))
    rows = view_rows(z, [a, b], g)
    expected = torch.zeros(2, 7)
    for i in range(2):
        expected[i, :5] = (2 * b[i] * a * g[i].flatten()).detach()
        expected[i, 5 + i] = (a.square() * g[i].flatten()).sum().detach()
    assert torch.allclose(rows, expected, atol=1e-6)


def test_it_needs_the_loop_and_leaves_one_view_alone():
    r = torch.randn(2, 1, 2, 2)
    with pytest.raises(ValueError, match="needs the scene's gradients"):
        upgrad(r, SimpleNamespace(rows=None))
    assert torch.equal(upgrad(r[:1], SimpleNamespace(rows=None)), r[:1])
    broken = SimpleNamespace(rows=lambda g: torch.full((2, 3), float("nan")))
    assert torch.equal(upgrad(r, broken), r)


def test_in_the_loop_no_view_is_harmed():
    """The gradient that reaches the scene has a non-negative product with each view's own."""
    config = load_config(
        None, "upgrad", ["run.steps=3", "views.resolution=16", "views.count=3", "scene.count=20",
                         "scene.adapt=none", "views.background=0", "distill.guidance=1"],
    )  # fmt: skip
    teacher = GaussianTeacher(torch.full((3, 16, 16), 0.9), 0.1)
    scene = build.build_scene(config, torch.device("cpu"))
    seen = {}

    def spy(r, asked):
        r = r * torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1, 1)  # the first view disagrees
        seen["rows"] = asked.rows(r)
        return upgrad(r, asked)

    rule = build.build_rule(config)
    object.__setattr__(rule, "couple", spy)
    step = scene.step
    scene.step = lambda n: (
        seen.update(grad=torch.cat([p.grad.flatten() for p in scene.params.values()])), step(n)
    )  # fmt: skip
    spec = build.build_spec(config, teacher)
    for _ in optimise(scene, teacher, PromptBook(teacher, "x"), rule, spec):
        product = seen["rows"] @ seen["grad"]
        assert product.min() > -1e-3 * product.abs().max()
        assert (seen["rows"] @ seen["rows"].T).min() < 0  # there was a conflict


def test_without_torchjd_one_line_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(ConfigError, match=r"pip install 'score3d\[upgrad\]'"):
        build.validate(load_config(None, "upgrad", None, {"run": {"prompt": "a red cube"}}))


def test_looking_at_the_rows_leaves_no_trace():
    """Bit for bit, the statistics of gsplat's densification included."""
    teacher = GaussianTeacher(torch.full((3, 16, 16), 0.9), 0.1)

    def run(look):
        config = load_config(
            None, None, ["run.steps=4", "views.resolution=16", "views.count=2", "scene.count=20",
                         "scene.adapt=gradient", "scene.adapt_start=100"],
        )  # fmt: skip
        scene, rule = build.build_scene(config, torch.device("cpu")), build.build_rule(config)
        if look:
            object.__setattr__(rule, "couple", lambda r, asked: (asked.rows(r), r)[1])
        spec = build.build_spec(config, teacher)
        list(optimise(scene, teacher, PromptBook(teacher, "x"), rule, spec))
        return scene.state_dict()

    plain, looked = run(False), run(True)
    assert plain["adapt.grad2d"].any()
    assert all(torch.equal(plain[k], looked[k]) for k in plain)

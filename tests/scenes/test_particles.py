"""Several scenes as one."""

from dataclasses import replace

import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.distill.couple.svgd import kernel, repulsion
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.scenes.particles import ParticleScene
from score3d.teachers.gaussian import GaussianTeacher

CPU = torch.device("cpu")


@pytest.fixture
def teacher():
    return GaussianTeacher(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2)), 0.1)


def parts(teacher, particles, *settings):
    config = load_config(
        None, None, ["run.steps=24", "views.resolution=16", "views.count=2", "scene.count=40",
                     "scene.cap=60", "scene.adapt_every=7", "scene.adapt_start=5",
                     f"run.particles={particles}", *settings],
    )  # fmt: skip
    scene, rule = build.build_scene(config, CPU), build.build_rule(config)
    return scene, teacher, PromptBook(teacher, "x"), rule, build.build_spec(config, teacher)


def test_views_are_the_particles_in_turn(teacher):
    from score3d.draw import draw_at

    scene, *_, spec = parts(teacher, 3)
    draw = draw_at(spec, 0)
    view = scene.render(draw.views, draw.background)
    assert view.rgb.shape[0] == 6
    for i, p in enumerate(scene.particles):
        alone = p.render(draw.views[:2], draw.background[:2])
        assert torch.equal(view.rgb[2 * i : 2 * i + 2], alone.rgb)
    assert not torch.equal(view.rgb[:2], view.rgb[2:4])
    with pytest.raises(ValueError, match="5 views cannot be shared by 3 particles"):
        scene.render(draw.views[:5], draw.background[:5])


def test_a_gradient_reaches_only_its_own_particle(teacher):
    from score3d.draw import draw_at

    scene, *_, spec = parts(teacher, 2)
    draw = draw_at(spec, 0)
    scene.render(draw.views, draw.background).rgb[2:].sum().backward()
    first, second = scene.particles
    assert first.params["means"].grad is None or not first.params["means"].grad.any()
    assert second.params["means"].grad.abs().sum() > 0


def test_uncoupled_particles_are_runs_of_their_own(teacher):
    """Without a coupling, particle 0's parameters follow from its own rows of the noise: the
    other particle may be anything."""
    a = parts(teacher, 2, "scene.adapt=none")
    b = parts(teacher, 2, "scene.adapt=none")
    with torch.no_grad():
        b[0].particles[1].params["means"].mul_(0.5)
    for x, y in zip(optimise(*a), optimise(*b), strict=True):
        assert x.grad_norm != y.grad_norm
    first, other = a[0].particles[0], b[0].particles[0]
    assert all(torch.equal(first.params[k], other.params[k]) for k in first.params)


@pytest.mark.parametrize("settings", [(), ("distill.couple=svgd", "distill.shared_t=true")])
def test_resumes_bit_for_bit(teacher, settings):
    whole = parts(teacher, 3, *settings)
    expected = [(i.grad_norm, i.primitives) for i in optimise(*whole)]
    first, seen = parts(teacher, 3, *settings), []
    for info in optimise(*first):
        seen.append((info.grad_norm, info.primitives))
        if info.step == 11:
            break
    saved = {k: v.clone() for k, v in first[0].state_dict().items()}
    second = parts(teacher, 3, *settings)
    second[0].load_state_dict(saved)
    seen += [(i.grad_norm, i.primitives) for i in optimise(*second, start=12)]
    assert seen == expected
    assert isinstance(whole[0], ParticleScene)
    assert len({n for _, n in expected}) > 1


def test_svgd_couples_equal_views_across_scenes(teacher):
    from score3d.distill.couple.svgd import svgd
    from score3d.distill.equation import ask
    from score3d.draw import draw_at

    _, _, prompts, rule, spec = parts(teacher, 3, "distill.shared_t=true")
    draw = draw_at(spec, 0)
    z = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    asked = ask(teacher, z, prompts.at(draw.views), draw, None, rule)
    r = asked.r[:, 0]
    g = svgd(r, asked)
    for v in range(2):
        rows = [v, v + 2, v + 4]
        x, w = asked.noisy.z_t[rows].flatten(1), asked.w[rows].flatten(1)
        k, gamma = kernel(x)
        expected = k @ r[rows].flatten(1) + w * repulsion(x, k, gamma)
        assert torch.allclose(g[rows].flatten(1), expected, atol=1e-5)
    lone = replace(asked, noisy=replace(asked.noisy, draw=replace(draw, particles=1)))
    assert not torch.allclose(svgd(r, lone), g)

import pytest
import torch

from score3d.build import build_scene
from score3d.config import load_config
from score3d.draw import DrawSpec, draw_at
from score3d.scenes.adaptation import relocation

SPEC = DrawSpec(0, 50, 3, 1, (3, 16, 16), 16)


def scene_of(kind, **settings):
    extra = [f"scene.{k}={v}" for k, v in settings.items()]
    config = load_config(
        None, None, ["run.steps=50", "scene.count=60", f"scene.adapt={kind}", "scene.adapt_every=2",
                     "scene.adapt_start=2", *extra]
    )  # fmt: skip
    return build_scene(config, torch.device("cpu"))


def advance(scene, step):
    """One step towards a red picture; returns what moved, by name."""
    draw = draw_at(SPEC, step)
    view = scene.render(draw.views, draw.background)
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    (view.rgb - target).square().sum().backward()
    before = {k: v.detach().clone() for k, v in scene.parameters().items()}
    scene.step(step)
    moved = {k: not torch.equal(v, before[k]) for k, v in scene.parameters().items()}
    scene.adapt(draw, view)
    return moved


@pytest.mark.parametrize("kind", ["none", "mcmc", "gradient"])
def test_parameters_still_move_after_every_adapt(kind):
    """The optimisers must follow when parameters are replaced: else steps do nothing."""
    scene = scene_of(kind, cap=100)
    sizes = set()
    for step in range(12):
        moved = advance(scene, step)
        assert all(moved.values()), (step, moved)
        sizes.add(len(scene))
        for name, optimizer in scene.optimizers.items():
            (held,) = optimizer.param_groups[0]["params"]
            assert held is scene.params[name]
            for key, moment in optimizer.state[held].items():
                if key != "step":
                    assert moment.shape == held.shape
    assert (len(sizes) > 1) == (kind != "none")


@pytest.mark.parametrize("kind", ["mcmc", "gradient"])
def test_the_cap_holds(kind):
    scene = scene_of(kind, cap=70)
    for step in range(30):
        advance(scene, step)
    assert len(scene) <= 70


def test_adaptation_depends_on_its_seed_alone():
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        scene = scene_of("gradient", cap=100)
        for step in range(9):
            advance(scene, step)
        results.append(scene.state_dict())
    assert results[0].keys() == results[1].keys()
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_one_copy_changes_nothing():
    o, s = torch.rand(9), torch.rand(9, 3)
    o_new, s_new = relocation(o, s, torch.ones(9, dtype=torch.long))
    assert torch.allclose(o_new, o, atol=1e-6)
    assert torch.allclose(s_new, s, rtol=1e-5)


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_copies_keep_the_opacity_and_the_mass(copies):
    """n copies at one place composite to the old opacity, and (arXiv 2404.09591, eq. 8) the
    integral over a line through the centre of what they absorb is the old one's."""
    o, s = torch.tensor([0.7], dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    o_new, s_new = relocation(o, s, torch.tensor([copies]))
    assert 1 - (1 - o_new) ** copies == pytest.approx(o.item())
    x = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    old = (o * torch.exp(-(x**2) / 2)).sum()
    new = (1 - (1 - o_new * torch.exp(-(x**2) / (2 * s_new[0, 0] ** 2))) ** copies).sum()
    assert (new / old).item() == pytest.approx(1, abs=1e-6)


def test_dead_gaussians_are_moved_and_the_picture_stays():
    scene = scene_of("mcmc", cap=60)
    with torch.no_grad():
        scene.params["opacities"][:20] = -12.0
        scene.params["opacities"][20:] = 0.5
    draw = draw_at(SPEC, 4)
    before = scene.render(draw.views, draw.background)
    scene.adapt(draw, before)
    after = scene.render(draw.views, draw.background)
    assert (scene.params["opacities"].sigmoid() > 0.01).all()
    assert len(scene) == 60
    # eq. 9 keeps the absorption along a ray, not each pixel: close, not equal
    assert (after.rgb - before.rgb).abs().mean() < 0.02


def test_all_dead_does_not_crash():
    scene = scene_of("mcmc", cap=80)
    with torch.no_grad():
        scene.params["opacities"].fill_(-12.0)
    draw = draw_at(SPEC, 4)
    scene.adapt(draw, scene.render(draw.views, draw.background))
    assert len(scene) == 60

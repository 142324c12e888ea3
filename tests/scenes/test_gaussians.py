import numpy as np
import torch

from score3d.build import build_scene
from score3d.cameras import turntable
from score3d.config import edit_preset, load_config
from score3d.scenes.adaptation import Adaptation
from score3d.scenes.gaussians import GaussianOptions, GaussianScene
from score3d.scenes.photograph import photograph

CPU = torch.device("cpu")


def scene(*settings):
    return build_scene(load_config(None, None, ["scene.count=80", *settings]), CPU)


def test_means_and_scales_stay_in_bounds():
    s = scene("scene.bound=0.3", "scene.max_scale=0.05")
    for name, p in s.parameters().items():
        p.grad = torch.full_like(p, -1e6 if name in ("means", "scales") else 0.0)
    for step in range(30):
        s.step(step)
        for name, p in s.parameters().items():
            p.grad = torch.full_like(p, -1e6 if name in ("means", "scales") else 0.0)
    assert s.params["means"].norm(dim=1).max() <= 0.3 + 1e-6
    assert s.params["scales"].exp().max() <= 0.05 + 1e-6


def test_what_has_no_rate_stays_to_the_bit():
    s = build_scene(load_config(edit_preset("scene-look"), None, ["scene.count=80"]), CPU)
    before = {name: p.detach().clone() for name, p in s.parameters().items()}
    for step in (0, 1, s.steps):
        for p in s.parameters().values():
            p.grad = torch.ones_like(p)
        s.step(step)
    moved = {name for name, p in s.parameters().items() if not torch.equal(p, before[name])}
    assert moved == {"sh0"}


def test_photographs_equal_renders():
    s = scene()
    views = turntable(3, 24)
    with torch.no_grad():
        rgb = s.render(views, torch.ones(3, 3)).rgb.permute(0, 2, 3, 1).numpy()
    # one camera at a time against three at once: the same arithmetic
    assert np.abs(photograph(s.splats(), views) - rgb.clip(0, 1)).max() < 1e-6


def test_a_scene_from_splats_is_the_same_scene():
    s = scene("scene.sh_degree=1")
    again = GaussianScene(GaussianOptions(sh_degree=1), Adaptation(), 10, splats=s.splats())
    for name, value in s.parameters().items():
        assert torch.equal(value, again.parameters()[name])


def test_prune_keeps_at_least_one():
    s = scene()
    s.params["opacities"].data.copy_(torch.linspace(-9, 2, 80))
    assert s.prune(0.5) > 0
    assert (s.params["opacities"].sigmoid() >= 0.5).all()
    s.params["opacities"].data.fill_(-9)
    s.params["opacities"].data[0] = -8
    s.prune(0.5)
    assert len(s) == 1


def test_regulariser_weighs_opacity_and_scale():
    s = scene("scene.opacity_weight=2", "scene.scale_weight=3")
    view = s.render(turntable(1, 16), torch.ones(1, 3))
    opacity = s.params["opacities"].sigmoid().mean()
    scale = s.params["scales"].exp().mean() / 0.06
    assert torch.isclose(s.regulariser(view), 2 * opacity + 3 * scale)

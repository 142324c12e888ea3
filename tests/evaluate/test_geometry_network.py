"""The depth and normal network that ships, and how SSD asks it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from score3d.cameras import orbit
from score3d.evaluate.geometry_network import GeometryNetwork, SmallGeometry
from score3d.resources import resource
from score3d.world.families import FAMILIES
from score3d.world.raster import render_shape, sample_lighting, surface_normals
from score3d.world.shapes import build

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return SmallGeometry()


def test_shapes_and_ranges(network):
    rgb = torch.rand(3, 3, 32, 32)
    depth, normals = network.depth(rgb), network.normals(rgb)
    assert depth.shape == (3, 64, 64)
    assert normals.shape == (3, 3, 64, 64)
    assert depth.min() >= 0
    assert depth.max() <= 1 / 1.5 + 1e-6
    assert normals.norm(dim=1).max() <= 1 + 1e-5


@pytest.mark.parametrize("what", ["depth", "normals"])
def test_gradient_is_that_of_finite_differences(network, what):
    """In float64, central differences of 1e-5: within 1e-5 relative."""
    double = SmallGeometry()
    double.net.double()
    double._seen = lambda rgb: (lambda n, v, m: (n, v, m.sigmoid()))(*double.net(rgb))
    g = torch.Generator().manual_seed(0)
    rgb = torch.rand(1, 3, 64, 64, generator=g, dtype=torch.float64).requires_grad_()
    ask = getattr(double, what)
    weight = torch.randn(ask(rgb).shape, generator=g, dtype=torch.float64)
    (slope,) = torch.autograd.grad((ask(rgb) * weight).sum(), rgb)
    direction = torch.randn(rgb.shape, generator=g, dtype=torch.float64)
    with torch.no_grad():
        up, down = ((ask(rgb + s * 1e-5 * direction) * weight).sum() for s in (1, -1))
    assert float((slope * direction).sum()) == pytest.approx(float(up - down) / 2e-5, rel=1e-5)


def held_out(count=48):
    """Renders of seeds that training does not use, with their depth and normals."""
    rng = np.random.default_rng(123456)
    parts = []
    for noun in rng.choice(sorted(FAMILIES), count):
        shape = build(noun, "red", rng)
        angles = (torch.tensor([a]) for a in (rng.uniform(-180, 180), rng.uniform(0, 40)))
        camera = orbit(*angles, 2.0, 40.0, 64, 64)
        rgb, alpha, depth = render_shape(shape, camera, np.full((1, 3), 0.7), sample_lighting(rng))
        parts.append((rgb[0], alpha[0], depth[0], surface_normals(shape, camera)[0]))
    rgb, alpha, depth, normals = (torch.from_numpy(np.stack(p)) for p in zip(*parts, strict=True))
    return rgb.permute(0, 3, 1, 2), alpha > 0.5, depth, normals.permute(0, 3, 1, 2)


def test_error_on_held_out_renders(network):
    """Measured on these: nearness off by 0.138 of the object's range (a constant: 0.229),
    normals by 28.6 degrees, IoU 0.912. Bounds a fifth beyond (of what IoU lacks), for other
    processors' rounding and for retraining."""
    rgb, inside, depth, normals = held_out()
    near, said, logits = network.net(rgb)
    errors, angles = [], []
    for i in range(len(rgb)):
        x = torch.stack([near[i][inside[i]], torch.ones(int(inside[i].sum()))], 1)
        y = 1 / depth[i][inside[i]][:, None]
        span = torch.quantile(y, 0.98) - torch.quantile(y, 0.02)
        fit = x @ torch.linalg.lstsq(x, y).solution
        errors.append(float((fit - y).abs().mean() / span))
        cosine = (said[i] * normals[i]).sum(0)[inside[i]].clamp(-1, 1)
        angles.append(float(torch.rad2deg(cosine.acos()).mean()))
    found = logits > 0
    assert (found & inside).sum() / (found | inside).sum() > 0.89
    assert np.mean(errors) < 0.165
    assert np.mean(angles) < 34


def test_a_missing_network_is_named(tmp_path):
    with pytest.raises(ValueError, match="no depth network"):
        SmallGeometry(tmp_path)


def test_size_of_what_ships():
    folder = resource("assets", "depth")
    assert sum(f.stat().st_size for f in folder.iterdir()) < 3e6


@pytest.mark.parametrize("preset", ["ssd-depth", "ssd-normal"])
def test_ssd_runs_on_what_it_sees(preset):
    from score3d import build
    from score3d.config import ConfigError, load_config
    from score3d.loop import optimise
    from score3d.prompts import PromptBook

    config = load_config("draft", preset, ["run.steps=3", "scene.count=200"])
    teacher = build.build_teacher(config, CPU)
    rule, scene = build.build_rule(config, teacher), build.build_scene(config, CPU, teacher)
    book, spec = PromptBook(teacher, "a red cube"), build.build_spec(config, teacher)
    assert len(list(optimise(scene, teacher, book, rule, spec))) == 3
    assert rule.baseline.coefficient != 0
    flat = load_config("draft", preset, ["scene.kind=image"])
    with pytest.raises(ConfigError, match="has depth"):
        build.build_rule(flat, teacher)


def test_smaller_networks_load(tmp_path):
    net = GeometryNetwork((8, 8))
    save_file(net.state_dict(), tmp_path / "geometry.safetensors")
    (tmp_path / "geometry.json").write_text(json.dumps({"widths": [8, 8]}))
    assert SmallGeometry(tmp_path).depth(torch.rand(1, 3, 64, 64)).shape == (1, 64, 64)

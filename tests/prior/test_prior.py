"""The 3D prior: its network, its score against closed forms, and a scene that it pulls."""

import json

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from score3d import build
from score3d.build_prior import imagined, prior_pull
from score3d.cli.main import app
from score3d.config import ConfigError, load_config
from score3d.prior.network import PointDenoiser
from score3d.prior.points import SCALE, PointPrior
from score3d.prior.pull import PriorPull
from score3d.teachers.base import PromptError, TeacherError
from score3d.teachers.embedded import Thing

NETWORK = {"width": 16, "point_width": 16, "latents": 4, "rounds": 1, "depth": 1}
MUSHROOM = Thing("mushroom", "red")


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    labels = {"nouns": ["chair", "mushroom"], "colours": ["blue", "red"], "network": NETWORK}
    net = PointDenoiser(2, 2, **NETWORK)
    torch.nn.init.normal_(net.leave[1].weight, std=0.1)  # it begins at zero
    (tmp_path / "prior.json").write_text(json.dumps(labels))
    save_file(net.state_dict(), tmp_path / "prior.safetensors")
    return tmp_path


def configured(folder, *settings):
    options = {"run": {"prompt": "a red mushroom", "device": "cpu", "steps": 10}}
    return load_config("draft", "sds", [f"prior.folder={folder}", *settings], options)


def test_the_order_of_the_points_does_not_matter():
    torch.manual_seed(1)
    net = PointDenoiser(2, 2, **NETWORK).double()
    torch.nn.init.normal_(net.leave[1].weight)
    x, t, one = torch.randn(2, 9, 6).double(), torch.tensor([3, 900]), torch.tensor([1, 2])
    order = torch.randperm(9)
    said = net(x, t, one, one)
    assert torch.allclose(net(x[:, order], t, one, one), said[:, order], atol=1e-12)
    assert not torch.allclose(net(x, t, one.flip(0), one), said)


def test_guidance_goes_from_the_unconditional_through_the_conditional(folder):
    prior = PointPrior(folder)
    x, t = torch.randn(1, 5, 6), torch.tensor([0.5])
    free, said, twice = (prior.predict(x, t, MUSHROOM, g) for g in (0.0, 1.0, 2.0))
    assert torch.allclose(twice, 2 * said - free, atol=1e-5)  # float32
    assert not torch.allclose(said, free)


class GaussianPoints(PointPrior):
    """Knows the noise of points from N(mean, deviation^2) exactly."""

    def __init__(self, folder, mean, deviation):
        super().__init__(folder)
        self.mean, self.deviation = mean, deviation

    def predict(self, x, t, thing, guidance=1.0):
        alpha, sigma = self.schedule.alpha_sigma(t, x)
        mean = torch.cat([torch.full((3,), self.mean), torch.zeros(3)])
        variance = (alpha * self.deviation) ** 2 + sigma**2
        return sigma * (x - alpha * mean) / variance


def test_sampling_reaches_the_distribution(folder):
    """DDIM of an exact denoiser: mean and deviation within 5 standard errors of 4096 points and
    the discretisation of 40 steps (2 %)."""
    points, colours = GaussianPoints(folder, 0.5, 0.3).sample(MUSHROOM, 4096, seed=1)
    assert points.shape == colours.shape == (4096, 3)
    assert points.mean().item() == pytest.approx(0.5 * SCALE, abs=0.02 * SCALE)
    assert points.std(0).mean().item() == pytest.approx(0.3 * SCALE, rel=0.06)
    assert (colours >= 0).all()
    assert (colours <= 1).all()


def test_the_mean_pull_is_the_closed_form(folder):
    """For points at x and an exact denoiser of N(m, s^2): E[eps_hat - eps] over eps is
    sigma alpha (x - m) / (alpha^2 s^2 + sigma^2). One t; 400 draws of 64 equal points."""
    m, s, at = 0.4, 0.5, -0.6
    prior = GaussianPoints(folder, m, s)
    means = torch.full((64, 3), at * SCALE)
    bounds, total = (0.5, 0.5), torch.zeros(64, 3)
    for seed in range(400):
        g = torch.Generator().manual_seed(seed)
        total += prior.pull(means, torch.full((64, 3), 0.5), MUSHROOM, g, bounds=bounds)
    alpha, sigma = (float(v) for v in prior.schedule.alpha_sigma(torch.tensor([0.5]), means[:1]))
    expected = sigma**2 * sigma * alpha * (at - m) / (alpha**2 * s**2 + sigma**2) / SCALE
    assert total.mean().item() / 400 == pytest.approx(expected, rel=0.01)


def test_only_some_points_are_pulled_and_they_are_the_seeds(folder):
    prior, means = PointPrior(folder), torch.randn(50, 3) * 0.1
    one, again, other = (
        prior.pull(means, means.sigmoid(), MUSHROOM, torch.Generator().manual_seed(s), points=20)
        for s in (0, 0, 1)
    )
    assert int((one != 0).any(1).sum()) == 20
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_pull_is_relative_to_the_gradient_and_ends(folder):
    prior = PointPrior(folder)
    params = torch.nn.ParameterDict(
        {"means": torch.nn.Parameter(torch.randn(30, 3) * 0.1), "sh0": torch.zeros(30, 1, 3)}
    )
    pull = PriorPull(prior, MUSHROOM, weight=0.5, until=2, seed=3)
    pull(0, params)
    assert params["means"].grad is None
    before = torch.randn(30, 3)
    params["means"].grad = before.clone()
    pull(1, params)
    added = params["means"].grad - before
    assert added.norm().item() == pytest.approx(0.5 * before.norm().item(), rel=1e-4)
    params["means"].grad = before.clone()
    pull(2, params)
    assert torch.equal(params["means"].grad, before)


def test_a_scene_moves_towards_what_the_prior_knows(folder):
    """With the exact prior of N(0, (0.2 SCALE)^2) in place of the network, centres far out move in,
    though the pictures' gradient is none."""
    config = configured(folder, "scene.count=64", "prior.weight=1.0", "scene.adapt=none")
    scene = build.build_scene(config, torch.device("cpu"))
    prior = GaussianPoints(folder, 0.0, 0.2)
    scene.pull = PriorPull(prior, MUSHROOM, 1.0, 10, 0)
    start = scene.params["means"].detach().norm(dim=1).mean()
    for step in range(10):
        scene.params["means"].grad = torch.full((64, 3), 1e-6)
        scene.step(step)
    assert scene.params["means"].detach().norm(dim=1).mean() < 0.95 * start


def test_a_scene_begins_with_a_sample(folder):
    config = configured(folder, "scene.start=prior", "scene.count=40")
    splats = imagined(config, 5)
    assert len(splats) == 40
    assert splats.means.tobytes() == imagined(config, 5).means.tobytes()
    scene = build.build_scene(config, torch.device("cpu"))
    assert torch.equal(
        scene.params["means"], torch.from_numpy(imagined(config, config.run.seed).means)
    )
    assert scene.pull is None


def test_what_the_prior_cannot_do_is_said(folder, tmp_path):
    prior = PointPrior(folder)
    with pytest.raises(PromptError, match="single objects: chair, mushroom"):
        prior.understand("a red car")
    with pytest.raises(PromptError, match="single objects"):
        prior.understand("a red cube on top of a blue cylinder")
    with pytest.raises(TeacherError, match="not a 3D prior"):
        PointPrior(tmp_path / "nowhere")
    config = configured(folder, "prior.weight=0.5", "scene.kind=nerf")
    with pytest.raises(ConfigError, match="pulls the Gaussians"):
        build.validate(config)
    config = configured(folder, "prior.weight=0.5", "scene.sh_degree=1")
    with pytest.raises(ConfigError, match="sh_degree=0"):
        prior_pull(config, torch.device("cpu"), 0)


def test_bad_shap_e_is_one_line(tmp_path):
    out = tmp_path / "run"
    result = CliRunner().invoke(
        app,
        ["generate", "a red mushroom", "--out", str(out), "--set", "scene.start=shap-e:nowhere"],
    )
    assert result.exit_code in (1, 2)
    assert "no checkpoint in diffusers layout" in result.output
    assert "Traceback" not in result.output

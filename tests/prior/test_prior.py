"""The 3D prior: its latents, its sampler against closed forms, and scenes that begin with it."""

import json
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from score3d import build
from score3d.build_prior import imagined, prior_pull
from score3d.cli.main import app
from score3d.config import ConfigError, load_config
from score3d.prior.cubes import Cubes
from score3d.prior.known import prior_knows, suited_config
from score3d.prior.network import VolumeDenoiser
from score3d.prior.pull import PriorPull
from score3d.prior.volumes import ShapePrior, mesh_of
from score3d.teachers.base import PromptError, TeacherError
from score3d.teachers.embedded import Thing
from score3d.world.volumes import BOUND, CELL, SIDE

NETWORK = {"width": 16, "depth": 1, "heads": 2}
MUSHROOM = Thing("mushroom", "red")
PATCH, CHANNELS = 6, 5
MIDDLES = (np.arange(SIDE) + 0.5) * CELL - BOUND


def ball(radius: float, colour=(0.5, -0.5, -0.5)) -> np.ndarray:
    """A volume [4,S,S,S] whose surface (fullness 0.33) is a sphere."""
    grid = np.stack(np.meshgrid(MIDDLES, MIDDLES, MIDDLES, indexing="ij"))
    far = (np.linalg.norm(grid, axis=0) - radius) / CELL
    near = (np.abs(far) < 2)[None] * np.array(colour)[:, None, None, None]
    return np.concatenate([np.clip(0.33 - far / 2, 0, 1)[None], near]).astype(np.float32)


def packed(volume: np.ndarray) -> np.ndarray:
    cells = volume.copy()
    cells[1:] += 0.5
    return np.round(cells.clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    about = {"nouns": ["chair", "mushroom"], "colours": ["blue", "red"], "materials": ["matte"],
             "patch": PATCH, "network": NETWORK}  # fmt: skip
    balls = [ball(r, c) for r in (0.2, 0.3, 0.4) for c in ((0.4, -0.3, 0), (-0.2, 0.3, 0.1))]
    cubes = Cubes.fitted(np.stack([packed(b) for b in balls]), PATCH, CHANNELS)
    net = VolumeDenoiser((2, 2, 1, 2), len(cubes.kept), CHANNELS, **NETWORK)
    for layer in (net.modulate, net.leave):  # they begin at zero
        torch.nn.init.normal_(layer.weight, std=0.1)
    basis, scale, kept = cubes.tensors()
    weights = {f"net.{k}": v for k, v in net.state_dict().items()}
    weights |= {"basis": basis.contiguous(), "scale": scale, "kept": kept.int()}
    (tmp_path / "prior.json").write_text(json.dumps(about))
    save_file(weights, tmp_path / "prior.safetensors")
    return tmp_path


class Balls(ShapePrior):
    """Always makes the same ball."""

    def sample(self, thing, seed=0, steps=36, guidance=2.0):
        return ball(0.3)


def configured(folder, *settings):
    options = {"run": {"prompt": "a red mushroom", "device": "cpu", "steps": 10}}
    return load_config("draft", "sds", [f"prior.folder={folder}", *settings], options)


def test_a_complete_basis_loses_nothing():
    """4 x 2^3 numbers a cube and as many components: what is left is rounding."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (6, 4, SIDE, SIDE, SIDE), dtype=np.uint8)
    cubes = Cubes.fitted(cells, 2, 32)
    assert len(cubes.kept) == (SIDE // 2) ** 3
    again = cubes.decode(cubes.encode(torch.from_numpy(cells))).numpy()
    again[:, 1:] += 0.5
    assert np.abs(again * 255 - cells).max() < 0.6  # 127 and 128 both mean no colour


def test_cubes_that_nothing_reaches_are_empty():
    cubes = Cubes.fitted(packed(ball(0.2))[None], 6, 8)
    assert len(cubes.kept) < 6**3 / 2
    volume = cubes.decode(torch.ones(1, len(cubes.kept), 8))
    assert (volume[0, :, :6, :6, :6] == 0).all()


class GaussianLatents(torch.nn.Module):
    """Knows v of latents from N(mean, deviation^2) exactly."""

    def __init__(self, prior, mean, deviation):
        super().__init__()
        self.prior, self.mean, self.deviation = prior, mean, deviation

    def forward(self, x, t, words):
        bar = self.prior.schedule.alphas_cumprod[t].view(-1, 1, 1).float()
        alpha, sigma = bar.sqrt(), (1 - bar).sqrt()
        variance = (alpha * self.deviation) ** 2 + sigma**2
        eps = sigma * (x - alpha * self.mean) / variance
        clean = (x - sigma * eps) / alpha
        return alpha * eps - sigma * clean


@pytest.mark.parametrize(("steps", "near"), [(24, 0.08), (96, 0.03)])
def test_sampling_reaches_the_distribution(folder, steps, near):
    """DDIM of an exact denoiser, in latents: the mean within 0.03, since the first time leaves 7 %
    of the signal that plain noise has not. DDIM's steps shrink the deviation, the less the shorter
    they are: by 7.3, 5.1 and 2.3 % in 24, 36 and 96."""
    prior = ShapePrior(folder)
    prior.net = GaussianLatents(prior, 0.7, 0.5)
    found = []

    def decode(latents):
        found.append(latents)
        return latents.new_zeros(1, 4, 1, 1, 1)

    prior.cubes.decode = decode
    for seed in range(200):
        prior.sample(MUSHROOM, seed, steps=steps)
    latents = torch.cat(found)
    assert latents.mean().item() == pytest.approx(0.7, abs=0.03)
    assert latents.std().item() == pytest.approx(0.5, rel=near)


def test_words_and_seeds_matter(folder):
    prior = ShapePrior(folder)
    one = prior.sample(MUSHROOM, 0)
    assert one.shape == (4, SIDE, SIDE, SIDE)
    assert np.array_equal(one, prior.sample(MUSHROOM, 0))
    for thing, seed in ((MUSHROOM, 1), (Thing("mushroom", "blue"), 0), (Thing("chair", "red"), 0)):
        assert not np.array_equal(one, prior.sample(thing, seed))


def test_a_noun_that_never_came_with_a_material_is_asked_for_without(folder):
    things = Thing("chair", "red"), MUSHROOM
    before = [ShapePrior(folder).sample(t) for t in things]
    about = json.loads((folder / "prior.json").read_text())
    (folder / "prior.json").write_text(json.dumps(about | {"without_material": ["chair"]}))
    prior = ShapePrior(folder)
    chair, mushroom = (prior.sample(t) for t in things)
    assert not np.array_equal(before[0], chair)
    assert np.array_equal(chair, prior.sample(Thing("chair", "red", material="matte")))
    assert np.array_equal(before[1], mushroom)


def test_guidance_zero_does_not_listen(folder):
    prior = ShapePrior(folder)
    one, other = (prior.sample(Thing(n, "red"), guidance=0.0) for n in ("chair", "mushroom"))
    assert np.allclose(one, other, atol=1e-5)  # float32


def test_the_surface_of_a_ball_is_a_closed_sphere_in_its_colour():
    mesh = mesh_of(ball(0.3, (0.3, -0.1, 0.0)))
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.02)  # outside is outside
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radii - 0.3).max() < 0.1 * CELL
    colours = np.asarray(mesh.visual.vertex_colors)[:, :3] / 255
    assert np.abs(colours - (0.8, 0.4, 0.5)).max() < 0.01


def test_an_empty_sample_is_one_line():
    with pytest.raises(TeacherError, match="empty shape"):
        mesh_of(np.zeros((4, SIDE, SIDE, SIDE), np.float32))


def test_the_pull_leaves_what_is_near_and_ends():
    surface = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    at = torch.tensor([[0.0, 0.9 * CELL, 0.0], [0.0, 1.5 * CELL, 0.0], [0.5, 0.0, -4 * CELL]])
    params = torch.nn.ParameterDict({"means": torch.nn.Parameter(at)})
    pull = PriorPull(surface, weight=0.5, until=2)
    pull(0, params)
    assert params["means"].grad is None
    before = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])  # root mean square: sqrt(3)
    params["means"].grad = before.clone()
    pull(1, params)
    expected = 0.5 * 3**0.5 * torch.tensor([[0.0, 0, 0], [0, 0.5, 0], [0, 0, -1]])
    assert torch.allclose(params["means"].grad - before, expected, atol=1e-5)
    params["means"].grad = before.clone()
    pull(2, params)
    assert torch.equal(params["means"].grad, before)


def test_a_scene_begins_with_a_sample_and_is_drawn_back_to_it(folder, monkeypatch):
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Balls)
    config = configured(
        folder, "scene.start=prior", "scene.count=400", "prior.weight=1.0", "scene.adapt=none"
    )
    splats, sure = imagined(config, 5)
    assert sure  # nobody is asked
    radii = np.linalg.norm(splats.means, axis=1)
    assert 300 <= len(splats) <= 400
    assert np.abs(radii - 0.3).max() < 0.5 * CELL
    assert splats.means.tobytes() == imagined(config, 5)[0].means.tobytes()
    scene = build.build_scene(config, torch.device("cpu"))
    with torch.no_grad():
        scene.params["means"] *= 1.5
    for step in range(5):
        scene.params["means"].grad = torch.full_like(scene.params["means"], 1e-6)
        scene.step(step)
    assert scene.params["means"].detach().norm(dim=1).mean() < 0.44


class Seeded(ShapePrior):
    """A ball that is larger with each try, or nothing where `empty` says so."""

    made: ClassVar[list[int]] = []
    empty: tuple[int, ...] = ()

    def sample(self, thing, seed=0, steps=24, guidance=3.0):
        self.made.append(seed)
        size = len(self.made)
        return ball(0.2 + 0.05 * size) * (size not in self.empty)


class Fond:
    """A judge that likes balls best whose disc covers the most, or the least, of a picture."""

    nouns, colours = ["mushroom"], ["red"]
    sign = 1

    def __call__(self, rgb):
        covered = ((rgb - 0.8).abs().amax(1) > 0.1).float().mean((1, 2))
        p = torch.sigmoid(self.sign * 10 * (covered - 0.3))
        return SimpleNamespace(noun_probabilities=p[:, None], colour_probabilities=p[:, None])


class Indifferent:
    """A two-tower model to which all pictures are alike, or those that cover more."""

    weight: ClassVar[float] = 0.0

    def ids(self, texts):
        return torch.zeros(len(texts), 20)

    def similarity(self, rgb, texts):
        return self.weight * ((rgb - 0.8).abs().amax(1) > 0.1).float().mean((1, 2))[:, None]


@pytest.fixture(autouse=True)
def _no_towers(monkeypatch):
    monkeypatch.setattr("score3d.build_prior.TwoTower", Indifferent)


@pytest.mark.parametrize(
    ("sign", "empty", "radius"), [(1, (), 0.4), (-1, (), 0.25), (1, (4,), 0.35)]
)
def test_the_judge_chooses_among_tries(folder, monkeypatch, sign, empty, radius):
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Seeded)
    monkeypatch.setattr("score3d.build_prior.choosing_judge", Fond)
    monkeypatch.setattr(Seeded, "made", made := [])
    monkeypatch.setattr(Seeded, "empty", empty)
    monkeypatch.setattr(Fond, "sign", sign)
    config = configured(folder, "scene.start=prior", "scene.count=400", "prior.tries=4")
    means = imagined(config, 5)[0].means
    assert made[0] == 5
    assert len(set(made)) == 4
    assert np.linalg.norm(means, axis=1).mean() == pytest.approx(radius, abs=0.5 * CELL)


def test_the_two_tower_model_has_a_say(folder, monkeypatch):
    """A judge that likes the smallest is overruled by a model that likes the largest more."""
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Seeded)
    monkeypatch.setattr("score3d.build_prior.choosing_judge", Fond)
    monkeypatch.setattr(Seeded, "made", [])
    monkeypatch.setattr(Fond, "sign", -1)
    monkeypatch.setattr(Indifferent, "weight", 10.0)
    config = configured(folder, "scene.start=prior", "scene.count=400", "prior.tries=4")
    radius = np.linalg.norm(imagined(config, 5)[0].means, axis=1).mean()
    assert radius == pytest.approx(0.4, abs=0.5 * CELL)


@pytest.mark.parametrize(
    ("tries", "sign", "nouns", "times"),
    [(1, -1, None, 1), (3, -1, None, 1), (1, 1, None, 5), (3, 1, None, 5), (1, -1, ["cat"], 5)],
)
def test_shapes_that_the_judge_does_not_know_move_more(
    folder, monkeypatch, tries, sign, nouns, times
):
    """A ball that the judge takes for a mushroom (it covers less than 0.3 of a picture), one that
    it does not, and a judge who knows no mushrooms."""
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Seeded)
    monkeypatch.setattr("score3d.build_prior.choosing_judge", Fond)
    monkeypatch.setattr(Seeded, "made", [])
    monkeypatch.setattr(Fond, "sign", sign)
    monkeypatch.setattr(Fond, "nouns", nouns or Fond.nouns)
    chosen = ("scene.start=prior", "scene.count=400", f"prior.tries={tries}", "prior.unsure=5")
    config = configured(folder, *chosen)
    options, plain = build.SCENES["gaussians"](config, "cpu", 5, None).options, config.scene
    for name in ("lr_means", "lr_means_end", "lr_scales", "lr_quats", "lr_opacities"):
        assert getattr(options, name) == pytest.approx(times * getattr(plain, name))
    assert options.lr_sh == plain.lr_sh


@pytest.mark.parametrize(("sign", "count"), [(-1, 2), (1, 4)])
def test_the_search_goes_on_until_the_judge_is_sure(folder, monkeypatch, sign, count):
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Seeded)
    monkeypatch.setattr("score3d.build_prior.choosing_judge", Fond)
    monkeypatch.setattr(Seeded, "made", made := [])
    monkeypatch.setattr(Fond, "sign", sign)
    chosen = ("scene.start=prior", "scene.count=400", "prior.tries=2", "prior.tries_unsure=4")
    monkeypatch.setattr("score3d.build_prior.FOUND", 0.5)  # this judge is never surer than 0.8
    trusted = imagined(configured(folder, *chosen), 5)[1]
    assert (len(made), trusted) == (count, sign == -1)


def test_a_second_colour_is_no_fault(folder, monkeypatch):
    """Of two colours the judge, who names one, is not asked."""
    asked = []
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Seeded)
    monkeypatch.setattr("score3d.build_prior.choosing_judge", Fond)
    monkeypatch.setattr(Seeded, "made", [])
    monkeypatch.setattr(
        Seeded, "understand", lambda self, prompt: Thing("mushroom", "red", None, "stem", "blue")
    )
    monkeypatch.setattr(
        "score3d.build_prior.judge_reward",
        lambda judge, noun, colour: asked.append(colour) or (lambda rgb: torch.zeros(len(rgb))),
    )
    imagined(configured(folder, "scene.start=prior", "prior.tries=2"), 0)
    assert asked == [None]


def test_tries_that_cannot_be_judged(folder, monkeypatch):
    monkeypatch.setattr("score3d.build_prior.ShapePrior", Seeded)
    monkeypatch.setattr("score3d.build_prior.choosing_judge", Fond)
    config = configured(folder, "scene.start=prior", "prior.tries=2")
    monkeypatch.setattr(Seeded, "made", [])
    monkeypatch.setattr(Seeded, "empty", (1, 2))
    with pytest.raises(TeacherError, match="empty shape"):
        imagined(config, 0)
    monkeypatch.setattr(Fond, "nouns", ["cat"])
    with pytest.raises(ConfigError, match=r"prior\.tries=2 and .* does not know red mushroom"):
        imagined(config, 0)


def test_who_begins_with_the_prior():
    def start(*settings, prompt="a red mushroom", **options):
        chosen = {"run": {"prompt": prompt}, **options}
        return suited_config("draft", "sds", list(settings), chosen)

    assert start().scene.start == "prior"
    assert start().distill.t_max < load_config("draft", "sds").distill.t_max
    assert start("distill.t_max=0.9").distill.t_max == 0.9
    assert start().run.steps < start("scene.start=none").run.steps == 120
    assert start("run.steps=99").run.steps == 99
    unsaid = suited_config("standard", None, [], {"run": {"prompt": "a red mushroom"}})
    assert unsaid.run.steps == 120  # as the command line has it without --loss
    other = suited_config("draft", "csd", [], {"run": {"prompt": "a red mushroom"}})
    assert (other.scene.start, other.run.steps) == ("prior", 120)  # as without it
    assert start("scene.start=none").scene.start == "none"
    assert start("scene.start=none").distill.t_max == load_config("draft", "sds").distill.t_max
    assert start(scene={"kind": "nerf"}).scene.start == ""
    assert start(teacher={"name": "sd15"}, prompt="a corgi").scene.start == ""
    assert start(prompt="a red cube on top of a blue cylinder").scene.start == ""
    with pytest.raises(PromptError):
        prior_knows("a red gryphon")


def test_none_is_nothing(folder):
    config = configured(folder, "scene.start=none", "scene.count=40")
    nothing = configured(folder, "scene.count=40")
    a, b = (build.build_scene(c, torch.device("cpu")).params["means"] for c in (config, nothing))
    assert torch.equal(a, b)


def test_what_the_prior_cannot_do_is_said(folder, tmp_path):
    prior = ShapePrior(folder)
    with pytest.raises(PromptError, match="single objects: chair, mushroom"):
        prior.understand("a red car")
    with pytest.raises(PromptError, match="single objects"):
        prior.understand("a red cube on top of a blue cylinder")
    with pytest.raises(TeacherError, match="not a 3D prior"):
        ShapePrior(tmp_path / "nowhere")
    config = configured(folder, "prior.weight=0.5", "scene.kind=nerf")
    with pytest.raises(ConfigError, match="pulls the Gaussians"):
        build.validate(config)
    assert prior_pull(configured(folder), 0) is None


def test_bad_shap_e_is_one_line(tmp_path):
    out = tmp_path / "run"
    result = CliRunner().invoke(
        app,
        ["generate", "a red mushroom", "--out", str(out), "--set", "scene.start=shap-e:nowhere"],
    )
    assert result.exit_code in (1, 2)
    assert "no checkpoint in diffusers layout" in result.output
    assert "Traceback" not in result.output

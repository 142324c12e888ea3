"""What the 3D prior's detail is trained on, and where its weights go."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from score3d.prior.detail import VolumeDetail
from score3d.prior.volumes import ShapePrior
from score3d.world.volumes import SIDE

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from render_volumes import Volumes, load_volumes
from train_detail import Shapes, crops, errors, export

from .prior.test_prior import folder  # noqa: F401


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr("render_volumes.NOUNS", ["mushroom", "chair"])


def shard(noun: int, tone: int, count: int = 3) -> Volumes:
    """Chairs or mushrooms, all cells of one tone."""
    cells = np.full((count, 4, SIDE, SIDE, SIDE), tone, np.uint8)
    fine = np.full((count, 4, 2 * SIDE, 2 * SIDE, 2 * SIDE), tone, np.uint8)
    words = (np.full(count, k) for k in (noun, 1, 0, -1))
    return Volumes(cells, *words, fine=fine)


def test_a_shape_comes_with_its_own_cells_and_words(folder, known):  # noqa: F811
    prior = ShapePrior(folder)
    shapes = Shapes(prior, [shard(1, 50), shard(0, 200), shard(1, 60)])
    g = torch.Generator().manual_seed(0)
    tones = {1: {50, 60}, 2: {200}}  # the prior's words: chair, mushroom
    seen = set()
    for _ in range(6):
        volumes, noun, fine = shapes.drawn(2, g)
        assert volumes.shape == (2, 4, SIDE, SIDE, SIDE)
        for n, f in zip(noun.tolist(), fine, strict=True):
            seen.add((n, int(f[0, 0, 0, 0])))
            assert int(f[0, 0, 0, 0]) in tones[n]
    assert len(seen) == 3
    assert shapes.words[3].tolist() == [2, 2, 1, 0]


def test_volumes_are_what_the_prior_says_that_they_were(folder, known, monkeypatch):  # noqa: F811
    """A prior that knows every latent to be 0.3: whatever the noise, its decoded volume."""
    prior = ShapePrior(folder)

    def knowing(x, t, words):
        bar = prior.schedule.alphas_cumprod[t].view(-1, 1, 1).float()
        return (bar.sqrt() * x - 0.3) / (1 - bar).sqrt()

    monkeypatch.setattr(prior, "net", knowing)
    shapes = Shapes(prior, [shard(0, 100)])
    volumes = shapes.drawn(1, torch.Generator().manual_seed(1))[0]
    expected = prior.cubes.decode(torch.full_like(shapes.latents[:1], 0.3))
    # float32, and (1 - bar)^-1/2 of up to 30 at the first times
    assert torch.allclose(volumes, expected, atol=1e-3)


def test_cubes_of_a_volume_and_of_its_fine_cells_are_the_same_place():
    x, y, z = np.indices((SIDE, SIDE, SIDE))
    places = torch.from_numpy((x * SIDE + y) * SIDE + z).float().expand(2, 4, -1, -1, -1)
    fine = torch.nn.functional.interpolate(places, scale_factor=2, mode="nearest")
    g, corners = torch.Generator().manual_seed(3), set()
    for _ in range(4):
        part, far = crops(places, fine, g)
        assert torch.equal(torch.nn.functional.interpolate(part, scale_factor=2), far)
        corners |= {float(p[0, 0, 0, 0]) for p in part}
    assert len(corners) > 4


def test_errors_are_of_fullness_everywhere_and_of_colours_where_there_are_any():
    fine = torch.full((1, 4, 2, 2, 2), 127, dtype=torch.uint8)
    fine[:, 0] = 51  # 0.2
    fine[:, 1:, 0, 0, 0] = 255
    fine[:, 1:, 1, 1, 1] = 128  # no colour, rounded the other way
    made = torch.zeros(1, 4, 2, 2, 2)
    made[:, 0] = 0.5
    made[:, 1:, 0, 0, 0] = 0.4
    made[:, 1:, 1, 1, 1] = 9.0
    full, colour = errors(made, fine)
    assert full.item() == pytest.approx(0.09, rel=1e-4)
    assert colour.item() == pytest.approx(0.1, rel=1e-4)


def test_weights_go_into_the_priors_file_and_nothing_else_changes(folder, tmp_path):  # noqa: F811
    before = load_file(folder / "prior.safetensors")
    for seed in (0, 1):  # twice: the first is replaced
        torch.manual_seed(seed)
        net = VolumeDetail(2)
        torch.save({"ema": net.state_dict()}, tmp_path / "last.pt")
        export(argparse.Namespace(out=tmp_path, prior=folder))
    after = load_file(folder / "prior.safetensors")
    assert all(torch.equal(after[k], v) for k, v in before.items())
    loaded = ShapePrior(folder).detail
    assert loaded is not None
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value.half().float())


def test_a_shard_with_fine_cells_is_of_the_same_shapes(tmp_path, monkeypatch):
    monkeypatch.setattr("render_volumes.FINE_SHARD", 2)
    made = load_volumes(tmp_path, 5, ["mug", "sphere"], fine=True)
    assert made.fine is not None
    assert made.fine.shape == (2, 4, 2 * SIDE, 2 * SIDE, 2 * SIDE)
    for cells, fine in zip(made.cells, made.fine, strict=True):
        coarse = fine[0].reshape(SIDE, 2, SIDE, 2, SIDE, 2).mean((1, 3, 5))
        assert np.abs(coarse - cells[0]).mean() < 0.02 * 255
        assert np.corrcoef(coarse.ravel(), cells[0].ravel())[0, 1] > 0.95
    again = load_volumes(tmp_path, 5, ["mug", "sphere"], fine=True)  # from its file
    assert np.array_equal(again.cells, made.cells)

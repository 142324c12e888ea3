"""What the training scripts draw, and the steps they take."""

import argparse
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from score3d.world.dataset import VIEWS_PER_SHAPE, render_shard
from score3d.world.nouns import NOUNS

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
pytest.importorskip("tokenizers")

import train_judge
from muon import Muon, muon_and_adam
from teacher_networks import Denoiser, build_tokenizer
from train_prior import RARE, SECOND, batch_of, evenly, rare_more_often, shapes_of
from train_teacher import Shares, matrices_of
from training import Training, float_attention


def test_every_noun_is_drawn_as_often_whatever_there_is_of_it():
    data = render_shard(1, 800, 16, nouns=["car", "mug", "sphere"])
    noun = data.noun[::VIEWS_PER_SHAPE]
    cars = np.nonzero(data.noun == NOUNS.index("car"))[0]
    few = np.ones(len(data), bool)
    few[cars[4 * VIEWS_PER_SHAPE :]] = False  # four cars are left
    data = data.where(few)
    noun, relation = data.noun[::VIEWS_PER_SHAPE], data.relation[::VIEWS_PER_SHAPE]
    drawn = Shares(data, {}).draw(6000, np.random.default_rng(0))
    pairs = relation[drawn] >= 0
    shares = [np.mean(~pairs & (noun[drawn] == NOUNS.index(n))) for n in ("car", "mug", "sphere")]
    others = np.unique(noun[relation < 0])
    # three nouns of weight 1 and pairs of weight 6; 5 standard errors of 6000 draws
    total = len(others) + Shares.PAIRS
    assert np.allclose(shares, 1 / total, atol=5 * (1 / total / 6000) ** 0.5)
    assert pairs.mean() == pytest.approx(Shares.PAIRS / total, abs=0.035)


def test_a_noun_is_drawn_as_often_as_asked():
    data = render_shard(2, 400, 16, nouns=["car", "mug"])
    drawn = Shares(data, {"mug": 2.5}).draw(6000, np.random.default_rng(0))
    noun, single = (x[::VIEWS_PER_SHAPE][drawn] for x in (data.noun, data.relation < 0))
    mugs, cars = (np.sum(single & (noun == NOUNS.index(n))) for n in ("mug", "car"))
    # some 900 cars and 2200 mugs: 5 standard errors are 0.5
    assert mugs / cars == pytest.approx(2.5, abs=0.5)


def test_shards_of_some_nouns_hold_those():
    data = render_shard(3, 200, 16, nouns=["car", "mug"])
    single = data.relation < 0
    assert {NOUNS[n] for n in data.noun[single]} == {"car", "mug"}


def test_muon_steps_are_orthogonal_and_of_adams_size():
    """Five iterations with Jordan's coefficients bring singular values to 0.7 .. 1.2, the
    smallest of these matrices a little less (0.5 asserted); a step is
    0.2 sqrt(longer side) of that, times the rate."""
    torch.manual_seed(0)
    for shape in ((12, 30), (30, 12), (12, 5, 2, 3)):  # the last a convolution's
        matrix = torch.nn.Parameter(torch.zeros(shape))
        optimizer = Muon([matrix], lr=1.0, decay=0.0)
        width = shape[1] if len(shape) == 2 else 30
        grad = torch.randn(shape).flatten(1) @ torch.diag(torch.linspace(0.2, 3, width))
        matrix.grad = grad.view(shape)
        optimizer.step()
        values = torch.linalg.svdvals(matrix.detach().flatten(1)) / (0.2 * 30**0.5)
        assert values.min() > 0.5
        assert values.max() < 1.3


def test_attention_stays_in_float32_under_autocast():
    parts = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    attend = torch.nn.functional.scaled_dot_product_attention
    halves = [p.bfloat16() for p in parts]
    with torch.autocast("cpu", torch.bfloat16):
        ours, plain = float_attention(attend)(*halves), attend(*halves)
    assert ours.dtype == torch.float32
    assert plain.dtype == torch.bfloat16  # else there is nothing to keep it from
    assert torch.equal(ours, attend(*(h.float() for h in halves)))


def test_shapes_with_a_second_colour_count_more():
    words = torch.tensor([[1, 5, 1, 0], [2, 5, 1, 3], [1, 4, 1, 2]])
    first, second, none = shapes_of(words, 3)
    assert first.tolist() == [0] + [2] * SECOND
    assert second.tolist() == [1] * SECOND
    assert not len(none)


def test_nouns_of_real_models_alone_are_drawn_more_often():
    chair, window = torch.tensor([0, 1]), torch.tensor([2])
    drawn = rare_more_often([chair, window], ["chair", "window"])
    picked = evenly(drawn, 4000, torch.Generator().manual_seed(0))
    # 3 in 4; a standard deviation is 0.007
    assert picked.count(2) / 4000 == pytest.approx(RARE / (1 + RARE), abs=0.025)


def test_a_batch_of_the_prior_drops_words():
    latents, words = torch.zeros(4, 2, 3), torch.tensor([[1, 1, 1, 1]] * 2 + [[2, 2, 1, 0]] * 2)
    of_noun = [torch.tensor([0, 1]), torch.tensor([2, 3])]
    _, said = batch_of(latents, words, of_noun, 4000, torch.Generator().manual_seed(0))
    silent = (said == 0).all(1).float().mean().item()
    assert silent == pytest.approx(0.1, abs=0.025)
    assert (said[:, 0] == 1).float().mean().item() == pytest.approx(0.45, abs=0.04)
    assert ((said[:, 0] > 0) & (said[:, 1] == 0)).float().mean().item() == pytest.approx(
        0.05, abs=0.02
    )


@pytest.mark.parametrize("network", ["teacher", *train_judge.NETWORKS])
def test_every_weight_is_trained_once(network):
    if network == "teacher":
        net = Denoiser(build_tokenizer())
        matrices = matrices_of(net)
    else:
        net = train_judge.NETWORKS[network](7, 5, 3)
        matrices = train_judge.matrices_of(net)
    steps_of = muon_and_adam(net, 1e-3, matrices)
    trained = [id(p) for o in steps_of for group in o.param_groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in net.parameters())
    assert all(p.ndim in (2, 4) for p in steps_of[0].param_groups[0]["params"])


@pytest.fixture(autouse=True)
def _same_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _trained(folder: Path, steps: int, until: int) -> tuple[torch.nn.Module, Training]:
    """A small network after `until` of `steps` steps, each on numbers of its own."""
    torch.manual_seed(0)
    net, mean = (
        torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 4)) for _ in range(2)
    )
    args = argparse.Namespace(out=folder, steps=steps, batch=5, lr=1e-2, decay=0.5, bfloat16=False)
    training = Training(net, mean, [net[0].weight], args, keep=0.9)
    while not training.finished() and training.step < until:
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(training.step))
        training.learn((training.forward(x) - x).square().mean())
    training.save()
    return mean, training


def test_training_resumed_is_training_in_one_go(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole, _ = _trained(tmp_path / "a", 8, 8)
    _trained(tmp_path / "b", 8, 3)
    resumed, training = _trained(tmp_path / "b", 8, 8)
    assert training.step == 8
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_rate_rises_stays_and_falls(tmp_path):
    _, training = _trained(tmp_path, 1000, 0)
    rates = []
    for training.step in (0, 99, 500, 750, 999):
        rates.append(training.rate)
    # a hundredth, then whole until half of the steps, half of it between there and the end
    assert rates == pytest.approx([1e-4, 1e-2, 1e-2, 5e-3, 0], abs=2e-7)


def test_a_signal_ends_training_after_a_step(tmp_path):
    _, training = _trained(tmp_path, 8, 1)
    assert not training.finished()
    os.kill(os.getpid(), signal.SIGTERM)
    assert training.finished()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second one is not swallowed

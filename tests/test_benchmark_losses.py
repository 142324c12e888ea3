"""The benchmark of losses: its statistics, its cache, and every kind at its smallest."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
import benchmark_losses
from losses_tables import moments, noise_to_signal, paired

TINY = ["--threads", "1", "--seeds", "2", "--draws", "4", "--views", "2", "--warm", "2",
        "--teach", "1", "--rounds", "1", "--set", "scene.count=100", "--set", "views.count=2",
        "--set", "output.turntable_views=2", "--set", "output.mesh_resolution=16",
        "--set", "output.picture_size=32"]  # fmt: skip


def draws(mean, deviation, count, seed):
    g = torch.Generator().manual_seed(seed)
    return mean + deviation * torch.randn(count, 50, generator=g)


def test_noise_to_signal_is_the_closed_form():
    """tr Cov = 50 * 4 and ||mean||^2 = 50 * 0.25, over two parts of 2000 draws: 3 %."""
    parts = [moments(draws(0.5, 2.0, 2000, s)) for s in range(2)]
    found = noise_to_signal(parts, resamples=50)
    assert found[0] == pytest.approx([2 * 200, 2 * 12.5, 16], rel=0.03)
    assert found[1:].std(0).min() > 0


def test_the_squared_mean_is_unbiased():
    """Of 8 draws each; ||mean of draws||^2 itself would be 12.5 + 200 / 8 = 37.5."""
    values = np.array([noise_to_signal([moments(draws(0.5, 2.0, 8, s))], 1)[0] for s in range(300)])
    error = values[:, 1].std() / 300**0.5
    assert abs(values[:, 1].mean() - 12.5) < 4 * error < 4
    assert values[:, 0].mean() == pytest.approx(200, rel=0.02)


def test_intervals_cover():
    """The 95 % interval of tr Cov holds the truth in about 95 of 100 samples (binomial: >= 85)."""
    hits = 0
    for s in range(100):
        trace = noise_to_signal([moments(draws(0.5, 2.0, 64, s))], 200)[1:, 0]
        low, high = np.quantile(trace, (0.025, 0.975))
        hits += low < 200 < high
    assert hits >= 85


def test_paired_differences_are_of_pairs():
    column = np.arange(40.0)
    found = paired(np.column_stack([column, column + 1]), ("a", "b"))
    assert found["difference"]["interval"] == [1.0, 1.0]
    assert found["a"]["interval"][0] < 19.5 < found["a"]["interval"][1]


def test_cells_are_measured_once_and_anew_for_another_teacher(tmp_path):
    count = iter(range(10))
    cells = benchmark_losses.Cells(tmp_path)
    measure = lambda: {"value": next(count)}  # noqa: E731
    assert cells.get(measure, kind="x", a=1)["value"] == 0
    assert cells.get(measure, kind="x", a=1)["value"] == 0
    assert cells.get(measure, kind="x", a=2)["value"] == 1
    again = benchmark_losses.Cells(tmp_path)
    assert again.get(measure, kind="x", a=1)["value"] == 0
    again.teacher = "another"
    assert again.get(measure, kind="x", a=1)["value"] == 2


@pytest.mark.parametrize(
    ("kind", "more", "says"),
    [
        ("variance", ["--estimators", "raw score", "sds", "ssd"], "| raw score | 0.02-0.20 |"),
        ("agreement", [], "| degrees apart | iid noise | consistent noise |"),
        ("cost", ["--losses", "sds", "vsd"], "| vsd | 12 |"),
    ],
)
def test_every_kind_at_its_smallest(tmp_path, capsys, kind, more, says):
    results = tmp_path / "results" / kind
    arguments = [kind, *TINY, *more, "--cache", str(tmp_path / "cache"), "--results", str(results)]
    benchmark_losses.main(benchmark_losses.parse(arguments))
    assert says in capsys.readouterr().out
    first = results.with_suffix(".md").read_text()
    assert first.startswith(f"# Losses: {kind}")
    report = json.loads(results.with_suffix(".json").read_text())
    assert report["teacher"] in first
    benchmark_losses.main(benchmark_losses.parse(arguments))
    assert "done" not in capsys.readouterr().err  # nothing is measured twice
    assert results.with_suffix(".md").read_text() == first


def test_sds_must_be_there(capsys):
    with pytest.raises(SystemExit):
        benchmark_losses.parse(["cost", "--losses", "vsd"])
    assert "must contain sds" in capsys.readouterr().err

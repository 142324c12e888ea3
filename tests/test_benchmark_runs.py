"""The benchmark of whole runs: its verdicts, and run and report at their smallest."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
import benchmark_runs
from claims import Evidence, Results, claims, verdict

from score3d.evaluate import assess
from score3d.evaluate.geometry import Geometry


def test_verdicts_are_of_the_whole_interval():
    def said(interval, more=True, neutral=0.0):
        return Evidence("", sum(interval) / 2, interval, more, neutral).verdict

    assert said((0.1, 0.2)) == "reproduced"
    assert said((-0.2, -0.1)) == "not reproduced"
    assert said((-0.1, 0.2)) == "inconclusive"
    assert said((-0.2, -0.1), more=False) == "reproduced"
    assert said((0.8, 0.9), more=False, neutral=1.0) == "reproduced"
    assert said((0.8, 1.1), more=False, neutral=1.0) == "inconclusive"


def test_a_claim_is_mixed_where_its_evidence_divides():
    yes, no = Evidence("", 1, (0.5, 1.5), True), Evidence("", -1, (-1.5, -0.5), True)
    assert verdict([yes, yes]) == "reproduced"
    assert verdict([yes, no]) == "mixed: 1 reproduced, 1 not reproduced"
    assert verdict([]) == "not measured"


def test_coupled_edits_are_held_against_independent_ones(tmp_path):
    rows = [
        {"kind": kind, "noun of it": "car", "seed": seed, "arm": arm, "spread": spread,
         "noise": 1.0}
        for kind in ("scene", "video") for seed in range(3)
        for arm, spread in (("independent", 0.3 + seed), ("csd", 0.1 + seed))
    ]  # fmt: skip
    lone = rows[0] | {"arm": "csd", "seed": 7}  # without its control
    (tmp_path / "coupling.json").write_text(json.dumps([*rows, lone]))
    scene, video, noise = Results(tmp_path, lambda *a: None).coupling()
    for found in (scene, video):
        assert found.value == pytest.approx(-0.2)
        assert found.verdict == "reproduced"
        assert "3 pairs" in found.text
    assert noise.value == 0
    assert noise.verdict == "inconclusive"


def test_ranked_is_what_is_complete_and_takes_as_long():
    run = {"shape": 0.8, "colour": 0.9, "iou": 0.7}
    runs = {("a", 0): run, ("a", 1): run}
    better = {k: r | {"shape": 1.0} for k, r in runs.items()}
    table = {
        ("sds", "steps"): {"steps": 120, "missing": 0, "runs": runs},
        ("ssd", "steps"): {"steps": 120, "missing": 0, "runs": better},
        ("vsd", "steps"): {"steps": 120, "missing": 0, "runs": better},  # three times as long
        ("vsd", "seconds"): {"steps": 40, "missing": 0, "runs": runs},
        ("csd", "steps"): {"steps": 120, "missing": 1, "runs": better},
        ("upgrad", "steps"): {"steps": 120, "missing": 0, "runs": {("a", 0): run}},  # fewer prompts
    }
    ratios = {"sds": 1.0, "ssd": 1.1, "vsd": 3.0, "csd": 1.0, "upgrad": 1.0}
    found = benchmark_runs.ranking(table, ratios)
    assert [(r["arm"], r["steps"]) for r in found] == [("ssd", 120), ("sds", 120), ("vsd", 40)]
    assert found[0]["score"] == pytest.approx((1.0 + 0.9 + 0.7) / 3)


def test_there_are_eleven_claims_and_each_says_what_is_missing(tmp_path):
    found = claims(Results(tmp_path, lambda *a: None))
    assert len(found) == 11
    assert {verdict(pieces) for _, _, pieces in found} == {"not measured"}


def test_diversity_is_the_mean_cosine_distance():
    x, y = [1.0, 0.0], [0.0, 1.0]
    assert benchmark_runs.diversity([[x, x], [x, x]]) == pytest.approx(0)
    assert benchmark_runs.diversity([[x, x], [x, y]]) == pytest.approx(0.5)
    assert benchmark_runs.diversity([[x], [x], [y]]) == pytest.approx(2 / 3)


def test_differences_are_of_runs_that_both_have():
    row = {"runs": {("a", s): {"iou": s + 1.0} for s in range(3)}}
    control = {"runs": {("a", s): {"iou": float(s)} for s in range(1, 5)}}
    found = benchmark_runs.against(row, control, "iou")
    assert (found["runs"], found["difference"], found["interval"]) == (2, 1.0, [1.0, 1.0])
    assert benchmark_runs.against(row, {"runs": {}}, "iou") is None


def test_run_and_report(tmp_path, monkeypatch, capsys):
    arms = {k: benchmark_runs.ARMS[k] for k in ("sds", "vsd", "vsd, 3 particles")}
    monkeypatch.setattr(benchmark_runs, "ARMS", arms)
    monkeypatch.setattr(  # has its own tests, and takes seconds per noun
        assess, "compare_geometry", lambda splats, noun: Geometry(0.2, 0.8, 0.0)
    )
    common = ["--prompts", "1", "--seeds", "3", "--steps", "6", "--rounds", "1", "--set",
              "scene.count=100", "--set", "views.count=2", "--cache", str(tmp_path)]  # fmt: skip
    results = tmp_path / "found" / "runs"
    benchmark_runs.main(benchmark_runs.parse(["run", *common]))
    made = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("run-*.ply")}
    # 3 seeds of SDS, of VSD under two budgets, and one run of 3 particles
    assert len(made) == 3 + 6 + 3
    benchmark_runs.main(benchmark_runs.parse(["run", *common]))
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("run-*.ply")} == made
    next(tmp_path.glob("run-*.ply")).unlink()
    capsys.readouterr()
    benchmark_runs.main(
        benchmark_runs.parse(
            ["report", *common, "--results", str(results), "--inputs", str(tmp_path)]
        )
    )
    assert "| Annealing t helps |" in capsys.readouterr().out
    report = json.loads(results.with_suffix(".json").read_text())
    assert sum(r["missing"] for r in report["rows"]) == 1
    by = {(r["arm"], r["budget"]): r for r in report["rows"]}
    assert by["vsd", "seconds"]["steps"] == 5 < by["vsd", "steps"]["steps"] == 6
    assert np.isfinite(by["vsd", "steps"]["figures"]["saturation"]["difference"])

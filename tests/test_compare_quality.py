"""Two results of the quality benchmark against each other."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from compare_quality import compare, page


def rows(iou, chamfer):
    return {
        (f"a cube {s}", 0): {"iou": i, "chamfer": c, "right": True}
        for s, (i, c) in enumerate(zip(iou, chamfer, strict=True))
    }


def test_better_is_only_what_the_whole_interval_says():
    first = rows([0.5, 0.6, 0.7], [0.3, 0.3, None])
    second = rows([0.6, 0.7, 0.8], [0.2, 0.4, 0.1])
    found = {r["figure"]: r for r in compare(first, second)}
    assert found["iou"]["difference"] == pytest.approx(0.1)
    assert found["iou"]["better"] == "second"
    assert (found["chamfer"]["runs"], found["chamfer"]["better"]) == (2, "")
    assert found["right"]["difference"] == 0
    assert "colour" not in found
    assert "| iou | 3 | a | b | +0.100 |".replace("| a | b", "| 0.600 | 0.700") in page(
        list(found.values()), ("a", "b"), []
    )


def test_seeds_of_one_prompt_count_as_one():
    gains = [0.1, -0.05, 0.2, 0.04]
    once = (
        {(f"thing {k}", 0): {"iou": 0.5} for k in range(4)},
        {(f"thing {k}", 0): {"iou": 0.5 + g} for k, g in enumerate(gains)},
    )
    often = [{(p, s): r for (p, _), r in rows.items() for s in range(5)} for rows in once]
    (one,), (many,) = compare(*once), compare(*often)
    assert (one["runs"], many["runs"]) == (4, 20)
    assert many["interval"] == pytest.approx(one["interval"])


def test_less_is_better_where_it_is():
    found = compare(rows([0.5] * 3, [0.3] * 3), rows([0.5] * 3, [0.2] * 3))
    assert {r["figure"]: r["better"] for r in found}["chamfer"] == "second"


def test_one_sided_parts_are_counted_where_there_are_some():
    from benchmark_quality import reported

    made = [
        {"shape": 1.0, "one_sided": True, "seconds": 3.0},
        {"shape": 0.5, "one_sided": False, "seconds": 5.0},
        {"shape": 1.0, "one_sided": None, "seconds": 4.0},  # a noun without a front
    ]
    options = SimpleNamespace(preset="standard", overrides=[])
    report = reported(made, "second judge", options)
    assert report["parts of one side there, and on no other (nouns that have some)"] == 0.5
    assert report["how many have some"] == 2
    assert report["shape right in at least 7 of 8 views"] == pytest.approx(2 / 3)
    assert report["median seconds"] == 4.0

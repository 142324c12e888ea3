"""What the benchmarks of the teacher and of generation ask for, and how relations are told."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from benchmark_quality import over_the_vocabulary
from benchmark_relations import placed

from score3d.teachers.embedded import load_world

SIDE = 64


def picture(first: tuple[int, int], second: tuple[int, int]) -> np.ndarray:
    """A red square and a blue one on gray, with their upper left corners there."""
    view = np.full((SIDE, SIDE, 3), 0.6, np.float32)
    for (y, x), colour in ((first, (0.85, 0.1, 0.1)), (second, (0.1, 0.2, 0.8))):
        view[y : y + 16, x : x + 16] = colour
    return view


def test_prompts_are_of_the_vocabulary_and_of_all_of_it():
    world = load_world()
    prompts = over_the_vocabulary(world, len(world.nouns) + 10)
    things = [world.parse(p) for p in prompts]
    assert {t.noun for t in things} == set(world.nouns)
    assert {t.material for t in things} - {None} == set(world.materials) - {"matte"}
    assert any(t.part for t in things)
    assert prompts == over_the_vocabulary(world, len(world.nouns) + 10)


def test_a_relation_is_seen_by_where_the_colours_are():
    above, below = picture((10, 24), (30, 24)), picture((30, 24), (10, 24))
    left, hidden = picture((30, 10), (30, 34)), picture((30, 24), (30, 24))
    on, by = (("cube", "red", r, "cube", "blue") for r in ("on top of", "next to"))
    assert placed(np.stack([above] * 4), on)
    assert placed(np.stack([above] * 3 + [hidden]), on)
    assert not placed(np.stack([above] * 2 + [hidden] * 2), on)
    assert not placed(np.stack([below] * 4), on)
    assert placed(np.stack([left, hidden, left, hidden]), by)
    assert not placed(np.stack([left, left, hidden, hidden]), by)
    assert not placed(np.stack([above] * 4), by)

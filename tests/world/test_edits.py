"""Pairs of renders that differ by one edit, and the words that ask for it."""

import numpy as np
import pytest

from score3d.world import edits
from score3d.world.edits import EDITS, TEMPLATES, instruction, instruction_words, sample_edit

NOUNS = ["mug", "chair", "sphere", "dog"]


def of_kind(kind, monkeypatch, nouns=("mug", "chair"), seed=0):
    monkeypatch.setattr(edits, "EDITS", {kind: 1.0})
    return sample_edit(list(nouns), np.random.default_rng(seed))


def changed(edit):
    """Where any view differs by more than rounding, [4,H,W]."""
    return (np.abs(edit.before.astype(int) - edit.after) > 1).any(-1)


def test_shares_are_shares():
    assert sum(EDITS.values()) == pytest.approx(1)


def test_pairs_are_seeded():
    a, b = (sample_edit(NOUNS, np.random.default_rng(5)) for _ in range(2))
    assert (a.kind, a.noun, a.value) == (b.kind, b.noun, b.value)
    assert np.array_equal(a.before, b.before)
    assert np.array_equal(a.after, b.after)


@pytest.mark.parametrize("kind", list(EDITS))
def test_what_is_not_asked_for_stays(kind, monkeypatch):
    """The background is the same outside light, and something changes."""
    edit = of_kind(kind, monkeypatch)
    assert edit.kind == kind
    assert edit.before.shape == edit.after.shape == (4, 64, 64, 3)
    where = changed(edit)
    assert where.any()
    corners = where[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.all() if kind == "light" else not corners.any()


def test_a_recoloured_thing_keeps_its_outline(monkeypatch):
    """Pixels that change lie on the object: those that are not the background before."""
    for seed in range(3):
        edit = of_kind("colour", monkeypatch, seed=seed)
        for k in range(4):
            thing = (edit.before[k] != edit.before[k][0, 0]).any(-1)
            thing |= (edit.after[k] != edit.after[k][0, 0]).any(-1)
            assert not (changed(edit)[k] & ~thing).any()
            both = (edit.before[k] != edit.before[k][0, 0]).any(-1)
            assert both.sum() > 0.9 * thing.sum()


def test_what_is_removed_uncovers_and_covers_nothing_else(monkeypatch):
    """A mug without its handle shows the background, or the mug, where the handle was; the number
    of the object's pixels does not grow."""
    for seed in range(4):
        edit = of_kind("remove", monkeypatch, ("mug",), seed)
        inside = [(p != p[:, :1, :1]).any(-1) for p in (edit.before, edit.after)]
        assert inside[1].sum() < inside[0].sum()
        assert not (inside[1] & ~inside[0]).any()


def test_adding_is_removing_the_other_way(monkeypatch):
    edit = of_kind("add", monkeypatch, ("dog",))
    inside = [(p != p[:, :1, :1]).any(-1) for p in (edit.before, edit.after)]
    assert inside[1].sum() > inside[0].sum()


@pytest.mark.parametrize("seed", range(6))
def test_sizes_change_as_told(seed, monkeypatch):
    edit = of_kind("size", monkeypatch, ("chair",), seed)
    before, after = ((p != p[:, :1, :1]).any(-1) for p in (edit.before, edit.after))
    if edit.value in ("bigger", "smaller"):
        assert (after.sum() > before.sum()) == (edit.value == "bigger")
    tall = [np.ptp(np.where(m.any((0, 2)))[0]) for m in (before, after)]
    wide = [np.ptp(np.where(m.any((0, 1)))[0]) for m in (before, after)]
    if edit.value == "taller":
        assert tall[1] > tall[0]
    if edit.value == "wider":
        assert wide[1] > wide[0]


def test_night_is_darker_and_bluer(monkeypatch):
    for seed in range(4):
        edit = of_kind("light", monkeypatch, seed=seed)
        day, night = edit.before / 255.0, edit.after / 255.0
        if edit.value == "day":
            day, night = night, day
        assert night.mean() < 0.6 * day.mean()
        ratio = night.mean((0, 1, 2)) / np.maximum(day.mean((0, 1, 2)), 1e-6)
        assert ratio[2] > ratio[0]


def test_instructions_use_known_words_only():
    known, rng = set(instruction_words()), np.random.default_rng(0)
    seen = set()
    for seed in range(150):
        kind = list(EDITS)[seed % len(EDITS)]
        value = {
            "colour": "blue", "material": "wooden", "noun": "red chair", "add": "blue hat",
            "remove": "handle", "part": "blue legs", "size": "bigger", "light": "night",
        }[kind]  # fmt: skip
        text = instruction(kind, "mug", value, rng)
        assert set(text.split()) <= known, text
        seen.add(text)
    assert len(seen) > 40


def test_articles():
    rng = np.random.default_rng(1)
    said = {instruction("part", "chair", "orange legs", rng) for _ in range(60)}
    assert "give it orange legs" in said
    said = {instruction("noun", "mug", "aeroplane", rng) for _ in range(60)}
    assert any("an aeroplane" in s or "a plane" in s for s in said)


def test_templates_are_distinct_ways():
    for forms in TEMPLATES.values():
        assert len(set(forms)) == len(forms)

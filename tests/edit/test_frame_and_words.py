"""Coordinates there and back, and instructions put into words."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from score3d.config import ConfigError, load_config
from score3d.edit.frame import Frame
from score3d.edit.session import planned, suited
from score3d.edit.words import changes, described
from score3d.files.splats import Splats
from score3d.teachers.base import PromptError
from score3d.teachers.embedded import load_world
from tests.edit.conftest import joined, make_ball

WORLD = load_world()


def equal(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Splats))


def test_a_scene_anywhere_comes_to_the_origin_and_back_bit_for_bit():
    far = make_ball(centre=(120.3, -45.7, 7.1), radius=33.3, degree=2)
    frame = Frame.of(far)
    start = frame.into(far)
    assert np.abs(start.means).max() < 0.6
    assert np.linalg.norm(start.means.mean(0)) < 0.1
    assert not equal(start, far)
    assert equal(frame.back(start, start, far), far)


def test_what_moved_comes_back_moved_and_the_rest_untouched():
    far = make_ball(centre=(120.3, -45.7, 7.1), radius=33.3)
    frame = Frame.of(far)
    start = frame.into(far)
    means, scales = start.means.copy(), start.log_scales.copy()
    means[7] += (0.1, 0, 0)
    scales[7] += 0.5
    edited = Splats(means, start.quats, scales, start.logit_opacities, start.sh)
    back = frame.back(edited, start, far)
    others = np.arange(len(far)) != 7
    assert equal(back.select(others), far.select(others))
    # float32 at coordinates around 150
    assert back.means[7] == pytest.approx(far.means[7] + (0.1 / frame.scale, 0, 0), abs=1e-4)
    assert back.log_scales[7] == pytest.approx(far.log_scales[7] + 0.5, abs=1e-5)


def test_a_scene_of_ours_stays_where_it_is():
    assert Frame.of(make_ball(radius=0.5)).is_identity


def test_floaters_do_not_count():
    lost = make_ball(4, (40, 40, 40), 20.0, seed=3)
    frame = Frame.of(joined(make_ball(1000, (3, 0, 0), 2.0), lost))
    assert frame.scale == pytest.approx(0.25, rel=0.1)


def test_one_gaussian_has_a_frame():
    frame = Frame.of(make_ball(1))
    assert np.isfinite(frame.scale)
    assert frame.scale > 0


@pytest.mark.parametrize(
    ("instruction", "source", "goal"),
    [
        ("make it blue", "a red car", "a blue car"),
        ("Paint it shiny blue!", "a red car", "a shiny blue car"),
        ("turn it into a duck", "a red car", "a duck"),
        ("turn the car into a green chair", "a red car", "a green chair"),
        ("make it matte", "a shiny red car", "a red car"),
        ("give it blue legs", "a red chair", "a red chair with blue legs"),
        ("a blue car", "a red car", "a blue car"),
    ],
)
def test_instructions_become_descriptions(instruction, source, goal):
    said = described(instruction, source, WORLD)
    assert WORLD.parse(said) == WORLD.parse(goal)


def test_nothing_is_guessed():
    with pytest.raises(PromptError, match="does not know 'purplish'"):
        described("make it purplish", "a red car", WORLD)
    with pytest.raises(PromptError, match="more than one colour"):
        described("make it red blue", "a red car", WORLD)
    assert described("make it blue", "a red car", None) == "make it blue"


def test_what_is_asked_is_what_differs():
    source, target = WORLD.parse("a red car"), WORLD.parse("a shiny blue car")
    assert changes(source, target) == {"colour": "blue", "material": "shiny"}
    assert changes(source, WORLD.parse("a duck")) == {"noun": "duck"}


@pytest.mark.parametrize(
    ("task", "instruction", "teacher", "found"),
    [
        ("scene", "make it blue", None, ("scene-look", "contrast", "embedded")),
        ("scene", "make it striped", None, ("scene-look", "instruct", "embedded-instruct")),
        ("scene", "make it striped", "embedded", ("scene-look", "contrast", "embedded")),
        ("scene", "make it blue", "embedded-instruct", ("scene", "instruct", "embedded-instruct")),
        ("scene", "give it blue wheels", None, ("scene-look", "contrast", "embedded")),
        ("scene", "turn it into a red duck", None, ("scene-swap", "sds", "embedded")),
        ("scene", "", None, ("scene", "contrast", "embedded")),
        ("image", "turn it into a red duck", None, ("image", "csd-contrast", "embedded")),
        ("image", "make it blue", "embedded-instruct", ("image", "csd-edit", "embedded-instruct")),
    ],
)
def test_settings_suit_the_words(task, instruction, teacher, found):
    usual = suited(task, instruction, "a red car", teacher, "cpu")
    assert (Path(usual.file).stem, usual.method, usual.teacher) == found
    load_config(usual.file, usual.method)


def test_the_guide_of_an_edit_is_its_methods_own():
    """A pair of descriptions replaces the picture that only instruct teachers are shown."""
    words = {"edit": {"task": "scene", "instruction": "make it blue", "source": "a red car"}}
    for method, guide in (("contrast", "source-negative"), ("csd-edit", "classifier-free")):
        assert planned(load_config(None, method, None, words)).distill.guide == guide
    nothing = {"edit": {"task": "scene", "instruction": "a blue car"}}
    with pytest.raises(ConfigError, match="needs what is there now in words"):
        planned(load_config(None, "contrast", None, nothing))

"""Regions in words: what they may be, what is asked, and which Gaussians are found."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from score3d.cli.main import app
from score3d.config import ConfigError, load_config
from score3d.edit.frame import Frame
from score3d.edit.lifting import lift
from score3d.edit.region import parse_region, select
from score3d.edit.session import open_session
from score3d.edit.word_region import (
    COLOURS,
    RING,
    check_region,
    find_part,
    part_views,
    questions,
    select_words,
)
from score3d.files.ply import read_ply, write_ply
from score3d.files.splats import Splats
from score3d.prompts import PromptBook
from score3d.schedule import NoiseSchedule
from score3d.teachers.base import PromptError
from score3d.teachers.embedded import load_world
from tests.edit.conftest import joined, make_ball

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("the roof", "roof"),
        ("  The  ROOF ", "roof"),
        ("a left wing", "left wing"),
        ("thermometer", "thermometer"),  # no article
        ("Türgriff", "türgriff"),
    ],
)
def test_words_are_what_has_no_kind(region, words):
    assert parse_region(region) == ("words", words)


@pytest.mark.parametrize("region", ["the", "roof 2", "roof:1", "ball:0,0,0,1", "1,2,3", "", ":"])
def test_what_is_neither_is_one_line(region):
    with pytest.raises(ConfigError, match=r"expected box:.* or words like 'the roof'"):
        parse_region(region)


def test_known_kinds_stay_what_they_were():
    assert parse_region("sphere:0,0,0,1") == ("sphere", [0, 0, 0, 1])
    assert parse_region("mask:the roof") == ("mask", "the roof")
    with pytest.raises(ConfigError, match="words are for `score3d edit scene`"):
        select(make_ball(), Frame(), "the roof")


def test_the_embedded_teacher_is_asked_in_its_own_phrases():
    world = load_world()
    there, asked = questions("roof", "a photo of a red house", world)
    assert there == "a red house"
    assert asked == [f"a red house with {c} roof" for c in ("blue", "green", "yellow")]
    # synonyms and number, and a part whose colour is known
    there, asked = questions("leg", "a chair with green legs", world)
    assert there == "a chair with green legs"
    assert asked[1] == "a chair with yellow legs"
    # the teacher takes a material or a second colour
    assert questions("roof", "a shiny blue house", world)[0] == "a blue house"
    for prompt in asked:
        assert world.parse(prompt).phrase() == prompt


def test_other_teachers_are_asked_too():
    assert questions("door", "a red house") == (
        "a red house",
        [f"a red house, {c} door" for c in ("blue", "green", "yellow")],
    )
    first, asked = questions("door", "", told=True)
    assert [first, *asked] == [f"make the door {c}" for c in COLOURS[:4]]


@pytest.mark.parametrize(
    ("part", "source", "kind", "says"),
    [
        ("door", "a red house", ConfigError, "the roof of a house and no other part; box:"),
        ("roof", "a red cube", ConfigError, "no part of a cube; box:, sphere: and mask: work"),
        ("roof", " ", ConfigError, "--source"),
        ("roof", "a red gazebo", PromptError, "does not know 'gazebo'"),
    ],
)
def test_what_the_embedded_teacher_cannot_find(part, source, kind, says):
    edit = {"region": f"the {part}", "source": source}
    for name in ("embedded", "embedded-instruct"):
        config = load_config(None, None, None, {"edit": edit, "teacher": {"name": name}})
        with pytest.raises(kind, match=says) as error:
            check_region(config)
        assert "\n" not in str(error.value)


def test_an_unknown_part_is_one_line_and_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_ply(tmp_path / "a.ply", make_ball(20))
    result = CliRunner().invoke(
        app, ["edit", "scene", "a.ply", "make it blue", "--source", "a red house", "--region",
              "the door", "--out", "run", "-q"],
    )  # fmt: skip
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1
    assert "the roof of a house" in lines[0]
    assert not (tmp_path / "run").exists()


class BlueTeacher:
    """Predicts noise that depends on the prompt where the picture is blue, and nowhere else."""

    view_style = "none"
    capabilities: frozenset[str] = frozenset()
    latent_shape, resolution = (3, 32, 32), 32

    def __init__(self, size: float = 1.0) -> None:
        self.schedule, self.size = NoiseSchedule.scaled_linear(), size

    def embed(self, prompts):
        return torch.tensor([[[float(len(p))]] for p in prompts])

    def encode(self, rgb):
        assert rgb.shape == (RING, 3, 32, 32)
        self.area = (rgb[:, 2:] - rgb[:, :1] > 0.3).float()
        return rgb

    def eps(self, z_t, t, emb, image=None, camera=None):
        return z_t + self.size * emb.view(-1, 1, 1, 1) * self.area


def asked(teacher, splats):
    books = [PromptBook(teacher, p) for p in ("two balls", "two balls, a", "two balls, abc")]
    return find_part(splats, teacher, books[0], books[1:], 40.0, 0)


def test_gaussians_of_the_area_in_which_predictions_differ_are_found(pair):
    splats, labels = pair
    masks = asked(BlueTeacher(), splats)
    assert masks.shape == (16, 32, 32)
    found = lift(splats, part_views(40.0, 32), masks).labels
    assert (found == labels).mean() > 0.98


def test_no_disagreement_is_no_part(pair):
    assert not asked(BlueTeacher(0.0), pair[0]).any()
    nothing = replace_opacity(pair[0], -20.0)
    assert not asked(BlueTeacher(), nothing).any()


def replace_opacity(splats, logit):
    return replace(splats, logit_opacities=np.full_like(splats.logit_opacities, logit))


def test_a_part_that_no_gaussian_is_is_one_line(ball):
    """A red ball shows the fake teacher nothing blue."""
    options = {"run": {"device": "cpu", "prompt": "a blue house"},
               "edit": {"region": "the roof", "source": "a red sphere"}}  # fmt: skip
    config = load_config(None, None, None, options)
    session = replace(open_session(config, angles=True), teacher=BlueTeacher())
    with pytest.raises(ConfigError, match="'the roof' selects nothing; centres lie in"):
        select_words(config, ball, Frame.of(ball), session)


def test_outside_of_words_every_bit_stays(tmp_path, monkeypatch):
    """A mushroom of two balls, far from the origin: its stem may change, its cap not."""
    monkeypatch.chdir(tmp_path)
    cap = make_ball(400, (20, 1.2, 0), 2.2)
    stem = make_ball(300, (20, -2.0, 0), 1.1, (0.9, 0.85, 0.7), 1)
    whole = joined(cap, stem)
    labels = np.repeat([0, 1], [400, 300])
    write_ply(tmp_path / "a.ply", whole)
    result = CliRunner().invoke(
        app, ["edit", "scene", "a.ply", "make it blue", "--source", "a red mushroom", "--region",
              "the stem", "--out", "run", "--steps", "6", "--device", "cpu", "-q",
              "--set", "output.turntable_views=1", "--set", "output.picture_size=32"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    before, after = read_ply(tmp_path / "a.ply"), read_ply(tmp_path / "run" / "scene.ply")
    changed = (before.sh != after.sh).any((1, 2))
    assert 0 < changed.sum() < len(whole)
    assert (changed == labels).mean() > 0.8
    still = ~changed
    for field in fields(Splats):
        a, b = (getattr(s, field.name)[still] for s in (before, after))
        assert np.array_equal(a, b)
    # the same words find the same Gaussians again
    config = load_config(str(tmp_path / "run" / "config.toml"))
    chosen = select_words(config, before, Frame.of(before), open_session(config, angles=True))
    assert not changed[~chosen.selected].any()
    assert "are the stem" in chosen.note
    # the twin that takes instructions leaves it to the embedded teacher
    teacher = config.teacher.model_copy(update={"name": "embedded-instruct"})
    twin = config.model_copy(update={"teacher": teacher})
    again = select_words(twin, before, Frame.of(before), open_session(twin, angles=True))
    assert np.array_equal(again.selected, chosen.selected)

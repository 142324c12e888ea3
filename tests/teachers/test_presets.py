"""Settings that come with a teacher, growing pictures, rings of views, and plug-in teachers."""

import sys

import pytest
import torch

from score3d import build
from score3d.config import ConfigError, load_config, preset_names
from score3d.draw import DrawSpec, draw_at
from score3d.resources import resource
from score3d.teachers.aliases import ALIASES

NAMES = sorted(p.stem for p in resource("configs", "teachers").glob("*.toml"))


def test_every_alias_has_settings():
    assert set(NAMES) == set(ALIASES)


@pytest.mark.parametrize("scale", preset_names())
@pytest.mark.parametrize("name", NAMES)
def test_settings_load_and_the_user_has_the_last_word(name, scale):
    config = load_config(scale, None, [], {"teacher": {"name": name}})
    assert config.teacher.name == name
    assert config.run.steps > 300  # more than the embedded teacher's
    build.validate(config, source=name == "ip2p")
    options = {"teacher": {"name": name}, "run": {"steps": 7}}
    mine = load_config(scale, "csd", ["distill.guidance=3"], options)
    assert (mine.run.steps, mine.distill.guidance, mine.distill.couple) == (7, 3.0, "svgd")


def test_scales_differ_and_other_teachers_are_not_touched():
    steps = [
        load_config(s, None, [], {"teacher": {"name": "sd15"}}).run.steps
        for s in ("draft", "standard", "high")
    ]
    assert steps == [500, 5000, 15000]
    for name in ("embedded", "some/model", "../configs", "sd15/../sd15"):
        assert load_config("draft", None, [], {"teacher": {"name": name}}).run.steps == 120


def test_a_resumed_run_keeps_what_was_resolved(tmp_path):
    from score3d.config import to_toml

    config = load_config("draft", None, ["run.steps=9"], {"teacher": {"name": "mvdream"}})
    (tmp_path / "config.toml").write_text(to_toml(config))
    assert load_config(str(tmp_path / "config.toml")) == config


SPEC = DrawSpec(0, 100, 8, 1, (4, 8, 8), 64, growth=((0.5, 256), (0.2, 128)))


def test_pictures_grow_with_the_run():
    sides = {step: draw_at(SPEC, step).views.width for step in (0, 19, 20, 49, 50, 99)}
    assert sides == {0: 64, 19: 64, 20: 128, 49: 128, 50: 256, 99: 256}
    small, large = draw_at(SPEC, 0).views, draw_at(SPEC, 99).views
    assert torch.allclose(large.Ks[:, 0, 0], small.Ks[:, 0, 0] * 4)  # the same field of view


def test_rings_keep_the_noise():
    from dataclasses import replace

    a, b = draw_at(SPEC, 3), draw_at(replace(SPEC, ring=4), 3)
    assert torch.equal(a.noise, b.noise)
    assert len(set(b.t.tolist())) == 2
    assert len(set(a.views.elevation.tolist())) == 8


def test_rings_are_even_and_level():
    from dataclasses import replace

    views = draw_at(replace(SPEC, ring=4), 3).views
    for ring in (views[0:4], views[4:8]):
        gaps = (ring.azimuth - ring.azimuth[0]) % 360
        assert torch.allclose(gaps, torch.tensor([0.0, 90.0, 180.0, 270.0]), atol=1e-3)
        assert len(set(ring.elevation.tolist())) == 1
        assert torch.allclose(ring.viewmats[:, 2, 3], ring.viewmats[0, 2, 3].expand(4))
    assert views.elevation[0] != views.elevation[4]


def test_a_multi_view_teacher_gets_rings_and_one_time(checkpoints):
    options = {"teacher": {"name": str(checkpoints("multi-view").folder)}}
    config = load_config("draft", None, ["teacher.cache_prompts=false"], options)
    teacher = build.build_teacher(config, torch.device("cpu"))
    spec = build.build_spec(config, teacher)
    assert spec.ring == 4
    times = draw_at(spec, 0).t.view(-1, 4)
    assert (times == times[:, :1]).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["views.count=6", "views.ring=4"], "multiple of ring"),
        (["views.growth=[[2.0, 64]]"], "growth is pairs"),
        (["teacher.dtype=float8"], "teacher.dtype"),
        (["teacher.revison=x"], "did you mean 'revision'"),
    ],
)
def test_mistakes_are_one_line(settings, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(None, None, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [("ip2p", [], "edits pictures"), ("multi-view", ["views.count=6"], "4 views at once")],
)
def test_generate_refuses_what_cannot_work(
    checkpoints, tmp_path, monkeypatch, kind, settings, says
):
    from typer.testing import CliRunner

    from score3d.cli.main import app

    monkeypatch.chdir(tmp_path)
    arguments = ["generate", "a cube", "--teacher", str(checkpoints(kind).folder)]
    arguments += [a for s in settings for a in ("--set", s)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert not (tmp_path / "runs").exists()


def test_the_list_names_ids_and_licences(checkpoints):
    from typer.testing import CliRunner

    from score3d.cli.main import app

    out = CliRunner().invoke(app, ["teachers"]).output
    for name, alias in ALIASES.items():
        assert name in out
        assert alias.licence in out
        assert all(repo in out for repo in alias.ids)
    one = CliRunner().invoke(app, ["teachers", "mvdream"]).output
    assert "OpenRAIL" in one
    assert "guidance = 50.0" in one
    folder = CliRunner().invoke(app, ["teachers", str(checkpoints("sdxl").folder)]).output
    assert "StableDiffusionXLTeacher; its files are whole" in folder
    assert "about" in folder


PLUGIN = """
from pathlib import Path
from score3d.teachers.checkpoint import Checkpoint
from score3d.teachers.flow_matching import FlowMatchingTeacher

def make(device):
    return FlowMatchingTeacher(Checkpoint(Path({folder!r})), device)
"""


def test_a_plug_in_teacher_is_found_by_its_entry_point(checkpoints, tmp_path, monkeypatch):
    """A package outside this repository, as pip would install it."""
    (tmp_path / "my_teachers.py").write_text(PLUGIN.format(folder=str(checkpoints("flow").folder)))
    info = tmp_path / "my_teachers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-teachers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[score3d.teachers]\nmy-flow = my_teachers:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("my_teachers", None)
    config = load_config(None, None, [], {"teacher": {"name": "my-flow"}})
    build.validate(config)
    teacher = build.build_teacher(config, torch.device("cpu"))
    assert teacher.prediction_type == "flow"
    with pytest.raises(ConfigError, match="my-flow"):
        build.validate(load_config(None, None, [], {"teacher": {"name": "myflow"}}))


def test_the_embedded_teacher_lists_all_its_words():
    import json

    from typer.testing import CliRunner

    from score3d.cli.main import app
    from score3d.teachers.embedded import load_world

    world = load_world()
    said = CliRunner().invoke(app, ["teachers", "embedded"]).output
    words = [*world.nouns, *world.colours, *world.materials, *world.relations, *world.synonyms]
    assert all(word in said for word in (*words, *world.second_parts.values(), *world.phrases))
    given = json.loads(CliRunner().invoke(app, ["teachers", "embedded", "--json"]).output)
    assert given["materials"] == world.materials
    assert given["relations"] == world.relations

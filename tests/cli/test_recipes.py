"""Recipes: what ships runs, stages hand over, each resumes on its own, bad ones are one line."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from score3d.cli.main import app
from score3d.config import ConfigError, load_config
from score3d.files.grid_field import GridField
from score3d.files.ply import read_ply
from score3d.files.tetrahedra import TetrahedralField
from score3d.recipes import load_recipe, recipe_names

QUICK = [
    "views.count=2", "output.turntable_views=2", "output.picture_size=48",
    "output.mesh_resolution=16", "scene.adapt_start=1", "scene.adapt_every=2",
]  # fmt: skip


def call(*words):
    result = CliRunner().invoke(app, ["generate", *map(str, words)])
    return result.exit_code, result.output


def settings(*more):
    return [w for text in (*QUICK, *more) for w in ("--set", text)]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_runs_and_its_stages_hand_over(tmp_path, name):
    out = tmp_path / "run"
    code, text = call("a red mushroom", "--recipe", name, "--out", out, "--preset", "draft",
                      "--json", *settings("run.steps=2", "scene.count=150"))  # fmt: skip
    assert code == 0, text
    stages = load_recipe(name).stages
    summaries = json.loads(text[text.index("{") :])["stages"]
    assert [s["status"] for s in summaries] == ["complete"] * len(stages)
    for stage in stages:
        folder = out / stage.name
        for file in ("scene.ply", "contact_sheet.png", "report.html", "config.toml"):
            assert (folder / file).is_file()
        config = load_config(str(folder / "config.toml"))
        own = {"gsgen": "prior"}.get(name, "")
        assert config.scene.start == (str(out / stage.start) if stage.start else own)
    if name == "prolificdreamer":
        a, b = (TetrahedralField.load(out / n / "tetrahedra.npz") for n in ("geometry", "texture"))
        assert (a.distance < 0).sum() > 500
        np.testing.assert_array_equal(a.distance, b.distance)
        # an offset goes through a tanh and back
        np.testing.assert_allclose(a.offset, b.offset, atol=1e-8)
        assert np.abs(a.colours.raw_colour - b.colours.raw_colour).max() > 0.01
    code, text = call("a red mushroom", "--recipe", name, "--out", out)
    assert code == 2
    assert "--resume" in text


def test_colours_alone_move_in_the_texture_stage(tmp_path):
    out = tmp_path / "run"
    code, text = call("a red mushroom", "--recipe", "dreamgaussian", "--out", out, "--quiet",
                      *settings("run.steps=3", "scene.count=100", "scene.cap=100",
                                "scene.final_prune=0"))  # fmt: skip
    assert code == 0, text
    a, b = (read_ply(out / name / "scene.ply") for name in ("draft", "texture"))
    np.testing.assert_allclose(a.means, b.means, atol=1e-6)
    np.testing.assert_allclose(a.log_scales, b.log_scales, atol=1e-6)
    assert np.abs(a.sh - b.sh).max() > 1e-3


def test_a_finer_field_begins_with_the_coarse_one(tmp_path):
    out = tmp_path / "run"
    code, text = call("a red mushroom", "--recipe", "magic3d", "--out", out, "--quiet",
                      *settings("run.steps=1", "nerf.lr_density=1e-9",
                                "nerf.lr_color=1e-9"))  # fmt: skip
    assert code == 0, text
    coarse, fine = (GridField.load(out / n / "field.npz") for n in ("coarse", "fine"))
    assert (len(coarse.raw), len(fine.raw)) == (33, 97)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 3))
    # resampled between corners (softplus is not linear), then stored in half precision
    np.testing.assert_allclose(fine.density(points), coarse.density(points), atol=0.3, rtol=0.05)
    np.testing.assert_allclose(
        fine.nearest_colour(points), coarse.nearest_colour(points), atol=0.01
    )


def test_a_stopped_recipe_goes_on_where_it_was(tmp_path, monkeypatch):
    """Stopped in its first stage by the clock, it continues bit for bit and runs the second."""
    words = ["a red mushroom", "--recipe", "gsgen", "--quiet",
             *settings("run.steps=4", "scene.count=80")]  # fmt: skip
    code, text = call(*words, "--out", tmp_path / "whole")
    assert code == 0, text
    code, text = call(*words, "--out", tmp_path / "parts", "--max-minutes", "1e-9")
    assert code == 0, text
    parts = tmp_path / "parts"
    assert json.loads((parts / "geometry" / "summary.json").read_text())["status"] == "time limit"
    assert not (parts / "appearance").exists()
    code, text = call("--resume", parts, "--quiet")
    assert code == 0, text
    for name in ("geometry/scene.ply", "appearance/scene.ply", "appearance/metrics.jsonl"):
        assert (parts / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    before = (parts / "appearance" / "summary.json").read_bytes()
    code, text = call("--resume", parts, "--quiet")  # nothing left to do
    assert code == 0
    assert (parts / "appearance" / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"at least one \[\[stage\]\]"),
        ("stages = 1", "unknown key 'stages'"),
        ("[[stage]]\nname = '../up'", "letters, digits and dashes"),
        ("[[stage]]\nname = 'a'\nstart = 'b'", "starts from 'b'"),
        ("[[stage]]\nname = 'a'\n[[stage]]\nname = 'a'", "already"),
        ("[[stage]]\nname = 'a'\nshare = 0", "positive"),
        ("[[stage]]\nname = 'a'\nsteps = 3", "unknown key 'steps'"),
        ("[[stage]]\nname = 3", "text"),
    ],
)
def test_wrong_recipes_are_one_line(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        load_recipe(str(path))
    assert "\n" not in str(raised.value)


def test_unknown_names_and_settings(tmp_path):
    code, text = call("a red mushroom", "--recipe", "gsgem", "--out", tmp_path / "x")
    assert code == 2
    assert "did you mean 'gsgen'" in text
    path = tmp_path / "mine.toml"
    path.write_text("[[stage]]\nname = 'a'\n[stage.scene]\ncuont = 3\n")
    code, text = call("a red mushroom", "--recipe", path, "--out", tmp_path / "x")
    assert code == 2
    assert "cuont" in text
    code, text = call("a red mushroom", "--recipe", "gsgen", "--loss", "vsd")
    assert code == 2
    assert not (tmp_path / "x").exists()


def test_a_start_that_is_not_there(tmp_path):
    code, text = call("a red mushroom", "--out", tmp_path / "x", "--quiet",
                      "--set", f"scene.start={tmp_path}/none.ply")  # fmt: skip
    assert code in (1, 2)
    assert "none.ply" in text
    assert "Traceback" not in text

"""`score3d edit` in this process: input that cannot be edited, previews, and going on."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from score3d.cli.main import app
from score3d.files.ply import read_ply, write_ply
from score3d.files.splats import Splats
from tests.edit.conftest import make_ball
from tests.edit.test_video import filmed

RED = ("--source", "a red cube", "-q")


def edit(*arguments):
    return CliRunner().invoke(app, ["edit", *map(str, arguments)])


def refused(*arguments):
    """The one line that says why."""
    result = edit(*arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_no_such_column(tmp_path):
    write_ply(tmp_path / "whole.ply", make_ball(10))
    data = (tmp_path / "whole.ply").read_bytes()
    (tmp_path / "a.ply").write_bytes(data.replace(b"float opacity", b"float opacitx"))
    said = refused("scene", "a.ply", "a blue cube", *RED)
    assert "a.ply" in said
    assert "opacity" in said


def test_zero_gaussians(tmp_path):
    write_ply(tmp_path / "a.ply", make_ball(10).select(np.zeros(10, bool)))
    assert "a.ply: no Gaussians to edit" in refused("scene", "a.ply", "a blue cube", *RED)


def with_nan(splats, rows):
    means = splats.means.copy()
    means[rows] = np.nan
    return Splats(means, splats.quats, splats.log_scales, splats.logit_opacities, splats.sh)


def test_rows_of_nan_are_dropped_and_counted(tmp_path):
    ball = make_ball(60)
    write_ply(tmp_path / "a.ply", with_nan(ball, slice(0, 7)))
    found = edit(
        "scene", "a.ply", "a blue cube", *RED, "--out", "run", "--steps", 5,
        "--set", "output.turntable_views=1", "--set", "output.picture_size=32",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert len(read_ply(tmp_path / "run" / "scene.ply")) == 53
    notes = json.loads((tmp_path / "run" / "summary.json").read_text())["notes"]
    assert any("7 Gaussians that are not finite were dropped" in n for n in notes)
    assert len(read_ply(tmp_path / "a.ply")) == 60


def test_nothing_but_rows_of_nan(tmp_path):
    write_ply(tmp_path / "a.ply", with_nan(make_ball(5), slice(None)))
    assert "no Gaussians to edit" in refused("scene", "a.ply", "a blue cube", *RED)


def test_a_corrupt_video(tmp_path):
    whole = filmed(tmp_path / "whole.mp4", 4).read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    assert "a.mp4" in refused("video", "a.mp4", "a blue cube", *RED)


def test_a_video_of_one_frame(tmp_path):
    filmed(tmp_path / "a.mp4", 1, sound=False)
    assert "1 frame; use `score3d edit image`" in refused("video", "a.mp4", "a blue cube", *RED)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_an_image_where_a_video_is_expected(tmp_path, name):
    Image.new("RGB", (32, 32), "red").save(tmp_path / name)
    assert "score3d edit image" in refused("video", name, "a blue cube", *RED)


def test_a_region_that_selects_nothing(tmp_path):
    write_ply(tmp_path / "a.ply", make_ball(10))
    said = refused("scene", "a.ply", "a blue cube", *RED, "--region", "sphere:9,9,9,1")
    assert "selects nothing; centres lie in" in said


def test_a_preview_is_one_view_before_and_after(tmp_path):
    write_ply(tmp_path / "a.ply", make_ball(80))
    arguments = ("scene", "a.ply", "a blue sphere", "--source", "a red sphere", "--steps", 6,
                 "--preview")  # fmt: skip
    found = edit(*arguments, "look.png")
    assert found.exit_code == 0, found.output
    shown = np.asarray(Image.open(tmp_path / "look.png"), int)
    assert shown.shape == (64, 128, 3)
    before, after = shown[:, :64], shown[:, 64:]
    ball = before[..., 0] > before[..., 1] + 60
    assert 0.1 < ball.mean() < 0.6
    assert np.abs(before - after)[ball].mean() > 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ply", "look.png"]  # and no run
    assert "exists; use --overwrite" in refused(*arguments, "look.png")
    assert "a preview is a .png" in refused(*arguments, "look.jpg")


def test_a_film_goes_on(tmp_path):
    filmed(tmp_path / "a.mp4", 8, sound=False)
    done = edit("video", "a.mp4", "a blue cube", *RED, "--out", "run", "--steps", 5)
    assert done.exit_code == 0, done.output
    again = edit("video", "--resume", "run", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["status"] == "complete"
    assert "with its own settings" in refused("video", "a.mp4", "--resume", "run")
    assert "not an edit of video kind" not in again.output
    assert "not an edit of a scene" in refused("scene", "--resume", "run")


def test_edits_of_pictures_chain(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)).save("a.png")
    for source, goal, out in (("a.png", "blue", "first"), ("first", "green", "second")):
        words = f"a {'red' if out == 'first' else 'blue'} cube"
        done = edit("image", source, f"a {goal} cube", "--source", words, "--out", out, "-q",
                    "--steps", 5)  # fmt: skip
        assert done.exit_code == 0, done.output
    parent = json.loads((tmp_path / "second" / "summary.json").read_text())["edit"]["parent"]
    assert parent["prompt"] == "a blue cube"
    assert parent["parent"]["path"] == str((tmp_path / "a.png").resolve())

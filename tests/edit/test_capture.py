"""Edits with the cameras of a capture."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from score3d import build
from score3d.cameras import orbit
from score3d.cli.main import app
from score3d.config import ConfigError, edit_preset, load_config
from score3d.draw import DrawSpec, draw_at
from score3d.edit.capture import captured, one_by_one, sees
from score3d.edit.frame import Frame
from score3d.edit.scene import edit_scene
from score3d.edit.session import planned
from score3d.files.ply import read_ply, write_ply
from score3d.files.transforms import Shots, write_transforms
from score3d.runs.checkpoint import load_checkpoint
from score3d.runs.folder import RunFolder
from score3d.scenes.gaussians import GaussianScene
from tests.edit.conftest import make_ball

CENTRE, RADIUS = (50.0, 3.0, -9.0), 7.0
WIDTH, HEIGHT = 120, 80
SPEC = DrawSpec(seed=3, steps=100, views=4, noises=2, latent_shape=(3, 8, 8), resolution=16)
SHORT = ("--set", "output.turntable_views=1", "--set", "output.picture_size=32", "-q")


def ball_far_away(count=120):
    return make_ball(count, CENTRE, RADIUS)


def shots_around(count=6, blind=0, mirror=False):
    """Cameras that look at the ball from 25 units away, and some that look past it; the principal
    point is off the middle. mirror: the whole capture half a turn about x away."""
    azimuth = torch.arange(count + blind) * 40.0 + 10
    elevation = torch.linspace(-20, 60, count + blind)
    cameras = orbit(azimuth, elevation, 25.0, 50.0, WIDTH, HEIGHT)
    viewmats, Ks = cameras.viewmats.double().numpy(), cameras.Ks.double().numpy()
    viewmats[:, :3, 3] -= viewmats[:, :3, :3] @ np.array(CENTRE)
    viewmats[count:, 2, 3] -= 60  # the ball is behind these
    if mirror:
        viewmats = viewmats @ np.diag([1.0, -1, -1, 1])
    Ks[:, 0, 2] += 5
    Ks[:, 1, 2] -= 3
    Ks[:, 0, 0] *= 1.1
    names = [f"{k}.png" for k in range(count + blind)]
    return Shots(viewmats, Ks, WIDTH, HEIGHT, names, [""] * len(names)), azimuth, elevation


def capture_of(tmp_path, side=16, **options):
    shots, azimuth, elevation = shots_around(**options)
    write_transforms(tmp_path / "transforms.json", shots)
    splats = ball_far_away()
    frame = Frame.of(splats)
    found = captured(tmp_path / "transforms.json", frame, frame.into(splats), side)
    return found, shots, frame, azimuth, elevation


def places(views, cameras):
    """Which of `cameras` each of `views` is; -1 for none."""
    same = (views.viewmats[:, None] == cameras.viewmats[None]).flatten(2).all(2)
    return [int(row.nonzero()[0, 0]) if row.any() else -1 for row in same]


def test_points_land_on_the_right_pixel(tmp_path):
    """Against the picture's own projection, then the crop and the scaling written out."""
    found, shots, frame, _, _ = capture_of(tmp_path, side=32)
    points = np.array(CENTRE) + np.random.default_rng(0).uniform(-4, 4, (30, 3))
    inside = (points - frame.centre) * frame.scale
    draw = draw_at(replace(SPEC, cameras=found.cameras, resolution=24), 0)
    assert (draw.views.width, draw.views.height) == (24, 24)
    for cameras, side in ((found.cameras, 32), (draw.views, 24)):
        which = places(cameras, found.cameras)
        for viewmat, K, k in zip(cameras.viewmats, cameras.Ks, which, strict=True):
            theirs = points @ shots.viewmats[k][:3, :3].T + shots.viewmats[k][:3, 3]
            theirs = theirs @ shots.Ks[k].T
            pixel = theirs[:, :2] / theirs[:, 2:]
            expected = (pixel - [(WIDTH - HEIGHT) / 2, 0]) * side / HEIGHT
            ours = (inside @ viewmat[:3, :3].numpy().T + viewmat[:3, 3].numpy()) @ K.numpy().T
            np.testing.assert_allclose(ours[:, :2] / ours[:, 2:], expected, atol=2e-3)


def test_angles_are_those_of_the_place(tmp_path):
    found, _, _, azimuth, elevation = capture_of(tmp_path)
    np.testing.assert_allclose(found.cameras.azimuth, azimuth, atol=3)  # the centre of what is seen
    np.testing.assert_allclose(found.cameras.elevation, elevation, atol=3)
    assert found.notes == ()


def test_draws_are_of_the_capture_and_depend_on_seed_and_step_alone(tmp_path):
    cameras = capture_of(tmp_path, count=6)[0].cameras
    spec = replace(SPEC, cameras=cameras)
    seen = []
    for step in range(30):
        torch.manual_seed(step)
        draw, again = draw_at(spec, step), draw_at(spec, step)
        which = places(draw.views, cameras)
        assert len(set(which) - {-1}) == 4  # each of the capture, none twice
        assert which == places(again.views, cameras)
        assert torch.equal(draw.views.azimuth, cameras.azimuth[which])
        assert torch.equal(draw.views.elevation, cameras.elevation[which])
        seen.append(tuple(which))
        usual = draw_at(SPEC, step)  # all else is as without a capture
        for name in ("background", "t", "noise"):
            assert torch.equal(getattr(draw, name), getattr(usual, name))
    assert {k for which in seen for k in which} == set(range(6))
    assert len(set(seen)) > 25
    other = [tuple(places(draw_at(replace(spec, seed=9), s).views, cameras)) for s in range(30)]
    assert other != seen


def test_too_few_cameras_are_used_equally_often(tmp_path):
    cameras = capture_of(tmp_path, count=3)[0].cameras
    which = places(draw_at(replace(SPEC, cameras=cameras, views=7), 5).views, cameras)
    assert sorted(np.bincount(which)) == [2, 2, 3]


def test_pictures_that_grow(tmp_path):
    cameras = capture_of(tmp_path, side=16)[0].cameras
    before = cameras.Ks.clone()
    spec = replace(SPEC, cameras=cameras, growth=((0.5, 48),))
    draw = draw_at(spec, 60)
    assert draw.views.width == 48
    which = places(draw.views, cameras)
    assert torch.equal(draw.views.Ks[:, :2], 3 * cameras.Ks[which][:, :2])
    assert torch.equal(cameras.Ks, before)


def test_cameras_that_see_nothing_are_left_out(tmp_path):
    found, shots, frame, _, _ = capture_of(tmp_path, count=4, blind=2)
    assert len(found.cameras) == 4
    assert "2 of 6 cameras see nothing of the scene and are left out" in found.notes[0]
    write_transforms(tmp_path / "transforms.json", shots.where([4, 5]))
    start = frame.into(ball_far_away())
    with pytest.raises(ConfigError, match="none of its 2 cameras has a Gaussian") as caught:
        captured(tmp_path, frame, start, 16)
    assert "\n" not in str(caught.value)


def test_a_centre_must_be_in_the_square():
    """One Gaussian in the picture's plane, on either side of each edge."""
    camera = orbit(torch.zeros(1), torch.zeros(1), 2.0, 40.0, 16, 16)
    edge = 2 * np.tan(np.radians(20))
    ball = make_ball(1)
    for axis in (0, 1):
        for sign in (-1, 1):
            for share, expected in ((0.99, True), (1.01, False)):
                means = np.zeros((1, 3))
                means[0, axis] = sign * share * edge
                assert sees(camera, replace(ball, means=means)).tolist() == [expected]
    assert not sees(camera, replace(ball, means=np.array([[0, 0, 2.5]]))).any()  # behind


def test_a_capture_that_does_not_stand_upright_is_said(tmp_path):
    splats = ball_far_away()
    turned = replace(splats, means=splats.means * np.array([1, -1, -1], np.float32))
    write_transforms(tmp_path / "transforms.json", shots_around(mirror=True)[0])
    frame = Frame.of(turned)
    found = captured(tmp_path, frame, frame.into(turned), 16)
    assert "up in its pictures is not the scene's +y" in found.notes[0]


def settings(path, *more, method="contrast"):
    words = {"instruction": "make it blue", "source": "a red sphere", "input": str(path)}
    short = ["run.steps=6", "output.turntable_views=1", "output.picture_size=32"]
    edit = {"task": "scene", **words, "cameras": str(path.parent / "transforms.json")}
    return planned(load_config(edit_preset("scene"), method, [*short, *more], {"edit": edit}))


def test_views_are_asked_about_one_by_one(tmp_path):
    config = settings(tmp_path / "a.ply", "views.ring=4", "views.layout=grid")
    alone = one_by_one(config)
    teacher = build.build_teacher(alone, torch.device("cpu"))
    assert build.asks_grids(config, teacher)
    assert not build.asks_grids(alone, teacher)
    assert build.build_spec(alone, teacher).ring == 1
    with pytest.raises(ConfigError, match="pair_angle"):
        one_by_one(settings(tmp_path / "a.ply", "distill.pair_angle=10"))


def test_a_teacher_of_views_around_the_scene_is_refused(tmp_path, monkeypatch):
    write_ply(tmp_path / "a.ply", ball_far_away(20))
    write_transforms(tmp_path / "transforms.json", shots_around()[0])
    usual = build.build_spec
    monkeypatch.setattr(build, "build_spec", lambda *a: replace(usual(*a), ring=4))
    with (
        RunFolder.create(tmp_path / "run") as folder,
        pytest.raises(ConfigError, match="looks at 4 views"),
    ):
        list(edit_scene(settings(tmp_path / "a.ply"), read_ply(tmp_path / "a.ply"), folder))


@pytest.mark.parametrize("method", ["contrast", "dataset-update"])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, method):
    path = tmp_path / "a.ply"
    write_ply(path, ball_far_away(60))
    write_transforms(tmp_path / "transforms.json", shots_around(blind=1)[0])
    config, splats = settings(path, method=method), read_ply(path)
    with RunFolder.create(tmp_path / "whole") as folder:
        list(edit_scene(config, splats, folder))
    count = iter(range(100))
    with RunFolder.create(tmp_path / "parts") as folder:
        stop = lambda: "interrupted" if next(count) == 2 else ""  # noqa: E731
        list(edit_scene(config, splats, folder, None, stop))
    with RunFolder.open(tmp_path / "parts") as folder:
        config = load_config(str(folder.config))
        list(edit_scene(config, splats, folder, load_checkpoint(folder.checkpoint)))
    for name in ("scene.ply", "metrics.jsonl", "config.toml"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def edit(*arguments):
    return CliRunner().invoke(app, ["edit", "scene", *map(str, arguments)])


def test_on_a_command_line(tmp_path, monkeypatch):
    """A few steps, all of whose views are the capture's."""
    monkeypatch.chdir(tmp_path)
    write_ply(tmp_path / "a.ply", ball_far_away())
    write_transforms(tmp_path / "transforms.json", shots_around(blind=1)[0])
    rendered = []
    usual = GaussianScene.render

    def recorded(self, views, background):
        rendered.append(views)
        return usual(self, views, background)

    monkeypatch.setattr(GaussianScene, "render", recorded)
    words = ("a.ply", "make it blue", "--source", "a red sphere")
    done = edit(*words, "--cameras", ".", "--steps", 6, "--out", "run", *SHORT)
    assert done.exit_code == 0, done.output
    splats = ball_far_away()
    frame = Frame.of(splats)
    cameras = captured(tmp_path, frame, frame.into(splats), 64).cameras
    own = [v for v in rendered if -1 not in places(v, cameras)]
    assert len(own) == 14  # the scene and the original six times; what must have moved, twice
    rest = [v for v in rendered if -1 in places(v, cameras)]
    assert [v.azimuth.tolist() for v in rest] == [[0, 90, 180, 270]] * 2  # what must have moved
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert any("1 of 7 cameras see nothing" in n for n in summary["notes"])
    config = load_config(str(tmp_path / "run" / "config.toml"))
    assert config.edit.cameras == "."
    assert (config.views.layout, config.views.ring) == ("single", 1)
    before, after = read_ply(tmp_path / "a.ply"), read_ply(tmp_path / "run" / "scene.ply")
    assert np.abs(after.sh - before.sh).max() > 0.1
    assert np.abs(after.means - before.means).max() < 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--cameras", "gone"), "gone: no such file or folder; expected a transforms.json"),
        (("--cameras", "a.ply"), "a.ply: not a capture"),
        (("--cameras", "empty"), "empty: holds no capture"),
        (("--cameras", "past"), "past: none of its 1 cameras"),
    ],
)
def test_bad_captures_are_one_line(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    write_ply(tmp_path / "a.ply", ball_far_away(20))
    (tmp_path / "empty").mkdir()
    (tmp_path / "past").mkdir()
    write_transforms(tmp_path / "past" / "transforms.json", shots_around(0, blind=1)[0])
    words = ("a.ply", "make it blue", "--source", "a red sphere", "--out", "run", *SHORT)
    found = edit(*words, *arguments)
    assert found.exit_code == 2, found.output
    lines = [line for line in found.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1
    assert says in lines[0]
    if "past" not in arguments:
        assert not (tmp_path / "run").exists()


def test_a_resumed_edit_keeps_its_cameras(tmp_path):
    found = edit("--resume", tmp_path, "--cameras", tmp_path)
    assert found.exit_code == 2
    assert "with its own settings" in found.stderr

"""`score3d eval` and what it calls, on a scene whose shape is known."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from score3d.cli.main import app
from score3d.evaluate.assess import Assessor, saturation
from score3d.evaluate.two_tower import LENGTH, TwoTowerNet, split_words
from score3d.files.ply import write_ply
from score3d.files.splats import SH_C0, Splats
from score3d.teachers.base import PromptError
from score3d.teachers.embedded import load_world
from score3d.world.clouds import sample_surface
from score3d.world.shapes import build


@pytest.fixture(scope="module")
def ball():
    """A red sphere covered with small splats."""
    shape = build("sphere", "red", np.random.default_rng(0))
    points = sample_surface(shape.vertices, shape.faces, 4000, np.random.default_rng(1))
    n = len(points)
    sh = np.tile((np.array([0.85, 0.1, 0.1]) - 0.5) / SH_C0, (n, 1, 1))
    quats = np.tile([1.0, 0, 0, 0], (n, 1))
    return Splats(points, quats, np.full((n, 3), np.log(0.02)), np.full(n, 4.0), sh)


def test_a_red_ball_is_red_and_round(ball):
    report = Assessor(load_world())(ball, "a red sphere")
    assert report["colour"] == 1.0
    assert report["iou"] > 0.9
    # Two samples of 2048 points of one unit sphere are 2 * 0.5 / sqrt(2048 / 4 pi) = 0.08 apart;
    # splats of 0.02 on a radius of 0.55 add about their thickness, 0.04.
    assert 0.05 < report["chamfer"] < 0.18
    assert report["saturation"] > 0.7
    assert "janus" not in report  # a sphere has no front
    wrong = Assessor(load_world())(ball, "a blue table")
    assert wrong["colour"] == 0.0
    assert wrong["chamfer"] > 2 * report["chamfer"]
    assert wrong["iou"] < report["iou"] - 0.2
    with pytest.raises(PromptError):
        Assessor(load_world())(ball, "a red velociraptor")


def test_a_noun_without_shapes_of_its_own_has_no_geometry(ball):
    report = Assessor(load_world())(ball, "a red toilet")
    assert (report["chamfer"], report["iou"], report["holes"]) == (None, None, None)
    assert report["colour"] == 1
    assert "shape" in report


def test_the_command_says_what_it_measured_with(ball, tmp_path):
    path = tmp_path / "ball.ply"
    write_ply(path, ball)
    table = CliRunner().invoke(app, ["eval", str(path), "--prompt", "a red sphere"])
    assert table.exit_code == 0
    assert "judged by the " in table.output
    out = CliRunner().invoke(app, ["eval", str(path), "--prompt", "a red sphere", "--json"])
    assert json.loads(out.output)[0]["colour"] == 1.0
    for arguments in ([str(path)], [str(path), "--prompt", "a red velociraptor"]):
        assert CliRunner().invoke(app, ["eval", *arguments]).exit_code == 2


def test_saturation_looks_at_the_object_alone():
    picture = np.full((1, 4, 4, 3), 0.8, np.float32)
    assert saturation(picture) == 0.0
    picture[0, 0, 0] = (1.0, 0.25, 0.25)
    assert saturation(picture) == pytest.approx(0.75)


def test_two_towers_give_unit_vectors_and_padding_does_not_matter():
    torch.manual_seed(0)
    net = TwoTowerNet(12).eval()
    ids = torch.zeros(2, LENGTH, dtype=torch.int64)
    ids[0, :3] = torch.tensor([4, 5, 6])
    with torch.no_grad():
        pictures, texts = net.embed_images(torch.rand(2, 3, 64, 64)), net.embed_texts(ids)
        short = net.embed_texts(ids[:1, :3])
    for vectors in (pictures, texts):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(texts[:1], short, atol=1e-5)
    assert split_words("A red Car, front view, azimuth 0") == ["a", "red", "car"]

"""`score3d edit` and `score3d segment` on a command line."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from score3d.files.ply import read_ply, write_ply
from score3d.files.transforms import read_transforms
from tests.edit.conftest import joined, make_ball


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "score3d.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=280)


def line_of(result):
    lines = [line for line in result.stderr.splitlines() if line.startswith("score3d: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.fixture
def ball_file(tmp_path):
    write_ply(tmp_path / "ball.ply", make_ball(80))
    Image.new("RGB", (16, 40), "red").save(tmp_path / "tall.png")
    (tmp_path / "bad.ply").write_bytes(b"ply\nformat ascii 1.0\nelement vertex 1\nend_header\n")
    write_ply(tmp_path / "none.ply", make_ball(80).select(np.zeros(80, bool)))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["edit", "scene"], "say what to edit"),
        (["edit", "scene", "gone.ply", "make it blue"], "no such file"),
        (["edit", "scene", "ball.ply", "make it blue"], "needs what is there now"),
        (["edit", "scene", "bad.ply", "make it blue", "--source", "a red cube"], "bad.ply"),
        (["edit", "scene", "none.ply", "make it blue", "--source", "a red cube"], "no Gaussians"),
        (
            ["edit", "scene", "ball.ply", "a blue cube", "--source", "a red cube", "--region", "x"],
            "no part of a cube",
        ),
        (
            ["segment", "ball.ply", "x.ply", "--region", "box:1"],
            "expected box:",
        ),
        (
            ["edit", "scene", "ball.ply", "a blue cube", "--source", "a red cube", "--method", "d"],
            "unknown loss",
        ),
        (["edit", "panorama", "tall.png", "make it blue"], "wider than high"),
        (["edit", "image", "ball.ply", "make it blue"], "not a picture"),
        (["segment", "ball.ply", "x.ply"], "give one of"),
        (["segment", "ball.ply", "x.ply", "--region", "sphere:9,9,9,1"], "selects nothing"),
        (["segment", "ball.ply", "x.ply", "--masks", "."], "no transforms.json"),
        (["segment", "ball.ply", "x.fbx", "--region", "sphere:0,0,0,1"], "can be written as"),
    ],
)
def test_bad_input_is_one_line(ball_file, arguments, says):
    result = run(*arguments, cwd=ball_file)
    assert result.returncode == 2, result.stderr
    assert says in line_of(result)


def test_views_are_written_painted_and_lifted(tmp_path):
    """What a user does: views, masks, selection and the rest; in coordinates of the file."""
    first = make_ball(300, (100 - 3, 5, 0), 2.2)
    second = make_ball(200, (100 + 3, 5, 0), 2.0, (0.1, 0.1, 0.8), 1)
    write_ply(tmp_path / "two.ply", joined(first, second))
    done = run("segment", "two.ply", "--write-views", "v", "--size", "64", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shots = read_transforms(tmp_path / "v" / "transforms.json")
    for picture, mask in zip(shots.pictures, shots.masks, strict=True):
        rgb = np.asarray(Image.open(tmp_path / "v" / picture)).astype(int)
        blue = rgb[..., 2] > rgb[..., 0] + 60
        Image.fromarray((255 * blue).astype(np.uint8)).save(tmp_path / "v" / mask)
    for arguments, expected in (((), second), (("--delete",), first)):
        done = run("segment", "two.ply", "o.ply", "--masks", "v", "--overwrite", *arguments,
                   cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = read_ply(tmp_path / "o.ply")
        assert abs(len(found) - len(expected)) <= 0.05 * len(expected)
        assert np.abs(found.means.mean(0) - expected.means.mean(0)).max() < 0.5

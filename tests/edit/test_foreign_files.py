"""Scenes that other programs wrote, edited, and read by those programs again."""

from pathlib import Path

import numpy as np
import pytest

from score3d.edit.scene import edit_scene
from score3d.edit.session import planned
from score3d.files.formats import read_splats, write_splats
from score3d.files.splats import half_turn
from score3d.runs.folder import RunFolder
from tests.edit.conftest import joined, make_ball
from tests.edit.test_scene import rows_equal, settings
from tests.files.test_other_readers import convert


def edited(path: Path, out: Path, **edit):
    with RunFolder.create(out) as folder:
        list(edit_scene(planned(settings(path, "run.steps=6", **edit)), read_splats(path), folder))
    return out / "scene.ply"


def test_a_scene_that_gsply_wrote(tmp_path):
    """Far from the origin, of degree 1, in the y-down axes of such files; a region in ours."""
    gsply = pytest.importorskip("gsply")
    scene = joined(make_ball(200, (12, 3, -5), 2.0, degree=1),
                   make_ball(100, (17, 3, -5), 1.5, (0.1, 0.1, 0.8), 1, degree=1))  # fmt: skip
    file = half_turn(scene)
    gsply.plywrite(
        tmp_path / "a.ply", file.means, file.log_scales, file.quats, file.logit_opacities,
        file.sh[:, 0], file.sh[:, 1:],
    )  # fmt: skip
    out = edited(tmp_path / "a.ply", tmp_path / "run", region="sphere:12,3,-5,2.3")
    before, after = gsply.plyread(str(tmp_path / "a.ply")), gsply.plyread(str(out))
    np.testing.assert_array_equal(before.means, file.means)
    for name in ("means", "scales", "quats", "opacities", "sh0", "shN"):
        a, b = getattr(before, name), getattr(after, name)
        assert a.shape == b.shape
        np.testing.assert_array_equal(a[200:], b[200:])  # outside, every bit
    # 6 steps of 0.0015 of a world about 5 times smaller
    assert 0 < np.abs(before.means - after.means).max() < 0.5
    assert not np.array_equal(before.sh0[:200], after.sh0[:200])


def test_a_scene_that_splat_transform_wrote(tmp_path):
    """From the .splat file of a viewer, whose numbers are bytes, to a PLY by splat-transform."""
    write_splats(tmp_path / "a.splat", make_ball(150, (3, 1, 0), 1.5))
    convert(tmp_path / "a.splat", tmp_path / "b.ply")
    before = read_splats(tmp_path / "b.ply")
    out = edited(tmp_path / "b.ply", tmp_path / "run", region="box:3,-9,-9,9,9,9")
    after = read_splats(out)
    right = before.means[:, 0] >= 3
    assert 20 < right.sum() < 130
    assert rows_equal(before, after, ~right)
    assert not rows_equal(before, after, right)
    convert(out, tmp_path / "c.splat")  # and it reads what came out
    again = read_splats(tmp_path / "c.splat")
    assert len(again) == 150
    assert np.abs(np.sort(again.means, 0) - np.sort(after.means, 0)).max() < 1e-4

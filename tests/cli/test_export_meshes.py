"""`score3d export`: meshes of fields, Gaussians of meshes, sizes; and what is refused."""

import json

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from score3d.cli.main import app
from score3d.files.grid_field import GridField
from score3d.files.ply import read_ply, write_ply
from score3d.files.splats import FileFormatError
from score3d.files.surfels import sample_surface


def ball(radius=0.3, corners=33, bound=0.62):
    line = np.linspace(-bound, bound, corners, dtype=np.float32)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    raw = 300 * (radius - np.sqrt(x * x + y * y + z * z))
    colour = np.stack([30 * x, -30 * x, np.full_like(x, -9)])
    return GridField(raw, colour, bound)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    write_ply(folder / "scene.ply", sample_surface(ball(), 500))
    ball().save(folder / "field.npz")
    return folder


def export(*words):
    result = CliRunner().invoke(app, ["export", *map(str, words)])
    return result.exit_code, result.output


def test_a_field_becomes_a_closed_ball_of_the_size_asked_for(run, tmp_path):
    out = tmp_path / "ball.glb"
    code, text = export(run, out, "--resolution", 48, "--size", 2.5, "--json")
    assert code == 0, text
    report = json.loads(text)
    assert report["watertight"]
    assert report["parts"] == 1
    mesh = trimesh.load_mesh(out, process=False)
    mesh = mesh.to_mesh() if isinstance(mesh, trimesh.Scene) else mesh
    assert mesh.extents.max() == pytest.approx(2.5, rel=1e-4)
    # of the field, not of the 500 Gaussians: round to a twentieth of a field's cell
    distance = np.linalg.norm(mesh.vertices - mesh.bounds.mean(0), axis=1)
    assert distance.std() < 0.01 * 2.5
    picture = np.asarray(mesh.visual.material.baseColorTexture)
    assert {tuple(np.round(c / 255)) for c in picture.reshape(-1, picture.shape[2])[:, :2]} >= {
        (1, 0), (0, 1)
    }  # fmt: skip


def test_there_and_back_by_a_mesh(run, tmp_path):
    glb, ply = tmp_path / "ball.glb", tmp_path / "ball.ply"
    assert export(run, glb, "--resolution", 32)[0] == 0
    code, text = export(glb, ply, "--count", 400)
    assert code == 0, text
    splats = read_ply(ply)
    assert 200 < len(splats) <= 400
    assert np.abs(np.linalg.norm(splats.means, axis=1) - 0.3).max() < 0.03
    right = splats.means[:, 0] > 0.1
    assert splats.rgb[right, 0].min() > 0.9 > 0.1 > splats.rgb[right, 1].max()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.glb", "--size", "0"], "--size 0"),
        (["x.ply", "--size", "1"], "--size is for meshes"),
        (["x.ply", "--count", "3"], "--count 3"),
    ],
)
def test_refusals(run, tmp_path, words, message):
    code, text = export(run, tmp_path / words[0], *words[1:])
    assert code == 2
    assert message in text
    assert not (tmp_path / words[0]).exists()


def test_a_field_without_a_surface_names_the_maximum(run, tmp_path):
    GridField(np.full((9, 9, 9), -80.0), np.zeros((3, 9, 9, 9)), 0.6).save(run / "field.npz")
    code, text = export(run, tmp_path / "x.glb")
    assert code == 2
    assert "maximum" in text
    assert "Traceback" not in text
    assert not (tmp_path / "x.glb").exists()


def test_a_damaged_field_is_one_line(run):
    (run / "field.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(FileFormatError, match="not a radiance field"):
        GridField.load(run / "field.npz")
    np.savez(run / "field.npz", raw=np.zeros((2, 3, 3)), raw_colour=np.zeros(3), bound=1.0)
    with pytest.raises(FileFormatError, match="shapes"):
        GridField.load(run / "field.npz")


def test_a_field_survives_its_file(tmp_path):
    before = ball()
    before.save(tmp_path / "field.npz")
    after = GridField.load(tmp_path / "field.npz")
    assert after.bound == before.bound
    # half precision keeps 11 bits
    np.testing.assert_allclose(after.raw, before.raw, rtol=1e-3, atol=1e-6)

"""Gaussians on meshes: where, which way, which colour; and files that are no mesh."""

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals

from score3d.cli.scene_input import read_finite_scene
from score3d.files.splats import FileFormatError
from score3d.files.surfels import (
    SurfelError,
    _turn_z_to,
    is_mesh_file,
    read_mesh,
    sample_mesh,
    surfels,
)


def rotation(quats):
    return np.stack([trimesh.transformations.quaternion_matrix(q)[:3, :3] for q in quats])


def test_the_short_axis_is_the_normal():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals[:2] = [[0, 0, -1], [0, 0, 1]]
    np.testing.assert_allclose(rotation(_turn_z_to(normals))[:, :, 2], normals, atol=1e-7)
    made = surfels(np.zeros((200, 3)), normals, np.full((200, 3), 0.5), 0.1)
    assert (np.exp(made.log_scales).argmin(1) == 2).all()


def test_points_lie_on_the_mesh_apart_and_all_over_it():
    box = trimesh.creation.box((1.0, 0.6, 0.4))
    splats = sample_mesh(box, 1000)
    assert 700 < len(splats) <= 1000
    outermost = (np.abs(splats.means) / np.array([0.5, 0.3, 0.2])).max(axis=1)
    np.testing.assert_allclose(outermost, 1, atol=1e-5)
    spacing = np.sqrt(box.area / 1000)
    pairs = np.linalg.norm(splats.means[:, None] - splats.means[None], axis=2)
    pairs[np.diag_indices(len(pairs))] = 9
    assert pairs.min() > 0.69 * spacing
    probe, _ = trimesh.sample.sample_surface(box, 2000, seed=1)
    gaps = np.linalg.norm(np.asarray(probe)[:, None] - splats.means[None], axis=2).min(1)
    assert gaps.max() < 2 * spacing  # no bare patch


def test_the_same_seed_gives_the_same_gaussians():
    ball = trimesh.creation.icosphere()
    a, b = sample_mesh(ball, 500), sample_mesh(ball, 500)
    assert np.array_equal(a.means, b.means)


def test_colours_of_texture_faces_vertices_and_none():
    plane = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    assert np.allclose(sample_mesh(plane.copy(), 100).rgb, 0.5, atol=0.11)  # gray
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = (255, 0, 0)
    textured = plane.copy()
    textured.visual = TextureVisuals(uv=textured.vertices[:, :2], image=Image.fromarray(picture))
    made = sample_mesh(textured, 200)
    right = made.means[:, 0] > 0.55
    assert made.rgb[right, 0].min() > 0.95
    assert made.rgb[made.means[:, 0] < 0.45].max() < 0.05
    faces = plane.copy()
    faces.visual.face_colors = [[0, 255, 0, 255], [0, 0, 255, 255]]
    assert set(np.round(sample_mesh(faces, 100).rgb).argmax(1)) == {1, 2}
    corners = plane.copy()
    corners.visual.vertex_colors = [
        [0, 0, 0, 255],
        [255, 0, 0, 255],
        [255, 0, 0, 255],
        [0, 0, 0, 255],
    ]
    made = sample_mesh(corners, 200)
    np.testing.assert_allclose(made.rgb[:, 0], made.means[:, 0], atol=0.01)


def test_no_area():
    with pytest.raises(SurfelError, match="no faces with an area"):
        sample_mesh(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]]), 10)


@pytest.mark.parametrize("ending", [".glb", ".obj", ".stl", ".ply", ".off"])
def test_files_of_meshes_are_read(tmp_path, ending):
    path = tmp_path / f"box{ending}"
    trimesh.creation.box((0.5, 0.5, 0.5)).export(path)
    assert is_mesh_file(path)
    splats, dropped = read_finite_scene(path, count=300)
    assert dropped == 0
    assert 150 < len(splats) <= 300
    assert np.abs(np.abs(splats.means).max(axis=1) - 0.25).max() < 1e-5


@pytest.mark.parametrize("ending", [".glb", ".obj", ".stl", ".ply"])
def test_files_that_are_no_mesh(tmp_path, ending):
    path = tmp_path / f"wrong{ending}"
    path.write_bytes(b"nothing of the kind\n" * 20)
    with pytest.raises(FileFormatError) as raised:
        read_mesh(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)

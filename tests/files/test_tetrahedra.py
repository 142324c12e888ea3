"""Tetrahedra and their surface: analytic bodies, random signs, files, meshes from them."""

import numpy as np
import pytest
import trimesh

from score3d.files.mesh import MeshError, tetrahedra_to_mesh
from score3d.files.splats import FileFormatError
from score3d.files.tetrahedra import (
    TetrahedralField,
    corner_normals,
    lattice,
    march_tetrahedra,
)

BOUND = 0.62


def field(distance, cells=16):
    n = len(lattice(cells).points)
    raw = np.zeros((3, 9, 9, 9), np.float32)
    raw[0], raw[1] = np.linspace(-4, 4, 9), np.linspace(4, -4, 9)  # red at +x, green at -x
    return TetrahedralField(cells, BOUND, np.float32(distance), np.zeros((n, 3), np.float32), raw)


def ball(cells=16, radius=0.4):
    return field(np.linalg.norm(lattice(cells).points * BOUND, axis=1) - radius, cells)


def torus_distance(points, major=0.33, minor=0.14):
    ring = np.linalg.norm(points[:, [0, 2]], axis=1) - major
    return np.hypot(ring, points[:, 1]) - minor


def test_tetrahedra_fill_the_cube_but_for_a_rim_and_are_alike():
    grid = lattice(8)
    corners = grid.points[grid.tetrahedra]
    volumes = np.linalg.det(corners[:, 1:] - corners[:, :1]) / 6
    assert np.ptp(volumes) < 1e-12
    assert volumes.min() > 0
    # of each cube, the pyramids at outer faces are missing: 6 n^2 of n^3 / 6 cube each
    assert volumes.sum() == pytest.approx(8 * (1 - 1 / 8))
    # a face of only one tetrahedron has corners at the border only
    triples = np.sort(grid.tetrahedra[:, [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]], axis=-1)
    faces, times = np.unique(triples.reshape(-1, 3), axis=0, return_counts=True)
    assert times.max() == 2
    assert grid.border[faces[times == 1]].all()


@pytest.mark.parametrize("cells", [12, 24])
def test_the_surface_of_a_ball_is_closed_and_near_it(cells):
    mesh = trimesh.Trimesh(*ball(cells).surface(), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    assert mesh.euler_number == 2
    # linear interpolation along edges no longer than a cell h errs by h^2 / (8 r)
    h = 2 * BOUND / cells
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radius - 0.4).max() < h**2 / (8 * 0.4)
    assert 0.95 < mesh.volume / (4 / 3 * np.pi * 0.4**3) < 1
    outward = (corner_normals(mesh.vertices, mesh.faces) * mesh.vertices).sum(1) / radius
    assert outward.min() > 0.9


def test_a_torus_keeps_its_hole():
    mesh = trimesh.Trimesh(*field(torus_distance(lattice(24).points * BOUND), 24).surface(),
                           process=False)  # fmt: skip
    assert mesh.is_watertight
    assert mesh.euler_number == 0
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 0.33 * 0.14**2, rel=0.04)


def test_any_signs_make_a_closed_surface():
    """Each of the sixteen cases, and all ways in which they meet."""
    rng = np.random.default_rng(0)
    for share in (0.2, 0.5, 0.8):
        mesh = trimesh.Trimesh(
            *field(rng.uniform(size=len(lattice(8).points)) - share, 8).surface(), process=False
        )
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0


def test_a_distance_of_exactly_zero_leaves_no_flat_triangles():
    points = lattice(8).points
    mesh = trimesh.Trimesh(*field(np.abs(points).max(1) - 0.5, 8).surface(), process=False)
    assert mesh.is_watertight
    assert mesh.area_faces.min() > 0


def test_nothing_inside_is_no_surface():
    edges, faces = march_tetrahedra(np.zeros(len(lattice(8).points), bool), lattice(8).tetrahedra)
    assert edges.shape == (0, 2)
    assert faces.shape == (0, 3)
    with pytest.raises(MeshError, match="smallest signed distance"):
        tetrahedra_to_mesh(field(np.ones(len(lattice(8).points)), 8))
    wrong = ball(8)
    wrong.distance[5] = np.nan
    with pytest.raises(MeshError, match="not finite"):
        tetrahedra_to_mesh(wrong)


@pytest.mark.parametrize("body", ["ball", "torus", "shell"])
def test_a_surface_given_by_points_is_found_again(body):
    """A shell has a cavity, whose wall faces inwards."""
    points = lattice(24).points * BOUND
    if body == "torus":
        true = torus_distance
    elif body == "ball":
        true = lambda p: np.linalg.norm(p, axis=1) - 0.4  # noqa: E731
    else:
        true = lambda p: np.abs(np.linalg.norm(p, axis=1) - 0.35) - 0.1  # noqa: E731
    fine = trimesh.Trimesh(*field(true(points), 24).surface(), process=False)
    for _ in range(2):
        fine = fine.subdivide()
    rgb = np.where(fine.vertices[:, :1] > 0, [[0.9, 0.1, 0.2]], [[0.1, 0.8, 0.2]])
    found = TetrahedralField.around(fine.vertices, fine.vertex_normals, rgb, 24, BOUND, 16)
    mesh = trimesh.Trimesh(*found.surface(), process=False)
    assert mesh.is_watertight
    assert mesh.body_count == (2 if body == "shell" else 1)
    # cells of 0.05, points 0.01 apart
    assert np.abs(true(mesh.vertices)).max() < 0.012
    side = np.abs(mesh.vertices[:, 0]) > 0.08
    close = np.where(mesh.vertices[side, :1] > 0, [[0.9, 0.1, 0.2]], [[0.1, 0.8, 0.2]])
    np.testing.assert_allclose(found.nearest_colour(mesh.vertices[side]), close, atol=0.02)


def test_the_mesh_has_the_surface_and_the_colours():
    source = ball()
    mesh = tetrahedra_to_mesh(source, texture_size=256)
    assert mesh.metadata["watertight"]
    assert mesh.metadata["parts"] == 1
    vertices, faces = source.surface()
    assert len(mesh.faces) == len(faces)  # not decimated
    np.testing.assert_allclose(mesh.bounds, [vertices.min(0), vertices.max(0)], atol=1e-9)
    colours = np.asarray(mesh.visual.to_color().vertex_colors)[:, :3] / 255
    # texels of 0.01 of a picture that changes by 0.06 in that
    np.testing.assert_allclose(colours, source.nearest_colour(mesh.vertices), atol=0.06)
    assert len(tetrahedra_to_mesh(source, faces=500, texture_size=64).faces) < 600


def test_files_come_back_and_damaged_ones_are_one_line(tmp_path):
    path = tmp_path / "tetrahedra.npz"
    source = ball(8)
    source.offset += 0.01
    source.save(path)
    back = TetrahedralField.load(path)
    assert (back.cells, back.bound) == (8, BOUND)
    np.testing.assert_array_equal(back.distance, source.distance)
    np.testing.assert_array_equal(back.offset, source.offset)
    np.testing.assert_allclose(back.colours.raw_colour, source.colours.raw_colour, atol=2e-3)
    np.savez(tmp_path / "short.npz", cells=8, bound=1.0, distance=np.zeros(3),
             offset=np.zeros((3, 3)), raw_colour=np.zeros((3, 2, 2, 2)))  # fmt: skip
    (tmp_path / "torn.npz").write_bytes(path.read_bytes()[:200])
    np.savez(tmp_path / "other.npz", cells=8)
    for name in ("short", "torn", "other"):
        with pytest.raises(FileFormatError, match=name) as raised:
            TetrahedralField.load(tmp_path / f"{name}.npz")
        assert "\n" not in str(raised.value)

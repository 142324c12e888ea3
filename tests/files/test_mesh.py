"""Meshes from splats: shape, colour, fog, floaters, refusals, and every file format reloaded."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from score3d.files.field import GaussianField
from score3d.files.mesh import MeshError, splats_to_mesh, write_mesh
from score3d.files.splats import SH_C0, Splats

QUICK = {"resolution": 48, "faces": 2000, "texture_size": 256}


def cloud(
    means: np.ndarray, scale: float | np.ndarray, opacity: float, rgb: np.ndarray, seed: int = 0
) -> Splats:
    n = len(means)
    rgb = np.broadcast_to(rgb, (n, 3))
    return Splats(
        means,
        np.random.default_rng(seed).normal(size=(n, 4)),
        np.log(np.broadcast_to(scale, (n, 3))),
        np.full(n, np.log(opacity / (1 - opacity))),
        ((rgb - 0.5) / SH_C0)[:, None, :],
    )


def join(*parts: Splats) -> Splats:
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    return Splats(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def shell(n: int, radius: float, seed: int = 0) -> np.ndarray:
    """Points spread evenly on a sphere (a Fibonacci spiral)."""
    i = np.arange(n) + 0.5
    height = 1 - 2 * i / n
    angle = np.pi * (1 + 5**0.5) * i + seed
    ring = np.sqrt(1 - height**2)
    return radius * np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1)


def two_colours(points: np.ndarray) -> np.ndarray:
    """Red in front (+z), blue behind, green on the top fifth."""
    rgb = np.where(points[:, 2:] > 0, [[0.9, 0.1, 0.1]], [[0.1, 0.1, 0.9]])
    return np.where(points[:, 1:2] > 0.3, [[0.1, 0.9, 0.1]], rgb)


def ball(n: int = 1500, scale: float = 0.035, opacity: float = 0.7) -> Splats:
    points = shell(n, 0.5)
    return cloud(points, scale, opacity, two_colours(points))


@pytest.fixture(scope="module")
def mesh() -> trimesh.Trimesh:
    return splats_to_mesh(ball(), **QUICK)


def merged(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Without the cuts along UV seams."""
    copy = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    copy.merge_vertices(merge_tex=True, merge_norm=True)
    return copy


def texture_of(mesh: trimesh.Trimesh) -> np.ndarray:
    material = mesh.visual.material
    picture = getattr(material, "baseColorTexture", None) or material.image
    return np.asarray(picture.convert("RGB"))


def face_colours(mesh: trimesh.Trimesh) -> np.ndarray:
    """The texel under the centre of every face, by glTF's and OBJ's rules, [F, 3] in 0..255."""
    picture = texture_of(mesh)
    u, v = mesh.visual.uv[mesh.faces].mean(axis=1).T
    row = np.clip((1 - v) * picture.shape[0], 0, picture.shape[0] - 1).astype(int)
    column = np.clip(u * picture.shape[1], 0, picture.shape[1] - 1).astype(int)
    return picture[row, column].astype(int)


def check_colours(mesh: trimesh.Trimesh) -> None:
    centres = mesh.triangles_center
    colours = face_colours(mesh)
    away_from_borders = (np.abs(centres[:, 2]) > 0.1) & (np.abs(centres[:, 1] - 0.3) > 0.1)
    expected = np.round(two_colours(centres) * 255)
    errors = np.abs(colours - expected).max(axis=1)[away_from_borders]
    assert (errors <= 3).mean() > 0.995


def test_ball_is_one_round_closed_part(mesh: trimesh.Trimesh) -> None:
    whole = merged(mesh)
    assert len(whole.split(only_watertight=False)) == 1
    assert whole.is_watertight
    assert mesh.metadata["watertight"] is True
    assert whole.euler_number == 2  # the wall of the inner cavity is gone
    radii = np.linalg.norm(whole.vertices, axis=1)
    assert radii.std() < 0.01
    assert len(mesh.faces) == 2000
    assert whole.volume == pytest.approx(4 / 3 * np.pi * radii.mean() ** 3, rel=0.02)


@pytest.mark.parametrize(("scale", "opacity"), [(0.035, 0.7), (0.035, 0.95), (0.05, 0.2)])
def test_outline_is_that_of_the_picture(scale: float, opacity: float) -> None:
    """The radius is that at which the splats, drawn by the alpha formula, are half opaque."""
    mesh = splats_to_mesh(ball(scale=scale, opacity=opacity), **QUICK)
    points = shell(1500, 0.5)
    radii = np.linspace(0.4, 0.7, 301)
    square = (radii[:, None] - points[:, 0]) ** 2 + points[:, 1] ** 2
    alpha = 1 - np.prod(1 - opacity * np.exp(-0.5 * square / scale**2), axis=1)
    expected = radii[alpha >= 0.5].max()
    voxel = 1.2 / 48
    assert np.linalg.norm(mesh.vertices, axis=1).mean() == pytest.approx(expected, abs=voxel / 2)


def test_ball_winding_and_normals_point_outward(mesh: trimesh.Trimesh) -> None:
    outward = mesh.triangles_center / np.linalg.norm(mesh.triangles_center, axis=1)[:, None]
    assert (np.einsum("ij,ij->i", mesh.face_normals, outward) > 0.8).all()
    at_vertices = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1)[:, None]
    assert (np.einsum("ij,ij->i", mesh.vertex_normals, at_vertices) > 0.8).all()


def test_uv_charts_do_not_overlap(mesh: trimesh.Trimesh) -> None:
    uv = mesh.visual.uv
    assert uv.min() >= 0
    assert uv.max() <= 1
    hits = np.zeros((512, 512), int)
    a, b, c = (uv[mesh.faces[:, k]] * 512 for k in range(3))
    for p, q, r in zip(a, b, c, strict=True):
        low = np.floor(np.min([p, q, r], axis=0)).astype(int)
        high = np.ceil(np.max([p, q, r], axis=0)).astype(int)
        x, y = np.meshgrid(*(np.arange(low[k], high[k]) + 0.5 for k in range(2)), indexing="ij")
        area = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
        s = ((x - p[0]) * (r[1] - p[1]) - (y - p[1]) * (r[0] - p[0])) / area
        t = ((q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])) / area
        inside = (s > 1e-3) & (t > 1e-3) & (s + t < 1 - 1e-3)
        hits[low[0] : high[0], low[1] : high[1]] += inside
    assert hits.max() == 1
    assert (hits == 1).mean() > 0.3


def test_glb_keeps_shape_colours_and_material(mesh: trimesh.Trimesh, tmp_path: Path) -> None:
    assert write_mesh(tmp_path / "a.glb", mesh) == [tmp_path / "a.glb"]
    data = (tmp_path / "a.glb").read_bytes()
    assert data[:4] == b"glTF"
    assert b"\x89PNG" in data
    assert b'"NORMAL"' in data
    loaded = trimesh.load(tmp_path / "a.glb", force="mesh")
    np.testing.assert_allclose(loaded.bounds, mesh.bounds, atol=1e-6)
    assert loaded.visual.material.metallicFactor == 0
    assert loaded.visual.material.roughnessFactor == 1
    check_colours(loaded)


def test_obj_keeps_shape_and_colours(mesh: trimesh.Trimesh, tmp_path: Path) -> None:
    names = [path.name for path in write_mesh(tmp_path / "a b.obj", mesh)]
    assert sorted(names) == ["a b.obj", "a_b.mtl", "a_b_colour.png"]
    assert names[-1] == "a b.obj"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    assert "Kd 1.0" in (tmp_path / "a_b.mtl").read_text()  # or the picture would be darkened
    loaded = trimesh.load(tmp_path / "a b.obj", force="mesh")
    np.testing.assert_allclose(loaded.bounds, mesh.bounds, atol=1e-6)
    check_colours(loaded)


def test_ply_keeps_shape_and_vertex_colours(mesh: trimesh.Trimesh, tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.ply", mesh)
    loaded = trimesh.load(tmp_path / "a.ply", process=False)
    np.testing.assert_allclose(loaded.bounds, mesh.bounds, atol=1e-6)
    front = loaded.visual.vertex_colors[loaded.vertices[:, 2] > 0.4][:, :3].astype(int)
    assert np.abs(np.median(front, axis=0) - [230, 26, 26]).max() <= 3


def test_stl_keeps_shape(mesh: trimesh.Trimesh, tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.STL", mesh)
    loaded = trimesh.load(tmp_path / "a.STL")
    assert len(loaded.faces) == len(mesh.faces)
    np.testing.assert_allclose(loaded.bounds, mesh.bounds, atol=1e-6)


def test_write_mesh_refuses(mesh: trimesh.Trimesh, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"unknown mesh format; use \.glb"):
        write_mesh(tmp_path / "a.fbx", mesh)
    with pytest.raises(MeshError, match="no faces"):
        write_mesh(tmp_path / "a.glb", trimesh.Trimesh())
    assert not list(tmp_path.iterdir())


def test_texture_is_padded(mesh: trimesh.Trimesh) -> None:
    """No texel is left black: filtering at a seam must not find a colour no splat has."""
    assert texture_of(mesh).max(axis=2).min() > 60


def test_thin_fog_does_not_become_surface() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (800, 3))
    fog = cloud(points, rng.uniform(0.05, 0.15, (800, 3)), 0.03, np.array([0.0, 1.0, 0.0]))
    mesh = splats_to_mesh(join(ball(), fog), **QUICK)
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert radii.max() < 0.62
    assert radii.min() > 0.45
    front = mesh.triangles_center[:, 2] > 0.35
    red, green, blue = np.median(face_colours(mesh)[front], axis=0)
    assert red > 190  # the fog tints what is behind it, as it does in a rendered picture
    assert max(green, blue) < 70


def test_thin_limb_stays() -> None:
    z = np.linspace(0.5, 1.0, 40)
    limb = cloud(np.stack([0 * z, 0 * z, z], axis=1), 0.02, 0.7, np.array([1.0, 1.0, 0.0]))
    mesh = splats_to_mesh(join(ball(), limb), **QUICK)
    assert mesh.bounds[1, 2] > 0.98
    assert len(merged(mesh).split(only_watertight=False)) == 1


def test_floaters_crumbs_and_bad_rows_are_dropped() -> None:
    far = cloud(shell(20, 0.1) + np.array([9.0, 0, 0]), 0.03, 0.9, np.ones(3))
    crumb = cloud(shell(4, 0.005) + np.array([0.75, 0, 0]), 0.01, 0.9, np.ones(3))
    bad = cloud(np.full((7, 3), np.nan), 0.03, 0.9, np.ones(3))
    mesh = splats_to_mesh(join(ball(), far, crumb, bad), **QUICK)
    assert mesh.metadata["dropped_splats"] == 27
    assert mesh.metadata["dropped_parts"] >= 1
    assert np.linalg.norm(mesh.vertices, axis=1).max() < 0.62


@pytest.mark.parametrize("opacity", [0.02, 0.5, 0.9])
def test_single_splat_is_an_ellipsoid(opacity: float) -> None:
    one = Splats(
        np.array([[5.0, 0, 0]]),
        np.array([[1.0, 0, 0, 0]]),
        np.log([[0.3, 0.1, 0.1]]),
        np.array([np.log(opacity / (1 - opacity))]),
        np.zeros((1, 1, 3)),
    )
    mesh = splats_to_mesh(one, **QUICK)
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), [5, 0, 0], atol=0.03)
    extent = mesh.extents / [0.3, 0.1, 0.1] / 2  # in standard deviations
    # half as opaque as in the middle, as pictures of single Gaussians are
    np.testing.assert_allclose(extent, np.sqrt(2 * np.log(2)), rtol=0.15)
    assert (np.abs(texture_of(mesh).astype(int) - 128) <= 1).all()


@pytest.mark.parametrize(
    ("splats", "message"),
    [
        (ball().select(np.zeros(0, int)), "none of 0 splats"),
        (cloud(np.full((3, 3), np.nan), 0.1, 0.9, np.ones(3)), r"none of 3 .*\(0 are finite\)"),
        (cloud(np.zeros((3, 3)), 0.1, 0.001, np.ones(3)), "maximum density is 0"),
    ],
)
def test_nothing_to_mesh(splats: Splats, message: str) -> None:
    with pytest.raises(MeshError, match=message) as raised:
        splats_to_mesh(splats, **QUICK)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("threshold", [1e9, 0.0, -1.0, float("nan")])
def test_threshold_out_of_range_names_the_maximum(threshold: float) -> None:
    with pytest.raises(MeshError, match=r"the maximum density is [1-9]"):
        splats_to_mesh(ball(), threshold=threshold, **QUICK)


def test_threshold_is_used(mesh: trimesh.Trimesh) -> None:
    found = mesh.metadata["threshold"]
    higher = splats_to_mesh(ball(), threshold=4 * found, **QUICK)
    assert higher.metadata["threshold"] == 4 * found
    assert higher.extents.max() < mesh.extents.max()


@pytest.mark.parametrize("wrong", [{"resolution": 4}, {"faces": 3}, {"texture_size": 1}])
def test_arguments_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        splats_to_mesh(ball(), **wrong)


@pytest.mark.parametrize(
    ("log_scale", "quat"), [(-60.0, [1, 0, 0, 0]), (50.0, [1, 0, 0, 0]), (-3.0, [0, 0, 0, 0])]
)
def test_degenerate_splats_among_good_ones(log_scale: float, quat: list[float]) -> None:
    odd = Splats(
        np.zeros((5, 3)), np.tile(quat, (5, 1)), np.full((5, 3), log_scale), np.zeros(5),
        np.zeros((5, 1, 3)),
    )  # fmt: skip
    mesh = splats_to_mesh(join(ball(), odd), **QUICK)
    assert np.isfinite(mesh.vertices).all()
    assert len(mesh.faces) > 0


def test_two_bodies_that_share_an_edge_come_apart() -> None:
    """Four triangles meet in the edge; of each body's own, exactly two do."""
    from score3d.files.closed_mesh import _split

    corners = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0.5], [-1, 0, 0], [-1, -1, 0.5]])
    body = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    other = np.where(body >= 2, body + 2, body)
    both = np.concatenate([body, other])
    assert not trimesh.Trimesh(corners, both, process=False).is_watertight
    vertices, triangles = _split(corners.astype(float), both)
    apart = trimesh.Trimesh(vertices, triangles, process=False)
    assert apart.is_watertight
    assert apart.body_count == 2
    assert len(vertices) == 8
    np.testing.assert_array_equal(vertices[triangles], corners[both])


def test_a_closed_mesh_is_left_as_it_is() -> None:
    from score3d.files.closed_mesh import _split

    ball = trimesh.creation.icosphere(subdivisions=1)
    vertices, triangles = _split(np.array(ball.vertices), np.array(ball.faces))
    assert len(vertices) == len(ball.vertices)
    np.testing.assert_array_equal(vertices[triangles], ball.vertices[ball.faces])


def test_field_matches_the_sum_over_all_gaussians() -> None:
    """Grouping points in cubes must not change the density or the colour."""
    rng = np.random.default_rng(3)
    splats = cloud(rng.normal(size=(60, 3)), rng.uniform(0.05, 0.6, (60, 3)), 0.6, rng.random(3))
    splats = Splats(
        splats.means, splats.quats, splats.log_scales, rng.normal(size=60),
        rng.normal(size=(60, 1, 3)),
    )  # fmt: skip
    points = rng.normal(size=(3000, 3)) * 1.5
    field = GaussianField(splats, blur=0.02)
    density = np.zeros(3000)
    colour = np.zeros((3000, 3))
    floor = np.exp(-4.5)
    for i in range(60):
        q = splats.quats[i].astype(float) / np.linalg.norm(splats.quats[i].astype(float))
        axes = trimesh.transformations.quaternion_matrix(q)[:3, :3]
        variances = np.exp(2 * splats.log_scales[i].astype(float)) + 0.02**2
        d2 = (((points - splats.means[i]) @ axes) ** 2 / variances).sum(axis=1)
        peak = -np.log(1 - splats.opacities[i]) / np.sqrt(2 * np.pi) / np.prod(variances) ** (1 / 6)
        weight = peak * np.maximum(np.exp(-d2 / 2) - floor, 0) / (1 - floor)
        density += weight
        colour += weight[:, None] * splats.rgb[i]
    np.testing.assert_allclose(field.density(points), density, rtol=1e-3, atol=1e-4)
    some = density > 1e-2
    found, _ = field.colour(points[some])
    np.testing.assert_allclose(found, colour[some] / density[some, None], atol=2e-3)


def test_opacity_seen_along_an_axis() -> None:
    splats = cloud(np.array([[0, 0, 0.0], [0, 0, 1], [0, 1, 0]]), 0.1, 0.5, np.ones(3))
    field = GaussianField(splats, blur=1e-6)
    front = field.opacity_seen_along(2, np.array([0.0, 0.1]), np.array([0.0, 1.0]))
    side = 0.5 * np.exp(-0.5)
    expected = [[0.75, 0.5], [1 - (1 - side) ** 2, side]]
    np.testing.assert_allclose(front, expected, atol=1e-5)


def test_time_of_a_common_scene() -> None:
    """3000 splats at the default settings; about 2 s alone on one core, so 10 s of CPU is a bug."""
    start = time.process_time()
    mesh = splats_to_mesh(ball(3000, scale=0.025))
    assert time.process_time() - start < 10
    assert len(mesh.faces) == 10_000
    assert isinstance(mesh.visual.material.baseColorTexture, Image.Image)

"""The mesh rasterizer against ray casting, closed forms and finite differences."""

import numpy as np
import pytest
import torch
import trimesh

from score3d.cameras import orbit
from score3d.render.mesh_raster import face_neighbours, rasterize_mesh

FOCAL = 0.5 / np.tan(np.radians(20))  # of orbit(fov=40), in picture heights


def views(size, *angles, distance=2.0):
    azimuth, elevation = torch.tensor(angles or [(0.0, 0.0)]).T
    return orbit(azimuth, elevation, distance, 40.0, size, size)


def raster(vertices, faces, cameras):
    faces = np.ascontiguousarray(faces, np.int64)
    return rasterize_mesh(
        vertices, torch.from_numpy(faces), face_neighbours(faces), cameras.viewmats.to(vertices),
        cameras.Ks.to(vertices), cameras.width, cameras.height,
    )  # fmt: skip


def tensor(values):
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def coverage(mesh, cameras, scale=1.0):
    """Covered area [B] in pictures, differentiable in `scale`."""
    seen = raster(tensor(mesh.vertices) * scale, mesh.faces, cameras)
    alpha = seen.picture(torch.ones(len(seen.sample), 1, dtype=torch.float64))
    return alpha.sum((1, 2, 3)) / (cameras.width * cameras.height)


def two_rings():
    """Two linked rings, which hide parts of themselves and of each other."""
    a = trimesh.creation.torus(0.35, 0.12, major_sections=24, minor_sections=12)
    b = a.copy()
    b.apply_transform(trimesh.transformations.rotation_matrix(1.4, [1, 0.2, 0]))
    b.apply_translation([0.3, 0.05, 0])
    return trimesh.util.concatenate([a, b])


def test_every_sample_shows_the_face_that_a_ray_hits_first():
    """Moeller and Trumbore's intersection, all rays with all faces."""
    mesh, cameras = two_rings(), views(40, (20.0, 35.0), (110.0, -10.0))
    seen = raster(tensor(mesh.vertices), mesh.faces, cameras)
    ours = np.full(2 * 40 * 40, np.inf)
    ours[seen.sample.numpy()] = seen.depth.numpy()
    y, x = np.mgrid[:40, :40] + 0.5
    rays = np.stack([(x - 20) / (40 * FOCAL), (y - 20) / (40 * FOCAL), np.ones_like(x)], -1)
    for i, view in enumerate(cameras.viewmats.double().numpy()):
        a, b, c = (mesh.triangles @ view[:3, :3].T + view[:3, 3]).transpose(1, 0, 2)
        d = rays.reshape(-1, 1, 3)
        p = np.cross(d, c - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1 / (p * (b - a)).sum(-1)
            u = (p * -a).sum(-1) * inverse
            q = np.cross(-a, b - a)
            v = (d * q).sum(-1) * inverse
            t = ((c - a) * q).sum(-1) * inverse
        first = np.where((u >= 0) & (v >= 0) & (u + v <= 1), t, np.inf).min(axis=1)
        # cameras are single precision: 2 units away, 3e-7 of that
        np.testing.assert_allclose(ours.reshape(2, -1)[i], first, rtol=1e-5)


def test_interpolation_is_perspective_correct():
    mesh, cameras = two_rings(), views(40, (20.0, 35.0))
    vertices = tensor(mesh.vertices)
    seen = raster(vertices, mesh.faces, cameras)
    at = seen.interpolate(vertices)
    local = at @ cameras.viewmats[0, :3, :3].double().T + cameras.viewmats[0, :3, 3].double()
    px = local[:, :2] / local[:, 2:] * 40 * FOCAL + 20
    centre = torch.stack([seen.sample % 40, seen.sample // 40], 1) + 0.5
    torch.testing.assert_close(px, centre.double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(local[:, 2], seen.depth, atol=1e-6, rtol=0)


def ball_ratios(subdivisions, size):
    """Area and its derivative by the logarithm of the radius over those of a disk: a ball of radius
    r at distance d is one of f r / sqrt(d^2 - r^2). Shape [radii, 2]."""
    mesh, found = trimesh.creation.icosphere(subdivisions, 1.0), []
    for radius in np.linspace(0.3, 0.45, 16):
        scale = torch.tensor(radius, dtype=torch.float64, requires_grad=True)
        area = coverage(mesh, views(size, (33.0, 21.0)), scale).sum()
        area.backward()
        disk = np.pi * FOCAL**2 * radius**2 / (4 - radius**2)
        slope = 2 * disk * 4 / (4 - radius**2)
        found.append((area.item() / disk, scale.grad.item() * radius / slope))
    return np.array(found)


def test_a_ball_covers_what_a_ball_covers():
    ratios = ball_ratios(4, 48)
    # the polyhedron is 0.2 % smaller, and a curved outline is blended as if straight
    assert np.abs(ratios[:, 0] - 1).max() < 0.006
    # an outline of radius R passes between samples in 2 sqrt(2) R rows, give or take one or two in
    # 40 for one radius, none on the average
    assert np.abs(ratios[:, 1] - 1).max() < 0.06
    assert ratios[:, 1].mean() == pytest.approx(1, abs=0.015)


def test_coverage_of_hidden_and_linked_parts_follows_their_outline():
    """The mean of the derivative over a range is the difference of the areas at its ends: nothing
    jumps where samples change hands."""
    mesh, cameras = two_rings(), views(48, (20.0, 35.0))
    ends, slopes = [], []
    for s in np.linspace(0.95, 1.05, 41):
        scale = torch.tensor(s, dtype=torch.float64, requires_grad=True)
        area = coverage(mesh, cameras, scale).sum()
        area.backward()
        ends.append(area.item())
        slopes.append(scale.grad.item())
    assert np.abs(np.diff(ends)).max() < 1.5 * np.mean(np.diff(ends))
    # 41 midpoints of a function with kinks
    assert np.trapezoid(slopes, dx=0.0025) == pytest.approx(ends[-1] - ends[0], rel=0.03)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_gradients_against_finite_differences():
    """Central differences with h = 1e-6 in float64 are good to about 1e-9 / |g|; visibility does
    not change within such a step."""
    mesh, cameras = two_rings(), views(24, (20.0, 35.0), (110.0, -10.0))
    g = torch.Generator().manual_seed(0)
    vertices = tensor(mesh.vertices).requires_grad_()
    values = torch.rand(len(vertices), 2, generator=g, dtype=torch.float64, requires_grad=True)
    mix = torch.randn(2, 4, 24, 24, generator=g, dtype=torch.float64)

    def objective():
        seen = raster(vertices, mesh.faces, cameras)
        depth = seen.depth[:, None]
        shown = torch.cat([seen.interpolate(values), torch.ones_like(depth), depth], 1)
        return (seen.picture(shown) * mix).sum()

    objective().backward()
    outline = raster(vertices, mesh.faces, cameras)
    assert len(outline.inner) > 100
    for p in (vertices, values):
        flat, grad = p.data.view(-1), p.grad.view(-1)
        picked = torch.randperm(len(flat), generator=g)[:25].tolist()
        for i in [*grad.abs().topk(15).indices.tolist(), *picked]:
            value, ends = float(flat[i]), []
            for h in (1e-6, -1e-6):
                flat[i] = value + h
                ends.append(float(objective().detach()))
            flat[i] = value
            numeric = (ends[0] - ends[1]) / 2e-6
            assert float(grad[i]) == pytest.approx(numeric, rel=1e-4, abs=1e-6)


def test_outlines_finer_than_a_sample_are_found():
    """A ball of 20480 faces, 70 on a sample: the derivative is still that of a disk."""
    assert ball_ratios(5, 24)[:, 1].mean() == pytest.approx(1, abs=0.03)


def test_a_picture_stays_between_its_colours():
    """Also where one sample lies between outlines on every side: needles."""
    mesh = trimesh.creation.icosphere(1, 0.4)
    long = torch.arange(len(mesh.vertices)) % 3 == 0
    vertices = tensor(mesh.vertices) * (0.1 + 0.9 * long)[:, None]
    seen = raster(vertices, mesh.faces, views(16, (10.0, 5.0)))
    alpha = seen.picture(torch.ones(len(seen.sample), 1, dtype=torch.float64))
    assert float(alpha.min()) >= 0
    assert float(alpha.max()) <= 1 + 1e-12


def test_open_meshes_have_neighbours_where_they_have():
    mesh = trimesh.creation.icosphere(1, 0.4)
    whole = face_neighbours(np.asarray(mesh.faces))
    assert (whole >= 0).all()
    assert (np.sort(whole[whole[:, 0], :], 1) == np.arange(len(whole))[:, None]).any(1).all()
    cut = face_neighbours(np.asarray(mesh.faces)[1:])
    assert (cut < 0).sum() == 3
    # the missing face leaves a hole with an outline
    seen = raster(tensor(mesh.vertices), mesh.faces[:1], views(64))
    assert len(seen.sample) == 0 or len(seen.inner) > 0


def test_no_faces_make_an_empty_picture():
    vertices = torch.zeros(0, 3, requires_grad=True)
    seen = raster(vertices, np.zeros((0, 3)), views(8))
    assert float(seen.picture(torch.ones(0, 2)).abs().sum()) == 0

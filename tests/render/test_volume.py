"""Marching against a plain loop, weights against closed forms."""

import math

import pytest
import torch

from score3d.cameras import orbit
from score3d.render.volume import Samples, camera_rays, march, weights


def test_rays_hit_the_pixels_they_come_from():
    """Points along a ray project to its pixel's centre, at depth distance x cosine."""
    views = orbit(torch.tensor([20.0, 200.0]), torch.tensor([10.0, -30.0]), 2.0, 40.0, 6, 4)
    origins, directions, cosines = camera_rays(views.viewmats, views.Ks, 6, 4)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(2, 4, 6))
    points = origins[:, None, None] + 1.7 * directions
    local = torch.einsum("bij,bhwj->bhwi", views.viewmats[:, :3, :3], points)
    local = local + views.viewmats[:, None, None, :3, 3]
    torch.testing.assert_close(local[..., 2], 1.7 * cosines)
    pixels = torch.einsum("bij,bhwj->bhwi", views.Ks, local / local[..., 2:])
    expected = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(4.0), indexing="xy"), -1)
    # a focal length of 5.5 pixels magnifies float32's rounding: 1e-4 pixels is 100 ulp
    torch.testing.assert_close(
        pixels[..., :2], (expected + 0.5).expand(2, -1, -1, -1), atol=1e-4, rtol=0
    )


def slow_march(origins, directions, occupied, bound, step):
    """Every sample one by one, in Python."""
    found = []
    n = len(occupied)
    for i, (o, d) in enumerate(zip(origins.tolist(), directions.tolist(), strict=True)):
        near, far = 0.0, math.inf
        for a in range(3):
            hits = sorted(((-bound - o[a]) / d[a], (bound - o[a]) / d[a]))
            near, far = max(near, hits[0]), min(far, hits[1])
        k = 0
        while near + (k + 0.5) * step < far:
            t = near + (k + 0.5) * step
            x, y, z = (
                min(n - 1, int((o[a] + t * d[a] + bound) / (2 * bound) * n)) for a in range(3)
            )
            if occupied[z, y, x]:
                found.append((i, t))
            k += 1
    return found


def test_marching_visits_occupied_cells_and_no_others():
    g = torch.Generator().manual_seed(0)
    views = orbit(torch.tensor([33.0]), torch.tensor([21.0]), 2.0, 50.0, 9, 9)
    origins, directions, _ = camera_rays(views.viewmats.double(), views.Ks.double(), 9, 9)
    start = origins[:, None, None].expand_as(directions).reshape(-1, 3)
    along = directions.reshape(-1, 3)
    occupied = torch.rand(8, 8, 8, generator=g) < 0.3
    samples = march(start, along, occupied, 0.6, 0.05)
    expected = slow_march(start, along, occupied, 0.6, 0.05)
    assert samples.ray.tolist() == [i for i, _ in expected]
    torch.testing.assert_close(
        samples.t, torch.tensor([t for _, t in expected], dtype=torch.float64)
    )
    assert samples.rays == 81
    assert len(samples.ray) > 0


def test_rays_along_an_axis_and_past_the_cube():
    start = torch.tensor([[0.1, 0.1, -2.0], [0.9, 0.0, -2.0], [0.0, 0.0, 2.0]])
    along = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    samples = march(start, along, torch.ones(4, 4, 4, dtype=torch.bool), 0.5, 0.25)
    assert samples.ray.tolist() == [0, 0, 0, 0]  # the second passes by, the third looks away
    torch.testing.assert_close(samples.t, torch.tensor([1.625, 1.875, 2.125, 2.375]))


def test_weights_of_a_homogeneous_fog():
    """w_k = exp(-k s d) (1 - exp(-s d)) for density s, and what is left is exp(-n s d)."""
    counts, density, step = [5, 0, 3], 2.0, 0.25
    ray = torch.tensor([0] * 5 + [2] * 3)
    t = torch.arange(8.0, dtype=torch.float64)
    samples = Samples(ray, t, 3, step)
    w, transmittance = weights(samples, torch.full((8,), density, dtype=torch.float64))
    k = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2], dtype=torch.float64)
    torch.testing.assert_close(transmittance, torch.exp(-k * density * step))
    torch.testing.assert_close(w, torch.exp(-k * density * step) * (1 - math.exp(-density * step)))
    total = torch.zeros(3, dtype=torch.float64).index_add(0, ray, w)
    expected = [1 - math.exp(-n * density * step) for n in counts]
    torch.testing.assert_close(total, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_sample(count):
    samples = Samples(torch.zeros(count, dtype=torch.long), torch.ones(count), 4, 0.1)
    w, transmittance = weights(samples, torch.ones(count))
    assert w.shape == transmittance.shape == (count,)

"""Noise that sticks to the scene, and gradients that agree."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from score3d import build
from score3d.cameras import orbit
from score3d.config import ConfigError, load_config
from score3d.distill.consistency.gradient import GradientConsistency, agreement
from score3d.distill.noise.consistent import Consistent, assign, sample_points
from score3d.draw import DrawSpec, draw_at
from score3d.scenes.base import Render

CHANNELS, GRID = 4, 32
# numbers per view; |corr| of neighbours must stay below 3 of its standard errors
COUNT = CHANNELS * GRID * GRID


def ball(azimuths, radius=0.5, side=128):
    """An exact sphere seen from `azimuths`: Gaussians all over its skin, analytic depth."""
    azimuths = torch.tensor(azimuths)
    cameras = orbit(azimuths, torch.full_like(azimuths, 10.0), 2.0, 40.0, side, side)
    g = torch.Generator().manual_seed(0)
    means = torch.nn.functional.normalize(torch.randn(6000, 3, generator=g), dim=1) * radius
    gaussians = {
        "means": means,
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(len(means), 1),
        "scales": torch.full((len(means), 3), 1e-3),
        "opacities": torch.ones(len(means)),
    }
    axis = torch.arange(side) + 0.5
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(cameras.Ks[0]).T
    # |s ray - (0, 0, 2)| = radius, the nearer s; the depth is s, as rays have z = 1
    a, b, c = rays.square().sum(-1), -4 * rays[..., 2], 4 - radius**2
    inside = b**2 - 4 * a * c
    depth = torch.where(inside > 0, (-b - inside.clamp(min=0).sqrt()) / (2 * a), 0.0)
    alpha = (inside > 0).float()
    n = len(cameras)
    shape = (n, 1, side, side)
    return cameras, Render(
        torch.zeros(n, 3, side, side), alpha.expand(shape), {}, depth.expand(shape), gaussians
    )


def drawn(cameras, samples=1, step=0, seed=0):
    spec = DrawSpec(seed, 1000, len(cameras), samples, (CHANNELS, GRID, GRID), 128)
    return replace(draw_at(spec, step), views=cameras)


def noise(azimuths, samples=1, step=0):
    cameras, view = ball(azimuths)
    return Consistent()(drawn(cameras, samples, step), view), view


def test_every_view_is_exactly_standard_normal():
    """Kolmogorov-Smirnov over 40 draws of 3 views: p-values are themselves uniform; neighbours
    are uncorrelated within 3 standard errors (4 for the largest of 12)."""
    p_values, worst = [], 0.0
    for step in range(40):
        eps, _ = noise([0.0, 15.0, 90.0], step=step)
        assert eps.shape == (3, 1, CHANNELS, GRID, GRID)
        p_values += [stats.kstest(view.flatten().numpy(), "norm").pvalue for view in eps]
        if step < 4:
            for view in eps[:, 0]:
                across = (view[:, :, 1:] * view[:, :, :-1]).mean() * math.sqrt(COUNT)
                down = (view[:, 1:] * view[:, :-1]).mean() * math.sqrt(COUNT)
                worst = max(worst, abs(float(across)), abs(float(down)))
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    assert min(p_values) > 1e-4
    assert worst < 4


def test_the_first_view_keeps_its_own_noise_where_the_object_is():
    cameras, view = ball([0.0, 20.0])
    draw = drawn(cameras, 2)
    eps = Consistent()(draw, view)
    covered = (eps[0] - draw.noise[0]).abs().amax((0, 1)) < 1e-4
    inner = torch.nn.functional.avg_pool2d(view.alpha[:1], 4)[0, 0] == 1
    assert covered[inner].float().mean() > 0.95
    assert not torch.allclose(eps[0], eps[1])


def test_equal_cameras_see_equal_noise_and_samples_differ():
    eps, _ = noise([30.0, 30.0], samples=2)
    assert torch.equal(eps[0], eps[1])
    assert abs(float((eps[0, 0] * eps[0, 1]).mean())) < 4 / math.sqrt(COUNT)


def warped_correlation(angle):
    """Of the noise of view 0 with that of view 1 on the same surface, by the true depth."""
    values = []
    for step in range(3):
        cameras, view = ball([0.0, angle])
        draw = drawn(cameras, step=step)
        eps = Consistent()(draw, view)[:, 0]
        values.append(float(agreement(view, eps, draw, 0.05)[0]))
    return sum(values) / len(values)


def test_correlation_decays_with_the_angle():
    near, middle, far = (warped_correlation(a) for a in (2.0, 10.0, 40.0))
    assert near > 0.5
    assert near > middle > far - 0.02
    cameras, view = ball([0.0, 2.0])
    draw = drawn(cameras)
    iid = float(agreement(view, draw.noise[:, 0], draw, 0.05)[0])
    assert abs(iid) < 0.1


def test_what_is_hidden_does_not_speak():
    """From opposite sides no surface point is shared: the covered pixels are independent."""
    products = []
    for step in range(8):
        eps, view = noise([0.0, 180.0], step=step)
        covered = torch.nn.functional.avg_pool2d(view.alpha[:1], 4)[0, 0] == 1
        mirrored = eps[1].flip(-1)  # a point seen through the ball would appear here
        products.append((eps[0] * mirrored)[..., covered].flatten())
    products = torch.cat(products)
    assert abs(products.mean()) < 4 * products.std() / math.sqrt(len(products))


def test_one_point_falls_on_one_pixel():
    cameras, view = ball([0.0])
    points = sample_points(view.gaussians, 2, torch.Generator().manual_seed(0))
    pixel = assign(points, cameras, view.depth[0, 0], view.alpha[0, 0], (GRID, GRID), 0.05)
    assert pixel.shape == (12000,)
    assert pixel.min() == -1
    assert pixel.max() < GRID * GRID
    seen = (pixel >= 0).float().mean()
    assert 0.25 < seen < 0.5  # the near cap of a sphere from 4 radii away: 37.5 %


def test_points_are_spread_as_their_gaussian():
    """Covariance R diag(s^2) R^T within 5 standard errors of 40000 samples."""
    quats = torch.tensor([[0.5, 0.1, -0.7, 0.3]])
    scales = torch.tensor([[0.3, 0.1, 0.02]])
    gaussians = {"means": torch.tensor([[1.0, 2.0, 3.0]]), "quats": quats, "scales": scales}
    points = sample_points(gaussians, 40000, torch.Generator().manual_seed(0))
    w, x, y, z = (quats[0] / quats[0].norm()).tolist()
    r = torch.tensor(
        [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
         [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
         [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
    )  # fmt: skip
    expected = r @ torch.diag(scales[0] ** 2) @ r.T
    assert torch.allclose(torch.cov(points.T), expected, atol=5 * 0.09 * (2 / 40000) ** 0.5)
    assert torch.allclose(points.mean(0), gaussians["means"][0], atol=5 * 0.3 / 200)


def test_a_picture_keeps_its_own_noise():
    cameras, view = ball([0.0])
    draw = drawn(cameras)
    assert torch.equal(Consistent()(draw, replace(view, gaussians=None)), draw.noise)
    with pytest.raises(ValueError, match="needs renders with depth"):
        Consistent()(draw, replace(view, depth=None))


# ---- gradients -------------------------------------------------------------------------------


def painted(cameras, view, size=GRID):
    """A field on the sphere's surface, sin of world coordinates, as each view sees it."""
    fields = []
    axis = (torch.arange(size) + 0.5) * 128 / size
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    depth = torch.nn.functional.interpolate(view.depth, (size, size), mode="area")[:, 0]
    for i in range(len(cameras)):
        rays = pixels @ torch.linalg.inv(cameras.Ks[i]).T * depth[i].unsqueeze(-1)
        m = cameras.viewmats[i]
        world = (rays - m[:3, 3]) @ m[:3, :3]
        fields.append(torch.cat([(4 * world).sin(), (3 * world).cos()], -1).permute(2, 0, 1))
    return torch.stack(fields)


def test_what_lies_on_the_surface_agrees():
    """The same field of the world seen from both sides of 10 degrees: cosine near 1 (bilinear
    reading on 32 x 32: 0.02); turned the wrong way it is not."""
    cameras, view = ball([0.0, 10.0])
    g = painted(cameras, view)
    draw = drawn(cameras)
    cosine, count = agreement(view, g, draw, 0.05)
    assert cosine > 0.98
    assert count > 0.4 * 2 * (view.alpha[0].mean() * GRID * GRID)
    turned = orbit(torch.tensor([10.0, 0.0]), torch.full((2,), 10.0), 2.0, 40.0, 128, 128)
    swapped = replace(draw, views=turned)
    assert agreement(view, g, swapped, 0.05)[0] < cosine - 0.02


def test_views_that_share_nothing_make_no_demand():
    cameras, view = ball([0.0, 180.0])
    g = torch.randn(2, CHANNELS, GRID, GRID, generator=torch.Generator().manual_seed(0))
    assert agreement(view, g, drawn(cameras), 0.02)[1] < 0.1 * GRID * GRID
    assert GradientConsistency()(replace(view, depth=None), g, drawn(cameras)) is None


def test_it_moves_the_depth_and_nothing_else():
    """Finite differences along the depth itself, of a scalar that is smooth but where masks
    change: 5 %."""
    cameras, view = ball([0.0, 10.0])
    g = painted(cameras, view).requires_grad_()
    draw = drawn(cameras)
    direction = torch.rand(view.depth.shape, generator=torch.Generator().manual_seed(1)) * 0.01
    demand = GradientConsistency(1.0, 0.3)

    def value(step):
        return demand(replace(view, depth=view.depth + step * direction), g.detach(), draw)

    depth = view.depth.clone().requires_grad_()
    loss = demand(replace(view, depth=depth), g, draw)
    loss.backward()
    assert g.grad is None or not g.grad.any()
    slope = float((depth.grad * direction).sum())
    h = 0.05
    numeric = float(value(h) - value(-h)) / (2 * h)
    assert slope == pytest.approx(numeric, rel=0.05, abs=1e-4)
    assert depth.grad.abs().max() > 0


def test_consistency_needs_pairs_and_pairs_need_even_views():
    prompt = {"run": {"prompt": "a red cube"}}
    with pytest.raises(ConfigError, match=r"set distill\.pair_angle"):
        build.validate(load_config(None, None, ["distill.consistency=gradient"], prompt))
    with pytest.raises(ConfigError, match=r"views\.count must be even, not 3"):
        load_config(None, "gsd", ["views.count=3"])

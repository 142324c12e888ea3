"""Gaps between Gaussians, in closed form."""

import math

import torch

from score3d.draw import DrawSpec, draw_at
from score3d.scenes.compactness import Compactness, gaps, reach
from score3d.scenes.gaussians import GaussianOptions, GaussianScene


def test_reach_along_the_axes_of_a_turned_gaussian():
    """Turned by 90 degrees about z, the long x axis lies along y."""
    half = math.sqrt(0.5)
    quats = torch.tensor([[half, 0, 0, half]]).double().expand(4, 4)
    scales = torch.tensor([[3.0, 1.0, 0.5]]).double().expand(4, 3)
    u = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [half, half, 0]]).double()
    diagonal = 1 / math.sqrt(0.5 / 9 + 0.5)
    torch.testing.assert_close(
        reach(quats, scales, u), torch.tensor([1.0, 3.0, 0.5, diagonal]).double()
    )


def test_reach_is_where_the_exponent_is_a_half():
    """q(r u) = 1 with the full covariance, for any quaternion, direction and scales."""
    g = torch.Generator().manual_seed(0)
    quats = torch.randn(50, 4, generator=g, dtype=torch.float64)
    scales = torch.rand(50, 3, generator=g, dtype=torch.float64) + 0.1
    u = torch.nn.functional.normalize(torch.randn(50, 3, generator=g, dtype=torch.float64), dim=1)
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(1)
    turn = torch.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
         2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
         2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1
    ).view(-1, 3, 3)  # fmt: skip
    precision = turn @ torch.diag_embed(scales**-2) @ turn.transpose(1, 2)
    at = reach(quats, scales, u)[:, None] * u
    torch.testing.assert_close(
        torch.einsum("ni,nij,nj->n", at, precision, at), torch.ones(50, dtype=torch.float64)
    )


def test_a_gap_between_two_is_found_once_and_filled_in_the_middle():
    means = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])
    quats = torch.tensor([[1.0, 0, 0, 0]]).expand(2, 4)
    scales = torch.tensor([[0.1] * 3, [0.3] * 3])
    host, middle, width = gaps(means, quats, scales, 3)
    assert host.tolist() == [0]
    torch.testing.assert_close(middle, torch.tensor([[0.4, 0, 0]]))  # between 0.1 and 0.7
    torch.testing.assert_close(width, torch.tensor([0.6]))
    assert len(gaps(means, quats, scales * 3, 3)[0]) == 0  # they overlap
    assert len(gaps(means[:1], quats[:1], scales[:1], 3)[0]) == 0


def scene(cap):
    options = GaussianOptions(count=60, init_scale=0.01, min_scale=1e-4, init_opacity=0.3)
    return GaussianScene(options, Compactness(every=1, start=0, cap=cap), 10)


def test_adaptation_fills_gaps_up_to_the_cap_and_optimisers_follow():
    draw = draw_at(DrawSpec(0, 10, 1, 1, (3, 8, 8), 16), 0)
    for cap in (1000, 70):
        s = scene(cap)
        before = {k: v.detach().clone() for k, v in s.params.items()}
        shown = s.render(draw.views, draw.background)
        shown.rgb.sum().backward()
        s.step(0)
        moved = s.params["means"].detach().clone()
        s.adapt(draw, shown)
        assert 60 < len(s) <= cap
        assert torch.equal(s.params["means"][:60], moved)
        assert set(s.params) == set(before)
        assert s.optimizers["means"].param_groups[0]["params"][0] is s.params["means"]
        state = s.optimizers["means"].state[s.params["means"]]
        assert (state["exp_avg"][60:] == 0).all()
        at = s.params["means"].detach().clone()
        shown = s.render(draw.views, draw.background)
        shown.rgb.sum().backward()
        s.step(1)
        assert not torch.equal(s.params["means"], at)
    assert len(s) == 70


def test_faint_ones_go_but_never_all():
    s = scene(60)
    with torch.no_grad():
        s.params["opacities"][:50] = -9.0
    draw = draw_at(DrawSpec(0, 10, 1, 1, (3, 8, 8), 16), 0)
    s.adapt(draw, s.render(draw.views, draw.background))
    assert len(s) > 0
    assert (s.params["opacities"].detach() > -9).all()
    with torch.no_grad():
        s.params["opacities"][:] = -9.0
    s.adapt(draw, s.render(draw.views, draw.background))
    assert len(s) > 0

from dataclasses import replace

import pytest
import torch
from scipy import stats

from score3d.draw import DrawSpec, draw_at

SPEC = DrawSpec(seed=3, steps=100, views=4, noises=2, latent_shape=(3, 8, 8), resolution=16)


def flat(draw):
    return [draw.views.viewmats, draw.background, draw.t, draw.noise, torch.tensor(draw.adapt_seed)]


def test_depends_on_seed_and_step_alone():
    torch.manual_seed(0)
    a = draw_at(SPEC, 7)
    torch.manual_seed(1)
    b = draw_at(SPEC, 7)
    assert all(torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))
    for other in (draw_at(SPEC, 8), draw_at(replace(SPEC, seed=4), 7)):
        assert not any(torch.equal(x, y) for x, y in zip(flat(a), flat(other), strict=True))


def test_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    draw_at(SPEC, 1)
    assert torch.equal(before, torch.get_rng_state())


def test_noise_is_standard_normal():
    noise = torch.stack([draw_at(SPEC, s).noise for s in range(40)]).flatten().numpy()
    assert stats.kstest(noise, "norm").pvalue > 1e-3


def test_times_cover_the_range_and_are_stratified():
    for step in (0, 40, 90):
        low, high = SPEC.t_range(step)
        t = draw_at(SPEC, step).t
        assert ((t > low) & (t < high)).all()
        strata = ((t - low) / (high - low) * 4).floor().sort().values
        assert strata.tolist() == [0, 1, 2, 3]


def test_annealing_ends_where_told():
    assert SPEC.t_range(0) == (0.02, 0.98)
    assert SPEC.t_range(40)[1] == pytest.approx(0.74)
    assert SPEC.t_range(80)[1] == pytest.approx(0.5)
    assert SPEC.t_range(99)[1] == pytest.approx(0.5)


def test_azimuths_see_all_sides():
    for step in range(20):
        a = draw_at(SPEC, step).views.azimuth.sort().values
        gaps = torch.cat([a.diff(), a[:1] + 360 - a[-1:]])
        assert gaps.max() <= 135.0 + 1e-3
    pooled = torch.cat([draw_at(SPEC, s).views.azimuth for s in range(300)]).numpy()
    assert stats.kstest(pooled / 360, "uniform").pvalue > 1e-3


def test_fixed_background():
    assert torch.equal(draw_at(replace(SPEC, background=1.0), 0).background, torch.ones(4, 3))


def test_grids_are_quarter_turns_that_share_everything_else():
    spec = replace(SPEC, views=8, ring=4)
    for step in range(20):
        draw = draw_at(spec, step)
        azimuth = draw.views.azimuth.view(2, 4)
        first = (azimuth[:, 0] + 180) % 360 - 180
        assert (first.abs() <= 45).all()
        turned = (azimuth - azimuth[:, :1]) % 360
        assert torch.allclose(
            turned, torch.tensor([0.0, 90.0, 180.0, 270.0]).expand(2, 4), atol=1e-3
        )
        shared = (draw.views.elevation[:, None], draw.views.viewmats[:, 2, 3:], draw.background)
        for value in (*shared, draw.t[:, None]):
            fours = value.view(2, 4, -1)
            assert (fours == fours[:, :1]).all()
        low, high = spec.t_range(step)
        strata = ((draw.t[::4] - low) / (high - low) * 2).floor().sort().values
        assert strata.tolist() == [0, 1]


def test_pairs_share_all_but_noise_and_an_angle():
    spec = replace(SPEC, views=4, pair_angle=10.0)
    draw = draw_at(spec, 3)
    a, b = draw.views.azimuth[::2], draw.views.azimuth[1::2]
    assert torch.allclose((b - a) % 360, torch.full((2,), 10.0), atol=1e-3)
    assert torch.equal(draw.views.elevation[::2], draw.views.elevation[1::2])
    assert torch.equal(draw.background[::2], draw.background[1::2])
    assert torch.equal(draw.t[::2], draw.t[1::2])
    assert draw.t[0] != draw.t[2]
    assert not torch.equal(draw.noise[0], draw.noise[1])


def test_particles_share_cameras_and_have_noise_of_their_own():
    one, draw = draw_at(SPEC, 3), draw_at(replace(SPEC, particles=3), 3)
    v = SPEC.views
    assert len(draw.views) == len(draw.t) == len(draw.noise) == 3 * v
    for p in range(3):
        rows = slice(p * v, (p + 1) * v)
        assert torch.equal(draw.views.viewmats[rows], one.views.viewmats)
        assert torch.equal(draw.background[rows], one.background)
    assert not torch.equal(draw.noise[:v], draw.noise[v : 2 * v])
    edges = torch.linspace(*SPEC.t_range(3), 3 * v + 1)
    assert torch.bucketize(draw.t, edges).sort().values.tolist() == list(range(1, 3 * v + 1))


def test_a_picture_is_seen_from_the_front():
    draw = draw_at(replace(SPEC, from_front=True), 3)
    assert not draw.views.azimuth.any()
    assert not draw.views.elevation.any()
    assert torch.equal(draw.noise, draw_at(SPEC, 3).noise)


def test_fillers_streams_differ_and_repeat():
    draw = draw_at(SPEC, 3)
    a, b, c = (torch.rand(3, generator=draw.generator(k)) for k in (0, 1, 0))
    assert torch.equal(a, c)
    assert not torch.equal(a, b)
    assert not torch.equal(a, torch.rand(3, generator=draw_at(SPEC, 4).generator(0)))

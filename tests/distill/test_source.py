"""The source branch: DDS and PDS."""

import pytest
import torch

from score3d.distill.baseline.dds import Dds
from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.baseline.pds import Pds, pds_time_weight, psi_chi
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple.independent import independent
from score3d.distill.equation import Rule, distill
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.mean import mean
from score3d.draw import DrawSpec, draw_at
from score3d.prompts import Conditioning
from score3d.schedule import NoiseSchedule

GUIDE = ClassifierFree(7.5)


def rule(baseline, time_weight=TIME_WEIGHTS["uniform"]):
    return Rule(iid, GUIDE, baseline, mean, independent, nothing, time_weight)


def pictures(seed):
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def conditioning(source_latents, source=1.0):
    return Conditioning(
        torch.ones(4, 1, 1),
        torch.zeros(4, 1, 1),
        source=torch.full((4, 1, 1), source),
        source_latents=source_latents,
    )


def drawn(teacher, noises=1, step=0):
    return draw_at(DrawSpec(1, 100, 4, noises, teacher.latent_shape, 8), step)


@pytest.mark.parametrize("baseline", [Dds(GUIDE), Pds(Dds(GUIDE))])
def test_zero_at_identity(gaussian_teacher, baseline):
    """Exactly: both branches do the same arithmetic."""
    z = pictures(1)
    g = distill(
        gaussian_teacher, z, conditioning(z.clone()), drawn(gaussian_teacher, 2), None,
        rule(baseline),
    )  # fmt: skip
    assert torch.equal(g, torch.zeros_like(g))


def test_dds_is_the_closed_form(gaussian_teacher):
    """The noise cancels: sigma alpha ((z - m) - (z_src - m_src)) / (alpha^2 s^2 + sigma^2), with
    the means guided: float32, guidance 7.5, hence 1e-4."""
    z, source, draw = pictures(1), pictures(2), drawn(gaussian_teacher)
    g = distill(
        gaussian_teacher, z, conditioning(source, 0.4), draw, None, rule(Dds(GUIDE))
    )  # fmt: skip
    alpha, sigma = gaussian_teacher.schedule.alpha_sigma(draw.t, z)
    edit = 7.5 * (1.0 - 0.4) * gaussian_teacher.mean
    expected = sigma * alpha * (z - source - edit) / (alpha**2 * 0.09 + sigma**2)
    assert torch.allclose(g, expected, atol=1e-4)


def test_dds_has_a_fraction_of_the_variance_of_sds(gaussian_teacher):
    """On a Gaussian none is left: the closed form has no eps in it (1e-8, rounding)."""
    z, cond = pictures(1), conditioning(pictures(2), 0.4)
    draw = draw_at(
        DrawSpec(1, 1, 4, 1, gaussian_teacher.latent_shape, 8, t_min=0.5, t_max=0.5, t_max_end=0.5),
        0,
    )
    from dataclasses import replace

    variances = []
    for baseline in (Dds(GUIDE), own_noise):
        gradients = torch.stack(
            [
                distill(
                    gaussian_teacher,
                    z,
                    cond,
                    replace(draw, noise=drawn(gaussian_teacher, step=s).noise),
                    None,
                    rule(baseline),
                )
                for s in range(16)
            ]
        )
        variances.append(gradients.var(0).mean().item())
    assert variances[0] < 1e-8 < 1e-4 < variances[1]


@pytest.mark.parametrize(
    ("step", "psi", "chi"),
    [
        (21, 1.613, 0.232),
        (101, 0.314, 0.115),
        (301, 0.0794, 0.0838),
        (501, 0.0321, 0.0821),
        (701, 0.0145, 0.0900),
        (901, 0.0062, 0.1035),
        (979, 0.0042, 0.1095),
    ],
)
def test_psi_and_chi_of_stable_diffusions_schedule(step, psi, chi):
    """Values to the digits given. At stride 1 the identity term vanishes."""
    schedule, t = NoiseSchedule.scaled_linear(), torch.tensor([(step + 0.5) / 1000])
    found = [float(v) for v in psi_chi(schedule, t, 2)]
    assert found == pytest.approx([psi, chi], rel=0.01)
    assert abs(float(psi_chi(schedule, t, 1)[0])) < 1e-9
    assert all(torch.isfinite(v) for v in psi_chi(schedule, torch.tensor([1e-4]), 2))


def test_pds_is_the_difference_of_stochastic_latents(gaussian_teacher):
    """zeta = (x_t' - mu(x_t, e)) / s as the paper defines it, in float64, against ours in
    float32: 1e-4 of the largest element."""
    teacher, z, source = gaussian_teacher, pictures(1), pictures(2)
    draw, cond = drawn(gaussian_teacher), conditioning(pictures(2), 0.4)
    g = distill(teacher, z, cond, draw, None, rule(Pds(Dds(GUIDE), 2), pds_time_weight(2)))
    bars, step = teacher.schedule.alphas_cumprod, teacher.schedule.timesteps(draw.t)
    bar, before, beta = (
        v.view(-1, 1, 1, 1) for v in (bars[step], bars[step - 2], 1 - bars[step] / bars[step - 1])
    )
    eps = draw.noise[:, 0].double()
    other = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(9)).double()

    def zeta(latents, text):
        x_t = bar.sqrt() * latents + (1 - bar).sqrt() * eps
        before_t = before.sqrt() * latents + (1 - before).sqrt() * other
        mean_of = 7.5 * text * teacher.mean.double()
        e = (1 - bar).sqrt() * (x_t - bar.sqrt() * mean_of) / (bar * 0.09 + 1 - bar)
        x0 = (x_t - (1 - bar).sqrt() * e) / bar.sqrt()
        c0 = before.sqrt() * beta / (1 - bar)
        c1 = (1 - beta).sqrt() * (1 - before) / (1 - bar)
        s = ((1 - before) / (1 - bar) * beta).sqrt()
        return (before_t - c0 * x0 - c1 * x_t) / s

    expected = zeta(z.double(), 1.0) - zeta(source.double(), 0.4)
    assert (g.double() - expected).abs().max() < 1e-4 * expected.abs().max()


def test_stride_one_is_weighted_dds(gaussian_teacher):
    z, cond, draw = pictures(1), conditioning(pictures(2)), drawn(gaussian_teacher)
    pds = distill(gaussian_teacher, z, cond, draw, None, rule(Pds(Dds(GUIDE), 1)))
    dds = distill(gaussian_teacher, z, cond, draw, None, rule(Dds(GUIDE)))
    assert torch.allclose(pds, dds, atol=1e-6)


def test_no_source_is_named(gaussian_teacher):
    cond = Conditioning(torch.ones(4, 1, 1), torch.zeros(4, 1, 1))
    with pytest.raises(ValueError, match="needs a source"):
        distill(
            gaussian_teacher, pictures(1), cond, drawn(gaussian_teacher), None, rule(Dds(GUIDE))
        )

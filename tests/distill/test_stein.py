"""The Stein control variate."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from score3d.cameras import orbit
from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.baseline.stein import (
    Stein,
    correlation,
    depth_agreement,
    normal_agreement,
    rendered_normals,
    silhouette,
    variate,
)
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple.independent import independent
from score3d.distill.equation import Noisy, Rule, ask, distill
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.mean import mean
from score3d.draw import DrawSpec, draw_at
from score3d.prompts import Conditioning

SAMPLES = 4000


def disc():
    """What of a render the functions read: a bulging disc, for two views."""
    axis = torch.linspace(-1, 1, 16)
    square = (axis[:, None] ** 2 + axis[None] ** 2).expand(2, 1, 16, 16)
    return SimpleNamespace(alpha=(square < 0.5).float(), depth=1.5 + square)


def rule(baseline):
    return Rule(
        iid, ClassifierFree(1.0), baseline, mean, independent, nothing, TIME_WEIGHTS["sds"]
    )  # fmt: skip


def question(teacher, step=0, noises=1):
    z = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(8))
    spec = DrawSpec(1, 1000, 2, noises, teacher.latent_shape, 8, t_min=0.3, t_max=0.5)
    cond = Conditioning(torch.ones(2, 1, 1), torch.zeros(2, 1, 1))
    return z, cond, draw_at(spec, step), disc()


def noisy_at(teacher):
    """Many noises of one picture at one time."""
    g = torch.Generator().manual_seed(0)
    eps = torch.randn(SAMPLES, 3, 8, 8, generator=g)
    z = torch.rand(1, 3, 8, 8, generator=g).expand(SAMPLES, -1, -1, -1)
    t = torch.full((SAMPLES,), 0.4)
    alpha, sigma = teacher.schedule.alpha_sigma(t, z)
    one = torch.zeros(SAMPLES, 1, 1)
    draw = draw_at(DrawSpec(1, 1, 1, 1, (3, 8, 8), 16), 0)
    view = SimpleNamespace(alpha=disc().alpha[:1], depth=disc().depth[:1])
    return Noisy(alpha * z + sigma * eps, eps, z, t, Conditioning(one, one), draw, view)


def random_phi(seed):
    """sin <a, x> + <b, x>^2 / 2 + <c, x>, with a, b, c random directions of length 1."""
    g = torch.Generator().manual_seed(seed)
    a, b, c = (v / v.norm() for v in torch.randn(3, 192, generator=g))

    def phi(z_t, noisy):
        x = z_t.flatten(1)
        return (x @ a).sin() + (x @ b) ** 2 / 2 + x @ c

    return phi


def blurred_red(rgb):
    """In place of a depth network."""
    return torch.nn.functional.avg_pool2d(rgb[:, :1], 3, 1, 1)[:, 0].tanh()


def tilted_red(rgb):
    """In place of a network for normals."""
    x = torch.nn.functional.avg_pool2d(rgb, 3, 1, 1) - torch.tensor([0.5, 0.5, 1.5]).view(3, 1, 1)
    return x / (x.square().sum(1, keepdim=True) + 0.01).sqrt()


see_depth = depth_agreement(blurred_red, lambda z: 0.5 + 0.15 * z)
see_normals = normal_agreement(tilted_red, lambda z: 0.5 + 0.15 * z)


def worst(h):
    """The largest |mean| over the elements, in standard errors."""
    return (h.mean(0).abs() / (h.std(0) / len(h) ** 0.5)).max().item()


@pytest.mark.parametrize(
    "phi", [random_phi(0), random_phi(1), random_phi(2), silhouette, see_depth, see_normals]
)
def test_the_variate_has_mean_zero(gaussian_teacher, phi):
    """Within 4 standard errors; so is its projection on the direction where it could fail."""
    noisy = noisy_at(gaussian_teacher)
    h = variate(phi, gaussian_teacher.schedule, noisy)
    assert worst(h) < 4
    x = noisy.z_t.clone().requires_grad_()
    (slope,) = torch.autograd.grad(phi(x, noisy).sum(), x)
    direction = slope.mean(0) / slope.mean(0).norm()
    assert worst((h * direction).sum((1, 2, 3)).unsqueeze(1)) < 4


def test_the_published_sign_has_not(gaussian_teacher):
    """eps phi + grad phi is far off: the test above is able to fail."""
    noisy, phi = noisy_at(gaussian_teacher), random_phi(0)
    x = noisy.z_t.clone().requires_grad_()
    (slope,) = torch.autograd.grad(phi(x, noisy).sum(), x)
    h = noisy.eps * phi(noisy.z_t, noisy).view(-1, 1, 1, 1) + slope
    direction = slope.mean(0) / slope.mean(0).norm()
    assert worst((h * direction).sum((1, 2, 3)).unsqueeze(1)) > 20


def learnt(teacher, phi=silhouette, steps=60):
    stein = Stein(phi, 0.95)
    for step in range(steps):
        stein.learn(teacher, ask(teacher, *question(teacher, step), rule(stein)))
    return stein


def test_before_it_learns_it_is_sds(gaussian_teacher):
    args = question(gaussian_teacher, 3, 2)
    a = distill(gaussian_teacher, *args, rule(Stein(silhouette)))
    assert torch.equal(a, distill(gaussian_teacher, *args, rule(own_noise)))


@pytest.mark.parametrize("phi", [silhouette, random_phi(1)])
def test_mean_of_sds_and_no_more_variance(gaussian_teacher, phi):
    """mu comes from other steps than it is tried on. Means within 4 standard errors of the
    paired difference; variance below, up to 1 % for a phi that has nothing to offer."""
    stein = learnt(gaussian_teacher, phi)
    assert stein.coefficient != 0
    ours, sds = [], []
    for step in range(200, 500):
        args = question(gaussian_teacher, step)
        ours.append(distill(gaussian_teacher, *args, rule(stein)))
        sds.append(distill(gaussian_teacher, *args, rule(own_noise)))
    a, b = torch.stack(ours), torch.stack(sds)
    assert worst(a - b) < 4.5  # 384 elements: the largest of as many is 3.2 on average
    assert a.var(0).sum() < 1.01 * b.var(0).sum()
    if phi is silhouette:  # it is about 1, so that h is about eps, which the Gaussian leaves over
        assert a.var(0).sum() < 0.7 * b.var(0).sum()


def test_the_coefficient_is_least_squares(gaussian_teacher):
    """Without memory it is that of the last batch: -<f, wh> / <wh, wh>."""
    stein = Stein(silhouette, 0.0)
    asked = ask(gaussian_teacher, *question(gaussian_teacher, 1, 3), rule(stein))
    stein.learn(gaussian_teacher, asked)
    f = (asked.w * (asked.said - asked.noisy.eps)).double().flatten()
    h = asked.w * variate(silhouette, gaussian_teacher.schedule, asked.noisy)
    solved = torch.linalg.lstsq(h.double().flatten().unsqueeze(1), f.unsqueeze(1)).solution
    assert stein.coefficient == pytest.approx(-float(solved), rel=1e-6)


def test_state_goes_through_the_rule(gaussian_teacher):
    stein = learnt(gaussian_teacher, steps=5)
    state = rule(stein).state_dict() | {"param.means": torch.zeros(1)}
    assert "rule.baseline.moments" in state
    fresh = Stein(silhouette, 0.95)
    rule(fresh).load_state_dict(state)
    assert fresh.coefficient == stein.coefficient
    with pytest.raises(ValueError, match="no state of the Stein variate"):
        rule(Stein(silhouette)).load_state_dict({"param.means": torch.zeros(1)})


def test_silhouettes_without_contrast(gaussian_teacher):
    noisy = noisy_at(gaussian_teacher)
    noisy.view.alpha = torch.ones(1, 1, 16, 16)
    h = variate(silhouette, gaussian_teacher.schedule, noisy)
    assert torch.allclose(h, noisy.eps, atol=1e-4)


def test_correlation():
    a = torch.rand(2, 5, 7)
    assert torch.allclose(correlation(a, 3 * a + 1), torch.ones(2), atol=1e-5)
    assert torch.allclose(correlation(a, -a), -torch.ones(2), atol=1e-5)
    assert torch.equal(correlation(a, torch.ones_like(a)), torch.zeros(2))
    b = torch.rand(2, 5, 7)
    expected = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b, strict=True)]
    assert np.allclose(correlation(a, b), expected, atol=1e-5)


def test_normals_of_a_rendered_sphere():
    """Those of the sphere itself. Central differences are off by the square of the pixel over the
    radius of curvature: within 1.5 degrees where the sphere does not turn away."""
    camera = orbit(torch.zeros(1), torch.zeros(1), 2.0, 40.0, 64, 64)
    y, x = torch.meshgrid(*[torch.arange(64) + 0.5] * 2, indexing="ij")
    focal = camera.Ks[0, 0, 0]
    ray = torch.stack([(x - 32) / focal, (y - 32) / focal, torch.ones(64, 64)])
    a, b = ray.square().sum(0), 2.0 * ray[2]
    under = b**2 - a * (4 - 0.25)  # |s ray - (0, 0, 2)| = 0.5
    depth = torch.where(under > 0, (b - under.clamp(min=0).sqrt()) / a, 0.0)
    exact = (ray * depth - torch.tensor([0.0, 0.0, 2.0]).view(3, 1, 1)) / 0.5
    normals, known = rendered_normals(depth[None, None], (under > 0)[None, None], camera.Ks)
    fine = known[0, 0] & (exact[2] < -0.6)
    assert fine.sum() > 500
    assert not known[0, 0][under <= 0].any()
    cosine = (normals[0] * exact).sum(0)[fine]
    assert torch.rad2deg(cosine.clamp(max=1).acos()).max() < 1.5


def test_normals_that_agree_and_oppose():
    draw = draw_at(DrawSpec(1, 1, 2, 1, (3, 8, 8), 16), 0)
    noisy = SimpleNamespace(view=disc(), draw=draw)
    truth, _ = rendered_normals(disc().depth, disc().alpha > 0.5, draw.views.Ks)
    for sign in (1, -1):
        phi = normal_agreement(lambda rgb, sign=sign: sign * truth.repeat_interleave(2, 0), id)
        assert torch.allclose(
            phi(torch.zeros(4, 1), noisy), torch.full((4,), 1.0 - sign), atol=1e-5
        )

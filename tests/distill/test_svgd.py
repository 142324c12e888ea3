"""Closed forms of the Stein variational coupling."""

import math
from dataclasses import replace

import pytest
import torch

from score3d.distill.baseline.own_noise import own_noise
from score3d.distill.consistency.nothing import nothing
from score3d.distill.couple.independent import independent
from score3d.distill.couple.svgd import kernel, repulsion, svgd
from score3d.distill.equation import Rule, ask, distill
from score3d.distill.guide.classifier_free import ClassifierFree
from score3d.distill.noise.iid import iid
from score3d.distill.time_weight import TIME_WEIGHTS
from score3d.distill.weight.mean import mean
from score3d.draw import DrawSpec, draw_at
from score3d.prompts import Conditioning


def rule(couple=svgd):
    return Rule(iid, ClassifierFree(1.0), own_noise, mean, couple, nothing, TIME_WEIGHTS["sds"])


def conditioning(rows):
    return Conditioning(torch.ones(rows, 1, 1), torch.zeros(rows, 1, 1))


def draws(teacher, views, step=0, noises=1):
    return draw_at(
        DrawSpec(1, 100, views, noises, teacher.latent_shape, 8, shared_t=True), step
    )  # fmt: skip


def points(count):
    return torch.randn(count, 192, generator=torch.Generator().manual_seed(count))


def test_one_view_is_sds(gaussian_teacher):
    z, draw = torch.rand(1, 3, 8, 8), draws(gaussian_teacher, 1)
    a = distill(gaussian_teacher, z, conditioning(1), draw, None, rule())
    b = distill(gaussian_teacher, z, conditioning(1), draw, None, rule(independent))
    assert torch.equal(a, b)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_kernel_is_a_share_of_the_median_pair(count):
    """K = 1 on the diagonal and 1 / (B + 1) at the median distance."""
    x = points(count)
    k, gamma = kernel(x)
    assert torch.equal(k.diagonal(), torch.ones(count))
    pairs = torch.pdist(x).square()  # an odd number of them: one is the median itself
    assert gamma == pytest.approx(math.log(count + 1) / float(pairs.median()), rel=1e-5)
    upper = k[torch.triu_indices(count, count, 1).unbind()]
    assert float(upper.median()) == pytest.approx(1 / (count + 1), rel=1e-4)


@pytest.mark.parametrize("count", [2, 5])
def test_efficient_repulsion_is_the_naive_one(count):
    """In float64, where the B^2 D tensor and the two sums differ by rounding alone."""
    x = points(count).double()
    k, gamma = kernel(x)
    naive = (-2 * gamma * k[:, :, None] * (x[:, None] - x[None])).sum(1)
    assert torch.allclose(repulsion(x, k, gamma), naive, atol=1e-12)
    x.requires_grad_()
    square = (x[:, None] - x[None].detach()).square().sum(2)
    (auto,) = torch.autograd.grad(torch.exp(-gamma * square).sum(), x)
    assert torch.allclose(naive, auto, atol=1e-12)


@pytest.mark.parametrize("count", [2, 4])
def test_the_whole_gradient_is_the_paper_written_out(gaussian_teacher, count):
    """B times the paper's 1/B sums, naive loops in float64 against float32: 1e-4."""
    z = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    draw = draws(gaussian_teacher, count)
    g = distill(gaussian_teacher, z, conditioning(count), draw, None, rule())
    asked = ask(gaussian_teacher, z, conditioning(count), draw, None, rule())
    x, r = asked.noisy.z_t.double(), asked.r[:, 0].double()
    square = (x[:, None] - x[None]).square().flatten(2).sum(2)
    off = torch.pdist(x.flatten(1)).square()
    gamma = torch.tensor(count + 1.0).log() / off.quantile(0.5)
    for i in range(count):
        expected = torch.zeros(3, 8, 8, dtype=torch.float64)
        for j in range(count):
            k = torch.exp(-gamma * square[i, j])
            expected += k * r[j] + asked.w[i].double() * -2 * gamma * k * (x[i] - x[j])
        assert torch.allclose(g[i].double(), expected, atol=1e-4)
    assert torch.isfinite(g).all()


def test_descent_along_the_repulsion_moves_points_apart():
    x = points(2) * 0.1
    k, gamma = kernel(x)
    moved = x - 0.1 * repulsion(x, k, gamma)
    assert torch.pdist(moved) > torch.pdist(x)
    step = moved - x  # along x_i - x_j, with opposite signs
    assert torch.allclose(step[0], -step[1], atol=1e-7)
    assert torch.dot(step[0], x[0] - x[1]) > 0


def test_identical_latents_separate(gaussian_teacher):
    """Their noise differs, so they repel, although the residuals' own part is made equal."""
    z = torch.full((3, 3, 8, 8), 0.5)
    distances = []
    for step in range(20):
        draw = draws(gaussian_teacher, 3, step)
        asked = ask(gaussian_teacher, z, conditioning(3), draw, None, rule())
        z = z - 0.1 * svgd(torch.zeros_like(z), asked)
        distances.append(torch.pdist(z.flatten(1)).min().item())
    assert distances[0] > 0
    assert distances[-1] > distances[0]


def test_identical_noise_too_is_finite_and_shares(gaussian_teacher):
    """Then nothing tells the views apart: each gets the sum, which the loop divides by B."""
    z, draw = torch.full((3, 3, 8, 8), 0.5), draws(gaussian_teacher, 3)
    draw = replace(draw, noise=draw.noise[:1].expand(3, -1, -1, -1, -1))
    g = distill(gaussian_teacher, z, conditioning(3), draw, None, rule())
    plain = distill(gaussian_teacher, z, conditioning(3), draw, None, rule(independent))
    assert torch.allclose(g, 3 * plain, rtol=1e-5, atol=1e-7)


def test_views_are_treated_alike(gaussian_teacher):
    """A permutation of the views permutes the gradient; sums run in another order: 1e-5."""
    z, draw = torch.rand(4, 3, 8, 8), draws(gaussian_teacher, 4, noises=2)
    order = torch.tensor([2, 0, 3, 1])
    g = distill(gaussian_teacher, z, conditioning(4), draw, None, rule())
    other = replace(draw, noise=draw.noise[order])
    h = distill(gaussian_teacher, z[order], conditioning(4), other, None, rule())
    assert torch.allclose(h, g[order], atol=1e-5)


def test_shared_time_is_shared_and_leaves_the_rest_alone(gaussian_teacher):
    spec = DrawSpec(1, 100, 4, 1, gaussian_teacher.latent_shape, 8)
    a, b = draw_at(spec, 3), draw_at(replace(spec, shared_t=True), 3)
    assert len(set(b.t.tolist())) == 1
    assert torch.equal(a.noise, b.noise)
    assert torch.equal(a.views.viewmats, b.views.viewmats)


class LargestTensor(torch.utils._python_dispatch.TorchDispatchMode):
    """Remembers the largest result of any operation, in elements."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return out


@pytest.mark.parametrize("n", [8, 32, 128])
def test_memory_is_linear_in_the_particles(gaussian_teacher, n):
    """No tensor larger than the N D latents themselves; the repulsion written out has N^2 D."""
    spec = DrawSpec(1, 100, n, 1, gaussian_teacher.latent_shape, 8, shared_t=True)
    cond = Conditioning(torch.ones(n, 1, 1), torch.zeros(n, 1, 1))
    rule = Rule(
        iid, ClassifierFree(1.0), own_noise, mean, svgd, nothing, TIME_WEIGHTS["sds"]
    )  # fmt: skip
    z = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    draw = draw_at(spec, 0)
    asked = ask(gaussian_teacher, z, cond, draw, None, rule)
    with LargestTensor() as largest:
        svgd(asked.r[:, 0], asked)
    assert largest.elements == max(n * 192, n * n)
    with LargestTensor() as largest:  # the test is able to see it
        x = z.flatten(1)
        (x[:, None] - x[None]).sum(1)
    assert largest.elements == n * n * 192

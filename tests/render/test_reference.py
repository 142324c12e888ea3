"""The oracle itself: finite differences, and gsplat's own torch formulas."""

import pytest
import torch

from score3d.render import rasterization, reference


def test_gradients_are_those_of_the_function(make_scene):
    scene = make_scene(0, 4, 2, 5, 4, scales=(0.2, 0.4), opacities=(0.3, 0.9), sh_degree=2)
    tensors = [t.double().requires_grad_() for t in scene.tensors.values()]

    def render(*inputs):
        *gaussians, backgrounds = inputs
        rendered, alphas, _ = rasterization(
            *gaussians, scene.viewmats.double(), scene.ks.double(), 5, 4, sh_degree=2,
            backgrounds=backgrounds, render_mode="RGB+ED", backend="reference",
        )  # fmt: skip
        return rendered, alphas

    assert torch.autograd.gradcheck(render, tensors, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_harmonics_are_gsplats(degree):
    gsplat = pytest.importorskip("gsplat.cuda._torch_impl")
    random = torch.Generator().manual_seed(degree)
    directions = torch.randn(50, 3, generator=random, dtype=torch.float64)
    coefficients = torch.randn(50, 16, 3, generator=random, dtype=torch.float64)
    expected = gsplat._spherical_harmonics(degree, directions, coefficients)
    unit = torch.nn.functional.normalize(directions, dim=-1)
    basis = reference.harmonics_basis(unit, degree)
    got = (basis[..., None] * coefficients[:, : basis.shape[-1]]).sum(-2)
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-7)


def test_colours_are_gsplats(make_scene):
    gsplat = pytest.importorskip("gsplat.cuda._torch_impl")
    scene = make_scene(1, 40, sh_degree=3)
    means, sh = scene.tensors["means"].double(), scene.tensors["colors"].double()
    viewmats = scene.viewmats.double()
    for k, viewmat in enumerate(viewmats):
        directions = means - torch.inverse(viewmat)[:3, 3]
        expected = (gsplat._spherical_harmonics(3, directions, sh) + 0.5).clamp_min(0)
        got = reference.harmonics_colors(means, sh, viewmats, 3)[k]
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-7)


def test_projection_is_gsplats(make_scene):
    gsplat = pytest.importorskip("gsplat.cuda._torch_impl")
    scene = make_scene(2, 300, 3, 40, 30, scales=(0.01, 0.5), opacities=(1.0, 1.0))
    t = {k: v.double() for k, v in scene.tensors.items()}
    t["means"] *= 3  # many outside the picture, where the Jacobian is clamped, and behind
    viewmats, ks = scene.viewmats.double(), scene.ks.double()
    covariances, _ = gsplat._quat_scale_to_covar_preci(t["quats"], t["scales"], True, False)
    expected = gsplat._fully_fused_projection(t["means"], covariances, viewmats, ks, 40, 30)
    radii, means2d, depths, conics, _ = expected
    got = reference.project(
        t["means"], t["quats"], t["scales"], t["opacities"], viewmats, ks, 40, 30
    )
    seen = (got[3] > 0).all(-1)
    assert 0.1 < seen.double().mean() < 0.9
    # gsplat's torch code always uses 3.33 sigma; its CUDA code and ours shrink with opacity, which
    # at opacity 1 means 3.329: a pixel's difference at most, and on the safe side.
    assert ((radii - got[3])[seen] >= 0).all()
    assert ((radii - got[3])[seen] <= 1).all()
    torch.testing.assert_close(got[0][seen], means2d[seen])
    torch.testing.assert_close(got[1][seen], depths[seen])
    torch.testing.assert_close(got[2][seen], conics[seen])
    # Culled by both, except at the picture's edge where that pixel matters.
    assert ((radii > 0).all(-1) != seen).double().mean() < 0.01


def test_two_splats_by_hand():
    """A pixel on the axis sees alpha1 c1 + (1 - alpha1) alpha2 c2 + the rest of the background."""
    opacities = torch.tensor([0.5, 0.6], dtype=torch.float64)
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    means = torch.tensor([[0.0, 0, 2], [0, 0, 3]], dtype=torch.float64)
    quats = torch.tensor([[1.0, 0, 0, 0]] * 2, dtype=torch.float64)
    scales = torch.full((2, 3), 0.1, dtype=torch.float64)
    ks = torch.tensor([[[10.0, 0, 1.5], [0, 10, 1.5], [0, 0, 1]]], dtype=torch.float64)
    viewmats = torch.eye(4, dtype=torch.float64)[None]
    blue = torch.tensor([[0.0, 0, 1]], dtype=torch.float64)
    rendered, alphas, _ = rasterization(
        means, quats, scales, opacities, colors, viewmats, ks, 3, 3,
        backgrounds=blue, render_mode="RGB+D",
    )  # fmt: skip
    expected = torch.tensor([0.5, 0.5 * 0.6, 0.5 * 0.4, 0.5 * 2 + 0.3 * 3], dtype=torch.float64)
    torch.testing.assert_close(rendered[0, 1, 1], expected)
    torch.testing.assert_close(alphas[0, 1, 1, 0], torch.tensor(0.8, dtype=torch.float64))

"""Bad Gaussians must not spoil the others, whatever happens to themselves."""

import pytest
import torch

SPOILERS = {
    "zero quaternion": ("quats", 0.0),
    "tiny scale": ("scales", 1e-8),
    "zero scale": ("scales", 0.0),
    "huge scale": ("scales", 1e12),
    "opacity zero": ("opacities", 0.0),
    "opacity one": ("opacities", 1.0),
    "NaN centre": ("means", float("nan")),
    "infinite centre": ("means", float("inf")),
    "NaN opacity": ("opacities", float("nan")),
    "NaN scale": ("scales", float("nan")),
    "NaN quaternion": ("quats", float("nan")),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_other_gaussians_stay_finite(make_scene, name):
    key, value = SPOILERS[name]
    scene = make_scene(0, 40, opacities=(0.1, 0.9))
    scene.tensors[key][3] = value
    inputs, rendered, alphas, _ = scene.render("cpu", torch.float32)
    (rendered.sum() + alphas.sum()).backward()
    assert torch.isfinite(rendered).all()
    others = torch.arange(40) != 3
    for k, tensor in inputs.items():
        grad = tensor.grad if k == "backgrounds" else tensor.grad[others]
        assert torch.isfinite(grad).all(), k


@pytest.mark.parametrize("name", [k for k in SPOILERS if "NaN" in k or k == "infinite centre"])
def test_what_cannot_be_projected_is_as_if_absent(make_scene, name):
    key, value = SPOILERS[name]
    scene = make_scene(0, 40)
    scene.tensors[key][3] = value
    _, spoiled, _, meta = scene.render("cpu", torch.float32)
    assert (meta["radii"][:, 3] == 0).all()
    keep = torch.arange(40) != 3
    scene.tensors = {k: v if k == "backgrounds" else v[keep] for k, v in scene.tensors.items()}
    _, without, _, _ = scene.render("cpu", torch.float32)
    assert torch.equal(spoiled, without)


def test_zero_quaternion_is_no_rotation(make_scene):
    scene = make_scene(1, 20)
    scene.tensors["quats"][:] = 0
    _, zero, _, _ = scene.render("cpu", torch.float32)
    scene.tensors["quats"][:, 0] = 1
    _, identity, _, _ = scene.render("cpu", torch.float32)
    torch.testing.assert_close(zero, identity)


def test_behind_the_camera_is_culled(make_scene, compare):
    scene = make_scene(2, 60, scales=(0.01, 0.05))
    behind = scene.viewmats[0, :3, :3].T @ (torch.tensor([0.0, 0, -5.0]))
    scene.tensors["means"][::2] += behind  # some behind, some beside, some around the camera
    _, _, _, meta = scene.render("cpu", torch.float32)
    depth = torch.einsum("j,nj->n", scene.viewmats[0, 2, :3], scene.tensors["means"])
    depth = depth + scene.viewmats[0, 2, 3]
    assert (depth < 0).any()
    assert (meta["radii"][0][depth < 0.01] == 0).all()
    errors = compare(scene)
    assert all(errors[k] < 5e-5 for k in ("means", "quats", "scales", "opacities", "colors"))


@pytest.mark.parametrize("mode", ["RGB", "RGB+ED", "D"])
def test_no_gaussians(make_scene, mode):
    scene = make_scene(3, 0)
    inputs, rendered, alphas, meta = scene.render("cpu", torch.float32, render_mode=mode)
    assert (alphas == 0).all()
    if mode != "D":
        expected = scene.tensors["backgrounds"][:, None, None].expand(-1, 17, 33, -1)
        assert torch.equal(rendered[..., :3], expected)
    (rendered.sum() + alphas.sum()).backward()
    assert meta["means2d"].shape == (2, 0, 2)
    assert inputs["means"].grad.shape == (0, 3)


def test_zero_gaussians_with_harmonics(make_scene):
    inputs, rendered, _, _ = make_scene(3, 0, sh_degree=2).render("cpu", torch.float32)
    rendered.sum().backward()
    assert inputs["colors"].grad.shape == (0, 9, 3)


def test_strided_inputs_are_read_correctly(make_scene):
    scene = make_scene(4, 30)
    _, expected, _, _ = scene.render("cpu", torch.float32)
    scene.tensors = {
        k: v.repeat_interleave(2, 0)[::2] if k != "opacities" else v.flip(0).flip(0)
        for k, v in scene.tensors.items()
    }
    scene.viewmats = scene.viewmats.mT.contiguous().mT
    assert not scene.viewmats.is_contiguous()
    _, got, _, _ = scene.render("cpu", torch.float32)
    assert torch.equal(got, expected)


def test_only_some_inputs_require_gradients(make_scene):
    from score3d.render import rasterization

    scene = make_scene(5, 30)
    *gaussians, backgrounds = scene.tensors.values()
    opacities = gaussians[3].clone().requires_grad_()
    rendered, _, meta = rasterization(
        *gaussians[:3], opacities, gaussians[4], scene.viewmats, scene.ks, 33, 17,
        backgrounds=backgrounds,
    )  # fmt: skip
    rendered.sum().backward()
    assert opacities.grad.abs().sum() > 0
    assert not meta["means2d"].requires_grad

"""What a caller relies on: axes, backgrounds, depth, meta and error messages."""

import inspect

import pytest
import torch

from score3d.render import rasterization


def ball_at(position, look_at_origin, backend):
    """A red ball seen by a camera on +z looking at the origin."""
    viewmats = look_at_origin(torch.tensor([0.0, 0.0, 3.0]))[None]
    ks = torch.tensor([[[30.0, 0, 16], [0, 30, 16], [0, 0, 1]]])
    dtype = torch.float64 if backend == "reference" else torch.float32
    arguments = (
        torch.tensor([position]), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.1),
        torch.ones(1), torch.tensor([[1.0, 0, 0]]), viewmats, ks,
    )  # fmt: skip
    rendered, _, _ = rasterization(*(a.to(dtype) for a in arguments), 32, 32, backend=backend)
    red = rendered[0, ..., 0]
    rows, columns = torch.arange(32) + 0.5, torch.arange(32) + 0.5
    return (red.sum(0) @ columns.to(dtype) / red.sum()), (red.sum(1) @ rows.to(dtype) / red.sum())


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_plus_x_is_right_and_plus_y_is_up(look_at_origin, backend):
    # One unit at distance 3 is 10 pixels at focal length 30.
    assert ball_at([0.0, 0, 0], look_at_origin, backend) == pytest.approx((16, 16), abs=0.01)
    assert ball_at([1.0, 0, 0], look_at_origin, backend) == pytest.approx((26, 16), abs=0.1)
    assert ball_at([0.0, 1, 0], look_at_origin, backend) == pytest.approx((16, 6), abs=0.1)


def test_depth_is_z_of_the_camera_and_has_no_background(make_scene):
    scene = make_scene(0, 1, 1, 21, 21, scales=(0.3, 0.3), opacities=(0.9, 0.9))
    scene.tensors["means"][:] = 0
    distance = scene.viewmats[0, 2, 3].item()
    outputs = {}
    for mode in ("D", "ED", "RGB+D", "RGB+ED", "RGB"):
        _, outputs[mode], alphas, meta = scene.render("cpu", torch.float32, render_mode=mode)
    assert [outputs[m].shape[-1] for m in outputs] == [1, 1, 4, 4, 3]
    lit = alphas > 0
    torch.testing.assert_close(meta["depths"], torch.tensor([[distance]]))
    torch.testing.assert_close(outputs["D"], alphas * distance)
    # Alpha is 1 - T: near 1/255 it carries the rounding of 1, a relative 1.5e-5.
    expected = torch.full_like(alphas[lit], distance)
    torch.testing.assert_close(outputs["ED"][lit], expected, rtol=3e-5, atol=0)
    assert (outputs["ED"][~lit] == 0).all()
    torch.testing.assert_close(outputs["RGB+D"][..., 3:], outputs["D"])
    torch.testing.assert_close(outputs["RGB+ED"][..., 3:], outputs["ED"])
    torch.testing.assert_close(outputs["RGB+D"][..., :3], outputs["RGB"])


def test_background_fills_what_alpha_leaves(make_scene):
    scene = make_scene(1, 50)
    _, with_background, alphas, _ = scene.render("cpu", torch.float32)
    background = scene.tensors["backgrounds"].clone()
    scene.tensors["backgrounds"].zero_()
    _, black, _, _ = scene.render("cpu", torch.float32)
    expected = black + (1 - alphas) * background[:, None, None]
    torch.testing.assert_close(with_background, expected)


def test_faint_splats_and_small_radii_are_culled(make_scene):
    scene = make_scene(2, 40, opacities=(0.0, 0.0039))
    _, _, alphas, meta = scene.render("cpu", torch.float32)
    assert (alphas == 0).all()
    assert (meta["radii"] == 0).all()
    scene = make_scene(2, 40)
    _, _, _, everything = scene.render("cpu", torch.float32)
    _, _, _, some = scene.render("cpu", torch.float32, radius_clip=6.0)
    kept = (everything["radii"] > 6).any(-1)
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal((some["radii"] > 0).all(-1), kept)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_near_and_far_planes(make_scene, backend):
    scene = make_scene(3, 80)
    _, _, _, meta = scene.render(
        backend, torch.float64 if backend == "reference" else torch.float32
    )
    depths = meta["depths"][meta["depths"] > 0]
    near, far = depths.quantile(0.3).item(), depths.quantile(0.7).item()
    dtype = torch.float64 if backend == "reference" else torch.float32
    _, _, _, cut = scene.render(backend, dtype, near_plane=near, far_plane=far)
    kept = (cut["radii"] > 0).all(-1)
    assert kept.any()
    inside = (meta["depths"] > near) & (meta["depths"] < far)
    assert torch.equal(kept, inside & (meta["radii"] > 0).all(-1))


def test_meta_has_gsplats_shapes(make_scene):
    scene = make_scene(4, 30, 2)
    _, rendered, alphas, meta = scene.render("cpu", torch.float32)
    assert rendered.shape == (2, 17, 33, 3)
    assert alphas.shape == (2, 17, 33, 1)
    assert meta["means2d"].shape == (2, 30, 2)
    assert meta["means2d"].requires_grad
    assert meta["radii"].shape == (2, 30, 2)
    assert meta["radii"].dtype == torch.int32
    assert meta["conics"].shape == (2, 30, 3)
    assert meta["depths"].shape == meta["opacities"].shape == (2, 30)
    assert (meta["width"], meta["height"], meta["n_cameras"]) == (33, 17, 2)
    assert meta["gaussian_ids"] is None


def test_auto_takes_the_oracle_for_float64(make_scene):
    scene = make_scene(5, 20)
    _, automatic, _, _ = scene.render("auto", torch.float64)
    _, oracle, _, _ = scene.render("reference", torch.float64)
    assert torch.equal(automatic, oracle)


ARGUMENTS = {
    "means": torch.zeros(5, 3),
    "quats": torch.ones(5, 4),
    "scales": torch.ones(5, 3),
    "opacities": torch.ones(5),
    "colors": torch.ones(5, 3),
    "viewmats": torch.eye(4)[None],
    "Ks": torch.eye(3)[None],
    "width": 8,
    "height": 8,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": torch.zeros(5, 2)}, r"means: expected shape \[N, 3\], got shape \[5, 2\]"),
        ({"quats": torch.ones(5, 3)}, r"quats: expected shape \[5, 4\], got shape \[5, 3\]"),
        ({"opacities": torch.ones(5, 1)}, r"opacities: expected shape \[5\]"),
        ({"colors": torch.ones(4, 3)}, r"colors: expected shape \[5, 3\] or \[1, 5, 3\]"),
        ({"sh_degree": 2}, r"colors: expected at least 9 SH coefficients"),
        ({"sh_degree": 5}, r"sh_degree: expected None or 0\.\.3, got 5"),
        ({"viewmats": torch.eye(4)}, r"viewmats: expected shape \[4, 4, 4\]"),
        ({"Ks": torch.eye(3)}, r"Ks: expected shape \[1, 3, 3\]"),
        ({"backgrounds": torch.ones(3)}, r"backgrounds: expected shape \[1, 3\]"),
        (
            {"scales": torch.ones(5, 3).double()},
            r"scales: expected torch.float32 on cpu like means",
        ),
        ({"width": 0}, r"width: expected a positive int, got 0"),
        ({"near_plane": 0.0}, r"near_plane: expected a positive number, got 0.0"),
        ({"render_mode": "depth"}, r"render_mode: expected .*'RGB\+ED'.* got depth"),
        ({"backend": "cuda"}, r"backend: expected .*'gsplat'.* got cuda"),
        ({"backend": "reference", "absgrad": True}, r"absgrad: expected False"),
    ],
)
def test_errors_name_what_was_expected_and_got(changes, message):
    with pytest.raises(ValueError, match=message):
        rasterization(**(ARGUMENTS | changes))


def test_float64_on_the_compiled_backend_is_refused():
    doubles = {k: v.double() if torch.is_tensor(v) else v for k, v in ARGUMENTS.items()}
    with pytest.raises(ValueError, match=r"means.dtype: expected float32"):
        rasterization(**doubles, backend="cpu")


def test_names_and_defaults_are_gsplats():
    gsplat = pytest.importorskip("gsplat")
    ours = inspect.signature(rasterization).parameters
    theirs = inspect.signature(gsplat.rasterization).parameters
    for name, parameter in ours.items():
        if name != "backend":
            assert name in theirs
            assert parameter.default == theirs[name].default, name

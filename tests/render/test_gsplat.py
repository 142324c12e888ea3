"""Our side of the contract with gsplat: its arguments, its error cases, its strategies."""

import inspect
from types import SimpleNamespace

import pytest
import torch

from score3d.render import gsplat_backend, rasterization

gsplat = pytest.importorskip("gsplat")


def test_the_call_fits_the_installed_signature(make_scene, monkeypatch):
    calls = []

    def record(*args, **kwargs):
        bound = inspect.signature(gsplat.rasterization).bind(*args, **kwargs)
        calls.append(bound.arguments)
        return "colors", "alphas", {}

    fake = SimpleNamespace(rasterization=record)
    monkeypatch.setattr(gsplat_backend, "require_gsplat", lambda device: fake)
    scene = make_scene(0, 5, sh_degree=1)
    options = {
        "render_mode": "RGB+ED", "absgrad": True, "near_plane": 0.5, "far_plane": 9.0,
        "eps2d": 0.1, "radius_clip": 2.0,
    }  # fmt: skip
    inputs, *result = scene.render("gsplat", torch.float32, **options)
    assert result == ["colors", "alphas", {}]
    (call,) = calls
    for name, value in (options | {"packed": False, "sh_degree": 1}).items():
        assert call[name] == value
    for name, tensor in inputs.items():
        assert call[name] is tensor
    assert (call["width"], call["height"]) == (33, 17)
    assert torch.equal(call["viewmats"], scene.viewmats)
    assert torch.equal(call["Ks"], scene.ks)


def test_without_cuda_the_error_says_what_to_do(make_scene, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"needs a CUDA device.*backend='cpu'"):
        make_scene(0, 5).render("gsplat", torch.float32)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(RuntimeError, match=r"got cpu; move them"):
        make_scene(0, 5).render("gsplat", torch.float32)


@pytest.mark.parametrize("absgrad", [False, True])
def test_default_strategy_runs_on_our_meta(make_scene, absgrad):
    scene = make_scene(1, 60, scales=(0.05, 0.2), opacities=(0.2, 0.9))
    t = scene.tensors
    params = torch.nn.ParameterDict(
        {
            "means": t["means"],
            "quats": t["quats"],
            "scales": t["scales"].log(),
            "opacities": torch.logit(t["opacities"]),
            "colors": t["colors"],
        }
    )
    optimizers = {k: torch.optim.Adam([v], lr=1e-3) for k, v in params.items()}
    strategy = gsplat.DefaultStrategy(
        refine_start_iter=1, refine_every=2, grow_grad2d=1e-5, absgrad=absgrad
    )
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state(scene_scale=1.0)
    sizes = []
    for step in range(7):
        rendered, _, meta = rasterization(
            params["means"], params["quats"], params["scales"].exp(),
            params["opacities"].sigmoid(), params["colors"], scene.viewmats, scene.ks, 33, 17,
            absgrad=absgrad,
        )  # fmt: skip
        strategy.step_pre_backward(params, optimizers, state, step, meta)
        ((rendered - 0.5) ** 2).sum().backward()
        seen = (meta["radii"] > 0).all(-1).any(0)
        if step == 0:
            strategy.step_post_backward(params, optimizers, state, step, meta, packed=False)
            assert torch.equal(state["count"] > 0, seen)
            assert (state["grad2d"][seen] > 0).any()
            assert (state["grad2d"][~seen] == 0).all()
        else:
            strategy.step_post_backward(params, optimizers, state, step, meta, packed=False)
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        sizes.append(len(params["means"]))
    assert sizes[-1] > sizes[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gsplat_renders_what_the_oracle_renders(make_scene):
    scene = make_scene(2, 80)
    _, expected, alphas, _ = scene.render("reference", torch.float64)
    arguments = [t.cuda() for t in (*scene.tensors.values(), scene.viewmats, scene.ks)]
    *gaussians, backgrounds, viewmats, ks = arguments
    got, got_alphas, _ = rasterization(*gaussians, viewmats, ks, 33, 17, backgrounds=backgrounds)
    close = (got.cpu().double() - expected).abs() < 1e-4
    assert close.double().mean() > 0.99  # a cut-off may fall the other way in float32
    assert ((got_alphas.cpu().double() - alphas).abs() < 1e-4).double().mean() > 0.99

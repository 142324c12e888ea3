"""Whole steps on a device that is not the CPU, without a GPU.

`OnDevice` tensors report another device ("meta") and hold their numbers on the CPU. Every operation
is checked: tensors of two devices in one operation are an error, as on CUDA (but for numbers and
explicit copies). As they hold numbers, unlike fake tensors, whole steps run, with densification,
and their results are compared with the CPU's.
"""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from score3d import build
from score3d.config import load_config
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.render import gsplat_backend, rasterize
from score3d.teachers.checkpoint import Checkpoint

DEVICE = torch.device("meta")
COPIES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from", "aten::set_.source_Tensor")


class OnDevice(torch.Tensor):
    """A tensor whose numbers, `inner`, are on the CPU and which says that they are on DEVICE."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device=DEVICE, strides=inner.stride(),
            storage_offset=inner.storage_offset(), requires_grad=inner.requires_grad,
        )  # fmt: skip

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"OnDevice({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        with Device():
            return function(*args, **(kwargs or {}))


class Device(TorchDispatchMode):
    """Runs each operation on the numbers, after checking where its tensors say they are."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = function._schema.name
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        there = [isinstance(t, OnDevice) for t in tensors]
        numbers = [t.ndim == 0 and not w for t, w in zip(tensors, there, strict=True)]
        indexing = "index" in name  # CUDA takes index tensors of the CPU
        copies = function._schema.name in COPIES or name in COPIES
        if any(there) and not all(w or n for w, n in zip(there, numbers, strict=True)):
            first = there[0]
            values = [w for w, t in zip(there, tensors, strict=True) if t.dtype.is_floating_point]
            if not copies and not (indexing and first and all(values)):
                raise AssertionError(
                    f"{name} mixes devices: {[(tuple(t.shape), str(t.device)) for t in tensors]}"
                )
        target = kwargs.get("device")
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        on = torch.device(target) == DEVICE if target is not None else any(there)
        if copies and name == "aten::copy_":
            on = there[0]
        inner_args, inner_kwargs = tree_map(strip, (args, kwargs))
        out = function(*inner_args, **inner_kwargs)
        same = {id(t.inner): t for t in tensors if isinstance(t, OnDevice)}

        def wrap(value):
            if not isinstance(value, torch.Tensor) or isinstance(value, OnDevice) or not on:
                return value
            known = same.get(id(value))
            return OnDevice(value) if known is None else known

        return tree_map(wrap, out)


class Constants(TorchFunctionMode):
    """Makes constants on the CPU and moves them: their numbers never reach the dispatcher."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            target = kwargs.pop("device")
            return function(*args, **kwargs).to(target)
        if function is torch.Tensor.new_tensor:
            like, data = args
            return torch.tensor(data, dtype=kwargs.get("dtype", like.dtype)).to(like.device)
        if function is torch.Tensor.tolist:  # which subclasses may not, and copies anyway
            return strip(args[0]).tolist()
        return function(*args, **kwargs)


@contextmanager
def on_device():
    with Constants(), Device():
        yield


@pytest.fixture(autouse=True)
def loading_apart(monkeypatch):
    """The libraries load by way of the real meta device."""
    load = Checkpoint.load

    def apart(self, *args):
        with _disable_current_modes():
            return load(self, *args)

    monkeypatch.setattr(Checkpoint, "load", apart)


def strip(value):
    return value.inner if isinstance(value, OnDevice) else value


@pytest.fixture
def gsplat_there(monkeypatch):
    """gsplat on that device: the dense reference under its name, and the choice of it."""
    from score3d.render import reference  # noqa: F401 (it is what stands in)

    calls = []

    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height,
                      packed, **options):  # fmt: skip
        given = (means, quats, scales, opacities, colors, viewmats, Ks, options["backgrounds"])
        assert all(t.device == DEVICE for t in given)
        calls.append(options)
        options.pop("absgrad")
        return rasterize.rasterization(
            means, quats, scales, opacities, colors, viewmats, Ks, width, height,
            backend="reference", **options,
        )  # fmt: skip

    monkeypatch.setattr(
        gsplat_backend,
        "require_gsplat",
        lambda device: SimpleNamespace(rasterization=rasterization),
    )
    monkeypatch.setattr(
        rasterize, "_choose", lambda m: "gsplat" if m.device == DEVICE else "reference"
    )
    return calls


def test_the_check_itself():
    with on_device():
        a, b = torch.ones(2, device=DEVICE), torch.ones(2)
        assert a.device == DEVICE
        assert (a + a).device == DEVICE
        assert (a + torch.tensor(1.0)).device == DEVICE  # a number may come from the CPU
        with pytest.raises(AssertionError, match="mixes devices"):
            a + b
        with pytest.raises(AssertionError, match="mixes devices"):
            torch.cat([a, b])
        assert (a + b.to(DEVICE)).cpu().tolist() == [2.0, 2.0]
        x = torch.ones(3, device=DEVICE, requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.device == DEVICE
        assert x.grad.cpu().tolist() == [2.0, 2.0, 2.0]
        assert a[torch.tensor([0])].device == DEVICE
        with pytest.raises(AssertionError, match="mixes devices"):
            torch.randn(2, 2)[torch.zeros(1, dtype=torch.long, device=DEVICE)]


CASES = {
    "sd-eps": [],
    "sd-v": ["distill.guide=perp-neg"],
    "sdxl": [],
    "multi-view": ["views.ring=4", "distill.shared_t=true", "distill.couple=svgd"],
    "flow": ["teacher.latent_until=0.5"],
}


def run(config, device):
    found = build.find_checkpoint(config, device)
    teacher = found.load()
    scene = build.build_scene(config, device)
    rule, spec = build.build_rule(config), build.build_spec(config, teacher)
    prompts = PromptBook(teacher, "a red cube")
    norms = [
        info.grad_norm for info in optimise(scene, teacher, prompts, rule, spec, device=device)
    ]
    splats = scene.splats()
    return norms, {k: p.detach().cpu() for k, p in scene.parameters().items()}, splats


@pytest.mark.parametrize("kind", CASES)
def test_whole_steps_stay_on_the_device(checkpoints, gsplat_there, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SCORE3D_CACHE", str(tmp_path))
    settings = ["run.steps=4", "views.resolution=12", "views.count=4", "scene.count=30",
                "scene.cap=40", "scene.adapt_start=1", "scene.adapt_every=1",
                "scene.opacity_weight=0.1", "teacher.dtype=float32", *CASES[kind]]  # fmt: skip
    options = {"teacher": {"name": str(checkpoints(kind).folder)}}
    config = load_config("draft", "sds", settings, options)
    expected, parameters, _ = run(config, torch.device("cpu"))
    with on_device():
        norms, moved, splats = run(config, DEVICE)
    assert len(gsplat_there) == 4
    assert len(moved["means"]) == len(parameters["means"])
    assert len(splats) == len(moved["means"])
    # the same numbers up to float32: attention takes another path on another device
    for a, b in zip(norms, expected, strict=True):
        assert abs(a - b) <= 1e-3 * abs(b)
    assert torch.allclose(strip(moved["sh0"]), parameters["sh0"], atol=1e-2)

"""The graphs that ONNX Runtime runs are the networks that torch runs."""

import shutil
import subprocess
import sys

import pytest
import torch

from score3d.resources import resource
from score3d.teachers import embedded
from score3d.teachers.embedded import EmbeddedInstructTeacher, EmbeddedTeacher
from score3d.teachers.errors import TeacherError


def noisy(teacher, rows: int, side: int) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(rows)
    z = torch.randn(rows, teacher.latent_shape[0], side, side, generator=g)
    t = torch.rand(rows, generator=g) * 0.96 + 0.02
    return z, t, teacher.embed(["make it blue" if "instruct" in teacher.capabilities else "a cat"])


@pytest.mark.parametrize("kind", [EmbeddedTeacher, EmbeddedInstructTeacher])
@pytest.mark.parametrize(("rows", "side"), [(1, 32), (8, 16), (3, 32)])
def test_as_torch_says(kind, rows, side):
    teacher = kind()
    assert teacher.graph is not None
    z, t, emb = noisy(teacher, rows, side)
    given = [z, t, emb.expand(rows, -1, -1)]
    if "instruct" in teacher.capabilities:
        given.append(z.flip(0))
    fast = teacher.eps(*given)
    teacher.graph = None
    # both sum in float32 in another order: 2e-6 was seen
    torch.testing.assert_close(fast, teacher.eps(*given), atol=2e-5, rtol=0)


def test_not_asked_for_gradients_or_an_adapted_network():
    from score3d.distill.baseline.lora import LoraNetwork
    from score3d.teachers.differentiable import differentiable_eps

    teacher = EmbeddedTeacher()
    z, t, emb = noisy(teacher, 1, 16)

    def refuse(*args):
        raise AssertionError("the graph was asked")

    teacher.graph = refuse
    with pytest.raises(AssertionError):
        teacher.eps(z, t, emb)
    z.requires_grad_(True)
    differentiable_eps(teacher, z, t, emb).sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    LoraNetwork(teacher)
    teacher.eps(z, t, emb)


def test_torch_alone_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    teacher = EmbeddedTeacher()
    assert teacher.graph is None
    assert teacher.eps(*noisy(teacher, 1, 16)).isfinite().all()


def test_a_broken_graph_is_named(tmp_path):
    shutil.copytree(resource("assets", "teacher"), tmp_path / "teacher")
    graph = tmp_path / "teacher" / "unet" / "model.onnx"
    graph.write_bytes(b"no graph")
    teacher = EmbeddedTeacher(tmp_path / "teacher")
    with pytest.raises(TeacherError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        teacher.eps(*noisy(teacher, 1, 16))


def torch_alone(monkeypatch, kind):
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "find_spec", lambda name: None)
        return kind()


@pytest.mark.parametrize("kind", [EmbeddedTeacher, EmbeddedInstructTeacher])
def test_text_and_pictures_are_those_of_diffusers_and_transformers(kind, monkeypatch):
    fast, slow = kind(), torch_alone(monkeypatch, kind)
    texts = ["", "a shiny red car", "a red cube on top of a blue cylinder, four views"]
    if kind is EmbeddedInstructTeacher:
        texts = ["", "make it blue", "Remove the handle"]
    # all of them sum in float32 in another order: 1e-6 of 3 was seen
    torch.testing.assert_close(fast.embed(texts), slow.embed(texts), atol=1e-5, rtol=0)
    rgb = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    z = slow.encode(rgb)
    torch.testing.assert_close(fast.encode(rgb), z, atol=1e-4, rtol=0)
    torch.testing.assert_close(fast.decode(z), slow.decode(z), atol=1e-5, rtol=0)
    ours, theirs = (x.schedule.alphas_cumprod for x in (fast, slow))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)  # diffusers multiplies in float32
    assert (fast.resolution, fast.latent_shape) == (slow.resolution, slow.latent_shape)


def test_a_run_imports_neither_diffusers_nor_transformers():
    """They take longer to import than a draft's optimisation takes."""
    code = """
import sys, torch
from score3d.teachers.embedded import EmbeddedTeacher
teacher = EmbeddedTeacher()
z = teacher.encode(torch.zeros(1, 3, 64, 64))
teacher.decode(teacher.eps(z, torch.full((1,), 0.5), teacher.embed(["a red car"])))
print({"diffusers", "transformers"} & set(sys.modules))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "file", ["vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
)
def test_weights_cut_short_are_named(file, tmp_path):
    shutil.copytree(resource("assets", "teacher"), tmp_path / "teacher")
    path = tmp_path / "teacher" / file
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TeacherError, match=rf"{file}: cut short"):
        EmbeddedTeacher(tmp_path / "teacher").embed(["a red car"])


def test_without_graphs_of_text_and_pictures_they_are_loaded_as_ever(tmp_path):
    """As of a folder that an earlier `export_onnx.py` made."""
    shutil.copytree(resource("assets", "teacher"), tmp_path / "teacher")
    for graph in ("text_encoder/model.onnx", "vae/encoder.onnx", "vae/decoder.onnx"):
        (tmp_path / "teacher" / graph).unlink()
    teacher = EmbeddedTeacher(tmp_path / "teacher")
    assert teacher.graph is not None
    assert type(teacher.vae).__name__ == "AutoencoderTiny"
    assert teacher.eps(*noisy(teacher, 1, 16)).isfinite().all()

"""The graph that ONNX Runtime runs is the network that torch runs."""

import shutil

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

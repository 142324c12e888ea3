"""What can only be checked where there is a CUDA device; `scripts/gpu_check.py` runs these."""

import json

import pytest
import torch

from score3d.cameras import turntable
from score3d.config import load_config
from score3d.render import rasterization

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def ball(device):
    g = torch.Generator().manual_seed(0)
    values = [
        torch.randn(500, 3, generator=g) * 0.2,
        torch.randn(500, 4, generator=g),
        torch.rand(500, 3, generator=g) * 0.03 + 0.01,
        torch.rand(500, generator=g),
        torch.rand(500, 3, generator=g),
    ]
    return [v.to(device).requires_grad_() for v in values]


def test_gsplat_agrees_with_the_cpu():
    """Pictures to 1e-3, gradients to 1e-2 relative L2: gsplat culls by 3 sigma and sums with
    atomics, so single pixels at cut-offs may differ."""
    results = []
    for device in ("cpu", "cuda"):
        parameters = ball(device)
        views = turntable(3, 64).to(device)
        white = torch.ones(3, 3, device=device)
        rgb, alpha, _ = rasterization(
            *parameters, views.viewmats, views.Ks, 64, 64, backgrounds=white
        )
        target = torch.linspace(0, 1, rgb.numel(), device=device).view_as(rgb)
        ((rgb - target).square().sum() + alpha.sum()).backward()
        results.append([rgb.detach().cpu(), *(p.grad.cpu() for p in parameters)])
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() / ours.norm() < 1e-2
    assert (results[0][0] - results[1][0]).abs().mean() < 1e-3


def test_generate_on_cuda(tmp_path):
    from score3d.generate import generate
    from score3d.runs.folder import RunFolder

    options = {"run": {"prompt": "a red mushroom", "device": "cuda", "steps": 30}}
    config = load_config("draft", "sds", ["scene.adapt_start=5"], options)
    with RunFolder.create(tmp_path / "run") as folder:
        for _ in generate(config, folder):
            pass
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 30

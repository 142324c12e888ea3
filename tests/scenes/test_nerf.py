"""The radiance field: closed forms, finite differences, every loss, resume, conversion."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from score3d.cameras import orbit, turntable
from score3d.config import load_config, loss_names
from score3d.files.ply import read_ply
from score3d.generate import generate
from score3d.runs.checkpoint import load_checkpoint
from score3d.runs.folder import RunFolder
from score3d.scenes.nerf import NerfOptions, NerfScene
from score3d.scenes.photograph import photograph

# nothing left out: finite differences must not see a threshold
EXACT = NerfOptions(resolution=8, empty=0.0, faint=0.0, blob_density=0.5)


def ball(radius=0.35, resolution=64, **options):
    """An opaque ball, red on its +x side and green on its -x side."""
    scene = NerfScene(NerfOptions(resolution=resolution, **options))
    line = torch.linspace(-0.62, 0.62, resolution + 1)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    r = (x * x + y * y + z * z).sqrt()
    with torch.no_grad():
        for k in range(2):
            scene.values[f"color.{k}"].zero_()
        scene.values["density.2"][0, 0] = 1000 * (radius - r)
        scene.values["color.2"][0, 0], scene.values["color.2"][0, 1] = 200 * x, -200 * x
        scene.values["color.2"][0, 2] = -8.0
    return scene


def view(size=64, azimuth=0.0, elevation=0.0):
    return orbit(torch.tensor([azimuth]), torch.tensor([elevation]), 2.0, 40.0, size, size)


def test_a_ball_has_the_outline_depth_and_normals_of_a_ball():
    scene = ball()
    scene.geometry = True
    shown = scene.render(view(), torch.ones(1, 3))
    # a ball of radius r at distance d is seen as a disk of f r / sqrt(d^2 - r^2) pixels
    focal = 32 / np.tan(np.radians(20))
    expected = np.pi * (focal * 0.35 / np.sqrt(4 - 0.35**2)) ** 2
    # the surface is a cell thick, and so is the doubt about the outline: 1 pixel in 15
    assert float(shown.alpha.detach().sum()) == pytest.approx(expected, rel=0.05)
    assert float(shown.alpha.detach()[0, 0, 32, 32]) > 0.99
    # the middle of the first opaque sample lies up to one cell behind the surface
    assert 1.64 < float(shown.depth.detach()[0, 0, 32, 32]) < 1.65 + 1.5 * scene.cell
    normals = scene.normals(view())[0]
    assert normals[:, 32, 32].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=0.05)
    assert normals[0, 32, 41] > 0.7 > 0.3 > normals[0, 32, 22]
    assert normals[1, 22, 32] > 0.7 > 0.3 > normals[1, 41, 32]
    rgb = shown.rgb[0]
    assert rgb[0, 32, 38] > 0.9 > 0.1 > rgb[1, 32, 38]  # right of the picture is +x: red
    assert rgb[:, 0, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("weight", ["none", "orientation", "sparsity", "opaque", "smooth", "sky"])
def test_gradients_against_finite_differences(weight):
    """Central differences with h = 1e-6 in float64 are good to about 1e-9 / |g|."""
    names = ("orientation", "sparsity", "opaque", "smooth")
    options = replace(EXACT, **({weight: 0.7} if weight in names else {}))
    if weight == "sky":
        options = replace(options, background="learned")
    scene = NerfScene(options, seed=3, dtype=torch.float64)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in scene.values.values():
            p += 0.3 * torch.randn(p.shape, generator=g, dtype=torch.float64)
    views = orbit(torch.tensor([10.0, 130.0]), torch.tensor([20.0, -15.0]), 2.0, 40.0, 9, 9)
    mix = torch.randn(2, 3, 9, 9, generator=g, dtype=torch.float64)

    def objective():
        shown = scene.render(views, torch.full((2, 3), 0.2))
        return (shown.rgb * mix).sum() + 50 * scene.regulariser(shown)

    # the weights inside the orientation loss are held fixed: only what moves normals is compared
    if weight == "orientation":
        held = scene.render(views, torch.full((2, 3), 0.2)).meta["orientation"]
        grads = torch.autograd.grad(held, list(scene.values.values()), allow_unused=True)
        assert any(x is not None and x.abs().sum() > 0 for x in grads)
        return
    objective().backward()
    for name, p in scene.values.items():
        flat, grad = p.data.view(-1), p.grad.view(-1)
        for i in [*grad.abs().topk(3).indices.tolist(), len(flat) // 2]:
            value = float(flat[i])
            ends = []
            for h in (1e-6, -1e-6):
                flat[i] = value + h
                ends.append(float(objective().detach()))
            flat[i] = value
            numeric = (ends[0] - ends[1]) / 2e-6
            assert float(grad[i]) == pytest.approx(numeric, rel=1e-5, abs=1e-7), name


def test_orientation_gradient_through_normals_alone(monkeypatch):
    """Finite differences with the weights held, as the loss holds them."""
    from score3d.scenes import nerf

    scene = NerfScene(replace(EXACT, orientation=1.0), seed=3, dtype=torch.float64)
    g = torch.Generator().manual_seed(2)
    p = scene.values["density.2"]
    with torch.no_grad():
        p += 0.5 * torch.randn(p.shape, generator=g, dtype=torch.float64)
    original, held = nerf._facing_away, []

    def with_held_weights(seen):
        held.append(seen.weights.detach())
        return original(replace(seen, weights=held[0]))

    monkeypatch.setattr(nerf, "_facing_away", with_held_weights)
    penalty = lambda: scene.render(view(9), torch.zeros(1, 3)).meta["orientation"]  # noqa: E731
    (grad,) = torch.autograd.grad(penalty(), [p])
    flat = p.data.view(-1)
    for i in grad.view(-1).abs().topk(5).indices.tolist():
        value, ends = float(flat[i]), []
        for h in (1e-6, -1e-6):
            flat[i] = value + h
            ends.append(float(penalty().detach()))
        flat[i] = value
        assert float(grad.view(-1)[i]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_leaving_out_the_empty_and_the_hidden_changes_little():
    exact = ball(empty=0.0, faint=0.0).render(view(), torch.ones(1, 3)).rgb
    quick = ball().render(view(), torch.ones(1, 3)).rgb
    # at most `faint` of the light is cut behind, and `empty` per sample, some 60 of them
    assert float((exact - quick).detach().abs().max()) < 0.02


def test_a_learned_background_is_not_exported():
    scene = NerfScene(NerfOptions(resolution=8, background="learned", blob_density=-30.0))
    shown = scene.render(view(8), torch.zeros(1, 3))
    torch.testing.assert_close(shown.rgb, torch.full((1, 3, 8, 8), 0.5))
    assert np.all(scene.photograph(view(8), 0.8) == np.float32(0.8))


@pytest.mark.parametrize("wrong", [{"resolution": 10}, {"background": "sky"}])
def test_options_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"nerf.{next(iter(wrong))}"):
        NerfScene(NerfOptions(**wrong))


def test_gaussians_on_a_ball_look_like_it():
    """Position, orientation and colour of the surfels; and their pictures."""
    scene = ball()
    splats = scene.splats()
    assert len(splats) > 3000
    radius = np.linalg.norm(splats.means, axis=1)
    assert np.abs(radius - 0.35).max() < scene.cell
    w, x, y, z = splats.quats.T
    third = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    assert ((third * splats.means).sum(1) / radius).min() > 0.95
    side = splats.means[:, 0] > 0.02
    assert splats.rgb[side, 0].min() > 0.8 > 0.2 > splats.rgb[side, 1].max()
    cameras = turntable(2, 256)
    error = photograph(splats, cameras) - scene.photograph(cameras)
    psnr = -10 * np.log10(np.square(error).mean())
    # splats are blurred by 0.55 pixels, which puts a rim of a pixel around an outline 660 long
    assert psnr > 20


def test_an_empty_field_has_no_gaussians():
    assert len(NerfScene(NerfOptions(resolution=8, blob_density=-60.0)).splats()) == 0


SETTINGS = [
    "run.steps=6", "nerf.resolution=16", "views.count=2", "output.turntable_views=2",
    "output.picture_size=48", "output.mesh_resolution=16", "distill.reward_steps=1",
]  # fmt: skip
EDITING = {"dds", "pds", "csd-edit", "csd-contrast", "contrast", "instruct"}


def run(path, loss, *settings, resume=False, should_stop=lambda: ""):
    options = {"run": {"prompt": "a red mushroom"}, "scene": {"kind": "nerf"}}
    config = load_config("draft", loss, [*SETTINGS, *settings], options)
    opened = RunFolder.open(path) if resume else RunFolder.create(path)
    checkpoint = load_checkpoint(path / "checkpoint") if resume else None
    with opened as folder:
        for _ in generate(config, folder, checkpoint, should_stop):
            pass
    return json.loads((path / "summary.json").read_text())


@pytest.mark.parametrize("loss", [n for n in loss_names() if n not in EDITING])
def test_every_loss_makes_a_field(tmp_path, loss):
    summary = run(tmp_path / "run", loss, "run.steps=3")
    assert summary["status"] == "complete"
    lines = [json.loads(t) for t in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert not any("skipped" in line for line in lines)
    assert all(line["grad_norm"] > 0 for line in lines)
    assert len(read_ply(tmp_path / "run" / "scene.ply")) > 0


def test_resumes_bit_for_bit(tmp_path):
    settings = ("nerf.orientation=0.1", "nerf.background=learned")
    run(tmp_path / "whole", "sds", *settings)
    count = iter(range(100))
    stop = lambda: "interrupted" if next(count) == 2 else ""  # noqa: E731
    assert run(tmp_path / "parts", "sds", *settings, should_stop=stop)["steps"] == 3
    run(tmp_path / "parts", "sds", *settings, resume=True)
    for name in ("scene.ply", "metrics.jsonl", "contact_sheet.png", "mesh.glb"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    a, b = (load_checkpoint(tmp_path / n / "checkpoint").tensors for n in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(k.startswith("adam.density.2") for k in a)

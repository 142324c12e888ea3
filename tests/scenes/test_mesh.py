"""The mesh scene: closed forms, finite differences, fits, every loss, stages, resume, files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from typer.testing import CliRunner

from score3d.cameras import orbit, turntable
from score3d.cli.main import app
from score3d.config import load_config
from score3d.files.grid_field import GridField
from score3d.files.mesh import write_mesh
from score3d.files.ply import read_ply, write_ply
from score3d.files.splats import FileFormatError
from score3d.files.surfels import sample_mesh
from score3d.files.tetrahedra import TetrahedralField, lattice
from score3d.generate import generate
from score3d.runs.checkpoint import load_checkpoint
from score3d.runs.folder import RunFolder
from score3d.scenes.mesh import MeshOptions, MeshScene
from score3d.scenes.start import starting_tetrahedra

FOCAL = 0.5 / np.tan(np.radians(20))  # of the cameras here, in picture heights
SMALL = MeshOptions(cells=8, texture=8, samples=1)


def view(size=64, azimuth=0.0, elevation=0.0):
    return orbit(torch.tensor([azimuth]), torch.tensor([elevation]), 2.0, 40.0, size, size)


def shaken(scene, seed=1):
    """Away from symmetric places."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in scene.values.items():
            amount = 0.02 if name.startswith("sdf") else 0.3
            p += amount * torch.randn(p.shape, generator=g, dtype=p.dtype)
    return scene


def two_coloured(**options):
    """A ball of radius 0.35, red on its +x side and green on its -x side."""
    scene = MeshScene(MeshOptions(**options))
    line = torch.linspace(-0.62, 0.62, 65)
    with torch.no_grad():
        for k in range(3):
            scene.values[f"color.{k}"].zero_()
        scene.values["color.2"][0, 0], scene.values["color.2"][0, 1] = 200 * line, -200 * line
        scene.values["color.2"][0, 2] = -8.0
    return scene


def test_a_ball_has_the_outline_depth_and_normals_of_a_ball():
    scene = two_coloured()
    scene.geometry = True
    with torch.no_grad():
        shown = scene.render(view(), torch.ones(1, 3))
        normals = scene.normals(view())[0]
    disk = np.pi * (64 * FOCAL * 0.35) ** 2 / (4 - 0.35**2)
    # facets of half a cell: 0.5 % less area
    assert float(shown.alpha.sum()) == pytest.approx(disk, rel=0.01)
    assert float(shown.depth[0, 0, 32, 32]) == pytest.approx(1.65, abs=0.002)
    assert float(shown.depth[0, 0, 0, 0]) == 0
    assert normals[:, 32, 32].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=0.05)
    assert normals[0, 32, 41] > 0.7 > 0.3 > normals[0, 32, 22]
    assert normals[1, 22, 32] > 0.7 > 0.3 > normals[1, 41, 32]
    rgb = shown.rgb[0]
    assert rgb[0, 32, 38] > 0.9 > 0.1 > rgb[1, 32, 38]  # right of the picture is +x: red
    assert rgb[:, 0, 0].tolist() == [1, 1, 1]
    assert shown.gaussians["means"].norm(dim=1) == pytest.approx(0.35, abs=0.01)


def test_light_falls_from_above_and_in_front():
    scene = two_coloured(shading="normals")
    with torch.no_grad():
        for name, p in scene.values.items():
            if name.startswith("color"):
                p.zero_()  # mid-gray
        front = scene.render(view(), torch.ones(1, 3)).rgb[0, 0]
        back = scene.render(view(azimuth=180.0), torch.ones(1, 3)).rgb[0, 0]
    # 0.5 / 0.8 of the ambient, key (its cosine with +z is 0.61) and head light
    assert float(front[32, 32]) == pytest.approx(0.625 * (0.54 + 0.27 * 0.61 + 0.22), abs=0.01)
    assert float(back[32, 32]) == pytest.approx(0.625 * (0.54 + 0.22), abs=0.01)
    assert front[24, 32] > front[32, 32] > front[42, 32]
    scene.options = replace(scene.options, light=0.0)
    lit = scene.render(view(), torch.ones(1, 3)).rgb.detach()
    np.testing.assert_allclose(lit[0].permute(1, 2, 0), scene.photograph(view())[0], atol=1e-6)


@pytest.mark.parametrize("shading", ["colour", "normals"])
def test_gradients_against_finite_differences(shading):
    """Central differences with h = 1e-7 in float64 are good to about 1e-8 / |g|; the mesh's
    connections and visibility do not change within such a step."""
    options = replace(SMALL, shading=shading, smooth=3.0, laplacian=2.0)
    scene = shaken(MeshScene(options, seed=3, dtype=torch.float64))
    scene.geometry = True
    views = orbit(torch.tensor([10.0, 130.0]), torch.tensor([20.0, -15.0]), 2.0, 40.0, 16, 16)
    g = torch.Generator().manual_seed(1)
    mix = torch.randn(2, 4, 16, 16, generator=g, dtype=torch.float64)

    def objective():
        shown = scene.render(views, torch.full((2, 3), 0.2))
        pictures = torch.cat([shown.rgb, shown.depth * shown.alpha], 1)
        return (pictures * mix).sum() + scene.regulariser(shown)

    objective().backward()
    for name, p in scene.values.items():
        flat, grad = p.data.view(-1), p.grad.view(-1)
        assert grad.abs().max() > 0
        for i in [*grad.abs().topk(6).indices.tolist(), len(flat) // 2]:
            value, ends = float(flat[i]), []
            for h in (1e-7, -1e-7):
                flat[i] = value + h
                ends.append(float(objective().detach()))
            flat[i] = value
            numeric = (ends[0] - ends[1]) / 2e-7
            assert float(grad[i]) == pytest.approx(numeric, rel=1e-3, abs=1e-5), name


def outlines(scene, views):
    return scene.render(views, torch.zeros(len(views), 3)).alpha


def fitted(scene, target, views, steps):
    """The error of the outlines before and after."""
    errors = []
    for step in range(steps):
        error = (outlines(scene, views) - target).square()
        errors.append(float(error.detach().mean()))
        error.sum().backward()
        scene.step(step)
    return errors[0], errors[-1]


def torus(major, minor, options):
    """A ring that stands in the xy plane."""
    points = lattice(options.cells).points * 0.62
    ring = np.linalg.norm(points[:, :2], axis=1) - major
    distance = np.float32(np.hypot(ring, points[:, 2]) - minor)
    raw = np.zeros((3, *(options.texture + 1,) * 3), np.float32)
    offset = np.zeros((len(points), 3), np.float32)
    field = TetrahedralField(options.cells, 0.62, distance, offset, raw)
    return MeshScene(options, field=field)


@pytest.mark.parametrize("shape", ["ellipsoid", "torus"])
def test_outlines_pull_a_wrong_shape_right(shape):
    options = MeshOptions(cells=16, texture=16, train="geometry", lr_sdf=0.002)
    if shape == "torus":
        scene, target = torus(0.3, 0.2, options), torus(0.36, 0.12, options)
    else:
        scene, target = MeshScene(options), MeshScene(replace(options, radii=(0.5, 0.25, 0.4)))
    views = turntable(6, 32)
    before, after = fitted(scene, outlines(target, views).detach(), views, 60)
    assert after < 0.05 * before
    found = trimesh.Trimesh(*scene.field().surface(), process=False)
    assert found.is_watertight
    wanted = trimesh.Trimesh(*target.field().surface(), process=False)
    assert found.volume == pytest.approx(wanted.volume, rel=0.1)


def test_what_is_not_trained_keeps_every_bit():
    for train, moving in (("colour", ["color"]), ("geometry", ["sdf", "offset"])):
        scene = shaken(MeshScene(replace(SMALL, train=train, shading="normals"), seed=2))
        before = {name: p.detach().clone() for name, p in scene.values.items()}
        for step in range(3):
            shown = scene.render(view(24, 30.0 * step), torch.ones(1, 3))
            (shown.rgb.square().sum() + scene.regulariser(shown)).backward()
            scene.step(step)
        for name, p in scene.values.items():
            assert torch.equal(p, before[name]) == (name.split(".")[0] not in moving), name
        assert set(scene.parameters()) == {n for n in before if n.split(".")[0] in moving}


def test_regularisers_smooth():
    scene = shaken(MeshScene(replace(SMALL, smooth=1.0, laplacian=1.0)))
    shown = scene.render(view(8), torch.ones(1, 3))
    first = float(scene.regulariser(shown).detach())
    for step in range(30):
        scene.regulariser(shown).backward()
        scene.step(step)
    assert float(scene.regulariser(shown).detach()) < 0.5 * first


def test_an_empty_mesh_is_a_background_and_takes_a_step():
    scene = MeshScene(replace(SMALL, smooth=1.0))
    with torch.no_grad():
        scene.values["sdf.2"].fill_(1.0)
    shown = scene.render(view(8), torch.full((1, 3), 0.3))
    assert float(shown.alpha.detach().abs().max()) == 0
    torch.testing.assert_close(shown.rgb.detach(), torch.full((1, 3, 8, 8), 0.3))
    (shown.rgb.sum() + scene.regulariser(shown)).backward()
    scene.step(0)
    assert len(scene) == 0
    assert len(scene.splats()) == 0


@pytest.mark.parametrize("wrong", [{"cells": 10}, {"texture": 9}, {"train": "x"}, {"shading": "x"}])
def test_options_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"mesh.{next(iter(wrong))}"):
        MeshScene(MeshOptions(**wrong))


def test_gaussians_lie_on_the_surface_in_its_colours():
    splats = two_coloured().splats()
    assert len(splats) > 3000
    assert np.abs(np.linalg.norm(splats.means, axis=1) - 0.35).max() < 0.01
    side = splats.means[:, 0] > 0.02
    assert splats.rgb[side, 0].min() > 0.8 > 0.2 > splats.rgb[side, 1].max()


def test_starts_from_fields_splats_meshes_and_itself(tmp_path):
    """A red ball, as a run of each kind leaves it."""
    line = np.linspace(-0.62, 0.62, 65)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    raw = np.float32(1000 * (0.4 - np.sqrt(x * x + y * y + z * z)))
    colour = np.stack([np.full_like(raw, v) for v in (4, -4, -4)])
    (tmp_path / "nerf").mkdir()
    GridField(raw, colour, 0.62).save(tmp_path / "nerf" / "field.npz")
    mesh = trimesh.creation.icosphere(4, 0.4)
    mesh.visual.vertex_colors = np.full((len(mesh.vertices), 4), [250, 5, 5, 255], np.uint8)
    (tmp_path / "gaussians").mkdir()
    write_ply(tmp_path / "gaussians" / "scene.ply", sample_mesh(mesh, 6000))
    write_mesh(tmp_path / "ball.ply", mesh)
    (tmp_path / "mesh").mkdir()
    for name, tolerance in (("nerf", 0.015), ("gaussians", 0.03), ("ball.ply", 0.005)):
        field = starting_tetrahedra(str(tmp_path / name), 16, 0.62, 16)
        vertices, _ = field.surface()
        assert np.abs(np.linalg.norm(vertices, axis=1) - 0.4).max() < tolerance, name
        assert field.nearest_colour(vertices).mean(0) == pytest.approx([0.97, 0.02, 0.02], abs=0.04)
    field.offset += 0.002
    field.save(tmp_path / "mesh" / "tetrahedra.npz")
    same = starting_tetrahedra(str(tmp_path / "mesh"), 16, 0.62, 16)
    np.testing.assert_array_equal(same.offset, field.offset)
    scene = MeshScene(MeshOptions(cells=16, texture=16), field=same).field()
    np.testing.assert_allclose(scene.offset, field.offset, atol=1e-7)
    finer = starting_tetrahedra(str(tmp_path / "mesh"), 24, 0.62, 16)
    assert np.abs(np.linalg.norm(finer.surface()[0], axis=1) - 0.4).max() < 0.02


SETTINGS = [
    "run.steps=6", "mesh.cells=8", "mesh.texture=8", "views.count=2", "output.turntable_views=2",
    "output.picture_size=48", "distill.reward_steps=1",
]  # fmt: skip


def run(path, loss, *settings, resume=False, should_stop=lambda: ""):
    options = {"run": {"prompt": "a red mushroom"}, "scene": {"kind": "mesh"}}
    config = load_config("draft", loss, [*SETTINGS, *settings], options)
    opened = RunFolder.open(path) if resume else RunFolder.create(path)
    checkpoint = load_checkpoint(path / "checkpoint") if resume else None
    with opened as folder:
        for _ in generate(config, folder, checkpoint, should_stop):
            pass
    return json.loads((path / "summary.json").read_text())


@pytest.mark.parametrize("loss", ["sds", "ssd", "gsd", "upgrad", "reward-sds-one-step"])
def test_losses_make_a_mesh(tmp_path, loss):
    """One of each need: nothing, alpha, depth and Gaussians, gradients by view, decoded views."""
    summary = run(tmp_path / "run", loss, "run.steps=2")
    assert summary["status"] == "complete"
    lines = [json.loads(t) for t in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert not any("skipped" in line for line in lines)
    assert all(line["grad_norm"] > 0 for line in lines)
    assert trimesh.load_mesh(tmp_path / "run" / "mesh.glb").faces.shape[0] > 100
    assert len(read_ply(tmp_path / "run" / "scene.ply")) > 0


def test_resumes_bit_for_bit_and_exports_the_mesh_itself(tmp_path):
    settings = ("mesh.smooth=10", "mesh.shading=normals")
    run(tmp_path / "whole", "vsd", *settings)
    count = iter(range(100))
    stop = lambda: "interrupted" if next(count) == 2 else ""  # noqa: E731
    assert run(tmp_path / "parts", "vsd", *settings, should_stop=stop)["steps"] == 3
    run(tmp_path / "parts", "vsd", *settings, resume=True)
    for name in ("scene.ply", "metrics.jsonl", "contact_sheet.png", "normals.png", "mesh.glb"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    a, b = (load_checkpoint(tmp_path / n / "checkpoint").tensors for n in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(k.startswith("adam.sdf.2") for k in a)
    out = tmp_path / "mesh.obj"
    result = CliRunner().invoke(app, ["export", str(tmp_path / "whole"), str(out), "--json"])
    assert result.exit_code == 0, result.output
    ours = trimesh.load_mesh(tmp_path / "whole" / "mesh.glb")
    theirs = trimesh.load_mesh(out)
    assert len(ours.faces) == len(theirs.faces) == json.loads(result.output)["faces"]
    np.testing.assert_allclose(ours.bounds, theirs.bounds, atol=1e-6)


def test_a_run_that_lost_its_mesh_says_so(tmp_path, monkeypatch):
    empty = MeshScene(SMALL).field()
    empty.distance[:] = 0.1
    monkeypatch.setattr("score3d.build.starting_tetrahedra", lambda *_: empty)
    summary = run(tmp_path / "run", "sds", "run.steps=1")
    assert summary["status"] == "complete"
    assert "no solid surface" in summary["notes"][0]
    assert not (tmp_path / "run" / "mesh.glb").exists()
    with pytest.raises(FileFormatError, match=r"tetrahedra\.npz: holds no surface"):
        starting_tetrahedra(str(tmp_path / "run"), 8, 0.62, 8)
    result = CliRunner().invoke(app, ["export", str(tmp_path / "run"), str(tmp_path / "mesh.obj")])
    assert result.exit_code == 2, result.output
    assert "no solid surface" in result.output
    assert not (tmp_path / "mesh.obj").exists()

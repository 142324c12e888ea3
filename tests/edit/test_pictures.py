"""Pictures and panoramas: the canvas, the seams, and edits with the embedded teacher."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import binary_dilation

from score3d.cameras import orbit
from score3d.config import ConfigError, edit_preset, load_config
from score3d.draw import DrawSpec, draw_at
from score3d.edit.picture import edit_picture, read_picture, windows
from score3d.edit.session import planned
from score3d.edit.where import disagreement
from score3d.evaluate.seams import seam_energy
from score3d.prompts import PromptBook
from score3d.runs.folder import RunFolder
from score3d.scenes.canvas import CanvasScene
from score3d.teachers.embedded import EmbeddedTeacher
from score3d.world.raster import render_shape
from score3d.world.shapes import build


def noise(frames, height, width, seed=0):
    return torch.rand(frames, 3, height, width, generator=torch.Generator().manual_seed(seed))


def view(azimuth):
    return orbit(torch.tensor([azimuth]), torch.zeros(1), 2.0, 40.0, 8, 8)


@pytest.mark.parametrize(
    ("shape", "layout"), [((1, 20, 33), "frames"), ((1, 16, 50), "ring"), ((3, 8, 8), "frames")]
)
def test_without_a_change_every_bit_is_the_sources(shape, layout):
    source = noise(*shape)
    source[0, :, 0, 0] = torch.tensor([0.0, 1.0, 0.5])
    scene = CanvasScene(source, 8, 0.1, layout)
    assert np.array_equal(scene.pictures(), source.permute(0, 2, 3, 1).numpy())


def test_a_window_of_a_ring_goes_on_where_it_ends():
    source = noise(1, 8, 32)
    scene = CanvasScene(source, 8, 0.1, "ring")
    shown = scene.render(view(360 * 28 / 32), None).rgb[0]
    expected = torch.cat([source[0, :, :, 28:], source[0, :, :, :4]], -1)
    # through logit and sigmoid, and colours within half a level of 0 and 1
    assert (shown - expected).abs().max() < 0.5 / 255 + 1e-5


def test_every_column_of_a_ring_is_seen_by_some_step():
    scene = CanvasScene(noise(1, 8, 64), 8, 0.1, "ring")
    spec = DrawSpec(0, 100, 4, 1, (1, 1, 1), 8)
    seen = np.zeros(64, int)
    for step in range(100):
        for azimuth in draw_at(spec, step).views.azimuth.tolist():
            seen[(scene.offset(azimuth) + np.arange(8)) % 64] += 1
    # 100 steps of 4 windows of 8 of 64 columns: 50 on average; 6 sigma of that
    assert 50 - 6 * 7 < seen.min() <= seen.max() < 50 + 6 * 7


def test_a_strip_has_ends():
    scene = CanvasScene(noise(1, 8, 32), 8, 0.1, "strip")
    assert scene.offset(0.0) == 0
    assert scene.offset(359.99) == 24


def test_a_change_of_a_ring_is_smooth_where_it_closes():
    """At twice the resolution, a change of one sign at the end and the start of the ring has no
    step between them larger than its steps elsewhere."""
    scene = CanvasScene(torch.full((1, 3, 16, 64), 0.5), 8, 0.1, "ring")
    wave = torch.cos(torch.arange(32) * 2 * torch.pi / 32)
    with torch.no_grad():
        scene.change += wave
    row = scene.pictures()[0, 5, :, 0]
    steps = np.abs(np.diff(np.append(row, row[0])))
    assert steps[-1] <= steps.max() + 1e-6
    assert steps[-1] < 0.02


def test_frames_are_made_square_and_told_apart():
    source = noise(4, 6, 8)
    scene = CanvasScene(source, 8, 0.1)
    rgb = scene.render(windows(4, 8), None).rgb
    assert rgb.shape == (4, 3, 8, 8)
    assert (rgb[:, :, 1:7] - source).abs().max() < 0.5 / 255 + 1e-5
    assert torch.equal(rgb[:, :, 0], rgb[:, :, 1])


@pytest.mark.parametrize(
    ("shape", "layout"), [((3, 5, 8), "frames"), ((1, 8, 30), "ring"), ((1, 8, 30), "strip")]
)
def test_what_views_show_is_laid_back_where_it_was(shape, layout):
    scene = CanvasScene(noise(*shape), 8, 0.1, layout)
    views = scene.cover()
    back = scene.laid_back(views, scene.render(views, None).rgb)
    # through logit and sigmoid, and colours within half a level of 0 and 1
    assert (back - scene.seen).abs().max() < 0.5 / 255 + 1e-5


def test_what_may_not_change_keeps_every_bit():
    source = noise(1, 8, 16)
    scene = CanvasScene(source, 8, 0.1, "ring")
    scene.where = torch.zeros(1, 1, 8, 16)
    scene.where[..., 4:8] = 0.5
    with torch.no_grad():
        scene.change += 1.0
    moved = scene.pictures()[0] != source[0].permute(1, 2, 0).numpy()
    assert moved[:, 4:8].all()
    assert not moved[:, :4].any()
    assert not moved[:, 8:].any()


def test_the_teacher_disagrees_on_the_thing_and_not_on_the_background():
    """A red mug on gray: of the mug nearly all may turn blue, of the rest next to nothing."""
    shape = build("mug", "red", np.random.default_rng(3))
    camera = orbit(torch.tensor([90.0]), torch.tensor([15.0]), 2.0, 40.0, 64, 64)
    light = (0.54, 0.27, 0.22, np.array([0.3, 0.8, 0.52]))
    rgb, alpha, _ = render_shape(shape, camera, np.full((1, 3), 0.8), light)
    teacher = EmbeddedTeacher()
    scene = CanvasScene(torch.from_numpy(rgb).permute(0, 3, 1, 2), 64, 0.1)
    books = [PromptBook(teacher, f"a {c} mug", angles=False) for c in ("blue", "red")]
    where = disagreement(scene, teacher, *books, seed=0)[0, 0].numpy()
    assert where[alpha[0] > 0.99].mean() > 0.7
    near = binary_dilation(alpha[0] > 0, iterations=8)  # two of the latents' pixels
    assert where[~near].mean() < 0.02


def test_the_canvas_continues_bit_for_bit():
    a, b = (CanvasScene(noise(1, 8, 8), 8, 0.1) for _ in range(2))

    def stepped(scene, k):
        scene.change.grad = torch.full_like(scene.change, float(k))
        scene.step(k)

    stepped(a, 1)
    b.load_state_dict({k: v.clone() for k, v in a.state_dict().items()})
    stepped(a, 2)
    stepped(b, 2)
    assert torch.equal(a.change, b.change)


def test_seam_energy_of_known_pictures():
    ramp = np.tile(np.abs(np.arange(-8, 8))[None, :, None] / 8, (4, 1, 3))
    assert seam_energy(ramp, [4, 8, 12]) == pytest.approx(1.0)
    stepped = ramp.copy()
    stepped[:, 8:] += 1 / 8  # a step twice the others at 8, none where the ring closes
    assert seam_energy(stepped, [8], ring=False) == pytest.approx(
        1 / 8 * 0 + np.abs(stepped[0, 8, 0] - stepped[0, 7, 0]) / (1 / 8)
    )
    assert np.isnan(seam_energy(ramp, []))
    assert seam_energy(np.ones((2, 4, 3)), [2]) == 1.0


def settings(task, path, *more, **edit):
    words = {"instruction": "make it blue", "source": "a red cube", "input": str(path)}
    return load_config(
        edit_preset(task), "csd-edit", ["run.steps=6", *more],
        {"edit": {"task": task, **words, **edit}},
    )  # fmt: skip


def written(path, height, width):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("task", "layout", "size", "name"),
    [
        ("image", "frames", (40, 90), "picture.png"),
        ("panorama", "ring", (64, 256), "panorama.png"),
        ("panorama", "strip", (96, 200), "panorama.png"),
    ],
)
def test_edits_keep_the_size_and_write_a_run(tmp_path, task, layout, size, name):
    path = written(tmp_path / "in.png", *size)
    config = planned(settings(task, path))
    with RunFolder.create(tmp_path / "run") as folder:
        list(edit_picture(config, read_picture(path), layout, folder))
    result = np.asarray(Image.open(tmp_path / "run" / name))
    assert result.shape == (*size, 3)
    assert (result != np.asarray(Image.open(path))).any()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["edit"]["psnr_to_source"] > 10
    assert ("seam_energy" in summary["edit"]) == (task == "panorama")
    assert np.array_equal(read_picture(tmp_path / "run"), result.astype(np.float32) / 255)


def test_bad_pictures_are_one_line(tmp_path):
    (tmp_path / "no.png").write_bytes(b"nothing")
    written(tmp_path / "tiny.png", 4, 9)
    frames = [Image.new("RGB", (16, 16), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    for name, says in (
        ("no.png", "not a picture"),
        ("tiny.png", "too few"),
        ("two.gif", "edit video"),
        ("gone.png", "no such file"),
        (".", "a folder without"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_picture(tmp_path / name)

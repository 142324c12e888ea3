"""MVDream checkpoints in their original layout, whose network diffusers does not have.

`mvdream_layout.json` was made with the network of github.com/ashawkey/mvdream_diffusers
(mv_unet.py, commit 8b318ef) and random weights: their names and shapes, its cameras at elevation
15, and every fourth pixel of its answer.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from score3d.cameras import orbit
from score3d.teachers.errors import TeacherError
from score3d.teachers.kinds import CheckpointTeacher
from score3d.teachers.multi_view import MultiViewTeacher, camera_numbers

KNOWN = json.loads((Path(__file__).parent / "mvdream_layout.json").read_text())


def weights():
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in KNOWN["shapes"].items():
        scale = 1.2 * torch.Size(shape[1:]).numel() ** -0.5 if len(shape) > 1 else 0.3
        made[name] = torch.randn(shape, generator=generator) * scale
    return made, generator


@pytest.fixture
def folder(checkpoints, tmp_path):
    """The tiny multi-view checkpoint, its network exchanged for one in the original layout."""
    checkpoints("multi-view").pipeline.save_pretrained(tmp_path)
    for file in (tmp_path / "unet").iterdir():
        file.unlink()
    config = {"_class_name": "MultiViewUNetModel", **KNOWN["config"]}
    (tmp_path / "unet" / "config.json").write_text(json.dumps(config))
    save_file(weights()[0], tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    index = json.loads((tmp_path / "model_index.json").read_text())
    index |= {"_class_name": "MVDreamPipeline", "unet": ["mv_unet", "MultiViewUNetModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


def test_noise_equals_the_original_networks(folder):
    found = CheckpointTeacher(str(folder), torch.device("cpu"), cache_prompts=False)
    found.check()
    teacher = found.load()
    assert isinstance(teacher, MultiViewTeacher)
    _, generator = weights()
    z_t = torch.randn(4, 4, 8, 8, generator=generator)
    emb = torch.randn(4, 8, 16, generator=generator)
    camera = torch.tensor(KNOWN["camera"])
    out = teacher.eps(z_t, torch.full((4,), 0.7005), emb, camera=camera)
    expected = torch.tensor(KNOWN["noise"])
    assert (out[:, :, ::4, ::4].flatten() - expected).abs().max() <= 1e-5


def test_cameras_equal_the_originals():
    views = orbit(torch.arange(4) * 90.0, torch.full((4,), 15.0), 2.0, 40.0, 8, 8)
    assert torch.allclose(camera_numbers(views), torch.tensor(KNOWN["camera"]), atol=2e-6)


def test_weights_that_do_not_fit_are_named(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    short = weights()[0]
    short.pop("out.2.weight")
    save_file(short, file)
    with pytest.raises(TeacherError, match=r"diffusion_pytorch_model\.safetensors: does not fit"):
        CheckpointTeacher(str(folder), torch.device("cpu"), cache_prompts=False).load()


def test_imagedream_is_refused(folder):
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"ip_dim": 16}))
    with pytest.raises(TeacherError, match="ImageDream"):
        CheckpointTeacher(str(folder), torch.device("cpu"), cache_prompts=False).check()

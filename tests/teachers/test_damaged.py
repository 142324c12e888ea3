"""What can be wrong with a checkpoint folder: one line that names the file, exit code 1, and no
run folder left behind; through the command line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from score3d.cli.main import app
from score3d.teachers.errors import TeacherError
from score3d.teachers.kinds import CheckpointTeacher

UNET = "unet/diffusion_pytorch_model.safetensors"


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def no_checkpoint(folder):
    (folder / "model_index.json").unlink()


def single_file(folder):
    (folder / "model_index.json").unlink()
    (folder / "v1-5.safetensors").write_bytes(b"x")


def no_unet(folder):
    shutil.rmtree(folder / "unet")


def no_scheduler(folder):
    shutil.rmtree(folder / "scheduler")


def no_weights(folder):
    (folder / UNET).unlink()


def pickled(folder):
    torch.save(load_file(folder / UNET), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()


def latent_channels(folder):
    change(folder / "vae" / "config.json", latent_channels=16)


def inpainting(folder):
    change(folder / "unet" / "config.json", in_channels=9)


def text_width(folder):
    change(folder / "text_encoder" / "config.json", hidden_size=24)


def unknown_prediction(folder):
    change(folder / "scheduler" / "scheduler_config.json", prediction_type="flow")


def cut_in_header(folder):
    file = folder / UNET
    file.write_bytes(file.read_bytes()[:1000])


def cut_in_body(folder):
    file = folder / UNET
    file.write_bytes(file.read_bytes()[:-100])


def empty(folder):
    (folder / UNET).write_bytes(b"")


def damaged_header(folder):
    file = folder / UNET
    body = bytearray(file.read_bytes())
    body[8] = ord("[")
    file.write_bytes(bytes(body))


def git_lfs_pointer(folder):
    (folder / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def missing_tensors(folder):
    tensors = load_file(folder / UNET)
    tensors.pop("conv_in.weight")
    save_file(tensors, folder / UNET, {"format": "pt"})


def other_shapes(folder):
    tensors = load_file(folder / UNET)
    tensors["conv_in.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / UNET, {"format": "pt"})


def missing_shard(folder):
    (folder / UNET).unlink()
    index = {"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    file = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    file.write_text(json.dumps(index))


def broken_index(folder):
    (folder / "model_index.json").write_text("{")


def broken_config(folder):
    (folder / "unet" / "config.json").write_text("[1]")


def foreign_class(folder):
    change(folder / "model_index.json", vae=["os", "system"])


def other_pipeline(folder):
    change(folder / "model_index.json", _class_name="AudioLDMPipeline")


CASES = [
    (no_checkpoint, "model_index.json; expected a diffusers checkpoint folder"),
    (single_file, "from_single_file"),
    (no_unet, "no unet/ folder"),
    (no_scheduler, "no scheduler/ folder"),
    (no_weights, "unet: no diffusion_pytorch_model.safetensors"),
    (pickled, "unet/diffusion_pytorch_model.bin: only pickled weights"),
    (latent_channels, "unet/config.json: the network takes 4 channels"),
    (inpainting, "inpainting networks have 9"),
    (text_width, "unet/config.json: the network reads text of width 16"),
    (unknown_prediction, "scheduler_config.json: unknown prediction type 'flow'"),
    (cut_in_header, f"{UNET}: cut short within its header"),
    (cut_in_body, f"{UNET}: cut short, "),
    (empty, f"{UNET}: not a safetensors file"),
    (damaged_header, f"{UNET}: its header is damaged"),
    (git_lfs_pointer, f"{UNET}: not a safetensors file"),
    (missing_tensors, f"{UNET}: 1 tensors of the UNet2DConditionModel are missing, first conv_in"),
    (other_shapes, f"{UNET}: cannot be loaded"),
    (missing_shard, "diffusion_pytorch_model-00001-of-00002.safetensors: missing"),
    (broken_index, "model_index.json: not valid JSON"),
    (broken_config, "unet/config.json: expected a JSON object"),
    (foreign_class, "vae is a os.system, not a diffusers or transformers class"),
    (other_pipeline, "model_index.json: a AudioLDMPipeline, which is no teacher here"),
]


@pytest.mark.parametrize(("damage", "says"), CASES, ids=[c[0].__name__ for c in CASES])
def test_one_line_that_names_the_file(checkpoints, tmp_path, monkeypatch, damage, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORE3D_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(checkpoints("sd-eps").folder, folder)
    damage(folder)
    result = CliRunner().invoke(app, ["generate", "a red cube", "--teacher", str(folder)])
    lines = [line for line in result.stderr.splitlines() if line.startswith("score3d: ")]
    assert result.exit_code == 1, result.output
    assert len(lines) == 1, result.stderr
    assert says in lines[0]
    assert str(folder) in lines[0]
    assert len(lines[0]) < 500
    written = (tmp_path / "runs").exists() and any((tmp_path / "runs").iterdir())
    late = damage in (missing_tensors, other_shapes, unknown_prediction, foreign_class)
    assert not written or late  # those need the library, and so the weights


def test_pickles_are_loaded_when_trusted(checkpoints, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(checkpoints("sd-eps").folder, folder)
    expected = CheckpointTeacher(str(folder), torch.device("cpu"), cache_prompts=False).load()
    pickled(folder)
    trusted = {"allow_pickle": True, "cache_prompts": False}
    teacher = CheckpointTeacher(str(folder), torch.device("cpu"), **trusted).load()
    for a, b in zip(teacher.unet.parameters(), expected.unet.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("kind", "expected"), [("sd-v", "epsilon"), ("sd-eps", "v_prediction"), ("flow", "epsilon")]
)
def test_a_prediction_that_is_not_the_expected_one(checkpoints, kind, expected):
    from score3d.teachers.latent import LoadOptions

    found = CheckpointTeacher(
        str(checkpoints(kind).folder), torch.device("cpu"), cache_prompts=False,
        options=LoadOptions(prediction=expected),
    )  # fmt: skip
    with pytest.raises(TeacherError, match=rf"scheduler_config.json: says .* '{expected}' is exp"):
        found.load()


def test_an_alias_expects_its_prediction(checkpoints, monkeypatch):
    """SD 2.1's two checkpoints differ in it, and the wrong one fails silently."""
    import score3d.teachers.kinds as kinds

    monkeypatch.setattr(kinds, "locate", lambda *args: checkpoints("sd-eps").folder)
    with pytest.raises(TeacherError, match="'v_prediction' is expected"):
        CheckpointTeacher("sd21", torch.device("cpu"), cache_prompts=False).load()
    CheckpointTeacher("sd15", torch.device("cpu"), cache_prompts=False).load()


@pytest.mark.parametrize(
    ("kind", "part", "values", "says"),
    [
        ("sdxl", "unet", {"projection_class_embeddings_input_dim": 99}, "a refiner"),
        ("multi-view", "unet", {"in_channels": 9}, "channels"),
        ("ip2p", "unet", {"in_channels": 4}, "takes 8 channels, this one 4"),
        ("flow", "transformer", {"in_channels": 16}, "takes 16 channels"),
    ],
)
def test_parts_that_do_not_fit(checkpoints, tmp_path, kind, part, values, says):
    shutil.copytree(checkpoints(kind).folder, tmp_path / "model")
    change(tmp_path / "model" / part / "config.json", **values)
    found = CheckpointTeacher(str(tmp_path / "model"), torch.device("cpu"), cache_prompts=False)
    with pytest.raises(TeacherError, match=says) as caught:
        found.check()
    assert f"{part}/config.json" in str(caught.value)


def test_a_resolution_the_networks_cannot_take(checkpoints):
    from score3d.teachers.latent import LoadOptions

    found = CheckpointTeacher(
        str(checkpoints("sd-eps").folder), torch.device("cpu"), cache_prompts=False,
        options=LoadOptions(resolution=18),
    )  # fmt: skip
    with pytest.raises(TeacherError, match="resolution 18 is no multiple of 4"):
        found.load()

"""The diffusers adapter against diffusers' own pipeline, on tiny random checkpoints."""

import json
import shutil

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from score3d.teachers.base import TeacherError
from score3d.teachers.stable_diffusion import StableDiffusionTeacher


def tiny_checkpoint(folder, prediction_type="epsilon", affine_encoder=False):
    torch.manual_seed(0)
    words = {w: i for i, w in enumerate(["<pad>", "<unk>", "a", "red", "cube"])}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=8, pad_token="<pad>", unk_token="<unk>"
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=5,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    if affine_encoder:
        vae = AutoencoderTiny(
            encoder_block_out_channels=(48, 48, 48),
            decoder_block_out_channels=(8, 8, 8),
            num_encoder_blocks=(0, 0, 0),
            num_decoder_blocks=(0, 0, 0),
            latent_channels=4,
        )
        convs = [m for m in vae.encoder.layers.modules() if isinstance(m, torch.nn.Conv2d)]
        with torch.no_grad():  # only taps that stay inside one 4x4 patch
            for conv in convs[1:3]:
                conv.weight[:, :, 0], conv.weight[:, :, :, 0] = 0, 0
            for conv in (convs[0], convs[3]):
                centre = conv.weight[:, :, 1, 1].clone()
                conv.weight.zero_()
                conv.weight[:, :, 1, 1] = centre
    else:
        vae = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
        )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        clip_sample=False,
        steps_offset=1,
    )
    pipeline = StableDiffusionPipeline(
        vae, text, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder)
    return pipeline


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_noise_equals_diffusers(tmp_path, prediction_type):
    """The scheduler owns the conversion to x0; the noise is what x0 leaves over."""
    pipeline = tiny_checkpoint(tmp_path, prediction_type)
    teacher = StableDiffusionTeacher(tmp_path)
    z_t = torch.randn(1, 4, 8, 8)
    for t in (0.05, 0.5, 0.95):
        step = int(t * 1000)
        emb, _ = pipeline.encode_prompt("a red cube", "cpu", 1, False)
        assert torch.allclose(teacher.embed(["a red cube"]), emb, atol=1e-6)
        with torch.no_grad():
            out = pipeline.unet(z_t, step, emb).sample
        pipeline.scheduler.set_timesteps(1000)
        x0 = pipeline.scheduler.step(out, step, z_t).pred_original_sample
        bar = pipeline.scheduler.alphas_cumprod[step]
        noise = (z_t - bar.sqrt() * x0) / (1 - bar).sqrt()
        ours = teacher.eps(z_t, torch.tensor([t + 1e-6]), emb)
        assert (ours - noise).abs().max() <= 1e-5


def test_encoder_equals_the_pipelines_vae(tmp_path):
    pipeline = tiny_checkpoint(tmp_path)
    teacher = StableDiffusionTeacher(tmp_path)
    rgb = torch.rand(2, 3, 16, 16, requires_grad=True)
    z = teacher.encode(rgb)
    expected = (
        pipeline.vae.encode(2 * rgb - 1).latent_dist.mode() * pipeline.vae.config.scaling_factor
    )
    assert torch.allclose(z, expected, atol=1e-6)
    z.sum().backward()
    assert rgb.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.vae.parameters())


def test_affine_encoder_is_folded_exactly(tmp_path):
    pipeline = tiny_checkpoint(tmp_path, affine_encoder=True)
    teacher = StableDiffusionTeacher(tmp_path)
    assert teacher._affine is not None
    rgb = torch.rand(2, 3, 32, 32)
    assert teacher.resolution == 32
    expected = pipeline.vae.encode(2 * rgb - 1).latents * pipeline.vae.config.scaling_factor
    assert torch.allclose(teacher.encode(rgb), expected, atol=1e-5)


def test_pictures_of_other_sizes_are_resized(tmp_path):
    tiny_checkpoint(tmp_path)
    teacher = StableDiffusionTeacher(tmp_path)
    assert teacher.encode(torch.rand(1, 3, 40, 40)).shape == (1, 4, 8, 8)
    assert teacher.decode(torch.randn(1, 4, 8, 8)).shape == (1, 3, 16, 16)


def break_index(folder):
    (folder / "model_index.json").write_text("{")


def remove_unet(folder):
    shutil.rmtree(folder / "unet")


def truncate_weights(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def unknown_prediction(folder):
    file = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text())
    config["prediction_type"] = "flow"
    file.write_text(json.dumps(config))


def foreign_class(folder):
    file = folder / "model_index.json"
    index = json.loads(file.read_text())
    index["unet"] = ["os", "system"]
    file.write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_index, "not valid JSON"),
        (remove_unet, "no unet/ folder"),
        (truncate_weights, "cannot load UNet2DConditionModel"),
        (unknown_prediction, "unknown prediction type 'flow'"),
        (foreign_class, "not a diffusers or transformers class"),
    ],
)
def test_damaged_checkpoints_are_named(tmp_path, damage, says):
    tiny_checkpoint(tmp_path)
    damage(tmp_path)
    with pytest.raises(TeacherError, match=says) as caught:
        StableDiffusionTeacher(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_is_no_checkpoint(tmp_path):
    with pytest.raises(TeacherError, match=r"model_index\.json"):
        StableDiffusionTeacher(tmp_path)

"""What is particular to Stable Diffusion 1.x and 2.x: the closed-form encoder, its schedulers."""

import diffusers
import pytest
import torch
from diffusers import AutoencoderTiny

from score3d.teachers.stable_diffusion import StableDiffusionTeacher


@pytest.fixture
def affine(checkpoints, tmp_path):
    """A checkpoint whose encoder has no activation and whose taps stay inside one 4x4 patch."""
    pipeline = checkpoints("sd-eps").pipeline
    torch.manual_seed(0)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(48, 48, 48),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(0, 0, 0),
        num_decoder_blocks=(0, 0, 0),
        latent_channels=4,
    )
    convs = [m for m in vae.encoder.layers.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for conv in convs[1:3]:
            conv.weight[:, :, 0], conv.weight[:, :, :, 0] = 0, 0
        for conv in (convs[0], convs[3]):
            centre = conv.weight[:, :, 1, 1].clone()
            conv.weight.zero_()
            conv.weight[:, :, 1, 1] = centre
    parts = {k: v for k, v in pipeline.components.items() if k != "vae"}
    made = diffusers.StableDiffusionPipeline(vae=vae, requires_safety_checker=False, **parts)
    made.save_pretrained(tmp_path)
    return StableDiffusionTeacher(tmp_path), vae


def test_affine_encoder_is_folded_exactly(affine):
    teacher, vae = affine
    assert teacher._affine is not None
    rgb = torch.rand(2, 3, 32, 32)
    assert teacher.resolution == 32
    expected = vae.encode(2 * rgb - 1).latents * vae.config.scaling_factor
    assert torch.allclose(teacher.encode(rgb), expected, atol=1e-5)


def test_colours_of_an_affine_encoder_are_pictures_that_it_encodes(affine):
    teacher, _ = affine
    z = torch.randn(2, *teacher.latent_shape)
    rgb = teacher.colours(z)
    assert rgb.shape == (2, 3, 32, 32)
    assert torch.allclose(teacher.encode(rgb), z, atol=1e-3)


def test_pictures_of_other_sizes_are_resized(checkpoints):
    teacher = StableDiffusionTeacher(checkpoints("sd-eps").folder)
    assert teacher.encode(torch.rand(1, 3, 40, 40)).shape == (1, 4, 8, 8)
    assert teacher.decode(torch.randn(1, 4, 8, 8)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    "name",
    ["PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
     "DPMSolverMultistepScheduler", "LMSDiscreteScheduler"],
)  # fmt: skip
def test_every_scheduler_a_checkpoint_may_name_has_one_schedule(checkpoints, tmp_path, name):
    """Samplers differ, the forward process does not: what is read is alphas_cumprod."""
    pipeline = checkpoints("sd-v").pipeline
    pipeline.save_pretrained(tmp_path)
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
              "steps_offset": 1, "prediction_type": "v_prediction"}  # fmt: skip
    scheduler = getattr(diffusers, name)(**config)
    parts = pipeline.components | {"scheduler": scheduler}
    diffusers.StableDiffusionPipeline(requires_safety_checker=False, **parts).save_pretrained(
        tmp_path
    )
    teacher = StableDiffusionTeacher(tmp_path)
    assert teacher.prediction_type == "v_prediction"
    expected = pipeline.scheduler.alphas_cumprod.double()
    assert torch.allclose(teacher.schedule.alphas_cumprod, expected, atol=1e-7)

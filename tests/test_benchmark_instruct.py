"""What samples of the instruction-following twin keep of the picture that they are to edit."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("diffusers")

from diffusers import DDIMScheduler

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from benchmark_instruct import Keeping, asked_about

GENTLE = {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear"}


class HalfListening:
    """A network whose noise depends on the instruction on the left half of a picture alone."""

    def __init__(self, gap: float) -> None:
        self.gap = gap

    def __call__(self, shown, t, embedding):
        assert shown.shape[1] == 6  # latents and, not noised, the picture's
        out = shown[:, :3].clone()
        out[..., : out.shape[-1] // 2] += self.gap * embedding.mean()
        return SimpleNamespace(sample=out)


def pipeline(gap: float):
    encoded = SimpleNamespace(config=SimpleNamespace(scaling_factor=0.5))
    encoded.encode = lambda rgb: SimpleNamespace(latents=rgb)
    words = torch.cat([torch.ones(2, 1, 4), torch.zeros(4, 1, 4)])  # said, not said twice
    return SimpleNamespace(
        vae=encoded,
        scheduler=DDIMScheduler(**GENTLE),
        unet=HalfListening(gap),
        _encode_prompt=lambda *_: words,
    )


@pytest.mark.parametrize("gap", [0.3, -2.0])
def test_what_may_change_is_where_the_instruction_makes_a_difference(gap):
    pictures = torch.rand(2, 3, 8, 8)
    may = asked_about(pipeline(gap), ["make it red"] * 2, pictures, torch.Generator())
    assert may.shape == (2, 1, 8, 8)
    assert torch.equal(may[..., :4], torch.ones(2, 1, 8, 4))
    assert not may[..., 4:].any()


def test_an_instruction_that_says_nothing_changes_nothing():
    may = asked_about(pipeline(0.0), ["", ""], torch.rand(2, 3, 8, 8), torch.Generator())
    assert not may.any()


def test_latents_outside_are_the_pictures_under_the_noise_of_the_time():
    scheduler = DDIMScheduler(**GENTLE)
    scheduler.set_timesteps(5)
    owner = SimpleNamespace(scheduler=scheduler)
    z, noise, made = torch.randn(3, 1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    may = torch.tensor([1.0, 0.0]).expand(1, 1, 2, 2)  # the left column may change
    keeping = Keeping(z, noise, may)
    for step in range(4):
        t = scheduler.timesteps[step]
        latents = keeping(owner, step, t, {"latents": made})["latents"]
        bar = scheduler.alphas_cumprod[scheduler.timesteps[step + 1]]
        expected = bar.sqrt() * z + (1 - bar).sqrt() * noise
        assert torch.equal(latents[..., 0], made[..., 0])
        assert torch.allclose(latents[..., 1], expected[..., 1], atol=1e-6)  # float32
    last = keeping(owner, 4, scheduler.timesteps[4], {"latents": made})["latents"]
    assert torch.equal(last[..., 1], z[..., 1])

"""A picture as a scene."""

import pytest
import torch

from score3d import build
from score3d.config import load_config
from score3d.loop import optimise
from score3d.prompts import PromptBook
from score3d.scenes.image import ImageOptions, ImageScene
from score3d.teachers.gaussian import GaussianTeacher

CPU = torch.device("cpu")


@pytest.fixture
def teacher():
    mean = 0.2 + 0.6 * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2))
    return GaussianTeacher(mean, 0.05)


def parts(teacher, steps, *settings):
    config = load_config(
        None, None, ["scene.kind=image", f"run.steps={steps}", "views.resolution=16",
                     "views.count=4", "distill.guidance=1", *settings],
    )  # fmt: skip
    scene, rule = build.build_scene(config, CPU, teacher), build.build_rule(config)
    return scene, teacher, PromptBook(teacher, "x"), rule, build.build_spec(config, teacher)


@pytest.mark.parametrize("latents", ["false", "true"])
def test_sds_ends_at_the_teachers_mean(teacher, latents):
    """The fixed point of SDS on a Gaussian, to the noise of the last steps (0.05)."""
    made = parts(teacher, 300, f"scene.image_latents={latents}", "scene.image_lr=0.02")
    for _ in optimise(*made):
        pass
    picture = torch.from_numpy(made[0].picture()).permute(2, 0, 1)
    assert (picture - teacher.mean).abs().mean() < 0.05


def test_resumes_bit_for_bit(teacher):
    whole = parts(teacher, 10)
    expected = [i.grad_norm for i in optimise(*whole)]
    first, seen = parts(teacher, 10), []
    for info in optimise(*first):
        seen.append(info.grad_norm)
        if info.step == 4:
            break
    saved = {k: v.clone() for k, v in first[0].state_dict().items()}
    second = parts(teacher, 10)
    second[0].load_state_dict(saved)
    seen += [i.grad_norm for i in optimise(*second, start=5)]
    assert seen == expected


def test_latents_need_a_decoder():
    with pytest.raises(ValueError, match="needs a teacher that decodes"):
        ImageScene(ImageOptions(latents=True))

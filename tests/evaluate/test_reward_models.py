"""Rewards and depth against transformers' own processors and models, on tiny random weights.

Pictures go through transformers as 8-bit images that PIL resizes; ours stay tensors. Where sizes
agree, so must the numbers; where a resize is between, they differ by its 8-bit rounding.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
    PreTrainedTokenizerFast,
)

from score3d.build import build_rule
from score3d.config import ConfigError, load_config
from score3d.evaluate.depth_models import DepthModel
from score3d.evaluate.reward_models import load_reward

CPU = torch.device("cpu")
WORDS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "a", "red", "cube", "blue"]


def tokenizer():
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=12, pad_token="<pad>", unk_token="<unk>",
        cls_token="[CLS]", sep_token="[SEP]", bos_token="[CLS]", eos_token="[SEP]",
    )  # fmt: skip


def randomise(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            scale = p[0].numel() ** -0.5 if p.ndim > 1 else 0.3
            p.copy_(torch.randn(p.shape, generator=generator) * scale)
    return module.eval()


TEXT = {
    "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 12, "eos_token_id": 3, "pad_token_id": 0,
    "bos_token_id": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip


def head_of(folder, sizes):
    generator = torch.Generator().manual_seed(1)
    tensors, layers = {}, []
    for k, (a, b) in enumerate(pairwise(sizes)):
        weight = torch.randn(b, a, generator=generator) / a**0.5
        bias = torch.randn(b, generator=generator)
        # numbered with gaps, as with idle dropouts between; 10 must come after 2
        tensors[f"layers.{k * 5}.weight"], tensors[f"layers.{k * 5}.bias"] = weight, bias
        layers.append((weight, bias))
    save_file(tensors, folder / "head.safetensors")
    return lambda x: [x := x @ w.T + b for w, b in layers][-1]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    network = randomise(
        CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12))
    )
    size = {"shortest_edge": 32}
    images = CLIPImageProcessor(size=size, crop_size={"height": 32, "width": 32})
    processor = CLIPProcessor(images, tokenizer())
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    head = head_of(folder, (12, 8, 4, 1))
    return SimpleNamespace(folder=folder, network=network, processor=processor, head=head)


@pytest.fixture(scope="module")
def blip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    text = TEXT | {"encoder_hidden_size": 16, "sep_token_id": 3, "projection_dim": 12}
    config = BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=12)
    network = randomise(BlipForImageTextRetrieval(config))
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    processor = BlipProcessor(images, tokenizer())
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    head = head_of(folder, (16, 8, 1))
    return SimpleNamespace(folder=folder, network=network, processor=processor, head=head)


def pictures(side, count=3):
    """Smooth pictures on an 8-bit grid, as tensors and for PIL."""
    generator = torch.Generator().manual_seed(2)
    rough = torch.rand(count, 3, 4, 4, generator=generator)
    rgb = torch.nn.functional.interpolate(rough, (side, side), mode="bilinear")
    rgb = (rgb * 255).round() / 255
    return rgb, [Image.fromarray(np.uint8((p.permute(1, 2, 0) * 255).round())) for p in rgb]


@pytest.mark.parametrize(("side", "close"), [(32, 1e-5), (80, 5e-3)])
def test_clip_equals_transformers(clip_folder, side, close):
    rgb, images = pictures(side)
    reward = load_reward(f"clip:{clip_folder.folder}", "a red cube", CPU)
    inputs = clip_folder.processor(
        text=["a red cube"], images=images, return_tensors="pt", padding=True
    )
    with torch.no_grad():
        out = clip_folder.network(**inputs)
    expected = out.logits_per_image[:, 0] / clip_folder.network.logit_scale.exp()
    assert (reward(rgb) - expected).abs().max() <= close
    other = load_reward(f"clip:{clip_folder.folder}", "a blue cube", CPU)
    assert (other(rgb) - reward(rgb)).abs().max() > 1e-4


def test_clip_is_differentiable(clip_folder):
    rgb = pictures(40)[0].requires_grad_()
    load_reward(f"clip:{clip_folder.folder}", "a cube", CPU)(rgb).sum().backward()
    assert rgb.grad.abs().sum() > 0


def test_the_aesthetic_head_reads_the_normalised_vector(clip_folder):
    rgb, images = pictures(32)
    reward = load_reward(f"aesthetic:{clip_folder.folder}", "unused", CPU)
    inputs = clip_folder.processor(text=["a"], images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        vectors = clip_folder.network(**inputs).image_embeds
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(reward(rgb), clip_folder.head(vectors)[:, 0], atol=1e-5)


@pytest.mark.parametrize(("side", "close"), [(32, 1e-4), (80, 2e-2)])
def test_image_reward_reads_text_and_picture(blip_folder, side, close):
    """Against the retrieval model's own forward: its match head sees the same first token."""
    rgb, images = pictures(side)
    reward = load_reward(f"image-reward:{blip_folder.folder}", "a red cube", CPU)
    inputs = blip_folder.processor(
        text=["a red cube"] * 3, images=images, return_tensors="pt", padding="max_length",
        max_length=12,
    )  # fmt: skip
    tokens = []
    hook = blip_folder.network.itm_head.register_forward_pre_hook(
        lambda module, given: tokens.append(given[0])
    )
    with torch.no_grad():
        blip_folder.network(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            pixel_values=inputs["pixel_values"], use_itm_head=True,
        )  # fmt: skip
    hook.remove()
    first = tokens[0][:, 0] if tokens[0].ndim == 3 else tokens[0]
    assert (reward(rgb) - blip_folder.head(first)[:, 0]).abs().max() <= close
    other = load_reward(f"image-reward:{blip_folder.folder}", "a blue cube", CPU)
    assert (other(rgb) - reward(rgb)).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["clip", "image-reward"])
def test_rewards_take_the_judges_place_in_reward_sds(kind, clip_folder, blip_folder):
    folder = (clip_folder if kind == "clip" else blip_folder).folder
    settings = ["distill.weight=reward-best", "run.prompt=a red cube"]
    config = load_config(None, None, [*settings, f"reward.model={kind}:{folder}"])
    rule = build_rule(config)
    assert rule.weight.reward(pictures(32)[0]).shape == (3,)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("clap:x", "unknown reward 'clap:x'; known: judge, clip:<folder>"),
        ("clip", "unknown reward 'clip'"),
        ("clip:/no/such", "no folder '/no/such'"),
    ],
)
def test_unknown_rewards_are_one_line(name, says):
    with pytest.raises(ValueError, match=says):
        load_reward(name, "a", CPU)
    config = load_config(None, None, ["distill.weight=reward-best", f"reward.model={name}"])
    with pytest.raises(ConfigError, match=says):
        build_rule(config)


def test_a_head_that_does_not_fit_is_named(clip_folder, tmp_path):
    import shutil

    folder = tmp_path / "clip"
    shutil.copytree(clip_folder.folder, folder)
    (folder / "head.safetensors").unlink()
    with pytest.raises(ValueError, match=r"head.safetensors: missing"):
        load_reward(f"aesthetic:{folder}", "a", CPU)
    head_of(folder, (7, 1))
    with pytest.raises(ValueError, match=r"head.safetensors: layers.0 takes 7 numbers, but 12"):
        load_reward(f"aesthetic:{folder}", "a", CPU)
    with pytest.raises(ValueError, match=r"no config.json"):
        load_reward(f"clip:{tmp_path}", "a", CPU)


BACKBONE = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "patch_size": 8}


def dpt():
    config = DPTConfig(
        **BACKBONE, intermediate_size=32, image_size=32, backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 16, 16], fusion_hidden_size=16, is_hybrid=False,
    )  # fmt: skip
    return DPTForDepthEstimation(config), DPTImageProcessor(size={"height": 32, "width": 32})


def depth_anything():
    backbone = Dinov2Config(
        **BACKBONE, mlp_ratio=2, image_size=32, reshape_hidden_states=False,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, patch_size=8, reassemble_hidden_size=16,
        neck_hidden_sizes=[16, 16, 16, 16], fusion_hidden_size=16, head_hidden_size=8,
    )  # fmt: skip
    processor = DPTImageProcessor(
        size={"height": 32, "width": 32}, ensure_multiple_of=8, keep_aspect_ratio=True
    )
    return DepthAnythingForDepthEstimation(config), processor


@pytest.mark.parametrize("make", [dpt, depth_anything])
@pytest.mark.parametrize(("side", "close"), [(32, 1e-4), (80, 3e-2)])
def test_depth_equals_transformers(tmp_path, make, side, close):
    network, processor = make()
    randomise(network).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    rgb, images = pictures(side)
    model = DepthModel(tmp_path)
    inputs = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        depth = network(**inputs).predicted_depth
    expected = torch.nn.functional.interpolate(
        depth[:, None], (side, side), mode="bicubic", align_corners=False
    )[:, 0]
    scale = max(1.0, float(expected.abs().max()))
    assert (model(rgb) - expected).abs().max() <= close * scale
    x = rgb.clone().requires_grad_()
    model(x).square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_no_depth_model_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"no config.json"):
        DepthModel(tmp_path)


@pytest.mark.parametrize("make", [dpt, depth_anything])
def test_ssd_runs_on_what_a_depth_model_sees(tmp_path, make):
    from score3d import build
    from score3d.config import ConfigError, load_config
    from score3d.loop import optimise
    from score3d.prompts import PromptBook

    network, processor = make()
    network.save_pretrained(tmp_path / "depth")
    processor.save_pretrained(tmp_path / "depth")
    settings = ["run.steps=3", "scene.count=200", f"distill.stein_phi=depth:{tmp_path / 'depth'}"]
    config = load_config("draft", "ssd", settings)
    teacher = build.build_teacher(config, CPU)
    rule, scene = build.build_rule(config, teacher), build.build_scene(config, CPU, teacher)
    book, spec = PromptBook(teacher, "a red cube"), build.build_spec(config, teacher)
    assert len(list(optimise(scene, teacher, book, rule, spec))) == 3
    assert rule.baseline.coefficient != 0
    for bad in ("depth:" + str(tmp_path), "width:x", "depth:"):
        wrong = load_config("draft", "ssd", [f"distill.stein_phi={bad}"])
        with pytest.raises(ConfigError):
            build.build_rule(wrong, teacher)

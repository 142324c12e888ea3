"""Tiny checkpoints with random weights, saved by diffusers' own pipelines.

Every parameter is random: networks that start with zeros in their last layers, or norms with ones,
would agree with anything.
"""

from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

WORDS = ["<pad>", "<unk>", "a", "red", "cube", "front", "view", ",", "side", "back"]


def randomise(module, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            # loud enough that every branch shows in the output
            scale = 1.5 * p[0].numel() ** -0.5 if p.ndim > 1 else 0.3
            p.copy_(torch.randn(p.shape, generator=generator) * scale)
    return module.eval()


def tokenizer(length):
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=length, pad_token="<pad>", unk_token="<unk>"
    )


def clip_text(width, seed, projected=False, act="quick_gelu"):
    config = CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
        projection_dim=width,
        hidden_act=act,
        pad_token_id=0,
        bos_token_id=8,
        eos_token_id=9,
    )
    return randomise((CLIPTextModelWithProjection if projected else CLIPTextModel)(config), seed)


def unet(**settings):
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return randomise(UNet2DConditionModel(**config | settings), 3)


def kl(channels=4, **settings):
    return randomise(
        AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=channels,
            norm_num_groups=4,
            **settings,
        ),
        4,
    )


def ddim(prediction):
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def sd(prediction="epsilon", **settings):
    network, text = unet(**settings), clip_text(16, 1)
    return StableDiffusionPipeline(
        kl(), text, tokenizer(8), network, ddim(prediction), None, None, None, False
    )


def sdxl():
    network = unet(
        cross_attention_dim=16 + 12,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=12 + 6 * 4,
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
    )
    return StableDiffusionXLPipeline(
        kl(scaling_factor=0.13025, force_upcast=True),
        clip_text(16, 1),
        clip_text(12, 2, projected=True, act="gelu"),
        tokenizer(8),
        tokenizer(8),
        network,
        ddim("epsilon"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def ip2p():
    return StableDiffusionInstructPix2PixPipeline(
        kl(), clip_text(16, 1), tokenizer(8), unet(in_channels=8), ddim("epsilon"), None, None,
        None, False,
    )  # fmt: skip


def multi_view():
    return sd(class_embed_type="projection", projection_class_embeddings_input_dim=16)


def sd3():
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=6,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=16 + 12,
        out_channels=6,
        pos_embed_max_size=8,
    )
    t5 = T5Config(vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return StableDiffusion3Pipeline(
        randomise(transformer, 3),
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        kl(6, shift_factor=0.0609, scaling_factor=1.5305),
        clip_text(16, 1, projected=True),
        tokenizer(8),
        clip_text(12, 2, projected=True, act="gelu"),
        tokenizer(8),
        randomise(T5EncoderModel(t5), 5),
        tokenizer(8),
    )


MAKERS = {
    "sd-eps": sd,
    "sd-v": lambda: sd("v_prediction"),
    "sd-x0": lambda: sd("sample"),
    "sdxl": sdxl,
    "ip2p": ip2p,
    "multi-view": multi_view,
    "flow": sd3,
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """kind -> folder and pipeline. The folders are shared: copy one before damaging it."""
    made = {}

    def make(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            pipeline = MAKERS[kind]()
            pipeline.save_pretrained(folder)
            pipeline.set_progress_bar_config(disable=True)
            made[kind] = SimpleNamespace(folder=folder, pipeline=pipeline)
        return made[kind]

    return make

"""What can only be checked where there is a CUDA device; `scripts/gpu_check.py` runs these."""

import json

import pytest
import torch

from score3d.cameras import turntable
from score3d.config import load_config
from score3d.render import rasterization

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def ball(device):
    g = torch.Generator().manual_seed(0)
    values = [
        torch.randn(500, 3, generator=g) * 0.2,
        torch.randn(500, 4, generator=g),
        torch.rand(500, 3, generator=g) * 0.03 + 0.01,
        torch.rand(500, generator=g),
        torch.rand(500, 3, generator=g),
    ]
    return [v.to(device).requires_grad_() for v in values]


def test_gsplat_agrees_with_the_cpu():
    """Pictures to 1e-3, gradients to 1e-2 relative L2: gsplat culls by 3 sigma and sums with
    atomics, so single pixels at cut-offs may differ."""
    results = []
    for device in ("cpu", "cuda"):
        parameters = ball(device)
        views = turntable(3, 64).to(device)
        white = torch.ones(3, 3, device=device)
        rgb, alpha, _ = rasterization(
            *parameters, views.viewmats, views.Ks, 64, 64, backgrounds=white
        )
        target = torch.linspace(0, 1, rgb.numel(), device=device).view_as(rgb)
        ((rgb - target).square().sum() + alpha.sum()).backward()
        results.append([rgb.detach().cpu(), *(p.grad.cpu() for p in parameters)])
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).norm() / ours.norm() < 1e-2
    assert (results[0][0] - results[1][0]).abs().mean() < 1e-3


def test_generate_on_cuda(tmp_path):
    from score3d.generate import generate
    from score3d.runs.folder import RunFolder

    options = {"run": {"prompt": "a red mushroom", "device": "cuda", "steps": 30}}
    config = load_config("draft", "sds", ["scene.adapt_start=5"], options)
    with RunFolder.create(tmp_path / "run") as folder:
        for _ in generate(config, folder):
            pass
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 30


@pytest.fixture
def tiny(tmp_path):
    """A tiny Stable Diffusion with random weights."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = {w: i for i, w in enumerate(["<pad>", "<unk>", "a", "red", "cube"])}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=8, pad_token="<pad>", unk_token="<unk>"
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=5, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=8,
        )
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=2,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), norm_num_groups=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=8,
    )  # fmt: skip
    folder = tmp_path / "tiny"
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False)
    StableDiffusionPipeline(
        vae, text, tokenizer, unet, scheduler, None, None, None, False
    ).save_pretrained(folder)
    return str(folder)


def checkpoint(folder, device, **settings):
    from score3d.teachers.kinds import CheckpointTeacher

    return CheckpointTeacher(folder, torch.device(device), cache_prompts=False, **settings).load()


@pytest.mark.parametrize(
    ("dtype", "low_vram", "close"),
    [
        ("float32", False, 1e-3),
        ("float32", True, 1e-3),
        ("auto", False, 2e-2),
        ("bfloat16", False, 0.1),
    ],
)
def test_a_checkpoint_answers_as_on_the_cpu(tiny, dtype, low_vram, close):
    """TF32 is off by default for matrix products; convolutions may use it: hence 1e-3. Half
    precision has 11 and 8 bits."""
    cpu = checkpoint(tiny, "cpu")
    there = checkpoint(tiny, "cuda", dtype=dtype, low_vram=low_vram)
    z_t, t = torch.randn(4, 4, 16, 16), torch.full((4,), 0.5)
    emb = cpu.embed(["a red cube"]).expand(4, -1, -1)
    ours = there.eps(z_t.cuda(), t.cuda(), emb.cuda())
    assert ours.dtype == torch.float32
    expected = cpu.eps(z_t, t, emb)
    assert (ours.cpu() - expected).abs().max() <= close * expected.abs().max()
    gradients = []
    rgb = torch.rand(2, 3, 32, 32)
    for teacher, device in ((cpu, "cpu"), (there, "cuda")):
        x = rgb.to(device).requires_grad_()
        teacher.encode(x).square().sum().backward()
        gradients.append(x.grad.cpu())
    assert (gradients[0] - gradients[1]).norm() <= 2 * close * gradients[0].norm()
    if low_vram:
        assert next(there.network.parameters()).device.type == "cpu"  # it went back


def test_text_encoders_leave_the_device(tiny):
    teacher = checkpoint(tiny, "cuda")
    before = torch.cuda.memory_allocated()
    teacher.embed(["a red cube"])
    loaded = torch.cuda.memory_allocated()
    teacher.release_text()
    assert loaded > before
    assert torch.cuda.memory_allocated() < loaded


def test_out_of_memory_on_the_device_is_survived(tiny):
    """A real allocation failure, in a pass of many rows, then fewer rows."""
    from score3d import build
    from score3d.loop import optimise_in_memory
    from score3d.prompts import PromptBook

    teacher = checkpoint(tiny, "cuda")
    predict, calls = teacher._predict, []

    def greedy(z_t, *rest):
        calls.append(len(z_t))
        if len(z_t) > 2:  # ask for more than there is
            torch.empty(2 * torch.cuda.get_device_properties(0).total_memory, device="cuda").char()
        return predict(z_t, *rest)

    teacher._predict = greedy
    settings = ["run.steps=3", "views.resolution=16", "scene.count=50", "run.device=cuda"]
    config = load_config("draft", "sds", settings)
    device, notes = torch.device("cuda"), []
    scene, rule = build.build_scene(config, device), build.build_rule(config)
    prompts = PromptBook(teacher, "a red cube")
    steps = optimise_in_memory(
        scene, teacher, prompts, rule, build.build_spec(config, teacher), 0, device, notes.append
    )
    assert len(list(steps)) == 3
    assert len(notes) == 2

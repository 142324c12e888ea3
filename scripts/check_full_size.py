"""Stable Diffusion 1.5 at its full size with random weights, through `score3d generate` on a CPU:

    python scripts/check_full_size.py --folder /tmp/sd15-random

Makes the checkpoint (2.1 GB on disk, float16; deleted at the end unless --keep), generates twice
with one prompt, and prints peak memory, seconds per step, the share of a step that is neither the
UNet nor the autoencoder, and whether the second run found its prompt embeddings in the cache.
With --student it also takes two steps of VSD and looks at the gradients of the student's adapters
and of the network under them.
Says nothing about quality: the weights are noise. Exits with 1 if something is not as it should be.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

GIB = 1024**3
MAX_OVERHEAD = 0.05


def make_checkpoint(folder: Path) -> None:
    """Stable Diffusion 1.5's architecture, as its configs state it."""
    import torch
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    words = {w: i for i, w in enumerate(["<pad>", "<unk>", "a", "red", "cube"])}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=77, pad_token="<pad>", unk_token="<unk>"
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
        )
    )
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
    )
    pipeline = StableDiffusionPipeline(
        vae, text, tokenizer, unet, scheduler, None, None, None, False
    )
    pipeline.save_pretrained(folder)
    torch.set_default_dtype(torch.float32)


def run_timed(arguments: list[str], report: Path) -> None:
    """The command line, with clocks around the networks; the times go to `report`."""
    import torch

    from score3d.cli.main import app
    from score3d.teachers.latent import LatentTeacher
    from score3d.teachers.stable_diffusion import StableDiffusionTeacher

    inside = [0.0]
    began = [0.0]

    def timed(method):
        def call(*args, **kwargs):
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                inside[0] += time.perf_counter() - start

        return call

    encode = LatentTeacher.encode

    def encode_timed(self, rgb):
        start = time.perf_counter()
        z = encode(self, rgb)
        inside[0] += time.perf_counter() - start
        if z.requires_grad and torch.is_grad_enabled():  # the backward pass, from z to the picture
            z.register_hook(lambda g: began.__setitem__(0, time.perf_counter()))

            def arrived(g):
                inside[0] += time.perf_counter() - began[0]

            rgb.register_hook(arrived)
        return z

    LatentTeacher.encode = encode_timed
    StableDiffusionTeacher._predict = timed(StableDiffusionTeacher._predict)
    steps = []
    import score3d.generate as module

    optimise = module.optimise_in_memory

    def followed(*args, **kwargs):
        inside[0] = 0.0
        for info in optimise(*args, **kwargs):
            steps.append({"inside": inside[0], **info.seconds})
            yield info
            inside[0] = 0.0

    module.optimise_in_memory = followed
    try:
        app(arguments, standalone_mode=False)
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        report.write_text(json.dumps({"steps": steps, "peak": peak}))


def generate(folder: Path, out: Path, args: argparse.Namespace, steps: int) -> dict:
    """One run in a process of its own; what it measured."""
    report = out.parent / f"{out.name}.json"
    command = [
        sys.executable, __file__, "--run", str(report), "generate", "a red cube", "--teacher",
        str(folder), "--out", str(out), "--overwrite", "--offline", "--steps", str(steps),
        "--set", "views.count=1", "--set", "views.resolution=512",
        "--set", f"teacher.dtype={args.dtype}", "--set", "output.turntable_views=4",
    ]  # fmt: skip
    for setting in args.set:
        command += ["--set", setting]
    environment = os.environ | {"SCORE3D_CACHE": str(out.parent / "cache")}
    done = subprocess.run(command, env=environment)
    if done.returncode:
        sys.exit(f"generate failed with {done.returncode}")
    summary = json.loads((out / "summary.json").read_text())
    return json.loads(report.read_text()) | {"summary": summary}


def train_student(model: Path, args: argparse.Namespace, steps: int = 2) -> list[str]:
    """Steps of VSD in this process; prints the adapters' gradients, returns what is wrong."""
    import torch

    from score3d import build
    from score3d.config import load_config
    from score3d.distill.baseline.lora import LoraNetwork
    from score3d.loop import optimise
    from score3d.prompts import PromptBook

    # random weights say nothing about what they predict, which is what this checks
    LoraNetwork._check_prediction_type = lambda self: None
    settings = [f"teacher.resolution={args.student}", f"views.resolution={args.student}",
                "views.count=1", f"run.steps={steps}", f"teacher.dtype={args.dtype}",
                "teacher.cache_prompts=false", *args.set]  # fmt: skip
    config = load_config("draft", "vsd", settings, {"teacher": {"name": str(model)}})
    cpu = torch.device("cpu")
    teacher = build.build_teacher(config, cpu)
    rule = build.build_rule(config, teacher)
    network, optimizer = rule.baseline.network, rule.baseline.optimizer
    seen: list[dict] = []
    step_of_optimizer = optimizer.step

    def step() -> None:
        grads = {n: p.grad for n, p in network.parameters().items()}
        seen.append({n: float(g.norm()) for n, g in grads.items() if g is not None})
        step_of_optimizer()

    optimizer.step = step
    scene = build.build_scene(config, cpu, teacher)
    spec = build.build_spec(config, teacher)
    for info in optimise(scene, teacher, PromptBook(teacher, "a red cube"), rule, spec):
        print(f"vsd step {info.step}: {sum(info.seconds.values()):.1f} s", flush=True)
    trained = {id(p) for p in network.parameters().values()}
    base = [n for n, p in teacher.unet.named_parameters() if id(p) not in trained]
    touched = [n for n, p in teacher.unet.named_parameters() if n in base and p.grad is not None]
    wrong = [f"the network's own {n} has a gradient" for n in touched]
    for k, grads in enumerate(seen):
        adapters = {n: g for n, g in grads.items() if ".student." in n}
        total = sum(g**2 for g in adapters.values()) ** 0.5
        moved = sum(g > 0 for g in adapters.values())
        print(
            f"fit {k}: |gradient| {total:.3g} over {len(adapters)} tensors of the adapters, "
            f"{moved} of them not zero; {len(base)} tensors of the network without any"
        )
        if not 0 < total < float("inf"):
            wrong.append(f"fit {k}: gradient {total} of the adapters")
    if len(seen) != steps:
        wrong.append(f"{len(seen)} fits in {steps} steps")
    return wrong


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_timed(sys.argv[3:], Path(sys.argv[2]))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="a new folder")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--student", type=int, metavar="SIDE", help="VSD on pictures of this side")
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    if args.folder.exists():
        sys.exit(f"{args.folder} exists; name a new folder")
    failed = []
    try:
        model = args.folder / "sd15"
        make_checkpoint(model)
        if args.student:
            failed += train_student(model, args)
        first = generate(model, args.folder / "first", args, args.steps)
        second = generate(model, args.folder / "second", args, 1)
        for k, step in enumerate(first["steps"]):
            total = sum(v for name, v in step.items() if name != "inside")
            phases = ", ".join(f"{n} {v:.2f}" for n, v in step.items() if n != "inside")
            overhead = 1 - step["inside"] / total
            print(f"step {k}: {total:.1f} s ({phases}); outside the networks {overhead:.1%}")
            if overhead > MAX_OVERHEAD:
                failed.append(f"step {k}: {overhead:.1%} is outside the networks")
        print(f"peak memory: {first['peak'] / GIB:.2f} GiB, {args.dtype}")
        for name, run in (("first", first), ("second", second)):
            print(f"prompt embeddings, {name} run: {run['summary']['prompt_cache']}")
        if second["summary"]["prompt_cache"]["misses"]:
            failed.append("the second run embedded its prompts again")
        if len(first["steps"]) != args.steps:
            failed.append(f"{len(first['steps'])} steps")
    finally:
        if not args.keep:
            shutil.rmtree(args.folder, ignore_errors=True)
    for line in failed:
        print("FAILED:", line)
    sys.exit(1 if failed else 0)

"""Train the embedded teacher's instruction-following twin, and export it.

    python scripts/train_instruct.py --out .cache/instruct --steps 3600 --bfloat16
    python scripts/train_instruct.py --out .cache/instruct --export assets/teacher-instruct

InstructPix2Pix (Brooks, Holynski, Efros 2023, arXiv 2211.09800) on pairs of renders that differ by
one edit (`score3d/world/edits.py`): the teacher's UNet and text encoder to start with, the latent
of the picture before concatenated to the noisy one (its channels of the first convolution start at
zero), and instructions for text. Of the pairs 5 % lose the instruction, 5 % the picture, 5 % both,
which is what two guidance scales need. The vocabulary grows by the words of instructions.

Resumable: the same command goes on from the last checkpoint, and `--steps` may have grown. Seven
batches of eight are grids of four views, as the teacher's are.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, StableDiffusionInstructPix2PixPipeline
from export_onnx import export_graphs
from export_teacher import about_world
from PIL import Image
from render_pairs import Pairs, load_pairs, teacher_nouns
from safetensors.torch import load_file, save_file
from teacher_networks import (
    CHANNELS,
    Denoiser,
    build_tokenizer,
    decode,
    encode,
    scheduler,
    start_from,
    token_ids,
)
from torch import Tensor
from train_teacher import matrices_of, noised
from training import Training, add_arguments

from score3d.resources import resource
from score3d.teachers.grid import tile
from score3d.world.edits import EDITS, instruction_words

HELD_OUT = 90000
DROPPED = 0.05  # text, picture, both: this share of pairs each


def draw_batch(
    shards: list[Pairs], views: int, grid: bool, rng: np.random.Generator
) -> tuple[Tensor, Tensor, list[str]]:
    """Pictures before and after [B,3,H,W] in [0,1], and instructions. Views of a grid share one."""
    count = views // 4 if grid else views
    before, after, texts = [], [], []
    for _ in range(count):
        shard = shards[rng.integers(len(shards))]
        i, k = int(rng.integers(len(shard))), int(rng.integers(4))
        both = shard.rgb[i] if grid else shard.rgb[i, :, k : k + 1]
        before.append(both[0])
        after.append(both[1])
        texts.append(shard.instruction(i, rng))
    pictures = [
        torch.from_numpy(np.concatenate(p)).float().div(255).permute(0, 3, 1, 2)
        for p in (before, after)
    ]
    if grid:
        pictures = [tile(p) for p in pictures]
    return pictures[0], pictures[1], texts


def dropped(image: Tensor, texts: list[str], rng: np.random.Generator) -> tuple[Tensor, list[str]]:
    """Conditioning dropout: zeros for the picture's latent, the empty text for the instruction."""
    u = rng.random(len(texts))
    no_text = (u < DROPPED) | ((u >= 2 * DROPPED) & (u < 3 * DROPPED))
    no_image = (u >= DROPPED) & (u < 3 * DROPPED)
    keep = torch.from_numpy(~no_image).float().view(-1, 1, 1, 1)
    return image * keep, ["" if gone else t for t, gone in zip(texts, no_text, strict=True)]


class Probe:
    """The loss on held-out pairs with the right instruction and picture, with the instruction of
    another pair, and without the picture; equal times and noise."""

    def __init__(self, pairs: Pairs, pca: dict[str, Tensor], tokenizer, count: int = 24) -> None:
        rng = np.random.default_rng(0)
        count = min(count, len(pairs))
        rgb = torch.from_numpy(np.array(pairs.rgb[:count])).float().div(255)
        views = rgb.permute(1, 0, 2, 5, 3, 4).flatten(1, 2)  # [2, 4P, 3, H, W]
        self.image, self.z = (encode(tile(v), pca) for v in views)
        texts = [pairs.instruction(i, rng) for i in range(count)]
        self.ids = token_ids(tokenizer, texts)
        self.others = token_ids(tokenizer, texts[1:] + texts[:1])

    @torch.no_grad()
    def __call__(self, net: Denoiser) -> dict[str, list[float]]:
        """At t = 0.3, 0.6, 0.9: the loss, and what it rises by (relative) for each fault."""
        eps = torch.randn(self.z.shape, generator=torch.Generator().manual_seed(5))
        found: dict[str, list[float]] = {"loss": [], "other instruction": [], "no picture": []}
        for time_ in (300, 600, 900):
            t = torch.full((len(self.z),), time_)
            z_t, target = noised(self.z, t, eps)

            def loss(image: Tensor, ids: Tensor, z_t=z_t, t=t, target=target) -> float:
                v = net(torch.cat([z_t, image], 1), t, ids)
                return float((v - target).square().mean())

            right = loss(self.image, self.ids)
            found["loss"].append(round(right, 5))
            found["other instruction"].append(round(loss(self.image, self.others) / right - 1, 4))
            blind = loss(torch.zeros_like(self.image), self.ids)
            found["no picture"].append(round(blind / right - 1, 4))
        return found


@torch.no_grad()
def sampled(
    net: Denoiser, image: Tensor, ids: Tensor, null: Tensor, text_scale=4.0, image_scale=1.5,
    steps=20, seed=0,
) -> Tensor:  # fmt: skip
    """DDIM samples with both guidance scales, as latents."""
    s = scheduler()
    s.set_timesteps(steps)
    z = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    texts = torch.cat([null.expand_as(ids), null.expand_as(ids), ids])
    images = torch.cat([torch.zeros_like(image), image, image])
    for t in s.timesteps:
        given = torch.cat([torch.cat([z] * 3), images], 1)
        e_0, e_i, e_it = net(given, t.expand(len(given)), texts).chunk(3)
        z = s.step(e_0 + image_scale * (e_i - e_0) + text_scale * (e_it - e_i), t, z).prev_sample
    return z


def save_sheet(net: Denoiser, pairs: Pairs, pca: dict[str, Tensor], tokenizer, path: Path) -> None:
    """Twelve held-out edits: before, sampled, as it should be."""
    kinds = list(dict.fromkeys(k for k, _, _ in pairs.labels))
    rows = [
        i for kind in kinds for i in [j for j, v in enumerate(pairs.labels) if v[0] == kind][:2]
    ][:16]
    rng = np.random.default_rng(1)
    rgb = torch.from_numpy(np.array(pairs.rgb[rows])).float().div(255).permute(1, 0, 2, 5, 3, 4)
    before, after = (tile(v.flatten(0, 1)) for v in rgb)
    texts = [pairs.instruction(i, rng) for i in rows]
    ids, null = token_ids(tokenizer, texts), token_ids(tokenizer, [""])
    made = decode(sampled(net, encode(before, pca), ids, null), pca)
    sheet = torch.cat([torch.cat(list(p), 2) for p in (before, made, after)], 1)
    Image.fromarray((sheet.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(path)
    path.with_suffix(".txt").write_text("\n".join(texts) + "\n")


def train(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    shards = [load_pairs(args.data, args.first_shard + k) for k in range(args.shards)]
    held_out = load_pairs(args.data, HELD_OUT)
    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer(instruction_words())
    net, ema = Denoiser(tokenizer, 2 * CHANNELS), Denoiser(tokenizer, 2 * CHANNELS)
    pca = {k: v.contiguous() for k, v in start_from(net, tokenizer, args.init).items()}
    save_file(pca, args.out / "pca.safetensors")
    net.to(memory_format=torch.channels_last)
    training = Training(net, ema, matrices_of(net), args, keep=0.998)
    probe = Probe(held_out, pca, tokenizer)
    finished = training.finished()
    while not finished:
        # Every random number of a step comes from (seed, step): resuming changes nothing.
        step = training.step
        rng = np.random.default_rng([args.seed, step])
        gen = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        before, after, texts = draw_batch(shards, args.batch, bool((step + 1) % 8), rng)
        z = encode(after, pca)
        image, texts = dropped(encode(before, pca), texts, rng)
        # Stratified times, somewhat more of them noisy: what is asked for is decided there.
        unit = (torch.arange(len(z)) + torch.rand(len(z), generator=gen)) / len(z)
        t = torch.from_numpy(np.interp(unit.numpy(), (0, 0.3, 1), (0, 0.45, 1)))
        t = (t * 1000).long().clamp(max=999)
        z_t, target = noised(z, t, torch.randn(z.shape, generator=gen))
        given = torch.cat([z_t, image], 1).contiguous(memory_format=torch.channels_last)
        with training.autocast:
            v = net(given, t, token_ids(tokenizer, texts))
        line = training.learn((v.float() - target).square().mean())
        if line and training.step % args.probe_every == 0:
            line["probe"] = probe(ema)
        if line:
            training.log(line)
        finished = training.finished()
        if training.step % args.save_every == 0 or finished:
            sheet = args.out / f"samples-{training.step:06d}.png"
            save_sheet(ema, held_out, pca, tokenizer, sheet)
            training.save()


def export(args: argparse.Namespace) -> None:
    """Write the diffusers directory: averaged weights in half precision, the teacher's own
    autoencoder, and world.json with the words it knows: of the teacher's nouns those that pairs
    are rendered of."""
    state = torch.load(args.out / "last.pt", weights_only=True)
    tokenizer = build_tokenizer(instruction_words())
    net = Denoiser(tokenizer, 2 * CHANNELS)
    net.load_state_dict(state["ema"])
    vae = AutoencoderTiny.from_config(AutoencoderTiny.load_config(args.init / "vae"))
    theirs = load_file(args.init / "vae" / "diffusion_pytorch_model.safetensors")
    vae.load_state_dict({k: v.float() for k, v in theirs.items()})
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=net.text_encoder,
        tokenizer=tokenizer,
        unet=net.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(args.export, safe_serialization=True)
    export_graphs(args.export)
    world = about_world(teacher_nouns(args.init), state) | {"instructions": sorted(EDITS)}
    (args.export / "world.json").write_text(json.dumps(world, indent=2) + "\n")
    size = sum(f.stat().st_size for f in args.export.rglob("*") if f.is_file())
    print(f"{args.export}: step {state['step']}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/instruct"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/pairs"))
    parser.add_argument("--init", type=Path, default=resource("assets", "teacher"))
    parser.add_argument("--export", type=Path, help="write the twin there instead of training")
    parser.add_argument("--first-shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    add_arguments(parser, steps=3600, batch=64, lr=6e-4, decay=0.4, save=300)
    parser.add_argument("--probe-every", type=int, default=150)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    export(args) if args.export else train(args)

"""Write the diffusers directory of the embedded teacher from a training checkpoint.

    python scripts/export_teacher.py --out .cache/teacher --export assets/teacher

Averaged weights in half precision, and an `AutoencoderTiny` whose encoder is exactly the patch
projection of the latents and whose decoder is fitted here.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from export_onnx import export_graphs
from safetensors.torch import load_file
from teacher_networks import (
    CHANNELS,
    SIZE,
    Denoiser,
    build_tokenizer,
    encode,
    packed_slot,
    scheduler,
)
from torch import Tensor, nn

from score3d.world.captions import PHRASES, SYNONYMS
from score3d.world.dataset import Renders, load_renders
from score3d.world.families import SECOND_PARTS
from score3d.world.finish import MATERIALS
from score3d.world.nouns import SYMMETRIC
from score3d.world.palette import COLOURS
from score3d.world.shapes import RELATIONS, SIMPLE, STANDS


def autoencoder(pca: dict[str, Tensor]) -> AutoencoderTiny:
    """An `AutoencoderTiny` whose encoder is exactly the patch projection.

    Without blocks its encoder is four convolutions and no activation, so the first three can
    move each 4x4 patch into 48 channels and the last project it. It maps [-1,1] to [0,1]
    itself. The decoder is left for training.
    """
    mean, basis, scale = pca["mean"], pca["basis"], pca["scale"]
    vae = AutoencoderTiny(
        encoder_block_out_channels=(48, 48, 48),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(0, 0, 0),
        num_decoder_blocks=(1, 1, 1),
        latent_channels=CHANNELS,
        latent_magnitude=6,
    )
    convs = [m for m in vae.encoder.layers.modules() if isinstance(m, nn.Conv2d)]
    first, half, quarter, last = convs
    with torch.no_grad():
        for conv in convs:
            conv.weight.zero_()
            if conv.bias is not None:
                conv.bias.zero_()
        for c in range(3):
            first.weight[c, c, 1, 1] = 1
        # Each strided convolution gathers 2x2 blocks: output pixel (i, j) reads (2i+di, 2j+dj),
        # which are taps 1 and 2 of a 3x3 kernel with padding 1.
        for c in range(3):
            for i in range(2):
                for j in range(2):
                    half.weight[c * 4 + i * 2 + j, c, 1 + i, 1 + j] = 1
        for c in range(12):
            for i in range(2):
                for j in range(2):
                    quarter.weight[c * 4 + i * 2 + j, c, 1 + i, 1 + j] = 1
        projection = (basis / scale[:, None]).view(CHANNELS, 3, 4, 4)
        for y in range(4):
            for x in range(4):
                for c in range(3):
                    at = c * 16 + packed_slot(y, x)
                    last.weight[:, at, 1, 1] = projection[:, c, y, x]
        last.bias.copy_(-(basis @ mean) / scale)
    return vae


def fit_decoder(vae: AutoencoderTiny, data: Renders, steps: int, lr: float, seed: int) -> float:
    """Fit the decoder by mean squared error; returns the last hundred steps' PSNR in dB (NaN
    without any)."""
    if not steps:
        return math.nan
    optimizer = torch.optim.AdamW(vae.decoder.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    losses = []
    for step in range(steps):
        index = np.random.default_rng([seed, step]).integers(0, len(data), 16)
        rgb = torch.from_numpy(data.rgb[index]).float().div(127.5).sub(1).permute(0, 3, 1, 2)
        with torch.no_grad():
            z = vae.encode(rgb).latents
        loss = (vae.decode(z).sample - rgb).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return -10 * math.log10(np.mean(losses[-100:]) / 4)


def about_world(nouns: list[str], state: dict) -> dict:
    """What world.json says of a model that knows `nouns`, trained as far as its checkpoint."""
    return {
        "nouns": nouns,
        "symmetric": sorted(SYMMETRIC & set(nouns)),
        "colours": sorted(COLOURS),
        "materials": list(MATERIALS),
        "second_parts": {n: SECOND_PARTS[n] for n in nouns if n in SECOND_PARTS},
        "relations": {"words": list(RELATIONS), "of": list(SIMPLE), "on_top_of": list(STANDS)},
        "synonyms": {k: v for k, v in SYNONYMS.items() if v in (*nouns, *COLOURS, *MATERIALS)},
        "phrases": {k: v for k, v in PHRASES.items() if v in (*nouns, *MATERIALS)},
        "views": "fine",
        "grid": True,
        "resolution": SIZE,
        "trained_steps": state["step"],
        "trained_images": state["views"],
    }


def export(args: argparse.Namespace) -> None:
    """Write the directory; raises RuntimeError if the encoder is not the patch projection."""
    state = torch.load(args.out / "last.pt", weights_only=True)
    pca = load_file(args.out / "pca.safetensors")
    tokenizer = build_tokenizer()
    net = Denoiser(tokenizer)
    net.load_state_dict(state["ema"])
    torch.manual_seed(args.seed)
    vae = autoencoder(pca)
    data = load_renders(args.data, range(1))
    rgb = torch.from_numpy(data.rgb[:8]).float().div(255).permute(0, 3, 1, 2)
    error = (vae.encode(rgb * 2 - 1).latents - encode(rgb, pca)).abs().max().item()
    if error > 1e-4:
        raise RuntimeError(f"the autoencoder's encoder is off by {error}")
    if args.decoder:  # the latents have not changed: go on from a decoder fitted before
        vae.decoder.load_state_dict(
            {
                k.removeprefix("decoder."): v.float()
                for k, v in load_file(args.decoder).items()
                if k.startswith("decoder.")
            }
        )
    lr = 5e-4 if args.decoder else 3e-3
    psnr = fit_decoder(vae, data, args.decoder_steps, lr, args.seed)
    pipeline = StableDiffusionPipeline(
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
    world = about_world(state["nouns"], state)
    (args.export / "world.json").write_text(json.dumps(world, indent=2) + "\n")
    size = sum(f.stat().st_size for f in args.export.rglob("*") if f.is_file())
    print(f"{args.export}: step {state['step']}, {size / 1e6:.1f} MB, decoder {psnr:.1f} dB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/teacher"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--export", type=Path, default=Path("assets/teacher"))
    parser.add_argument(
        "--decoder", type=Path, help="a vae's safetensors to start the decoder from"
    )
    parser.add_argument("--decoder-steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    export(args)

"""Train the embedded teacher: a small text-to-image latent diffusion model of the world.

    python scripts/train_teacher.py --out .cache/teacher --steps 9000
    python scripts/train_teacher.py --out .cache/teacher --export assets/teacher

The first command is resumable (run it again); the second writes the diffusers directory the
package loads, in half precision. Training pictures are rendered and cached on first use.

Model: `UNet2DConditionModel` on 16x16 latents, v-prediction with an unweighted loss, Stable
Diffusion's schedule, a small CLIP text encoder trained jointly, and a closed-form encoder: the
principal components of 4x4 patches, held exactly by an `AutoencoderTiny` without blocks.
(min-SNR weighting, arXiv 2303.09556, was tried: it all but silences the noisy times at which a
text decides anything, and after 32000 pictures the text was still ignored.)
"""

import argparse
import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from score3d.world.captions import SYNONYMS, caption, vocabulary
from score3d.world.dataset import Renders, load_renders
from score3d.world.families import FAMILIES, SYMMETRIC
from score3d.world.palette import COLOURS

SIZE, PATCH, CHANNELS, TOKENS, TEXT_WIDTH = 64, 4, 12, 24, 128
SHEET = (
    "a red mushroom, front view, azimuth 0, elevation 15",
    "a white snowman, front view, azimuth 0, elevation 15",
    "a blue chair, front left view, azimuth 45, elevation 15",
    "a blue chair, back right view, azimuth 225, elevation 15",
    "a yellow duck, left side view, azimuth 90, elevation 15",
    "a yellow duck, right side view, azimuth 270, elevation 15",
    "a green car, front right view, azimuth 315, elevation 15",
    "a green car, back view, azimuth 180, elevation 15",
    "a cyan teapot, front view, azimuth 0, elevation 15",
    "a cyan teapot, back view, azimuth 180, elevation 15",
    "an orange aeroplane, front left view from above, azimuth 45, elevation 45",
    "a pink pig, left side view, azimuth 90, elevation 0",
    "a purple house, front left view, azimuth 30, elevation 15",
    "a brown dog, front right view, azimuth 330, elevation 15",
    "a black hat, front view, azimuth 0, elevation 15",
    "a gray robot, front view, azimuth 0, elevation 15",
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word: the world's captions are a closed language."""
    words = ["<pad>", "<bos>", "<eos>", "<unk>", *vocabulary()]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(",", "isolated")]
    )
    from tokenizers.processors import TemplateProcessing

    core.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=TOKENS,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )


def build_networks(words: int) -> nn.ModuleDict:
    """The trainable networks, freshly initialised from the global generator."""
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=SIZE // PATCH,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 96, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,  # diffusers' historical name for the number of heads
        norm_num_groups=16,
        # The pooled text also joins the time embedding, so that every resolution hears the
        # noun and the view, not only the two with cross-attention.
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    return nn.ModuleDict({"text_encoder": text, "unet": unet})


def fit_patch_pca(rgb: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """mean [48], basis [C,48] and scales [C] of 4x4x3 patches of pictures in [0,1].

    A latent is basis @ (patch - mean) / scale. Scales grow with deviation^(3/4): without any
    whitening the plain colour of a patch would outshine the noise at almost every t and its
    detail never; with all of it, detail would weigh as much as colour. The mean latent
    variance is 1.
    """
    x = torch.from_numpy(rgb).float().div(255).permute(0, 3, 1, 2)
    patches = nn.functional.unfold(x, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 48)
    mean = patches.mean(0)
    cov = (patches - mean).T.double() @ (patches - mean).double() / len(patches)
    variance, vectors = torch.linalg.eigh(cov)
    variance, vectors = variance.flip(0)[:CHANNELS], vectors.flip(1)[:, :CHANNELS]
    vectors = vectors * vectors.sum(0).sign()
    scale = variance.pow(0.375)
    scale = scale * (variance / scale**2).mean().sqrt()
    return mean, vectors.T.float().contiguous(), scale.float()


def encode(rgb: Tensor, pca: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """[B,3,64,64] in [0,1] -> latents [B,C,16,16]."""
    mean, basis, scale = pca
    weight = (basis / scale[:, None]).reshape(CHANNELS, 3, PATCH, PATCH)
    bias = -(basis @ mean) / scale
    return nn.functional.conv2d(rgb, weight, bias, stride=PATCH)


def decode(z: Tensor, pca: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The linear inverse of `encode`, clamped to [0,1]; used for sample sheets."""
    mean, basis, scale = pca
    flat = z.flatten(2).transpose(1, 2) * scale
    patches = (flat @ basis + mean).transpose(1, 2)
    return nn.functional.fold(patches, (SIZE, SIZE), PATCH, stride=PATCH).clamp(0, 1)


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, v-prediction."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


class Captioner:
    """Captions of a batch as token ids, with 10 % dropped to the empty prompt."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, data: Renders) -> None:
        self.tokenizer, self.data = tokenizer, data
        self.nouns, self.colours = sorted(FAMILIES), sorted(COLOURS)

    def __call__(self, index: np.ndarray, rng: np.random.Generator) -> Tensor:
        d = self.data
        texts = [
            ""
            if rng.random() < 0.1
            else caption(
                self.nouns[d.noun[i]],
                self.colours[d.colour[i]],
                float(d.azimuth[i]),
                float(d.elevation[i]),
                rng,
            )
            for i in index
        ]
        return self.tokens(texts)

    def tokens(self, texts: list[str]) -> Tensor:
        return self.tokenizer(
            texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).input_ids


@torch.no_grad()
def sample(nets, ids, null_ids, steps=25, guidance=4.0, seed=0) -> Tensor:
    """DDIM samples as latents [B,C,16,16]."""
    s = scheduler()
    s.set_timesteps(steps)
    emb = nets["text_encoder"](torch.cat([null_ids.expand_as(ids), ids]))[0]
    z = torch.randn(len(ids), CHANNELS, 16, 16, generator=torch.Generator().manual_seed(seed))
    for t in s.timesteps:
        u, c = nets["unet"](torch.cat([z, z]), t, emb).sample.chunk(2)
        z = s.step(u + guidance * (c - u), t, z).prev_sample
    return z


def train(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    data = load_renders(args.data, range(args.shards))
    pca_file = args.out / "pca.safetensors"
    if not pca_file.exists():
        mean, basis, scale = fit_patch_pca(data.rgb[:4096])
        save_file({"mean": mean, "basis": basis, "scale": scale}, pca_file)
    stored = load_file(pca_file)
    pca = (stored["mean"], stored["basis"], stored["scale"])
    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer()
    nets = build_networks(len(tokenizer))
    ema = build_networks(len(tokenizer))
    ema.load_state_dict(nets.state_dict())
    captioner = Captioner(tokenizer, data)
    optimizer = torch.optim.AdamW(
        nets.parameters(), lr=args.lr, weight_decay=0.01, betas=(0.9, 0.99)
    )
    start, last = 0, args.out / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True)
        nets.load_state_dict(state["nets"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        print(f"resumed at step {start}", flush=True)
    alphas_bar = scheduler().alphas_cumprod
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    log = (args.out / "log.jsonl").open("a")
    running, clock = [], time.time()
    decay_from = int(args.steps * (1 - args.decay))
    for step in range(start, args.steps):
        # Every random number of a step comes from (seed, step): resuming changes nothing.
        rng = np.random.default_rng([args.seed, step])
        gen = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        lr = args.lr * min(1.0, (step + 1) / 300)
        if step > decay_from:  # constant, then cosine to zero: the end can be moved while running
            lr *= 0.5 + 0.5 * math.cos(math.pi * (step - decay_from) / (args.steps - decay_from))
        for group in optimizer.param_groups:
            group["lr"] = lr
        index = rng.integers(0, len(data), args.batch)
        rgb = torch.from_numpy(data.rgb[index]).float().div(255).permute(0, 3, 1, 2)
        z = encode(rgb, pca)
        strata = (torch.arange(args.batch) + torch.rand(args.batch, generator=gen)) / args.batch
        t = (strata * 1000).long().clamp(max=999)
        abar = alphas_bar[t].view(-1, 1, 1, 1)
        eps = torch.randn(z.shape, generator=gen)
        z_t = abar.sqrt() * z + (1 - abar).sqrt() * eps
        target = abar.sqrt() * eps - (1 - abar).sqrt() * z
        emb = nets["text_encoder"](captioner(index, rng))[0]
        v = nets["unet"](z_t, t, emb).sample
        loss = (v - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(nets.parameters(), 1.0)
        optimizer.step()
        keep = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(nets.parameters()), 1 - keep)
        running.append(loss.item())
        if (step + 1) % 50 == 0:
            rate = 50 * args.batch / (time.time() - clock)
            clock = time.time()
            line = {
                "step": step + 1,
                "loss": float(np.mean(running)),
                "lr": lr,
                "images_per_s": rate,
            }
            running = []
            log.write(json.dumps(line) + "\n")
            log.flush()
        done = step + 1 == args.steps or bool(stop)
        if (step + 1) % args.save_every == 0 or done:
            temporary = last.with_suffix(".tmp")
            torch.save(
                {
                    "nets": nets.state_dict(),
                    "ema": ema.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
                temporary,
            )
            temporary.rename(last)
            null = captioner.tokens([""])
            pictures = decode(sample(ema, captioner.tokens(list(SHEET)), null), pca)
            grid = (
                pictures.view(2, 8, 3, SIZE, SIZE)
                .permute(0, 3, 1, 4, 2)
                .reshape(2 * SIZE, 8 * SIZE, 3)
            )
            sheet = Image.fromarray((grid.numpy() * 255).astype(np.uint8)).resize((1024, 256))
            sheet.save(args.out / f"samples-{step + 1:06d}.png")
            clock = time.time()
        if stop:
            break


def autoencoder(pca: tuple[Tensor, Tensor, Tensor]) -> AutoencoderTiny:
    """An `AutoencoderTiny` whose encoder is exactly the patch projection.

    Without blocks its encoder is four convolutions and no activation, so the first three can
    move each 4x4 patch into 48 channels and the last project it. It maps [-1,1] to [0,1]
    itself. The decoder is left for training.
    """
    mean, basis, scale = pca
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
                slot = ((y % 2) * 2 + x % 2) * 4 + (y // 2) * 2 + x // 2
                for c in range(3):
                    last.weight[:, c * 16 + slot, 1, 1] = projection[:, c, y, x]
        last.bias.copy_(-(basis @ mean) / scale)
    return vae


def fit_decoder(vae: AutoencoderTiny, data: Renders, steps: int, seed: int) -> float:
    """Fit the decoder by mean squared error; returns the last hundred steps' PSNR in dB."""
    optimizer = torch.optim.AdamW(vae.decoder.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
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


def export(args: argparse.Namespace) -> None:
    """Write the diffusers directory from the averaged weights of the last checkpoint."""
    state = torch.load(args.out / "last.pt", weights_only=True)
    stored = load_file(args.out / "pca.safetensors")
    pca = (stored["mean"], stored["basis"], stored["scale"])
    tokenizer = build_tokenizer()
    nets = build_networks(len(tokenizer))
    nets.load_state_dict(state["ema"])
    torch.manual_seed(args.seed)
    vae = autoencoder(pca)
    data = load_renders(args.data, range(1))
    rgb = torch.from_numpy(data.rgb[:8]).float().div(255).permute(0, 3, 1, 2)
    error = (vae.encode(rgb * 2 - 1).latents - encode(rgb, pca)).abs().max().item()
    if error > 1e-4:
        raise RuntimeError(f"the autoencoder's encoder is off by {error}")
    psnr = fit_decoder(vae, data, args.decoder_steps, args.seed)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=nets["text_encoder"],
        tokenizer=tokenizer,
        unet=nets["unet"],
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(args.export, safe_serialization=True)
    world = {
        "nouns": sorted(FAMILIES),
        "symmetric": sorted(SYMMETRIC),
        "colours": sorted(COLOURS),
        "synonyms": SYNONYMS,
        "views": "fine",
        "resolution": SIZE,
        "trained_steps": state["step"],
        "trained_images": state["step"] * args.batch,
    }
    (args.export / "world.json").write_text(json.dumps(world, indent=2) + "\n")
    size = sum(f.stat().st_size for f in args.export.rglob("*") if f.is_file())
    print(f"{args.export}: step {state['step']}, {size / 1e6:.1f} MB, decoder {psnr:.1f} dB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/teacher"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument(
        "--decay", type=float, default=0.3, help="last share of steps with falling lr"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--decoder-steps", type=int, default=1500)
    parser.add_argument("--export", type=Path, help="write the diffusers directory and stop")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    export(args) if args.export else train(args)

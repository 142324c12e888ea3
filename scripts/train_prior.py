"""Train the 3D prior on point clouds of the world, and measure it.

    python scripts/train_prior.py --out .cache/prior --export assets/prior
    python scripts/train_prior.py --export assets/prior --test-only

Clouds are of the outer surface, even by area, in the colours of the faces; they are made once
and kept. Resumes from --out. Measured on samples of every noun: the Chamfer distance to the
nearest of 64 true instances that training never saw, next to that of a true instance and of
another noun's sample; and which noun's instances are nearest.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from train_teacher import float_attention

from score3d.evaluate.geometry import chamfer, normalised
from score3d.prior.network import PointDenoiser
from score3d.prior.points import SCALE, PointPrior
from score3d.schedule import NoiseSchedule
from score3d.teachers.embedded import Thing
from score3d.world.clouds import instance_clouds, visible_faces
from score3d.world.palette import COLOURS
from score3d.world.shapes import build

COLOUR_NAMES = sorted(COLOURS)
POINTS, NETWORK = 1024, {"width": 160, "point_width": 96, "latents": 48, "rounds": 2, "depth": 2}
HELD_OUT = 7  # the seed of the instances that are tested against


def coloured_cloud(noun: str, colour: str, rng: np.random.Generator) -> np.ndarray:
    """[POINTS,6] uint8-exact float16: places in world units and colours in [0,1]."""
    shape = build(noun, colour, rng)
    seen = visible_faces(shape, views=16, size=64)
    corners = shape.vertices[shape.faces[seen]]
    edges = corners[:, 1:] - corners[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    chosen = rng.choice(len(corners), POINTS, p=areas / areas.sum())
    u = rng.random((POINTS, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    points = corners[chosen, 0] + (u[:, :, None] * edges[chosen]).sum(1)
    return np.concatenate([points, shape.face_colours[seen][chosen]], 1).astype(np.float16)


def clouds_of(folder: Path, noun: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouds [count,POINTS,6] and colours [count] of a noun, from its file if it is there."""
    path = folder / f"clouds-v1-{noun}-{count}.npz"
    if not path.exists():
        colours = np.arange(count) % len(COLOUR_NAMES)
        clouds = np.stack([
            coloured_cloud(noun, COLOUR_NAMES[c], np.random.default_rng([41, i]))
            for i, c in enumerate(colours)
        ])  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.stem + ".partial.npz")
        np.savez(partial, clouds=clouds, colours=colours)
        partial.replace(path)
    data = np.load(path)
    return data["clouds"], data["colours"]


def batch_of(
    clouds: Tensor, nouns: Tensor, colours: Tensor, args: argparse.Namespace, g: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """x [B,K,6], noun and colour [B], a tenth without words, another tenth without a colour."""
    pick = torch.randint(0, len(clouds), (args.batch,), generator=g)
    some = torch.randperm(clouds.shape[1], generator=g)[: args.points]
    x = clouds[pick][:, some].float()
    x = torch.cat([x[..., :3] / SCALE, 2 * x[..., 3:] - 1], -1)
    u = torch.rand(args.batch, generator=g)
    noun = torch.where(u < 0.1, 0, nouns[pick] + 1)
    colour = torch.where(u < 0.2, 0, colours[pick] + 1)
    return x, noun, colour


def train(args: argparse.Namespace, nouns: list[str]) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    parts = [clouds_of(args.data, noun, args.instances) for noun in nouns]
    clouds = torch.from_numpy(np.concatenate([p[0] for p in parts]))
    colours = torch.from_numpy(np.concatenate([p[1] for p in parts])).long()
    labels = torch.arange(len(nouns)).repeat_interleave(args.instances)
    if args.bfloat16:
        nn.functional.scaled_dot_product_attention = float_attention(
            nn.functional.scaled_dot_product_attention
        )
    torch.manual_seed(args.seed)
    net, ema = (PointDenoiser(len(nouns), len(COLOUR_NAMES), **NETWORK) for _ in range(2))
    ema.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), args.lr, weight_decay=0.01, fused=True)
    start, last = 0, args.out / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True)
        for name, part in (("net", net), ("ema", ema), ("optimizer", optimizer)):
            part.load_state_dict(state[name])
        start = state["step"]
    alphas_bar = NoiseSchedule.scaled_linear().alphas_cumprod.float()
    losses, clock = [], time.time()
    for step in range(start, args.steps):
        g = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        share = step / args.steps
        lr = args.lr * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = lr
        x, noun, colour = batch_of(clouds, labels, colours, args, g)
        t = (torch.arange(args.batch) + torch.rand(args.batch, generator=g)) / args.batch
        t = (1000 * t).long().clamp(max=999)
        bar = alphas_bar[t].view(-1, 1, 1)
        eps = torch.randn(x.shape, generator=g)
        target = bar.sqrt() * eps - (1 - bar).sqrt() * x
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
            v = net(bar.sqrt() * x + (1 - bar).sqrt() * eps, t, noun, colour)
        loss = (v.float() - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(0.999, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - keep)
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            rate = 100 * args.batch / (time.time() - clock)
            print(f"step {step + 1} loss {np.mean(losses):.4f} {rate:.0f}/s", flush=True)
            losses, clock = [], time.time()
        if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
            state = {"net": net.state_dict(), "ema": ema.state_dict(), "step": step + 1,
                     "optimizer": optimizer.state_dict()}  # fmt: skip
            torch.save(state, last.with_suffix(".tmp"))
            last.with_suffix(".tmp").replace(last)
    args.export.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half() for k, v in ema.state_dict().items()},
              args.export / "prior.safetensors")  # fmt: skip
    about = {"nouns": nouns, "colours": COLOUR_NAMES, "network": NETWORK,
             "trained_steps": args.steps, "batch": args.batch}  # fmt: skip
    (args.export / "prior.json").write_text(json.dumps(about, indent=2) + "\n")


def test(folder: Path, count: int) -> dict:
    """See the module's docstring."""
    prior = PointPrior(folder)
    truths = {n: [normalised(c) for c in instance_clouds(n, 64, 512, HELD_OUT)]
              for n in prior.nouns}  # fmt: skip
    rows, hits, right = [], [], []
    for k, noun in enumerate(prior.nouns):
        other = truths[prior.nouns[(k + 7) % len(prior.nouns)]]
        again = normalised(instance_clouds(noun, 1, 512, HELD_OUT + 1)[0])
        for seed in range(count):
            colour = prior.colours[(k + seed) % len(prior.colours)]
            points, rgb = prior.sample(Thing(noun, colour), 512, seed)
            mine = normalised(points.numpy())
            near = {n: min(chamfer(mine, c) for c in truths[n][:16]) for n in prior.nouns}
            hits.append(min(near, key=near.__getitem__) == noun)
            rows.append([min(chamfer(mine, c) for c in truths[noun]),
                         min(chamfer(again, c) for c in truths[noun]),
                         min(chamfer(mine, c) for c in other)])  # fmt: skip
            right.append(float(_named(rgb.numpy(), colour)))
    own, truth, other = np.mean(rows, 0)
    return {"samples": len(rows), "Chamfer to the nearest true instance, radii": float(own),
            "the same of a true instance": float(truth), "of another noun": float(other),
            "nearest instances are of the right noun": float(np.mean(hits)),
            "points of the right colour where any is wanted": float(np.mean(right))}  # fmt: skip


def _named(rgb: np.ndarray, colour: str) -> float:
    """The share of points nearer to 64 random true tones of `colour` than to any other name's."""
    from score3d.world.palette import sample_colour

    tones = np.array([[sample_colour(c, np.random.default_rng(i)) for i in range(64)]
                      for c in COLOUR_NAMES])  # fmt: skip
    near = np.linalg.norm(rgb[:, None, None] - tones, axis=-1).min(2).argmin(1)
    return float((near == COLOUR_NAMES.index(colour)).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/prior"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/clouds"))
    parser.add_argument("--export", type=Path, default=Path("assets/prior"))
    parser.add_argument("--nouns", type=Path, default=Path("scripts/teacher_nouns.txt"))
    parser.add_argument("--instances", type=int, default=144, help="of each noun")
    parser.add_argument("--points", type=int, default=256, help="of each cloud, a step")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--bfloat16", action="store_true", help="autocast (AVX512-BF16 or AMX)")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--test-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.test_only:
        train(args, args.nouns.read_text().split())
    print(json.dumps(test(args.export, 2), indent=2))

"""Train the small depth, normal and silhouette network that SSD's control variate asks.

    python scripts/train_depth.py --out .cache/depth --export assets/depth
    python scripts/train_depth.py --export assets/depth --test-only

Resumable: the same command goes on from the last checkpoint. Pictures with depth and normals are
rendered and cached on first use (`--render-only` does no more than that).

A third of a batch is clean, blurred or a little noisy; the rest is what the variate looks at:
latents of the embedded teacher at a random time, z_t = alpha z + sigma eps, as a picture
(`colours`), and for teachers whose latents are coarser or have no closed form, the same noise on
pixels of 1, 2 or 4 across. The network is not told the time.

Nearness is trained per picture from 0 at the object's farthest to 1 at its nearest point (2 % of
its pixels beyond either), since a picture of an object tells its depth up to scale and shift only.
"""

import argparse
import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from score3d.cameras import orbit
from score3d.evaluate.geometry_network import SIDE, GeometryNetwork, SmallGeometry
from score3d.resources import resource
from score3d.teachers.stable_diffusion import StableDiffusionTeacher
from score3d.world.dataset import sample_background, sample_shape
from score3d.world.raster import render_shape, sample_lighting, surface_normals

SHARD, VIEWS, HELD_OUT = 4096, 4, 90000
WIDTHS = (24, 48, 96, 128)


def render_shard(seed: int, count: int = SHARD) -> np.ndarray:
    """[N,64,64,8] uint8: rgb, nearness, normal (128 is 0, 127 to 1), coverage."""
    rng = np.random.default_rng([7, seed])
    out = np.empty((count, SIDE, SIDE, 8), np.uint8)
    for start in range(0, count, VIEWS):
        shape, _ = sample_shape(rng)
        cameras = orbit(
            torch.from_numpy(rng.uniform(-180, 180, VIEWS)),
            torch.from_numpy(rng.uniform(-20, 60, VIEWS)),
            rng.uniform(1.8, 2.3), 40.0, SIDE, SIDE,
        )  # fmt: skip
        backgrounds = np.stack([sample_background(rng) for _ in range(VIEWS)])
        rgb, alpha, depth = render_shape(shape, cameras, backgrounds, sample_lighting(rng))
        normals = surface_normals(shape, cameras)
        for k in range(VIEWS):
            seen = depth[k][alpha[k] > 0.5]
            low, high = np.quantile(seen, (0.02, 0.98)) if seen.size else (1.5, 2.5)
            near = np.clip((high - depth[k]) / max(high - low, 0.02), 0, 1)
            row = out[start + k]
            row[..., :3] = np.round(rgb[k] * 255)
            row[..., 3] = np.round(near * 255)
            row[..., 4:7] = np.round(normals[k] * 127 + 128)
            row[..., 7] = np.round(alpha[k] * 255)
    return out


def load_shard(folder: Path, seed: int) -> np.ndarray:
    """The shard of `seed`, rendered into `folder` on first use."""
    path = folder / f"geometry-v1-{seed:05d}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".partial{os.getpid()}")  # two processes may be at it
        with partial.open("wb") as file:
            np.save(file, render_shard(seed))
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def unpacked(rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """rgb [B,3,H,W], nearness [B,H,W], normals [B,3,H,W], coverage [B,H,W]."""
    x = torch.from_numpy(np.array(rows)).permute(0, 3, 1, 2).float()
    return x[:, :3] / 255, x[:, 3] / 255, (x[:, 4:7] - 128) / 127, x[:, 7] / 255


def softened(rgb: Tensor, g: torch.Generator) -> Tensor:
    """Some of the pictures blurred, as renders of Gaussians are, with other contrast and noise."""
    b = len(rgb)
    soft = nn.functional.avg_pool2d(nn.functional.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    rgb = rgb.lerp(soft, torch.rand(b, 1, 1, 1, generator=g))
    gain = 1 + 0.3 * (torch.rand(b, 1, 1, 1, generator=g) - 0.5)
    strength = 0.08 * torch.rand(b, 1, 1, 1, generator=g)
    return ((rgb - 0.5) * gain + 0.5 + strength * torch.randn(rgb.shape, generator=g)).clamp(0, 1)


@torch.no_grad()
def noisy_latents(teacher, rgb: Tensor, t: Tensor, g: torch.Generator) -> Tensor:
    """What the variate sees of `rgb` at times t [B]."""
    z = teacher.encode(rgb)
    alpha, sigma = teacher.schedule.alpha_sigma(t, z)
    return teacher.colours(alpha * z + sigma * torch.randn(z.shape, generator=g))


def noisy_pixels(teacher, rgb: Tensor, t: Tensor, g: torch.Generator) -> Tensor:
    """The same noise on coarse or fine pixels."""
    alpha, sigma = teacher.schedule.alpha_sigma(t, rgb)
    across = int(2 ** torch.randint(0, 3, (), generator=g))
    small = nn.functional.avg_pool2d(rgb, across)
    noise = (0.1 + 0.4 * torch.rand(len(rgb), 1, 1, 1, generator=g)) * torch.randn(
        small.shape, generator=g
    )
    small = 0.5 + alpha * (small - 0.5) + sigma * noise
    return nn.functional.interpolate(small, rgb.shape[-2:], mode="bilinear", align_corners=False)


def augmented(teacher, rgb: Tensor, g: torch.Generator) -> Tensor:
    """A third soft, a half as noisy latents, a sixth as noisy pixels."""
    third, sixth = len(rgb) // 3, len(rgb) // 6
    a, b, c = rgb.split((third, len(rgb) - third - sixth, sixth))
    times = [(torch.arange(len(x)) + torch.rand(len(x), generator=g)) / len(x) for x in (b, c)]
    return torch.cat(
        [
            softened(a, g),
            noisy_latents(teacher, b, times[0].clamp(0.001, 0.999), g),
            noisy_pixels(teacher, c, times[1].clamp(0.001, 0.999), g),
        ]
    )


def loss_of(
    said: tuple[Tensor, Tensor, Tensor], truth: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, list[float]]:
    """Nearness by L1 and normals by cosine, inside; the silhouette by cross-entropy."""
    near, normals, logits = said
    near_truth, normal_truth, coverage = truth
    inside = (coverage > 0.5).float()
    total = inside.sum().clamp(min=1)
    depth = ((near - near_truth).abs() * inside).sum() / total
    turn = ((1 - (normals * normal_truth).sum(1)) * inside).sum() / total
    mask = nn.functional.binary_cross_entropy_with_logits(logits, coverage)
    return 2 * depth + turn + mask, [v.item() for v in (depth, turn, mask)]


@torch.no_grad()
def measure(model: SmallGeometry, teacher, rows: np.ndarray, t: float | None) -> dict[str, float]:
    """On held-out pictures, clean or at time t: depth error after the best scale and shift, as a
    share of the object's range; degrees between normals; IoU of silhouettes."""
    errors, angles, overlap = [], [], []
    for k, part in enumerate(np.array_split(rows, max(1, len(rows) // 128))):
        rgb, near, normals, coverage = unpacked(part)
        g = torch.Generator().manual_seed(k)
        if t is not None:
            rgb = noisy_latents(teacher, rgb, torch.full((len(rgb),), t), g)
        said, turned, logits = model.net(rgb)
        for i in range(len(rgb)):
            inside = coverage[i] > 0.5
            if inside.sum() < 40:
                continue
            x = torch.stack([said[i][inside], torch.ones(int(inside.sum()))], 1).double()
            y = near[i][inside].double()[:, None]
            errors.append(float((x @ torch.linalg.lstsq(x, y).solution - y).abs().mean()))
            cosine = (turned[i] * normals[i]).sum(0)[inside].clamp(-1, 1)
            angles.append(float(torch.rad2deg(cosine.acos()).mean()))
            found = logits[i] > 0
            overlap.append(float((found & inside).sum() / (found | inside).sum()))
    return {
        "depth error": round(float(np.mean(errors)), 4),
        "normal degrees": round(float(np.mean(angles)), 2),
        "silhouette IoU": round(float(np.mean(overlap)), 4),
        "pictures": len(errors),
    }


def export(net: GeometryNetwork, folder: Path, args: argparse.Namespace, steps: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        k: v.half().contiguous() if v.is_floating_point() else v
        for k, v in net.state_dict().items()
        if "num_batches" not in k
    }
    save_file(weights, folder / "geometry.safetensors")
    about = {"widths": list(WIDTHS), "steps": steps, "batch": args.batch, "seed": args.seed}
    (folder / "geometry.json").write_text(json.dumps(about, indent=2) + "\n")


def report(folder: Path, data: Path, teacher) -> dict:
    rows = np.asarray(load_shard(data, HELD_OUT)[:1024])
    model = SmallGeometry(folder)
    return {
        "clean" if t is None else f"t = {t}": measure(model, teacher, rows, t)
        for t in (None, 0.2, 0.5, 0.8)
    }


def train(args: argparse.Namespace, teacher) -> None:
    data = [load_shard(args.data, seed) for seed in range(args.shards)]
    load_shard(args.data, HELD_OUT)
    if args.render_only:
        return
    torch.manual_seed(args.seed)
    net = GeometryNetwork(WIDTHS).to(memory_format=torch.channels_last)
    ema = GeometryNetwork(WIDTHS)
    ema.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=0.01, fused=True)
    args.out.mkdir(parents=True, exist_ok=True)
    last, start = args.out / "last.pt", 0
    if last.exists():
        state = torch.load(last, weights_only=True)
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    clock, sums = time.time(), []
    for step in range(start, args.steps):
        # Every random number of a step comes from (seed, step): resuming changes nothing.
        rng = np.random.default_rng([args.seed, step])
        g = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        lr = (
            args.lr * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * step / args.steps))
        )
        for group in optimizer.param_groups:
            group["lr"] = lr
        rows = data[rng.integers(len(data))][np.sort(rng.choice(SHARD, args.batch, False))]
        rng.shuffle(rows)
        rgb, *truth = unpacked(rows)
        seen = augmented(teacher, rgb, g).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
            said = net(seen)
        loss, parts = loss_of(tuple(s.float() for s in said), tuple(truth))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(0.998, (step + 1) / (step + 10))
            for a, b in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
                a.lerp_(b, 1 - keep) if a.is_floating_point() else a.copy_(b)
        sums.append(parts)
        finished = step + 1 == args.steps or bool(stop)
        if (step + 1) % 100 == 0:
            rate = 100 * args.batch / (time.time() - clock)
            means = " ".join(f"{v:.4f}" for v in np.mean(sums, 0))
            print(f"step {step + 1} depth, normals, mask {means} {rate:.0f}/s", flush=True)
            clock, sums = time.time(), []
        if (step + 1) % args.save_every == 0 or finished:
            state = {"net": net.state_dict(), "ema": ema.state_dict(), "step": step + 1}
            torch.save(state | {"optimizer": optimizer.state_dict()}, last.with_suffix(".tmp"))
            last.with_suffix(".tmp").rename(last)
            export(ema, args.export, args, step + 1)
        if finished:
            break


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    teacher = StableDiffusionTeacher(resource("assets", "teacher"))
    if not args.test_only:
        train(args, teacher)
    if not args.render_only:
        print(json.dumps(report(args.export, args.data, teacher), indent=2), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/depth"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/geometry"))
    parser.add_argument("--export", type=Path, default=Path("assets/depth"))
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bfloat16", action="store_true", help="autocast (AVX512-BF16 or AMX)")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--render-only", action="store_true")
    parser.add_argument("--test-only", action="store_true")
    main(parser.parse_args())

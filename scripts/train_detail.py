"""Train the detail of the 3D prior on shapes with fine cells, and measure it.

    python scripts/render_volumes.py --fine --shards 24
    python scripts/train_detail.py --out .cache/detail --prior assets/prior

What it is shown are volumes as the prior makes them: of a shape's latents under some noise what
the prior says that they were. Cubes of them, a third of a volume each, for speed. At the end of
training, and with --export-only, the weights are written into the prior's own file, which
`train_prior.py` writes without. Resumes from --out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from render_volumes import HELD_OUT, Volumes, load_volumes, words_of
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from train_prior import evenly
from training import Training, add_arguments

from score3d.prior.detail import VolumeDetail
from score3d.prior.volumes import ShapePrior
from score3d.world.instances import RealModels
from score3d.world.volumes import SIDE

CROP = 24  # cells a side
NOISE = 0.5  # the latest time, 0 clean to 1 noise
COLOUR = 0.15  # weight of the error of colours next to that of fullness


class Shapes:
    """What is drawn from: shapes of every noun as often as of any other."""

    def __init__(self, prior: ShapePrior, shards: list[Volumes]) -> None:
        self.prior = prior
        cells = torch.from_numpy(np.concatenate([s.cells for s in shards]))
        self.latents = torch.cat([prior.cubes.encode(part) for part in cells.split(256)])
        self.fine = [torch.from_numpy(s.fine) for s in shards if s.fine is not None]
        self.start = np.cumsum([0] + [len(f) for f in self.fine])
        self.words = torch.from_numpy(np.concatenate([words_of(s, prior.nouns) for s in shards]))
        nouns = self.words[:, 0]
        self.of_noun = [torch.nonzero(nouns == k)[:, 0] for k in nouns.unique()]

    def drawn(self, batch: int, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Volumes [B,4,S,S,S] as the prior makes them, nouns [B], their fine cells [B,4,2S,..]."""
        pick = evenly(self.of_noun, batch, g)
        x, words = self.latents[pick], self.words[pick]
        time = NOISE * torch.rand(batch, generator=g).to(x)
        t = self.prior.schedule.timesteps(time)
        alpha, sigma = self.prior.schedule.alpha_sigma(time, x)
        noisy = alpha * x + sigma * torch.randn(x.shape, generator=g)
        with torch.no_grad():
            clean = alpha * noisy - sigma * self.prior.net(noisy, t, words)
        volumes = self.prior.cubes.decode(clean)
        shard = np.searchsorted(self.start, pick, side="right") - 1
        fine = [self.fine[s][i - self.start[s]] for s, i in zip(shard, pick, strict=True)]
        return volumes, words[:, 0], torch.stack(fine)


def crops(volumes: Tensor, fine: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A cube of CROP cells a side of each, the same of both."""
    parts = []
    for v, f in zip(volumes, fine, strict=True):
        x, y, z = torch.randint(0, SIDE - CROP + 1, (3,), generator=g).tolist()
        near = (slice(None), slice(x, x + CROP), slice(y, y + CROP), slice(z, z + CROP))
        far = (slice(None), *(slice(2 * k, 2 * (k + CROP)) for k in (x, y, z)))
        parts.append((v[near], f[far]))
    return torch.stack([v for v, _ in parts]), torch.stack([f for _, f in parts])


def errors(made: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
    """The mean square of fullness, and the mean distance of colours where there are any; of fine
    [B,4,..] uint8."""
    known = ((2 * fine[:, 1:].short() - 255).abs() > 1).any(1)  # neither 127 nor 128: no colour
    full = (made[:, 0] - fine[:, 0] / 255).square().mean()
    apart = (made[:, 1:] + 0.5 - fine[:, 1:] / 255).abs().mean(1)
    return full, (apart * known).sum() / known.sum().clamp(min=1)


def train(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    prior = ShapePrior(args.prior)
    real = RealModels(args.real, nouns=prior.nouns) if args.real else None
    wanted = [(seed, None) for seed in range(args.shards)]
    wanted += [(seed, real) for seed in range(args.real_shards if real else 0)]
    shapes = Shapes(
        prior, [load_volumes(args.data, s, prior.nouns, r, fine=True) for s, r in wanted]
    )
    print(f"{len(shapes.words)} shapes", flush=True)
    torch.manual_seed(args.seed)
    net, mean = (VolumeDetail(len(prior.nouns)) for _ in range(2))
    matrices = [p for k, p in net.blocks.named_parameters() if p.ndim == 5]
    training = Training(net, mean, matrices, args, keep=0.995)
    parts = []
    finished = training.finished()
    while not finished:
        g = torch.Generator().manual_seed(args.seed * 1_000_003 + training.step)
        volumes, noun, fine = shapes.drawn(args.batch, g)
        volumes, fine = crops(volumes, fine, g)
        with training.autocast:
            made = training.forward(volumes, noun)
        full, colour = errors(made.float(), fine)
        parts.append((full.item(), colour.item()))
        line = training.learn(full + COLOUR * colour)
        if line:
            line |= dict(zip(("full", "colour"), np.mean(parts, 0).tolist(), strict=True))
            training.log(line)
            parts = []
        finished = training.finished()
        if training.step % args.save_every == 0 or finished:
            training.save()
    if training.step < args.steps:
        raise SystemExit


def export(args: argparse.Namespace) -> None:
    """Into the prior's own files, which then have it."""
    state = torch.load(args.out / "last.pt", weights_only=True)["ema"]
    path = args.prior / "prior.safetensors"
    weights = {k: v for k, v in load_file(path).items() if not k.startswith("detail.")}
    weights |= {f"detail.{k}": v.half().contiguous() for k, v in state.items()}
    save_file(weights, path)


@torch.no_grad()
def test(args: argparse.Namespace) -> dict:
    """Errors on a shard that training never saw, whole volumes, next to those of volumes that are
    interpolated."""
    prior = ShapePrior(args.prior)
    assert prior.detail is not None
    shapes = Shapes(prior, [load_volumes(args.data, HELD_OUT, prior.nouns, fine=True)])
    rows = []
    for k in range(64):
        volumes, noun, fine = shapes.drawn(1, torch.Generator().manual_seed(k))
        plain = nn.functional.interpolate(volumes, scale_factor=2, mode="trilinear")
        made = prior.detail(volumes, noun)
        rows.append([float(e) for v in (plain, made) for e in errors(v, fine)])
    names = ("full, interpolated", "colour, interpolated", "full", "colour")
    return dict(zip(names, np.mean(rows, 0).tolist(), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(".cache/detail"), help="training folder")
    parser.add_argument("--data", type=Path, default=Path(".cache/volumes"))
    parser.add_argument("--prior", type=Path, default=Path("assets/prior"))
    parser.add_argument("--shards", type=int, default=24, help="of 128 procedural shapes")
    parser.add_argument("--real", type=Path, help="a folder of real models (fetch_real_models.py)")
    parser.add_argument("--real-shards", type=int, default=8, help="of 128 shapes of them")
    parser.add_argument("--seed", type=int, default=6)
    add_arguments(parser, steps=6000, batch=4, lr=1e-3, decay=0.5, save=250)
    parser.add_argument("--export-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.export_only:
        train(args)
    export(args)
    print(json.dumps(test(args), indent=2))

"""Train the 3D prior on volumes of the world, and measure it.

    python scripts/render_volumes.py --shards 20
    python scripts/train_prior.py --out .cache/prior --export assets/prior
    python scripts/train_prior.py --init assets/prior --first-step 22296 ...
    python scripts/train_prior.py --export assets/prior --test-only

Volumes are cut into cubes, each a token of a few principal components, as the teacher's pictures
are. With --real FOLDER shapes of real models are added. Every noun is drawn as often, those that
only real models have more often. --init goes on from a shipped prior, with its cubes, and exports
its detail, too. Resumes from --out, and reads whatever shards are there by then.
Under `torchrun --nproc-per-node 2` two processes share a step, each with a batch of its own.

Measured on samples of every noun: the Chamfer distance to the nearest of 64 true instances that
training never saw, next to that of a true instance and of another noun's sample; and which noun's
instances are nearest.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from render_volumes import load_volumes, words_of
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from training import Training, add_arguments, processes

from score3d.evaluate.geometry import chamfer, normalised
from score3d.files.surfels import surface_points
from score3d.prior.cubes import Cubes
from score3d.prior.network import VolumeDenoiser
from score3d.prior.volumes import ShapePrior
from score3d.schedule import NoiseSchedule
from score3d.teachers.embedded import Thing
from score3d.world.clouds import instance_clouds
from score3d.world.families import FAMILIES
from score3d.world.finish import MATERIALS
from score3d.world.instances import RealModels
from score3d.world.palette import COLOURS

COLOUR_NAMES = sorted(COLOURS)
PATCH, CHANNELS = 6, 96
NETWORK = {"width": 192, "depth": 8, "heads": 4}
SECOND = 3  # a shape with a second colour is drawn as often as so many without
RARE = 5  # a noun that only real models have is drawn as often as so many others
HELD_OUT = 7  # the seed of the instances that are tested against


def load_training(
    args: argparse.Namespace, nouns: list[str], cubes: Cubes | None
) -> tuple[Cubes, Tensor, Tensor]:
    """The cubes, and of all shapes latents [N,T,C] float16 and words [N,4], 0 for what is not
    said: noun, colour, material, colour of the second part."""
    real = RealModels(args.real, nouns=nouns) if args.real else None
    first = args.first_shard
    wanted = [(seed, None) for seed in range(first, first + args.shards)]
    wanted += [(seed, real) for seed in range(first, first + (args.real_shards if real else 0))]
    latents, words = [], []
    if cubes is None:
        some = [
            load_volumes(args.data, *pair[:1], nouns, pair[1]) for pair in wanted[:3] + wanted[-1:]
        ]
        cubes = Cubes.fitted(np.concatenate([s.cells for s in some]), PATCH, CHANNELS)
    for seed, models in wanted:
        shard = load_volumes(args.data, seed, nouns, models)
        latents.append(cubes.encode(torch.from_numpy(shard.cells)).half())
        words.append(torch.from_numpy(words_of(shard, nouns)))
    return cubes, torch.cat(latents), torch.cat(words)


def shapes_of(words: Tensor, nouns: int) -> list[Tensor]:
    """The shapes of each noun, those with a second colour SECOND times: they are few, and the
    network learns last which part it is of."""
    all_of = torch.arange(len(words)).repeat_interleave(1 + (SECOND - 1) * (words[:, 3] > 0))
    return [all_of[words[all_of, 0] == k + 1] for k in range(nouns)]


def rare_more_often(of_noun: list[Tensor], nouns: list[str]) -> list[Tensor]:
    """`of_noun`, those of a noun that only real models have RARE times, to be drawn `evenly`."""
    return [
        shapes
        for noun, shapes in zip(nouns, of_noun, strict=True)
        for _ in range(1 if noun in FAMILIES else RARE)
    ]


def evenly(of_noun: list[Tensor], batch: int, g: torch.Generator) -> list[int]:
    """Which shapes, of every noun as often as of any other."""
    nouns = torch.randint(0, len(of_noun), (batch,), generator=g).tolist()
    return [int(of_noun[n][torch.randint(0, len(of_noun[n]), (1,), generator=g)]) for n in nouns]


def batch_of(
    latents: Tensor, words: Tensor, of_noun: list[Tensor], batch: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """x [B,T,C] and words [B,4]; a tenth without any, more without a colour or material."""
    pick = evenly(of_noun, batch, g)
    said = words[pick].clone()
    u = torch.rand(batch, generator=g)
    said[u < 0.1] = 0
    said[(u > 0.1) & (u < 0.15), 1:] = 0
    said[(u > 0.15) & (u < 0.2), 2] = 0
    return latents[pick].float(), said


def matrices_of(net: VolumeDenoiser) -> list[nn.Parameter]:
    """What Muon trains: the matrices of the blocks."""
    named = net.blocks.named_parameters()
    return [p for k, p in named if p.ndim == 2 and "modulate" not in k]


def train(args: argparse.Namespace, nouns: list[str]) -> None:
    rank, ranks = processes()
    args.out.mkdir(parents=True, exist_ok=True)
    last, cubes = args.out / "last.pt", None
    if last.exists():
        cubes = Cubes(PATCH, *torch.load(last, weights_only=True)["cubes"])
    elif args.init:
        cubes = ShapePrior(args.init).cubes
    cubes, latents, words = load_training(args, nouns, cubes)
    of_noun = shapes_of(words, len(nouns))
    drawn = rare_more_often(of_noun, nouns)
    print(f"{len(words)} shapes, the rarest noun has {min(map(len, of_noun))}", flush=True)
    torch.manual_seed(args.seed)
    known = (len(nouns), len(COLOUR_NAMES), len(MATERIALS), len(COLOUR_NAMES))
    net, ema = (VolumeDenoiser(known, *latents.shape[1:], **NETWORK) for _ in range(2))
    if args.init:
        net.load_state_dict(ShapePrior(args.init).net.state_dict())
    training = Training(net, ema, matrices_of(net), args, keep=0.998)
    alphas_bar = NoiseSchedule.scaled_linear().alphas_cumprod.float()
    finished = training.finished()
    while not finished:
        seed = args.seed * 1_000_003 + training.step + 500_009 * rank
        g = torch.Generator().manual_seed(seed)
        x, said = batch_of(latents, words, drawn, args.batch, g)
        t = (torch.arange(args.batch) + torch.rand(args.batch, generator=g)) / args.batch
        t = (1000 * t.sqrt()).long().clamp(max=999)  # noisy times decide what there is
        bar = alphas_bar[t].view(-1, 1, 1)
        eps = torch.randn(x.shape, generator=g)
        with training.autocast:
            v = training.forward(bar.sqrt() * x + (1 - bar).sqrt() * eps, t, said)
        line = training.learn((v.float() - bar.sqrt() * eps + (1 - bar).sqrt() * x).square().mean())
        if line:
            training.log(line)
        finished = training.finished()
        if rank == 0 and (training.step % args.save_every == 0 or finished):
            training.save(cubes=cubes.tensors())
    if ranks > 1:
        dist.destroy_process_group()
    if rank or training.step < args.steps:  # stopped on the way: nothing is to be exported yet
        raise SystemExit
    export(args, nouns, cubes, ema)


def export(args: argparse.Namespace, nouns: list[str], cubes: Cubes, ema: VolumeDenoiser) -> None:
    args.export.mkdir(parents=True, exist_ok=True)
    weights = {f"net.{k}": v.half().contiguous() for k, v in ema.state_dict().items()}
    basis, scale, kept = cubes.tensors()
    weights |= {"basis": basis.half().contiguous(), "scale": scale, "kept": kept.to(torch.int32)}
    if args.init:  # its detail goes with its cubes, which are these
        shipped = load_file(args.init / "prior.safetensors")
        weights |= {k: v for k, v in shipped.items() if k.startswith("detail.")}
    save_file(weights, args.export / "prior.safetensors")
    about = {"nouns": nouns, "colours": COLOUR_NAMES, "materials": list(MATERIALS),
             "without_material": [n for n in nouns if n not in FAMILIES],
             "patch": PATCH, "network": NETWORK, "trained_steps": args.first_step + args.steps,
             "batch": args.batch}  # fmt: skip
    (args.export / "prior.json").write_text(json.dumps(about, indent=2) + "\n")


def test(folder: Path, count: int) -> dict:
    """See the module's docstring; of nouns with a family, whose true instances are known."""
    prior = ShapePrior(folder)
    tested = [n for n in prior.nouns if n in FAMILIES]
    truths = {n: [normalised(c) for c in instance_clouds(n, 64, 512, HELD_OUT)] for n in tested}
    rows, hits, right = [], [], []
    for k, noun in enumerate(tested):
        other = truths[tested[(k + 7) % len(tested)]]
        again = normalised(instance_clouds(noun, 1, 512, HELD_OUT + 1)[0])
        for seed in range(count):
            colour = prior.colours[(k + seed) % len(prior.colours)]
            mesh = prior.mesh(Thing(noun, colour), seed)
            points, _, rgb = surface_points(mesh, 512, seed)
            mine = normalised(points)
            near = {n: min(chamfer(mine, c) for c in truths[n][:16]) for n in tested}
            hits.append(min(near, key=near.__getitem__) == noun)
            rows.append([min(chamfer(mine, c) for c in truths[noun]),
                         min(chamfer(again, c) for c in truths[noun]),
                         min(chamfer(mine, c) for c in other)])  # fmt: skip
            right.append(float(_named(rgb, colour)))
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
    parser.add_argument("--data", type=Path, default=Path(".cache/volumes"))
    parser.add_argument("--export", type=Path, default=Path("assets/prior"))
    parser.add_argument("--nouns", type=Path, default=Path("scripts/teacher_nouns.txt"))
    parser.add_argument("--init", type=Path, help="a shipped prior to start from")
    parser.add_argument("--first-step", type=int, default=0, help="how far that one had come")
    parser.add_argument("--first-shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=20, help="of 512 procedural shapes")
    parser.add_argument("--real", type=Path, help="a folder of real models (fetch_real_models.py)")
    parser.add_argument("--real-shards", type=int, default=8, help="of 512 shapes of them")
    parser.add_argument("--seed", type=int, default=4)
    add_arguments(parser, steps=5000, batch=16, lr=1.5e-3, decay=0.4, save=250)
    parser.add_argument("--test-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.test_only:
        train(args, args.nouns.read_text().split())
    print(json.dumps(test(args.export, 2), indent=2))

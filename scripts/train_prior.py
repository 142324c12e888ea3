"""Train the 3D prior on volumes of the world, and measure it.

    python scripts/render_volumes.py --shards 20
    python scripts/train_prior.py --out .cache/prior --export assets/prior
    python scripts/train_prior.py --export assets/prior --test-only

Volumes are cut into cubes, each a token of a few principal components, as the teacher's pictures
are. With --real FOLDER shapes of real models are added; every noun is drawn as often. Resumes from
--out, and reads whatever shards are there by then. Under `torchrun --nproc-per-node 2` two
processes share a step, each with a batch of its own.

Measured on samples of every noun: the Chamfer distance to the nearest of 64 true instances that
training never saw, next to that of a true instance and of another noun's sample; and which noun's
instances are nearest.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from muon import muon_and_adam
from render_volumes import load_volumes
from safetensors.torch import save_file
from torch import Tensor, nn

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
from score3d.world.nouns import NOUNS
from score3d.world.palette import COLOURS

COLOUR_NAMES = sorted(COLOURS)
PATCH, CHANNELS = 6, 96
NETWORK = {"width": 192, "depth": 8, "heads": 4}
HELD_OUT = 7  # the seed of the instances that are tested against


def load_training(
    args: argparse.Namespace, nouns: list[str], cubes: Cubes | None
) -> tuple[Cubes, Tensor, Tensor]:
    """The cubes, and of all shapes latents [N,T,C] float16 and words [N,4], 0 for what is not
    said: noun, colour, material, colour of the second part."""
    real = RealModels(args.real, nouns=nouns) if args.real else None
    wanted = [(seed, None) for seed in range(args.shards)]
    wanted += [(seed, real) for seed in range(args.real_shards if real else 0)]
    place = {NOUNS.index(n): k + 1 for k, n in enumerate(nouns)}
    latents, words = [], []
    if cubes is None:
        some = [
            load_volumes(args.data, *pair[:1], nouns, pair[1]) for pair in wanted[:3] + wanted[-1:]
        ]
        cubes = Cubes.fitted(np.concatenate([s.cells for s in some]), PATCH, CHANNELS)
    for seed, models in wanted:
        shard = load_volumes(args.data, seed, nouns, models)
        latents.append(cubes.encode(torch.from_numpy(shard.cells)).half())
        noun = np.array([place[n] for n in shard.noun])
        rest = [shard.colour + 1, shard.material + 1, shard.second + 1]
        words.append(torch.from_numpy(np.stack([noun, *rest], 1)))
    return cubes, torch.cat(latents), torch.cat(words)


def batch_of(
    latents: Tensor, words: Tensor, of_noun: list[Tensor], batch: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """x [B,T,C] and words [B,4]; a tenth without any, more without a colour or material."""
    nouns = torch.randint(0, len(of_noun), (batch,), generator=g).tolist()
    pick = [int(of_noun[n][torch.randint(0, len(of_noun[n]), (1,), generator=g)]) for n in nouns]
    said = words[pick].clone()
    u = torch.rand(batch, generator=g)
    said[u < 0.1] = 0
    said[(u > 0.1) & (u < 0.15), 1:] = 0
    said[(u > 0.15) & (u < 0.2), 2] = 0
    return latents[pick].float(), said


def optimizers(net: VolumeDenoiser, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    return muon_and_adam(
        net,
        lr,
        [p for k, p in net.blocks.named_parameters() if p.ndim == 2 and "modulate" not in k],
    )


def share_gradients(net: nn.Module) -> None:
    """Their mean over all processes, in the place of each one's own."""
    grads = [p.grad for p in net.parameters()]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for g, shared in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        g.copy_(shared.view_as(g))


def train(args: argparse.Namespace, nouns: list[str]) -> None:
    rank, processes = 0, 1
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
        rank, processes = dist.get_rank(), dist.get_world_size()
    args.out.mkdir(parents=True, exist_ok=True)
    last = args.out / "last.pt"
    state = torch.load(last, weights_only=True) if last.exists() else None
    cubes = Cubes(PATCH, *state["cubes"]) if state else None
    cubes, latents, words = load_training(args, nouns, cubes)
    of_noun = [torch.nonzero(words[:, 0] == k + 1)[:, 0] for k in range(len(nouns))]
    print(f"{len(words)} shapes, the rarest noun has {min(map(len, of_noun))}", flush=True)
    torch.manual_seed(args.seed)
    known = (len(nouns), len(COLOUR_NAMES), len(MATERIALS), len(COLOUR_NAMES))
    net, ema = (VolumeDenoiser(known, *latents.shape[1:], **NETWORK) for _ in range(2))
    ema.load_state_dict(net.state_dict())
    steps_of, start = optimizers(net, args.lr), 0
    if state:
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(steps_of, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        start = state["step"]
    alphas_bar = NoiseSchedule.scaled_linear().alphas_cumprod.float()
    losses, clock = [], time.time()
    for step in range(start, args.steps):
        g = torch.Generator().manual_seed(args.seed * 1_000_003 + step + 500_009 * rank)
        lr = args.lr * min(1.0, (step + 1) / 100)
        decay_from = int(args.steps * (1 - args.decay))
        if step > decay_from:
            lr *= 0.5 + 0.5 * math.cos(math.pi * (step - decay_from) / (args.steps - decay_from))
        x, said = batch_of(latents, words, of_noun, args.batch, g)
        t = (torch.arange(args.batch) + torch.rand(args.batch, generator=g)) / args.batch
        t = (1000 * t.sqrt()).long().clamp(max=999)  # noisy times decide what there is
        bar = alphas_bar[t].view(-1, 1, 1)
        eps = torch.randn(x.shape, generator=g)
        v = net(bar.sqrt() * x + (1 - bar).sqrt() * eps, t, said)
        loss = (v - bar.sqrt() * eps + (1 - bar).sqrt() * x).square().mean()
        for optimizer in steps_of:
            optimizer.zero_grad(set_to_none=True)
            optimizer.param_groups[0]["lr"] = lr
        loss.backward()
        if processes > 1:
            share_gradients(net)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer in steps_of:
            optimizer.step()
        with torch.no_grad():
            keep = min(0.998, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - keep)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            rate = 50 * args.batch * processes / (time.time() - clock)
            if rank == 0:
                print(f"step {step + 1} loss {np.mean(losses):.4f} {rate:.0f}/s", flush=True)
            losses, clock = [], time.time()
        if rank == 0 and ((step + 1) % args.save_every == 0 or step + 1 == args.steps):
            kept = {
                "net": net.state_dict(),
                "ema": ema.state_dict(),
                "step": step + 1,
                "optimizers": [o.state_dict() for o in steps_of],
                "cubes": cubes.tensors(),
            }
            torch.save(kept, last.with_suffix(".tmp"))
            last.with_suffix(".tmp").replace(last)
    if processes > 1:
        dist.destroy_process_group()
    if rank:
        raise SystemExit
    export(args, nouns, cubes, ema)


def export(args: argparse.Namespace, nouns: list[str], cubes: Cubes, ema: VolumeDenoiser) -> None:
    args.export.mkdir(parents=True, exist_ok=True)
    weights = {f"net.{k}": v.half().contiguous() for k, v in ema.state_dict().items()}
    basis, scale, kept = cubes.tensors()
    weights |= {"basis": basis.half().contiguous(), "scale": scale, "kept": kept.to(torch.int32)}
    save_file(weights, args.export / "prior.safetensors")
    about = {"nouns": nouns, "colours": COLOUR_NAMES, "materials": list(MATERIALS),
             "patch": PATCH, "network": NETWORK, "trained_steps": args.steps,
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
    parser.add_argument("--shards", type=int, default=20, help="of 512 procedural shapes")
    parser.add_argument("--real", type=Path, help="a folder of real models (fetch_real_models.py)")
    parser.add_argument("--real-shards", type=int, default=8, help="of 512 shapes of them")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--decay", type=float, default=0.4, help="last share, with falling lr")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--test-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.test_only:
        train(args, args.nouns.read_text().split())
    print(json.dumps(test(args.export, 2), indent=2))

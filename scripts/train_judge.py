"""Train the judge and measure it on renders of held-out seeds.

    python scripts/train_judge.py --export assets/judge
    python scripts/train_judge.py --export assets/judge --test-only

The second judge has another network and other pictures:

    python scripts/train_judge.py --network attention --first-shard 30000 --seed 2 --lr 1e-3 \\
        --out .cache/second-judge --export assets/second-judge

Resumable: the same command goes on from the last checkpoint in --out, and `--steps` may have grown.

Augmentation (blur, noise, shifts, contrast) makes it look past the difference between a crisp
render and a soft scene of Gaussians. The azimuth head learns only from nouns that have one.
Pictures of two objects are left out. With --real FOLDER (`fetch_real_models.py`) pictures of real
models are added, which teach no material and a colour only where one covers most of the object, and
the held-out models are tested on too.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from train_teacher import Shares
from training import Training, add_arguments

from score3d.evaluate.judge import Judge
from score3d.evaluate.judge_networks import AZIMUTH_BINS, NETWORKS
from score3d.world.dataset import VIEWS_PER_SHAPE, Renders, load_renders
from score3d.world.families import FAMILIES
from score3d.world.finish import MATERIALS
from score3d.world.instances import RealModels
from score3d.world.nouns import NOUNS, SYMMETRIC
from score3d.world.palette import COLOURS

COLOUR_NAMES = sorted(COLOURS)
HELD_OUT = 90000


def load_single(
    folder: Path, seeds: range, nouns: list[str], real: RealModels | None = None, extra: int = 0
) -> tuple[Renders, np.ndarray]:
    """Pictures of one object, of these nouns, and each one's index into `nouns`: the shards of
    `seeds`, and from the same number on `extra` of real models."""
    place = np.array([nouns.index(n) if n in nouns else -1 for n in NOUNS])
    parts = []
    wanted = [(seed, None) for seed in seeds]
    wanted += [(seed, real) for seed in range(seeds.start, seeds.start + extra)]
    for seed, models in wanted:
        shard = load_renders(folder, range(seed, seed + 1), models=models, nouns=nouns)
        parts.append(shard.where((place[shard.noun] >= 0) & (shard.relation < 0)))
    data = Renders.joined(parts)
    return data, place[data.noun]


def azimuth_bin(azimuth: np.ndarray) -> np.ndarray:
    return np.round(azimuth / (360 / AZIMUTH_BINS)).astype(np.int64) % AZIMUTH_BINS


def augment(rgb: Tensor, g: torch.Generator) -> Tensor:
    """Blur, shift, contrast and noise; rgb [B,3,64,64] in [0,1]."""
    b = len(rgb)
    soft = nn.functional.avg_pool2d(nn.functional.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    softer = nn.functional.avg_pool2d(nn.functional.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, 1)
    choice = torch.rand(b, 1, 1, 1, generator=g)
    mix = torch.rand(b, 1, 1, 1, generator=g)
    rgb = torch.where(
        choice < 0.4, rgb.lerp(soft, mix), torch.where(choice < 0.7, soft.lerp(softer, mix), rgb)
    )
    dx, dy = (int(torch.randint(-4, 5, (), generator=g)) for _ in range(2))
    rgb = nn.functional.pad(rgb, (4, 4, 4, 4), mode="replicate")[
        ..., 4 + dy : 68 + dy, 4 + dx : 68 + dx
    ]
    gain = 1 + 0.16 * (torch.rand(b, 1, 1, 1, generator=g) - 0.5)
    noise = torch.randn(rgb.shape, generator=g) * 0.04 * torch.rand(b, 1, 1, 1, generator=g)
    return (rgb * gain + noise).clamp(0, 1)


def test(folder: Path, data: Renders) -> dict:
    """Accuracies on held-out renders at elevations of at most 50 degrees."""
    judge = Judge(folder)
    chosen = np.where(data.elevation <= 50)[0]
    kinds = ("noun", "colour", "material", "azimuth within 30")
    right: dict[str, list[bool]] = {k: [] for k in kinds}
    confusion: dict[str, int] = {}
    for part in np.array_split(chosen, max(1, len(chosen) // 256)):
        rgb = torch.from_numpy(data.rgb[part]).float().div(255).permute(0, 3, 1, 2)
        said = judge(rgb)
        for k, i in enumerate(part):
            noun, colour, material = NOUNS[data.noun[i]], data.colour[i], data.material[i]
            for kind, truth, answer in (
                ("noun", noun, said.nouns[k]),
                ("colour", COLOUR_NAMES[colour] if colour >= 0 else None, said.colours[k]),
                ("material", MATERIALS[material] if material >= 0 else None, said.materials[k]),
            ):
                if truth is None:
                    continue
                right[kind].append(truth == answer)
                if truth != answer:
                    key = f"{kind}: {truth} taken for {answer}"
                    confusion[key] = confusion.get(key, 0) + 1
            if noun not in SYMMETRIC:
                gap = abs((said.azimuths[k] - data.azimuth[i] + 180) % 360 - 180)
                right["azimuth within 30"].append(bool(gap <= 30))
    report: dict = {k: float(np.mean(v)) for k, v in right.items() if v}
    report["pictures"] = len(chosen)
    report["worst"] = dict(sorted(confusion.items(), key=lambda kv: -kv[1])[:12])
    return report


def start_from(net: nn.Module, folder: Path, nouns: list[str]) -> None:
    """The weights of a judge in `folder`, whose nouns are the first of `nouns`."""
    known = json.loads((folder / "judge.json").read_text())["nouns"]
    if known != nouns[: len(known)]:
        raise SystemExit(f"{folder}: its nouns are not the first of these")
    state = net.state_dict()
    for name, value in load_file(folder / "judge.safetensors").items():
        new = state[name]
        if new.shape == value.shape:
            new.copy_(value)
        else:  # the last layer grows after the rows of the nouns that were known
            new[: len(known)] = value[: len(known)]
            new[len(new) - len(value) + len(known) :] = value[len(known) :]
    net.load_state_dict(state)


def export(net: nn.Module, nouns: list[str], args: argparse.Namespace) -> None:
    args.export.mkdir(parents=True, exist_ok=True)
    weights = {
        k: (v.half() if v.is_floating_point() else v).contiguous()
        for k, v in net.state_dict().items()
    }
    save_file(weights, args.export / "judge.safetensors")
    labels = {
        "network": args.network,
        "nouns": nouns,
        "colours": COLOUR_NAMES,
        "materials": list(MATERIALS),
        "steps": args.first_step + args.steps,
        "batch": args.batch,
    }
    (args.export / "judge.json").write_text(json.dumps(labels, indent=2) + "\n")


def matrices_of(net: nn.Module) -> list[nn.Parameter]:
    """What Muon trains: neither the first convolution, nor what is learned of places and
    questions, nor the answers."""
    ends = ("stem.0.down", "trunk.0.down", "position", "queries", "head")
    return [p for k, p in net.named_parameters() if p.ndim > 1 and not any(e in k for e in ends)]


def train(args: argparse.Namespace, nouns: list[str], real: RealModels | None) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    data, truths = load_single(
        args.data, range(args.first_shard, args.first_shard + args.shards), nouns,
        real, args.real_shards if real else 0,
    )  # fmt: skip
    shares = Shares(data, {})
    torch.manual_seed(args.seed)
    net, mean = (
        NETWORKS[args.network](len(nouns), len(COLOUR_NAMES), len(MATERIALS)) for _ in range(2)
    )
    net.to(memory_format=torch.channels_last)
    if args.init:
        start_from(net, args.init, nouns)
    training = Training(net, mean, matrices_of(net), args, keep=0.998)
    has_front = torch.tensor([n not in SYMMETRIC for n in nouns])

    def entropy(answers: Tensor, truth: np.ndarray) -> Tensor:
        """Of names; -1 is one that a picture has not."""
        return nn.functional.cross_entropy(
            answers, torch.from_numpy(truth), label_smoothing=0.05, ignore_index=-1
        )

    finished = training.finished()
    while not finished:
        # Every random number of a step comes from (seed, step): resuming changes nothing.
        step = args.first_step + training.step
        rng, g = np.random.default_rng([args.seed, step]), torch.Generator().manual_seed(step)
        shapes = shares.draw(args.batch, rng)
        index = VIEWS_PER_SHAPE * shapes + rng.integers(VIEWS_PER_SHAPE, size=args.batch)
        rgb = torch.from_numpy(data.rgb[index]).float().div(255).permute(0, 3, 1, 2)
        with training.autocast:
            answers = net(augment(rgb, g))
        noun, colour, material, azimuth = (a.float() for a in answers)
        bins = torch.from_numpy(azimuth_bin(data.azimuth[index]))
        front = has_front[torch.from_numpy(truths[index])]
        loss = entropy(noun, truths[index]) + entropy(colour, data.colour[index])
        loss = loss + 0.5 * entropy(material, data.material[index])
        loss = loss + 0.5 * nn.functional.cross_entropy(azimuth[front], bins[front])
        line = training.learn(loss)
        if line:
            training.log(line)
        finished = training.finished()
        if training.step % args.save_every == 0 or finished:
            training.save()
    if training.step < args.steps:  # stopped on the way: nothing is to be exported yet
        raise SystemExit
    for ours, theirs in zip(mean.buffers(), net.buffers(), strict=True):
        ours.copy_(theirs)  # statistics of batches, which are means already
    export(mean, nouns, args)


def main(args: argparse.Namespace) -> None:
    nouns = args.nouns.read_text().split() if args.nouns else sorted(FAMILIES)
    real = RealModels(args.real, nouns=nouns if args.nouns else None) if args.real else None
    if real and not args.nouns:
        nouns = [n for n in NOUNS if n in nouns or n in real.of_noun]
    if args.test_only:
        nouns = Judge(args.export).nouns
    else:
        train(args, nouns, real)
    held_out, _ = load_single(args.data, range(HELD_OUT, HELD_OUT + 1), nouns)
    print(json.dumps(test(args.export, held_out), indent=2))
    if real:
        unseen = RealModels(args.real, "held-out", nouns)
        held_out, _ = load_single(args.data, range(HELD_OUT, HELD_OUT), nouns, unseen, 1)
        print("real models:", json.dumps(test(args.export, held_out), indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--out", type=Path, default=Path(".cache/judge"), help="training folder")
    parser.add_argument("--export", type=Path, default=Path("assets/judge"))
    parser.add_argument("--nouns", type=Path, help="a file of the nouns to learn (default: all)")
    parser.add_argument("--real", type=Path, help="a folder of real models to learn from too")
    parser.add_argument("--real-shards", type=int, default=14, help="pictures of them, as --shards")
    parser.add_argument("--network", choices=sorted(NETWORKS), default="convolutional")
    parser.add_argument("--first-shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=56)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--init", type=Path, help="a judge of the same network to train on")
    parser.add_argument("--first-step", type=int, default=0, help="how far that one had come")
    add_arguments(parser, steps=5000, batch=64, lr=3e-3, decay=0.6, save=500)
    parser.add_argument("--test-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    main(args)

"""Train the two-tower model of pictures and captions, and measure it on held-out renders.

    python scripts/train_two_tower.py --export assets/two-tower

The data are the third set of shards: neither the teacher's nor a judge's.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from train_judge import augment, load_single
from train_teacher import load_training

from score3d.evaluate.two_tower import LENGTH, TwoTower, TwoTowerNet, split_words
from score3d.world.captions import vocabulary
from score3d.world.dataset import Renders
from score3d.world.families import FAMILIES
from score3d.world.instances import RealModels
from score3d.world.nouns import NOUNS

HELD_OUT = 90001


def retrieval(folder: Path, data: Renders, ways: int = 64) -> dict[str, float]:
    """How often the right caption of `ways` is nearest to a picture, and the right picture to a
    caption; captions drawn from other pictures of the set, equal ones left out."""
    model, rng = TwoTower(folder), np.random.default_rng(0)
    hits, chosen = [], rng.permutation(len(data))[:2048]
    texts = [" ".join(split_words(data.caption(int(i), rng))) for i in chosen]
    rgb = torch.from_numpy(data.rgb[chosen]).float().div(255).permute(0, 3, 1, 2)
    for part in np.array_split(np.arange(len(chosen)), len(chosen) // ways):
        s = model.similarity(rgb[part], [texts[i] for i in part])
        hits.append([(s.argmax(1) == torch.arange(len(part))).float().mean().item(),
                     (s.argmax(0) == torch.arange(len(part))).float().mean().item()])  # fmt: skip
    to_text, to_image = np.mean(hits, 0)
    return {"ways": ways, "picture to caption": to_text, "caption to picture": to_image}


def start_from(net: TwoTowerNet, folder: Path, words: list[str]) -> None:
    """The weights of the model in `folder`; words that it does not know keep their random ones."""
    state = load_file(folder / "two_tower.safetensors")
    tokens = net.tokens.weight.detach().clone()
    tokens[0] = state["tokens.weight"][0]
    known = json.loads((folder / "two_tower.json").read_text())["words"]
    for row, word in enumerate(known, 1):
        if word in words:
            tokens[words.index(word) + 1] = state["tokens.weight"][row]
    net.load_state_dict(state | {"tokens.weight": tokens})


def main(args: argparse.Namespace) -> None:
    nouns = args.nouns.read_text().split() if args.nouns else sorted(FAMILIES)
    real = RealModels(args.real, nouns=nouns if args.nouns else None) if args.real else None
    if real and not args.nouns:
        nouns = [n for n in NOUNS if n in nouns or n in real.of_noun]
    words = [w for w in vocabulary() if w != "," and not w.lstrip("-").isdigit()]
    place = {w: i + 1 for i, w in enumerate(words)}
    data = load_training(args.data, range(args.first_shard, args.first_shard + args.shards), nouns)
    if real:
        more = range(args.first_shard, args.first_shard + args.real_shards)
        data = Renders.joined([data, load_training(args.data, more, nouns, real)])
    torch.manual_seed(args.seed)
    net = TwoTowerNet(len(words) + 1).to(memory_format=torch.channels_last)
    if args.init:
        start_from(net, args.init, words)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.steps)
    clock = time.time()
    for step in range(args.steps):
        rng = np.random.default_rng([args.seed, args.first_step + step])
        g = torch.Generator().manual_seed(args.first_step + step)
        index = rng.integers(0, len(data), args.batch)
        ids = torch.zeros(args.batch, LENGTH, dtype=torch.int64)
        for row, i in zip(ids, index, strict=True):
            found = [place[w] for w in split_words(data.caption(int(i), rng))][:LENGTH]
            row[: len(found)] = torch.tensor(found)
        rgb = torch.from_numpy(data.rgb[index]).float().div(255).permute(0, 3, 1, 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
            pictures = net.embed_images(augment(rgb, g))
        texts = net.embed_texts(ids)
        logits = pictures.float() @ texts.T * net.scale.clamp(max=4.6).exp()
        # A caption may fit several pictures of a batch: all rows with equal ids share the truth.
        same = (ids[:, None] == ids).all(2).float()
        target = same / same.sum(1, keepdim=True)
        loss = nn.functional.cross_entropy(logits, target)
        loss = (loss + nn.functional.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 200 == 0:
            rate = 200 * args.batch / (time.time() - clock)
            clock = time.time()
            print(f"step {step + 1} loss {loss.item():.3f} {rate:.0f}/s", flush=True)
    args.export.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.half().contiguous() for k, v in net.state_dict().items()},
        args.export / "two_tower.safetensors",
    )
    steps = args.first_step + args.steps
    labels = {"words": words, "steps": steps, "batch": args.batch}
    (args.export / "two_tower.json").write_text(json.dumps(labels) + "\n")
    held_out, _ = load_single(args.data, range(HELD_OUT, HELD_OUT + 1), nouns)
    print(json.dumps(retrieval(args.export, held_out), indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(".cache/world"))
    parser.add_argument("--export", type=Path, default=Path("assets/two-tower"))
    parser.add_argument("--nouns", type=Path, help="a file of the nouns to learn (default: all)")
    parser.add_argument("--first-shard", type=int, default=60000)
    parser.add_argument("--shards", type=int, default=28)
    parser.add_argument("--real", type=Path, help="a folder of real models to learn from too")
    parser.add_argument("--real-shards", type=int, default=7, help="pictures of them, as --shards")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--init", type=Path, help="a model to train on")
    parser.add_argument("--first-step", type=int, default=0, help="how far that one had come")
    parser.add_argument("--bfloat16", action="store_true", help="autocast (AVX512-BF16 or AMX)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    main(args)

"""Pictures of two objects from the embedded teacher: are they where the prompt says?

    python scripts/benchmark_relations.py --samples 60 --sheet docs/results/relations.png

The two colours of a prompt differ, so each object is found by its colour. Of the four views of a
grid three must show the first above the second ("on top of"), or two opposite ones both side by
side ("next to": in the others one may hide the other). Shapes are left to the eye: the judges know
single objects, and called only 47 % of true ones, cut out, by their names. True pictures, judged
in the same way, say how far to trust the rest.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray

from score3d.files.pictures import contact_sheet, write_png
from score3d.resources import resource
from score3d.teachers.embedded import World
from score3d.teachers.grid import untile
from score3d.world.captions import grid_phrase, phrase_of
from score3d.world.dataset import render_shard
from score3d.world.nouns import NOUNS
from score3d.world.palette import COLOURS, sample_colour
from score3d.world.shapes import RELATIONS, SIMPLE, STANDS

COLOUR_NAMES = sorted(COLOURS)
Pair = tuple[str, str, str, str, str]  # noun, colour, relation, second noun, second colour


def words_of(pair: Pair) -> str:
    noun, colour, relation, other, second = pair
    words = phrase_of(noun, colour, second_colour=second, relation=relation, second_noun=other)
    return f"a {words}"


def sample_pair(rng: np.random.Generator) -> Pair:
    relation = RELATIONS[rng.integers(len(RELATIONS))]
    others = STANDS if relation == "on top of" else SIMPLE
    first, second = rng.choice(COLOUR_NAMES, 2, replace=False)
    noun, other = SIMPLE[rng.integers(len(SIMPLE))], others[rng.integers(len(others))]
    return noun, str(first), relation, other, str(second)


def features(rgb: NDArray) -> NDArray:
    """sRGB [...,3] as hue and chroma in the plane, and half the value: shade counts for less."""
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = np.stack([rgb[..., 0] - (rgb[..., 1] + rgb[..., 2]) / 2,
                       (rgb[..., 1] - rgb[..., 2]) * np.sqrt(3) / 2], -1)  # fmt: skip
    length = np.linalg.norm(chroma, axis=-1, keepdims=True)
    chroma = chroma / np.maximum(length, 1e-6) * ((high - low) / np.maximum(high, 0.2))[..., None]
    return np.concatenate([chroma, high[..., None] / 2], -1)


CENTRES = features(
    np.stack([np.mean([sample_colour(c, np.random.default_rng(k)) for k in range(50)], 0)
              for c in COLOUR_NAMES])
)  # fmt: skip


def objects(view: NDArray, pair: Pair) -> list[NDArray]:
    """The pixels [H,W] of the pair's two objects in a view [H,W,3]."""
    border = np.concatenate([view[0], view[-1], view[:, 0], view[:, -1]])
    shown = np.abs(view - np.median(border, 0)).max(-1) > 0.15
    of = [COLOUR_NAMES.index(c) for c in (pair[1], pair[4])]
    distance = np.linalg.norm(features(view)[:, :, None] - CENTRES[of], axis=-1)
    return [shown & (distance.argmin(-1) == k) & (distance.min(-1) < 0.45) for k in range(2)]


def placed(views: NDArray, pair: Pair) -> bool:
    """Of a grid's four views [4,H,W,3]: do they show the relation?"""
    above, beside = [False] * 4, [False] * 4
    for k, view in enumerate(views):
        masks = objects(view, pair)
        if min(m.sum() for m in masks) >= 25:
            (y, x), (y2, x2) = (np.argwhere(m).mean(0) for m in masks)
            above[k] = y2 - y > 1.5 * abs(x2 - x)
            beside[k] = abs(x2 - x) > 1.5 * abs(y2 - y)
    if pair[2] == "on top of":
        return sum(above) >= 3
    return (beside[0] and beside[2]) or (beside[1] and beside[3])


def summary(right: list[bool], pairs: list[Pair]) -> dict:
    """Shares of right ones, in all and by relation."""
    by = {r: [x for x, p in zip(right, pairs, strict=True) if p[2] == r] for r in RELATIONS}
    return {"right": float(np.mean(right))} | {r: float(np.mean(v)) for r, v in by.items()}


def truth(shards: int) -> dict:
    """The same of true pictures of two objects, of seeds that nothing was trained on."""
    pairs, right = [], []
    for seed in range(90_100, 90_100 + shards):
        data = render_shard(seed)
        for i in np.flatnonzero(data.relation[::4] >= 0) * 4:
            if data.elevation[i] > 50:
                continue
            relation = RELATIONS[data.relation[i]]
            noun, other = NOUNS[data.noun[i]], NOUNS[data.second_noun[i]]
            colour, second = COLOUR_NAMES[data.colour[i]], COLOUR_NAMES[data.second_colour[i]]
            pairs.append((noun, colour, relation, other, second))
            right.append(placed(data.rgb[i : i + 4] / np.float32(255), pairs[-1]))
    return {"pairs": len(pairs)} | summary(right, pairs)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    world, rng = World(args.teacher), np.random.default_rng(args.seed)
    pipeline = StableDiffusionPipeline.from_pretrained(args.teacher, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pairs = [sample_pair(rng) for _ in range(args.samples)]
    prompts = [
        f"{words_of(p)}, {grid_phrase(rng.uniform(-45, 45), rng.uniform(-10, 45))}" for p in pairs
    ]
    side, pictures = 2 * world.resolution, []
    for start in range(0, args.samples, args.batch):
        pictures.append(
            pipeline(
                prompts[start : start + args.batch], height=side, width=side,
                num_inference_steps=args.steps, guidance_scale=args.guidance,
                generator=torch.Generator().manual_seed(args.seed * 100_003 + start),
                output_type="pt",
            ).images
        )  # fmt: skip
    grids = torch.cat(pictures)
    right = [
        placed(untile(grid[None]).permute(0, 2, 3, 1).numpy(), pair)
        for grid, pair in zip(grids, pairs, strict=True)
    ]
    report = {"samples": args.samples, **summary(right, pairs)}
    print(json.dumps(report | {"true pictures": truth(args.shards)}, indent=2))
    if args.sheet:
        labels = [words_of(p) + ("" if r else " (no)") for p, r in zip(pairs, right, strict=True)]
        write_png(args.sheet, contact_sheet(grids.permute(0, 2, 3, 1).numpy(), 10, labels))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=resource("assets", "teacher"))
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--batch", type=int, default=30)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=78)
    parser.add_argument("--shards", type=int, default=1, help="of true pictures to compare with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    main(parser.parse_args())

"""Pictures sampled from the embedded teacher, as the judge sees them.

    python scripts/benchmark_teacher.py --samples 480 --sheet docs/results/teacher_samples.png

DDIM with the checkpoint's own scheduler through `StableDiffusionPipeline`, the class that also
loads Stable Diffusion. Views, prompts and noise come from seeds that training never used.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from score3d.evaluate.judge import measuring_judge
from score3d.files.pictures import contact_sheet, write_png
from score3d.resources import resource
from score3d.teachers.embedded import World
from score3d.teachers.grid import untile
from score3d.world.captions import grid_phrase, view_phrase
from score3d.world.families import FAMILIES


def prompt_of(world: World, noun: str, rng: np.random.Generator) -> tuple[str, str, str]:
    """A prompt without a view, its colour and its material (a third are not matte)."""
    colour = world.colours[rng.integers(len(world.colours))]
    others = [m for m in world.materials if m != "matte"]
    material = others[rng.integers(len(others))] if rng.random() < 1 / 3 else "matte"
    words = f"{colour} {noun}" if material == "matte" else f"{material} {colour} {noun}"
    return f"a {words}", colour, material


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    world = World(args.teacher)
    pipeline = StableDiffusionPipeline.from_pretrained(args.teacher, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    (judge, judged_by), rng = measuring_judge(), np.random.default_rng(args.seed)
    rows, pictures = [], []
    views = 4 if args.grid else 1
    for start in range(0, args.samples, args.batch):
        count = min(args.batch, args.samples - start)
        nouns = [world.nouns[(start + k) % len(world.nouns)] for k in range(count)]
        asked = [prompt_of(world, noun, rng) for noun in nouns]
        first = rng.uniform(-45, 45, count) if args.grid else rng.uniform(0, 360, count)
        elevations = rng.uniform(-10, 45, count)
        prompts = [
            f"{words}, {grid_phrase(a, e) if args.grid else view_phrase(a, e, world.views)}"
            for (words, _, _), a, e in zip(asked, first, elevations, strict=True)
        ]
        side = world.resolution * (2 if args.grid else 1)
        out = pipeline(
            prompts,
            height=side,
            width=side,
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            generator=torch.Generator().manual_seed(args.seed * 100_003 + start),
            output_type="pt",
        ).images
        pictures += list(out.permute(0, 2, 3, 1).numpy())
        said = judge(untile(out) if args.grid else out)
        for k in range(count):
            mine = range(views * k, views * (k + 1))
            azimuths = [first[k] + 90 * v for v in range(views)]
            gaps = [
                abs((said.azimuths[i] - a + 180) % 360 - 180)
                for i, a in zip(mine, azimuths, strict=True)
            ]
            _, colour, material = asked[k]
            sided = nouns[k] not in world.symmetric
            rows.append(
                {
                    "prompt": prompts[k],
                    "noun": nouns[k],
                    # of a noun that the judge never learned it can say nothing
                    "shape": float(np.mean([said.nouns[i] == nouns[k] for i in mine]))
                    if nouns[k] in judge.nouns
                    else None,
                    "colour": float(np.mean([said.colours[i] == colour for i in mine])),
                    "material": float(np.mean([said.materials[i] == material for i in mine])),
                    "azimuth": float(np.mean([g <= 30 for g in gaps]))
                    if sided and nouns[k] in judge.nouns
                    else None,
                    "said": ", ".join(sorted({said.nouns[i] for i in mine})),
                }
            )
    means = {
        k: float(np.mean([r[k] for r in rows if r[k] is not None]))
        for k in ("shape", "colour", "material", "azimuth")
    }
    for kind, family in (("shape of nouns with a family", True), ("shape of the others", False)):
        shapes = [r["shape"] for r in rows if (r["noun"] in FAMILIES) == family]
        means[kind] = float(np.mean([s for s in shapes if s is not None] or np.nan))
    by_noun = {
        n: [
            round(
                float(np.mean([r[k] for r in rows if r["noun"] == n and r[k] is not None] or 0)), 2
            )
            for k in ("shape", "azimuth")
        ]
        for n in world.nouns
    }
    report = {
        "samples": len(rows),
        "judged by": judged_by,
        "nouns it does not know": len([n for n in world.nouns if n not in judge.nouns]),
        "views each": views,
        "guidance": args.guidance,
        "steps": args.steps,
        **means,
        "shape and azimuth by noun": dict(sorted(by_noun.items(), key=lambda kv: kv[1])),
    }
    print(
        json.dumps({k: v for k, v in report.items() if k != "shape and azimuth by noun"}, indent=2)
    )
    print(json.dumps(report["shape and azimuth by noun"]))
    if args.sheet:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        shown = rows[: args.shown]
        labels = [
            r["prompt"].split(",")[0] + ("" if r["shape"] == 1 else f" ({r['said']}?)")
            for r in shown
        ]
        big = np.stack(pictures[: args.shown])
        if not args.grid:
            big = np.repeat(np.repeat(big, 2, 1), 2, 2)
        write_png(args.sheet, contact_sheet(big, 10, labels, "samples of the embedded teacher"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=resource("assets", "teacher"))
    parser.add_argument("--grid", action="store_true", help="four views each, as `generate` asks")
    parser.add_argument("--samples", type=int, default=480)
    parser.add_argument("--batch", type=int, default=60)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--shown", type=int, default=60)
    main(parser.parse_args())

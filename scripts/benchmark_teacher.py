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

from score3d.evaluate.judge import Judge
from score3d.files.pictures import contact_sheet, write_png
from score3d.resources import resource
from score3d.teachers.embedded import World
from score3d.world.captions import view_phrase


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    world = World(args.teacher)
    pipeline = StableDiffusionPipeline.from_pretrained(args.teacher, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    judge, rng = Judge(), np.random.default_rng(args.seed)
    rows, pictures = [], []
    for start in range(0, args.samples, args.batch):
        count = min(args.batch, args.samples - start)
        nouns = [world.nouns[(start + k) % len(world.nouns)] for k in range(count)]
        colours = [world.colours[rng.integers(len(world.colours))] for _ in range(count)]
        azimuths, elevations = rng.uniform(0, 360, count), rng.uniform(-10, 45, count)
        prompts = [
            f"a {c} {n}, {view_phrase(a, e, world.views)}"
            for n, c, a, e in zip(nouns, colours, azimuths, elevations, strict=True)
        ]
        out = pipeline(
            prompts,
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            generator=torch.Generator().manual_seed(args.seed * 100_003 + start),
            output_type="np",
        ).images
        said = judge(torch.from_numpy(out).permute(0, 3, 1, 2))
        pictures += list(out)
        for k in range(count):
            gap = abs((said.azimuths[k] - azimuths[k] + 180) % 360 - 180)
            rows.append(
                {
                    "prompt": prompts[k],
                    "noun": nouns[k],
                    "shape": said.nouns[k] == nouns[k],
                    "colour": said.colours[k] == colours[k],
                    "azimuth": None if nouns[k] in world.symmetric else bool(gap <= 30),
                    "said": f"{said.colours[k]} {said.nouns[k]}",
                }
            )
    by_noun = {n: float(np.mean([r["shape"] for r in rows if r["noun"] == n])) for n in world.nouns}
    report = {
        "samples": len(rows),
        "guidance": args.guidance,
        "steps": args.steps,
        "shape": float(np.mean([r["shape"] for r in rows])),
        "colour": float(np.mean([r["colour"] for r in rows])),
        "azimuth within 30": float(
            np.mean([r["azimuth"] for r in rows if r["azimuth"] is not None])
        ),
        "shape by noun": dict(sorted(by_noun.items(), key=lambda kv: kv[1])),
    }
    print(json.dumps(report, indent=2))
    if args.sheet:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        shown = rows[: args.shown]
        labels = [
            r["prompt"].split(",")[0] + ("" if r["shape"] else f" ({r['said']}?)") for r in shown
        ]
        big = np.repeat(np.repeat(np.stack(pictures[: args.shown]), 2, 1), 2, 2)
        write_png(args.sheet, contact_sheet(big, 10, labels, "samples of the embedded teacher"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, default=resource("assets", "teacher"))
    parser.add_argument("--samples", type=int, default=480)
    parser.add_argument("--batch", type=int, default=60)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--shown", type=int, default=60)
    main(parser.parse_args())

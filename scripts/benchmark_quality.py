"""Generate assets for many prompts and let the judge count: shape, colour, seconds.

    python scripts/benchmark_quality.py --out .cache/quality --results docs/results/quality

One prompt per noun, colours assigned in turn. Writes <results>.md, .json and .png (one row per
prompt, eight turntable views each).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from score3d.cameras import turntable
from score3d.config import load_config
from score3d.files.pictures import contact_sheet, write_png
from score3d.files.ply import read_ply
from score3d.generate import generate
from score3d.runs.folder import RunFolder
from score3d.scenes.photograph import photograph
from score3d.teachers.embedded import load_world

# The nouns a first version must know, with colours that fit and colours that do not.
PROMPTS = (
    "a red mushroom",
    "a white snowman",
    "a blue chair",
    "a brown table",
    "a green sofa",
    "a yellow lamp",
    "an orange mug",
    "a cyan teapot",
    "a purple vase",
    "a red car",
    "a blue boat",
    "a white aeroplane",
    "a gray rocket",
    "a yellow robot",
    "a pink house",
    "a green tree",
    "a brown dog",
    "a pink pig",
    "a yellow duck",
    "a red apple",
    "a black hat",
    "a purple cube",
    "an orange sphere",
    "a cyan cone",
)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    world, rows, strips = load_world(), [], []
    prompts = args.prompts or PROMPTS
    for prompt in prompts:
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            options = {"run": {"prompt": prompt, "seed": seed}}
            config = load_config(args.preset, args.loss, args.overrides, options)
            noun, colour = world.parse(prompt)
            path = args.out / f"{noun}-{colour}-{seed}"
            started = time.perf_counter()
            with RunFolder.create(path, overwrite=True) as folder:
                for _ in generate(config, folder):
                    pass
                summary = json.loads(folder.summary.read_text())
                splats = read_ply(folder.scene)
            views = photograph(
                splats, turntable(8, 96, fov=config.views.fov), config.output.background
            )
            strips.append(np.concatenate(list(views), 1))
            judge = summary["judge"]
            rows.append(
                {
                    "prompt": prompt,
                    "seed": seed,
                    "shape": judge["shape"],
                    "colour": judge.get("colour"),
                    "said": sorted(set(judge["said_shapes"]) - {noun}),
                    "seconds": time.perf_counter() - started,
                    "gaussians": summary["gaussians"],
                }
            )
            r = rows[-1]
            print(
                f"{prompt:20} shape {r['shape']:.2f} colour {r['colour']:.2f} "
                f"{r['seconds']:.0f} s {r['said']}",
                flush=True,
            )
    good = [r["shape"] >= 7 / 8 for r in rows]
    colours = [r["colour"] for r in rows if r["colour"] is not None]
    report = {
        "runs": len(rows),
        "preset": args.preset,
        "overrides": args.overrides,
        "shape right in at least 7 of 8 views": float(np.mean(good)),
        "mean share of views with the right shape": float(np.mean([r["shape"] for r in rows])),
        "mean share of views with the right colour": float(np.mean(colours)),
        "median seconds": float(np.median([r["seconds"] for r in rows])),
        "rows": rows,
    }
    print(json.dumps({k: v for k, v in report.items() if k != "rows"}, indent=2))
    if args.results:
        args.results.parent.mkdir(parents=True, exist_ok=True)
        args.results.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
        labels = [f"{r['prompt']}: shape {r['shape']:.0%}, colour {r['colour']:.0%}" for r in rows]
        write_png(args.results.with_suffix(".png"), contact_sheet(np.stack(strips), 2, labels))
        args.results.with_suffix(".md").write_text(_markdown(report))


def _markdown(report: dict) -> str:
    lines = ["# Quality of generated assets, by the judge", ""]
    lines += [f"- {k}: {v}" for k, v in report.items() if k != "rows"]
    lines += [
        "",
        "| prompt | seed | shape | colour | taken for | seconds |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['prompt']} | {r['seed']} | {r['shape']:.2f} | {r['colour']:.2f} "
        f"| {', '.join(r['said'])} | {r['seconds']:.0f} |"
        for r in report["rows"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("prompts", nargs="*")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--loss", default="sds")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(".cache/quality"))
    parser.add_argument("--results", type=Path, help="path without a suffix")
    main(parser.parse_args())

"""Generate assets for many prompts and measure them with `score3d eval`'s models.

    python scripts/benchmark_quality.py --out .cache/quality --results docs/results/quality

One prompt per noun, colours assigned in turn. Writes <results>.md, .json and .png (one row per
prompt, eight turntable views each).
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from finished_runs import own_scene

from score3d.articles import with_article
from score3d.cameras import turntable
from score3d.config import Config
from score3d.evaluate.assess import Assessor
from score3d.files.pictures import contact_sheet, write_png
from score3d.files.ply import read_ply
from score3d.files.splats import Splats
from score3d.generate import generate
from score3d.prior.known import suited_config
from score3d.recipes import load_recipe
from score3d.runs.folder import RunFolder
from score3d.scenes.photograph import photograph
from score3d.teachers.embedded import World, load_world

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


# what is averaged over runs, with its name in the report
MEANS = {
    "shape": "mean share of views with the right shape",
    "colour": "mean share of views with the right colour",
    "material": "mean share of views with the right material",
    "sides": "mean share of views seen from the right side",
    "r_precision": "R-precision of the two-tower model",
    "iou": "silhouette IoU with the nearest of 64 true instances",
    "chamfer": "Chamfer distance to it, in radii",
    "holes": "share of the filled silhouettes that is not covered",
    "gaussians": "Gaussians",
    "saturation": "saturation",
}


def over_the_vocabulary(world: World, count: int) -> list[str]:
    """`count` prompts, each of another noun as long as there are some: of five three plain ones,
    one of a material and one of a second colour, where its noun has a part to colour."""
    rng, prompts = np.random.default_rng(0), []
    order = [n for _ in range(0, count, len(world.nouns)) for n in rng.permutation(world.nouns)]
    materials = [m for m in world.materials if m != "matte"]
    for k, noun in enumerate(order[:count]):
        colour, second = rng.choice(world.colours, 2, replace=False)
        if k % 5 == 3:
            words = f"{materials[k // 5 % len(materials)]} {colour} {noun}"
        elif k % 5 == 4 and noun in world.second_parts:
            words = f"{colour} {noun} with {second} {world.second_parts[noun]}"
        else:
            words = f"{colour} {noun}"
        prompts.append(with_article(words))
    return prompts


def make(prompt: str, seed: int, path: Path, args: argparse.Namespace) -> tuple[Splats, dict]:
    """The asset of a prompt and seed, from its folder if it was finished before."""
    options = {"run": {"prompt": prompt, "seed": seed}}
    config = suited_config(args.preset, args.loss, args.overrides, options)
    if args.reuse and not args.recipe and (path / "summary.json").exists():
        folder = RunFolder.open(path, lock=False)
        return read_ply(folder.scene), json.loads(folder.summary.read_text())
    if args.recipe:
        return follow_recipe(path, options, args)
    return follow(config, path)


def follow(config: Config, path: Path) -> tuple[Splats, dict]:
    with RunFolder.create(path, overwrite=True) as folder:
        for _ in generate(config, folder):
            pass
        return read_ply(folder.scene), json.loads(folder.summary.read_text())


def follow_recipe(path: Path, options: dict, args: argparse.Namespace) -> tuple[Splats, dict]:
    """The stages one after the other; the last one's asset, and the seconds of all of them."""
    seconds: dict[str, float] = {}
    for stage in load_recipe(args.recipe).stages:
        found = follow(stage.config(args.preset, args.overrides, options, path), path / stage.name)
        for phase, value in found[1]["seconds"].items():
            seconds[phase] = seconds.get(phase, 0.0) + value
    return found[0], found[1] | {"seconds": seconds}


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    assessor, rows, strips = Assessor(load_world()), [], []
    sampled = over_the_vocabulary(assessor.world, args.sampled)
    for prompt in args.prompts or sampled or PROMPTS:
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            path = args.out / f"{prompt.replace(' ', '-')}-{seed}"
            splats, summary = make(prompt, seed, path, args)
            stages = load_recipe(args.recipe).stages if args.recipe else []
            own = own_scene(path / stages[-1].name if stages else path)
            cameras = turntable(8, 96)
            look = own.photograph if own else partial(photograph, splats)
            views = look(cameras, 0.8)
            strips.append(np.concatenate(list(views), 1))
            row = {
                "seed": seed,
                "seconds": sum(summary["seconds"].values()),
                "optimise": summary["seconds"]["optimise"],
                "gaussians": len(splats),
            }
            rows.append(assessor(splats, prompt, pictures=views) | row)
            print(
                f"{prompt:28} seed {seed} "
                + " ".join(f"{k} {rows[-1][k]:.2f}" for k in MEANS if rows[-1].get(k) is not None)
                + f" {row['seconds']:.0f} s",
                flush=True,
            )
    report = reported(rows, assessor.judged_by, args)
    print(json.dumps({k: v for k, v in report.items() if k != "rows"}, indent=2))
    if args.results:
        write(report, strips, args.results)


def reported(rows: list[dict], judged_by: str, args: argparse.Namespace) -> dict:
    """What the rows say together."""
    shapes = [r["shape"] for r in rows if "shape" in r]
    sided = [r["janus"] for r in rows if "janus" in r]
    parted = [r["one_sided"] for r in rows if r.get("one_sided") is not None]
    low, high = _wilson(sum(sided), len(sided))
    return {
        "runs": len(rows),
        "judged by": judged_by,
        "preset": args.preset,
        "overrides": args.overrides,
        "shape right in at least 7 of 8 views": float(np.mean([s >= 7 / 8 for s in shapes])),
        **{
            name: float(np.mean([r[k] for r in rows if r.get(k) is not None]))
            for k, name in MEANS.items()
            if any(r.get(k) is not None for r in rows)
        },
        "Janus rate (nouns with a front)": float(np.mean(sided)) if sided else None,
        "its 95 % interval (Wilson)": [round(low, 3), round(high, 3)],
        "parts of one side there, and on no other (nouns that have some)": float(np.mean(parted))
        if parted
        else None,
        "how many have some": len(parted),
        "median seconds": float(np.median([r["seconds"] for r in rows])),
        "rows": rows,
    }


def write(report: dict, strips: list[np.ndarray], results: Path) -> None:
    """The report as <results>.json, .png (a strip [H,W,3] a row) and .md."""
    results.parent.mkdir(parents=True, exist_ok=True)
    results.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    labels = [
        f"{r['prompt']}, seed {r['seed']}"
        + (f": shape {r['shape']:.0%}" if "shape" in r else "")
        + (f", sides {r['sides']:.0%}" if "sides" in r else "")
        for r in report["rows"]
    ]
    write_png(results.with_suffix(".png"), contact_sheet(np.stack(strips), 2, labels))
    results.with_suffix(".md").write_text(_markdown(report, results.stem))


def _wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    if n == 0:
        return 0.0, 1.0
    p, d = hits / n, 1 + z * z / n
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return float((p + z * z / (2 * n)) / d - half), float((p + z * z / (2 * n)) / d + half)


def _markdown(report: dict, picture: str) -> str:
    lines = ["# Quality of generated assets", ""]
    lines += [f"- {k}: {v}" for k, v in report.items() if k != "rows"]
    lines += ["", f"![eight views of each]({picture}.png)", ""]
    keys = ("shape", "colour", "material", "sides", "janus", "one_sided", "r_precision", "iou",
            "chamfer")  # fmt: skip
    lines += [f"| prompt | seed | {' | '.join(keys)} | taken for | seconds |"]
    lines += ["|---" * (len(keys) + 4) + "|"]
    for r in report["rows"]:
        cells = [r.get(k) for k in keys]
        shown = ["" if c is None else str(c) if isinstance(c, bool) else f"{c:.2f}" for c in cells]
        taken = sorted({s for s in r.get("said_shapes", []) if s not in r["prompt"].split()})
        lines.append(
            f"| {r['prompt']} | {r['seed']} | {' | '.join(shown)} | {', '.join(taken)} "
            f"| {r['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("prompts", nargs="*")
    parser.add_argument("--sampled", type=int, default=0, help="so many, over the vocabulary")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--loss", default="sds")
    parser.add_argument("--recipe", help="in stages: a name that ships or a .toml file")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(".cache/quality"))
    parser.add_argument("--reuse", action="store_true", help="keep finished runs of --out")
    parser.add_argument("--results", type=Path, help="path without a suffix")
    main(parser.parse_args())

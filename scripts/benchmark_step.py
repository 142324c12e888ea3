"""Where the time of a step goes: `python scripts/benchmark_step.py --threads 2`.

Medians over the measured steps of one run with the embedded teacher. "overhead" is everything
but the teacher's forward passes.
"""

import argparse
import json
import statistics

import torch

from score3d import build
from score3d.config import load_config
from score3d.loop import optimise
from score3d.prompts import PromptBook

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--prompt", default="a red mushroom")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--skip", type=int, default=20, help="first steps, not measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    overrides = [*args.overrides, f"run.steps={args.steps}"]
    config = load_config(args.preset, "sds", overrides)
    device = build.build_device(config.run.device)
    teacher = build.build_teacher(config, device)
    scene = build.build_scene(config, device)
    prompts = PromptBook(teacher, args.prompt)
    rows = [
        info.seconds
        for info in optimise(
            scene, teacher, prompts, build.build_rule(config), build.build_spec(config, teacher)
        )
    ][args.skip :]
    medians = {name: 1000 * statistics.median(r[name] for r in rows) for name in rows[0]}
    total = sum(medians.values())
    share = 1 - medians["teacher"] / total
    if args.json:
        report = {"ms": medians, "total_ms": total, "overhead": share, "threads": args.threads}
        print(json.dumps(report, indent=2))
    else:
        for name, value in medians.items():
            print(f"{name:10} {value:8.1f} ms {value / total:6.1%}")
        print(
            f"{'total':10} {total:8.1f} ms; overhead {share:.1%}; {len(scene)} Gaussians at the end"
        )

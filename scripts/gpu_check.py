"""Everything that needs a CUDA device, in one command: `python scripts/gpu_check.py`.

Runs the tests marked `gpu`, generates for 50 steps on the device, and prints a table of where the
time of a step went, on the CPU and on the device. With --teacher also for a checkpoint, by alias,
folder or hub id, with its peak memory beside the estimate. Exits with 1 if there is no device or
anything failed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

SKIP = 5  # first steps, which compile and warm up


def generate(config, folder: Path) -> list[dict[str, float]]:
    """Seconds per phase of each step."""
    from score3d.generate import generate as run
    from score3d.loop import StepInfo
    from score3d.runs.folder import RunFolder

    with RunFolder.create(folder, overwrite=True) as held:
        return [e.seconds for e in run(config, held) if isinstance(e, StepInfo)]


def row(name: str, steps: list[dict[str, float]]) -> str:
    """One line of the table: medians in milliseconds. CUDA runs behind: a phase may include the
    wait for the one before, their sum does not lie."""
    medians = {k: 1000 * statistics.median(s[k] for s in steps[SKIP:]) for k in steps[0]}
    cells = "".join(f"{v:>10.1f}" for v in medians.values())
    return f"{name:26}{cells}{sum(medians.values()):>10.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--teacher", help="also generate with this checkpoint")
    parser.add_argument("--prompt", default="a corgi in a top hat", help="for --teacher")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: torch.cuda.is_available() is False")
    total = torch.cuda.get_device_properties(0).total_memory / 1024**3
    print(f"{torch.cuda.get_device_name()}, {total:.0f} GiB, torch {torch.__version__}", flush=True)
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs", "tests"]
    failed = [] if subprocess.run(tests).returncode == 0 else ["the tests marked gpu"]

    from score3d.build import find_checkpoint
    from score3d.config import load_config

    rows, phases = [], []
    cases = [("embedded, cpu", "cpu", None), ("embedded, cuda", "cuda", None)]
    if args.teacher:
        cases.append((f"{args.teacher}, cuda", "cuda", args.teacher))
    for name, device, teacher in cases:
        prompt = args.prompt if teacher else "a red mushroom"
        options = {"run": {"prompt": prompt, "device": device, "steps": args.steps}}
        if teacher:
            options["teacher"] = {"name": teacher}
        config = load_config("standard", "sds", None, options)
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        try:
            steps = generate(
                config, args.out / f"gpu-check-{name.replace(', ', '-').replace('/', '-')}"
            )
        except Exception as error:  # the table should show the others
            failed.append(f"generate, {name}: {error}")
            continue
        phases = list(steps[0])
        rows.append(row(name, steps) + f"{time.perf_counter() - start:>10.0f}")
        if device == "cuda":
            peak = torch.cuda.max_memory_allocated() / 1024**3
            found = find_checkpoint(config, torch.device("cuda"))
            told = (
                f"; {found.estimate(config.views.count).line(torch.device('cuda'))}"
                if found
                else ""
            )
            rows.append(f"{'':26}peak {peak:.2f} GiB{told}")
    heads = "".join(f"{p:>10}" for p in [*phases, "step ms", "run s"])
    print("\n".join([f"{'median over steps':26}{heads}", *rows]))
    for line in failed:
        print("FAILED:", line)
    print(json.dumps({"failed": failed}))
    sys.exit(1 if failed else 0)

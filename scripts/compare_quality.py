"""Two results of `benchmark_quality.py` held against each other, run by run.

    python scripts/compare_quality.py one-stage.json gsgen.json --results docs/results/gsgen

Only prompts and seeds that both have. 95 % intervals by bootstrap over prompts: two seeds of one
are not independent.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from losses_tables import paired

# figure -> whether more is better; None: neither
FIGURES = {
    "right": True, "shape": True, "colour": True, "sides": True, "janus": False, "iou": True,
    "chamfer": False, "holes": False, "gaussians": None, "saturation": None, "r_precision": True,
    "optimise": None, "seconds": None,
}  # fmt: skip


def rows_of(path: Path) -> dict[tuple[str, int], dict]:
    rows = json.loads(path.read_text())["rows"]
    return {(r["prompt"], r["seed"]): r | {"right": r.get("shape", 0) >= 7 / 8} for r in rows}


def compare(first: dict, second: dict) -> list[dict]:
    """Per figure: means of both, their difference (second - first) with its interval, and which is
    better: "first", "second", or "" where the interval holds zero or neither is."""
    out = []
    for name, more in FIGURES.items():
        of_prompt: dict[str, list[tuple[float, float]]] = {}
        for key in first:
            pair = (first[key].get(name), second.get(key, {}).get(name))
            if None not in pair:
                of_prompt.setdefault(key[0], []).append(pair)
        if len(of_prompt) < 2:
            continue
        means = np.array([np.mean(np.array(v, float), 0) for v in of_prompt.values()])
        found = paired(means, ("first", "second"))
        runs = sum(map(len, of_prompt.values()))
        low, high = found["difference"]["interval"]
        better = ""
        if more is not None and (low > 0 or high < 0):
            better = "second" if (low > 0) == more else "first"
        out.append({"figure": name, "runs": runs, "first": found["first"]["mean"],
                    "second": found["second"]["mean"], "difference": found["difference"]["mean"],
                    "interval": [low, high], "better": better})  # fmt: skip
    return out


def page(rows: list[dict], names: tuple[str, str], about: list[str]) -> str:
    first, second = names
    lines = [f"# {second} against {first}", "", *[f"- {a}" for a in about], "",
             f"| figure | runs | {first} | {second} | difference | 95 % | better |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    called = {"first": first, "second": second, "": ""}
    for r in rows:
        low, high = r["interval"]
        lines.append(
            f"| {r['figure']} | {r['runs']} | {r['first']:.3f} | {r['second']:.3f} "
            f"| {r['difference']:+.3f} | [{low:.3f}, {high:.3f}] | {called[r['better']]} |"
        )
    return "\n".join(lines) + "\n"


def main(args: argparse.Namespace) -> None:
    rows = compare(rows_of(args.first), rows_of(args.second))
    judge = json.loads(args.first.read_text())["judged by"]
    about = [
        f"`scripts/compare_quality.py {args.first} {args.second}`",
        f"by the {judge}",
        *args.note,
    ]
    text = page(rows, (args.first.stem, args.second.stem), about)
    print(text)
    if args.results:
        args.results.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--note", action="append", default=[])
    parser.add_argument("--results", type=Path, help="path without a suffix")
    main(parser.parse_args())

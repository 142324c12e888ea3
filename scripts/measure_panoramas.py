"""Whether an edited panorama shows where its windows, or its ends, meet.

    python scripts/measure_panoramas.py --seeds 4 --results docs/results/panoramas

Panoramas are 8 renders of a noun side by side, closed to a ring and turned by a random amount. Red
is made yellow at 64 x 512 and 128 x 1024 and, for comparison, at 64 x 512 in eight fixed windows
that know nothing of each other. Windows begin at random columns of what the teacher sees (64 pixels
high), so there the change is measured: seams is the mean step between neighbouring columns of
the change where windows began or ended, each column as often as that happened, over the mean of all
columns; 1 if borders are like any other place. ends: the step where the ring closes over the mean
of the 32 around it. Means over panoramas with 95 % bootstrap intervals; ends as a ratio of
means, since the background, which need not change, may be at the end.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from held_out import ring

from score3d.config import edit_preset, load_config
from score3d.draw import draw_at
from score3d.edit.picture import canvas_task
from score3d.edit.session import open_session, planned
from score3d.files.pictures import contact_sheet, write_png
from score3d.loop import optimise

NOUNS = ("mushroom", "chair", "mug", "car")
AROUND = 16  # columns on either side of the ends
KINDS = ("64 x 512", "128 x 1024", "fixed windows")


def edited(picture, kind, layout, noun, seed, steps):
    """The change [h,w,3] as coarse as the teacher sees, the columns at which each window begins,
    and the result at full size."""
    words = {"task": kind, "input": "-", "source": f"a red {noun}"}
    words["instruction"] = "make it yellow"
    given = [f"run.steps={steps}", f"run.seed={seed}"]
    config = planned(load_config(edit_preset(kind), "csd-contrast", given, {"edit": words}))
    session = open_session(config, angles=False)
    task, scene = canvas_task(config, session, picture[None], layout)
    began = []
    for step, _ in enumerate(
        optimise(scene, task.teacher, task.prompts, task.rule, task.spec, source=task.source)
    ):
        began += [scene.offset(a) for a in draw_at(task.spec, step).views.azimuth.tolist()]
    with torch.no_grad():
        views = scene.cover()
        before = scene.seen
        after = scene.laid_back(views, scene.render(views, before).rgb)
    change = (after - before)[0].permute(1, 2, 0).numpy()
    return change, began, scene.pictures()[0]


def figures(change, began, side):
    """seams of the change, the step at the end, and the mean of those around."""
    width = change.shape[1]
    steps = np.abs(change - np.roll(change, 1, axis=1)).mean((0, 2))
    times = np.bincount(np.concatenate([began, np.add(began, side) % width]), minlength=width)
    near = np.r_[steps[1 : AROUND + 1], steps[-AROUND:]]
    return {
        "seams": float((times * steps).sum() / times.sum() / steps.mean()),
        "end": float(steps[0]),
        "around": float(near.mean()),
    }


def one(kind, noun, seed, steps):
    side = 128 if kind.startswith("128") else 64
    source = ring(noun, seed, side)
    rng = np.random.default_rng([17, seed, *noun.encode()])
    turn = int(rng.integers(8 * 64)) * side // 64
    source = np.roll(source, turn, 1)
    if kind != "fixed windows":
        change, began, result = edited(source, "panorama", "ring", noun, seed, steps)
        return figures(change, began, 64), source, result
    # a picture's four views all look at it: as many looks per pixel as in the ring
    parts = [
        edited(part, "image", "frames", noun, seed, max(1, steps // 4))
        for part in np.split(source, 8, 1)
    ]
    change, result = (np.concatenate([p[k] for p in parts], 1) for k in (0, 2))
    return figures(change, 64 * np.arange(8), 64), source, result


def interval(values, of):
    """`of` rows of values [N,K], and its 95 % bootstrap interval over rows."""
    values, rng = np.array(values), np.random.default_rng(0)
    boots = [of(values[rng.integers(len(values), size=len(values))]) for _ in range(5000)]
    return of(values), *np.percentile(boots, [2.5, 97.5])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nouns", nargs="+", default=list(NOUNS))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--results", type=Path, help="path without a suffix")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, strips, labels = [], [], []
    for seed in range(arguments.seeds):
        for noun in arguments.nouns:
            for kind in arguments.kinds:
                found, source, result = one(kind, noun, seed, arguments.steps)
                rows.append({"kind": kind, "noun": noun, "seed": seed} | found)
                print(rows[-1], flush=True)
                if seed == 0 and not kind.startswith("128"):
                    if kind == arguments.kinds[0]:
                        strips.append(source)
                        labels.append(f"{noun}: before")
                    strips.append(result)
                    labels.append(kind)
    lines = ["# Seams of edited panoramas", "", *__doc__.splitlines()[4:], ""]
    lines += ["| | panoramas | seams | 95 % | ends | 95 % |", "|---|---|---|---|---|---|"]
    for kind in arguments.kinds:
        mine = [r for r in rows if r["kind"] == kind]
        seams = interval([[r["seams"]] for r in mine], lambda v: v[:, 0].mean())
        ends = interval([[r["end"], r["around"]] for r in mine], lambda v: np.divide(*v.sum(0)))
        cells = [f"{v[0]:.3f} | {v[1]:.3f} to {v[2]:.3f}" for v in (seams, ends)]
        lines.append(f"| {kind} | {len(mine)} | {' | '.join(cells)} |")
    print("\n".join(lines))
    if arguments.results:
        out = arguments.results
        write_png(out.with_suffix(".png"), contact_sheet(np.stack(strips), 3, labels))
        lines += ["", f"![before, ring, fixed windows]({out.stem}.png)"]
        out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Whether an edited panorama shows where its windows, or its ends, meet.

    python scripts/measure_panoramas.py --seeds 2

Panoramas are 8 renders of a noun side by side, closed to a ring and turned by half a render, so
that objects lie across the borders and across the ends. Red is made yellow by CSD-Edit at 64 x 512
and 128 x 1024, and for comparison at 64 x 512 in eight fixed windows that know nothing of each
other. `seam_energy` of the change: mean step between columns at the 8 borders over that elsewhere.
"others": the mean and range of the same for combs of 8 borders at other places. ends: the step
where the ring closes over the mean step in the same columns' surroundings (32 columns).
"""

import argparse

import numpy as np
import torch
from held_out import ring

from score3d.config import edit_preset, load_config
from score3d.edit.picture import canvas_task
from score3d.edit.session import open_session, planned
from score3d.evaluate.seams import seam_energy
from score3d.loop import optimise

AROUND = 16  # columns on either side of the ends, at 64 pixels of height


def edited(picture, task_name, layout, noun, seed, steps):
    words = {"task": task_name, "input": "-", "source": f"a red {noun}"}
    words["instruction"] = "make it yellow"
    given = [f"run.steps={steps}", f"run.seed={seed}"]
    config = planned(load_config(edit_preset(task_name), "csd-edit", given, {"edit": words}))
    session = open_session(config, angles=False)
    task, scene = canvas_task(config, session, picture[None], layout)
    for _ in optimise(scene, task.teacher, task.prompts, task.rule, task.spec, source=task.source):
        pass
    return scene.pictures()[0]


def figures(source, result):
    height, width = source.shape[:2]
    change, borders = result - source, np.arange(0, width, height)
    at = seam_energy(change, borders)
    others = [seam_energy(change, (borders + s) % width) for s in range(1, height)]
    steps = np.abs(change - np.roll(change, 1, axis=1)).mean((0, 2))
    around = AROUND * height // 64
    near = np.r_[steps[1 : around + 1], steps[-around:]]
    return {
        "seams": at,
        "others": float(np.mean(others)),
        "least": float(np.min(others)),
        "most": float(np.max(others)),
        "ends": float(steps[0] / near.mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noun", default="mushroom")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--heights", type=int, nargs="+", default=[64, 128])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| panorama | seed | seams | others | least | most | ends |\n" + "|---" * 7 + "|")
    for seed in range(arguments.seeds):
        for height in (*arguments.heights, 0):
            side = height or 64
            source = np.roll(ring(arguments.noun, seed, side), side // 2, 1)
            if height:
                name = f"{side} x {8 * side}"
                result = edited(source, "panorama", "ring", arguments.noun, seed, arguments.steps)
            else:
                name = "fixed windows"
                # a picture's four views all look at it: as many looks per pixel as in the ring
                looks = max(1, arguments.steps // 4)
                parts = np.split(source, 8, 1)
                result = np.concatenate(
                    [edited(p, "image", "frames", arguments.noun, seed, looks) for p in parts], 1
                )
            found = figures(source, result)
            cells = " | ".join(f"{v:.3f}" for v in found.values())
            print(f"| {name} | {seed} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

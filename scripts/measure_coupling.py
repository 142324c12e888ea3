"""CSD-Edit's coupling against independent edits: same draws, same w(t), same budget.

    python scripts/measure_coupling.py --what panorama --seeds 3 --steps 60

panorama: a ring of 8 renders of one noun in red, side by side (64 x 512), made blue. scene: one
such object as discs, made blue. The arms differ in `distill.couple` alone, "svgd" or "none". The
spread is the standard deviation over 8 windows (views) of the object's mean colour, averaged over
channels, where the original is not background; seams as in `evaluate/seams.py`, of the change
and of the result. The judge's share is over the same 8 pictures.
"""

import argparse

import numpy as np
import torch

from score3d import build
from score3d.cameras import orbit, turntable
from score3d.config import edit_preset, load_config
from score3d.distill.couple.independent import independent
from score3d.edit.original import Original
from score3d.edit.picture import canvas_task
from score3d.edit.session import judged, open_session, planned
from score3d.evaluate.seams import seam_energy
from score3d.files.surfels import surfels
from score3d.follow import Task
from score3d.loop import optimise
from score3d.scenes.photograph import photograph
from score3d.world.raster import render_shape
from score3d.world.shapes import build as build_shape

NOUNS = ("cube", "mushroom", "chair")
LIGHT = (0.5, 0.3, 0.2, np.array([0.0, 1.0, 0.0]))


def ring(noun, seed):
    """[64,512,3]: eight instances of a noun in red on gray."""
    rows = []
    for k in range(8):
        shape = build_shape(noun, "red", np.random.default_rng([11, seed, k]))
        camera = orbit(torch.tensor([45.0 * k]), torch.tensor([15.0]), 2.0, 40.0, 64, 64)
        rows.append(render_shape(shape, camera, np.full((1, 3), 0.8), LIGHT)[0][0])
    return np.concatenate(rows, 1).astype(np.float32)


def solid(noun, seed, count=3000):
    rng = np.random.default_rng([12, seed])
    shape = build_shape(noun, "red", rng)
    corners = shape.vertices[shape.faces]
    edges = corners[:, 1:] - corners[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    areas = np.linalg.norm(normals, axis=1) / 2
    face = rng.choice(len(areas), count, p=areas / areas.sum())
    u = rng.random((count, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    points = corners[face, 0] + (u[:, :, None] * edges[face]).sum(1)
    spacing = float(np.sqrt(areas.sum() / len(points)))
    return surfels(points, normals[face], shape.face_colours[face], spacing)


def settings(what, noun, seed, steps):
    words = {"task": what, "input": "-", "source": f"a red {noun}", "instruction": "make it blue"}
    overrides = [f"run.steps={steps}", f"run.seed={seed}"]
    return planned(load_config(edit_preset(what), "csd-edit", overrides, {"edit": words}))


def spread(before, after):
    """Of mean colours [8,3] of what is not background in pictures [8,H,W,3]."""
    means = [a[np.abs(b - 0.8).max(-1) > 0.1].mean(0) for b, a in zip(before, after, strict=True)]
    return float(np.std(means, axis=0).mean())


def run(what, noun, seed, steps, coupled):
    config = settings(what, noun, seed, steps)
    session = open_session(config, angles=what == "scene")
    rule = session.rule
    if not coupled:
        from dataclasses import replace

        rule = replace(rule, couple=independent)
    if what == "panorama":
        source = ring(noun, seed)
        task, scene = canvas_task(config, session, source[None], "ring")
        look = lambda: np.split(scene.pictures()[0], 8, 1)  # noqa: E731
    else:
        splats = solid(noun, seed)
        scene, still = (build.build_edited_scene(config, splats, session.device) for _ in range(2))
        spec = build.build_spec(config, session.teacher)
        original = Original(still, session.source)
        task = Task(scene, session.teacher, session.prompts, rule, spec, original)
        look = lambda: photograph(scene.splats(), turntable(8, 64), 0.8)  # noqa: E731
    before = np.stack(look())
    for _ in optimise(scene, task.teacher, task.prompts, rule, task.spec, source=task.source):
        pass
    after = np.stack(look())
    found = judged(config, session.teacher, before, after)
    row = {"spread": spread(before, after), "blue": found["shares"]["colour"]["after"]}
    if what == "panorama":
        result, borders = scene.pictures()[0], range(0, 512, 64)
        row["seams of the change"] = seam_energy(result - source, borders)
        row["seams"] = seam_energy(result, borders)
    return row, found["judged_by"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=["panorama", "scene"], default="panorama")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    differences, judge = {}, ""
    for noun in NOUNS:
        for seed in range(arguments.seeds):
            arms = []
            for coupled in (True, False):
                row, judge = run(arguments.what, noun, seed, arguments.steps, coupled)
                arms.append(row)
            print(noun, seed, *({k: round(v, 4) for k, v in a.items()} for a in arms), flush=True)
            for key in arms[0]:
                differences.setdefault(key, []).append([a[key] for a in arms])
    print(f"judged by the {judge}; csd, independent, difference [95 % bootstrap interval]")
    for key, values in differences.items():
        pairs = np.array(values)
        gaps = pairs[:, 0] - pairs[:, 1]
        rng = np.random.default_rng(0)
        boots = gaps[rng.integers(len(gaps), size=(4000, len(gaps)))].mean(1)
        low, high = np.percentile(boots, [2.5, 97.5])
        print(f"{key}: {pairs[:, 0].mean():.4f}, {pairs[:, 1].mean():.4f}, "
              f"{gaps.mean():+.4f} [{low:+.4f}, {high:+.4f}]")  # fmt: skip


if __name__ == "__main__":
    main()

"""Twelve scenes of held-out real models to edit, and twenty edits of them.

For benchmark_edits.py. By rule, not by outcome: of each noun that teacher and judge know, the first
held-out model in the order of real_models.json; and of chair and sofa the second one, as PLY files
that other programs wrote (gsply; splat-transform from a .splat file, whose numbers are bytes).
Gaussians begin as discs on the surface and are fitted to 24 pictures (measure_fit.py). Teachers and
judges that ship were trained on procedural shapes alone.

A real model is called by its noun, and by its colour if one covers it (index.json). Parts are
boxes: a share of the height, from below or from above.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from measure_fit import fit

from score3d.files.formats import write_splats
from score3d.files.ply import write_ply
from score3d.files.splats import half_turn
from score3d.files.surfels import sample_mesh
from score3d.scenes.adaptation import Adaptation
from score3d.scenes.gaussians import GaussianOptions, GaussianScene
from score3d.teachers.embedded import load_world
from score3d.world.instances import RealModels, coloured_mesh

__all__ = ["REAL_EDITS", "part_box", "real_scene"]

REAL_EDITS = (
    ("recolour", "bed", "make it blue"),
    ("recolour", "bench", "make it orange"),
    ("recolour", "car", "make it green"),
    ("recolour", "chair", "make it red"),
    ("recolour", "mug", "make it yellow"),
    ("recolour", "sofa", "make it red"),
    ("recolour", "vase", "make it purple"),
    ("recolour", "chair-gsply", "make it blue"),
    ("material", "bottle", "make it striped"),
    ("material", "table", "make it checkered"),
    ("material", "lamp", "make it spotted"),
    ("material", "sofa-transform", "make it metallic"),
    ("part", "chair", "give it red legs"),
    ("part", "table", "give it blue legs"),
    ("part", "lamp", "give it red base"),
    ("part", "bottle", "give it blue cap"),
    ("swap", "bench", "turn it into a table"),
    ("swap", "mug", "turn it into a vase"),
    ("swap", "bed", "turn it into a sofa"),
    ("swap", "car", "turn it into a bus"),
)
PARTS = {"chair": (0, 0.4), "table": (0, 0.8), "lamp": (0, 0.3), "bottle": (0.8, 1)}
COUNT, STEPS = 4000, 100
TRANSFORM = Path(sys.prefix) / "node/node_modules/@playcanvas/splat-transform/bin/cli.mjs"


def _row(models, name):
    noun = name.split("-")[0]
    if noun not in load_world().nouns:
        raise ValueError(f"the teacher does not know {noun}")
    return models.of_noun[noun]["-" in name]


def _write(path, splats, name):
    """As this project, gsply or splat-transform writes it."""
    if name.endswith("-gsply"):
        import gsply

        f = half_turn(splats)
        gsply.plywrite(
            path, f.means, f.log_scales, f.quats, f.logit_opacities, f.sh[:, 0], f.sh[:, 1:]
        )
    elif name.endswith("-transform"):
        write_splats(path.with_suffix(".splat"), splats)
        node = shutil.which("node", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        command = [node, TRANSFORM, "-q", "-w", "-g", "cpu", path.with_suffix(".splat"), path]
        subprocess.run(command, check=True, timeout=300)
    else:
        write_ply(path, splats)


def real_scene(models: RealModels, name: str, folder: Path) -> tuple[Path, str, str | None, str]:
    """The scene's file, its words, its colour if it has one, and the model's id."""
    row = _row(models, name)
    noun, colour = row["noun"], row["colour"] or None
    words = f"a {colour} {noun}" if colour else f"a {noun}"
    words = words.replace("a o", "an o")
    path = folder / f"{name}.ply"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shape = models.shape(row)
        start = sample_mesh(coloured_mesh(shape), COUNT)
        options = GaussianOptions(lr_means=0.002, lr_means_end=0.0005).around(start)
        scene = GaussianScene(options, Adaptation(), STEPS, splats=start)
        fit(shape, scene, STEPS)
        _write(path, scene.splats(), name)
        path.with_suffix(".json").write_text(json.dumps(row))
    return path, words, colour, row["id"]


def part_box(splats, noun) -> str:
    """A region of the noun's part, as `--region` takes it."""
    low, high = splats.means.min(0).astype(float), splats.means.max(0).astype(float)
    first, last = PARTS[noun]
    height = high[1] - low[1]
    box = np.array([low - 1, high + 1])
    if first > 0:
        box[0, 1] = low[1] + first * height
    if last < 1:
        box[1, 1] = low[1] + last * height
    return "box:" + ",".join(f"{v:.4f}" for v in box.flatten())

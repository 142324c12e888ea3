"""What the judges say of true objects, in the views that `benchmark_quality.py` shows them, and
what the measures of geometry do: no generated asset can be expected to do better.

    python scripts/measure_judges.py --real .cache/real-models

An instance of each noun with a family, from a stream of random numbers that training never used,
in the light of training pictures on average; of each noun of real models, one that training used.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from held_out import LIGHT, STREAM

from score3d.cameras import turntable
from score3d.evaluate.geometry import POINTS, nearest_instance, normalised
from score3d.evaluate.judge import Judge
from score3d.evaluate.verdict import score_views
from score3d.resources import resource
from score3d.teachers.embedded import load_world
from score3d.world.clouds import instance_clouds
from score3d.world.families import FAMILIES
from score3d.world.instances import RealModels
from score3d.world.palette import sample_colour
from score3d.world.raster import render_shape
from score3d.world.shapes import BOUNDING_RADIUS, Shape, build


def real_instance(
    models: RealModels, noun: str, colour: str, rng: np.random.Generator
) -> tuple[Shape, str | None]:
    """A model in its pose, and its colour: the one wanted where it takes one."""
    rows = models.of_noun[noun]
    row = rows[rng.integers(len(rows))]
    shape = models.model(row).shape
    turn = row.get("turn", 0.0)
    if not row["main"] or row.get("natural"):
        return shape(BOUNDING_RADIUS, turn), row["colour"]
    paint = row["main"], sample_colour(colour, rng), row["reference"]
    return shape(BOUNDING_RADIUS, turn, np.ones(3), paint), colour


def main(args: argparse.Namespace) -> None:
    world, cameras = load_world(), turntable(8, 96)
    judges = {"first judge": Judge(), "second judge": Judge(resource("assets", "second-judge"))}
    models = RealModels(args.real, nouns=world.nouns) if args.real else None
    rows: dict[str, list[dict]] = {f"{k}, {j}": [] for k in ("families", "real") for j in judges}
    parts: dict[str, list[tuple[float, bool | None]]] = {"as they are": [], "turned": []}
    for k, noun in enumerate(world.nouns):
        for cloud in instance_clouds(noun, args.seeds, POINTS, STREAM) if noun in FAMILIES else ():
            turned = cloud * np.array([-1, 1, -1], np.float32)
            for name, those in zip(parts, (cloud, turned), strict=True):
                parts[name].append(nearest_instance(normalised(those), noun))
        for seed in range(args.seeds):
            rng = np.random.default_rng([STREAM, k, seed])
            colour = world.colours[rng.integers(len(world.colours))]
            found: dict[str, tuple[Shape, str | None]] = {}
            if noun in FAMILIES:
                found["families"] = build(noun, colour, rng, BOUNDING_RADIUS), colour
            if models and noun in models.of_noun:
                found["real"] = real_instance(models, noun, colour, rng)
            for kind, (shape, shown) in found.items():
                pictures = render_shape(shape, cameras, np.full((8, 3), 0.8), LIGHT)[0]
                sided = cameras.azimuth.double().numpy() if noun not in world.symmetric else None
                for name, judge in judges.items():
                    scores = score_views(
                        pictures.astype(np.float32), noun, shown, judge, azimuths=sided
                    )
                    rows[f"{kind}, {name}"].append({"noun": noun} | scores)
    for name, those in rows.items():
        if those:
            print(name, json.dumps(summary(those)))
    for name, measured in parts.items():
        told = [p for _, p in measured if p is not None]
        print(f"families, {name}: Chamfer {np.mean([d for d, _ in measured]):.3f}, parts of one "
              f"side there and on no other: {sum(told)} of {len(told)}")  # fmt: skip


def summary(rows: list[dict]) -> dict:
    right = [r["shape"] >= 7 / 8 for r in rows]
    sided = [r for r in rows if "janus" in r]
    return {
        "objects": len(rows),
        "shape right in at least 7 of 8 views": round(float(np.mean(right)), 3),
        "shape": round(float(np.mean([r["shape"] for r in rows])), 3),
        "colour": round(float(np.mean([r["colour"] for r in rows if "colour" in r])), 3),
        "Janus": round(float(np.mean([r["janus"] for r in sided])), 3),
        "wrong": sorted({r["noun"] for r, ok in zip(rows, right, strict=True) if not ok}),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, help="a folder of real models (fetch_real_models.py)")
    parser.add_argument("--seeds", type=int, default=2)
    main(parser.parse_args())

"""Rate and distortion of compact splats, SPZ and SOG on scenes given on the command line.

    python scripts/measure_compression.py OUT.json SCENE [SCENE ...]
    python scripts/measure_compression.py OUT.json --fitted

For each scene: bytes and PSNR (dB, eight views at 192 pixels that no fitting has seen, against the
scene's own pictures, on middle gray) of .spz and .sog, with the PSNR of a .s3z of at most that size
without refitting; and of .s3z at 1/RATIO of the float PLY for each of RATIOS, refitted and not.

--fitted takes scenes whose truth is known instead: Gaussians fitted to pictures of eight objects of
the teacher's world. "truth" then has the PSNR against 24 pictures of the object from other sides,
of the scene and of what each file holds. Three more objects follow that no constant of the method
was chosen on. With OUT.json, OUT.md (a table), OUT.svg (loss by ratio) and OUT.png (the object, the
scene, and what is left of it at 1/20 and 1/40) are written.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from score3d.cameras import Cameras, orbit
from score3d.compress import REFINE, Reference, compress
from score3d.files.formats import read_splats, write_splats
from score3d.files.pictures import write_png
from score3d.files.splats import Splats
from score3d.report.curves import line_chart
from score3d.scenes.adaptation import Mcmc
from score3d.scenes.gaussians import GaussianOptions, GaussianScene
from score3d.scenes.photograph import photograph
from score3d.world.raster import render_shape
from score3d.world.shapes import Shape, build

RATIOS = (15, 20, 25, 30, 40, 60)
PLAIN = (20, 40)  # of these, also without refitting
OBJECTS = (
    ("car", "red", "metallic"), ("chair", "blue", "wooden"),
    ("mug", "orange", "striped"), ("snowman", "white", "matte"),
    ("teapot", "cyan", "shiny"), ("dog", "brown", "spotted"),
    ("house", "pink", "matte"), ("robot", "yellow", "checkered"),
)  # fmt: skip
HELD_OUT = (
    ("boat", "green", "wooden"), ("bicycle", "purple", "shiny"), ("castle", "gray", "spotted"),
)  # fmt: skip
LIGHT = (0.55, 0.3, 0.15, np.array([0.3, 0.9, 0.3]))
GRAY = 0.5
SIDE = 128


def cameras(count: int, seed: int) -> Cameras:
    """Random ones around the object, more of them level than high."""
    rng = np.random.default_rng(seed)
    azimuth = torch.from_numpy(rng.uniform(0, 360, count)).float()
    elevation = torch.from_numpy(rng.triangular(-30, 15, 70, count)).float()
    return orbit(azimuth, elevation, 2.0, 40.0, SIDE, SIDE)


def pictures(shape: Shape, views: Cameras) -> np.ndarray:
    """[B,H,W,3] in [0,1], on gray."""
    return render_shape(shape, views, np.full((len(views), 3), GRAY), LIGHT)[0]


def fit(shape: Shape, steps: int = 800, views: int = 64, batch: int = 4) -> Splats:
    """4000 Gaussians with first-degree harmonics, by squared error."""
    seen = cameras(views, 1)
    truth = torch.from_numpy(pictures(shape, seen)).permute(0, 3, 1, 2)
    options = GaussianOptions(count=4000, sh_degree=1, min_scale=0.003)
    scene = GaussianScene(options, Mcmc(cap=4000), steps)
    rng = np.random.default_rng(0)
    for step in range(steps):
        chosen = rng.choice(views, batch, replace=False)
        view = scene.render(seen[torch.from_numpy(chosen)], torch.full((batch, 3), GRAY))
        (view.rgb - truth[chosen]).square().mean().backward()
        scene.step(step)
    return scene.splats()


def psnr(splats: Splats, views: Cameras, truth: np.ndarray) -> float:
    error = photograph(splats, views, GRAY) - truth
    return float(-10 * np.log10((error**2).mean()))


def measure(name: str, splats: Splats, shape: Shape | None = None) -> tuple[dict, np.ndarray]:
    """The figures of one scene, against the truth if there is one, and a row of pictures: the
    object (if known), the scene, and what is left of it at 1/20 and 1/40."""
    splats, _ = splats.finite()
    judge = Reference(splats)
    found: dict = {"scene": name, "gaussians": len(splats)}
    found["ply_bytes"] = len(splats) * 4 * (14 + splats.sh[0].size)
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".spz", ".sog"):
            file = Path(folder) / f"a{ending}"
            write_splats(file, splats)
            size = file.stat().st_size
            ours = compress(splats, size=size, refine_steps=0)
            found[ending] = [size, judge.psnr(read_splats(file)), ours.psnr, len(ours.data)]
    others = cameras(24, 2)
    truth = None if shape is None else pictures(shape, others)
    if truth is not None:
        found["truth"] = {"before": psnr(splats, others, truth)}
    shown = [] if truth is None else [truth[1]]
    shown.append(photograph(splats, others[1:2], GRAY)[0])
    for ratio in RATIOS:
        for steps in (REFINE, 0) if ratio in PLAIN else (REFINE,):
            best = compress(splats, size=found["ply_bytes"] // ratio, refine_steps=steps)
            key = f"{ratio}x" + ("" if steps else ", not refitted")
            found[key] = [len(best.data), best.psnr, len(best.splats)]
            if truth is not None:
                found["truth"][key] = psnr(best.splats, others, truth)
            if steps and ratio in PLAIN:
                shown.append(photograph(best.splats, others[1:2], GRAY)[0])
    return found, np.concatenate(shown, axis=1)


def at_loss(row: dict, loss: float) -> float:
    """By how much smaller than PLY a file may be that loses `loss` dB against the truth, linear
    between what was measured; 0 if none is so good."""
    known = [(row["ply_bytes"] / row[f"{r}x"][0], row["truth"]["before"] - row["truth"][f"{r}x"])
             for r in RATIOS]  # fmt: skip
    best = 0.0
    for (r0, l0), (r1, l1) in pairwise(known):
        if l0 <= loss:
            best = r0 if l1 <= loss or l1 == l0 else r0 + (r1 - r0) * (loss - l0) / (l1 - l0)
    return known[-1][0] if known[-1][1] <= loss else best


def table(rows: list[dict]) -> str:
    """The figures as Markdown."""
    fitted = "truth" in rows[0]
    keys = [k for r in RATIOS for k in (f"{r}x", f"{r}x, not refitted") if k in rows[0]]
    head = ["scene", *(["before"] if fitted else []), *keys]
    head += ["smaller at 0.5 dB"] if fitted else []
    head += ["SPZ, .s3z of its size", "SOG, .s3z of its size"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row["scene"]]
        before = row["truth"]["before"] if fitted else 0.0
        cells += [f"{before:.1f}"] if fitted else []
        for key in keys:
            loss = f", loss {before - row['truth'][key]:.2f}" if fitted else ""
            cells.append(f"{row[key][1]:.1f}{loss}")
        cells += [f"{at_loss(row, 0.5):.0f}x"] if fitted else []
        cells += [f"{row[e][0]} B: {row[e][1]:.1f}, {row[e][2]:.1f}" for e in (".spz", ".sog")]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def curve(rows: list[dict]) -> str:
    """Loss against the truth by ratio, as SVG."""

    def line(pick: Callable[[list[float]], float], some: list[dict]) -> list[tuple[float, float]]:
        return [(r, pick([q["truth"]["before"] - q["truth"][f"{r}x"] for q in some]))
                for r in RATIOS]  # fmt: skip

    eight, others = rows[: len(OBJECTS)], rows[len(OBJECTS) :]
    lines = {"worst of eight": line(max, eight), "mean": line(fmean, eight)}
    if others:
        lines["mean, held out"] = line(fmean, others)
    lines["0.5 dB"] = [(r, 0.5) for r in RATIOS]
    chart = line_chart("dB lost against the truth, by times smaller than float PLY", lines)
    return chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-size="11" ', 1)


def main() -> None:
    out, scenes = Path(sys.argv[1]), sys.argv[2:]
    rows, shown = [], []
    for scene in OBJECTS + HELD_OUT if scenes == ["--fitted"] else map(Path, scenes):
        if isinstance(scene, Path):
            file = scene / "scene.ply" if scene.is_dir() else scene
            row, strip = measure(file.parent.name, read_splats(file))
        else:
            noun, colour, material = scene
            rng = np.random.default_rng(7)
            shape = build(noun, colour, rng, material=material)
            row, strip = measure(f"{material} {colour} {noun}", fit(shape), shape)
        rows.append(row)
        shown.append(strip)
        out.write_text(json.dumps(rows, indent=1))
        out.with_suffix(".md").write_text(table(rows))
        if "truth" in row:
            out.with_suffix(".svg").write_text(curve(rows))
        write_png(out.with_suffix(".png"), np.concatenate(shown))
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()

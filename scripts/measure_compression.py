"""Rate and distortion of compact splats, SPZ and SOG on scenes given on the command line.

    python scripts/measure_compression.py OUT.json SCENE [SCENE ...]
    python scripts/measure_compression.py OUT.json --fitted

For each scene: bytes and PSNR (dB, eight views at 192 pixels against the scene's own pictures, on
middle gray) of .spz and .sog, with the PSNR of a .s3z of that size; of .s3z by quantisation alone
at several coarsenesses; and of `compress` (pruned and tuned) at each of the PSNRs in TARGETS.

--fitted takes scenes whose truth is known instead: Gaussians fitted to pictures of eight objects of
the teacher's world. `truth` then has the PSNR against pictures of the object from other sides,
before and after.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from score3d.cameras import Cameras, orbit
from score3d.compress import Reference, compress, steps_at
from score3d.files.compact import decode_compact, encode_compact
from score3d.files.formats import read_splats, write_splats
from score3d.files.splats import Splats
from score3d.scenes.adaptation import Mcmc
from score3d.scenes.gaussians import GaussianOptions, GaussianScene
from score3d.scenes.photograph import photograph
from score3d.world.raster import render_shape
from score3d.world.shapes import Shape, build

TARGETS = (38.0, 42.0, 46.0)
OBJECTS = (
    ("car", "red", "metallic"), ("chair", "blue", "wooden"),
    ("mug", "orange", "striped"), ("snowman", "white", "matte"),
    ("teapot", "cyan", "shiny"), ("dog", "brown", "spotted"),
    ("house", "pink", "matte"), ("robot", "yellow", "checkered"),
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


def measure(name: str, splats: Splats, shape: Shape | None = None) -> dict:
    """The figures of one scene, against the truth if there is one."""
    splats, _ = splats.finite()
    judge = Reference(splats)
    found: dict = {"scene": name, "gaussians": len(splats)}
    found["ply_bytes"] = len(splats) * 4 * (14 + splats.sh[0].size)
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".spz", ".sog"):
            file = Path(folder) / f"a{ending}"
            write_splats(file, splats)
            size = file.stat().st_size
            ours = compress(splats, size=size, shares=(1.0,), tuning=0)
            found[ending] = [size, judge.psnr(read_splats(file)), ours.psnr]
    found["s3z"] = []
    for logarithm in np.arange(-4, 3.1, 1):
        data = encode_compact(splats, steps_at(2.0**logarithm))
        found["s3z"].append([len(data), judge.psnr(decode_compact(data, "a"))])
    found["compress"] = {}
    if shape is not None:
        others = cameras(24, 2)
        truth = pictures(shape, others)
        found["truth"] = {"before": psnr(splats, others, truth)}
    for target in TARGETS:
        best = compress(splats, psnr=target)
        found["compress"][f"{target:g} dB"] = [len(best.data), best.psnr, len(best.splats)]
        if shape is not None:
            found["truth"][f"{target:g} dB"] = psnr(best.splats, others, truth)
    return found


def main() -> None:
    out, scenes = Path(sys.argv[1]), sys.argv[2:]
    rows = []
    for scene in OBJECTS if scenes == ["--fitted"] else map(Path, scenes):
        if isinstance(scene, Path):
            file = scene / "scene.ply" if scene.is_dir() else scene
            rows.append(measure(file.parent.name, read_splats(file)))
        else:
            noun, colour, material = scene
            rng = np.random.default_rng(7)
            shape = build(noun, colour, rng, material=material)
            rows.append(measure(f"{material} {colour} {noun}", fit(shape), shape))
        out.write_text(json.dumps(rows, indent=1))
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()

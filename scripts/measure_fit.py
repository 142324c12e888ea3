"""Scenes fitted to pictures: `measure_fit.py [--steps N] [--real FOLDER] [NOUN ...]`.

24 views of 64 pixels over the sphere of one shape of the world per noun, Adam on the squared error
of four views a step, on random backgrounds; then PSNR in dB of 16 views it has not seen, on gray.
A radiance field first, then flat Gaussians that begin on its surface. With --real the shapes are
held-out real models (`fetch_real_models.py`).
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from score3d.cameras import Cameras, sphere, turntable
from score3d.scenes.adaptation import Adaptation
from score3d.scenes.gaussians import GaussianOptions, GaussianScene
from score3d.scenes.nerf import NerfOptions, NerfScene
from score3d.scenes.photograph import photograph
from score3d.world.instances import RealModels
from score3d.world.raster import render_shape
from score3d.world.shapes import BOUNDING_RADIUS, Shape, build

LIGHT = (0.54, 0.27, 0.22, np.array([0.3, 0.8, 0.52]))
PROCEDURAL = ("mushroom", "chair", "duck", "car")
REAL = ("chair", "sofa", "car", "shoe", "vase", "lantern")
UNSEEN, GRAY = turntable(16, 64, elevation=22.0), 0.8


def shapes(nouns: list[str], real: Path | None) -> Iterator[tuple[str, Shape]]:
    """A name and a shape per noun: red and procedural, or the first held-out real model."""
    if real is None:
        for noun in nouns or PROCEDURAL:
            yield noun, build(noun, "red", np.random.default_rng(0), BOUNDING_RADIUS)
        return
    models = RealModels(real, "held-out")
    for noun in nouns or REAL:
        if noun not in models.of_noun:
            raise SystemExit(f"no held-out {noun}; there are: {', '.join(sorted(models.of_noun))}")
        row = models.of_noun[noun][0]
        yield row["id"], models.shape(row)


def fit(shape: Shape, scene: NerfScene | GaussianScene, steps: int, seed: int = 0) -> float:
    """Seconds of processor time of fitting `scene` to 24 pictures of a shape."""
    seen = sphere(24, 64)
    rgb, alpha, _ = render_shape(shape, seen, np.zeros((24, 3)), LIGHT)
    rgb = torch.from_numpy(rgb).permute(0, 3, 1, 2)  # on black, so premultiplied
    alpha = torch.from_numpy(alpha)[:, None]
    g = torch.Generator().manual_seed(seed)
    begun = time.process_time()
    for step in range(steps):
        rows = torch.randperm(24, generator=g)[:4]
        back = torch.rand(4, 3, generator=g)
        views = Cameras(
            seen.viewmats[rows], seen.Ks[rows], seen.azimuth[rows], seen.elevation[rows], 64, 64
        )
        wanted = rgb[rows] + (1 - alpha[rows]) * back[:, :, None, None]
        (scene.render(views, back).rgb - wanted).square().sum().backward()
        scene.step(step)
    return time.process_time() - begun


def fitted(shape: Shape, steps: int) -> tuple[NerfScene, GaussianScene, tuple[float, float]]:
    """A field and Gaussians fitted to a shape, and the seconds that each took."""
    field = NerfScene(NerfOptions())
    first = fit(shape, field, steps)
    start = field.splats()
    gaussians = GaussianScene(
        GaussianOptions(lr_means=0.002, lr_means_end=0.0005).around(start),
        Adaptation(),
        steps,
        splats=start,
    )
    return field, gaussians, (first, fit(shape, gaussians, steps))


def psnr(shape: Shape, pictures: np.ndarray) -> float:
    """Of pictures [16,64,64,3] of the unseen views, in dB."""
    truth, _, _ = render_shape(shape, UNSEEN, np.full((16, 3), GRAY), LIGHT)
    return float(-10 * np.log10(np.square(pictures - truth).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nouns", nargs="*")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--real", type=Path, help="a folder of real models")
    options = parser.parse_args()
    for name, shape in shapes(options.nouns, options.real):
        field, gaussians, seconds = fitted(shape, options.steps)
        a = psnr(shape, field.photograph(UNSEEN, GRAY))
        b = psnr(shape, photograph(gaussians.splats(), UNSEEN, GRAY))
        print(
            f"{name}: field {a:.2f} dB, {seconds[0]:.0f} s; {len(gaussians)} Gaussians"
            f" {b:.2f} dB, {seconds[1]:.0f} s of processor time",
            flush=True,
        )


if __name__ == "__main__":
    main()

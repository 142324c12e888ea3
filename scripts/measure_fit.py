"""Radiance fields fitted to pictures: `measure_fit.py [--steps N] [NOUN ...]`.

24 views of 64 pixels over the sphere of one shape of the world per noun, Adam on the squared error
of four views a step, on random backgrounds; then PSNR in dB of 16 views it has not seen, on gray.
"""

import argparse
import time

import numpy as np
import torch

from score3d.cameras import sphere, turntable
from score3d.scenes.nerf import NerfOptions, NerfScene
from score3d.world.raster import render_shape
from score3d.world.shapes import BOUNDING_RADIUS, build

LIGHT = (0.54, 0.27, 0.22, np.array([0.3, 0.8, 0.52]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nouns", nargs="*", default=["mushroom", "chair", "duck", "car"])
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    for noun in options.nouns:
        shape = build(noun, "red", np.random.default_rng(0), BOUNDING_RADIUS)
        seen, unseen = sphere(24, 64), turntable(16, 64, elevation=22.0)
        rgb, alpha, _ = render_shape(shape, seen, np.zeros((24, 3)), LIGHT)
        rgb = torch.from_numpy(rgb).permute(0, 3, 1, 2)  # on black, so premultiplied
        alpha = torch.from_numpy(alpha)[:, None]
        truth, _, _ = render_shape(shape, unseen, np.full((16, 3), 0.8), LIGHT)
        scene = NerfScene(NerfOptions())
        g = torch.Generator().manual_seed(0)
        begun = time.process_time()
        for step in range(options.steps):
            rows = torch.randperm(24, generator=g)[:4]
            back = torch.rand(4, 3, generator=g)
            views = type(seen)(
                seen.viewmats[rows], seen.Ks[rows], seen.azimuth[rows], seen.elevation[rows], 64, 64
            )
            shown = scene.render(views, back)
            wanted = rgb[rows] + (1 - alpha[rows]) * back[:, :, None, None]
            (shown.rgb - wanted).square().sum().backward()
            scene.step(step)
        seconds = time.process_time() - begun
        error = np.square(scene.photograph(unseen, 0.8) - truth).mean()
        print(
            f"{noun}: {-10 * np.log10(error):.2f} dB, {seconds:.0f} s of processor time", flush=True
        )


if __name__ == "__main__":
    main()

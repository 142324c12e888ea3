"""Lifting masks to Gaussians on scenes of two objects, against fitting labels by gradient descent.

    python scripts/measure_lifting.py --scenes 10

Scenes are pairs of the procedural world's simple shapes, as discs on their surfaces; masks are
what the second object makes up of a pixel, clean or with a tenth of the pixels flipped. Both ways
get the same views and masks. Prints intersection over union over the Gaussians that are seen,
and seconds.
"""

import argparse
import time

import numpy as np
import torch

from score3d.cameras import sphere
from score3d.edit.lifting import coverage, label_weights, vote
from score3d.files.surfels import surfels
from score3d.render import rasterization, warm_up
from score3d.world.clouds import sample_surface
from score3d.world.shapes import SIMPLE, build

SIDE, VIEWS, FIT_STEPS, FIT_LR = 96, 12, 300, 0.1


def scene(seed, count=3000):
    """Splats of two shapes side by side, touching or nearly, and the labels 0 and 1."""
    rng = np.random.default_rng([7, seed])
    parts = []
    for k, x in enumerate((-0.26, 0.26)):
        noun = SIMPLE[rng.integers(len(SIMPLE))]
        shape = build(noun, ("red", "blue")[k], rng, 0.27)
        corners = shape.vertices[shape.faces]
        edges = corners[:, 1:] - corners[:, :1]
        normals = np.cross(edges[:, 0], edges[:, 1])
        areas = np.linalg.norm(normals, axis=1) / 2
        state = rng.bit_generator.state
        points = sample_surface(shape.vertices, shape.faces, count, rng)
        rng.bit_generator.state = state  # the faces that sample_surface drew
        face = rng.choice(len(shape.faces), count, p=areas / areas.sum())
        points = points + np.array([x, 0, 0])
        spacing = float(np.sqrt(areas.sum() / len(points)))
        parts.append(surfels(points, normals[face], shape.face_colours[face], spacing))
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    joined = type(parts[0])(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))
    return joined, np.repeat([0, 1], count)


def fitted(splats, cameras, masks, steps=FIT_STEPS):
    """Labels by Adam on a logit per Gaussian, one view a step, squared error of the mask; what
    gradient-based methods do."""
    logits = torch.zeros(len(splats), requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=FIT_LR)
    geometry = (
        torch.from_numpy(splats.means),
        torch.from_numpy(splats.quats),
        torch.from_numpy(splats.log_scales).exp(),
        torch.from_numpy(splats.logit_opacities).sigmoid(),
    )
    target = torch.from_numpy(masks).float()
    for step in range(steps):
        v = step % len(cameras)
        colours = logits.sigmoid()[:, None].expand(-1, 3)
        camera = cameras[v : v + 1]
        said = rasterization(*geometry, colours, camera.viewmats, camera.Ks, SIDE, SIDE)[0]
        optimizer.zero_grad()
        (said[0, :, :, 0] - target[v]).square().mean().backward()
        optimizer.step()
    return (logits.detach() > 0).numpy()


def iou(a, b):
    return (a & b).sum() / max(1, (a | b).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warm_up()
    cameras, rows = sphere(VIEWS, SIDE), []
    for seed in range(arguments.scenes):
        splats, labels = scene(seed)
        second = coverage(splats, labels == 1, cameras)
        first = coverage(splats, labels == 0, cameras)
        clean = (second > np.maximum(first, 0.5 * (1 - first))).astype(np.int64)
        flips = np.random.default_rng([8, seed]).random(clean.shape) < 0.1
        noisy = np.where(flips, 1 - clean, clean)
        row = []
        for masks in (clean, noisy):
            start = time.perf_counter()
            lifted = vote(label_weights(splats, cameras, masks))
            middle = time.perf_counter()
            by_gradient = fitted(splats, cameras, masks)
            end = time.perf_counter()
            seen = lifted.seen
            row += [
                iou(lifted.labels[seen] == 1, labels[seen] == 1),
                iou(by_gradient[seen], labels[seen] == 1),
                middle - start,
                end - middle,
            ]
        rows.append([*row, float((~seen).mean())])
        print(seed, " ".join(f"{v:.3f}" for v in rows[-1]), flush=True)
    table = np.array(rows)
    for name, k in (("clean masks", 0), ("10 % flipped", 4)):
        lift_iou, fit_iou, lift_s, fit_s = table[:, k : k + 4].T
        print(
            f"{name}: IoU {lift_iou.mean():.3f} (least {lift_iou.min():.3f}), fitting "
            f"{fit_iou.mean():.3f} (least {fit_iou.min():.3f}); seconds {lift_s.mean():.2f} and "
            f"{fit_s.mean():.2f}, {np.median(fit_s / lift_s):.1f} times"
        )
    print(f"unseen: {table[:, -1].mean():.1%} of the Gaussians")


if __name__ == "__main__":
    main()

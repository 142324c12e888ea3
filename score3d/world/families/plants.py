"""Plants, fruit and a mushroom. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts
from score3d.world.primitives import (
    cone,
    cylinder,
    ellipsoid,
    lathe,
    moved,
    rotated,
    tube,
)

SECOND_PARTS = {
    "mushroom": "stem",
    "tree": "trunk",
    "fir": "trunk",
    "apple": "leaf",
    "cactus": "pot",
}


def mushroom(r: Generator) -> Parts:
    cap, h, stem = r.uniform(0.42, 0.58), r.uniform(0.28, 0.42), r.uniform(0.11, 0.17)
    t = np.linspace(0, np.pi / 2, 9)
    dome = [(0, 0.5), (cap * 0.55, 0.5)]
    dome += list(zip(cap * np.cos(t), 0.53 + h * np.sin(t), strict=True))
    parts: Parts = [
        (lathe([(0, 0), (stem * 1.35, 0), (stem, 0.18), (stem * 0.9, 0.55)]), "cream*"),
        (lathe(dome, 28), "main"),
    ]
    for k in range(r.integers(6, 11)):
        a, lift = k * 2.4 + r.uniform(-0.3, 0.3), r.uniform(0.25, 1.2)
        p = (
            cap * np.cos(lift) * np.sin(a),
            0.53 + h * np.sin(lift),
            cap * np.cos(lift) * np.cos(a),
        )
        s = r.uniform(0.05, 0.08)
        parts.append((ellipsoid(s, s * 0.7, s, p, 8), "snow"))
    return parts


def tree(r: Generator) -> Parts:
    trunk, rad = r.uniform(0.4, 0.55), r.uniform(0.3, 0.38)
    parts: Parts = [
        (lathe([(0, 0), (0.1, 0), (0.065, trunk + 0.1), (0, trunk + 0.1)], 14), "wood*")
    ]
    parts.append((ellipsoid(rad, rad, rad, (0, trunk + rad * 0.75, 0), 16), "main"))
    for k in range(r.integers(4, 7)):
        a, s = k * 1.3 + r.uniform(-0.3, 0.3), rad * r.uniform(0.5, 0.7)
        p = (rad * 0.7 * np.sin(a), trunk + rad * r.uniform(0.5, 1.2), rad * 0.7 * np.cos(a))
        parts.append((ellipsoid(s, s, s, p, 14), "main"))
    return parts


def fir(r: Generator) -> Parts:
    parts: Parts = [(cylinder(0.07, 0, 0.25, segments=12), "wood*")]
    n, rad = int(r.integers(3, 5)), r.uniform(0.36, 0.44)
    for k in range(n):
        y, s = 0.2 + k * 0.26, rad * (1 - 0.22 * k)
        parts.append((cone(s, y, y + 0.45, 20), "main"))
    return parts


def apple(r: Generator) -> Parts:
    w = r.uniform(0.46, 0.52)
    t = np.linspace(-np.pi / 2, np.pi / 2, 15)
    profile = list(
        zip(
            w * np.cos(t) * (1 + 0.12 * np.sin(t)),
            0.45 * np.sin(t) - 0.16 * np.exp(-((t - 1.6) ** 2) * 5),
            strict=True,
        )
    )
    a = r.uniform(0, 2 * np.pi)
    leaf = moved(rotated(ellipsoid(0.15, 0.02, 0.07, (0.15, 0, 0), 10), "z", 25), y=0.38)
    return [
        (lathe(profile, 26), "main"),
        (tube([(0, 0.22, 0), (0.03, 0.42, 0), (0.06, 0.52, 0)], 0.028, 8), "wood"),
        (rotated(leaf, "y", np.degrees(a)), "leaf*"),
    ]


def cactus(r: Generator) -> Parts:
    rad, h = r.uniform(0.12, 0.15), r.uniform(0.75, 0.95)
    parts: Parts = [
        (cylinder(0.2, 0, 0.26, 0.26), "carrot*"),
        (tube([(0, 0.2, 0), (0, h + 0.1, 0)], rad, 14), "main"),
        (ellipsoid(rad, rad, rad, (0, h + 0.1, 0), 14), "main"),
    ]
    for s in (-1, 1):
        y, top = r.uniform(0.45, 0.6), r.uniform(0.22, 0.34)
        path = [(0, y, 0), (s * 0.22, y, 0), (s * 0.28, y + 0.06, 0), (s * 0.28, y + top, 0)]
        parts.append((tube(path, rad * 0.6, 10), "main"))
        parts.append(
            (ellipsoid(rad * 0.6, rad * 0.6, rad * 0.6, (s * 0.28, y + top, 0), 10), "main")
        )
    return parts


FAMILIES = {f.__name__: f for f in (apple, cactus, fir, mushroom, tree)}
SYMMETRIC = "apple cactus fir mushroom tree"

"""What stands in a street. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, disc, rod
from score3d.world.primitives import (
    box,
    cone,
    cylinder,
    ellipsoid,
    lathe,
    moved,
    prism,
    rotated,
    scaled,
    strip,
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "well": "roof",
    "streetlamp": "lamp",
    "mailbox": "post",
    "hydrant": "caps",
    "stoplight": "pole",
    "signpost": "signs",
    "fountain": "water",
}


def well(r: Generator) -> Parts:
    rad, h, top = r.uniform(0.3, 0.35), r.uniform(0.3, 0.36), r.uniform(0.75, 0.85)
    wall = [(0, 0), (rad, 0), (rad, h), (rad * 0.78, h), (rad * 0.78, 0.12), (0, 0.12)]
    parts: Parts = [
        (lathe(wall, 22), "main"),
        (moved(torus(rad * 0.9, 0.055, 22), y=h), "main"),
        (cylinder(rad * 0.8, 0.1, h - 0.08, segments=18), "glass"),
        (
            moved(
                rotated(prism([(-0.36, 0), (0.36, 0), (0, 0.26)], 2 * rad + 0.3), "y", 90), y=top
            ),
            "red*",
        ),
        (rod((-rad, top - 0.1, 0), (rad + 0.1, top - 0.1, 0), 0.035), "wood"),
        (
            tube(
                [
                    (rad + 0.1, top - 0.1, 0),
                    (rad + 0.1, top - 0.24, 0.02),
                    (rad + 0.2, top - 0.24, 0.02),
                ],
                0.02,
                6,
            ),
            "dark",
        ),
        (rod((0, top - 0.1, 0), (0, h + 0.1, 0), 0.012, None, 5), "cream"),
        (cylinder(0.075, h - 0.02, h + 0.12, 0.095, 12), "wood"),
    ]
    parts += [(box(0.07, top, 0.07, (s * rad * 0.92, top / 2, 0)), "wood") for s in (-1, 1)]
    return parts


def streetlamp(r: Generator) -> Parts:
    h = r.uniform(0.95, 1.15)
    parts: Parts = [
        (
            lathe(
                [(0, 0), (0.14, 0), (0.12, 0.06), (0.06, 0.16), (0.035, 0.3), (0.03, h), (0, h)], 14
            ),
            "main",
        ),
        (cylinder(0.06, h * 0.55, h * 0.58, segments=12), "main"),
    ]
    if r.random() < 0.5:  # an old lantern
        parts += [
            (cylinder(0.1, h, h + 0.24, 0.16, 6), "light*"),
            (lathe([(0, h + 0.24), (0.21, h + 0.24), (0.06, h + 0.36), (0, h + 0.42)], 6), "main"),
        ]
        for k in range(6):
            a = 2 * np.pi * k / 6
            x, z = np.sin(a), np.cos(a)
            parts.append(
                (
                    rod((0.1 * x, h, 0.1 * z), (0.165 * x, h + 0.25, 0.165 * z), 0.015, None, 5),
                    "main",
                )
            )
    else:  # globes on arms
        for s in (-1, 1):
            arm = [
                (0, h - 0.12, 0),
                (s * 0.14, h - 0.02, 0),
                (s * 0.26, h - 0.04, 0),
                (s * 0.28, h - 0.1, 0),
            ]
            parts.append((tube(arm, 0.024, 7), "main"))
            parts.append((ball(s * 0.28, h - 0.18, 0, 0.11, segments=14), "light*"))
        parts.append((ball(0, h + 0.1, 0, 0.12, segments=14), "light*"))
    return parts


def mailbox(r: Generator) -> Parts:
    """A letter box on a post, its door to the front and its flag on +x."""
    w, ln, h = r.uniform(0.19, 0.23), r.uniform(0.34, 0.42), r.uniform(0.6, 0.75)
    a = np.linspace(0, np.pi, 11)
    roof = [(-w, 0), (w, 0), *[(w * np.cos(u), 0.18 + w * np.sin(u)) for u in a]]
    return [
        (moved(prism(roof, 2 * ln), y=h), "main"),
        (moved(scaled(prism(roof, 0.03), 0.86, 0.9, 1), 0, h + 0.01, ln), "main"),
        (box(0.08, 0.03, 0.05, (0, h + 0.3, ln + 0.03)), "dark"),
        (box(0.1, h + 0.02, 0.1, (0, h / 2, 0)), "wood*"),
        (box(0.03, 0.24, 0.03, (w + 0.02, h + 0.3, 0.1)), "red"),
        (box(0.03, 0.1, 0.14, (w + 0.02, h + 0.38, 0.05)), "red"),
        (box(0.24, 0.02, 0.02, (0, h + 0.18, ln + 0.015)), "dark"),
    ]


def hydrant(r: Generator) -> Parts:
    w, h = r.uniform(0.17, 0.2), r.uniform(0.55, 0.65)
    t = np.linspace(0, np.pi / 2, 6)
    dome = [
        (0, h),
        (w * 1.2, h),
        (w * 1.2, h + 0.05),
        *zip(w * np.cos(t), h + 0.05 + 0.15 * np.sin(t), strict=True),
    ]
    parts: Parts = [
        (cylinder(w * 1.5, 0, 0.07, segments=20), "main"),
        (cylinder(w, 0.05, h, segments=20), "main"),
        (lathe(dome, 20), "main"),
        (cylinder(0.045, h + 0.18, h + 0.27, segments=6), "main"),
        (disc(0, h * 0.72, w + 0.03, 0.12, 0.1, "z"), "main"),
        (disc(0, h * 0.72, w + 0.1, 0.085, 0.06, "z", 8), "metal*"),
    ]
    for s in (-1, 1):
        parts.append((disc(s * (w + 0.03), h * 0.78, 0, 0.09, 0.12, "x"), "main"))
        parts.append((disc(s * (w + 0.11), h * 0.78, 0, 0.07, 0.06, "x", 8), "metal*"))
    return parts


def stoplight(r: Generator) -> Parts:
    h, w = r.uniform(0.45, 0.6), r.uniform(0.13, 0.16)
    parts: Parts = [
        (cylinder(0.05, 0, h + 0.05, segments=12), "metal*"),
        (cylinder(0.16, 0, 0.05, segments=16), "metal*"),
        (box(2 * w, 0.72, 0.22, (0, h + 0.36, 0)), "main"),
    ]
    for k, tone in enumerate(("leaf", "gold", "red")):
        y = h + 0.14 + 0.22 * k
        parts.append((ball(0, y, 0.11, 0.085, 0.085, 0.05), tone))
        a = np.radians(np.linspace(0, 180, 9))
        hood = strip(
            [(0.105 * np.cos(u), 0.105 * np.sin(u)) for u in a],
            [(0.09 * np.cos(u), 0.09 * np.sin(u)) for u in a],
            0.14,
        )
        parts.append((moved(hood, 0, y, 0.17), "main"))
    return parts


def signpost(r: Generator) -> Parts:
    h = r.uniform(0.95, 1.1)
    parts: Parts = [
        (cylinder(0.05, 0, h, segments=10), "main"),
        (cone(0.07, h, h + 0.08, 10), "main"),
    ]
    for k in range(int(r.integers(2, 4))):
        y, s = h - 0.14 - 0.24 * k, 1 if k % 2 else -1
        arrow = prism([(-0.14, -0.08), (0.36, -0.08), (0.48, 0), (0.36, 0.08), (-0.14, 0.08)], 0.05)
        parts.append(
            (rotated(moved(scaled(arrow, x=s), 0, y, 0.06), "y", r.uniform(-25, 25)), "wood*")
        )
    return parts


def fountain(r: Generator) -> Parts:
    w, h = r.uniform(0.5, 0.58), r.uniform(0.5, 0.6)
    parts: Parts = [
        (
            lathe(
                [(0, 0), (w, 0), (w * 1.05, 0.2), (w * 0.92, 0.2), (w * 0.88, 0.08), (0, 0.08)], 26
            ),
            "main",
        ),
        (cylinder(w * 0.9, 0.06, 0.15, segments=24), "glass*"),
        (
            lathe(
                [
                    (0, 0.05),
                    (0.14, 0.05),
                    (0.07, 0.2),
                    (0.06, h),
                    (0.28, h + 0.08),
                    (0.26, h + 0.12),
                    (0, h + 0.08),
                ],
                18,
            ),
            "main",
        ),
        (cylinder(0.24, h + 0.06, h + 0.11, segments=18), "glass*"),
        (cylinder(0.04, h, h + 0.2, segments=10), "main"),
        (ellipsoid(0.06, 0.1, 0.06, (0, h + 0.26, 0), 8), "glass*"),
    ]
    for k in range(8):
        a = 2 * np.pi * k / 8
        d = np.array([np.sin(a), 0, np.cos(a)])
        jet = [
            d * 0.02 + (0, h + 0.24, 0),
            d * 0.16 + (0, h + 0.3, 0),
            d * 0.3 + (0, h + 0.05, 0),
            d * 0.36 + (0, 0.15, 0),
        ]
        parts.append((tube(jet, 0.018, 5), "glass*"))
    return parts


FAMILIES = {
    f.__name__: f for f in (fountain, hydrant, mailbox, signpost, stoplight, streetlamp, well)
}
SYMMETRIC = "fountain signpost streetlamp well"

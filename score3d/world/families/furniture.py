"""Furniture and appliances. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, disc, rod
from score3d.world.primitives import (
    box,
    cylinder,
    ellipsoid,
    fan,
    lathe,
    moved,
    prism,
    rotated,
    scaled,
    spine,
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "bed": "pillow",
    "bench": "legs",
    "stool": "legs",
    "bookshelf": "books",
    "desk": "legs",
    "wardrobe": "handles",
    "clock": "hands",
    "television": "stand",
    "laptop": "screen",
    "piano": "legs",
    "fridge": "handles",
    "bathtub": "feet",
    "fan": "blades",
    "toaster": "bread",
}
BOOKS = ("red", "leaf", "snow", "gold", "glass", "dark")


def _legs(w, d, h, t, tone) -> Parts:
    return [
        (box(t, h, t, (x * (w - t) / 2, h / 2, z * (d - t) / 2)), tone)
        for x in (-1, 1)
        for z in (-1, 1)
    ]


def bed(r: Generator) -> Parts:
    """The head end is at the back; the blanket has the main colour."""
    w, ln, h = r.uniform(0.6, 0.85), r.uniform(1.1, 1.25), r.uniform(0.2, 0.28)
    head, frame = r.uniform(0.5, 0.68), "wood" if r.random() < 0.6 else "main"
    parts: Parts = [
        (box(w, 0.12, ln, (0, h, 0)), frame),
        (box(w + 0.06, head, 0.07, (0, head / 2, -ln / 2)), frame),
        (box(w + 0.06, h + 0.18, 0.07, (0, (h + 0.18) / 2, ln / 2)), frame),
        (box(w * 0.96, 0.14, ln * 0.95, (0, h + 0.12, 0)), "snow"),
        (box(w * 1.02, 0.16, ln * 0.62, (0, h + 0.13, ln * 0.15)), "main"),
        *_legs(w, ln, h, 0.07, frame),
    ]
    n = 2 if w > 0.7 else 1
    for k in range(n):
        x = (k - (n - 1) / 2) * w * 0.46
        parts.append(
            (ball(x, h + 0.23, -ln * 0.36, w * (0.2 if n == 2 else 0.34), 0.07, 0.12), "snow*")
        )
    return parts


def bench(r: Generator) -> Parts:
    w, d, h = r.uniform(1.1, 1.35), 0.36, r.uniform(0.34, 0.4)
    parts: Parts = [(box(w, 0.035, d / 3.6, (0, h, z * d / 3)), "main") for z in (-1, 0, 1)]
    for y in (0.16, 0.3):
        parts.append((box(w, 0.09, 0.035, (0, h + y, -d / 2 - 0.04 - y * 0.12)), "main"))
    for s in (-1, 1):
        x = s * w * 0.4
        parts.append((box(0.06, h, 0.06, (x, h / 2, d / 2 - 0.04)), "dark*"))
        parts.append((rod((x, 0, -d / 2), (x, h + 0.38, -d / 2 - 0.1), 0.035), "dark*"))
        parts.append((box(0.05, 0.04, d, (x, h - 0.03, 0)), "dark*"))
        parts.append((box(0.06, 0.04, d, (x * 1.12, h + 0.18, 0)), "dark*"))
        parts.append((box(0.05, 0.18, 0.05, (x * 1.12, h + 0.09, d / 2 - 0.04)), "dark*"))
    return parts


def stool(r: Generator) -> Parts:
    rad, h, n = r.uniform(0.24, 0.3), r.uniform(0.55, 0.8), int(r.integers(3, 5))
    seat = lathe(
        [(0, h - 0.05), (rad, h - 0.05), (rad * 1.05, h), (rad * 0.9, h + 0.05), (0, h + 0.05)]
    )
    parts: Parts = [(seat, "main")]
    for k in range(n):
        a = 2 * np.pi * (k + 0.5) / n
        d = np.array([np.sin(a), 0, np.cos(a)])
        parts.append((rod(d * rad * 1.15, d * rad * 0.65 + (0, h, 0), 0.04), "wood*"))
        b = 2 * np.pi * (k + 1.5) / n
        e = np.array([np.sin(b), 0, np.cos(b)])
        y = (0, h * 0.35, 0)
        parts.append((rod(d * rad * 0.96 + y, e * rad * 0.96 + y, 0.022), "wood*"))
    return parts


def bookshelf(r: Generator) -> Parts:
    w, d, n = r.uniform(0.55, 0.7), 0.26, int(r.integers(3, 5))
    step = 0.3
    h = n * step
    parts: Parts = [(box(w, h, 0.03, (0, h / 2, -d / 2)), "main")]
    parts += [(box(0.045, h + 0.04, d, (s * w / 2, h / 2, 0)), "main") for s in (-1, 1)]
    for k in range(n + 1):
        parts.append((box(w, 0.04, d, (0, k * step, 0)), "main"))
    for k in range(n):
        x = -w / 2 + 0.06
        while x < w / 2 - r.uniform(0.06, 0.25):
            t, tall = r.uniform(0.05, 0.08), r.uniform(0.17, 0.23)
            tone = BOOKS[r.integers(len(BOOKS))] + "*"
            parts.append(
                (box(t * 0.92, tall, d * 0.7, (x + t / 2, k * step + 0.02 + tall / 2, 0.01)), tone)
            )
            x += t
    return parts


def desk(r: Generator) -> Parts:
    w, d, h = r.uniform(1.0, 1.2), r.uniform(0.48, 0.58), r.uniform(0.55, 0.62)
    parts: Parts = [(box(w, 0.05, d, (0, h, 0)), "main"), *_legs(w, d, h, 0.055, "dark*")]
    for k in range(3):
        y = h - 0.11 - 0.16 * k
        parts.append((box(0.34, 0.15, d * 0.9, (w / 2 - 0.2, y, 0)), "main"))
        parts.append((box(0.3, 0.12, 0.02, (w / 2 - 0.2, y, d * 0.45)), "main"))
        parts.append((box(0.12, 0.025, 0.03, (w / 2 - 0.2, y, d * 0.47)), "dark"))
    parts.append((box(w * 0.6, 0.26, 0.03, (-0.18, h - 0.15, -d * 0.42)), "main"))
    if r.random() < 0.5:
        parts.append((box(0.36, 0.24, 0.03, (-0.15, h + 0.24, -0.06)), "dark"))
        parts.append((box(0.05, 0.14, 0.03, (-0.15, h + 0.08, -0.08)), "dark"))
    return parts


def wardrobe(r: Generator) -> Parts:
    w, h, d = r.uniform(0.6, 0.75), r.uniform(1.0, 1.15), 0.36
    parts: Parts = [
        (box(w, h, d, (0, h / 2 + 0.06, 0)), "main"),
        (box(w + 0.08, 0.05, d + 0.06, (0, h + 0.08, 0)), "main"),
        (box(0.015, h * 0.9, 0.02, (0, h / 2 + 0.06, d / 2)), "dark"),
        *_legs(w, d, 0.08, 0.07, "dark"),
    ]
    for s in (-1, 1):
        parts.append(
            (box(w * 0.38, h * 0.76, 0.025, (s * w * 0.24, h * 0.55, d / 2 + 0.005)), "main")
        )
        parts.append((box(0.035, 0.18, 0.06, (s * 0.05, h * 0.52, d / 2 + 0.02)), "gold*"))
    return parts


def clock(r: Generator) -> Parts:
    """An alarm clock with bells, or a standing clock."""
    if r.random() < 0.6:
        parts: Parts = [
            (disc(0, 0.5, 0, 0.38, 0.2, "z", 28), "main"),
            (disc(0, 0.5, 0.1, 0.32, 0.02, "z", 28), "snow"),
        ]
        for s in (-1, 1):
            bell = rotated(ellipsoid(0.15, 0.13, 0.15, (0, 0, 0), 12), "z", -s * 35)
            parts.append((moved(bell, s * 0.25, 0.9, 0), "gold"))
            parts.append((rod((s * 0.2, 0.2, 0), (s * 0.3, 0, 0.02), 0.04), "dark"))
        parts.append((rod((0, 0.86, 0), (0, 1.02, 0), 0.03), "dark"))
        y, rad, z = 0.5, 0.3, 0.115
    else:
        parts = [
            (box(0.34, 0.9, 0.26, (0, 0.5, 0)), "main"),
            (box(0.46, 0.12, 0.34, (0, 0.06, 0)), "main"),
            (box(0.42, 0.36, 0.3, (0, 1.1, 0)), "main"),
            (moved(prism([(-0.24, 0), (0.24, 0), (0, 0.16)], 0.3), y=1.28), "main"),
            (disc(0, 1.1, 0.15, 0.15, 0.02, "z", 24), "snow"),
            (box(0.2, 0.5, 0.02, (0, 0.55, 0.13)), "dark"),
            (rod((0, 0.78, 0.145), (0, 0.45, 0.145), 0.012), "gold"),
            (disc(0, 0.42, 0.145, 0.06, 0.02, "z"), "gold"),
        ]
        y, rad, z = 1.1, 0.14, 0.165
    for k in range(12):
        a = np.pi * k / 6
        parts.append(
            (
                ball(rad * 0.86 * np.sin(a), y + rad * 0.86 * np.cos(a), z, rad * 0.06, segments=6),
                "dark",
            )
        )
    for reach, a in ((0.75, r.uniform(0, 6.3)), (0.5, r.uniform(0, 6.3))):
        tip = (rad * reach * np.sin(a), y + rad * reach * np.cos(a), z)
        parts.append((rod((0, y, z), tip, rad * 0.07, None, 6), "dark*"))
    return parts


def television(r: Generator) -> Parts:
    if r.random() < 0.5:  # an old set with aerials
        w, h, d = r.uniform(0.75, 0.9), 0.6, 0.5
        parts: Parts = [
            (box(w, h, d, (0, h / 2 + 0.14, 0)), "main"),
            (box(w * 0.62, h * 0.72, 0.03, (-w * 0.12, h / 2 + 0.14, d / 2)), "dark"),
            (box(w * 0.54, h * 0.6, 0.035, (-w * 0.12, h / 2 + 0.14, d / 2 + 0.005)), "glass"),
        ]
        for y in (0.3, 0.44, 0.58):
            parts.append((disc(w * 0.36, y, d / 2, 0.045, 0.06, "z", 10), "dark"))
        for s in (-1, 1):
            parts.append((rod((0, h + 0.14, 0), (s * 0.28, h + 0.52, 0), 0.016), "metal"))
            for z in (-1, 1):
                parts.append(
                    (
                        rod(
                            (s * w * 0.4, 0, z * d * 0.42), (s * w * 0.34, 0.16, z * d * 0.36), 0.03
                        ),
                        "dark*",
                    )
                )
        return parts
    w = r.uniform(1.1, 1.3)
    h = w * 0.58
    return [
        (box(w, h, 0.07, (0, h / 2 + 0.16, 0)), "main"),
        (box(w * 0.87, h * 0.78, 0.02, (0, h / 2 + 0.16, 0.035)), "dark"),
        (box(0.1, 0.2, 0.05, (0, 0.1, -0.01)), "main*"),
        (box(w * 0.5, 0.03, 0.24, (0, 0.015, 0)), "main*"),
    ]


def laptop(r: Generator) -> Parts:
    w, d, open_ = r.uniform(0.85, 0.98), 0.62, r.uniform(8, 28)
    lid = [
        (box(w, d, 0.035, (0, d / 2, 0)), "main"),
        (box(w * 0.92, d * 0.86, 0.02, (0, d / 2, 0.016)), "glass*"),
    ]
    parts: Parts = [
        (box(w, 0.04, d, (0, 0.02, 0)), "main"),
        (box(w * 0.84, 0.02, d * 0.42, (0, 0.04, -d * 0.16)), "dark"),
        (box(w * 0.3, 0.02, d * 0.22, (0, 0.04, d * 0.3)), "metal"),
    ]
    return parts + [(moved(rotated(g, "x", -open_), 0, 0.03, -d / 2), t) for g, t in lid]


def piano(r: Generator) -> Parts:
    if r.random() < 0.5:  # upright
        w, h = r.uniform(1.0, 1.15), r.uniform(0.8, 0.92)
        parts: Parts = [
            (box(w, h, 0.28, (0, h / 2, -0.14)), "main"),
            (box(w, 0.1, 0.28, (0, 0.42, 0.12)), "main"),
        ]
        y, z0, half = 0.48, 0.14, w / 2
        legs = [(s * w * 0.46, 0.22) for s in (-1, 1)]
        parts.append((box(w + 0.04, 0.04, 0.34, (0, h, -0.14)), "main"))
    else:
        a = [
            (-0.5, 0.3),
            (0.5, 0.3),
            (0.5, -0.1),
            (0.3, -0.35),
            (0.12, -0.62),
            (-0.2, -0.75),
            (-0.5, -0.7),
        ]
        poly = [(x, -z) for x, z in a]
        body = rotated(fan(poly, 0.17), "x", -90)
        parts = [(moved(body, y=0.5), "main")]
        lid = rotated(moved(rotated(fan(poly, 0.03), "x", -90), x=0.5), "z", r.uniform(28, 40))
        parts.append((moved(lid, -0.5, 0.6, -0.04), "main"))
        parts.append((rod((0.42, 0.56, -0.1), (0.3, 0.98, -0.1), 0.015), "dark"))
        parts.append((box(1.0, 0.06, 0.16, (0, 0.44, 0.36)), "main"))
        y, z0, half = 0.48, 0.36, 0.48
        legs = [(-0.42, 0.22), (0.42, 0.22), (-0.2, -0.55)]
    n = 14
    parts.append((box(2 * half * 0.94, 0.03, 0.15, (0, y, z0)), "snow"))
    for k in range(n):
        if k % 7 not in (2, 6):
            x = (k + 0.5 - n / 2 + 0.5) * 2 * half * 0.94 / n
            parts.append((box(0.028, 0.035, 0.09, (x, y + 0.015, z0 - 0.03)), "dark"))
    return parts + [(box(0.08, 0.44, 0.08, (x, 0.22, z)), "main*") for x, z in legs]


def fridge(r: Generator) -> Parts:
    w, h, d, split = r.uniform(0.5, 0.6), r.uniform(1.0, 1.15), 0.5, r.uniform(0.6, 0.7)
    y = h * split
    parts: Parts = [
        (box(w, h, d, (0, h / 2 + 0.03, 0)), "main"),
        (box(w * 1.01, 0.018, 0.06, (0, y, d / 2)), "dark"),
        (box(w * 0.97, y * 0.94, 0.04, (0, y * 0.51, d / 2 + 0.01)), "main"),
        (box(w * 0.97, (h - y) * 0.9, 0.04, (0, (h + y) / 2 + 0.02, d / 2 + 0.01)), "main"),
        (box(w * 0.9, 0.05, d * 0.9, (0, 0.02, 0)), "dark"),
    ]
    for yy, ln in ((y - 0.2, 0.28), (y + 0.15, 0.18)):
        parts.append((box(0.035, ln, 0.05, (-w * 0.38, yy, d / 2 + 0.06)), "metal*"))
    return parts


def bathtub(r: Generator) -> Parts:
    ln, w, h = r.uniform(0.62, 0.72), r.uniform(0.28, 0.34), r.uniform(0.36, 0.44)
    wall = [
        (0, 0.1),
        (0.72, 0.1),
        (0.9, 0.25),
        (1, h + 0.06),
        (1.06, h + 0.1),
        (0.9, h + 0.1),
        (0.82, 0.3),
        (0.6, 0.17),
        (0, 0.17),
    ]
    parts: Parts = [(scaled(lathe(wall, 26), ln, 1, w), "main")]
    parts.append((scaled(cylinder(0.83, h - 0.08, h - 0.06, segments=24), ln, 1, w), "glass"))
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append((ball(x * ln * 0.55, 0.06, z * w * 0.5, 0.07, 0.08, 0.06), "gold*"))
    tap = [
        (-ln * 1.0, h, 0),
        (-ln, h + 0.26, 0),
        (-ln * 0.88, h + 0.3, 0),
        (-ln * 0.76, h + 0.22, 0),
    ]
    return [*parts, (tube(tap, 0.035), "metal")]


def fan_(r: Generator) -> Parts:
    """A standing fan."""
    y, rad, n = r.uniform(0.75, 0.9), r.uniform(0.32, 0.38), int(r.integers(3, 6))
    parts: Parts = [
        (cylinder(0.26, 0, 0.05), "main"),
        (rod((0, 0, -0.06), (0, y, -0.06), 0.035), "main"),
        (disc(0, y, -0.04, 0.1, 0.2, "z"), "main"),
        (disc(0, y, 0.11, 0.06, 0.05, "z", 12), "metal"),
        (moved(rotated(torus(rad, 0.025, 28), "x", 90), 0, y, 0.08), "main"),
    ]
    for k in range(n):
        blade = rotated(ellipsoid(0.1, rad * 0.46, 0.012, (0, rad * 0.5, 0), 10), "y", 25)
        parts.append((moved(rotated(blade, "z", 360 * k / n), 0, y, 0.08), "glass*"))
    for k in range(12):
        a = 2 * np.pi * k / 12
        p = (rad * np.cos(a), y + rad * np.sin(a), 0.08)
        parts.append((rod(p, (0, y, 0.15), 0.008, None, 5), "metal"))
    return parts


def toaster(r: Generator) -> Parts:
    w, h = r.uniform(0.42, 0.48), r.uniform(0.24, 0.28)
    body = [
        (-0.22, h, 0.9 * w, 0.9 * h),
        (-0.18, h, w, h),
        (0.18, h, w, h),
        (0.22, h, 0.9 * w, 0.9 * h),
    ]
    parts: Parts = [
        (moved(spine(body, 20, 0.35), y=0.05), "main"),
        (box(2 * w * 0.9, 0.06, 0.4, (0, 0.03, 0)), "dark"),
    ]
    for z in (-0.09, 0.09):
        parts.append((box(w * 1.45, 0.02, 0.09, (0, 2 * h + 0.05, z)), "dark"))
        slice_ = prism(
            [(-0.26, 0), (0.26, 0), (0.26, 0.2), (0.18, 0.28), (-0.18, 0.28), (-0.26, 0.2)], 0.06
        )
        parts.append((moved(slice_, 0, 2 * h - 0.06, z), "waffle*"))
    parts.append((box(0.08, 0.05, 0.12, (w + 0.03, h + 0.12, 0)), "dark"))
    return [*parts, (disc(w, 0.17, 0, 0.05, 0.05), "metal")]


FAMILIES = {
    f.__name__.rstrip("_"): f
    for f in (bathtub, bed, bench, bookshelf, clock, desk, fan_, fridge, laptop, piano, stool,
              television, toaster, wardrobe)
}  # fmt: skip
SYMMETRIC = "stool"

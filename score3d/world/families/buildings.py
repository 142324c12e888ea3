"""Buildings and what stands in a street. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, disc, rod
from score3d.world.primitives import (
    box,
    cone,
    cylinder,
    lathe,
    moved,
    prism,
    rotated,
    strip,
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "castle": "roofs",
    "church": "roof",
    "lighthouse": "stripes",
    "windmill": "sails",
    "tower": "roof",
    "tent": "door",
    "bridge": "railing",
    "igloo": "door",
    "barn": "roof",
}


def _merlons(rad: float, y: float, n: int, size: float) -> Parts:
    return [
        (
            rotated(
                box(size, size, size * 0.8, (0, y + size / 2, rad - size * 0.4)), "y", 360 * k / n
            ),
            "main",
        )
        for k in range(n)
    ]


def castle(r: Generator) -> Parts:
    w, h, th = r.uniform(0.42, 0.5), r.uniform(0.34, 0.42), r.uniform(0.6, 0.72)
    parts: Parts = [
        (box(2 * w, h, 2 * w, (0, h / 2, 0)), "main"),
        (box(0.24, 0.28, 0.04, (0, 0.14, w)), "wood"),
        (disc(0, 0.28, w, 0.12, 0.04, "z"), "wood"),
    ]
    pointed = r.random() < 0.6
    for x in (-1, 1):
        for z in (-1, 1):
            tower_: Parts = [
                (cylinder(0.16, 0, th, segments=16), "main"),
                (cylinder(0.19, th - 0.02, th + 0.08, segments=16), "main"),
            ]
            if pointed:
                tower_.append((cone(0.22, th + 0.08, th + 0.4, 16), "red*"))
            else:
                tower_ += _merlons(0.19, th + 0.06, 6, 0.09)
                tower_.append((cylinder(0.1, th + 0.05, th + 0.1, segments=12), "red*"))
            tower_.append((box(0.06, 0.12, 0.04, (0, th * 0.7, 0.15 * z)), "dark"))
            parts += [(moved(g, x * w, 0, z * w), t) for g, t in tower_]
    keep = th + r.uniform(0.1, 0.2)
    parts.append((box(0.42, keep, 0.42, (0, keep / 2, -0.05)), "main"))
    for k in (-1, 0, 1):
        for z in (-1, 1):
            parts.append((box(0.1, 0.1, 0.06, (k * 0.16, keep + 0.04, -0.05 + z * 0.19)), "main"))
            parts.append((box(0.13, 0.09, 0.06, (k * w * 0.5, h + 0.04, z * w)), "main"))
            parts.append((box(0.06, 0.09, 0.13, (z * w, h + 0.04, k * w * 0.5)), "main"))
    parts.append((rod((0, keep, -0.05), (0, keep + 0.34, -0.05), 0.014, None, 5), "dark"))
    flag_ = moved(prism([(0, 0), (0.2, 0.06), (0, 0.13)], 0.02), 0, keep + 0.2, -0.05)
    return [*parts, (flag_, "red*")]


def church(r: Generator) -> Parts:
    w, ln, h = 0.28, r.uniform(0.45, 0.55), r.uniform(0.4, 0.48)
    th, spire = r.uniform(0.75, 0.9), r.uniform(0.4, 0.55)
    z = ln
    parts: Parts = [
        (box(2 * w, h, 2 * ln, (0, h / 2, -0.1)), "main"),
        (
            moved(prism([(-w * 1.15, h), (w * 1.15, h), (0, h + 0.3)], 2 * ln * 1.02), z=-0.1),
            "wood*",
        ),
        (box(0.34, th, 0.34, (0, th / 2, z)), "main"),
        (box(0.4, spire, 0.4, (0, th + spire / 2, z), taper=0.0), "wood*"),
        (box(0.16, 0.26, 0.03, (0, 0.13, z + 0.17)), "wood"),
        (disc(0, th * 0.8, z + 0.17, 0.09, 0.03, "z"), "glass"),
        (box(0.025, 0.2, 0.025, (0, th + spire + 0.06, z)), "gold"),
        (box(0.12, 0.025, 0.025, (0, th + spire + 0.09, z)), "gold"),
    ]
    for s in (-1, 1):
        for k in (-0.35, -0.05, 0.2):
            parts.append((box(0.03, 0.2, 0.1, (s * w, h * 0.52, k - 0.12)), "glass"))
            parts.append((disc(s * w, h * 0.52 + 0.1, k - 0.12, 0.05, 0.03, "x", 12), "glass"))
        parts.append((box(0.03, 0.16, 0.09, (s * 0.17, th * 0.75, z)), "dark"))
    return parts


def lighthouse(r: Generator) -> Parts:
    w, h, n = r.uniform(0.22, 0.27), r.uniform(0.85, 1.05), int(r.integers(2, 4))
    k = 0.6

    def rad(t):
        return w * (1 - (1 - k) * t)

    parts: Parts = [
        (cylinder(w, 0, h, w * k, 24), "main"),
        (cylinder(w * 1.3, -0.08, 0.02, segments=24), "metal"),
        (cylinder(w * 0.9, h, h + 0.04, segments=24), "dark"),
        (cylinder(w * 0.45, h + 0.04, h + 0.2, segments=16), "light"),
        (cone(w * 0.62, h + 0.2, h + 0.36, 18), "dark"),
        (box(0.12, 0.2, 0.05, (0, 0.1, w * 0.97)), "wood"),
    ]
    for j in range(n):
        a, b = (j + 0.5) / n * 0.95, (j + 0.98) / n * 0.95
        parts.append((cylinder(rad(a) * 1.015, h * a, h * b, rad(b) * 1.015, 24), "snow*"))
    for j in range(10):
        a = 2 * np.pi * j / 10
        x, z = w * 0.85 * np.sin(a), w * 0.85 * np.cos(a)
        parts.append((rod((x, h, z), (x, h + 0.12, z), 0.01, None, 4), "dark"))
    parts.append((moved(torus(w * 0.85, 0.012, 20), y=h + 0.12), "dark"))
    return parts


def windmill(r: Generator) -> Parts:
    w, h, turn = r.uniform(0.26, 0.31), r.uniform(0.72, 0.85), r.uniform(0, 90)
    ln = r.uniform(0.5, 0.58)
    parts: Parts = [
        (cylinder(w, 0, h, w * 0.65, 8 if r.random() < 0.5 else 20), "main"),
        (lathe([(0, h), (w * 0.75, h), (w * 0.6, h + 0.12), (0, h + 0.24)], 18), "wood"),
        (box(0.14, 0.22, 0.05, (0, 0.11, w * 0.95)), "wood"),
        (box(0.1, 0.1, 0.05, (0, h * 0.55, w * 0.82)), "glass"),
        (rod((0, h, 0.1), (0, h, w + 0.1), 0.045), "dark"),
    ]
    for k in range(4):
        sail: Parts = [
            (box(0.03, ln, 0.03, (0, ln / 2, 0)), "wood"),
            (box(0.14, ln * 0.72, 0.02, (0.08, ln * 0.6, 0)), "snow*"),
        ]
        parts += [(moved(rotated(g, "z", turn + 90 * k), 0, h, w + 0.08), t) for g, t in sail]
    return parts


def tower(r: Generator) -> Parts:
    w, h = r.uniform(0.22, 0.27), r.uniform(0.8, 1.0)
    parts: Parts = [
        (cylinder(w * 1.1, 0, h, w * 0.95, 20), "main"),
        (cylinder(w * 1.3, h, h + 0.14, segments=20), "main"),
        *_merlons(w * 1.3, h + 0.12, 8, 0.1),
        (cone(w * 1.05, h + 0.14, h + r.uniform(0.5, 0.65), 20), "red*"),
        (box(0.16, 0.26, 0.06, (0, 0.13, w * 1.06)), "wood"),
    ]
    for k in range(3):
        a = 120 * k + 40
        slit = box(0.06, 0.14, 0.05, (0, h * (0.4 + 0.18 * k), w * 1.03))
        parts.append((rotated(slit, "y", a), "dark"))
    return parts


def tent(r: Generator) -> Parts:
    if r.random() < 0.5:  # ridge tent
        w, h, ln = r.uniform(0.48, 0.56), r.uniform(0.55, 0.65), r.uniform(0.5, 0.6)
        parts: Parts = [
            (prism([(-w, 0), (w, 0), (0, h)], 2 * ln), "main"),
            (moved(prism([(-0.16, 0), (0.16, 0), (0, h * 0.75)], 0.03), z=ln), "dark*"),
        ]
        for z in (-1, 1):
            parts.append((rod((0, 0, z * ln), (0, h + 0.1, z * ln), 0.018), "wood"))
            for s in (-1, 1):
                parts.append(
                    (
                        rod(
                            (s * w * 0.6, h * 0.4, z * ln),
                            (s * (w + 0.14), 0, z * ln),
                            0.009,
                            None,
                            4,
                        ),
                        "wood",
                    )
                )
        return parts
    w, h, n = r.uniform(0.48, 0.55), r.uniform(0.85, 1.0), 8  # tipi
    parts = [(cone(w, 0, h, n), "main")]
    door = prism([(-0.17, 0), (0.17, 0), (0, 0.5)], 0.03)
    parts.append((moved(rotated(door, "x", -np.degrees(np.arctan(w / h))), z=w + 0.005), "dark*"))
    for k in range(5):
        a = 2 * np.pi * k / 5
        d = np.array([np.sin(a), 0, np.cos(a)])
        parts.append(
            (rod(d * 0.03 + (0, h - 0.06, 0), -d * 0.1 + (0, h + 0.18, 0), 0.018, None, 6), "wood")
        )
    return parts


def bridge(r: Generator) -> Parts:
    """An arched bridge that spans along x."""
    ln, d, rise = 0.72, r.uniform(0.16, 0.22), r.uniform(0.22, 0.32)
    t = np.linspace(-1, 1, 17)
    deck = [(ln * a, 0.2 + rise * (1 - a * a)) for a in t]
    arch = [
        (ln * a * (0.7 if abs(a) < 1 else 1), 0.0 + (0.1 + rise) * np.sqrt(max(1 - a * a, 0)))
        for a in t
    ]
    parts: Parts = [(strip(arch, deck, 2 * d), "main")]
    for z in (-1, 1):
        rail = [(x, y + 0.16, z * d) for x, y in deck]
        parts.append((tube(rail, 0.025, 6), "wood*"))
        for x, y in deck[::2]:
            parts.append((rod((x, y - 0.01, z * d), (x, y + 0.16, z * d), 0.018, None, 5), "wood*"))
    return parts


def igloo(r: Generator) -> Parts:
    w, h = r.uniform(0.46, 0.52), r.uniform(0.4, 0.46)
    t = np.linspace(0, np.pi / 2, 9)
    dome = [(0, 0), *zip(w * np.cos(t), h * np.sin(t), strict=True)]
    a = np.linspace(0, np.pi, 11)
    tunnel = prism([(0.2 * np.cos(u), 0.24 * np.sin(u)) for u in a], 0.34)
    hole = prism([(0.13 * np.cos(u), 0.17 * np.sin(u)) for u in a], 0.02)
    parts: Parts = [
        (lathe(dome, 26), "main"),
        (moved(tunnel, z=w + 0.02), "main"),
        (moved(hole, z=w + 0.195), "dark*"),
    ]
    for u in (0.32, 0.7, 1.08):
        parts.append((moved(torus(w * np.cos(u), 0.012, 26), y=h * np.sin(u)), "metal"))
    for row, (u, v) in enumerate(((0.02, 0.32), (0.32, 0.7), (0.7, 1.08))):
        n = 12 - 3 * row
        for k in range(n):
            b = 2 * np.pi * (k + 0.5 * (row % 2)) / n
            p, q = (
                (w * np.cos(c) * np.sin(b), h * np.sin(c), w * np.cos(c) * np.cos(b))
                for c in (u, v)
            )
            parts.append((rod(p, q, 0.011, None, 4), "metal"))
    return parts


def barn(r: Generator) -> Parts:
    w, ln, h = r.uniform(0.4, 0.46), r.uniform(0.5, 0.6), r.uniform(0.38, 0.46)
    wall = [
        (-w, 0),
        (w, 0),
        (w, h),
        (w * 0.72, h + 0.24),
        (0, h + 0.4),
        (-w * 0.72, h + 0.24),
        (-w, h),
    ]
    slope = [
        (w * 1.08, h - 0.03),
        (w * 0.76, h + 0.27),
        (0, h + 0.44),
        (-w * 0.76, h + 0.27),
        (-w * 1.08, h - 0.03),
    ]
    low = [(x * 0.95, y - 0.045) for x, y in slope]
    parts: Parts = [(prism(wall, 2 * ln), "main"), (strip(slope, low, 2 * ln * 1.06), "dark*")]
    for z in (-1, 1):
        zz = z * (ln + 0.005)
        if z > 0:
            parts.append((box(0.42, 0.36, 0.02, (0, 0.18, zz)), "snow"))
            parts += [(box(0.17, 0.3, 0.03, (s * 0.1, 0.17, zz)), "main") for s in (-1, 1)]
            for s in (-1, 1):
                parts.append(
                    (moved(rotated(box(0.035, 0.34, 0.04), "z", s * 30), s * 0.1, 0.17, zz), "snow")
                )
        parts.append((box(0.16, 0.16, 0.02, (0, h + 0.12, zz)), "snow"))
        parts.append((box(0.11, 0.11, 0.03, (0, h + 0.12, zz)), "dark"))
    return parts


FAMILIES = {
    f.__name__: f for f in (barn, bridge, castle, church, igloo, lighthouse, tent, tower, windmill)
}
SYMMETRIC = "bridge castle lighthouse tower"

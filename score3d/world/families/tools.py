"""Tools, cutlery and weapons of fairy tales. Most stand or lie in the x-y plane, seen flat from
the front. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, disc, rod
from score3d.world.primitives import (
    box,
    cone,
    cylinder,
    ellipsoid,
    fan,
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
    "hammer": "handle",
    "axe": "handle",
    "sword": "hilt",
    "shovel": "handle",
    "saw": "handle",
    "screwdriver": "shaft",
    "scissors": "blades",
    "knife": "blade",
    "brush": "handle",
    "pencil": "tip",
    "magnifier": "handle",
    "magnet": "tips",
    "broom": "handle",
    "shield": "rim",
    "bow": "string",
}


def hammer(r: Generator) -> Parts:
    h, w = r.uniform(0.8, 0.95), r.uniform(0.12, 0.15)
    parts: Parts = [
        (rod((0, 0, 0), (0, h, 0), 0.055, 0.045, 10), "wood*"),
        (rod((-0.1, h, 0), (0.16, h, 0), w * 0.75, None, 12), "main"),
        (rod((0.14, h, 0), (0.26, h, 0), w, None, 14), "main"),
    ]
    if r.random() < 0.5:
        parts.append((rod((-0.08, h, 0), (-0.26, h, 0), w, None, 14), "main"))
    else:
        for z in (-1, 1):
            claw = [(-0.08, h, z * 0.04), (-0.22, h - 0.02, z * 0.06), (-0.32, h - 0.12, z * 0.07)]
            parts.append((tube(claw, [0.08, 0.055, 0.02], 8), "main"))
    return parts


def axe(r: Generator) -> Parts:
    h, w = r.uniform(0.95, 1.1), r.uniform(0.3, 0.38)
    a = np.linspace(-0.6, 0.6, 7)
    edge = [(0.05 + w * np.cos(t), h - 0.15 + 0.42 * np.sin(t)) for t in a]
    blade = fan([(-0.03, h - 0.24), *edge, (-0.03, h - 0.06)], 0.075, (0.1, h - 0.15))
    parts: Parts = [(rod((0, 0, 0), (0, h, 0), 0.045, 0.04, 10), "wood*"), (blade, "main")]
    if r.random() < 0.35:
        parts.append((scaled(blade, x=-1), "main"))
    else:
        parts.append((box(0.16, 0.16, 0.11, (-0.03, h - 0.15, 0)), "main"))
    return parts


def sword(r: Generator) -> Parts:
    ln, w = r.uniform(0.85, 1.05), r.uniform(0.07, 0.1)
    blade = [
        (-w, 0.3),
        (w, 0.3),
        (w * 0.9, 0.3 + ln * 0.88),
        (0, 0.3 + ln),
        (-w * 0.9, 0.3 + ln * 0.88),
    ]
    return [
        (prism(blade, 0.05), "main"),
        (box(0.02, ln * 0.8, 0.062, (0, 0.3 + ln * 0.42, 0)), "metal"),
        (rod((0, 0.02, 0), (0, 0.3, 0), 0.045), "wood*"),
        (box(r.uniform(0.38, 0.5), 0.07, 0.1, (0, 0.3, 0)), "gold*"),
        (ball(0, 0, 0, 0.075), "gold*"),
    ]


def shovel(r: Generator) -> Parts:
    w, h = r.uniform(0.19, 0.23), r.uniform(0.75, 0.9)
    blade = [
        (-w, 0.42),
        (-w, 0.14),
        (-w * 0.5, 0.02),
        (0, 0),
        (w * 0.5, 0.02),
        (w, 0.14),
        (w, 0.42),
    ]
    parts: Parts = [
        (fan(blade, 0.05, (0, 0.25)), "main"),
        (rod((0, 0.3, 0), (0, 0.36 + h, 0), 0.036), "wood*"),
        (rod((0, 0.3, 0.02), (0, 0.52, 0), 0.06, 0.05), "main"),
    ]
    top = 0.36 + h
    if r.random() < 0.7:
        grip = [
            (-0.1, top + 0.12, 0),
            (-0.1, top + 0.02, 0),
            (0, top - 0.03, 0),
            (0.1, top + 0.02, 0),
            (0.1, top + 0.12, 0),
        ]
        parts.append((tube(grip, 0.028), "wood*"))
        parts.append((rod((-0.12, top + 0.12, 0), (0.12, top + 0.12, 0), 0.034), "wood*"))
    return parts


def saw(r: Generator) -> Parts:
    ln, n = r.uniform(0.85, 1.0), 15
    x = np.linspace(0, ln, n)
    bottom = [(a, 0.0 if k % 2 else -0.055) for k, a in enumerate(x)]
    top = np.linspace(0.3, 0.12, n)
    upper = [(a, b) for a, b in zip(x, top, strict=True)]
    a = np.linspace(0, 2 * np.pi, 15)[:-1]
    ring = strip(
        [(0.19 * np.cos(t) - 0.13, 0.13 + 0.2 * np.sin(t)) for t in a],
        [(0.09 * np.cos(t) - 0.14, 0.13 + 0.1 * np.sin(t)) for t in a],
        0.09,
        True,
    )
    return [(strip(bottom, upper, 0.03), "main"), (ring, "wood*")]


def screwdriver(r: Generator) -> Parts:
    w, h = r.uniform(0.1, 0.13), r.uniform(0.4, 0.48)
    ln = r.uniform(0.5, 0.62)
    handle = [
        (0, ln),
        (w * 0.6, ln),
        (w * 0.7, ln + 0.06),
        (w, ln + 0.14),
        (w, ln + h * 0.85),
        (w * 0.7, ln + h),
        (0, ln + h),
    ]
    tip = box(0.1, 0.12, 0.035, (0, 0.06, 0), taper=0.7)
    parts: Parts = [
        (lathe(handle, 10), "main"),
        (rod((0, 0.08, 0), (0, ln + 0.03, 0), 0.033), "metal*"),
        (tip, "metal*"),
    ]
    return parts


def wrench(r: Generator) -> Parts:
    ln, w = r.uniform(0.75, 0.9), r.uniform(0.07, 0.09)
    parts: Parts = [(box(2 * w, ln, 0.07, (0, ln / 2, 0)), "main")]
    ends = [(ln + 0.1, 1), (-0.1, -1)]
    for y, up in ends:
        if up < 0 and r.random() < 0.5:
            a = np.linspace(0, 2 * np.pi, 17)[:-1]
            ring = strip(
                [(0.17 * np.cos(t), y + 0.17 * np.sin(t)) for t in a],
                [(0.09 * np.cos(t), y + 0.09 * np.sin(t)) for t in a],
                0.09,
                True,
            )
            parts.append((ring, "main"))
            continue
        a = np.radians(np.linspace(120, 420, 14))
        jaw = strip(
            [(0.2 * np.cos(t), y + up * 0.2 * np.sin(t)) for t in a],
            [(0.09 * np.cos(t), y + up * 0.09 * np.sin(t)) for t in a],
            0.1,
        )
        parts.append((jaw if up > 0 else (jaw[0], jaw[1][:, ::-1]), "main"))
    return parts


def scissors(r: Generator) -> Parts:
    gape, ln = r.uniform(9, 20), r.uniform(0.55, 0.68)
    parts: Parts = []
    for s in (-1, 1):
        blade = prism([(-0.055, -0.05), (0.055, -0.05), (0.045, ln * 0.7), (0.0, ln)], 0.035)
        ring = scaled(torus(0.13, 0.04, 20), 0.85, 1, 1.15)
        ring = moved(rotated(ring, "x", 90), 0.06, -0.42, 0)
        arm = rod((0, 0, 0), (0.03, -0.3, 0), 0.045)
        for g, tone in ((blade, "metal*"), (ring, "main"), (arm, "main")):
            g = scaled(rotated(g, "z", gape), x=s)
            parts.append((moved(g, z=s * 0.02), tone))
    return [*parts, (disc(0, 0, 0, 0.045, 0.1, "z", 12), "dark")]


def knife(r: Generator) -> Parts:
    ln, w = r.uniform(0.65, 0.8), r.uniform(0.13, 0.18)
    blade = [
        (-0.04, 0),
        (w, 0),
        (w, ln * 0.6),
        (w * 0.6, ln * 0.85),
        (-0.02, ln),
        (-0.04, ln * 0.95),
    ]
    h = r.uniform(0.36, 0.44)
    parts: Parts = [
        (prism(blade, 0.035), "metal*"),
        (box(0.13, h, 0.1, (0.02, -h / 2, 0), 1.0), "main"),
    ]
    parts += [(disc(0.02, -h * k, 0, 0.02, 0.115, "z", 8), "metal") for k in (0.25, 0.5, 0.75)]
    return parts


def spoon(r: Generator) -> Parts:
    w, ln = r.uniform(0.17, 0.21), r.uniform(0.7, 0.85)
    bowl_ = [
        (0, -0.07),
        (0.5, -0.06),
        (0.85, -0.03),
        (1, 0.0),
        (0.93, 0.005),
        (0.6, -0.035),
        (0, -0.045),
    ]
    bowl_ = scaled(rotated(lathe(bowl_, 20), "x", 90), w, w * 1.45, 1)
    stem = [(0, -0.24, 0), (0, -0.32, 0.02), (0, -0.5 - ln * 0.3, 0.02), (0, -0.3 - ln, 0)]
    end = ellipsoid(0.065, 0.12, 0.025, (0, -0.3 - ln, 0), 10)
    return [(bowl_, "main"), (tube(stem, [0.045, 0.032, 0.032, 0.045], 8), "main"), (end, "main")]


def fork(r: Generator) -> Parts:
    n, ln = int(r.integers(3, 5)), r.uniform(0.65, 0.8)
    w = 0.17
    parts: Parts = [
        (
            prism(
                [
                    (-w, 0.12),
                    (-w * 0.75, 0.0),
                    (-0.04, -0.12),
                    (0.04, -0.12),
                    (w * 0.75, 0.0),
                    (w, 0.12),
                ],
                0.045,
            ),
            "main",
        )
    ]
    for k in range(n):
        x = (k / (n - 1) - 0.5) * 2 * (w - 0.028)
        parts.append((rod((x, 0.08, 0), (x, 0.46, 0.01), 0.03, 0.018), "main"))
    parts.append((rod((0, -0.08, 0), (0, -0.1 - ln, 0), 0.032, 0.05), "main"))
    return [*parts, (ellipsoid(0.065, 0.1, 0.028, (0, -0.12 - ln, 0), 10), "main")]


def brush(r: Generator) -> Parts:
    """A painter's brush, bristles up."""
    w, ln = r.uniform(0.14, 0.24), r.uniform(0.5, 0.62)
    flat = r.uniform(0.4, 0.6)
    body = lathe([(0, 0), (0.3, 0.02), (0.4, 0.15), (0.25, ln * 0.6), (0.75, ln), (0, ln)], 16)
    tip = lathe(
        [(0, ln + 0.12), (0.9, ln + 0.12), (1.06, ln + 0.3), (0.55, ln + 0.5), (0, ln + 0.53)], 16
    )
    return [
        (scaled(body, w, 1, w * flat), "wood*"),
        (scaled(cylinder(0.98, ln - 0.02, ln + 0.15, segments=16), w, 1, w * flat), "metal"),
        (scaled(tip, w, 1, w * flat), "main"),
    ]


def pencil(r: Generator) -> Parts:
    w, h = r.uniform(0.09, 0.12), r.uniform(0.85, 1.05)
    parts: Parts = [
        (cylinder(w, 0.28, 0.28 + h, segments=6), "main"),
        (lathe([(0, 0.1), (w * 0.36, 0.1), (w, 0.29), (0, 0.29)], 12), "cream"),
        (lathe([(0, 0), (w * 0.37, 0.1), (0, 0.11)], 12), "dark*"),
        (cylinder(w * 1.03, 0.28 + h, 0.36 + h, segments=12), "metal"),
        (cylinder(w * 0.97, 0.36 + h, 0.47 + h, w * 0.85, 12), "rose"),
    ]
    tilt = r.uniform(-35, 35)
    return [(rotated(g, "z", tilt), tone) for g, tone in parts]


def magnifier(r: Generator) -> Parts:
    rad, ln = r.uniform(0.3, 0.36), r.uniform(0.42, 0.55)
    return [
        (moved(rotated(torus(rad, 0.05, 28), "x", 90), y=rad), "main"),
        (disc(0, rad, 0, rad, 0.03, "z", 26), "glass"),
        (rod((0, 0, 0), (0, -0.12, 0), 0.04), "metal"),
        (rod((0, -0.1, 0), (0, -0.1 - ln, 0), 0.06, 0.075, 10), "wood*"),
    ]


def anchor(r: Generator) -> Parts:
    h, w = r.uniform(0.75, 0.9), r.uniform(0.4, 0.48)
    a = np.radians(np.linspace(200, 340, 13))
    arms = np.stack([w * np.cos(a), 0.42 + 0.42 * np.sin(a), 0 * a], 1)
    parts: Parts = [
        (rod((0, 0.02, 0), (0, h, 0), 0.06, 0.05), "main"),
        (tube(arms, 0.06, 8), "main"),
        (rod((-0.26, h - 0.16, 0), (0.26, h - 0.16, 0), 0.05), "main"),
        (moved(rotated(torus(0.1, 0.035, 18), "x", 90), y=h + 0.08), "main"),
    ]
    for s in (-1, 1):
        barb = prism([(-0.13, 0), (0.13, 0), (0, 0.24)], 0.09)
        parts.append(
            (moved(rotated(barb, "z", -s * 22), *(arms[-1 if s > 0 else 0] - (0, 0.06, 0))), "main")
        )
    return parts


def magnet(r: Generator) -> Parts:
    """A horseshoe magnet, poles up."""
    w, h, t = r.uniform(0.26, 0.32), r.uniform(0.3, 0.42), r.uniform(0.16, 0.2)
    a = np.linspace(np.pi, 2 * np.pi, 15)
    out, inner = w + 0.1, w - 0.1

    def line(k):
        return [(-k, h), *[(k * np.cos(u), k * np.sin(u)) for u in a], (k, h)]

    parts: Parts = [(strip(line(out), line(inner), t), "main")]
    parts += [(box(0.205, 0.18, t * 1.02, (s * w, h + 0.06, 0)), "metal*") for s in (-1, 1)]
    return parts


def broom(r: Generator) -> Parts:
    """A witch's broom."""
    h, w = r.uniform(0.9, 1.1), r.uniform(0.17, 0.22)
    parts: Parts = [
        (rod((0, 0.3, 0), (0, 0.4 + h, 0), 0.035), "wood*"),
        (
            lathe([(0, 0), (w, 0), (w * 1.05, 0.18), (w * 0.4, 0.42), (0.05, 0.5), (0, 0.5)], 14),
            "main",
        ),
        (cylinder(w * 0.5, 0.39, 0.45, segments=14), "red"),
    ]
    for k in range(12):
        a = 2 * np.pi * k / 12
        x, z = w * 1.0 * np.sin(a), w * np.cos(a)
        parts.append(
            (rod((x * 0.5, 0.38, z * 0.5), (x * 1.12, -0.04, z * 1.12), 0.025, None, 5), "main")
        )
    return parts


def shield(r: Generator) -> Parts:
    w, h = r.uniform(0.42, 0.5), r.uniform(0.5, 0.6)
    half = [
        (0, -h),
        (w * 0.55, -h * 0.55),
        (w * 0.92, 0.0),
        (w, h * 0.75),
        (w * 0.5, h * 0.82),
        (0, h * 0.95),
    ]
    poly = half + [(-x, y) for x, y in half[-2:0:-1]]
    inner = [(x * 0.86, y * 0.87) for x, y in poly]
    parts: Parts = [(fan(poly, 0.07), "metal*"), (moved(fan(inner, 0.08), z=0.03), "main")]
    if r.random() < 0.6:
        parts.append((box(0.09, h * 1.4, 0.03, (0, 0, 0.075)), "gold"))
        parts.append((box(w * 1.5, 0.09, 0.03, (0, h * 0.25, 0.075)), "gold"))
    else:
        parts.append((ball(0, h * 0.1, 0.07, 0.14, 0.14, 0.07), "gold"))
    return parts


def key(r: Generator) -> Parts:
    ln, rad = r.uniform(0.6, 0.75), r.uniform(0.17, 0.21)
    n = int(r.integers(2, 4))
    parts: Parts = [
        (moved(rotated(torus(rad, 0.06, 22), "x", 90), x=-ln / 2 - rad), "main"),
        (rod((-ln / 2 - 0.02, 0, 0), (ln / 2, 0, 0), 0.05), "main"),
    ]
    for k in range(n):
        tall = r.uniform(0.14, 0.26)
        parts.append((box(0.075, tall, 0.08, (ln / 2 - 0.05 - 0.12 * k, -tall / 2, 0)), "main"))
    return parts


def bow(r: Generator) -> Parts:
    """An archer's bow with an arrow."""
    h, bend = r.uniform(0.6, 0.68), r.uniform(0.28, 0.36)
    t = np.linspace(-1, 1, 13)
    curve = np.stack([bend * (1 - t**2) - 0.1, h * t, 0 * t], 1)
    parts: Parts = [
        (tube(curve, 0.02 + 0.025 * (1 - t**2), 8), "main"),
        (rod((-0.1, -h, 0), (-0.1, h, 0), 0.012, None, 5), "snow*"),
        (rod((-0.12, 0, 0), (0.55, 0, 0), 0.018, None, 6), "wood"),
        (moved(rotated(cone(0.05, 0, 0.12, 8), "z", -90), x=0.53), "metal"),
    ]
    for k in range(3):
        feather = prism([(-0.14, 0.01), (0.0, 0.01), (-0.04, 0.08), (-0.16, 0.08)], 0.015)
        parts.append((rotated(feather, "x", 120 * k), "red"))
    return parts


FAMILIES = {
    f.__name__: f
    for f in (anchor, axe, bow, broom, brush, fork, hammer, key, knife, magnet, magnifier, pencil,
              saw, scissors, screwdriver, shield, shovel, spoon, sword, wrench)
}  # fmt: skip
SYMMETRIC = """anchor axe broom brush fork hammer magnet magnifier scissors screwdriver shovel sword
wrench"""

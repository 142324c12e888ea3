"""Vessels, toys, clothes and other things of a house. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, disc, rod
from score3d.world.primitives import (
    box,
    cylinder,
    lathe,
    loft,
    moved,
    rotated,
    scaled,
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "camera": "lens",
    "book": "pages",
    "bucket": "handle",
    "basket": "handle",
    "candle": "holder",
    "kettle": "handle",
    "jar": "lid",
    "barrel": "hoops",
    "bell": "handle",
    "gift": "ribbon",
    "lantern": "frame",
    "pan": "handle",
}


def _arc(x0, y0, rx, ry, a0, a1, n=10, z=0.0):
    """Points of an ellipse arc in the x-y plane, angles in degrees."""
    a = np.radians(np.linspace(a0, a1, n))
    return np.stack([x0 + rx * np.cos(a), y0 + ry * np.sin(a), z + 0 * a], 1)


def camera(r: Generator) -> Parts:
    w, h, rad = r.uniform(0.8, 0.95), r.uniform(0.5, 0.58), r.uniform(0.17, 0.21)
    return [
        (box(w, h, 0.3, (0, h / 2, 0)), "main"),
        (box(w * 0.34, 0.13, 0.26, (0, h + 0.05, 0), taper=0.8), "main"),
        (disc(0, h * 0.47, 0.2, rad, 0.2, "z", 24), "dark*"),
        (disc(0, h * 0.47, 0.34, rad * 0.8, 0.12, "z", 24), "dark*"),
        (disc(0, h * 0.47, 0.41, rad * 0.6, 0.02, "z", 20), "glass"),
        (moved(cylinder(0.06, 0, 0.06, segments=14), w * 0.35, h, 0), "metal"),
        (moved(cylinder(0.08, 0, 0.04, segments=14), -w * 0.35, h, 0), "metal"),
        (box(0.16, 0.08, 0.02, (-w * 0.33, h * 0.82, 0.15)), "light"),
        (box(w * 0.5, h * 0.6, 0.02, (0, h * 0.48, -0.15)), "dark"),
    ]


def book(r: Generator) -> Parts:
    w, h, t = r.uniform(0.6, 0.7), r.uniform(0.85, 0.95), r.uniform(0.12, 0.2)
    if r.random() < 0.5:  # standing closed, the spine on -x
        parts: Parts = [(box(w, h, 0.03, (0, h / 2, s * t / 2)), "main") for s in (-1, 1)]
        parts.append((box(0.03, h, t + 0.03, (-w / 2, h / 2, 0)), "main"))
        parts.append((box(w * 0.95, h * 0.95, t * 0.95, (-0.005, h / 2, 0)), "cream*"))
        parts.append((box(w * 0.6, 0.09, 0.02, (0, h * 0.7, t / 2 + 0.012)), "gold"))
        return parts
    parts = []  # open
    for s in (-1, 1):
        cover = [(box(w, 0.03, h, (s * w / 2, 0, 0)), "main")]
        cover.append(
            (box(w * 0.94, t * 0.6, h * 0.94, (s * w * 0.47, t * 0.3 + 0.01, 0)), "cream*")
        )
        cover += [
            (box(w * 0.7, 0.012, 0.03, (s * w * 0.48, t * 0.6 + 0.012, z * h)), "dark")
            for z in np.linspace(-0.33, 0.33, 6)
        ]
        parts += [(rotated(g, "z", s * 14), tone) for g, tone in cover]
    return [(rotated(g, "x", 35), tone) for g, tone in parts]


def bucket(r: Generator) -> Parts:
    a, b, h = r.uniform(0.24, 0.28), r.uniform(0.34, 0.38), r.uniform(0.55, 0.65)
    wall = [
        (0, 0),
        (a, 0),
        (b, h),
        (b * 1.05, h),
        (b * 1.05, h + 0.03),
        (b * 0.94, h + 0.03),
        (a * 0.92, 0.05),
        (0, 0.05),
    ]
    up = r.random() < 0.6
    handle = _arc(0, h, b, 0.36, 0, 180)
    if not up:
        handle = moved((handle - (0, h, 0), np.zeros((0, 3), int)), 0, 0, 0)[0]
        handle = rotated((handle, np.zeros((0, 3), int)), "x", 75)[0] + (0, h, 0)
    return [(lathe(wall, 24), "main"), (tube(handle, 0.018, 6), "metal*")]


def basket(r: Generator) -> Parts:
    w, d, h = r.uniform(0.44, 0.52), r.uniform(0.3, 0.38), r.uniform(0.3, 0.36)
    wall = [(0, 0), (0.8, 0), (1, h), (0.93, h), (0.74, 0.04), (0, 0.04)]
    parts: Parts = [(scaled(lathe(wall, 24), w, 1, d), "main")]
    for y in np.linspace(0.04, h, 5):
        k = 0.8 + 0.2 * y / h
        parts.append((moved(scaled(torus(k, 0.035, 26), w, 0.7, d), y=y), "main"))
    for k in range(14):
        a = 2 * np.pi * k / 14
        s, c = np.sin(a), np.cos(a)
        parts.append(
            (rod((0.81 * w * s, 0, 0.81 * d * c), (1.02 * w * s, h, 1.02 * d * c), 0.022), "main")
        )
    return [*parts, (tube(_arc(0, h, w, r.uniform(0.36, 0.46), 0, 180, 12), 0.03), "wood*")]


def candle(r: Generator) -> Parts:
    rad, h = r.uniform(0.1, 0.15), r.uniform(0.55, 0.8)
    parts: Parts = [
        (lathe([(0, 0), (0.3, 0), (0.34, 0.06), (0.3, 0.05), (0, 0.04)], 22), "gold*"),
        (cylinder(rad * 1.25, 0.04, 0.14, segments=18), "gold*"),
        (tube(_arc(0.34, 0.13, 0.1, 0.1, -120, 150), 0.02), "gold*"),
        (cylinder(rad, 0.08, h, segments=18), "main"),
        (rod((0, h, 0), (0.01, h + 0.07, 0), 0.014), "dark"),
        (lathe([(0, h + 0.05), (0.05, h + 0.11), (0.045, h + 0.16), (0, h + 0.28)], 12), "flame"),
    ]
    for k in range(4):
        a, y = k * 1.7 + r.uniform(0, 1), h - r.uniform(0.04, 0.2)
        parts.append((ball(rad * np.sin(a), y, rad * np.cos(a), 0.03, 0.09, 0.03, 8), "main"))
    return parts


def kettle(r: Generator) -> Parts:
    w, h = r.uniform(0.36, 0.4), r.uniform(0.42, 0.5)
    body = [(0, 0), (w, 0), (w * 1.02, 0.06), (w * 0.9, h * 0.6), (w * 0.5, h), (0, h)]
    spout = [(w * 0.8, h * 0.3, 0), (w * 1.2, h * 0.55, 0), (w * 1.45, h * 1.0, 0)]
    return [
        (lathe(body, 24), "main"),
        (tube(spout, [0.09, 0.07, 0.04], 10), "main"),
        (tube(_arc(0, h * 0.7, w * 0.8, h * 1.0, 12, 168, 12), 0.035), "dark*"),
        (ball(0, h + 0.05, 0, 0.06), "dark"),
        (cylinder(w * 0.42, h * 0.98, h * 1.04, w * 0.3), "main"),
    ]


def goblet(r: Generator) -> Parts:
    w, h, bowl = r.uniform(0.22, 0.28), r.uniform(0.4, 0.5), r.uniform(0.38, 0.48)
    profile = [
        (0, 0),
        (w * 0.95, 0),
        (w * 0.9, 0.03),
        (0.04, 0.08),
        (0.035, h),
        (w * 0.75, h + bowl * 0.25),
        (w, h + bowl * 0.6),
        (w * 0.85, h + bowl),
        (w * 0.8, h + bowl),
        (w * 0.92, h + bowl * 0.6),
        (w * 0.66, h + bowl * 0.28),
        (0, h + 0.06),
    ]
    return [(lathe(profile, 26), "main")]


def jar(r: Generator) -> Parts:
    w, h = r.uniform(0.3, 0.36), r.uniform(0.62, 0.78)
    body = [
        (0, 0),
        (w * 0.9, 0),
        (w, 0.06),
        (w, h * 0.8),
        (w * 0.72, h * 0.92),
        (w * 0.72, h),
        (0, h),
    ]
    parts: Parts = [
        (lathe(body, 24), "main"),
        (cylinder(w * 0.8, h - 0.02, h + 0.12, segments=24), "metal*"),
    ]
    if r.random() < 0.6:
        parts.append((spine_label(w, h), "cream"))
    return parts


def spine_label(w: float, h: float):
    """A paper label on the front third of a jar."""
    a = np.radians(np.linspace(-50, 50, 9))
    ring = [
        [(k * w * np.sin(t), y, k * w * np.cos(t)) for t in a]
        for k, y in ((1.02, h * 0.25), (1.02, h * 0.6))
    ]
    inner = [[(0.9 * x, y, 0.9 * z) for x, y, z in row][::-1] for row in ring]
    return loft([a_ + b_ for a_, b_ in zip(ring, inner, strict=True)])


def barrel(r: Generator) -> Parts:
    w, h, belly = r.uniform(0.3, 0.36), r.uniform(0.85, 1.0), r.uniform(1.15, 1.3)
    t = np.linspace(0, 1, 9)
    k = w * (1 + (belly - 1) * np.sin(np.pi * t))
    parts: Parts = [(lathe([(0, 0), *zip(k, h * t, strict=True), (0, h)], 22), "main")]
    for u in (0.06, 0.28, 0.72, 0.94):
        q = w * (1 + (belly - 1) * np.sin(np.pi * u)) * 1.02
        parts.append((cylinder(q, h * u - 0.03, h * u + 0.03, segments=22), "dark*"))
    if r.random() < 0.25:  # lying
        parts = [(rotated(g, "x", 90), tone) for g, tone in parts]
    return parts


def bell(r: Generator) -> Parts:
    w, h = r.uniform(0.4, 0.46), r.uniform(0.55, 0.65)
    cup = [
        (0, 0.06),
        (w * 0.9, 0.0),
        (w, 0.02),
        (w * 0.75, h * 0.25),
        (w * 0.58, h * 0.6),
        (w * 0.45, h * 0.88),
        (0, h),
    ]
    parts: Parts = [(lathe(cup, 26), "main"), (ball(0, 0.0, 0, 0.11), "dark")]
    if r.random() < 0.5:
        return [
            *parts,
            (rod((0, h - 0.03, 0), (0, h + 0.36, 0), 0.06, 0.075, 12), "wood*"),
            (ball(0, h + 0.38, 0, 0.08), "wood*"),
        ]
    return [*parts, (moved(rotated(torus(0.1, 0.03, 18), "x", 90), y=h + 0.08), "wood*")]


def gift(r: Generator) -> Parts:
    w, h, d = r.uniform(0.65, 0.85), r.uniform(0.5, 0.75), r.uniform(0.65, 0.85)
    parts: Parts = [
        (box(w, h, d, (0, h / 2, 0)), "main"),
        (box(w * 1.06, 0.13, d * 1.06, (0, h, 0)), "main"),
        (box(w * 0.17, h + 0.14, d * 1.08, (0, h / 2 + 0.01, 0)), "gold*"),
        (box(w * 1.08, h + 0.14, d * 0.17, (0, h / 2 + 0.01, 0)), "gold*"),
        (ball(0, h + 0.11, 0, 0.07), "gold*"),
    ]
    for k in range(4):
        loop = moved(
            rotated(rotated(scaled(torus(0.1, 0.035, 14), 1.25, 1, 0.8), "x", 90), "z", 28),
            0.14,
            h + 0.16,
            0,
        )
        parts.append((rotated(loop, "y", 45 + 90 * k), "gold*"))
    return parts


def lantern(r: Generator) -> Parts:
    w, h = r.uniform(0.22, 0.26), r.uniform(0.4, 0.5)
    parts: Parts = [
        (cylinder(w * 1.25, 0, 0.08, w * 1.15, 20), "main"),
        (cylinder(w * 0.9, 0.08, h + 0.08, segments=18), "flame"),
        (
            lathe(
                [
                    (0, h + 0.08),
                    (w * 1.3, h + 0.08),
                    (w * 0.5, h + 0.26),
                    (w * 0.4, h + 0.34),
                    (0, h + 0.36),
                ],
                20,
            ),
            "main",
        ),
        (tube(_arc(0, h + 0.28, w * 0.85, 0.3, 0, 180), 0.018, 6), "dark*"),
    ]
    for k in range(6):
        a = np.pi * (k + 0.5) / 3
        x, z = w * np.sin(a), w * np.cos(a)
        parts.append((rod((x, 0.06, z), (x, h + 0.1, z), 0.022, None, 6), "dark*"))
    return [*parts, (cylinder(w * 1.02, h * 0.5 + 0.05, h * 0.5 + 0.08, segments=18), "dark*")]


def pan(r: Generator) -> Parts:
    w, h = r.uniform(0.36, 0.42), r.uniform(0.1, 0.16)
    wall = [(0, 0), (w * 0.88, 0), (w, h), (w * 0.95, h), (w * 0.84, 0.03), (0, 0.03)]
    ln = r.uniform(0.5, 0.65)
    return [
        (lathe(wall, 28), "main"),
        (rod((w * 0.93, h * 0.85, 0), (w + ln, h + 0.1, 0), 0.04, 0.05), "dark*"),
    ]


def bowl(r: Generator) -> Parts:
    w, h = r.uniform(0.46, 0.54), r.uniform(0.3, 0.38)
    t = np.linspace(0.25, np.pi / 2, 8)
    out = [(w * np.sin(a), 0.06 + h * (1 - np.cos(a))) for a in t]
    inner = [(k * 0.92, y + 0.03 * (y < h)) for k, y in out[::-1]]
    return [(lathe([(0, 0), (w * 0.42, 0), (w * 0.38, 0.04), *out, *inner, (0, 0.1)], 28), "main")]


FAMILIES = {
    f.__name__: f
    for f in (
        barrel,
        basket,
        bell,
        book,
        bowl,
        bucket,
        camera,
        candle,
        gift,
        goblet,
        jar,
        kettle,
        lantern,
        pan,
    )
}
SYMMETRIC = "barrel basket bell bowl bucket candle gift goblet jar lantern"

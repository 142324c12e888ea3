"""Flowers, toys and symbols. Flat ones face the front. Conventions: see the package."""

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
    loft,
    moved,
    prism,
    rotated,
    scaled,
    strip,
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "flower": "stem",
    "tulip": "stem",
    "sunflower": "stem",
    "palm": "trunk",
    "houseplant": "pot",
    "dice": "dots",
    "flag": "pole",
    "kite": "tail",
    "globe": "stand",
    "trophy": "base",
    "ring": "gem",
    "hourglass": "sand",
    "ladder": "rungs",
    "bomb": "fuse",
    "dumbbell": "bar",
}


def _stem(h: float, leaves: int) -> Parts:
    parts: Parts = [(tube([(0, 0, 0), (0.02, h * 0.5, 0), (0, h, 0)], 0.028), "leaf*")]
    for k in range(leaves):
        s = 1 - 2 * (k % 2)
        leaf = rotated(ellipsoid(0.18, 0.02, 0.07, (0.17, 0, 0), 10), "z", 40)
        parts.append((moved(scaled(leaf, x=s), 0, h * (0.15 + 0.16 * k), 0), "leaf*"))
    return parts


def flower(r: Generator) -> Parts:
    """A daisy that looks up and forward."""
    h, n, size = r.uniform(0.65, 0.85), int(r.integers(5, 10)), r.uniform(0.16, 0.2)
    head: Parts = [(ellipsoid(0.11, 0.07, 0.11, (0, 0.02, 0), 12), "gold")]
    for k in range(n):
        petal = ellipsoid(size, 0.03, min(0.11, 2.2 * size / n + 0.035), (0.08 + size, 0, 0), 12)
        head.append((rotated(rotated(petal, "z", 12), "y", 360 * k / n), "main"))
    tilt = r.uniform(35, 65)
    return _stem(h, 2) + [(moved(rotated(g, "x", tilt), 0, h, 0), t) for g, t in head]


def sunflower(r: Generator) -> Parts:
    h, n, rad = r.uniform(0.8, 0.95), 16, r.uniform(0.17, 0.21)
    head: Parts = [(ellipsoid(rad, 0.06, rad, (0, 0.03, 0), 18), "seeds")]
    for k in range(n):
        petal = ellipsoid(0.12, 0.02, 0.05, (rad + 0.09, 0, 0), 8)
        head.append((rotated(rotated(petal, "z", 6 + 10 * (k % 2)), "y", 360 * k / n), "main"))
    tilt = r.uniform(62, 82)
    return _stem(h, 3) + [(moved(rotated(g, "x", tilt), 0, h, 0.03), t) for g, t in head]


def tulip(r: Generator) -> Parts:
    h, w, tall = r.uniform(0.6, 0.75), r.uniform(0.15, 0.18), r.uniform(0.17, 0.2)
    parts: Parts = [(tube([(0, 0, 0), (0.01, h * 0.5, 0), (0, h, 0)], 0.028), "leaf*")]
    parts.append((ellipsoid(w * 0.95, tall, w * 0.95, (0, h + tall * 0.8, 0), 14), "main"))
    for k in range(6):
        petal = ellipsoid(w * 0.72, tall * 1.25, 0.04, (0, tall * 1.1, 0), 12)
        petal = moved(rotated(petal, "x", 3 + 5 * (k % 2)), z=w * 0.8)
        parts.append((moved(rotated(petal, "y", 60 * k), y=h - 0.02), "main"))
    for s in (-1, 1):
        leaf = rotated(ellipsoid(0.06, 0.3, 0.025, (0, 0.29, 0), 10), "z", -s * r.uniform(12, 24))
        parts.append((leaf, "leaf*"))
    return parts


def palm(r: Generator) -> Parts:
    h, lean, n = r.uniform(0.8, 1.0), r.uniform(-0.15, 0.15), int(r.integers(7, 10))
    path = [(0, 0, 0), (lean * 0.3, h * 0.4, 0), (lean, h, 0)]
    parts: Parts = [(tube(path, [0.085, 0.065, 0.05], 10), "wood*")]
    for k in range(n):
        a, droop = 360 * k / n + r.uniform(-10, 10), r.uniform(0.2, 0.4)
        t = np.linspace(0, 1, 7)
        ridge = np.stack([0.52 * t, 0.3 * t - (0.3 + droop) * t**2, 0 * t], 1)
        half = 0.1 * np.sin(np.pi * np.clip(t * 0.9 + 0.1, 0, 1)) + 0.004
        rings = [
            [p + np.array(d) for d in ((0, 0.02, 0), (0, -0.02, q), (0, -0.05, 0), (0, -0.02, -q))]
            for p, q in zip(ridge, half, strict=True)
        ]
        parts.append((moved(rotated(loft(rings), "y", a), lean, h, 0), "main"))
    for k in range(3):
        a = 2.1 * k
        parts.append((ball(lean + 0.08 * np.sin(a), h - 0.06, 0.08 * np.cos(a), 0.06), "wood"))
    return parts


def houseplant(r: Generator) -> Parts:
    w, h, n = r.uniform(0.2, 0.25), r.uniform(0.28, 0.34), int(r.integers(9, 13))
    parts: Parts = [
        (cylinder(w * 0.75, 0, h, w, 20), "pottery*"),
        (cylinder(w * 1.1, h - 0.06, h, segments=20), "pottery*"),
        (cylinder(w * 0.9, h - 0.02, h + 0.01, segments=16), "seeds"),
    ]
    broad = r.random() < 0.5
    for k in range(n):
        a, lean = 137.5 * k, 10 + 45 * k / n
        ln = r.uniform(0.3, 0.42)
        leaf = ellipsoid(
            0.11 if broad else 0.05, ln * 0.55, 0.02, (0, ln * (1.05 if broad else 0.55), 0), 10
        )
        piece: Parts = [(leaf, "main")]
        if broad:
            piece.append((rod((0, 0, 0), (0, ln * 0.6, 0), 0.014, None, 5), "main"))
        parts += [(moved(rotated(rotated(g, "x", lean), "y", a), y=h), t) for g, t in piece]
    return parts


def star(r: Generator) -> Parts:
    n, k, t = (5, r.uniform(0.4, 0.5), r.uniform(0.16, 0.24))
    a = np.pi / 2 + np.arange(2 * n) * np.pi / n
    rad = np.where(np.arange(2 * n) % 2, k, 1.0) * 0.55
    poly = np.stack([rad * np.cos(a), rad * np.sin(a)], 1)
    v, f = fan(poly, 0.03)
    v[-2:, 2] *= t / 0.03  # the middle bulges
    return [((v, f), "main")]


def heart(r: Generator) -> Parts:
    a = np.linspace(0, 2 * np.pi, 37)[:-1]
    x = 0.5 * np.sin(a) ** 3
    y = (13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)) / 32
    poly = np.stack([x * r.uniform(0.95, 1.1), y], 1)[::-1]
    t = r.uniform(0.24, 0.32)
    g = fan(poly, t, (0, 0.02))
    front = [
        (poly * k * 1.0, z)
        for k, z in ((0.8, -t * 0.75), (1.0, -t * 0.35), (1.0, t * 0.35), (0.8, t * 0.75))
    ]
    rings = [np.column_stack([p, np.full(len(p), z)]) for p, z in front]
    return [(loft(rings), "main"), (moved(g, z=0), "main")]


def moon(r: Generator) -> Parts:
    """A crescent, open to +x."""
    a = np.radians(np.linspace(50, 310, 21))
    bite, t = r.uniform(0.16, 0.26), r.uniform(0.14, 0.22)
    x0 = 0.5 * np.cos(a[0])
    out = np.stack([0.5 * np.cos(a), 0.5 * np.sin(a)], 1)
    u = np.linspace(0, 1, 21)
    y = 0.5 * np.sin(a[0]) * np.cos(np.pi * u)
    inner = np.stack([x0 - (0.5 + x0 - bite) * np.sin(np.pi * u) ** 0.8, y], 1)
    return [(strip(out, inner, t), "main")]


def gear(r: Generator) -> Parts:
    n, t, k = int(r.integers(8, 13)), r.uniform(0.14, 0.22), r.uniform(0.8, 0.85)
    a = np.arange(4 * n) * np.pi / (2 * n)
    rad = 0.52 * np.tile([1, 1, k, k], n)
    out = np.stack([rad * np.cos(a), rad * np.sin(a)], 1)
    inner = 0.15 * np.stack([np.cos(a), np.sin(a)], 1)
    return [(strip(out, inner, t, True), "main")]


def pawn(r: Generator) -> Parts:
    w, h = r.uniform(0.28, 0.33), r.uniform(0.5, 0.58)
    profile = [
        (0, 0),
        (w, 0),
        (w, 0.08),
        (w * 0.75, 0.14),
        (w * 0.42, 0.3),
        (w * 0.36, h),
        (w * 0.68, h + 0.02),
        (w * 0.66, h + 0.07),
        (0, h + 0.08),
    ]
    return [(lathe(profile, 24), "main"), (ball(0, h + 0.23, 0, w * 0.64, segments=18), "main")]


def rook(r: Generator) -> Parts:
    w, h = r.uniform(0.3, 0.35), r.uniform(0.62, 0.75)
    profile = [
        (0, 0),
        (w, 0),
        (w, 0.1),
        (w * 0.75, 0.16),
        (w * 0.58, 0.26),
        (w * 0.56, h),
        (w * 0.82, h + 0.06),
        (w * 0.82, h + 0.14),
        (w * 0.6, h + 0.14),
        (w * 0.6, h + 0.06),
        (0, h + 0.06),
    ]
    parts: Parts = [(lathe(profile, 24), "main")]
    for k in range(6):
        tooth = box(w * 0.4, 0.13, w * 0.24, (0, h + 0.18, w * 0.7))
        parts.append((rotated(tooth, "y", 60 * k), "main"))
    return parts


def dice(r: Generator) -> Parts:
    parts: Parts = [(box(1, 1, 1), "main")]
    spots = {1: [(0, 0)], 2: [(-1, -1), (1, 1)], 3: [(-1, -1), (0, 0), (1, 1)]}
    spots[4] = [(-1, -1), (1, 1), (-1, 1), (1, -1)]
    spots[5] = [*spots[4], (0, 0)]
    spots[6] = [*spots[4], (-1, 0), (1, 0)]
    order = r.permutation(6)
    turns = (("y", 0), ("y", 180), ("y", 90), ("y", 270), ("x", 90), ("x", -90))
    for (axis, angle), k in zip(turns, order, strict=True):
        for x, y in spots[int(k) + 1]:
            dot = disc(x * 0.27, y * 0.27, 0.5, 0.1, 0.02, "z", 12)
            parts.append((rotated(dot, axis, angle), "snow*"))
    return parts


def flag(r: Generator) -> Parts:
    """Its cloth flies towards +x."""
    h, w, ln = r.uniform(1.0, 1.15), r.uniform(0.4, 0.48), r.uniform(0.6, 0.75)
    t = np.linspace(0, 1, 12)
    wave = r.uniform(0.03, 0.07) * np.sin(7 * t + r.uniform(0, 6)) * t
    top = np.stack([ln * t, wave], 1)
    half = np.array([0, 0.012])
    # a thin band in the x-z plane, extruded along y
    cloth = rotated(strip(top - half, top + half, w), "x", -90)
    return [
        (rod((0, 0, 0), (0, h, 0), 0.026), "wood*"),
        (ball(0, h + 0.03, 0, 0.05), "gold"),
        (moved(cloth, 0, h - w / 2 - 0.03, 0), "main"),
        (cylinder(0.16, 0, 0.05, segments=16), "wood*"),
    ]


def kite(r: Generator) -> Parts:
    w, up = r.uniform(0.34, 0.4), r.uniform(0.3, 0.36)
    quarters = [
        [(0, up), (-w, 0), (0, 0)],
        [(0, 0), (-w, 0), (0, -0.55)],
        [(0, 0), (0, -0.55), (w, 0)],
        [(0, 0), (w, 0), (0, up)],
    ]
    parts: Parts = [(prism(q, 0.025), "main") for q in quarters]
    parts += [
        (rod((-w, 0, 0.02), (w, 0, 0.02), 0.014, None, 5), "wood"),
        (rod((0, up, 0.02), (0, -0.55, 0.02), 0.014, None, 5), "wood"),
    ]
    t = np.linspace(0, 1, 14)
    tail = np.stack([0.09 * np.sin(9 * t), -0.55 - 0.5 * t, 0 * t], 1)
    parts.append((tube(tail, 0.014, 5), "red*"))
    for k in (3, 7, 11):
        for s in (-1, 1):
            bow_ = rotated(cone(0.05, 0, 0.11, 6), "z", s * 90)
            parts.append((moved(bow_, *(tail[k] + (s * 0.1, 0, 0))), "red*"))
    return parts


def globe(r: Generator) -> Parts:
    """The seas in the main colour, land in green."""
    rad = r.uniform(0.36, 0.4)
    y = rad + 0.22
    parts: Parts = [(ellipsoid(rad, rad, rad, (0, y, 0), 24), "main")]
    for _ in range(13):
        d = r.normal(size=3)
        d /= np.linalg.norm(d)
        blob = r.uniform(0.11, 0.19)
        squash = ellipsoid(blob, blob * r.uniform(0.6, 1.0), 0.025, (0, 0, 0), 10)
        squash = rotated(squash, "x", -np.degrees(np.arcsin(d[1])))
        squash = rotated(squash, "y", np.degrees(np.arctan2(d[0], d[2])))
        parts.append((moved(squash, *(d * (rad - 0.006) + (0, y, 0))), "leaf"))
    a = np.radians(np.linspace(-110, 70, 15))
    arc = np.stack([(rad + 0.06) * np.cos(a), y + (rad + 0.06) * np.sin(a), 0 * a], 1)
    parts.append((tube(arc, 0.026), "wood*"))
    parts.append(
        (lathe([(0, 0), (0.26, 0), (0.24, 0.05), (0.05, 0.1), (0.04, 0.2), (0, 0.2)], 20), "wood*")
    )
    return parts


def trophy(r: Generator) -> Parts:
    w, h = r.uniform(0.27, 0.31), r.uniform(0.38, 0.46)
    cup = [
        (0, 0.38),
        (0.06, 0.38),
        (w * 0.65, 0.46),
        (w * 0.95, 0.36 + h * 0.7),
        (w * 1.05, 0.4 + h),
        (w * 0.95, 0.4 + h),
        (w * 0.8, 0.36 + h * 0.7),
        (0, 0.5),
    ]
    parts: Parts = [
        (box(0.4, 0.16, 0.4, (0, 0.08, 0)), "dark*"),
        (lathe([(0, 0.16), (0.17, 0.16), (0.05, 0.24), (0.05, 0.4), (0, 0.4)], 18), "main"),
        (lathe(cup, 24), "main"),
    ]
    for s in (-1, 1):
        ear = [
            (s * w * 0.95, 0.34 + h, 0),
            (s * (w + 0.16), 0.36 + h * 0.95, 0),
            (s * (w + 0.17), 0.38 + h * 0.55, 0),
            (s * w * 0.75, 0.36 + h * 0.35, 0),
        ]
        parts.append((tube(ear, 0.032), "main"))
    return parts


def diamond(r: Generator) -> Parts:
    n, w, h = 8, 0.5, r.uniform(0.42, 0.52)
    return [(lathe([(0, -h), (w, 0.06), (w * r.uniform(0.55, 0.65), 0.28), (0, 0.28)], n), "main")]


def ring(r: Generator) -> Parts:
    t, gem = r.uniform(0.05, 0.08), r.uniform(0.13, 0.18)
    stone = lathe([(0, -gem * 1.1), (gem, 0), (gem * 0.65, gem * 0.5), (0, gem * 0.5)], 8)
    return [
        (rotated(torus(0.38, t, 30), "x", 90), "main"),
        (cylinder(gem * 0.4, 0.38, 0.46, gem * 0.8, 10), "main"),
        (moved(stone, y=0.42 + gem * 0.9), "glass*"),
    ]


def hourglass(r: Generator) -> Parts:
    w, h, left = r.uniform(0.24, 0.28), 0.42, r.uniform(0.3, 0.9)
    t = np.linspace(-1, 1, 17)
    k = 0.03 + (w - 0.03) * np.abs(t) ** 0.8 * np.sqrt(np.clip(1.08 - np.abs(t) ** 8, 0, 1))
    parts: Parts = [(lathe([(0, -h), *zip(k, h * t, strict=True), (0, h)], 20), "glass")]
    for s in (-1, 1):
        y = s * (h + 0.04)
        parts.append((cylinder(w * 1.35, y - 0.06, y + 0.06, segments=22), "main"))
    for q in range(3):
        a = 2 * np.pi * q / 3
        x, z = w * 1.15 * np.sin(a), w * 1.15 * np.cos(a)
        parts.append((rod((x, -h, z), (x, h, z), 0.036), "main"))
    # The glass is opaque here: the sand shows as bands around the bulbs.
    parts.append((cylinder(w * 1.01, -h, -h * (1 - 0.45 * left), w * 0.9, 20), "waffle*"))
    parts.append((cylinder(w * 0.56, h * 0.34, h * 0.52, w * 0.76, 20), "waffle*"))
    return parts


def ladder(r: Generator) -> Parts:
    w, h, n = r.uniform(0.19, 0.24), r.uniform(1.1, 1.25), int(r.integers(5, 8))

    def side(z0, z1, rungs):
        got: Parts = [(rod((s * w, 0, z0), (s * w * 0.85, h, z1), 0.034), "main") for s in (-1, 1)]
        for k in range(rungs):
            t = (k + 0.7) / (rungs + 0.4)
            x, z = w * (1 - 0.15 * t), z0 + (z1 - z0) * t
            got.append((rod((-x, h * t, z), (x, h * t, z), 0.026), "main*"))
        return got

    if r.random() < 0.5:
        return side(0, 0, n)
    return side(0.3, 0.02, n) + side(-0.3, -0.02, 2)


def bomb(r: Generator) -> Parts:
    rad = r.uniform(0.38, 0.42)
    fuse = [(0, rad * 1.1, 0), (0.02, rad + 0.16, 0), (0.12, rad + 0.22, 0), (0.2, rad + 0.18, 0)]
    parts: Parts = [
        (ellipsoid(rad, rad, rad, (0, 0, 0), 24), "main"),
        (cylinder(0.12, rad - 0.05, rad + 0.07, segments=16), "main"),
        (tube(fuse, 0.028, 7), "waffle*"),
    ]
    for k in range(6):
        a = np.pi * k / 3
        p = np.array([0.2, rad + 0.18, 0])
        parts.append(
            (rod(p, p + 0.09 * np.array([np.cos(a), np.sin(a), 0.4]), 0.016, 0.003, 5), "flame")
        )
    return parts


def dumbbell(r: Generator) -> Parts:
    ln, rad = r.uniform(0.3, 0.36), r.uniform(0.2, 0.25)
    parts: Parts = [(rod((-ln - 0.2, 0, 0), (ln + 0.2, 0, 0), 0.045, None, 10), "metal*")]
    hexagon = 6 if r.random() < 0.4 else 20
    for s in (-1, 1):
        parts.append((disc(s * ln, 0, 0, rad, 0.12, "x", hexagon), "main"))
        parts.append((disc(s * (ln + 0.12), 0, 0, rad * 0.78, 0.1, "x", hexagon), "main"))
    return parts


def arrow(r: Generator) -> Parts:
    """A direction sign, pointing to +x."""
    w, t = r.uniform(0.1, 0.14), r.uniform(0.14, 0.2)
    head = r.uniform(0.28, 0.34)
    return [
        (box(0.62, 2 * w, t, (-0.2, 0, 0)), "main"),
        (moved(prism([(0, -head), (0.42, 0), (0, head)], t), x=0.1), "main"),
    ]


FAMILIES = {
    f.__name__: f
    for f in (arrow, bomb, diamond, dice, dumbbell, flag, flower, gear, globe, heart, hourglass,
              houseplant, kite, ladder, moon, palm, pawn, ring, rook, star, sunflower, trophy,
              tulip)
}  # fmt: skip
SYMMETRIC = """diamond dice dumbbell gear heart hourglass houseplant palm pawn ring rook star
trophy tulip"""

"""Food. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, rod
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
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "banana": "tips",
    "pear": "stem",
    "strawberry": "leaves",
    "pineapple": "leaves",
    "carrot": "leaves",
    "pumpkin": "stem",
    "cake": "candles",
    "cupcake": "wrapper",
    "hamburger": "filling",
    "icecream": "cone",
    "doughnut": "sprinkles",
    "lollipop": "stick",
    "pizza": "crust",
    "cherry": "stems",
    "watermelon": "flesh",
    "corn": "leaves",
    "egg": "cup",
}


def banana(r: Generator) -> Parts:
    bend, fat = r.uniform(0.8, 1.1), r.uniform(0.1, 0.13)
    a = np.linspace(-bend, bend, 13)
    path = np.stack([0.6 * np.sin(a), 0.6 - 0.6 * np.cos(a), 0 * a], 1)
    k = fat * np.array([0.3, 0.42, 0.7, 0.88, 0.97, 1, 1, 1, 0.97, 0.9, 0.72, 0.5, 0.3])
    out = (path[-1] - path[-2]) * 0.9
    return [
        (tube(path, k, 6), "main"),
        (rod(path[-1], path[-1] + out, fat * 0.3, fat * 0.22), "wood*"),
        (ball(path[0, 0], path[0, 1], 0, fat * 0.3, segments=8), "dark*"),
    ]


def pear(r: Generator) -> Parts:
    b, n, h = r.uniform(0.34, 0.38), r.uniform(0.15, 0.19), r.uniform(0.85, 0.98)
    body = [
        (0, 0.03),
        (b * 0.6, 0),
        (b * 0.95, 0.14),
        (b, 0.28),
        (b * 0.85, 0.45),
        (n * 1.15, 0.64),
        (n, 0.75),
        (n * 0.75, h - 0.05),
        (0, h),
    ]
    leaf = rotated(ellipsoid(0.13, 0.015, 0.06, (0.13, 0, 0), 8), "z", 25)
    parts: Parts = [
        (lathe(body, 24), "main"),
        (tube([(0, h - 0.04, 0), (0.02, h + 0.1, 0), (0.06, h + 0.18, 0)], 0.025), "wood*"),
    ]
    if r.random() < 0.6:
        parts.append((moved(leaf, 0.02, h + 0.05, 0), "leaf"))
    return parts


def strawberry(r: Generator) -> Parts:
    w, h = r.uniform(0.36, 0.42), r.uniform(0.75, 0.88)
    t = np.linspace(0, 1, 12)
    rad = (
        w * np.sqrt(np.clip(1 - (1 - t) ** 2.2, 0, 1)) * np.sqrt(np.clip(1 - (t / 1.02) ** 6, 0, 1))
    )
    parts: Parts = [(lathe([*zip(rad, h * t, strict=True), (0, h * 0.99)], 22), "main")]
    for k in range(34):
        u, a = 0.12 + 0.75 * (k + 0.5) / 34, k * 2.4
        q = np.interp(u, t, rad)
        parts.append((ball(q * np.sin(a), h * u, q * np.cos(a), 0.016, 0.026, 0.016, 6), "light"))
    for k in range(7):
        leaf = ellipsoid(0.16, 0.02, 0.065, (0.15, 0, 0), 8)
        parts.append(
            (moved(rotated(rotated(leaf, "z", -12), "y", k * 51), 0, h + 0.02, 0), "leaf*")
        )
    return [*parts, (rod((0, h, 0), (0.03, h + 0.14, 0), 0.025), "leaf*")]


def pineapple(r: Generator) -> Parts:
    w, h = r.uniform(0.25, 0.3), r.uniform(0.36, 0.42)
    parts: Parts = [(ellipsoid(w, h, w, (0, h, 0), 18), "main")]
    for row in range(7):
        up = -0.95 + 0.31 * row
        for k in range(9):
            a = 2 * np.pi * (k + 0.5 * (row % 2)) / 9
            c = np.cos(up)
            p = (w * c * np.sin(a), h + h * np.sin(up), w * c * np.cos(a))
            parts.append((ball(*p, 0.062 * c + 0.015, 0.055, 0.062 * c + 0.015, 6), "main"))
    for k in range(14):
        a, lean = k * 2.4, 0.12 + 0.045 * k
        leaf = rotated(cone(0.06, 0, 0.5 - 0.018 * k, 5), "z", -np.degrees(lean))
        parts.append((moved(rotated(leaf, "y", np.degrees(a)), 0, 2 * h - 0.05, 0), "leaf*"))
    return parts


def carrot(r: Generator) -> Parts:
    w, h = r.uniform(0.14, 0.18), r.uniform(0.8, 0.95)
    body = [
        (0, 0),
        (0.03, 0.04),
        (w * 0.55, h * 0.4),
        (w * 0.9, h * 0.8),
        (w, h * 0.93),
        (w * 0.7, h),
        (0, h),
    ]
    parts: Parts = [(lathe(body, 16), "main")]
    for k in range(6):
        y = h * (0.3 + 0.1 * k)
        q = np.interp(y, [p[1] for p in body], [p[0] for p in body])
        parts.append((scaled(torus(q, 0.01, 14), 1, 1, 1), "main"))
        parts[-1] = (moved(parts[-1][0], y=y), "main")
    for k in range(7):
        leaf = rotated(
            ellipsoid(0.045, r.uniform(0.16, 0.24), 0.03, (0, 0.17, 0), 8), "z", r.uniform(5, 32)
        )
        parts.append((moved(rotated(leaf, "y", k * 51), 0, h - 0.03, 0), "leaf*"))
    return parts


def pumpkin(r: Generator) -> Parts:
    w, h, ribs = r.uniform(0.45, 0.52), r.uniform(0.3, 0.42), 9
    parts: Parts = []
    for k in range(ribs):
        a = 2 * np.pi * k / ribs
        lobe = ellipsoid(w * 0.36, h, w * 0.52, (0, h, w * 0.5), 12)
        parts.append((rotated(lobe, "y", np.degrees(a)), "main"))
    stem = [(0, 2 * h - 0.08, 0), (0.02, 2 * h + 0.06, 0), (0.09, 2 * h + 0.15, 0)]
    return [*parts, (tube(stem, [0.08, 0.055, 0.05], 8), "leaf*")]


def cake(r: Generator) -> Parts:
    tiers, w = int(r.integers(1, 4)), r.uniform(0.44, 0.52)
    parts: Parts = [(cylinder(w * 1.2, -0.04, 0, segments=28), "metal")]
    y = 0.0
    for k in range(tiers):
        rad, h = w * (1 - 0.27 * k), r.uniform(0.22, 0.28)
        parts.append((cylinder(rad, y, y + h, segments=28), "main"))
        parts.append((cylinder(rad * 1.02, y + h - 0.04, y + h + 0.02, segments=28), "snow"))
        n = 14 - 3 * k
        for j in range(n):
            a = 2 * np.pi * j / n
            p = (rad * np.sin(a), y + h - 0.04, rad * np.cos(a))
            parts.append((ball(*p, 0.045, r.uniform(0.05, 0.09), 0.045, 6), "snow"))
        y += h
    rad = w * (1 - 0.27 * (tiers - 1)) * 0.6
    n = int(r.integers(3, 6))
    for j in range(n):
        a = 2 * np.pi * j / n
        x, z = rad * np.sin(a), rad * np.cos(a)
        parts.append((rod((x, y, z), (x, y + 0.2, z), 0.022, None, 6), "rose*"))
        parts.append((ball(x, y + 0.235, z, 0.02, 0.04, 0.02, 6), "gold"))
    return parts


def cupcake(r: Generator) -> Parts:
    w, swirl = r.uniform(0.3, 0.34), int(r.integers(3, 5))
    parts: Parts = []
    for k in range(16):
        g = prism([(0, 0), (w * 0.72, -0.06), (w * 0.72, 0.06)], 0.4)
        g = rotated(rotated(g, "x", -90), "y", k * 22.5)
        top = g[0][:, 1:2] > 0
        parts.append(((np.where(top, g[0] * (1.3, 1, 1.3), g[0]), g[1]), "cream*"))
    for k in range(swirl):
        q = w * (1.12 - 0.27 * k)
        parts.append((ball(0, 0.26 + 0.14 * k, 0, q, 0.13, q, 16), "main"))
    top = 0.28 + 0.14 * swirl
    return [*parts, (ball(0, top + 0.03, 0, 0.085), "red")]


def hamburger(r: Generator) -> Parts:
    w, h = r.uniform(0.46, 0.52), r.uniform(0.24, 0.3)
    t = np.linspace(0, np.pi / 2, 8)
    parts: Parts = [
        (lathe([(0, 0), (w * 0.92, 0), (w, 0.06), (w, 0.13), (0, 0.13)], 24), "main"),
        (cylinder(w * 1.02, 0.14, 0.25, segments=24), "wood*"),
        (lathe([(0, 0.35), *zip(w * np.cos(t), 0.36 + h * np.sin(t), strict=True)], 24), "main"),
    ]
    slab = box(w * 1.6, 0.025, w * 1.6, (0, 0.265, 0))
    parts.append((rotated(slab, "y", r.uniform(0, 90)), "gold*"))
    a = np.linspace(0, 2 * np.pi, 33)[:-1]
    for k in a[::2]:
        p = (w * 0.88 * np.sin(k), 0.315, w * 0.88 * np.cos(k))
        parts.append((ball(*p, 0.16, 0.035 + 0.01 * np.sin(9 * k), 0.16, 6), "leaf*"))
    for k in range(22):
        up, b = 0.45 + 1.05 * (k / 22), k * 2.4
        p = (w * np.cos(up) * np.sin(b), 0.36 + h * np.sin(up), w * np.cos(up) * np.cos(b))
        parts.append((ball(*p, 0.022, 0.016, 0.03, 6), "cream"))
    return parts


def pizza(r: Generator) -> Parts:
    """A slice: the tip to the front, lying tilted so that its top shows from the side."""
    half, ln = r.uniform(0.32, 0.42), r.uniform(0.9, 1.05)
    parts: Parts = [
        (moved(rotated(prism([(0, -ln), (half, 0), (-half, 0)], 0.06), "x", -90)), "main"),
        (
            tube([(-half * 1.08, 0.04, 0.0), (0, 0.05, -0.07), (half * 1.08, 0.04, 0)], 0.08, 10),
            "wood*",
        ),
    ]
    for z, x in ((0.16, 0.45), (0.2, -0.45), (0.42, 0.08), (0.66, -0.1), (0.36, -0.55)):
        limit = half * (1 - z) * 0.8
        parts.append(
            (moved(cylinder(0.085, 0, 0.05, segments=12), x * limit * 1.6, 0.02, z * ln), "red")
        )
    for _ in range(6):
        z = r.uniform(0.1, 0.75)
        x = r.uniform(-0.7, 0.7) * half * (1 - z)
        parts.append((ball(x, 0.04, z * ln, 0.035, 0.02, 0.035, 6), "leaf"))
    return [(rotated(g, "x", 35), tone) for g, tone in parts]


def icecream(r: Generator) -> Parts:
    w, scoops = r.uniform(0.22, 0.27), int(r.integers(1, 4))
    parts: Parts = [
        (lathe([(0, 0), (w, 0.62), (0, 0.62)], 18), "waffle*"),
        (cylinder(w * 1.05, 0.58, 0.64), "waffle*"),
    ]
    for k in range(scoops):
        parts.append((ball(0, 0.72 + 0.27 * k, 0, w * (1.08 - 0.09 * k), segments=16), "main"))
    for k in range(8):
        a = 2 * np.pi * k / 8
        parts.append(
            (
                ball(w * np.sin(a), 0.64, w * np.cos(a), 0.075, r.uniform(0.05, 0.09), 0.075, 6),
                "main",
            )
        )
    if r.random() < 0.5:
        parts.append((ball(0, 0.78 + 0.27 * (scoops - 1) + w, 0, 0.07), "red"))
    return parts


def doughnut(r: Generator) -> Parts:
    minor = r.uniform(0.17, 0.21)
    parts: Parts = [
        (torus(0.38, minor, 26), "waffle"),
        (moved(scaled(torus(0.38, minor * 1.02, 26), 1, 0.85, 1), y=0.045), "main"),
    ]
    tones = ("snow*", "gold*", "red*", "leaf*")
    for k in range(44):
        a, up = k * 2.4, r.uniform(0.5, 2.6)
        rad = 0.38 + minor * np.cos(up)
        p = np.array([rad * np.sin(a), 0.06 + minor * 0.87 * np.sin(up), rad * np.cos(a)])
        d = np.array([r.uniform(-1, 1), 0.0, r.uniform(-1, 1)])
        d *= 0.04 / np.linalg.norm(d)
        parts.append((rod(p - d, p + d, 0.014, None, 5), tones[k % 4]))
    tilt = r.choice((0, 90), p=(0.5, 0.5))
    return [(rotated(g, "x", tilt), tone) for g, tone in parts]


def egg(r: Generator) -> Parts:
    w, h = r.uniform(0.27, 0.3), r.uniform(0.38, 0.42)
    t = np.linspace(-np.pi / 2, np.pi / 2, 13)
    body = [(w * np.cos(a) * (1 - 0.16 * np.sin(a)), 0.52 + h * np.sin(a)) for a in t]
    cup = [(0, 0), (0.2, 0), (0.07, 0.06), (0.07, 0.13), (w * 1.1, 0.36), (w * 1.0, 0.37), (0, 0.2)]
    return [(lathe(body, 24), "main"), (lathe(cup, 24), "metal*")]


def cheese(r: Generator) -> Parts:
    """A wedge with holes."""
    w, ln, h = r.uniform(0.3, 0.38), r.uniform(0.85, 1.0), r.uniform(0.35, 0.45)
    wedge = rotated(prism([(0, -ln / 2), (w, ln / 2), (-w, ln / 2)], h), "x", -90)
    parts: Parts = [(moved(wedge, y=h / 2), "main")]
    for _ in range(7):
        z = r.uniform(-0.4, 0.3)
        edge = w * (0.5 - z / ln)
        s = r.choice((-1, 1))
        parts.append(
            (ball(s * edge * 0.97, r.uniform(0.08, h - 0.08), z, 0.035, 0.055, 0.055, 8), "wood")
        )
        parts.append((ball(r.uniform(-0.6, 0.6) * edge, h, z, 0.05, 0.02, 0.05, 8), "wood"))
        parts.append(
            (
                ball(
                    r.uniform(-0.7, 0.7) * w,
                    r.uniform(0.08, h - 0.08),
                    -ln / 2,
                    0.05,
                    0.05,
                    0.02,
                    8,
                ),
                "wood",
            )
        )
    return parts


def bread(r: Generator) -> Parts:
    if r.random() < 0.5:  # a tin loaf
        w, h, ln = 0.24, r.uniform(0.36, 0.44), r.uniform(0.45, 0.55)
        parts: Parts = [
            (box(2 * w, h, 2 * ln, (0, h / 2, 0)), "main"),
            (ellipsoid(w * 1.2, 0.15, ln * 1.06, (0, h, 0), 16), "main"),
        ]
        parts += [
            (box(w * 1.5, 0.03, 0.05, (0, h + 0.135 - 0.08 * z * z, z * ln)), "cream")
            for z in (-0.5, 0, 0.5)
        ]
        return [(rotated(g, "y", 90), t) for g, t in parts]
    ln, w = r.uniform(0.6, 0.72), r.uniform(0.15, 0.2)
    parts = [(ellipsoid(ln, w * 0.8, w, (0, w * 0.8, 0), 18), "main")]
    for x in np.linspace(-0.6, 0.6, 5):
        k = np.sqrt(1 - x * x)
        cut = ellipsoid(0.03, 0.03, w * 0.65 * k, (0, 0, 0), 8)
        parts.append((moved(rotated(cut, "y", 35), x * ln, w * 0.8 * (1 + k) - 0.01, 0), "cream"))
    return parts


def lollipop(r: Generator) -> Parts:
    rad, h = r.uniform(0.3, 0.36), r.uniform(0.55, 0.7)
    parts: Parts = [(rod((0, 0, 0), (0, h + 0.1, 0), 0.032), "snow*")]
    a = np.linspace(0, 6 * np.pi, 60)
    q = 0.03 + (rad - 0.07) * a / a[-1]
    parts.append((disc_z(0, h + rad, 0, rad, 0.12), "main"))
    for z in (-0.06, 0.06):
        swirl = np.stack([q * np.cos(a), h + rad + q * np.sin(a), z + 0 * a], 1)
        parts.append((tube(swirl, 0.02, 5), "snow"))
    return parts


def disc_z(x, y, z, radius, width):
    return moved(rotated(cylinder(radius, -width / 2, width / 2, segments=28), "x", 90), x, y, z)


def cherry(r: Generator) -> Parts:
    parts: Parts = []
    top = (0, 0.85, 0)
    for s in (-1, 1):
        q, x = r.uniform(0.2, 0.24), s * r.uniform(0.24, 0.28)
        y = r.uniform(0.2, 0.28)
        parts.append((ball(x, y, 0, q, q * 0.95, q, 16), "main"))
        parts.append((tube([(x, y + q * 0.8, 0), (x * 0.75, 0.6, 0), top], 0.02, 7), "leaf*"))
    leaf = rotated(ellipsoid(0.17, 0.015, 0.08, (0.17, 0, 0), 8), "z", 10)
    return [*parts, (moved(leaf, *top), "leaf*")]


def watermelon(r: Generator) -> Parts:
    """A slice: half a disc, the rind in the main colour."""
    rad, w = r.uniform(0.48, 0.55), r.uniform(0.16, 0.3)

    def half(k: float, thick: float):
        a = np.linspace(np.pi, 2 * np.pi, 17)
        return prism([(k * np.cos(t), k * np.sin(t)) for t in a], thick)

    parts: Parts = [
        (half(rad, w), "main"),
        (moved(half(rad * 0.93, w * 1.02), y=0.008), "snow"),
        (moved(half(rad * 0.87, w * 1.05), y=0.016), "red*"),
    ]
    for a in np.linspace(3.5, 5.9, 6):
        for q in (0.45, 0.7):
            for z in (-1, 1):
                p = (q * rad * np.cos(a + q), q * rad * np.sin(a + q * 0.3) - 0.02, z * w * 0.53)
                parts.append((ball(*p, 0.018, 0.032, 0.012, 6), "dark"))
    return parts


def corn(r: Generator) -> Parts:
    w, h = r.uniform(0.16, 0.19), r.uniform(0.45, 0.52)
    parts: Parts = [(ellipsoid(w * 0.92, h, w * 0.92, (0, h, 0), 14), "main")]
    for row in range(11):
        up = -0.2 + 0.13 * row
        for k in range(10):
            a, c = 2 * np.pi * k / 10, np.cos(up)
            p = (w * c * np.sin(a), h + h * np.sin(up) * 0.97, w * c * np.cos(a))
            parts.append((ball(*p, 0.05 * c + 0.01, 0.04, 0.05 * c + 0.01, 6), "main"))
    for k in range(5):
        leaf = rotated(ellipsoid(0.13, 0.38, 0.03, (0, 0.3, 0), 10), "x", 17)
        parts.append((moved(rotated(moved(leaf, z=0.08), "y", k * 72), 0, -0.06, 0), "leaf*"))
    return parts


FAMILIES = {
    f.__name__: f
    for f in (banana, bread, cake, carrot, cheese, cherry, corn, cupcake, doughnut, egg, hamburger,
              icecream, lollipop, pear, pineapple, pizza, pumpkin, strawberry, watermelon)
}  # fmt: skip
SYMMETRIC = """banana bread cake carrot cherry corn cupcake doughnut egg hamburger icecream lollipop
pear pineapple pumpkin strawberry watermelon"""

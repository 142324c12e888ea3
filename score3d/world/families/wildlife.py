"""Birds, reptiles, sea animals and insects. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, eyes, rod
from score3d.world.primitives import (
    cone,
    ellipsoid,
    fan,
    lathe,
    moved,
    prism,
    rotated,
    scaled,
    spine,
    tube,
)

SECOND_PARTS = {
    "fish": "fins",
    "shark": "fins",
    "turtle": "legs",
    "frog": "belly",
    "penguin": "beak",
    "owl": "wings",
    "chicken": "comb",
    "bird": "wings",
    "dinosaur": "spikes",
}


def _sail(points, thickness: float = 0.03, centre=(0.0, 0.0)):
    """A flat fin in the y-z plane from (z, y) points given counter-clockwise."""
    return rotated(fan(points, thickness, centre), "y", -90)


def fish(r: Generator) -> Parts:
    w, h, ln = r.uniform(0.12, 0.17), r.uniform(0.22, 0.3), r.uniform(0.42, 0.5)
    t = np.linspace(-1, 1, 12)
    bulge = np.sqrt(np.clip(1 - t**2, 0.004, 1)) * (1 + 0.25 * t)
    body = spine([(ln * a, 0, w * b, h * b) for a, b in zip(t, bulge, strict=True)])
    tail = [
        (-ln * 0.9, -0.04),
        (-ln * 0.9, 0.04),
        (-ln - 0.27, 0.24),
        (-ln - 0.18, 0),
        (-ln - 0.27, -0.24),
    ]
    top = [(0.18, h * 0.85), (-0.2, h * 0.75), (-0.26, h + 0.16), (0.0, h + 0.17)]
    parts: Parts = [
        (body, "main"),
        (_sail(tail[::-1], 0.03, (-ln - 0.05, 0)), "main*"),
        (_sail(top[::-1], 0.03, (-0.06, h)), "main*"),
        (
            _sail(
                [(0, -h * 0.85), (-0.18, -h * 0.8), (-0.22, -h - 0.1)][::-1],
                0.03,
                (-0.12, -h * 0.9),
            ),
            "main*",
        ),
    ]
    for s in (-1, 1):
        side = ellipsoid(0.02, 0.07, 0.13, (0, -0.04, -0.1), 8)
        parts.append((moved(rotated(side, "y", s * 35), s * w * 0.9, -0.05, 0.08), "main*"))
        parts.append((ball(s * w * 0.72, 0.06, ln * 0.62, 0.05, segments=10), "snow"))
        parts.append((ball(s * (w * 0.72 + 0.035), 0.06, ln * 0.65, 0.028, segments=8), "dark"))
    return parts


def shark(r: Generator) -> Parts:
    k = r.uniform(0.9, 1.1)
    body = spine(
        [(-0.75, 0.04, 0.02, 0.03), (-0.6, 0.02, 0.05, 0.06), (-0.2, 0, 0.15 * k, 0.16 * k),
         (0.2, 0, 0.18 * k, 0.19 * k), (0.5, 0.02, 0.13, 0.12), (0.72, 0.05, 0.02, 0.02)]
    )  # fmt: skip
    tail = [
        (-0.62, -0.02),
        (-0.75, -0.22),
        (-0.78, 0.05),
        (-0.98, 0.38),
        (-0.85, 0.34),
        (-0.62, 0.08),
    ]
    fin = [(0.22, 0.14), (-0.08, 0.4), (-0.12, 0.38), (-0.1, 0.12)]
    parts: Parts = [
        (body, "main"),
        (
            spine(
                [(-0.45, -0.06, 0.05, 0.04), (0.1, -0.09, 0.14, 0.11), (0.55, -0.03, 0.08, 0.07)]
            ),
            "snow",
        ),
        (_sail(tail[::-1], 0.035, (-0.72, 0.03)), "main*"),
        (_sail(fin, 0.035, (0, 0.2)), "main*"),
        *eyes(0.1, 0.07, 0.5, 0.022),
    ]
    for s in (-1, 1):
        wing = prism([(0, 0.1), (0, -0.12), (0.38, -0.22), (0.38, -0.18)], 0.035)
        wing = rotated(wing, "x", 90) if s > 0 else scaled(rotated(wing, "x", 90), x=-1)
        parts.append((moved(rotated(wing, "z", -s * 20), s * 0.1, -0.08, 0.15), "main*"))
    return parts


def whale(r: Generator) -> Parts:
    w, h = r.uniform(0.28, 0.32), r.uniform(0.26, 0.31)
    body = spine(
        [(-0.72, 0.14, 0.03, 0.03), (-0.5, 0.06, 0.09, 0.08), (-0.15, 0, w * 0.85, h * 0.85),
         (0.2, 0, w, h), (0.48, 0, w * 0.9, h * 0.9), (0.62, -0.02, w * 0.5, h * 0.5),
         (0.66, -0.02, 0.03, 0.03)]
    )  # fmt: skip
    belly = [
        (-0.3, -0.1, 0.12, 0.1),
        (0.15, -0.12, w * 0.85, h * 0.65),
        (0.6, -0.12, w * 0.5, h * 0.4),
    ]
    parts: Parts = [(body, "main"), (spine(belly), "snow"), *eyes(w * 0.86, 0.02, 0.45, 0.03)]
    for s in (-1, 1):
        fluke = ellipsoid(0.2, 0.025, 0.09, (s * 0.15, 0, 0), 12)
        parts.append((moved(rotated(fluke, "y", s * 25), 0, 0.16, -0.75), "main"))
        flipper = ellipsoid(0.16, 0.025, 0.08, (s * 0.14, 0, 0), 12)
        flipper = rotated(rotated(flipper, "y", s * 30), "z", -s * 25)
        parts.append((moved(flipper, s * w * 0.8, -0.12, 0.2), "main"))
        if r.random() < 0.6:
            jet = [(0, h * 0.9, 0.3), (s * 0.03, h + 0.18, 0.3), (s * 0.13, h + 0.24, 0.3)]
            parts.append((tube(jet, [0.03, 0.03, 0.02], 7), "glass"))
    return parts


def dolphin(r: Generator) -> Parts:
    a = r.uniform(0.12, 0.2)
    z = np.linspace(-0.68, 0.62, 10)
    arch = a * (1 - (z / 0.65) ** 2)
    fat = np.array([0.02, 0.05, 0.09, 0.13, 0.155, 0.165, 0.16, 0.14, 0.1, 0.04])
    body = spine(list(zip(z, arch, fat, fat, strict=True)))
    fin = [(0.08, a + 0.12), (-0.12, a + 0.34), (-0.16, a + 0.33), (-0.12, a + 0.1)]
    parts: Parts = [
        (body, "main"),
        (
            spine([(0.5, 0.03, 0.07, 0.06), (0.68, -0.02, 0.05, 0.035), (0.8, -0.05, 0.02, 0.02)]),
            "main",
        ),
        (_sail(fin, 0.035, (-0.03, a + 0.15)), "main"),
        *eyes(0.1, 0.1, 0.52, 0.022),
    ]
    belly = list(zip(z[3:9], arch[3:9] - 0.05, fat[3:9] * 0.8, fat[3:9] * 0.85, strict=True))
    parts.append((spine(belly), "snow"))
    for s in (-1, 1):
        fluke = ellipsoid(0.17, 0.02, 0.07, (s * 0.12, 0, 0), 10)
        parts.append((moved(rotated(fluke, "y", s * 28), 0, 0, -0.7), "main"))
        flip = rotated(ellipsoid(0.15, 0.02, 0.06, (s * 0.12, 0, 0), 10), "y", s * 35)
        parts.append((moved(rotated(flip, "z", -s * 35), s * 0.1, a - 0.12, 0.25), "main"))
    return parts


def turtle(r: Generator) -> Parts:
    w, h, ln = r.uniform(0.36, 0.42), r.uniform(0.26, 0.36), r.uniform(0.42, 0.48)
    t = np.linspace(0, np.pi / 2, 7)
    dome = [(0, 0.12), *zip(np.cos(t), 0.12 + h * np.sin(t), strict=True)]
    parts: Parts = [
        (scaled(lathe(dome, 20), w, 1, ln), "main"),
        (scaled(lathe([(0, 0.07), (1.06, 0.1), (1.06, 0.15), (0, 0.16)], 20), w, 1, ln), "wood"),
        (rod((0, 0.14, ln * 0.8), (0, 0.24, ln + 0.16), 0.075), "leaf*"),
        (ball(0, 0.28, ln + 0.18, 0.11, 0.1, 0.13), "leaf*"),
        (moved(rotated(cone(0.05, 0, 0.18, 8), "x", -100), 0, 0.1, -ln * 0.95), "leaf*"),
        *eyes(0.07, 0.32, ln + 0.26, 0.022),
    ]
    for k in range(7):
        a = k * np.pi / 3
        x, z, up = (0, 0, 1.0) if k == 6 else (0.62 * np.sin(a), 0.62 * np.cos(a), 0.76)
        parts.append((ball(x * w, 0.12 + h * up, z * ln, 0.1, 0.03, 0.11, 8), "wood"))
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append((ball(x * w * 0.85, 0.07, z * ln * 0.7, 0.12, 0.075, 0.13), "leaf*"))
    return parts


def frog(r: Generator) -> Parts:
    w = r.uniform(0.26, 0.3)
    body = rotated(ellipsoid(w, 0.2, 0.36, (0, 0, 0), 16), "x", -28)
    parts: Parts = [
        (moved(body, 0, 0.28, 0), "main"),
        (
            moved(rotated(ellipsoid(w * 0.8, 0.12, 0.28, (0, 0, 0), 14), "x", -28), 0, 0.21, 0.06),
            "cream*",
        ),
        (ball(0, 0.45, 0.24, w * 0.85, 0.13, 0.17, 14), "main"),
        (ball(0, 0.42, 0.3, w * 0.72, 0.03, 0.13, 12), "red"),
    ]
    for s in (-1, 1):
        parts.append((ball(s * 0.14, 0.58, 0.24, 0.085), "main"))
        parts.append((ball(s * 0.15, 0.6, 0.3, 0.055, segments=10), "snow"))
        parts.append((ball(s * 0.15, 0.6, 0.345, 0.03, segments=8), "dark"))
        thigh = rotated(ellipsoid(0.1, 0.1, 0.24, (0, 0, 0), 12), "x", 30)
        parts.append((moved(rotated(thigh, "y", s * 20), s * (w + 0.04), 0.16, -0.12), "main"))
        parts.append((rod((s * 0.2, 0.3, 0.2), (s * 0.27, 0.03, 0.3), 0.05), "main"))
        for z, reach in ((0.34, 0.12), (0.1, 0.2)):
            for spread in (-0.09, 0, 0.09):
                foot = (s * (0.27 + (z < 0.2) * 0.08), 0.03, z - 0.04)
                toe = (foot[0] + spread + s * 0.02, 0.02, z + reach)
                parts.append((rod(foot, toe, 0.025, 0.03, 6), "main"))
    return parts


def snake(r: Generator) -> Parts:
    turns, rad = r.uniform(1.6, 2.2), r.uniform(0.08, 0.1)
    if r.random() < 0.5:  # coiled, head raised
        a = np.linspace(0, 2 * np.pi * turns, 40)
        reach = np.linspace(0.42, 0.16, 40)
        x, z = reach * np.sin(a), reach * np.cos(a)
        y = np.linspace(rad, rad + 0.13 * turns, 40)
        end = (np.arctan2(x[-1], z[-1]),)
        # turned so that the coil ends on +z, where the neck rises
        c, s = np.cos(-end[0]), np.sin(-end[0])
        x, z = c * x + s * z, -s * x + c * z
        path = np.stack([x, y, z], 1)
        neck = [
            (0.08, y[-1] + 0.1, 0.16),
            (0.03, y[-1] + 0.25, 0.1),
            (0, y[-1] + 0.4, 0.14),
            (0, y[-1] + 0.45, 0.24),
        ]
        path = np.concatenate([path, neck])
    else:
        z = np.linspace(-0.7, 0.55, 36)
        wave = r.uniform(0.16, 0.22) * np.sin((z + 0.7) * 9)
        path = np.stack([wave, rad + 0 * z, z], 1)
        path = np.concatenate([path, [(path[-1, 0] * 0.5, 0.2, 0.62), (0, 0.26, 0.74)]])
    girth = rad * np.minimum(1, np.linspace(0.1, 4, len(path)))
    hx, hy, hz = path[-1]
    parts: Parts = [
        (tube(path, girth, 10), "main"),
        (ball(hx, hy + 0.02, hz + 0.04, rad * 1.25, rad * 0.9, rad * 1.7), "main"),
        *[(ball(hx + s * 0.07, hy + 0.08, hz + 0.1, 0.026, segments=8), "dark") for s in (-1, 1)],
    ]
    parts.append((rod((hx, hy, hz + 0.15), (hx, hy, hz + 0.3), 0.014, None, 5), "red"))
    for s in (-1, 1):
        parts.append(
            (rod((hx, hy, hz + 0.29), (hx + s * 0.04, hy, hz + 0.36), 0.012, None, 5), "red")
        )
    return parts


def penguin(r: Generator) -> Parts:
    w, h = r.uniform(0.24, 0.28), r.uniform(0.36, 0.42)
    parts: Parts = [
        (ellipsoid(w, h, w * 0.9, (0, h, 0), 18), "main"),
        (ellipsoid(w * 0.74, h * 0.82, w * 0.6, (0, h * 0.95, w * 0.36), 16), "snow"),
        (ball(0, h * 2.0, 0.02, 0.18, 0.17, 0.18, 16), "main"),
        (moved(rotated(cone(0.055, 0, 0.17, 10), "x", 95), 0, h * 2 - 0.02, 0.16), "carrot*"),
    ]
    for s in (-1, 1):
        parts.append((ball(s * 0.08, h * 2 + 0.03, 0.13, 0.065, 0.075, 0.06), "snow"))
        parts.append((ball(s * 0.08, h * 2 + 0.04, 0.185, 0.025, segments=8), "dark"))
        wing = rotated(ellipsoid(0.045, 0.26, 0.12, (0, -0.22, 0), 12), "z", s * r.uniform(12, 40))
        parts.append((moved(wing, s * w * 0.88, h * 1.45, 0), "main"))
        parts.append((ball(s * 0.11, 0.02, 0.14, 0.09, 0.035, 0.15), "carrot"))
    return parts


def owl(r: Generator) -> Parts:
    w, h = r.uniform(0.26, 0.3), r.uniform(0.36, 0.42)
    parts: Parts = [
        (ellipsoid(w, h, w * 0.85, (0, h, 0), 18), "main"),
        (ball(0, h * 1.72, 0.02, w * 0.92, w * 0.72, w * 0.8, 16), "main"),
        (ellipsoid(w * 0.66, h * 0.6, w * 0.5, (0, h * 0.82, w * 0.44), 14), "cream"),
        (moved(rotated(cone(0.045, 0, 0.12, 8), "x", 130), 0, h * 1.68, w * 0.85), "carrot"),
        (rod((-0.42, -0.02, 0.05), (0.42, -0.02, 0.05), 0.05), "wood"),
    ]
    for s in (-1, 1):
        parts.append((ball(s * w * 0.4, h * 1.8, w * 0.62, 0.12, 0.12, 0.06), "cream"))
        parts.append((ball(s * w * 0.4, h * 1.8, w * 0.8, 0.075, 0.075, 0.04), "gold"))
        parts.append((ball(s * w * 0.4, h * 1.8, w * 0.9, 0.042, 0.042, 0.03), "dark"))
        tuft = rotated(cone(0.07, 0, 0.2, 8), "z", -s * 25)
        parts.append((moved(tuft, s * w * 0.62, h * 1.72 + w * 0.5, 0), "main"))
        parts.append((ball(s * w * 0.92, h, -0.03, 0.07, h * 0.72, w * 0.55), "wood*"))
        parts.append((ball(s * 0.1, 0.03, 0.12, 0.06, 0.04, 0.08), "carrot"))
    return parts


def chicken(r: Generator) -> Parts:
    w, h = r.uniform(0.22, 0.26), r.uniform(0.22, 0.26)
    y = 0.24 + h
    parts: Parts = [
        (ellipsoid(w, h, 0.34, (0, y, 0), 16), "main"),
        (rod((0, y + 0.02, 0.2), (0, y + 0.38, 0.3), 0.15, 0.1, 12), "main"),
        (ball(0, y + 0.42, 0.31, 0.125, segments=14), "main"),
        (moved(rotated(cone(0.045, 0, 0.13, 8), "x", 95), 0, y + 0.41, 0.42), "carrot"),
        (ball(0, y + 0.28, 0.42, 0.03, 0.065, 0.035), "red"),
        *eyes(0.09, y + 0.46, 0.38, 0.024),
    ]
    for k, z in enumerate((0.24, 0.31, 0.38)):
        parts.append((ball(0, y + 0.56 - 0.02 * abs(k - 1), z, 0.025, 0.065, 0.045), "red*"))
    for tilt in (25, 45, 65):
        plume = rotated(ellipsoid(0.035, 0.24, 0.08, (0, 0.2, 0), 10), "x", -tilt)
        parts.append((moved(plume, 0, y + 0.05, -0.26), "main"))
    for s in (-1, 1):
        parts.append((ball(s * w * 0.92, y + 0.02, -0.03, 0.05, h * 0.6, 0.22), "main"))
        parts.append((rod((s * 0.1, 0, 0.02), (s * 0.1, y - 0.1, 0.02), 0.022), "carrot"))
        for a in (-0.5, 0, 0.5):
            toe = (s * 0.1 + 0.14 * np.sin(a), 0.01, 0.02 + 0.14 * np.cos(a))
            parts.append((rod((s * 0.1, 0.02, 0.02), toe, 0.018, None, 6), "carrot"))
    return parts


def bird(r: Generator) -> Parts:
    """A small bird, perched or with wings spread."""
    flying, k = r.random() < 0.5, r.uniform(0.9, 1.1)
    body = rotated(ellipsoid(0.16 * k, 0.15 * k, 0.28, (0, 0, 0), 14), "x", -10 if flying else -35)
    parts: Parts = [
        (moved(body, 0, 0.4, 0), "main"),
        (ball(0, 0.58, 0.2, 0.14, segments=14), "main"),
        (moved(rotated(cone(0.04, 0, 0.14, 8), "x", 95), 0, 0.57, 0.32), "carrot"),
        *eyes(0.09, 0.62, 0.29, 0.024),
    ]
    tail = prism([(-0.05, 0), (0.05, 0), (0.11, 0.34), (-0.11, 0.34)], 0.03)
    parts.append((moved(rotated(tail, "x", -105 if flying else -125), 0, 0.36, -0.18), "main*"))
    for s in (-1, 1):
        if flying:
            wing = prism([(0, -0.16), (0.3, -0.14), (0.6, -0.02), (0.35, 0.14), (0, 0.16)], 0.03)
            wing = scaled(rotated(wing, "x", 90), x=s)
            parts.append(
                (moved(rotated(wing, "z", s * r.uniform(10, 35)), s * 0.1, 0.45, 0), "main*")
            )
        else:
            wing = rotated(ellipsoid(0.035, 0.1, 0.24, (0, 0, -0.06), 10), "x", -35)
            parts.append((moved(wing, s * 0.16 * k, 0.42, 0), "main*"))
            parts.append((rod((s * 0.06, 0.08, 0.04), (s * 0.06, 0.3, 0.02), 0.015), "carrot"))
            parts.append((ball(s * 0.06, 0.08, 0.08, 0.03, 0.02, 0.07, 8), "carrot"))
    return parts


def dinosaur(r: Generator) -> Parts:
    """A long-necked one or one that stands on its hind legs; both with spikes on the back."""
    if r.random() < 0.5:
        path = [
            (-0.95, 0.2),
            (-0.6, 0.3),
            (-0.2, 0.42),
            (0.15, 0.42),
            (0.38, 0.6),
            (0.5, 0.85),
            (0.56, 0.98),
        ]
        girth = [0.015, 0.08, 0.21, 0.21, 0.11, 0.075, 0.07]
        head, legs = (0.63, 1.0), ((-0.25, 0.075), (0.18, 0.075))
        arms = ()
    else:
        path = [(-0.85, 0.12), (-0.55, 0.25), (-0.2, 0.42), (0.05, 0.6), (0.18, 0.82), (0.24, 0.95)]
        girth = [0.015, 0.09, 0.2, 0.2, 0.14, 0.12]
        head, legs = (0.36, 1.0), ((-0.08, 0.1),)
        arms = (0.28,)
    parts: Parts = [
        (tube([(0, y, z) for z, y in path], girth, 12), "main"),
        (ball(0, head[1], head[0], 0.12, 0.11, 0.19 if arms else 0.15), "main"),
        *eyes(0.085, head[1] + 0.06, head[0] + 0.05, 0.028),
    ]
    if arms:
        jaw = ball(0, head[1] - 0.1, head[0] + 0.06, 0.085, 0.04, 0.14)
        parts.append((jaw, "main"))
        parts.append((ball(0, head[1] - 0.07, head[0] + 0.08, 0.09, 0.02, 0.13), "snow"))
    for s in (-1, 1):
        for z, rad in legs:
            parts.append(
                (rod((s * 0.15, 0, z), (s * 0.13, 0.45, z), rad * 0.85, rad * 1.2), "main")
            )
            parts.append((ball(s * 0.15, 0.04, z + 0.06, 0.1, 0.05, 0.14), "main"))
        for z in arms:
            parts.append((rod((s * 0.12, 0.7, z - 0.12), (s * 0.14, 0.58, z + 0.08), 0.04), "main"))
    for t in np.linspace(0.3, len(path) - 1.6, 9):
        i = int(t)
        (z0, y0), (z1, y1), g = path[i], path[i + 1], girth[i] + (t - i) * (girth[i + 1] - girth[i])
        d = np.array([z1 - z0, y1 - y0]) / np.hypot(z1 - z0, y1 - y0)
        up = np.array([-d[1], d[0]])
        p = np.array([z0, y0]) + (t - i) * np.array([z1 - z0, y1 - y0]) + up * g * 0.9
        tip = p + up * 0.13
        parts.append((rod((0, p[1], p[0]), (0, tip[1], tip[0]), 0.05, 0.004, 6), "leaf*"))
    return parts


FAMILIES = {
    f.__name__: f
    for f in (
        bird,
        chicken,
        dinosaur,
        dolphin,
        fish,
        frog,
        owl,
        penguin,
        shark,
        snake,
        turtle,
        whale,
    )
}

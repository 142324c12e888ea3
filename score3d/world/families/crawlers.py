"""Insects, spiders and shelled or boneless animals. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, eyes, rod
from score3d.world.primitives import ellipsoid, fan, moved, rotated, scaled, spine, tube

SECOND_PARTS = {
    "butterfly": "body",
    "bee": "wings",
    "ladybug": "head",
    "snail": "shell",
    "crab": "claws",
    "spider": "legs",
}


def butterfly(r: Generator) -> Parts:
    """Upright wings as in a picture book: their plane faces the front."""
    a, b, tilt = r.uniform(0.85, 1.1), r.uniform(0.8, 1.1), r.uniform(5, 25)
    upper = [
        (0.03, 0.02),
        (0.3, 0.03),
        (0.55, 0.2),
        (0.6, 0.42),
        (0.42, 0.5),
        (0.2, 0.36),
        (0.03, 0.16),
    ]
    lower = [(0.03, 0.02), (0.03, -0.1), (0.14, -0.36), (0.3, -0.42), (0.42, -0.26), (0.36, -0.04)]
    parts: Parts = [
        (ellipsoid(0.045, 0.27, 0.05, (0, 0, 0), 12), "dark*"),
        (ball(0, 0.3, 0.02, 0.065), "dark*"),
    ]
    for s in (-1, 1):
        for shape, k, centre in ((upper, a, (0.3, 0.25)), (lower, b, (0.22, -0.16))):
            g = fan([(x * k, y * k) for x, y in shape], 0.025, (centre[0] * k, centre[1] * k))
            parts.append((rotated(scaled(g, x=s), "y", -s * tilt), "main"))
            spot = ball(s * centre[0] * k * 1.15, centre[1] * k * 1.15, 0, 0.085, 0.085, 0.03)
            parts.append((rotated(spot, "y", -s * tilt), "light"))
        parts.append(
            (tube([(0, 0.33, 0), (s * 0.08, 0.5, 0.03), (s * 0.15, 0.56, 0.03)], 0.012, 6), "dark*")
        )
    return parts


def bee(r: Generator) -> Parts:
    w, ln = r.uniform(0.22, 0.26), r.uniform(0.36, 0.42)
    parts: Parts = [
        (ellipsoid(w, w, ln, (0, 0.4, 0), 18), "main"),
        (ball(0, 0.42, ln * 1.0, 0.16, segments=14), "dark"),
        (rod((0, 0.38, -ln * 0.92), (0, 0.36, -ln - 0.12), 0.035, 0.004), "dark"),
        *eyes(0.09, 0.47, ln + 0.12, 0.04, "snow"),
    ]
    for z in (-0.55, -0.12, 0.3):
        s = np.sqrt(1 - z * z) * w * 1.03
        edge = np.sqrt(1 - (abs(z) + 0.2) ** 2) * w * 1.02
        ring = [
            ((z - 0.12) * ln, 0.4, edge, edge),
            (z * ln, 0.4, s, s),
            ((z + 0.12) * ln, 0.4, edge, edge),
        ]
        parts.append((spine(ring), "dark"))
    for s in (-1, 1):
        for k, (size, turn) in enumerate(((0.3, 60), (0.22, 100))):
            wing = ellipsoid(0.13, 0.012, size, (0, 0, -size * 0.9), 12)
            wing = rotated(rotated(wing, "x", r.uniform(22, 32)), "y", -s * turn)
            parts.append((moved(wing, s * 0.06, 0.4 + w * 0.9, 0.08 - 0.06 * k), "glass*"))
        parts.append(
            (tube([(s * 0.05, 0.55, ln + 0.05), (s * 0.1, 0.68, ln + 0.14)], 0.013, 6), "dark")
        )
        for z in (-0.1, 0.08, 0.24):
            parts.append(
                (rod((s * 0.12, 0.3, z), (s * 0.2, 0.1, z + 0.05), 0.018, None, 6), "dark")
            )
    return parts


def ladybug(r: Generator) -> Parts:
    w, h, ln = r.uniform(0.36, 0.4), r.uniform(0.3, 0.36), r.uniform(0.42, 0.46)
    parts: Parts = [
        (ellipsoid(w, h, ln, (0, 0.08, 0), 20), "main"),
        (ball(0, 0.12, ln * 0.92, 0.2, 0.17, 0.15, 14), "dark*"),
        (rotated(ellipsoid(0.012, h * 1.01, ln * 1.005, (0, 0, 0), 20), "x", 0), "dark"),
        *eyes(0.11, 0.2, ln + 0.1, 0.045, "snow"),
    ]
    parts[2] = (moved(parts[2][0], y=0.085), "dark")
    for s in (-1, 1):
        for a, up in ((0.55, 0.9), (1.5, 0.75), (2.45, 0.9), (1.0, 0.42), (2.1, 0.42)):
            c = np.cos(up)
            p = (s * w * c * np.sin(a), 0.08 + h * np.sin(up), ln * c * np.cos(a))
            parts.append((ball(*p, 0.075, 0.06, 0.075, 10), "dark"))
        for z in (-0.22, 0.02, 0.25):
            parts.append(
                (rod((s * 0.25, 0.1, z), (s * 0.52, -0.08, z * 1.3), 0.025, None, 6), "dark")
            )
        parts.append((tube([(s * 0.06, 0.25, ln), (s * 0.14, 0.36, ln + 0.16)], 0.015, 6), "dark"))
    return parts


def spider(r: Generator) -> Parts:
    b, reach = r.uniform(0.2, 0.25), r.uniform(0.5, 0.6)
    y = 0.25
    parts: Parts = [
        (ellipsoid(b, b * 0.9, b * 1.2, (0, y + 0.06, -0.24), 16), "main"),
        (ball(0, y, 0.1, 0.15, 0.12, 0.16, 14), "main"),
        *eyes(0.05, y + 0.08, 0.23, 0.035, "snow"),
    ]
    for s in (-1, 1):
        for k, a in enumerate(np.radians((35, 70, 108, 145))):
            d = np.array([s * np.sin(a), 0, np.cos(a)])
            start = np.array([0, y, 0.08]) + d * 0.1
            knee = np.array([0, y + r.uniform(0.2, 0.28), 0.06]) + d * reach * 0.55
            end = np.array([0, 0.0, 0.04]) + d * reach * (1.1 if k in (0, 3) else 1)
            parts.append((tube([start, knee, end], [0.032, 0.03, 0.014], 7), "main*"))
        parts.append(
            (rod((s * 0.05, y - 0.03, 0.24), (s * 0.04, y - 0.12, 0.3), 0.03, 0.01), "dark")
        )
    return parts


def crab(r: Generator) -> Parts:
    w, claw = r.uniform(0.36, 0.42), r.uniform(0.13, 0.17)
    parts: Parts = [(ellipsoid(w, 0.16, 0.27, (0, 0.27, 0), 18), "main")]
    for s in (-1, 1):
        parts.append((rod((s * 0.1, 0.36, 0.2), (s * 0.11, 0.52, 0.24), 0.022), "main"))
        parts.append((ball(s * 0.11, 0.55, 0.24, 0.05, segments=10), "snow"))
        parts.append((ball(s * 0.11, 0.56, 0.28, 0.028, segments=8), "dark"))
        arm = [(s * w * 0.8, 0.28, 0.12), (s * (w + 0.16), 0.34, 0.24), (s * (w + 0.08), 0.48, 0.4)]
        parts.append((tube(arm, 0.05, 8), "main"))
        x, y, z = s * (w + 0.05), 0.55, 0.42
        for side in (-1, 1):
            finger = ellipsoid(claw * 0.42, claw * 1.15, claw * 0.45, (0, claw * 0.7, 0), 10)
            tilt = rotated(finger, "z", side * 24)
            parts.append((moved(tilt, x + side * -0.05, y - 0.05, z), "main*"))
        for zz in (-0.14, 0.0, 0.13):
            leg = [
                (s * w * 0.8, 0.25, zz),
                (s * (w + 0.16), 0.3, zz * 1.6),
                (s * (w + 0.26), 0.0, zz * 2),
            ]
            parts.append((tube(leg, [0.035, 0.03, 0.014], 7), "main"))
    return parts


def snail(r: Generator) -> Parts:
    """A spiral shell seen from its sides, over a soft foot."""
    rad = r.uniform(0.3, 0.35)
    turns = r.uniform(2.0, 2.5)
    a = np.linspace(0, turns * 2 * np.pi, 44)
    grow = np.linspace(0.1, 1, 44) ** 0.8
    y0 = rad + 0.12
    # the mouth of the shell ends low and in front
    phase = -0.5 - a[-1]
    path = np.stack(
        [
            0.05 * (1 - grow),
            y0 + rad * 0.68 * grow * np.sin(a + phase),
            -0.12 + rad * 0.68 * grow * np.cos(a + phase),
        ],
        1,
    )
    parts: Parts = [
        (tube(path, 0.04 + 0.13 * grow, 10), "main*"),
        (ellipsoid(0.12, rad * 0.7, rad * 0.7, (0, y0, -0.12), 16), "main*"),
        (
            spine(
                [
                    (-0.62, 0.03, 0.03, 0.02),
                    (-0.3, 0.07, 0.12, 0.07),
                    (0.2, 0.08, 0.14, 0.08),
                    (0.46, 0.09, 0.12, 0.08),
                    (0.54, 0.1, 0.04, 0.04),
                ]
            ),
            "main",
        ),
        (tube([(0, 0.09, 0.34), (0, 0.26, 0.5), (0, 0.4, 0.55)], [0.12, 0.105, 0.1], 10), "main"),
        (ball(0, 0.42, 0.56, 0.12), "main"),
    ]
    for s in (-1, 1):
        parts.append((rod((s * 0.05, 0.48, 0.58), (s * 0.1, 0.68, 0.64), 0.022), "main"))
        parts.append((ball(s * 0.1, 0.7, 0.64, 0.04, segments=8), "dark"))
    return parts


def octopus(r: Generator) -> Parts:
    h = r.uniform(0.27, 0.32)
    parts: Parts = [
        (ellipsoid(h, h * 1.15, h, (0, 0.55, 0), 18), "main"),
        (ellipsoid(h * 0.85, 0.16, h * 0.85, (0, 0.28, 0), 14), "main"),
    ]
    for s in (-1, 1):
        parts.append((ball(s * 0.12, 0.5, h * 0.85, 0.075, segments=10), "snow"))
        parts.append((ball(s * 0.12, 0.5, h * 0.85 + 0.06, 0.04, segments=8), "dark"))
    for k in range(8):
        a, curl = (k + 0.5) * np.pi / 4, r.uniform(0.1, 0.25)
        d = np.array([np.sin(a), 0, np.cos(a)])
        side = np.array([d[2], 0, -d[0]]) * r.uniform(-0.15, 0.15)
        pts = [
            d * 0.14 + (0, 0.28, 0),
            d * 0.32 + (0, 0.14, 0),
            d * 0.52 + (0, 0.05, 0) + side * 0.5,
        ]
        pts += [d * 0.68 + (0, 0.08, 0) + side, d * 0.72 + (0, 0.08 + curl, 0) + side]
        parts.append((tube(pts, [0.1, 0.085, 0.065, 0.045, 0.02], 8), "main"))
    return parts


def caterpillar(r: Generator) -> Parts:
    n, rad = int(r.integers(6, 9)), r.uniform(0.12, 0.15)
    parts: Parts = []
    for k in range(n):
        z = -0.6 + k * 1.1 / n
        y = rad + 0.02 + r.uniform(0.06, 0.16) * np.sin(k * np.pi / (n - 1)) ** 2
        parts.append((ball(0, y, z, rad, rad, rad * 0.85, 14), "main"))
        parts += [(ball(s * rad * 0.6, 0.03, z, 0.035, 0.06, 0.035, 8), "dark") for s in (-1, 1)]
    hz, hy = 0.58, rad + 0.16
    parts.append((ball(0, hy, hz, rad * 1.3, segments=14), "main"))
    for s in (-1, 1):
        parts.append((ball(s * 0.07, hy + 0.05, hz + rad * 1.12, 0.05, segments=10), "snow"))
        parts.append((ball(s * 0.07, hy + 0.05, hz + rad * 1.4, 0.028, segments=8), "dark"))
        parts.append(
            (rod((s * 0.06, hy + 0.1, hz), (s * 0.12, hy + 0.34, hz + 0.04), 0.015), "dark")
        )
        parts.append((ball(s * 0.12, hy + 0.36, hz + 0.04, 0.035, segments=8), "red"))
    return parts


def starfish(r: Generator) -> Parts:
    thick, inner = r.uniform(0.1, 0.14), r.uniform(0.2, 0.26)
    parts: Parts = [(ellipsoid(inner * 1.1, inner * 1.1, thick, (0, 0, 0), 14), "main")]
    for k in range(5):
        a = np.pi / 2 + k * 2 * np.pi / 5
        d = np.array([np.cos(a), np.sin(a), 0])
        parts.append((rod(d * 0.05, d * 0.52, inner * 0.72, 0.06, 12), "main"))
        parts.append((ball(d[0] * 0.52, d[1] * 0.52, 0, 0.06), "main"))
        for t in (0.16, 0.28, 0.4):
            z = inner * 0.72 * (1 - t * 1.15) + 0.03
            parts.append((ball(d[0] * t, d[1] * t, z, 0.028, segments=6), "light"))
    return parts


FAMILIES = {
    f.__name__: f
    for f in (bee, butterfly, caterpillar, crab, ladybug, octopus, snail, spider, starfish)
}

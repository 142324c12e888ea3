"""Clothes, luggage and instruments. Conventions: see the package."""

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
    spine,
    torus,
    tube,
)  # fmt: skip

SECOND_PARTS = {
    "umbrella": "handle",
    "crown": "jewels",
    "shoe": "sole",
    "boot": "sole",
    "backpack": "pockets",
    "suitcase": "corners",
    "drum": "rims",
    "guitar": "neck",
    "balloon": "string",
    "helmet": "visor",
}


def _arc(x0, y0, rx, ry, a0, a1, n=10, z=0.0):
    """Points of an ellipse arc in the x-y plane, angles in degrees."""
    a = np.radians(np.linspace(a0, a1, n))
    return np.stack([x0 + rx * np.cos(a), y0 + ry * np.sin(a), z + 0 * a], 1)


def umbrella(r: Generator) -> Parts:
    w, h, n = r.uniform(0.55, 0.64), r.uniform(0.28, 0.36), 8
    t = np.linspace(0, np.pi / 2, 7)
    dome = [
        (0, 0.62),
        (w * 0.6, 0.62 + h * 0.3),
        *zip(w * np.cos(t), 0.6 + h * np.sin(t), strict=True),
    ]
    hook = [
        (0, 0.65, 0),
        (0, 0.0, 0),
        (0.03, -0.06, 0),
        (0.09, -0.08, 0),
        (0.14, -0.04, 0),
        (0.15, 0.02, 0),
    ]
    parts: Parts = [
        (lathe(dome, n), "main"),
        (tube(hook, 0.026), "wood*"),
        (rod((0, 0.6 + h - 0.02, 0), (0, 0.7 + h, 0), 0.02), "wood*"),
    ]
    return parts


def crown(r: Generator) -> Parts:
    n, w, h = int(r.integers(5, 8)), r.uniform(0.4, 0.46), r.uniform(0.22, 0.28)
    tip = r.uniform(0.2, 0.3)
    wall = [(w, 0), (w * 1.08, h), (w * 1.02, h), (w * 0.93, 0), (w, 0)]
    parts: Parts = [(lathe(wall, 28), "main"), (moved(torus(w * 0.97, 0.05, 28), y=0.03), "main")]
    tones = ("red*", "glass*", "leaf*")
    for k in range(n):
        a = 2 * np.pi * k / n
        spike = prism([(-0.17, h - 0.06), (0.17, h - 0.06), (0, h + tip)], 0.05)
        spike = moved(rotated(moved(spike, y=-h), "x", 6), 0, h, w * 1.04)
        parts.append((rotated(spike, "y", np.degrees(a)), "main"))
        top = ((w + 0.06) * np.sin(a), h + tip + 0.02, (w + 0.06) * np.cos(a))
        parts.append((ball(*top, 0.05, segments=8), "main"))
        b = (w * 1.03 * np.sin(a), h * 0.5, w * 1.03 * np.cos(a))
        parts.append((ball(*b, 0.06, segments=8), tones[k % 3]))
    return parts


def shoe(r: Generator) -> Parts:
    """A trainer, its toe to the front."""
    k = r.uniform(0.95, 1.1)
    body = [
        (-0.5, 0.2, 0.12, 0.13),
        (-0.42, 0.27, 0.17, 0.2),
        (-0.15, 0.25, 0.18 * k, 0.18),
        (0.1, 0.19, 0.19 * k, 0.12),
        (0.35, 0.15, 0.19 * k, 0.09),
        (0.5, 0.12, 0.12, 0.06),
    ]
    sole = [
        (-0.54, 0.06, 0.13, 0.05),
        (-0.45, 0.05, 0.19, 0.055),
        (0.3, 0.05, 0.21 * k, 0.055),
        (0.48, 0.06, 0.17, 0.05),
        (0.57, 0.07, 0.06, 0.035),
    ]
    parts: Parts = [
        (spine(body, 16, 0.7), "main"),
        (spine(sole, 14, 0.5), "snow*"),
        (ellipsoid(0.12, 0.06, 0.17, (0, 0.44, -0.29), 12), "dark"),
    ]
    for j in range(4):
        z = -0.05 + 0.1 * j
        y = np.interp(z, [p[0] for p in body], [p[1] + p[3] for p in body])
        parts.append((rod((-0.1, y - 0.015, z), (0.1, y - 0.015, z + 0.03), 0.02, None, 6), "snow"))
    return parts


def boot(r: Generator) -> Parts:
    h, w = r.uniform(0.7, 0.9), r.uniform(0.17, 0.2)
    shaft = [
        (0, 0.1),
        (w, 0.1),
        (w * 0.92, 0.3),
        (w * 1.12, h),
        (w * 0.95, h),
        (w * 0.8, h - 0.1),
        (0, h - 0.12),
    ]
    foot = [
        (-0.42, 0.14, w * 0.85, 0.1),
        (-0.2, 0.2, w, 0.17),
        (0.1, 0.16, w, 0.13),
        (0.3, 0.13, w * 0.9, 0.09),
        (0.4, 0.11, w * 0.5, 0.05),
    ]
    sole = [
        (-0.45, 0.04, w * 0.9, 0.045),
        (0.25, 0.04, w * 1.08, 0.045),
        (0.44, 0.05, w * 0.6, 0.035),
    ]
    return [
        (moved(lathe(shaft, 20), z=-0.22), "main"),
        (moved(torus(w * 1.08, 0.04, 20), 0, h - 0.02, -0.22), "main"),
        (spine(foot, 16, 0.8), "main"),
        (spine(sole, 14, 0.6), "dark*"),
        (box(w * 1.6, 0.12, 0.2, (0, 0.0, -0.33)), "dark*"),
    ]


def backpack(r: Generator) -> Parts:
    w, h, d = r.uniform(0.32, 0.38), r.uniform(0.42, 0.5), 0.2
    body = [
        (-d, h, w * 0.9, h * 0.94),
        (-d * 0.8, h, w, h),
        (d * 0.7, h, w, h),
        (d, h, w * 0.85, h * 0.9),
    ]
    parts: Parts = [
        (spine(body, 20, 0.5), "main"),
        (
            spine(
                [(d * 0.8, h * 0.6, w * 0.72, h * 0.42), (d + 0.12, h * 0.6, w * 0.68, h * 0.38)],
                16,
                0.4,
            ),
            "main*",
        ),
        (box(w * 1.3, 0.025, 0.05, (0, h * 0.85, d + 0.11)), "dark"),
        (tube(_arc(0, 2 * h - 0.03, 0.1, 0.12, 0, 180, 8), 0.025), "dark"),
        (box(w * 1.5, 0.03, 0.03, (0, h * 1.3, d * 1.0)), "dark"),
    ]
    for s in (-1, 1):
        strap = [
            (s * w * 0.5, h * 1.75, -d),
            (s * w * 0.6, h * 1.4, -d - 0.16),
            (s * w * 0.65, h * 0.7, -d - 0.14),
            (s * w * 0.7, h * 0.25, -d),
        ]
        parts.append((tube(strap, 0.05, 8), "dark"))
        parts.append((ball(s * (w + 0.02), h * 0.5, 0, 0.1, h * 0.35, 0.15), "main*"))
    return parts


def suitcase(r: Generator) -> Parts:
    w, h, d = r.uniform(0.85, 1.0), r.uniform(0.58, 0.68), r.uniform(0.24, 0.3)
    parts: Parts = [
        (box(w, h, d, (0, h / 2, 0)), "main"),
        (box(w * 1.01, h * 1.01, 0.025, (0, h / 2, 0)), "dark"),
        (
            tube([(-0.13, h, 0), (-0.11, h + 0.1, 0), (0.11, h + 0.1, 0), (0.13, h, 0)], 0.028),
            "dark",
        ),
    ]
    for x in (-1, 1):
        parts.append((box(0.08, h * 1.02, d * 1.03, (x * w * 0.3, h / 2, 0)), "wood"))
        parts.append((box(0.07, 0.05, d * 1.1, (x * w * 0.15, h * 0.93, 0)), "gold"))
        for y in (0, 1):
            for z in (-1, 1):
                parts.append(
                    (
                        ball(
                            x * w * 0.48, y * h + (1 - 2 * y) * 0.02, z * d * 0.46, 0.07, segments=8
                        ),
                        "wood*",
                    )
                )
    return parts


def drum(r: Generator) -> Parts:
    rad, h, n = r.uniform(0.4, 0.48), r.uniform(0.42, 0.58), 8
    parts: Parts = [
        (cylinder(rad, 0, h, segments=28), "main"),
        (cylinder(rad * 0.98, h, h + 0.035, segments=28), "cream"),
        (moved(torus(rad, 0.035, 28), y=0.02), "gold*"),
        (moved(torus(rad, 0.035, 28), y=h), "gold*"),
    ]
    for k in range(n):
        a, b = 2 * np.pi * k / n, 2 * np.pi * (k + 0.5) / n
        p, q, s = (
            np.array([1.02 * rad * np.sin(t), 0, 1.02 * rad * np.cos(t)]) for t in (a, b, 2 * b - a)
        )
        up = np.array([0, h, 0])
        for start, end in ((p, q + up), (q + up, s)):
            parts.append((rod(start, end, 0.014, None, 5), "snow"))
    if r.random() < 0.6:
        for s in (-1, 1):
            parts.append(
                (rod((s * 0.05, h + 0.06, 0.2), (-s * 0.32, h + 0.09, -0.3), 0.022), "wood")
            )
            parts.append((ball(-s * 0.32, h + 0.09, -0.3, 0.045, segments=8), "wood"))
    return parts


def guitar(r: Generator) -> Parts:
    k, ln = r.uniform(0.92, 1.08), r.uniform(0.6, 0.7)
    a = np.linspace(0, 2 * np.pi, 33)[:-1]
    x = (
        0.27
        * k
        * np.sin(a)
        * (1 - 0.22 * np.cos(a))
        * (1 - 0.26 * np.exp(-(((np.cos(a) - 0.2) / 0.28) ** 2)))
    )
    y = 0.36 - 0.36 * np.cos(np.pi - a)
    outline = list(zip(x, y, strict=True))
    if (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < 0:
        outline = outline[::-1]
    top = 0.7 + ln
    parts: Parts = [
        (fan(outline, 0.15, (0, 0.36)), "main"),
        (disc(0, 0.46, 0.075, 0.085, 0.01, "z", 20), "dark"),
        (box(0.2, 0.035, 0.03, (0, 0.18, 0.085)), "dark"),
        (box(0.075, ln + 0.1, 0.045, (0, 0.66 + ln / 2, 0.07)), "wood*"),
        (box(0.13, 0.2, 0.04, (0, top + 0.08, 0.06)), "wood*"),
    ]
    for s in (-1, 1):
        for yy in (0.03, 0.09, 0.15):
            parts.append((ball(s * 0.09, top + yy, 0.06, 0.028, segments=6), "metal"))
        parts.append(
            (rod((s * 0.014, 0.18, 0.105), (s * 0.014, top, 0.1), 0.005, None, 4), "metal")
        )
    return parts


def trumpet(r: Generator) -> Parts:
    """The bell to the front."""
    w = r.uniform(0.17, 0.21)
    flare = [
        (0, 0.1),
        (0.04, 0.1),
        (0.045, 0.5),
        (0.07, 0.68),
        (0.11, 0.78),
        (w, 0.86),
        (w * 0.95, 0.87),
        (0.09, 0.78),
        (0, 0.6),
    ]
    loop = [
        (0, 0.34, 0.2),
        (0, 0.34, -0.28),
        (0, 0.3, -0.36),
        (0, 0.2, -0.36),
        (0, 0.16, -0.28),
        (0, 0.16, 0.28),
        (0, 0.2, 0.36),
        (0, 0.3, 0.36),
        (0, 0.34, 0.28),
    ]
    parts: Parts = [
        (moved(rotated(lathe(flare, 22), "x", 90), y=0.34, z=-0.1), "main"),
        (tube(loop, 0.036, 8), "main"),
        (rod((0, 0.34, -0.2), (0, 0.34, -0.72), 0.032), "main"),
        (moved(rotated(cylinder(0.07, 0, 0.12, 0.035, 14), "x", 90), y=0.34, z=-0.82), "main"),
    ]
    for z in (-0.12, 0.0, 0.12):
        parts.append((moved(cylinder(0.052, 0.08, 0.44, segments=12), 0, 0, z), "main"))
        parts.append((moved(cylinder(0.02, 0.44, 0.52, segments=8), 0, 0, z), "metal"))
        parts.append((moved(cylinder(0.045, 0.52, 0.545, segments=10), 0, 0, z), "snow"))
    return parts


def balloon(r: Generator) -> Parts:
    w, h, ln = r.uniform(0.36, 0.42), r.uniform(0.44, 0.52), r.uniform(0.5, 0.7)
    t = np.linspace(-np.pi / 2, np.pi / 2, 13)
    body = [(w * np.cos(a) * (1 + 0.16 * np.sin(a)), h * np.sin(a)) for a in t]
    a = np.linspace(0, 1, 9)
    string = np.stack([0.04 * np.sin(7 * a), -h - 0.05 - ln * a, 0 * a], 1)
    knot = moved(cone(0.06, 0, 0.09, 10), y=-h - 0.07)
    return [(lathe(body, 24), "main"), (knot, "main"), (tube(string, 0.014, 5), "snow*")]


def helmet(r: Generator) -> Parts:
    """A rider's helmet with a visor in front."""
    w, h = r.uniform(0.4, 0.44), r.uniform(0.42, 0.47)
    parts: Parts = [
        (ellipsoid(w, h, w * 1.1, (0, 0.42, 0), 22), "main"),
        (ellipsoid(w * 0.97, 0.17, w * 1.0, (0, 0.45, 0.1), 20), "dark*"),
        (
            spine(
                [
                    (-0.2, 0.14, w * 0.8, 0.1),
                    (0.3, 0.14, w * 0.75, 0.12),
                    (w * 1.12, 0.15, w * 0.4, 0.09),
                ],
                16,
                0.7,
            ),
            "main",
        ),
    ]
    return parts


FAMILIES = {
    f.__name__: f
    for f in (
        backpack,
        balloon,
        boot,
        crown,
        drum,
        guitar,
        helmet,
        shoe,
        suitcase,
        trumpet,
        umbrella,
    )
}
SYMMETRIC = "balloon crown drum suitcase umbrella"

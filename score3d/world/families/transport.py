"""More vehicles. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, disc, rod, wheels
from score3d.world.primitives import (
    box,
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
    "bus": "wheels",
    "truck": "wheels",
    "train": "wheels",
    "tractor": "wheels",
    "bicycle": "wheels",
    "motorcycle": "wheels",
    "helicopter": "rotor",
    "submarine": "tower",
    "ship": "chimney",
    "tank": "tracks",
    "airship": "fins",
    "ufo": "dome",
    "parachute": "ropes",
}


def bus(r: Generator) -> Parts:
    ln, w, h, rad = r.uniform(1.3, 1.55), 0.46, r.uniform(0.46, 0.56), 0.12
    y = rad + h / 2
    double = r.random() < 0.3
    parts: Parts = [
        (box(w, h, ln, (0, y, 0)), "main"),
        *wheels(w / 2 - 0.03, (-0.3 * ln, 0.3 * ln), rad),
    ]
    decks = [y + h * 0.15]
    if double:
        parts.append((box(w, h * 0.7, ln * 0.98, (0, y + h * 0.85, 0)), "main"))
        decks.append(y + h * 0.85)
    for yy in decks:
        n = 5
        for k in range(n):
            z = (k - (n - 1) / 2) * ln * 0.19
            parts.append((box(w + 0.02, h * 0.36, ln * 0.14, (0, yy, z)), "glass"))
        parts.append((box(w * 0.86, h * 0.4, 0.03, (0, yy, ln / 2)), "glass"))
        parts.append((box(w * 0.7, h * 0.3, 0.03, (0, yy, -ln / 2)), "glass"))
    for s in (-1, 1):
        parts.append((ball(s * w * 0.35, rad + 0.1, ln / 2, 0.045, segments=8), "light"))
        parts.append((box(0.07, 0.06, 0.03, (s * w * 0.35, rad + 0.1, -ln / 2)), "red"))
    return [*parts, (box(w * 1.02, 0.05, 0.04, (0, rad + 0.02, ln / 2)), "dark")]


def truck(r: Generator) -> Parts:
    w, rad, bed = 0.5, 0.13, r.uniform(0.65, 0.85)
    cab = r.uniform(0.36, 0.42)
    z0 = -bed / 2 - 0.05
    parts: Parts = [
        (box(w * 0.8, 0.08, bed + cab, (0, rad + 0.06, z0 / 2 + 0.08)), "dark"),
        (box(w, 0.5, cab, (0, rad + 0.33, 0.2), taper=0.9), "main"),
        (box(w, 0.24, 0.22, (0, rad + 0.2, 0.2 + cab / 2 + 0.08)), "main"),
        (box(w * 0.82, 0.2, 0.04, (0, rad + 0.44, 0.2 + cab * 0.48)), "glass"),
        (box(w * 1.01, 0.18, cab * 0.55, (0, rad + 0.42, 0.2)), "glass"),
        (box(w * 0.5, 0.12, 0.03, (0, rad + 0.18, 0.3 + cab / 2 + 0.1)), "metal"),
        *wheels(w / 2 - 0.02, (z0 - bed * 0.25, z0 + bed * 0.15, 0.24), rad),
    ]
    if r.random() < 0.5:
        h = r.uniform(0.55, 0.68)
        parts.append((box(w * 1.06, h, bed, (0, rad + 0.1 + h / 2, z0)), "main"))
    else:
        parts.append((box(w * 1.04, 0.05, bed, (0, rad + 0.14, z0)), "main"))
        for s in (-1, 1):
            parts.append((box(0.05, 0.26, bed, (s * w * 0.5, rad + 0.25, z0)), "main"))
            parts.append((box(w, 0.26, 0.05, (0, rad + 0.25, z0 + s * bed * 0.48)), "main"))
    for s in (-1, 1):
        parts.append(
            (ball(s * w * 0.38, rad + 0.2, 0.2 + cab / 2 + 0.19, 0.05, segments=8), "light")
        )
    return parts


def train(r: Generator) -> Parts:
    """A steam engine."""
    ln, b = r.uniform(0.75, 0.9), r.uniform(0.19, 0.22)
    y = 0.2 + b
    boiler = rotated(cylinder(b, 0, ln, segments=20), "x", 90)
    chimney = lathe([(0, 0), (0.06, 0), (0.06, 0.16), (0.11, 0.24), (0.11, 0.28), (0, 0.28)], 14)
    parts: Parts = [
        (moved(boiler, 0, y, -ln / 2 + 0.1), "main"),
        (disc(0, y, ln / 2 + 0.11, b * 0.9, 0.05, "z"), "dark"),
        (box(0.48, 0.08, ln + 0.4, (0, 0.2, -0.02)), "dark"),
        (box(0.46, 0.62, 0.36, (0, 0.5, -ln / 2 - 0.06)), "main"),
        (box(0.54, 0.05, 0.46, (0, 0.83, -ln / 2 - 0.06)), "dark"),
        (box(0.48, 0.18, 0.2, (0, 0.64, -ln / 2 - 0.06)), "glass"),
        (box(0.3, 0.18, 0.38, (0, 0.64, -ln / 2 - 0.06)), "glass"),
        (moved(chimney, 0, y + b - 0.03, ln / 2 - 0.06), "dark"),
        (ball(0, y + b, 0.05, 0.09), "gold"),
        (ball(0, y + b + 0.02, ln / 2 + 0.1, 0.06), "light"),
        *wheels(0.2, (-0.38, -0.08), 0.17, 0.08),
        *wheels(0.2, (0.2, 0.42), 0.12, 0.08),
    ]
    ram = prism([(-0.22, 0.02), (0.22, 0.02), (0.12, 0.2), (-0.12, 0.2)], 0.14)
    return [*parts, (moved(ram, 0, 0, ln / 2 + 0.2), "red")]


def tractor(r: Generator) -> Parts:
    big, small = r.uniform(0.29, 0.33), r.uniform(0.15, 0.18)
    parts: Parts = [
        (box(0.3, 0.28, 0.6, (0, 0.42, 0.22)), "main"),
        (box(0.4, 0.12, 0.5, (0, 0.34, -0.2)), "main"),
        (box(0.3, 0.2, 0.02, (0, 0.42, 0.53)), "dark"),
        (rod((0.08, 0.5, 0.3), (0.08, 0.86, 0.3), 0.03), "dark"),
        (box(0.46, 0.04, 0.48, (0, 0.98, -0.22)), "main"),
        (box(0.24, 0.08, 0.2, (0, 0.5, -0.3)), "dark"),
        (box(0.24, 0.22, 0.05, (0, 0.6, -0.4)), "dark"),
    ]
    for s in (-1, 1):
        parts.append((disc(s * 0.31, big, -0.26, big, 0.18), "dark*"))
        parts.append((disc(s * 0.31, big, -0.26, big * 0.5, 0.2), "gold"))
        parts.append((disc(s * 0.22, small, 0.42, small, 0.11), "dark*"))
        parts.append((disc(s * 0.22, small, 0.42, small * 0.5, 0.13), "gold"))
        for z in (-0.43, -0.02):
            parts.append((box(0.04, 0.56, 0.04, (s * 0.2, 0.7, z)), "dark"))
        parts.append((ball(s * 0.1, 0.5, 0.53, 0.04, segments=8), "light"))
        parts.append((box(0.16, 0.05, 0.5, (s * 0.31, big * 2 + 0.03, -0.26)), "main"))
    return parts


def _spoked(parts: Parts, z: float, rad: float, tyre: float, spokes: int) -> None:
    parts.append((moved(rotated(torus(rad - tyre, tyre, 24), "z", 90), 0, rad, z), "dark*"))
    for k in range(spokes):
        a = np.pi * k / spokes
        d = np.array([0, np.sin(a), np.cos(a)]) * (rad - tyre)
        parts.append(
            (rod(np.array([0, rad, z]) - d, np.array([0, rad, z]) + d, 0.01, None, 5), "metal")
        )


def bicycle(r: Generator) -> Parts:
    rad, gap = r.uniform(0.27, 0.31), r.uniform(0.44, 0.5)
    parts: Parts = []
    for z in (-gap, gap):
        _spoked(parts, z, rad, 0.04, 5)
    hub, crank, seat, bars = (rad, -gap), (rad * 0.95, -0.06), (0.66, -0.2), (0.7, 0.3)
    for (y0, z0), (y1, z1) in (
        (hub, crank), (hub, seat), (crank, seat), (crank, bars), (seat, bars), (bars, (rad, gap)),
        (seat, (0.74, -0.22)), (bars, (0.86, 0.24)),
    ):  # fmt: skip
        parts.append((rod((0, y0, z0), (0, y1, z1), 0.034), "main"))
    parts.append((ball(0, 0.77, -0.23, 0.075, 0.035, 0.15), "dark"))
    parts.append(
        (
            tube(
                [(-0.24, 0.84, 0.12), (-0.18, 0.88, 0.24), (0.18, 0.88, 0.24), (0.24, 0.84, 0.12)],
                0.026,
            ),
            "dark",
        )
    )
    parts.append((disc(0.03, *crank, 0.09, 0.02), "metal"))
    return parts


def motorcycle(r: Generator) -> Parts:
    rad, gap = r.uniform(0.22, 0.26), r.uniform(0.46, 0.52)
    parts: Parts = []
    for z in (-gap, gap):
        _spoked(parts, z, rad, 0.075, 4)
        parts.append((disc(0, rad, z, rad * 0.4, 0.12), "metal"))
    parts += [
        (ellipsoid(0.13, 0.12, 0.25, (0, 0.56, 0.1), 14), "main"),
        (box(0.2, 0.24, 0.34, (0, 0.32, 0)), "metal"),
        (ball(0, 0.54, -0.25, 0.12, 0.06, 0.26), "dark"),
        (ellipsoid(0.1, 0.1, 0.22, (0, 0.5, -gap + 0.02), 12), "main"),
        (ball(0, 0.64, 0.42, 0.1), "main"),
        (ball(0, 0.64, 0.5, 0.07, 0.07, 0.04), "light"),
        (
            tube(
                [(-0.27, 0.78, 0.2), (-0.14, 0.76, 0.34), (0.14, 0.76, 0.34), (0.27, 0.78, 0.2)],
                0.025,
            ),
            "dark",
        ),
        (rod((0.12, 0.2, 0.1), (0.14, 0.24, -gap - 0.15), 0.04, 0.055), "metal"),
        (box(0.13, 0.04, 0.3, (0, rad * 2 + 0.03, gap)), "main"),
    ]
    for s in (-1, 1):
        parts.append((rod((s * 0.07, 0.74, 0.34), (s * 0.08, rad, gap), 0.028), "metal"))
    return parts


def helicopter(r: Generator) -> Parts:
    w, blades = r.uniform(0.22, 0.26), int(r.integers(2, 5))
    blade, turn = r.uniform(0.55, 0.65), r.uniform(0, 90)
    parts: Parts = [
        (ellipsoid(w, 0.24, 0.38, (0, 0.4, 0.1), 18), "main"),
        (ellipsoid(w * 0.86, 0.17, 0.22, (0, 0.45, 0.29), 14), "glass"),
        (rod((0, 0.46, -0.15), (0, 0.52, -0.82), 0.1, 0.035, 10), "main"),
        (
            rotated(
                prism([(-0.86, 0.46), (-0.7, 0.46), (-0.82, 0.76), (-0.92, 0.76)], 0.03), "y", -90
            ),
            "main",
        ),
        (box(0.3, 0.02, 0.1, (0, 0.52, -0.74)), "main"),
        (rod((0, 0.6, 0.05), (0, 0.74, 0.05), 0.035), "dark"),
        (ball(0, 0.74, 0.05, 0.06, 0.035, 0.06, 8), "dark"),
        (disc(0.05, 0.64, -0.84, 0.13, 0.015), "metal"),
    ]
    for k in range(blades):
        g = box(blade, 0.018, 0.075, (blade / 2, 0, 0))
        parts.append((moved(rotated(g, "y", turn + 360 * k / blades), 0, 0.74, 0.05), "dark*"))
    for s in (-1, 1):
        skid = [(s * 0.2, 0.05, -0.3), (s * 0.2, 0.05, 0.36), (s * 0.2, 0.1, 0.44)]
        parts.append((tube(skid, 0.022, 6), "dark"))
        for z in (-0.08, 0.24):
            parts.append((rod((s * 0.12, 0.24, z), (s * 0.2, 0.05, z), 0.018, None, 6), "dark"))
    return parts


def submarine(r: Generator) -> Parts:
    rad, ln = r.uniform(0.19, 0.24), r.uniform(0.6, 0.7)
    t = np.linspace(-1, 1, 11)
    k = rad * np.sqrt(np.clip(1 - np.abs(t) ** 3, 0.01, 1))
    parts: Parts = [
        (spine([(ln * a, 0, b, b) for a, b in zip(t, k, strict=True)], 18), "main"),
        (
            spine(
                [
                    (-0.14, rad + 0.06, 0.06, 0.16),
                    (0.0, rad + 0.06, 0.1, 0.16),
                    (0.2, rad + 0.06, 0.07, 0.16),
                ],
                12,
                0.6,
            ),
            "main*",
        ),
        (tube([(0, rad + 0.2, 0.08), (0, rad + 0.4, 0.08), (0, rad + 0.42, 0.16)], 0.025), "dark"),
        (disc(0, 0, -ln - 0.02, rad * 0.75, 0.03, "z"), "gold"),
        (box(0.6, 0.03, 0.14, (0, 0, -ln * 0.85)), "main"),
        (box(0.03, 0.5, 0.14, (0, 0, -ln * 0.85)), "main"),
    ]
    for s in (-1, 1):
        for z in (-0.25, 0.05, 0.35):
            parts.append((disc(s * rad * 0.95, 0.04, z, 0.055, 0.04), "glass"))
    return parts


def ship(r: Generator) -> Parts:
    """A steamer with a pointed bow, white decks and chimneys."""
    ln, w, h = r.uniform(0.68, 0.78), r.uniform(0.19, 0.23), r.uniform(0.22, 0.27)
    hull = spine(
        [
            (-ln, h / 2, w * 0.7, h / 2),
            (-ln * 0.8, h / 2, w, h / 2),
            (ln * 0.4, h / 2, w, h / 2),
            (ln * 0.75, h / 2 + 0.02, w * 0.55, h / 2 + 0.02),
            (ln, h / 2 + 0.05, 0.015, h / 2),
        ],
        16,
        0.4,
    )
    parts: Parts = [
        (hull, "main"),
        (box(w * 1.5, 0.12, ln * 1.1, (0, h + 0.06, -0.1)), "snow"),
        (box(w * 1.3, 0.11, ln * 0.8, (0, h + 0.17, -0.1)), "snow"),
        (box(w * 1.2, 0.11, 0.16, (0, h + 0.27, 0.1)), "snow"),
        (box(w * 1.22, 0.04, 0.17, (0, h + 0.28, 0.1)), "glass"),
        (rod((0, h, ln * 0.62), (0, h + 0.42, ln * 0.62), 0.016), "dark"),
    ]
    n = int(r.integers(1, 4))
    for k in range(n):
        z = -0.12 - 0.2 * k + 0.06 * n
        parts.append((moved(cylinder(0.065, 0, 0.34, segments=14), 0, h + 0.2, z), "red*"))
        parts.append((moved(cylinder(0.068, 0.26, 0.35, segments=14), 0, h + 0.2, z), "dark"))
    for s in (-1, 1):
        for z in np.linspace(-0.5, 0.3, 6):
            parts.append((disc(s * w * 0.97, h * 0.65, z, 0.028, 0.04, "x", 8), "light"))
    return parts


def tank(r: Generator) -> Parts:
    gun, w = r.uniform(0.5, 0.65), 0.28
    parts: Parts = [
        (box(w * 2, 0.2, 0.95, (0, 0.32, 0)), "main"),
        (box(w * 1.5, 0.2, 0.5, (0, 0.52, -0.06), taper=0.75), "main"),
        (rod((0, 0.53, 0.15), (0, 0.57, 0.2 + gun), 0.04), "main"),
        (disc(0, 0.57, 0.2 + gun, 0.055, 0.1, "z", 12), "main"),
        (cylinder(0.1, 0.6, 0.67, segments=14), "dark"),
    ]
    loop = [
        (z * 0.36 + 0.18 * np.cos(a), 0.18 + 0.17 * np.sin(a))
        for z, t0 in ((1, -90), (-1, 90))
        for a in np.radians(np.linspace(t0, t0 + 180, 7))
    ]
    for s in (-1, 1):
        track = rotated(prism([(z, y) for z, y in loop], 0.18), "y", -90)
        parts.append((moved(track, s * w, 0, 0), "dark*"))
        for z in (-0.36, -0.12, 0.12, 0.36):
            parts.append((disc(s * w, 0.18, z, 0.1, 0.2, "x", 14), "metal"))
    return parts


def airship(r: Generator) -> Parts:
    rad, ln = r.uniform(0.24, 0.3), r.uniform(0.62, 0.72)
    parts: Parts = [
        (ellipsoid(rad, rad, ln, (0, 0, 0), 20), "main"),
        (
            spine(
                [
                    (-0.12, -rad - 0.06, 0.07, 0.07),
                    (0.1, -rad - 0.06, 0.08, 0.07),
                    (0.22, -rad - 0.04, 0.04, 0.05),
                ],
                12,
                0.5,
            ),
            "snow",
        ),
        (box(0.17, 0.05, 0.2, (0, -rad - 0.04, 0.04)), "glass"),
    ]
    fin = [
        (-ln * 0.62, rad * 0.6),
        (-ln * 0.98, rad * 0.2),
        (-ln * 1.02, rad * 1.15),
        (-ln * 0.85, rad * 1.15),
    ]
    flat = rotated(fan(fin[::-1], 0.035, (-ln * 0.88, rad * 0.75)), "y", -90)
    for k in range(4):
        parts.append((rotated(flat, "z", 90 * k), "red*"))
    return parts


def ufo(r: Generator) -> Parts:
    w, h = r.uniform(0.55, 0.65), r.uniform(0.09, 0.13)
    parts: Parts = [
        (lathe([(0, -h), (w * 0.4, -h), (w, 0), (w * 0.45, h), (0, h)], 30), "main"),
        (ellipsoid(w * 0.4, w * 0.38, w * 0.4, (0, h * 0.8, 0), 18), "glass*"),
        (cylinder(w * 0.25, -h - 0.06, -h + 0.01, w * 0.32), "dark"),
    ]
    for k in range(10):
        a = 2 * np.pi * k / 10
        parts.append(
            (ball(w * 0.78 * np.sin(a), 0.025, w * 0.78 * np.cos(a), 0.05, segments=8), "light")
        )
    if r.random() < 0.5:
        for k in range(3):
            a = 2 * np.pi * k / 3
            d = np.array([np.sin(a), 0, np.cos(a)])
            parts.append(
                (rod(d * w * 0.35 - (0, h * 0.8, 0), d * w * 0.55 - (0, 0.36, 0), 0.025), "dark")
            )
    return parts


def parachute(r: Generator) -> Parts:
    w, h = r.uniform(0.5, 0.58), r.uniform(0.3, 0.38)
    t = np.linspace(0, np.pi / 2, 8)
    dome = [*zip(w * np.cos(t), h * np.sin(t), strict=True)]
    under = [(0, h - 0.05), (w * 0.6, h * 0.7), (w * 0.95, -0.01)]
    parts: Parts = [
        (lathe([*under, *dome], 20), "main"),
        (box(0.16, 0.18, 0.16, (0, -0.72, 0)), "wood"),
    ]
    for k in range(8):
        a = 2 * np.pi * k / 8
        parts.append(
            (rod((w * np.sin(a), 0, w * np.cos(a)), (0, -0.64, 0), 0.011, None, 5), "dark*")
        )
    return parts


FAMILIES = {
    f.__name__: f
    for f in (airship, bicycle, bus, helicopter, motorcycle, parachute, ship, submarine,
              tank, tractor, train, truck, ufo)
}  # fmt: skip

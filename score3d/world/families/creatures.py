"""Animals, a bat among them, and a snowman. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, eyes
from score3d.world.primitives import (
    cone,
    cylinder,
    ellipsoid,
    fan,
    moved,
    rotated,
    tube,
)

SECOND_PARTS = {
    "dog": "ears",
    "duck": "beak",
    "snowman": "hat",
}


def _quadruped(
    r: Generator, body, leg_h: float, leg_r: float, feet: str = "main"
) -> tuple[Parts, float]:
    rx, ry, rz = body
    y = leg_h + ry * 0.7
    parts: Parts = [(ellipsoid(rx, ry, rz, (0, y, 0), 18), "main")]
    for x in (-1, 1):
        for z in (-1, 1):
            p = moved(cylinder(leg_r, 0, y, segments=10), x * rx * 0.6, 0, z * rz * 0.62)
            parts.append((p, "main"))
            if feet != "main":
                foot = moved(
                    cylinder(leg_r * 1.1, 0, 0.05, segments=10), x * rx * 0.6, 0, z * rz * 0.62
                )
                parts.append((foot, feet))
    return parts, y


def dog(r: Generator) -> Parts:
    rx, ry, rz = r.uniform(0.15, 0.19), r.uniform(0.16, 0.2), r.uniform(0.36, 0.44)
    parts, y = _quadruped(r, (rx, ry, rz), r.uniform(0.26, 0.36), r.uniform(0.045, 0.06))
    hy, hz, h = y + ry + 0.12, rz * 0.95, r.uniform(0.15, 0.18)
    parts += [
        (tube([(0, y + 0.05, rz * 0.6), (0, hy, hz)], 0.09, 10), "main"),
        (ellipsoid(h, h, h * 1.05, (0, hy, hz), 16), "main"),
        (ellipsoid(h * 0.5, h * 0.45, h * 0.75, (0, hy - 0.04, hz + h * 1.05), 12), "main"),
        (ellipsoid(0.04, 0.035, 0.03, (0, hy - 0.01, hz + h * 1.75), 8), "dark"),
        (
            tube(
                [
                    (0, y + ry * 0.4, -rz * 0.85),
                    (0, y + ry + 0.1, -rz * 1.15),
                    (0, y + ry + 0.22, -rz * 1.2),
                ],
                0.035,
                8,
            ),
            "main",
        ),
    ]
    for s in (-1, 1):
        ear = ellipsoid(0.035, 0.12, 0.07, (s * h * 1.0, hy - 0.02, hz - 0.02), 10)
        parts.append((ear, "main*" if r.random() < 0.3 else "dark*"))
        parts.append(
            (ellipsoid(0.028, 0.028, 0.02, (s * h * 0.42, hy + 0.05, hz + h * 0.88), 8), "dark")
        )
    return parts


def pig(r: Generator) -> Parts:
    rx, ry, rz = r.uniform(0.27, 0.31), r.uniform(0.26, 0.3), r.uniform(0.4, 0.46)
    parts, y = _quadruped(r, (rx, ry, rz), r.uniform(0.12, 0.17), r.uniform(0.07, 0.085), "dark")
    hz, h = rz * 0.92, r.uniform(0.2, 0.23)
    hy = y + 0.07
    parts += [
        (ellipsoid(h, h, h * 0.9, (0, hy, hz), 16), "main"),
        (
            moved(
                rotated(cylinder(h * 0.45, 0, 0.13, segments=14), "x", 90),
                y=hy - 0.03,
                z=hz + h * 0.75,
            ),
            "main",
        ),
    ]
    a = np.linspace(0, 4 * np.pi, 16)
    curl = np.stack([0.05 * np.cos(a), y + 0.05 + 0.05 * np.sin(a), -rz - 0.01 * a], 1)
    parts.append((tube(curl, 0.018, 6), "main"))
    for s in (-1, 1):
        ear = rotated(cone(0.075, 0, 0.15, 8), "z", -s * 30)
        parts.append((moved(ear, s * h * 0.6, hy + h * 0.75, hz), "main"))
        parts.append(
            (ellipsoid(0.028, 0.03, 0.02, (s * h * 0.42, hy + h * 0.4, hz + h * 0.78), 8), "dark")
        )
        parts.append(
            (
                ellipsoid(0.022, 0.03, 0.02, (s * h * 0.18, hy - 0.03, hz + h * 0.75 + 0.13), 8),
                "dark",
            )
        )
    return parts


def duck(r: Generator) -> Parts:
    rx, ry, rz = r.uniform(0.25, 0.3), r.uniform(0.22, 0.26), r.uniform(0.38, 0.44)
    h = r.uniform(0.17, 0.2)
    hy, hz = ry * 2 + h * 0.75, rz * 0.55
    tail = rotated(cone(0.14, 0, 0.3, 12), "x", -60)
    parts: Parts = [
        (ellipsoid(rx, ry, rz, (0, ry, 0), 20), "main"),
        (ellipsoid(h * 0.75, h * 1.1, h * 0.75, (0, ry * 1.75, hz), 12), "main"),
        (ellipsoid(h, h, h, (0, hy, hz), 16), "main"),
        (ellipsoid(h * 0.55, h * 0.22, h * 0.75, (0, hy - 0.03, hz + h * 1.2), 12), "carrot*"),
        (moved(tail, y=ry * 1.1, z=-rz * 0.75), "main"),
    ]
    for s in (-1, 1):
        parts.append(
            (ellipsoid(0.05, ry * 0.55, rz * 0.55, (s * rx * 0.95, ry * 1.1, -0.04), 12), "main")
        )
        parts.append(
            (ellipsoid(0.03, 0.035, 0.03, (s * h * 0.6, hy + 0.05, hz + h * 0.72), 8), "dark")
        )
    return parts


def snowman(r: Generator) -> Parts:
    a, b, c = r.uniform(0.34, 0.40), r.uniform(0.25, 0.29), r.uniform(0.17, 0.21)
    yb, yc = a + 0.75 * (a + b) * 0.98, 0.0
    yc = yb + 0.8 * (b + c)
    top = yc + c * 0.85
    parts: Parts = [
        (ellipsoid(a, a, a, (0, a, 0)), "main"),
        (ellipsoid(b, b, b, (0, yb, 0)), "main"),
        (ellipsoid(c, c, c, (0, yc, 0)), "main"),
        (moved(rotated(cone(0.05, 0, 0.26, 10), "x", 90), y=yc, z=c * 0.9), "carrot"),
        (cylinder(c * 1.35, top - 0.02, top + 0.03), "dark*"),
        (cylinder(c * 0.85, top, top + r.uniform(0.16, 0.26)), "dark*"),
    ]
    for x in (-0.4, 0.4):
        parts.append((ellipsoid(0.032, 0.032, 0.032, (x * c, yc + c * 0.35, c * 0.85), 8), "dark"))
    for lift in (-0.35, 0.05, 0.45):
        p = (0, yb + b * np.sin(lift), b * np.cos(lift))
        parts.append((ellipsoid(0.035, 0.035, 0.035, p, 8), "dark"))
    for s in (-1, 1):
        arm = [(s * b * 0.8, yb + 0.05, 0), (s * (b + 0.32), yb + r.uniform(0.1, 0.3), 0.03)]
        parts.append((tube(arm, 0.025, 6), "wood"))
    return parts


def bat(r: Generator) -> Parts:
    span, y = r.uniform(0.6, 0.7), 0.5
    parts: Parts = [
        (ellipsoid(0.13, 0.19, 0.12, (0, y, 0), 14), "main"),
        (ball(0, y + 0.24, 0.04, 0.13, segments=14), "main"),
        *eyes(0.05, y + 0.27, 0.155, 0.025, "snow"),
    ]
    lift = r.uniform(-0.05, 0.15)
    wing = [(0.05, -0.12), (0.2, -0.04), (0.26, -0.16), (0.42, 0.0), (0.47, -0.12), (0.98, 0.3)]
    wing += [(0.6, 0.26 + lift), (0.45, 0.38 + lift), (0.3, 0.2), (0.05, 0.12)]
    flat = fan([(x * span, v) for x, v in wing], 0.025, (0.3 * span, 0.08))
    for s in (-1, 1):
        g = flat if s > 0 else (flat[0] * (-1, 1, 1), flat[1][:, ::-1])
        parts.append((moved(rotated(g, "y", -s * 12), s * 0.05, y + 0.05, -0.02), "main"))
        ear = rotated(cone(0.06, 0, 0.16, 8), "z", -s * 15)
        parts.append((moved(ear, s * 0.07, y + 0.33, 0.03), "main"))
        parts.append(
            (moved(rotated(cone(0.018, 0, 0.06, 6), "x", 180), s * 0.03, y + 0.2, 0.15), "snow")
        )
        parts.append((ball(s * 0.06, y - 0.2, 0.02, 0.03), "main"))
    return parts


FAMILIES = {f.__name__: f for f in (bat, dog, duck, pig, snowman)}

"""Furniture, vessels and things of a house. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts
from score3d.world.primitives import (
    box,
    cylinder,
    ellipsoid,
    lathe,
    prism,
    tube,
)

SECOND_PARTS = {
    "chair": "legs",
    "table": "legs",
    "sofa": "cushions",
    "lamp": "base",
    "mug": "handle",
    "teapot": "handle",
    "bottle": "cap",
    "hat": "band",
    "house": "roof",
}


def chair(r: Generator) -> Parts:
    w, d, h, back = (r.uniform(*s) for s in ((0.5, 0.62), (0.5, 0.6), (0.42, 0.55), (0.5, 0.7)))
    t, leg = r.uniform(0.06, 0.11), r.uniform(0.05, 0.08)
    parts: Parts = [(box(w, t, d, (0, h, 0)), "main")]
    legs = "main*" if r.random() < 0.7 else "wood*"
    for x in (-1, 1):
        for z in (-1, 1):
            p = (x * (w - leg) / 2, h / 2, z * (d - leg) / 2)
            parts.append((box(leg, h, leg, p), legs))
    zb = -(d - t) / 2
    if r.random() < 0.65:
        parts.append((box(w, back, t, (0, h + back / 2, zb)), "main"))
    else:
        for x in np.linspace(-1, 1, 4):
            parts.append((box(leg, back, leg, (x * (w - leg) / 2, h + back / 2, zb)), "main"))
        parts.append((box(w, 0.14, t, (0, h + back, zb)), "main"))
    return parts


def table(r: Generator) -> Parts:
    w, d, h = r.uniform(0.9, 1.2), r.uniform(0.65, 0.9), r.uniform(0.5, 0.65)
    t, leg = r.uniform(0.06, 0.11), r.uniform(0.06, 0.1)
    if r.random() < 0.3:
        parts: Parts = [(cylinder(d * 0.62, h - t, h, segments=32), "main")]
        parts.append((cylinder(0.07, 0, h), "main*"))
        parts.append((cylinder(0.28, 0, 0.05), "main*"))
        return parts
    parts = [(box(w, t, d, (0, h, 0)), "main")]
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append(
                (box(leg, h, leg, (x * (w - leg) * 0.48, h / 2, z * (d - leg) * 0.48)), "main*")
            )
    return parts


def sofa(r: Generator) -> Parts:
    w, d, seat, back = (r.uniform(*s) for s in ((1.1, 1.4), (0.5, 0.6), (0.24, 0.3), (0.3, 0.4)))
    arm = r.uniform(0.12, 0.18)
    parts: Parts = [
        (box(w, seat, d, (0, seat / 2 + 0.06, 0)), "main"),
        (box(w, seat + back, 0.16, (0, (seat + back) / 2 + 0.06, -d / 2)), "main"),
    ]
    for x in (-1, 1):
        top = seat + r.uniform(0.14, 0.18)
        parts.append((box(arm, top, d + 0.08, (x * w / 2, top / 2 + 0.06, 0)), "main"))
        for z in (-1, 1):
            parts.append((box(0.06, 0.08, 0.06, (x * w * 0.46, 0.03, z * d * 0.4)), "dark"))
    for x in (-1, 1):
        cushion = box(w * 0.42, 0.09, d * 0.85, (x * w * 0.225, seat + 0.1, 0.03))
        parts.append((cushion, "main*"))
    return parts


def lamp(r: Generator) -> Parts:
    h, rs, hs = r.uniform(0.62, 0.85), r.uniform(0.26, 0.36), r.uniform(0.26, 0.36)
    return [
        (cylinder(r.uniform(0.17, 0.23), 0, 0.05), "dark*"),
        (cylinder(0.035, 0, h + 0.05), "dark*"),
        (cylinder(rs, h, h + hs, rs * r.uniform(0.45, 0.75), 28), "main"),
        (ellipsoid(0.1, 0.06, 0.1, (0, h, 0), 12), "light"),
    ]


def mug(r: Generator) -> Parts:
    rad, h = r.uniform(0.28, 0.34), r.uniform(0.58, 0.75)
    wall = [(0, 0), (rad * 0.95, 0), (rad, h), (rad * 0.88, h), (rad * 0.85, 0.08), (0, 0.08)]
    a = np.linspace(-np.pi / 2, np.pi / 2, 10)
    size = r.uniform(0.17, 0.22)
    arc = np.stack([rad * 0.95 + size * np.cos(a), h / 2 + size * 1.05 * np.sin(a), 0 * a], 1)
    return [(lathe(wall, 28), "main"), (tube(arc, r.uniform(0.045, 0.06)), "main*")]


def teapot(r: Generator) -> Parts:
    a, b = r.uniform(0.38, 0.44), r.uniform(0.30, 0.36)
    t = np.linspace(0, 1, 8)[:, None]
    spout = (1 - t) ** 2 * [a * 0.8, b * 0.7, 0] + 2 * t * (1 - t) * [a * 1.5, b * 0.8, 0]
    spout = spout + t**2 * [a * 1.65, b * 1.85, 0]
    radii = np.linspace(0.11, 0.045, 8)
    ang = np.linspace(np.pi * 0.42, np.pi * 1.58, 10)
    size = r.uniform(0.22, 0.27)
    handle = np.stack([-a * 0.95 + size * np.cos(ang), b + size * 0.95 * np.sin(ang), 0 * ang], 1)
    return [
        (ellipsoid(a, b, a, (0, b, 0), 24), "main"),
        (cylinder(a * 0.5, 0, 0.05), "main"),
        (tube(spout, radii), "main"),
        (tube(handle, 0.045), "main*"),
        (cylinder(a * 0.45, b * 1.82, b * 1.98, a * 0.3), "main"),
        (ellipsoid(0.07, 0.07, 0.07, (0, b * 2.12, 0), 12), "main"),
    ]


def vase(r: Generator) -> Parts:
    belly, neck, lip = r.uniform(0.26, 0.34), r.uniform(0.09, 0.14), r.uniform(0.16, 0.22)
    y = np.array([0, 0, 0.12, 0.32, 0.55, 0.75, 0.88, 1.0, 1.0, 0.8])
    p = np.array(
        [0, 0.55 * belly, 0.85 * belly, belly, 0.8 * belly, neck, neck, lip, lip * 0.8, neck * 0.7]
    )
    return [(lathe(list(zip(p, y, strict=True)), 28), "main")]


def bottle(r: Generator) -> Parts:
    rad, h, neck = r.uniform(0.17, 0.22), r.uniform(0.55, 0.68), r.uniform(0.055, 0.08)
    body = [(0, 0), (rad, 0), (rad, h), (neck, h + 0.2), (neck, h + 0.42), (0, h + 0.42)]
    return [(lathe(body, 24), "main"), (cylinder(neck * 1.25, h + 0.38, h + 0.47), "dark*")]


def hat(r: Generator) -> Parts:
    brim, rad, h = r.uniform(0.48, 0.56), r.uniform(0.26, 0.31), r.uniform(0.32, 0.52)
    band = "dark" if r.random() < 0.7 else "red"
    top = rad * r.uniform(0.8, 1.0)
    return [
        (lathe([(0, 0), (brim, 0.02), (brim, 0.05), (rad, 0.06)], 32), "main"),
        (lathe([(rad, 0.04), (top, h), (top * 0.85, h + 0.03), (0, h)], 28), "main"),
        (cylinder(rad * 1.03, 0.06, 0.15, rad * 1.015, 28), band + "*"),
    ]


def house(r: Generator) -> Parts:
    w, d, h, roof = (r.uniform(*s) for s in ((0.75, 0.95), (0.65, 0.8), (0.45, 0.6), (0.32, 0.45)))
    gable = prism([(-w * 0.58, h), (w * 0.58, h), (0, h + roof)], d * 1.1)
    parts: Parts = [
        (box(w, h, d, (0, h / 2, 0)), "main"),
        (gable, "wood*" if r.random() < 0.6 else "dark*"),
        (box(0.17, 0.3, 0.03, (0, 0.15, d / 2)), "wood"),
        (box(0.1, 0.3, 0.1, (w * 0.28, h + roof * 0.75, -d * 0.2)), "red"),
    ]
    for x in (-1, 1):
        parts.append((box(0.16, 0.16, 0.03, (x * w * 0.31, h * 0.6, d / 2)), "glass"))
        parts.append((box(0.03, 0.16, 0.16, (x * w / 2, h * 0.6, 0)), "glass"))
        parts.append((box(0.16, 0.16, 0.03, (x * w * 0.25, h * 0.6, -d / 2)), "glass"))
    return parts


FAMILIES = {
    f.__name__: f for f in (bottle, chair, hat, house, lamp, mug, sofa, table, teapot, vase)
}
SYMMETRIC = "bottle hat lamp table vase"

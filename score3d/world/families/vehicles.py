"""Vehicles, things to ride on and a robot. Conventions: see the package."""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, disc, rod, wheels
from score3d.world.primitives import (
    box,
    cylinder,
    ellipsoid,
    lathe,
    moved,
    prism,
    rotated,
    spine,
    tube,
)

SECOND_PARTS = {
    "car": "wheels",
    "boat": "sails",
    "aeroplane": "wings",
    "rocket": "fins",
    "robot": "arms",
    "sled": "runners",
    "skateboard": "wheels",
    "wagon": "wheels",
}


def car(r: Generator) -> Parts:
    length, w, h = r.uniform(1.1, 1.35), r.uniform(0.5, 0.58), r.uniform(0.2, 0.26)
    rad = r.uniform(0.12, 0.15)
    y = rad * 0.8 + h / 2
    cab, zc = length * r.uniform(0.42, 0.52), -length * r.uniform(0.02, 0.08)
    ch = r.uniform(0.19, 0.24)
    yc = rad * 0.8 + h + ch / 2
    parts: Parts = [
        (box(w, h, length, (0, y, 0)), "main"),
        (box(w * 0.94, ch, cab, (0, yc, zc), taper=0.75), "main"),
        (box(w * 0.96, ch * 0.62, cab * 0.62, (0, yc - 0.01, zc), taper=0.86), "glass"),
        (box(w * 0.72, ch * 0.62, cab * 1.0, (0, yc - 0.01, zc), taper=0.86), "glass"),
        (box(w * 0.99, 0.05, 0.05, (0, y - h * 0.35, length / 2)), "metal"),
    ]
    parts += wheels(w / 2, (-length * 0.3, length * 0.3), rad)
    for s in (-1, 1):
        lens = ellipsoid(0.055, 0.05, 0.03, (s * w * 0.34, y + 0.03, length / 2), 10)
        parts.append((lens, "light"))
        parts.append((box(0.09, 0.05, 0.02, (s * w * 0.34, y + 0.03, -length / 2)), "red"))
    return parts


def boat(r: Generator) -> Parts:
    """A sailing boat: hull in the main colour, bow towards +z, mast and white sail."""
    length, w, h = r.uniform(1.0, 1.2), r.uniform(0.32, 0.42), r.uniform(0.2, 0.26)
    z = np.linspace(-0.5, 0.5, 9)
    half = w / 2 * np.array([0.75, 0.88, 0.97, 1.0, 0.98, 0.88, 0.68, 0.4, 0.03])
    rows = [
        np.stack([0.35 * half, 0 * z, z * length * 0.85], 1),
        np.stack([half, 0 * z + h, z * length], 1),
    ]
    ring = [np.concatenate([a, (a * (-1, 1, 1))[::-1]]) for a in rows]
    n = len(ring[0])
    centre = np.array([[0, 0.0, 0], [0, h * 0.8, 0]])
    v = np.concatenate([*ring, centre])
    f = [[i, (i + 1) % n, n + i] for i in range(n)] + [
        [(i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)
    ]
    f += [[2 * n, (i + 1) % n, i] for i in range(n)] + [
        [2 * n + 1, n + i, n + (i + 1) % n] for i in range(n)
    ]
    mast = r.uniform(0.85, 1.05)
    sail = prism([(-0.42, h + 0.1), (-0.03, h + 0.1), (-0.03, h + mast * 0.92)], 0.02)
    jib = prism([(0.03, h + 0.12), (0.36, h + 0.12), (0.03, h + mast * 0.75)], 0.02)
    return [
        ((v, np.array(f)[:, ::-1]), "main"),
        (tube([(0, h * 0.5, 0), (0, h + mast, 0)], 0.022, 8), "wood"),
        (rotated(sail, "y", -90), "snow*"),
        (rotated(jib, "y", -90), "snow*"),
    ]


def aeroplane(r: Generator) -> Parts:
    length, rad = r.uniform(1.15, 1.35), r.uniform(0.1, 0.13)
    body = [(0, -0.5), (0.35, -0.47), (0.8, -0.2), (1, 0.1), (1, 0.35), (0.6, 0.47), (0, 0.5)]
    span, chord = r.uniform(1.1, 1.35), r.uniform(0.24, 0.32)
    fuselage = rotated(lathe([(p * rad, y * length) for p, y in body], 20), "x", 90)
    fin = [(-length * 0.49, 0), (-length * 0.28, 0), (-length * 0.42, 0.28), (-length * 0.5, 0.28)]
    parts: Parts = [
        (fuselage, "main"),
        (box(span, 0.04, chord, (0, 0, length * 0.05)), "main*"),
        (box(span * 0.38, 0.035, chord * 0.55, (0, 0.04, -length * 0.44)), "main*"),
        (rotated(prism(fin, 0.04), "y", -90), "main"),
        (ellipsoid(rad * 0.7, rad * 0.6, rad * 1.3, (0, rad * 0.75, length * 0.27), 12), "glass"),
    ]
    for s in (-1, 1):
        engine = rotated(cylinder(0.055, -0.1, 0.1, segments=12), "x", 90)
        parts.append((moved(engine, s * span * 0.26, -0.07, length * 0.1), "metal"))
    return parts


def rocket(r: Generator) -> Parts:
    rad, h, nose = r.uniform(0.15, 0.2), r.uniform(0.65, 0.85), r.uniform(0.26, 0.36)
    profile = [(0, 0.1), (rad * 0.75, 0.1), (rad, 0.32), (rad, h)]
    tip = [(rad, h), (rad * 0.7, h + nose * 0.5), (0, h + nose)]
    parts: Parts = [
        (lathe(profile, 24), "main"),
        (lathe(tip, 24), "red" if r.random() < 0.4 else "main"),
        (cylinder(rad * 0.6, 0.02, 0.12, rad * 0.4), "dark"),
        (
            moved(
                rotated(cylinder(rad * 0.42, 0, 0.04, segments=14), "x", 90),
                y=h * 0.75,
                z=rad * 0.9,
            ),
            "glass",
        ),
    ]
    fin = [(rad * 0.8, 0.4), (rad * 0.8, 0.12), (rad * 2.1, 0.0), (rad * 2.1, 0.12)]
    for k in range(4):
        parts.append((rotated(prism(fin, 0.04), "y", 90 * k + 45), "main*"))
    return parts


def robot(r: Generator) -> Parts:
    w, h, head = r.uniform(0.42, 0.52), r.uniform(0.42, 0.52), r.uniform(0.26, 0.32)
    leg = r.uniform(0.26, 0.34)
    yh = leg + h + head / 2 + 0.05
    parts: Parts = [
        (box(w, h, 0.3, (0, leg + h / 2, 0)), "main"),
        (box(head * 1.15, head, head, (0, yh, 0)), "main"),
        (cylinder(0.06, leg + h, leg + h + 0.08), "metal"),
        (box(w * 0.55, h * 0.4, 0.03, (0, leg + h * 0.6, 0.15)), "metal"),
        (tube([(0, yh + head / 2, 0), (0, yh + head / 2 + 0.14, 0)], 0.018, 6), "metal"),
        (ellipsoid(0.045, 0.045, 0.045, (0, yh + head / 2 + 0.16, 0), 8), "red"),
        (box(head * 0.6, 0.035, 0.02, (0, yh - head * 0.22, head / 2)), "dark"),
    ]
    for s in (-1, 1):
        parts.append((box(0.13, leg, 0.16, (s * w * 0.27, leg / 2, 0)), "metal"))
        parts.append((box(0.17, 0.08, 0.26, (s * w * 0.27, 0.04, 0.04)), "dark"))
        parts.append((box(0.11, h * 0.95, 0.13, (s * (w / 2 + 0.08), leg + h * 0.52, 0)), "main*"))
        parts.append((ellipsoid(0.075, 0.075, 0.075, (s * (w / 2 + 0.08), leg, 0), 10), "dark"))
        parts.append(
            (ellipsoid(0.055, 0.055, 0.03, (s * head * 0.28, yh + 0.04, head / 2), 10), "light")
        )
    return parts


def sled(r: Generator) -> Parts:
    w, ln = 0.22, r.uniform(0.5, 0.6)
    parts: Parts = []
    for s in (-1, 1):
        run = [
            (s * w, 0.03, -ln),
            (s * w, 0.03, ln * 0.7),
            (s * w, 0.1, ln),
            (s * w, 0.26, ln * 1.08),
            (s * w, 0.34, ln * 0.95),
        ]
        parts.append((tube(run, 0.03, 8), "metal*"))
        for z in (-0.35, 0.0, 0.35):
            parts.append((box(0.04, 0.18, 0.05, (s * w, 0.12, z)), "main"))
    for k in range(4):
        parts.append((box(0.115, 0.04, ln * 1.75, ((k - 1.5) * 0.14, 0.23, -0.05)), "main"))
    parts.append((rod((-w, 0.33, ln * 0.96), (w, 0.33, ln * 0.96), 0.03), "main"))
    return parts


def skateboard(r: Generator) -> Parts:
    w, ln, up = r.uniform(0.15, 0.18), 0.62, r.uniform(0.08, 0.14)
    z = [-ln, -ln * 0.9, -ln * 0.68, ln * 0.68, ln * 0.9, ln]
    y = [0.2 + up, 0.2 + up * 0.7, 0.2, 0.2, 0.2 + up * 0.7, 0.2 + up]
    half = [w * 0.5, w * 0.9, w, w, w * 0.9, w * 0.5]
    board = spine([(a, b, c, 0.02) for a, b, c in zip(z, y, half, strict=True)], 16, 0.4)
    parts: Parts = [(board, "main")]
    for zz in (-0.36, 0.36):
        parts.append((rod((-0.12, 0.1, zz), (0.12, 0.1, zz), 0.025), "metal"))
        parts.append((box(0.1, 0.1, 0.12, (0, 0.14, zz)), "metal"))
        parts += [(disc(s * 0.14, 0.075, zz, 0.075, 0.08), "dark*") for s in (-1, 1)]
    return parts


def wagon(r: Generator) -> Parts:
    """A child's hand cart with a pull bar in front."""
    w, ln, h = 0.26, r.uniform(0.42, 0.5), r.uniform(0.15, 0.22)
    y = 0.2
    parts: Parts = [
        (box(2 * w, 0.04, 2 * ln, (0, y, 0)), "main"),
        *wheels(w * 0.95, (-ln * 0.65, ln * 0.65), 0.14, 0.07),
    ]
    for s in (-1, 1):
        parts.append((box(0.04, h, 2 * ln, (s * w, y + h / 2, 0)), "main"))
        parts.append((box(2 * w, h, 0.04, (0, y + h / 2, s * ln)), "main"))
    parts.append(
        (tube([(0, y, ln), (0, y + 0.02, ln + 0.1), (0, y + 0.42, ln + 0.42)], 0.022), "dark")
    )
    return [*parts, (rod((-0.1, y + 0.42, ln + 0.42), (0.1, y + 0.42, ln + 0.42), 0.028), "dark")]


FAMILIES = {f.__name__: f for f in (aeroplane, boat, car, robot, rocket, skateboard, sled, wagon)}

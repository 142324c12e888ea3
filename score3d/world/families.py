"""Procedural shape families: one function per noun.

Each takes a random generator and returns parts, a list of (geometry, tone): tone "main" takes
the colour of the prompt, any other is a key of `MATERIAL_TONES`. +y is up and the front faces
+z; handles and spouts lie along x (a mug's handle and a teapot's spout on +x). Sizes are free:
`shapes.build` normalises them.
"""

import numpy as np
from numpy.random import Generator

from score3d.world.primitives import (
    Geometry,
    box,
    cone,
    cylinder,
    ellipsoid,
    lathe,
    moved,
    prism,
    rotated,
    torus,
    tube,
)

__all__ = ["FAMILIES", "SYMMETRIC"]

Parts = list[tuple[Geometry, str]]


def cube(r: Generator) -> Parts:
    return [(box(1, r.uniform(0.92, 1.08), r.uniform(0.92, 1.08)), "main")]


def sphere(r: Generator) -> Parts:
    return [(ellipsoid(0.5, 0.5, 0.5, segments=28), "main")]


def the_cone(r: Generator) -> Parts:
    return [(cone(r.uniform(0.35, 0.5), 0, r.uniform(0.9, 1.2), 32), "main")]


def the_cylinder(r: Generator) -> Parts:
    return [(cylinder(r.uniform(0.25, 0.42), 0, r.uniform(0.8, 1.2), segments=32), "main")]


def pyramid(r: Generator) -> Parts:
    return [(box(1, r.uniform(0.75, 1.05), 1, taper=0.0), "main")]


def the_torus(r: Generator) -> Parts:
    g = torus(0.5, r.uniform(0.14, 0.2))
    return [(rotated(g, "x", 90) if r.random() < 0.5 else g, "main")]


def mushroom(r: Generator) -> Parts:
    cap, h, stem = r.uniform(0.42, 0.58), r.uniform(0.28, 0.42), r.uniform(0.11, 0.17)
    t = np.linspace(0, np.pi / 2, 9)
    dome = [(0, 0.5), (cap * 0.55, 0.5)]
    dome += list(zip(cap * np.cos(t), 0.53 + h * np.sin(t), strict=True))
    parts: Parts = [
        (lathe([(0, 0), (stem * 1.35, 0), (stem, 0.18), (stem * 0.9, 0.55)]), "cream"),
        (lathe(dome, 28), "main"),
    ]
    for k in range(r.integers(6, 11)):
        a, lift = k * 2.4 + r.uniform(-0.3, 0.3), r.uniform(0.25, 1.2)
        p = (cap * np.cos(lift) * np.sin(a), 0.53 + h * np.sin(lift), cap * np.cos(lift) * np.cos(a))
        s = r.uniform(0.05, 0.08)
        parts.append((ellipsoid(s, s * 0.7, s, p, 8), "snow"))
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
        (cylinder(c * 1.35, top - 0.02, top + 0.03), "dark"),
        (cylinder(c * 0.85, top, top + r.uniform(0.16, 0.26)), "dark"),
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


def chair(r: Generator) -> Parts:
    w, d, h, back = (r.uniform(*s) for s in ((0.5, 0.62), (0.5, 0.6), (0.42, 0.55), (0.5, 0.7)))
    t, leg = r.uniform(0.06, 0.11), r.uniform(0.05, 0.08)
    parts: Parts = [(box(w, t, d, (0, h, 0)), "main")]
    legs = "main" if r.random() < 0.7 else "wood"
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
        parts.append((cylinder(0.07, 0, h), "main"))
        parts.append((cylinder(0.28, 0, 0.05), "main"))
        return parts
    parts = [(box(w, t, d, (0, h, 0)), "main")]
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append((box(leg, h, leg, (x * (w - leg) * 0.48, h / 2, z * (d - leg) * 0.48)), "main"))
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
        parts.append((cushion, "main"))
    return parts


def lamp(r: Generator) -> Parts:
    h, rs, hs = r.uniform(0.62, 0.85), r.uniform(0.26, 0.36), r.uniform(0.26, 0.36)
    return [
        (cylinder(r.uniform(0.17, 0.23), 0, 0.05), "dark"),
        (cylinder(0.035, 0, h + 0.05), "dark"),
        (cylinder(rs, h, h + hs, rs * r.uniform(0.45, 0.75), 28), "main"),
        (ellipsoid(0.1, 0.06, 0.1, (0, h, 0), 12), "light"),
    ]


def mug(r: Generator) -> Parts:
    rad, h = r.uniform(0.28, 0.34), r.uniform(0.58, 0.75)
    wall = [(0, 0), (rad * 0.95, 0), (rad, h), (rad * 0.88, h), (rad * 0.85, 0.08), (0, 0.08)]
    a = np.linspace(-np.pi / 2, np.pi / 2, 10)
    size = r.uniform(0.17, 0.22)
    arc = np.stack([rad * 0.95 + size * np.cos(a), h / 2 + size * 1.05 * np.sin(a), 0 * a], 1)
    return [(lathe(wall, 28), "main"), (tube(arc, r.uniform(0.045, 0.06)), "main")]


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
        (tube(handle, 0.045), "main"),
        (cylinder(a * 0.45, b * 1.82, b * 1.98, a * 0.3), "main"),
        (ellipsoid(0.07, 0.07, 0.07, (0, b * 2.12, 0), 12), "main"),
    ]


def vase(r: Generator) -> Parts:
    belly, neck, lip = r.uniform(0.26, 0.34), r.uniform(0.09, 0.14), r.uniform(0.16, 0.22)
    y = np.array([0, 0, 0.12, 0.32, 0.55, 0.75, 0.88, 1.0, 1.0, 0.8])
    p = np.array([0, 0.55 * belly, 0.85 * belly, belly, 0.8 * belly, neck, neck, lip, lip * 0.8, neck * 0.7])
    return [(lathe(list(zip(p, y, strict=True)), 28), "main")]


def bottle(r: Generator) -> Parts:
    rad, h, neck = r.uniform(0.17, 0.22), r.uniform(0.55, 0.68), r.uniform(0.055, 0.08)
    body = [(0, 0), (rad, 0), (rad, h), (neck, h + 0.2), (neck, h + 0.42), (0, h + 0.42)]
    return [(lathe(body, 24), "main"), (cylinder(neck * 1.25, h + 0.38, h + 0.47), "dark")]


def _wheels(parts: Parts, x: float, zs: tuple[float, ...], radius: float, width: float = 0.1) -> None:
    for s in (-1, 1):
        for z in zs:
            wheel = rotated(cylinder(radius, -width / 2, width / 2, segments=18), "z", 90)
            parts.append((moved(wheel, s * x, radius, z), "dark"))
            hub = rotated(cylinder(radius * 0.45, -width / 2 - 0.01, width / 2 + 0.01, segments=10), "z", 90)
            parts.append((moved(hub, s * x, radius, z), "metal"))


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
    _wheels(parts, w / 2, (-length * 0.3, length * 0.3), rad)
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
    rows = [np.stack([0.35 * half, 0 * z, z * length * 0.85], 1), np.stack([half, 0 * z + h, z * length], 1)]
    ring = [np.concatenate([a, (a * (-1, 1, 1))[::-1]]) for a in rows]
    n = len(ring[0])
    centre = np.array([[0, 0.0, 0], [0, h * 0.8, 0]])
    v = np.concatenate([*ring, centre])
    f = [[i, (i + 1) % n, n + i] for i in range(n)] + [[(i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    f += [[2 * n, (i + 1) % n, i] for i in range(n)] + [[2 * n + 1, n + i, n + (i + 1) % n] for i in range(n)]
    mast = r.uniform(0.85, 1.05)
    sail = prism([(-0.42, h + 0.1), (-0.03, h + 0.1), (-0.03, h + mast * 0.92)], 0.02)
    jib = prism([(0.03, h + 0.12), (0.36, h + 0.12), (0.03, h + mast * 0.75)], 0.02)
    return [
        ((v, np.array(f)), "main"),
        (tube([(0, h * 0.5, 0), (0, h + mast, 0)], 0.022, 8), "wood"),
        (rotated(sail, "y", -90), "snow"),
        (rotated(jib, "y", -90), "snow"),
    ]


def aeroplane(r: Generator) -> Parts:
    length, rad = r.uniform(1.15, 1.35), r.uniform(0.1, 0.13)
    body = [(0, -0.5), (0.35, -0.47), (0.8, -0.2), (1, 0.1), (1, 0.35), (0.6, 0.47), (0, 0.5)]
    span, chord = r.uniform(1.1, 1.35), r.uniform(0.24, 0.32)
    fuselage = rotated(lathe([(p * rad, y * length) for p, y in body], 20), "x", 90)
    fin = [(-length * 0.49, 0), (-length * 0.28, 0), (-length * 0.42, 0.28), (-length * 0.5, 0.28)]
    parts: Parts = [
        (fuselage, "main"),
        (box(span, 0.04, chord, (0, 0, length * 0.05)), "main"),
        (box(span * 0.38, 0.035, chord * 0.55, (0, 0.04, -length * 0.44)), "main"),
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
        (moved(rotated(cylinder(rad * 0.42, 0, 0.04, segments=14), "x", 90), y=h * 0.75, z=rad * 0.9), "glass"),
    ]
    fin = [(rad * 0.8, 0.4), (rad * 0.8, 0.12), (rad * 2.1, 0.0), (rad * 2.1, 0.12)]
    for k in range(4):
        parts.append((rotated(prism(fin, 0.04), "y", 90 * k + 45), "main"))
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
        parts.append((box(0.11, h * 0.95, 0.13, (s * (w / 2 + 0.08), leg + h * 0.52, 0)), "main"))
        parts.append((ellipsoid(0.075, 0.075, 0.075, (s * (w / 2 + 0.08), leg, 0), 10), "dark"))
        parts.append((ellipsoid(0.055, 0.055, 0.03, (s * head * 0.28, yh + 0.04, head / 2), 10), "light"))
    return parts


def house(r: Generator) -> Parts:
    w, d, h, roof = (r.uniform(*s) for s in ((0.75, 0.95), (0.65, 0.8), (0.45, 0.6), (0.32, 0.45)))
    gable = prism([(-w * 0.58, h), (w * 0.58, h), (0, h + roof)], d * 1.1)
    parts: Parts = [
        (box(w, h, d, (0, h / 2, 0)), "main"),
        (gable, "wood" if r.random() < 0.6 else "dark"),
        (box(0.17, 0.3, 0.03, (0, 0.15, d / 2)), "wood"),
        (box(0.1, 0.3, 0.1, (w * 0.28, h + roof * 0.75, -d * 0.2)), "red"),
    ]
    for x in (-1, 1):
        parts.append((box(0.16, 0.16, 0.03, (x * w * 0.31, h * 0.6, d / 2)), "glass"))
        parts.append((box(0.03, 0.16, 0.16, (x * w / 2, h * 0.6, 0)), "glass"))
        parts.append((box(0.16, 0.16, 0.03, (x * w * 0.25, h * 0.6, -d / 2)), "glass"))
    return parts


def tree(r: Generator) -> Parts:
    trunk, rad = r.uniform(0.4, 0.55), r.uniform(0.3, 0.38)
    parts: Parts = [(lathe([(0, 0), (0.1, 0), (0.065, trunk + 0.1), (0, trunk + 0.1)], 14), "wood")]
    parts.append((ellipsoid(rad, rad, rad, (0, trunk + rad * 0.75, 0), 16), "main"))
    for k in range(r.integers(4, 7)):
        a, s = k * 1.3 + r.uniform(-0.3, 0.3), rad * r.uniform(0.5, 0.7)
        p = (rad * 0.7 * np.sin(a), trunk + rad * r.uniform(0.5, 1.2), rad * 0.7 * np.cos(a))
        parts.append((ellipsoid(s, s, s, p, 14), "main"))
    return parts


def fir(r: Generator) -> Parts:
    parts: Parts = [(cylinder(0.07, 0, 0.25, segments=12), "wood")]
    n, rad = int(r.integers(3, 5)), r.uniform(0.36, 0.44)
    for k in range(n):
        y, s = 0.2 + k * 0.26, rad * (1 - 0.22 * k)
        parts.append((cone(s, y, y + 0.45, 20), "main"))
    return parts


def _quadruped(r: Generator, body, leg_h: float, leg_r: float, feet: str = "main") -> tuple[Parts, float]:
    rx, ry, rz = body
    y = leg_h + ry * 0.7
    parts: Parts = [(ellipsoid(rx, ry, rz, (0, y, 0), 18), "main")]
    for x in (-1, 1):
        for z in (-1, 1):
            p = moved(cylinder(leg_r, 0, y, segments=10), x * rx * 0.6, 0, z * rz * 0.62)
            parts.append((p, "main"))
            if feet != "main":
                foot = moved(cylinder(leg_r * 1.1, 0, 0.05, segments=10), x * rx * 0.6, 0, z * rz * 0.62)
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
        (tube([(0, y + ry * 0.4, -rz * 0.85), (0, y + ry + 0.1, -rz * 1.15), (0, y + ry + 0.22, -rz * 1.2)], 0.035, 8), "main"),
    ]
    for s in (-1, 1):
        ear = ellipsoid(0.035, 0.12, 0.07, (s * h * 1.0, hy - 0.02, hz - 0.02), 10)
        parts.append((ear, "main" if r.random() < 0.3 else "dark"))
        parts.append((ellipsoid(0.028, 0.028, 0.02, (s * h * 0.42, hy + 0.05, hz + h * 0.88), 8), "dark"))
    return parts


def pig(r: Generator) -> Parts:
    rx, ry, rz = r.uniform(0.27, 0.31), r.uniform(0.26, 0.3), r.uniform(0.4, 0.46)
    parts, y = _quadruped(r, (rx, ry, rz), r.uniform(0.12, 0.17), r.uniform(0.07, 0.085), "dark")
    hz, h = rz * 0.92, r.uniform(0.2, 0.23)
    hy = y + 0.07
    parts += [
        (ellipsoid(h, h, h * 0.9, (0, hy, hz), 16), "main"),
        (moved(rotated(cylinder(h * 0.45, 0, 0.13, segments=14), "x", 90), y=hy - 0.03, z=hz + h * 0.75), "main"),
    ]
    a = np.linspace(0, 4 * np.pi, 16)
    curl = np.stack([0.05 * np.cos(a), y + 0.05 + 0.05 * np.sin(a), -rz - 0.01 * a], 1)
    parts.append((tube(curl, 0.018, 6), "main"))
    for s in (-1, 1):
        ear = rotated(cone(0.075, 0, 0.15, 8), "z", -s * 30)
        parts.append((moved(ear, s * h * 0.6, hy + h * 0.75, hz), "main"))
        parts.append((ellipsoid(0.028, 0.03, 0.02, (s * h * 0.42, hy + h * 0.4, hz + h * 0.78), 8), "dark"))
        parts.append((ellipsoid(0.022, 0.03, 0.02, (s * h * 0.18, hy - 0.03, hz + h * 0.75 + 0.13), 8), "dark"))
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
        (ellipsoid(h * 0.55, h * 0.22, h * 0.75, (0, hy - 0.03, hz + h * 1.2), 12), "carrot"),
        (moved(tail, y=ry * 1.1, z=-rz * 0.75), "main"),
    ]
    for s in (-1, 1):
        parts.append((ellipsoid(0.05, ry * 0.55, rz * 0.55, (s * rx * 0.95, ry * 1.1, -0.04), 12), "main"))
        parts.append((ellipsoid(0.03, 0.035, 0.03, (s * h * 0.6, hy + 0.05, hz + h * 0.72), 8), "dark"))
    return parts


def apple(r: Generator) -> Parts:
    w = r.uniform(0.46, 0.52)
    t = np.linspace(-np.pi / 2, np.pi / 2, 15)
    profile = list(zip(w * np.cos(t) * (1 + 0.12 * np.sin(t)), 0.45 * np.sin(t) - 0.16 * np.exp(-((t - 1.6) ** 2) * 5), strict=True))
    a = r.uniform(0, 2 * np.pi)
    leaf = moved(rotated(ellipsoid(0.15, 0.02, 0.07, (0.15, 0, 0), 10), "z", 25), y=0.38)
    return [
        (lathe(profile, 26), "main"),
        (tube([(0, 0.22, 0), (0.03, 0.42, 0), (0.06, 0.52, 0)], 0.028, 8), "wood"),
        (rotated(leaf, "y", np.degrees(a)), "leaf"),
    ]


def hat(r: Generator) -> Parts:
    brim, rad, h = r.uniform(0.48, 0.56), r.uniform(0.26, 0.31), r.uniform(0.32, 0.52)
    band = "dark" if r.random() < 0.7 else "red"
    top = rad * r.uniform(0.8, 1.0)
    return [
        (lathe([(0, 0), (brim, 0.02), (brim, 0.05), (rad, 0.06)], 32), "main"),
        (lathe([(rad, 0.04), (top, h), (top * 0.85, h + 0.03), (0, h)], 28), "main"),
        (cylinder(rad * 1.03, 0.06, 0.15, rad * 1.015, 28), band),
    ]


def cactus(r: Generator) -> Parts:
    rad, h = r.uniform(0.12, 0.15), r.uniform(0.75, 0.95)
    parts: Parts = [
        (cylinder(0.2, 0, 0.26, 0.26), "carrot"),
        (tube([(0, 0.2, 0), (0, h + 0.1, 0)], rad, 14), "main"),
        (ellipsoid(rad, rad, rad, (0, h + 0.1, 0), 14), "main"),
    ]
    for s in (-1, 1):
        y, top = r.uniform(0.45, 0.6), r.uniform(0.22, 0.34)
        path = [(0, y, 0), (s * 0.22, y, 0), (s * 0.28, y + 0.06, 0), (s * 0.28, y + top, 0)]
        parts.append((tube(path, rad * 0.6, 10), "main"))
        parts.append((ellipsoid(rad * 0.6, rad * 0.6, rad * 0.6, (s * 0.28, y + top, 0), 10), "main"))
    return parts


FAMILIES = {
    "aeroplane": aeroplane,
    "apple": apple,
    "boat": boat,
    "bottle": bottle,
    "cactus": cactus,
    "car": car,
    "chair": chair,
    "cone": the_cone,
    "cube": cube,
    "cylinder": the_cylinder,
    "dog": dog,
    "duck": duck,
    "fir": fir,
    "hat": hat,
    "house": house,
    "lamp": lamp,
    "mug": mug,
    "mushroom": mushroom,
    "pig": pig,
    "pyramid": pyramid,
    "robot": robot,
    "rocket": rocket,
    "snowman": snowman,
    "sofa": sofa,
    "sphere": sphere,
    "table": table,
    "teapot": teapot,
    "torus": the_torus,
    "tree": tree,
    "vase": vase,
}

# Nouns whose look does not depend on the azimuth (surfaces of revolution, near enough):
# asking a classifier for their front would be asking for noise.
SYMMETRIC = frozenset(
    ["apple", "bottle", "cone", "cylinder", "fir", "hat", "lamp", "mushroom", "sphere", "tree", "vase"]
)

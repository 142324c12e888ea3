"""Four-legged animals. Conventions: see the package.

One builder makes the common body; each family adds what a person tells the animal by.
"""

import numpy as np
from numpy.random import Generator

from score3d.world.families.parts import Parts, ball, eyes, rod
from score3d.world.primitives import cone, ellipsoid, moved, rotated, spine, tube

SECOND_PARTS = {
    "cat": "ears",
    "rabbit": "ears",
    "horse": "mane",
    "cow": "horns",
    "sheep": "legs",
    "elephant": "tusks",
    "giraffe": "spots",
    "lion": "mane",
    "bear": "nose",
    "fox": "ears",
    "deer": "antlers",
    "camel": "saddle",
    "unicorn": "mane",
    "hedgehog": "face",
    "teddy": "paws",
}


def _beast(
    r: Generator, width, height, length, leg, leg_r, neck, head, muzzle, hoof="dark", legs="main"
) -> tuple[Parts, float, tuple[float, float]]:
    """Body half axes, leg length and radius; neck (rise, reach, radius); head radius; muzzle
    (reach, radius, drop). Returns the parts, the back's height and the head's (y, z)."""
    y = leg + height * 0.8
    hy, hz = y + height * 0.3 + neck[0], length * 0.8 + neck[1]
    parts: Parts = [
        (ellipsoid(width, height, length, (0, y, 0), 18), "main"),
        (rod((0, y, length * 0.6), (0, hy, hz), neck[2] * 1.3, neck[2], 10), "main"),
        (ball(0, hy, hz, head, head, head * 1.1, 14), "main"),
        (ball(0, hy - muzzle[2], hz + muzzle[0], muzzle[1], muzzle[1], muzzle[1] * 1.3), "main"),
    ]
    for x in (-1, 1):
        for z in (-1, 1):
            foot = (x * width * 0.62, 0, z * length * 0.66)
            top = (x * width * 0.62, y, z * length * 0.6)
            parts.append((rod(foot, top, leg_r, leg_r * 1.25), legs))
            if hoof:
                parts.append((rod(foot, (foot[0], 0.05, foot[2]), leg_r * 1.15), hoof))
    parts += eyes(head * 0.6, hy + head * 0.35, hz + head * 0.75, head * 0.17)
    return parts, y + height, (hy, hz)


def _ears(head, hy, hz, rx, ry, spread=0.7, tilt=20.0, tone="main") -> Parts:
    return [
        (
            moved(
                rotated(ellipsoid(rx, ry, rx * 0.5, (0, ry * 0.8, 0), 10), "z", -s * tilt),
                s * head * spread,
                hy + head * 0.6,
                hz - head * 0.1,
            ),
            tone,
        )
        for s in (-1, 1)
    ]


def _tail(y, z, droop, radius, length=0.3, tone="main") -> Parts:
    mid = (0, y - droop * 0.2, z - length * 0.7)
    return [(tube([(0, y, z + 0.06), mid, (0, y - droop, z - length)], radius, 8), tone)]


def cat(r: Generator) -> Parts:
    h = r.uniform(0.18, 0.21)
    if r.random() < 0.5:  # sitting
        body, hy, hz = r.uniform(0.2, 0.24), r.uniform(0.66, 0.74), 0.1
        a = np.linspace(0, 1.5, 8)
        curl = np.stack(
            [0.3 * np.sin(a * 1.6), 0.05 + 0 * a, -0.22 - 0.1 * np.sin(a * 2) + 0.1 * a], 1
        )
        parts: Parts = [
            (ellipsoid(body, 0.36, body * 1.1, (0, 0.32, -0.05), 16), "main"),
            (tube(curl, 0.045), "main"),
        ]
        for s in (-1, 1):
            parts.append((rod((s * 0.09, 0, 0.19), (s * 0.09, 0.42, 0.12), 0.055), "main"))
            parts.append((ball(s * 0.09, 0.04, 0.23, 0.06, 0.045, 0.09), "main"))
            parts.append((ball(s * 0.2, 0.1, 0.04, 0.09, 0.11, 0.17), "main"))
    else:
        body = (r.uniform(0.13, 0.16), 0.15, r.uniform(0.34, 0.4))
        parts, y, (hy, hz) = _beast(
            r, *body, 0.26, 0.042, (0.15, 0.05, 0.08), h, (0.1, 0.06, 0.05), ""
        )
        up = [(0, y - 0.08, -0.34), (0, y + 0.05, -0.48), (0, y + 0.25, -0.5), (0, y + 0.4, -0.44)]
        parts.append((tube(up, 0.032), "main"))
    parts.append((ball(0, hy, hz, h * 1.08, h * 0.92, h * 0.9, 14), "main"))
    for s in (-1, 1):
        ear = rotated(cone(0.085, 0, 0.19, 8), "z", -s * 14)
        parts.append((moved(ear, s * h * 0.62, hy + h * 0.6, hz), "main*"))
        parts.append((ball(s * h * 0.42, hy + 0.05, hz + h * 0.78, 0.035, 0.045, 0.025), "leaf"))
        parts.append((ball(s * 0.04, hy - 0.05, hz + h * 0.85, 0.05, 0.04, 0.04), "main"))
        for lift in (-0.03, 0.02):
            whisker = (s * h * 1.35, hy - 0.05 + lift * 2, hz + h * 0.8)
            parts.append(
                (rod((s * 0.05, hy - 0.05, hz + h * 0.9), whisker, 0.008, None, 5), "dark")
            )
    parts.append((ball(0, hy - 0.015, hz + h * 0.93, 0.028), "rose"))
    return parts


def rabbit(r: Generator) -> Parts:
    h, ear, tilt = r.uniform(0.16, 0.19), r.uniform(0.22, 0.3), r.uniform(6, 22)
    parts: Parts = [
        (ellipsoid(0.22, r.uniform(0.25, 0.29), 0.3, (0, 0.26, -0.05), 16), "main"),
        (ball(0, 0.58, 0.17, h, h, h * 1.1, 14), "main"),
        (ball(0, 0.24, -0.36, 0.1), "snow"),
        (ball(0, 0.55, 0.17 + h, 0.03), "rose"),
        *eyes(h * 0.6, 0.63, 0.17 + h * 0.8, 0.03),
        *_ears(h, 0.58, 0.15, 0.065, ear, 0.5, tilt, "main*"),
    ]
    for s in (-1, 1):
        parts.append((ball(s * 0.17, 0.05, 0.12, 0.075, 0.055, 0.2), "main"))
        parts.append((rod((s * 0.09, 0.05, 0.24), (s * 0.09, 0.3, 0.16), 0.055), "main"))
        inner = ellipsoid(0.035, ear * 0.75, 0.02, (0, ear * 0.8, 0.025), 8)
        inner = rotated(inner, "z", -s * tilt)
        parts.append((moved(inner, s * h * 0.5, 0.58 + h * 0.6, 0.15 - h * 0.1), "rose"))
    return parts


def _horse(r: Generator) -> tuple[Parts, tuple[float, float]]:
    parts, y, (hy, hz) = _beast(
        r,
        r.uniform(0.15, 0.18),
        r.uniform(0.17, 0.2),
        r.uniform(0.38, 0.44),
        r.uniform(0.44, 0.54),
        0.045,
        (r.uniform(0.32, 0.4), 0.12, 0.09),
        0.11,
        (0.17, 0.085, 0.1),
    )
    parts += _ears(0.11, hy, hz, 0.03, 0.08, 0.6, 10)
    parts += _tail(y - 0.1, -0.4, 0.4, 0.06, 0.2, "dark*")
    for t in np.linspace(0.1, 1, 7):
        p = (0, y + t * (hy + 0.12 - y) - 0.05, 0.24 + t * (hz - 0.3))
        parts.append((ball(*p, 0.04, 0.08, 0.07, 8), "dark*"))
    return parts, (hy, hz)


def horse(r: Generator) -> Parts:
    return _horse(r)[0]


def unicorn(r: Generator) -> Parts:
    parts, (hy, hz) = _horse(r)
    parts = [(g, "rose*" if tone == "dark*" else tone) for g, tone in parts]
    horn = rotated(cone(0.045, 0, r.uniform(0.3, 0.42), 10), "x", 25)
    return [*parts, (moved(horn, 0, hy + 0.08, hz + 0.05), "gold")]


def cow(r: Generator) -> Parts:
    w, ht, ln = r.uniform(0.22, 0.25), r.uniform(0.22, 0.25), r.uniform(0.42, 0.48)
    parts, y, (hy, hz) = _beast(
        r, w, ht, ln, 0.32, 0.055, (0.1, 0.12, 0.12), 0.14, (0.13, 0.1, 0.07)
    )
    parts += _ears(0.14, hy - 0.07, hz, 0.045, 0.09, 0.9, 80)
    parts += _tail(y - 0.1, -ln, 0.36, 0.02, 0.08)
    parts.append((ball(0, y - 2 * ht + 0.02, -ln * 0.4, 0.1, 0.09, 0.12), "rose"))
    parts.append((ball(0, hy - 0.09, hz + 0.2, 0.1, 0.08, 0.08), "rose"))
    for s in (-1, 1):
        horn = [(s * 0.08, hy + 0.1, hz), (s * 0.18, hy + 0.15, hz), (s * 0.2, hy + 0.26, hz)]
        parts.append((tube(horn, [0.035, 0.03, 0.008], 8), "cream*"))
        for _ in range(3):
            a, z = r.uniform(-0.3, 0.9), r.uniform(-0.6, 0.6)
            k = np.sqrt(1 - z * z) * 0.93
            spot = (s * w * k * np.cos(a), y - ht + ht * k * np.sin(a), z * ln)
            parts.append((ball(*spot, 0.07, r.uniform(0.07, 0.1), r.uniform(0.08, 0.13)), "snow"))
    return parts


def sheep(r: Generator) -> Parts:
    w, ht, ln = r.uniform(0.22, 0.26), r.uniform(0.21, 0.25), r.uniform(0.32, 0.38)
    parts, y, (hy, hz) = _beast(
        r, w, ht, ln, 0.22, 0.045, (0.1, 0.1, 0.09), 0.1, (0.08, 0.075, 0.05), "", "dark*"
    )
    parts = [(g, "dark*" if i in (2, 3) else t) for i, (g, t) in enumerate(parts)]
    parts = [(g, "snow" if t == "dark" else t) for g, t in parts]
    for k in range(26):
        z = 1 - 2 * (k + 0.5) / 26
        a, rad = k * 2.4, np.sqrt(1 - z * z)
        p = (w * rad * np.cos(a), y - ht + ht * rad * np.sin(a), ln * z)
        parts.append((ball(*p, r.uniform(0.08, 0.11), segments=8), "main"))
    parts += [(ball(0, hy + 0.09, hz - 0.03, 0.09, 0.06, 0.08), "main")]
    return parts + _ears(0.1, hy - 0.06, hz, 0.035, 0.08, 0.9, 100, "dark*")


def elephant(r: Generator) -> Parts:
    w, ht, ln = r.uniform(0.28, 0.32), r.uniform(0.28, 0.32), r.uniform(0.4, 0.46)
    parts, y, (hy, hz) = _beast(
        r, w, ht, ln, 0.3, 0.1, (0.08, 0.1, 0.16), 0.2, (0.1, 0.1, 0.06), ""
    )
    up = r.random() < 0.3
    ends = (
        [(hy + 0.0, hz + 0.5), (hy + 0.3, hz + 0.6)] if up else [(0.2, hz + 0.4), (0.08, hz + 0.5)]
    )
    path = [(0, hy - 0.05, hz + 0.12), (0, (hy + ends[0][0]) / 2 - 0.05, hz + 0.36)]
    path += [(0, *e) for e in ends]
    parts.append((tube(path, [0.1, 0.075, 0.06, 0.045], 10), "main"))
    for s in (-1, 1):
        ear = ellipsoid(0.2, 0.26, 0.035, (s * 0.16, -0.04, 0), 12)
        parts.append((moved(rotated(ear, "y", s * 25), s * 0.16, hy + 0.02, hz - 0.05), "main"))
        tusk = [(s * 0.1, hy - 0.12, hz + 0.14), (s * 0.12, hy - 0.24, hz + 0.3)]
        tusk.append((s * 0.12, hy - 0.2, hz + 0.42))
        parts.append((tube(tusk, [0.035, 0.03, 0.01], 8), "snow*"))
    return parts + _tail(y - 0.15, -ln, 0.3, 0.025, 0.08)


def giraffe(r: Generator) -> Parts:
    w, ht, ln, rise = r.uniform(0.13, 0.15), 0.15, r.uniform(0.26, 0.3), r.uniform(0.55, 0.7)
    parts, y, (hy, hz) = _beast(
        r, w, ht, ln, 0.5, 0.035, (rise, 0.1, 0.055), 0.075, (0.1, 0.05, 0.03)
    )
    parts += _ears(0.08, hy - 0.03, hz, 0.025, 0.06, 0.8, 70) + _tail(
        y - 0.1, -ln, 0.25, 0.015, 0.06
    )
    for s in (-1, 1):
        parts.append((rod((s * 0.03, hy, hz), (s * 0.04, hy + 0.14, hz), 0.012), "dark"))
        parts.append((ball(s * 0.04, hy + 0.15, hz, 0.022, segments=8), "dark"))
        for k in range(9):
            a, z = r.uniform(-0.5, 1.1), -0.75 + k * 0.19
            q = np.sqrt(1 - min(z * z, 0.9)) * 0.97
            p = (s * w * q * np.cos(a), y - ht + ht * q * np.sin(a), z * ln)
            parts.append((ball(*p, 0.025, 0.045, 0.045, 8), "wood*"))
        for t in np.linspace(0.15, 0.85, 5):
            z = ln * 0.6 + t * (hz - ln * 0.6)
            p = (s * 0.05, y - ht + t * (hy - y + ht), z + r.uniform(-0.03, 0.03))
            parts.append((ball(*p, 0.022, 0.035, 0.03, 8), "wood*"))
    return parts


def lion(r: Generator) -> Parts:
    ln, h = r.uniform(0.38, 0.43), r.uniform(0.15, 0.17)
    parts, y, (hy, hz) = _beast(
        r, 0.16, 0.17, ln, 0.28, 0.055, (0.14, 0.08, 0.1), h, (0.13, 0.08, 0.05), ""
    )
    mane = r.uniform(0.25, 0.3)
    parts.append((ellipsoid(mane, mane * 1.05, 0.14, (0, hy - 0.02, hz - 0.1), 16), "wood*"))
    for a in np.linspace(0, 2 * np.pi, 13)[:-1]:
        p = (mane * 0.9 * np.cos(a), hy + mane * 0.92 * np.sin(a), hz - 0.08)
        parts.append((ball(*p, 0.08, segments=8), "wood*"))
    parts += _ears(h, hy, hz + 0.04, 0.05, 0.05, 0.8, 20)
    parts += _tail(y - 0.05, -ln, 0.3, 0.022, 0.28)
    parts.append((ball(0, y - 0.36, -ln - 0.29, 0.05, 0.08, 0.05), "wood*"))
    return [*parts, (ball(0, hy - 0.02, hz + 0.23, 0.04, 0.03, 0.03), "dark")]


def bear(r: Generator) -> Parts:
    w, ht, ln, h = r.uniform(0.24, 0.28), r.uniform(0.24, 0.28), r.uniform(0.4, 0.45), 0.19
    parts, y, (hy, hz) = _beast(
        r, w, ht, ln, 0.2, 0.09, (0.06, 0.12, 0.15), h, (0.17, 0.09, 0.05), ""
    )
    parts += _ears(h, hy + 0.02, hz, 0.06, 0.06, 0.75, 20)
    parts.append((ball(0, hy - 0.02, hz + 0.29, 0.05, 0.04, 0.035), "dark*"))
    for x in (-1, 1):
        for z in (-1, 1):
            parts.append((ball(x * w * 0.62, 0.04, z * ln * 0.66 + 0.05, 0.1, 0.06, 0.13), "main"))
    return [*parts, (ball(0, y - 0.2, -ln, 0.06), "main")]


def fox(r: Generator) -> Parts:
    ln, h = r.uniform(0.34, 0.39), 0.14
    parts, y, (hy, hz) = _beast(
        r,
        0.12,
        0.13,
        ln,
        r.uniform(0.24, 0.3),
        0.035,
        (0.12, 0.07, 0.08),
        h,
        (0.12, 0.07, 0.04),
        "dark",
    )
    nose = rotated(cone(0.1, 0, 0.26, 10), "x", 97)
    parts.append((moved(nose, 0, hy - 0.02, hz + 0.06), "main"))
    parts.append((ball(0, hy - 0.05, hz + 0.31, 0.028), "dark"))
    for s in (-1, 1):
        ear = rotated(cone(0.07, 0, 0.2, 8), "z", -s * 10)
        parts.append((moved(ear, s * h * 0.6, hy + h * 0.55, hz), "dark*"))
        parts.append((ball(s * 0.1, hy - 0.07, hz + 0.06, 0.06, 0.05, 0.06), "snow"))
    tail = rotated(ellipsoid(0.1, 0.1, 0.3, (0, 0, -0.26), 12), "x", r.uniform(-15, 30))
    parts.append((moved(tail, 0, y - 0.08, -ln), "main"))
    return parts


def deer(r: Generator) -> Parts:
    ln = r.uniform(0.34, 0.38)
    parts, y, (hy, hz) = _beast(
        r, 0.13, 0.14, ln, r.uniform(0.42, 0.5), 0.03, (0.28, 0.06, 0.06), 0.1, (0.13, 0.06, 0.05)
    )
    parts += _ears(0.1, hy - 0.06, hz, 0.03, 0.08, 0.8, 75)
    parts.append((ball(0, y - 0.05, -ln, 0.05, 0.08, 0.05), "snow"))
    parts.append((ball(0, hy - 0.04, hz + 0.21, 0.03), "dark"))
    size = r.uniform(0.85, 1.15)
    for s in (-1, 1):
        pts = np.array([(0.04, 0.08, 0), (0.1, 0.2, -0.05), (0.2, 0.32, -0.05), (0.2, 0.48, 0)])
        stem = pts * (s * size, size, size) + (0, hy, hz)
        parts.append((tube(stem, [0.025, 0.022, 0.02, 0.012], 7), "wood*"))
        for k, tip in ((1, (0.08, 0.36, 0.08)), (2, (0.32, 0.42, 0.03)), (2, (0.24, 0.42, 0.14))):
            end = np.array(tip) * (s * size, size, size) + (0, hy, hz)
            parts.append((rod(stem[k], end, 0.018, 0.01, 6), "wood*"))
    return parts


def camel(r: Generator) -> Parts:
    ln, two = r.uniform(0.38, 0.42), r.random() < 0.5
    parts, y, (hy, hz) = _beast(
        r, 0.16, 0.16, ln, 0.45, 0.04, (0.22, 0.24, 0.07), 0.1, (0.12, 0.07, 0.04), ""
    )
    humps = (-0.17, 0.19) if two else (0.0,)
    for z in humps:
        parts.append(
            (ball(0, y - 0.04, z, 0.11, r.uniform(0.2, 0.25), 0.13 if two else 0.18), "main")
        )
    seat = (0, y + 0.0, 0.01) if two else (0, y - 0.06, 0.0)
    parts.append((ball(*seat, 0.14, 0.08 if two else 0.15, 0.1 if two else 0.12), "red*"))
    parts += _ears(0.1, hy, hz, 0.025, 0.045, 0.7, 20)
    return parts + _tail(y - 0.12, -ln, 0.3, 0.018, 0.06)


def mouse(r: Generator) -> Parts:
    body, ear = r.uniform(0.2, 0.24), r.uniform(0.12, 0.15)
    a = np.linspace(0, 1, 9)
    tail = np.stack([0.1 * np.sin(a * 6), 0.06 + 0.1 * a, -0.32 - 0.5 * a], 1)
    parts: Parts = [
        (spine([(-0.36, 0.14, 0.05, 0.05), (-0.2, body, body, body), (0.1, 0.2, 0.17, 0.17),
                (0.3, 0.17, 0.09, 0.09), (0.42, 0.15, 0.03, 0.03)]), "main"),
        (tube(tail, 0.022), "rose"),
        (ball(0, 0.16, 0.43, 0.035), "rose"),
        *eyes(0.1, 0.26, 0.24, 0.028),
    ]  # fmt: skip
    for s in (-1, 1):
        parts.append((ball(s * 0.15, 0.38, 0.1, ear, ear, 0.025), "main"))
        parts.append((ball(s * 0.15, 0.38, 0.125, ear * 0.7, ear * 0.7, 0.015), "rose"))
        for z in (-0.15, 0.18):
            parts.append((ball(s * 0.12, 0.02, z, 0.05, 0.03, 0.08), "rose"))
    return parts


def hedgehog(r: Generator) -> Parts:
    rx, ry, rz = r.uniform(0.26, 0.3), r.uniform(0.25, 0.29), r.uniform(0.32, 0.37)
    parts: Parts = [
        (ellipsoid(rx, ry, rz, (0, ry, 0), 14), "main"),
        (
            spine([(0.1, 0.2, 0.2, 0.18), (0.35, 0.19, 0.12, 0.11), (0.5, 0.2, 0.03, 0.03)]),
            "cream*",
        ),
        (ball(0, 0.2, 0.51, 0.04), "dark"),
        *eyes(0.08, 0.28, 0.38, 0.03),
    ]
    for k in range(60):
        z = 1 - 2 * (k + 0.5) / 60
        a, rad = k * 2.4, np.sqrt(1 - z * z)
        d = np.array([rad * np.cos(a), rad * np.sin(a), z])
        if d[1] < -0.35 or (z > 0.55 and d[1] < 0.45):
            continue
        p = d * (rx, ry, rz) + (0, ry, 0)
        parts.append((rod(p - d * 0.03, p + d * 0.13 + (0, 0, -0.03), 0.035, 0.004, 5), "main"))
    for s in (-1, 1):
        for z in (-0.15, 0.2):
            parts.append((ball(s * 0.14, 0.02, z, 0.06, 0.04, 0.08), "cream*"))
    return parts


def teddy(r: Generator) -> Parts:
    b, h, snout = r.uniform(0.24, 0.28), r.uniform(0.2, 0.23), 0.09
    y = 0.72
    parts: Parts = [
        (ellipsoid(b, b * 1.15, b * 0.9, (0, 0.3, 0), 16), "main"),
        (ellipsoid(b * 0.65, b * 0.75, 0.05, (0, 0.3, b * 0.83), 12), "cream*"),
        (ball(0, y, 0.03, h * 1.08, h, h, 16), "main"),
        (ball(0, y - 0.05, 0.03 + h, snout, snout * 0.8, snout * 0.7), "cream*"),
        (ball(0, y - 0.02, 0.1 + h, 0.03), "dark"),
        *eyes(h * 0.4, y + 0.06, h * 0.95, 0.028),
    ]
    for s in (-1, 1):
        parts.append((ball(s * h * 0.8, y + h * 0.8, 0, 0.085, 0.085, 0.05), "main"))
        parts.append((ball(s * h * 0.8, y + h * 0.8, 0.04, 0.05, 0.05, 0.025), "cream*"))
        arm = rotated(ellipsoid(0.085, 0.2, 0.085, (0, -0.16, 0), 12), "z", s * r.uniform(30, 75))
        parts.append((moved(rotated(arm, "x", -20), s * b * 0.8, 0.5, 0.03), "main"))
        parts.append((ball(s * 0.17, 0.09, 0.2, 0.1, 0.1, 0.2), "main"))
        parts.append((ball(s * 0.18, 0.1, 0.38, 0.075, 0.08, 0.035), "cream*"))
    return parts


FAMILIES = {
    f.__name__: f
    for f in (bear, camel, cat, cow, deer, elephant, fox, giraffe, hedgehog, horse, lion,
              mouse, rabbit, sheep, teddy, unicorn)
}  # fmt: skip

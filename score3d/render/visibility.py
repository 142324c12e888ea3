"""What a camera sees of a triangle mesh: the nearest face of each sample, and where outlines pass
between samples. Compiled, not differentiable; see `score3d.render.mesh_raster`."""

import numpy as np
from numba import njit

__all__ = ["LONGEST_WALK", "fill_nearest", "outline_pairs"]

LONGEST_WALK = 64  # faces crossed between two neighbouring samples; more are not a surface


@njit(cache=True, nogil=True)
def fill_nearest(px, depth, faces, owner, zbuffer):
    """Nearest face of each sample: inverse depth into `zbuffer`, its index into `owner`."""
    h, w = zbuffer.shape
    a1, b1 = np.empty(3), np.empty(3)
    for k in range(faces.shape[0]):
        a, b, c = faces[k, 0], faces[k, 1], faces[k, 2]
        x0, y0, x1, y1, x2, y2 = px[a, 0], px[a, 1], px[b, 0], px[b, 1], px[c, 0], px[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9 or depth[a] <= 0 or depth[b] <= 0 or depth[c] <= 0:
            continue
        top = max(int(np.ceil(min(y0, y1, y2) - 0.5)), 0)
        bottom = min(int(np.floor(max(y0, y1, y2) - 0.5)), h - 1)
        inv = 1.0 / area
        za, zb, zc = 1.0 / depth[a], 1.0 / depth[b], 1.0 / depth[c]
        # Along a row each barycentric weight is a1 x + b1: three inequalities bound the span.
        a1[1], a1[2] = (y2 - y0) * inv, (y0 - y1) * inv
        a1[0] = -a1[1] - a1[2]
        for y in range(top, bottom + 1):
            v = y + 0.5
            b1[1] = (-x0 * (y2 - y0) - (x2 - x0) * (v - y0)) * inv
            b1[2] = ((x1 - x0) * (v - y0) + x0 * (y1 - y0)) * inv
            b1[0] = 1.0 - b1[1] - b1[2]
            low, high = 0.5, w - 0.5
            for e in range(3):
                if a1[e] > 1e-12:
                    low = max(low, -b1[e] / a1[e])
                elif a1[e] < -1e-12:
                    high = min(high, -b1[e] / a1[e])
                elif b1[e] < 0:
                    high = -1.0
            if high < low:
                continue
            dz = a1[0] * za + a1[1] * zb + a1[2] * zc
            z0 = b1[0] * za + b1[1] * zb + b1[2] * zc
            for x in range(int(np.ceil(low - 0.5)), int(np.floor(high - 0.5)) + 1):
                z = z0 + dz * (x + 0.5)
                if z > zbuffer[y, x]:
                    zbuffer[y, x] = z
                    owner[y, x] = k


@njit(cache=True, nogil=True)
def _facing(px, face):
    """Twice the signed area of a face in the picture."""
    a, b, c = face[0], face[1], face[2]
    return (px[b, 0] - px[a, 0]) * (px[c, 1] - px[a, 1]) - (px[c, 0] - px[a, 0]) * (
        px[b, 1] - px[a, 1]
    )


@njit(cache=True, nogil=True)
def _walk(f, px, depth, faces, neighbours, axis, x, y, sign):
    """From the sample at (x, y) in face f to the next sample along `axis`, in direction `sign`,
    over the surface: the corners of the edge at which the surface turns away (or ends) before that
    sample, and the inverse depth there; (-1, -1, 0) if it does not."""
    at = x if axis == 0 else y
    level = y if axis == 0 else x
    side = _facing(px, faces[f])
    entered_a, entered_b = -1, -1
    for _ in range(LONGEST_WALK):
        leave, furthest, share = -1, -np.inf, 0.0
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if (a == entered_a and b == entered_b) or (a == entered_b and b == entered_a):
                continue
            da, db = px[a, 1 - axis] - level, px[b, 1 - axis] - level
            if (da >= 0) == (db >= 0):
                continue
            s = da / (da - db)
            way = (px[a, axis] + s * (px[b, axis] - px[a, axis]) - at) * sign
            if way > furthest:
                leave, furthest, share = k, way, s
        if leave < 0 or furthest >= 1.0:
            return -1, -1, 0.0
        a, b = faces[f, leave], faces[f, (leave + 1) % 3]
        g = neighbours[f, leave]
        if g < 0 or _facing(px, faces[g]) * side < 0:
            if furthest <= 0.0:
                return -1, -1, 0.0  # by rounding only: the sample lies in the face
            return a, b, (1 - share) / depth[a] + share / depth[b]
        f, entered_a, entered_b = g, a, b
    return -1, -1, 0.0


@njit(cache=True, nogil=True)
def outline_pairs(px, depth, faces, neighbours, owner, zbuffer):
    """Pairs of neighbouring samples between which a visible outline passes, shape [Q,5]: the
    sample on the surface, the one beyond it (row times width plus column), the outline's two
    corners, and 0 for a pair in a row, 1 for one in a column.

    Outlines closer to the vertical pair samples in rows, the others in columns, so that the
    pictures' coverage follows a moving outline exactly (see `score3d.render.mesh_raster`).
    px [V,2]: corners in units of samples. depth [V], faces [F,3]; neighbours [F,3]: the face across
    the edge from corner k to k + 1, or -1. owner, zbuffer [H,W]: as of `fill_nearest`.
    """
    h, w = owner.shape
    found = np.empty((2 * h * w, 5), np.int64)
    n = 0
    for y in range(h):
        for x in range(w):
            for axis in range(2):
                x1, y1 = (x + 1, y) if axis == 0 else (x, y + 1)
                if x1 >= w or y1 >= h:
                    continue
                here, there = zbuffer[y, x], zbuffer[y1, x1]
                if (here <= 0 and there <= 0) or (
                    here > 0 and there > 0 and owner[y, x] == owner[y1, x1]
                ):
                    continue
                for turn in range(2):
                    near = (here >= there) == (turn == 0)  # the nearer of the two first
                    px_, py_, qx, qy = (x, y, x1, y1) if near else (x1, y1, x, y)
                    if zbuffer[py_, px_] <= 0:
                        continue
                    sign = 1.0 if near else -1.0
                    a, b, inverse = _walk(
                        owner[py_, px_], px, depth, faces, neighbours, axis,
                        px_ + 0.5, py_ + 0.5, sign,
                    )  # fmt: skip
                    if a < 0 or inverse < zbuffer[qy, qx]:
                        continue
                    along = abs(px[b, axis] - px[a, axis])
                    across = abs(px[b, 1 - axis] - px[a, 1 - axis])
                    if across > along or (across == along and axis == 0):
                        found[n, 0], found[n, 1] = py_ * w + px_, qy * w + qx
                        found[n, 2], found[n, 3], found[n, 4] = a, b, axis
                        n += 1
                    break
    return found[:n]

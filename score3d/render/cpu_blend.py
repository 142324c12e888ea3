"""Alpha blending of projected Gaussians: binning, forward, backward and gradient reduction.

Kerbl et al. 2023, "3D Gaussian Splatting", sections 4 and 6, with the constants of gsplat 1.5.3:

    alpha_i = min(0.999, o_i exp(-sigma_i)),  sigma_i = (A dx^2 + C dy^2) / 2 + B dx dy
    T_0 = 1,  T_{i+1} = T_i (1 - alpha_i),  colour = sum_i alpha_i T_i c_i + T_end background

Splats with alpha < 1/255 are skipped, and a pixel ends at the splat that would bring T to 1e-4 or
less, which is not applied.

Shape of the computation. One camera's visible splats are sorted by depth once and dropped into
square tiles in that order. A tile then goes through its splats front to back, and each splat
visits only the pixel rows of its own box inside the tile, eight pixels at a time starting at the
box's left edge: a splat of an early low-resolution run is about six pixels wide, so aligned or
whole-tile processing would spend most lanes on pixels it cannot reach. A pixel that has ended
keeps its final T with the sign flipped, so "alive" is ``T > 0`` and no mask array is needed.

The backward pass goes front to back as well. It replays the forward's arithmetic exactly, hence
takes the same decisions, and carries per pixel only the scalar R_i = sum_{j>i} alpha_j T_j (g.c_j)
+ T_end (g.background - g_alpha), which starts from the saved picture and shrinks as splats pass:

    dL/dalpha_i = T_i (g.c_i) - R_i / (1 - alpha_i)

Every (tile, splat) pair owns one slot of gradient sums, and the slots of a splat are contiguous
and added in tile order: no atomics, and the result does not depend on the number of threads.
"""

from functools import cache

import numpy as np
from numba import njit

from score3d.render.cpu_tiles import LOG2E, RECORD
from score3d.render.simd import (
    count,
    exp2,
    fma,
    iota,
    keep,
    load,
    prefetch,
    select,
    some,
    splat,
    store,
    totals,
    vabs,
    vmin,
)

ALPHA_MAX = 0.999
LOG2_ALPHA_MIN = -7.994353436858858  # alpha = 1/255
T_STOP = 1e-4
SLOT = 16  # floats per (tile, splat) gradient
PAD = 8  # dead pixels right of a tile, so that the last eight of a row may overrun it


@cache
def forward_kernel(depth: bool):
    """The forward kernel for three channels, or four when ``depth``."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def blend_forward(
        records, boxes, offsets, entries, used, backgrounds, image, final, alphas, first_tile,
        width, height, tile_bits, first, last,
    ):  # fmt: skip
        """Blend tiles ``first .. last - 1`` of those listed, the first of which is ``first_tile``.

        Writes ``image`` [C, H, W, 3 or 4], ``final`` [C, H, W] (the transmittance left) and
        ``alphas`` (1 - final), moves the entries that touched a live pixel to the front of each
        tile's list and writes their number to ``used``: the backward pass reads no others.
        """
        channels = 4 if depth else 3
        tile = 1 << tile_bits
        tiles_x = ((width - 1) >> tile_bits) + 1
        tiles = tiles_x * (((height - 1) >> tile_bits) + 1)
        stride = tile + PAD
        plane = tile * stride
        state = np.empty((channels + 1) * plane, np.float32)
        for t in range(first, last):
            camera, own = (first_tile + t) // tiles, (first_tile + t) % tiles
            tx, ty = (own % tiles_x) * tile, (own // tiles_x) * tile
            nx, ny = min(tile, width - tx), min(tile, height - ty)
            state[:plane] = -1.0
            state[plane:] = 0.0
            for y in range(ny):
                state[y * stride : y * stride + nx] = 1.0
            alive, kept = nx * ny, offsets[t]
            for e in range(offsets[t], offsets[t + 1]):
                s = entries[e]
                ahead = entries[min(e + 4, entries.size - 1)]
                prefetch(records, ahead * RECORD)
                prefetch(boxes, ahead * 4)
                q, r = 4 * s, RECORD * s
                xa, xb = max(boxes[q] - tx, 0), min(boxes[q + 1] - tx, nx)
                ya, yb = max(boxes[q + 2] - ty, 0), min(boxes[q + 3] - ty, ny)
                # The mean seen from the centre of the tile's first pixel.
                mx = records[r] - np.float32(tx) - np.float32(0.5)
                my = records[r + 1] - np.float32(ty) - np.float32(0.5)
                a, b, c, peak = records[r + 2], records[r + 3], records[r + 4], records[r + 5]
                red, green, blue = records[r + 6], records[r + 7], records[r + 8]
                hit = False
                for x in range(xa, xb, 8):
                    dx = iota() + (np.float32(x) - mx)
                    along = dx * b
                    base = fma(dx * a, dx, splat(peak))
                    dy = splat(np.float32(ya) - my)
                    for at in range(ya * stride + x, yb * stride + x, stride):
                        power = fma(fma(dy, c, along), dy, base)
                        dy = dy + 1.0
                        trans = load(state, at)
                        seen = (trans > 0.0) & (power >= LOG2_ALPHA_MIN)
                        if not some(seen):
                            continue
                        hit = True
                        alpha = vmin(exp2(vmin(power, peak)), ALPHA_MAX)
                        weight = keep(seen, trans * alpha)
                        rest = trans - weight
                        stop = seen & (rest <= T_STOP)
                        if some(stop):
                            alive -= count(stop)
                            weight = select(stop, 0.0, weight)
                            rest = select(stop, 0.0 - trans, rest)
                        store(state, at, rest)
                        p = at + plane
                        store(state, p, fma(weight, red, load(state, p)))
                        p += plane
                        store(state, p, fma(weight, green, load(state, p)))
                        p += plane
                        store(state, p, fma(weight, blue, load(state, p)))
                        if depth:
                            p += plane
                            store(state, p, fma(weight, records[r + 9], load(state, p)))
                if hit:
                    entries[kept] = s
                    kept += 1
                if alive == 0:
                    break
            used[t] = kept - offsets[t]
            for y in range(ny):
                for x in range(nx):
                    at = y * stride + x
                    trans = abs(state[at])
                    pixel = (camera * height + y + ty) * width + x + tx
                    final[pixel] = trans
                    alphas[pixel] = np.float32(1.0) - trans
                    for k in range(3):
                        value = state[(k + 1) * plane + at] + trans * backgrounds[3 * camera + k]
                        image[pixel * channels + k] = value
                    if depth:
                        image[pixel * channels + 3] = state[4 * plane + at]

    return blend_forward


@cache
def backward_kernel(depth: bool, absgrad: bool):
    """The backward kernel; ``absgrad`` adds sums of absolute 2D position gradients."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def blend_backward(
        records, boxes, slots, offsets, entries, used, image, final, grad_image, grad_alpha,
        sums, visited, first_tile, width, height, tile_bits, first, last,
    ):  # fmt: skip
        """Gradient sums of tiles ``first .. last - 1`` of those listed from ``first_tile`` on.

        With g the gradient on sigma at a pixel and (dx, dy) = pixel - mean, ``sums`` [slots, SLOT]
        receives sum g, g dx, g dy, g dx^2, g dx dy, g dy^2, the colour gradients, the depth
        gradient and the two absolute position gradients; ``visited`` marks the slots written.
        """
        channels = 4 if depth else 3
        tile = 1 << tile_bits
        tiles_x = ((width - 1) >> tile_bits) + 1
        tiles = tiles_x * (((height - 1) >> tile_bits) + 1)
        stride = tile + PAD
        plane = tile * stride
        state = np.empty((channels + 2) * plane, np.float32)
        zero = splat(np.float32(0.0))
        for t in range(first, last):
            camera, own = (first_tile + t) // tiles, (first_tile + t) % tiles
            tx, ty = (own % tiles_x) * tile, (own // tiles_x) * tile
            nx, ny = min(tile, width - tx), min(tile, height - ty)
            state[:plane] = -1.0
            state[plane:] = 0.0
            for y in range(ny):
                for x in range(nx):
                    at = y * stride + x
                    pixel = (camera * height + y + ty) * width + x + tx
                    state[at] = 1.0
                    behind = np.float32(0.0)
                    for k in range(channels):
                        g = grad_image[pixel * channels + k]
                        behind += g * image[pixel * channels + k]
                        state[(k + 2) * plane + at] = g
                    state[plane + at] = behind - grad_alpha[pixel] * final[pixel]
            for e in range(offsets[t], offsets[t] + used[t]):
                s = entries[e]
                ahead = entries[min(e + 4, entries.size - 1)]
                prefetch(records, ahead * RECORD)
                prefetch(boxes, ahead * 4)
                q, r = 4 * s, RECORD * s
                xa, xb = max(boxes[q] - tx, 0), min(boxes[q + 1] - tx, nx)
                ya, yb = max(boxes[q + 2] - ty, 0), min(boxes[q + 3] - ty, ny)
                mx = records[r] - np.float32(tx) - np.float32(0.5)
                my = records[r + 1] - np.float32(ty) - np.float32(0.5)
                a, b, c, peak = records[r + 2], records[r + 3], records[r + 4], records[r + 5]
                red, green, blue = records[r + 6], records[r + 7], records[r + 8]
                m00, m10, m01, m20, m11, m02 = zero, zero, zero, zero, zero, zero
                vr, vg, vb, vd, ax, ay = zero, zero, zero, zero, zero, zero
                for x in range(xa, xb, 8):
                    dx = iota() + (np.float32(x) - mx)
                    along = dx * b
                    base = fma(dx * a, dx, splat(peak))
                    dy = splat(np.float32(ya) - my - np.float32(1.0))
                    s0, s1, s2 = zero, zero, zero
                    for at in range(ya * stride + x, yb * stride + x, stride):
                        dy = dy + 1.0
                        power = fma(fma(dy, c, along), dy, base)
                        trans = load(state, at)
                        seen = (trans > 0.0) & (power >= LOG2_ALPHA_MIN)
                        if not some(seen):
                            continue
                        alpha = vmin(exp2(vmin(power, peak)), ALPHA_MAX)
                        weight = keep(seen, trans * alpha)
                        rest = trans - weight
                        stop = seen & (rest <= T_STOP)
                        if some(stop):
                            weight = select(stop, 0.0, weight)
                            rest = select(stop, 0.0 - trans, rest)
                        store(state, at, rest)
                        p = at + plane
                        behind = load(state, p)
                        g = load(state, p + plane)
                        vr = fma(weight, g, vr)
                        dot = g * red
                        g = load(state, p + 2 * plane)
                        vg = fma(weight, g, vg)
                        dot = fma(g, green, dot)
                        g = load(state, p + 3 * plane)
                        vb = fma(weight, g, vb)
                        dot = fma(g, blue, dot)
                        if depth:
                            g = load(state, p + 4 * plane)
                            vd = fma(weight, g, vd)
                            dot = fma(g, records[r + 9], dot)
                        behind = behind - weight * dot
                        store(state, p, behind)
                        g = alpha * (behind / (1.0 - alpha) - trans * dot)
                        g = keep((weight > 0.0) & (alpha < ALPHA_MAX), g)
                        gy = g * dy
                        s0 = s0 + g
                        s1 = s1 + gy
                        s2 = fma(gy, dy, s2)
                        if absgrad:
                            ax = ax + vabs(fma(g * dx, 2.0 * a, gy * b))
                            ay = ay + vabs(fma(g * dx, b, gy * (2.0 * c)))
                    s0x = s0 * dx
                    m00 = m00 + s0
                    m10 = m10 + s0x
                    m20 = fma(s0x, dx, m20)
                    m01 = m01 + s1
                    m11 = fma(s1, dx, m11)
                    m02 = m02 + s2
                column = (tx >> tile_bits) - (boxes[q] >> tile_bits)
                row = (ty >> tile_bits) - (boxes[q + 2] >> tile_bits)
                across = ((boxes[q + 1] - 1) >> tile_bits) - (boxes[q] >> tile_bits) + 1
                slot = slots[s] + row * across + column
                visited[slot] = 1
                store(sums, slot * SLOT, totals(m00, m10, m01, m20, m11, m02, vr, vg))
                others = totals(vb, vd, ax, ay, zero, zero, zero, zero)
                store(sums, slot * SLOT + 8, others)

    return blend_backward


@njit(cache=True, nogil=True, error_model="numpy")
def reduce_slots(
    ids, counts, records, slots, sums, visited, n, depth, absgrad,
    v_means2d, v_conics, v_opacities, v_colors, v_depths, v_abs, first, last,
):  # fmt: skip
    """Add the slots of places ``first .. last - 1`` and turn moments into gradients.

    With d = pixel - mean: dL/dmean = -sum g (A dx + B dy, B dx + C dy), dL/d(A, B, C) =
    sum g (dx^2 / 2, dx dy, dy^2 / 2), and because g is -alpha dL/dalpha wherever alpha is not
    clipped, dL/do = -(sum g) / o.
    """
    acc = np.empty(SLOT, np.float32)
    unscale = np.float32(-1.0 / LOG2E)
    for s in range(first, last):
        low, high = splat(np.float32(0.0)), splat(np.float32(0.0))
        hit = False
        for slot in range(slots[s], slots[s] + counts[s]):
            if visited[slot]:
                hit = True
                low = low + load(sums, slot * SLOT)
                high = high + load(sums, slot * SLOT + 8)
        if not hit:
            continue
        store(acc, 0, low)
        store(acc, 8, high)
        i, r = s // n * n + ids[s], s * RECORD
        two_a = np.float32(2.0) * unscale * records[r + 2]
        b = unscale * records[r + 3]
        two_c = np.float32(2.0) * unscale * records[r + 4]
        v_means2d[2 * i] = -(two_a * acc[1] + b * acc[2])
        v_means2d[2 * i + 1] = -(b * acc[1] + two_c * acc[2])
        v_conics[3 * i] = np.float32(0.5) * acc[3]
        v_conics[3 * i + 1] = acc[4]
        v_conics[3 * i + 2] = np.float32(0.5) * acc[5]
        v_opacities[i] = -acc[0] * records[r + 10]
        for k in range(3):
            v_colors[3 * i + k] = acc[6 + k]
        if depth:
            v_depths[i] = acc[9]
        if absgrad:
            v_abs[2 * i] = -unscale * acc[10]
            v_abs[2 * i + 1] = -unscale * acc[11]

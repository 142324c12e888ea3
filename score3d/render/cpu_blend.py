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

from score3d.render.simd import (
    count,
    exp2,
    fma,
    iota,
    load,
    select,
    some,
    splat,
    store,
    total,
    vabs,
    vmin,
)

ALPHA_MAX = 0.999
ALPHA_MIN = 1.0 / 255.0
T_STOP = 1e-4
LOG2E = 1.4426950408889634
RECORD = 16  # floats per splat: one cache line
SLOT = 16  # floats per (tile, splat) gradient
PAD = 8  # dead pixels right of a tile, so that the last eight of a row may overrun it


@njit(cache=True, nogil=True, error_model="numpy")
def _depth_order(depths, extents):
    """Indices of the visible splats, nearest first, ties by index (stable radix sort)."""
    n = depths.size
    ids = np.empty(n, np.int32)
    keys = np.empty(n, np.uint32)
    bits = depths.view(np.uint32)  # positive floats order like their bit patterns
    low, high, m = np.uint32(0xFFFFFFFF), np.uint32(0), 0
    for i in range(n):
        if extents[2 * i] > 0:
            ids[m] = i
            keys[m] = bits[i]
            low, high = min(low, bits[i]), max(high, bits[i])
            m += 1
    spread, width = np.int64(high) - np.int64(low), 0
    while m > 0 and spread >> width:
        width += 1
    passes = (width + 11) // 12
    digit = (width + passes - 1) // passes if passes else 0
    ids_out, keys_out = np.empty(m, np.int32), np.empty(m, np.uint32)
    start = np.empty((1 << digit) + 1, np.int64)
    for p in range(passes):
        shift, mask = p * digit, (1 << digit) - 1
        start[:] = 0
        for i in range(m):
            start[((np.int64(keys[i]) - np.int64(low)) >> shift & mask) + 1] += 1
        for d in range(mask + 1):
            start[d + 1] += start[d]
        for i in range(m):
            d = (np.int64(keys[i]) - np.int64(low)) >> shift & mask
            ids_out[start[d]] = ids[i]
            keys_out[start[d]] = keys[i]
            start[d] += 1
        ids, ids_out = ids_out, ids
        keys, keys_out = keys_out, keys
    return ids[:m]


@njit(cache=True, nogil=True, error_model="numpy")
def bin_camera(means2d, depths, conics, extents, log2_opacities, colors, width, height, tile):
    """Sort one camera's visible splats by depth and list them per tile.

    Returns ``ids`` [V] (original indices, nearest first), ``records`` [V * RECORD] (everything a
    tile needs about a splat), ``boxes`` [V * 4] (first and past-the-end pixel column and row),
    ``slots`` [V + 1] (first gradient slot of each splat), ``offsets`` [tiles + 1] and ``entries``
    (positions in ``ids``, tile by tile, nearest first).
    """
    tiles_x, tiles_y = (width + tile - 1) // tile, (height + tile - 1) // tile
    ids = _depth_order(depths, extents)
    m = ids.size
    records = np.empty(m * RECORD, np.float32)
    boxes = np.empty(m * 4, np.int32)
    slots = np.empty(m + 1, np.int64)
    offsets = np.zeros(tiles_x * tiles_y + 2, np.int64)
    slots[0] = 0
    for s in range(m):
        i = ids[s]
        x, y = means2d[2 * i], means2d[2 * i + 1]
        r = records[s * RECORD : (s + 1) * RECORD]
        r[0], r[1] = x, y
        r[2] = -0.5 * LOG2E * conics[3 * i]
        r[3] = -LOG2E * conics[3 * i + 1]
        r[4] = -0.5 * LOG2E * conics[3 * i + 2]
        r[5] = log2_opacities[i]
        r[6], r[7], r[8] = colors[3 * i], colors[3 * i + 1], colors[3 * i + 2]
        r[9] = depths[i]
        # The hair added to the extent covers float32 rounding in the extent itself.
        ex = extents[2 * i] * 1.0001 + 0.001
        ey = extents[2 * i + 1] * 1.0001 + 0.001
        x0 = np.int32(max(np.ceil(x - ex - 0.5), 0.0))
        x1 = np.int32(min(np.floor(x + ex - 0.5) + 1.0, np.float64(width)))
        y0 = np.int32(max(np.ceil(y - ey - 0.5), 0.0))
        y1 = np.int32(min(np.floor(y + ey - 0.5) + 1.0, np.float64(height)))
        b = boxes[4 * s : 4 * s + 4]
        b[0], b[1], b[2], b[3] = x0, x1, y0, y1
        n = 0
        if x0 < x1 and y0 < y1:
            for ty in range(y0 // tile, (y1 - 1) // tile + 1):
                for tx in range(x0 // tile, (x1 - 1) // tile + 1):
                    offsets[ty * tiles_x + tx + 2] += 1
                    n += 1
        slots[s + 1] = slots[s] + n
    for t in range(offsets.size - 1):
        offsets[t + 1] += offsets[t]
    entries = np.empty(slots[m], np.int32)
    for s in range(m):
        if slots[s + 1] > slots[s]:
            x0, x1, y0, y1 = boxes[4 * s], boxes[4 * s + 1], boxes[4 * s + 2], boxes[4 * s + 3]
            for ty in range(y0 // tile, (y1 - 1) // tile + 1):
                for tx in range(x0 // tile, (x1 - 1) // tile + 1):
                    t = ty * tiles_x + tx + 1
                    entries[offsets[t]] = s
                    offsets[t] += 1
    return ids, records, boxes, slots, offsets[:-1], entries


@cache
def forward_kernel(depth: bool):
    """The forward kernel for three channels, or four when ``depth``."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def blend_forward(
        records, boxes, offsets, entries, used, background, image, final, width, height, tile,
        first, last,
    ):  # fmt: skip
        """Blend tiles ``first .. last - 1`` of one camera.

        Writes ``image`` [H, W, 3 or 4] and ``final`` [H, W] (the transmittance left), moves the
        entries that touched a live pixel to the front of each tile's list and writes their number
        to ``used``: the backward pass reads no others.
        """
        channels = 4 if depth else 3
        tiles_x = (width + tile - 1) // tile
        stride = tile + PAD
        plane = tile * stride
        state = np.empty((channels + 1) * plane, np.float32)
        for t in range(first, last):
            tx, ty = (t % tiles_x) * tile, (t // tiles_x) * tile
            nx, ny = min(tile, width - tx), min(tile, height - ty)
            state[:plane] = -1.0
            state[plane:] = 0.0
            for y in range(ny):
                state[y * stride : y * stride + nx] = 1.0
            alive, kept = nx * ny, offsets[t]
            for e in range(offsets[t], offsets[t + 1]):
                s = entries[e]
                box = boxes[4 * s : 4 * s + 4]
                rec = records[s * RECORD : (s + 1) * RECORD]
                mx, my, a, b, c, top = rec[0], rec[1], rec[2], rec[3], rec[4], rec[5]
                red, green, blue, far = rec[6], rec[7], rec[8], rec[9]
                xa, xb = max(box[0] - tx, 0), min(box[1] - tx, nx)
                ya, yb = max(box[2] - ty, 0), min(box[3] - ty, ny)
                hit = False
                for y in range(ya, yb):
                    dy = np.float32(np.float32(y + ty) + np.float32(0.5) - my)
                    base = splat(c * dy * dy + top)
                    slope = splat(b * dy)
                    for x in range(xa, xb, 8):
                        at = y * stride + x
                        trans = load(state, at)
                        live = trans > 0.0
                        if not some(live):
                            continue
                        dx = iota() + (np.float32(x + tx) + np.float32(0.5) - mx)
                        power = vmin(fma(fma(dx, a, slope), dx, base), top)
                        alpha = vmin(exp2(power), ALPHA_MAX)
                        seen = live & (alpha >= ALPHA_MIN)
                        if not some(seen):
                            continue
                        hit = True
                        weight = trans * alpha
                        rest = trans - weight
                        go = seen & (rest > T_STOP)
                        stop = seen & (rest <= T_STOP)
                        weight = select(go, weight, 0.0)
                        store(state, at, select(go, rest, select(stop, 0.0 - trans, trans)))
                        at += plane
                        store(state, at, fma(weight, red, load(state, at)))
                        at += plane
                        store(state, at, fma(weight, green, load(state, at)))
                        at += plane
                        store(state, at, fma(weight, blue, load(state, at)))
                        if depth:
                            at += plane
                            store(state, at, fma(weight, far, load(state, at)))
                        if some(stop):
                            alive -= count(stop)
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
                    pixel = (y + ty) * width + x + tx
                    final[pixel] = trans
                    for k in range(3):
                        value = state[(k + 1) * plane + at] + trans * background[k]
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
        sums, visited, width, height, tile, first, last,
    ):  # fmt: skip
        """Gradient sums of tiles ``first .. last - 1`` of one camera.

        With g the gradient on sigma at a pixel and (dx, dy) = pixel - mean, ``sums`` [slots, SLOT]
        receives sum g, g dx, g dy, g dx^2, g dx dy, g dy^2, the colour gradients, the depth
        gradient and the two absolute position gradients; ``visited`` marks the slots written.
        """
        channels = 4 if depth else 3
        tiles_x = (width + tile - 1) // tile
        stride = tile + PAD
        plane = tile * stride
        state = np.empty((channels + 2) * plane, np.float32)
        zero = splat(np.float32(0.0))
        for t in range(first, last):
            tx, ty = (t % tiles_x) * tile, (t // tiles_x) * tile
            nx, ny = min(tile, width - tx), min(tile, height - ty)
            state[:plane] = -1.0
            state[plane:] = 0.0
            for y in range(ny):
                for x in range(nx):
                    at = y * stride + x
                    pixel = (y + ty) * width + x + tx
                    state[at] = 1.0
                    behind = np.float32(0.0)
                    for k in range(channels):
                        g = grad_image[pixel * channels + k]
                        behind += g * image[pixel * channels + k]
                        state[(k + 2) * plane + at] = g
                    state[plane + at] = behind - grad_alpha[pixel] * final[pixel]
            for e in range(offsets[t], offsets[t] + used[t]):
                s = entries[e]
                box = boxes[4 * s : 4 * s + 4]
                rec = records[s * RECORD : (s + 1) * RECORD]
                mx, my, a, b, c, top = rec[0], rec[1], rec[2], rec[3], rec[4], rec[5]
                red, green, blue, far = rec[6], rec[7], rec[8], rec[9]
                xa, xb = max(box[0] - tx, 0), min(box[1] - tx, nx)
                ya, yb = max(box[2] - ty, 0), min(box[3] - ty, ny)
                m00, m10, m01, m20, m11, m02 = zero, zero, zero, zero, zero, zero
                vr, vg, vb, vd, ax, ay = zero, zero, zero, zero, zero, zero
                hit = False
                for y in range(ya, yb):
                    dy = np.float32(np.float32(y + ty) + np.float32(0.5) - my)
                    base = splat(c * dy * dy + top)
                    slope = splat(b * dy)
                    for x in range(xa, xb, 8):
                        at = y * stride + x
                        trans = load(state, at)
                        live = trans > 0.0
                        if not some(live):
                            continue
                        dx = iota() + (np.float32(x + tx) + np.float32(0.5) - mx)
                        power = vmin(fma(fma(dx, a, slope), dx, base), top)
                        alpha = vmin(exp2(power), ALPHA_MAX)
                        seen = live & (alpha >= ALPHA_MIN)
                        if not some(seen):
                            continue
                        hit = True
                        weight = trans * alpha
                        rest = trans - weight
                        go = seen & (rest > T_STOP)
                        stop = seen & (rest <= T_STOP)
                        weight = select(go, weight, 0.0)
                        store(state, at, select(go, rest, select(stop, 0.0 - trans, trans)))
                        gr = load(state, at + 2 * plane)
                        gg = load(state, at + 3 * plane)
                        gb = load(state, at + 4 * plane)
                        dot = fma(gb, blue, fma(gg, green, gr * red))
                        vr = fma(weight, gr, vr)
                        vg = fma(weight, gg, vg)
                        vb = fma(weight, gb, vb)
                        if depth:
                            gd = load(state, at + 5 * plane)
                            dot = fma(gd, far, dot)
                            vd = fma(weight, gd, vd)
                        behind = load(state, at + plane) - weight * dot
                        store(state, at + plane, behind)
                        g = alpha * (behind / (1.0 - alpha) - trans * dot)
                        g = select(go & (alpha < ALPHA_MAX), g, 0.0)
                        gx = g * dx
                        gy = g * dy
                        m00 = m00 + g
                        m10 = m10 + gx
                        m01 = m01 + gy
                        m20 = fma(gx, dx, m20)
                        m11 = fma(gx, dy, m11)
                        m02 = fma(gy, dy, m02)
                        if absgrad:
                            ax = ax + vabs(fma(gx, 2.0 * a, gy * b))
                            ay = ay + vabs(fma(gx, b, gy * (2.0 * c)))
                if hit:
                    row, column = ty // tile - box[2] // tile, tx // tile - box[0] // tile
                    across = (box[1] - 1) // tile - box[0] // tile + 1
                    slot = slots[s] + row * across + column
                    visited[slot] = 1
                    out = sums[slot * SLOT : (slot + 1) * SLOT]
                    out[0], out[1], out[2] = total(m00), total(m10), total(m01)
                    out[3], out[4], out[5] = total(m20), total(m11), total(m02)
                    out[6], out[7], out[8] = total(vr), total(vg), total(vb)
                    if depth:
                        out[9] = total(vd)
                    if absgrad:
                        out[10], out[11] = total(ax), total(ay)

    return blend_backward


@njit(cache=True, nogil=True, error_model="numpy")
def reduce_slots(
    ids, records, slots, sums, visited, opacities, depth, absgrad,
    v_means2d, v_conics, v_opacities, v_colors, v_depths, v_abs, first, last,
):  # fmt: skip
    """Add the slots of splats ``first .. last - 1`` and turn moments into gradients.

    With d = pixel - mean: dL/dmean = -sum g (A dx + B dy, B dx + C dy), dL/d(A, B, C) =
    sum g (dx^2 / 2, dx dy, dy^2 / 2), and because g is -alpha dL/dalpha wherever alpha is not
    clipped, dL/do = -(sum g) / o.
    """
    acc = np.empty(12, np.float32)
    unscale = np.float32(-1.0 / LOG2E)
    for s in range(first, last):
        acc[:] = 0.0
        hit = False
        for slot in range(slots[s], slots[s + 1]):
            if visited[slot]:
                hit = True
                for k in range(9):
                    acc[k] += sums[slot * SLOT + k]
                if depth:
                    acc[9] += sums[slot * SLOT + 9]
                if absgrad:
                    acc[10] += sums[slot * SLOT + 10]
                    acc[11] += sums[slot * SLOT + 11]
        if not hit:
            continue
        i = ids[s]
        two_a = 2.0 * unscale * records[s * RECORD + 2]
        b = unscale * records[s * RECORD + 3]
        two_c = 2.0 * unscale * records[s * RECORD + 4]
        v_means2d[2 * i] = -(two_a * acc[1] + b * acc[2])
        v_means2d[2 * i + 1] = -(b * acc[1] + two_c * acc[2])
        v_conics[3 * i] = 0.5 * acc[3]
        v_conics[3 * i + 1] = acc[4]
        v_conics[3 * i + 2] = 0.5 * acc[5]
        v_opacities[i] = -acc[0] / opacities[i]
        for k in range(3):
            v_colors[3 * i + k] = acc[6 + k]
        if depth:
            v_depths[i] = acc[9]
        if absgrad:
            v_abs[2 * i] = acc[10] / np.float32(LOG2E)
            v_abs[2 * i + 1] = acc[11] / np.float32(LOG2E)

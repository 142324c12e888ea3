"""Depth order and tile lists: which splats each tile must blend, nearest first.

Splats of all cameras live in arrays of C * N places: those that camera c sees fill the first
``visible[c]`` places from c * N on, nearest first, and the rest of its N places is unused. Tiles
are numbered camera by camera, row by row; any range of tile rows can be listed on its own, which
is how several threads list one camera. A tile is ``1 << tile_bits`` pixels wide and high.
"""

import math

import numpy as np
from numba import njit

from score3d.render.simd import prefetch

LOG2E = 1.4426950408889634
RECORD = 16  # floats per splat: one cache line
DIGIT = 12  # bits per radix pass


@njit(cache=True, nogil=True, error_model="numpy")
def sort_splats(depth_bits, extents, n, first, last, ids, other_ids, keys, other_keys, visible):
    """Fill ``ids`` (0 .. N - 1) and ``visible`` for cameras ``first .. last - 1``.

    A stable radix sort: equal depths keep the order of their indices. ``depth_bits`` are the bit
    patterns of positive float32 depths, which order like the depths. The last three arrays before
    ``visible`` are scratch.
    """
    place = np.empty((1 << DIGIT) + 1, np.int64)
    for camera in range(first, last):
        start = camera * n
        m, low, high = start, np.int64(0xFFFFFFFF), np.int64(0)
        for i in range(n):
            if extents[2 * (start + i)] > 0:
                key = np.int64(depth_bits[start + i])
                ids[m] = i
                keys[m] = key
                low = key if key < low else low
                high = key if key > high else high
                m += 1
        visible[camera] = m - start
        passes = 0
        while m > start and (high - low) >> (DIGIT * passes):
            passes += 1
        passes += passes & 1  # an even number of passes ends in the arrays it began in
        for p in range(passes):
            shift, mask = p * DIGIT, (1 << DIGIT) - 1
            for d in range(mask + 2):
                place[d] = 0
            place[0] = start
            for i in range(start, m):
                place[((np.int64(keys[i]) - low) >> shift & mask) + 1] += 1
            for d in range(mask + 1):
                place[d + 1] += place[d]
            for i in range(start, m):
                d = (np.int64(keys[i]) - low) >> shift & mask
                at = place[d]
                place[d] = at + 1
                other_ids[at] = ids[i]
                other_keys[at] = keys[i]
            ids, other_ids = other_ids, ids
            keys, other_keys = other_keys, keys


@njit(cache=True, nogil=True, error_model="numpy")
def pack_splats(
    ids, visible, means2d, depths, conics, extents, opacities, log2_opacities, colors, per_camera,
    n, width, height, tile_bits, records, boxes, counts, first, last,
):  # fmt: skip
    """Fill places ``first .. last - 1`` of ``records`` [C * N * RECORD] (all that a tile needs
    about a splat), ``boxes`` [C * N * 4] (first and past-the-end pixel column and row) and
    ``counts`` [C * N] (tiles touched)."""
    half, one = np.float32(0.5), np.float32(1.0)
    camera = first // n
    for s in range(first, last):
        if s == (camera + 1) * n:
            camera += 1
        if s - camera * n >= visible[camera]:
            counts[s] = 0
            continue
        # Depth order is random order in memory.
        later = camera * n + np.int64(ids[min(s + 8, camera * n + visible[camera] - 1)])
        prefetch(means2d, 2 * later)
        prefetch(conics, 3 * later)
        prefetch(extents, 2 * later)
        prefetch(depths, later)
        prefetch(colors, 3 * (later if per_camera else later - camera * n))
        own = np.int64(ids[s])
        i, r, q = camera * n + own, s * RECORD, 4 * s
        x, y = means2d[2 * i], means2d[2 * i + 1]
        a, b, c = conics[3 * i], conics[3 * i + 1], conics[3 * i + 2]
        # The hair added to the extents covers float32 rounding.
        ex = extents[2 * i] * np.float32(1.0005) + np.float32(0.005)
        ey = extents[2 * i + 1] * np.float32(1.0005) + np.float32(0.005)
        records[r] = x
        records[r + 1] = y
        records[r + 2] = np.float32(-0.5 * LOG2E) * a
        records[r + 3] = np.float32(-LOG2E) * b
        records[r + 4] = np.float32(-0.5 * LOG2E) * c
        records[r + 5] = log2_opacities[own]
        color = 3 * (i if per_camera else own)
        records[r + 6] = colors[color]
        records[r + 7] = colors[color + 1]
        records[r + 8] = colors[color + 2]
        records[r + 9] = depths[i]
        records[r + 10] = one / opacities[own]
        x0, x1 = math.ceil(x - ex - half), math.floor(x + ex + half)
        y0, y1 = math.ceil(y - ey - half), math.floor(y + ey + half)
        x0, x1 = x0 if x0 > 0 else 0, x1 if x1 < width else width
        y0, y1 = y0 if y0 > 0 else 0, y1 if y1 < height else height
        boxes[q] = x0
        boxes[q + 1] = x1
        boxes[q + 2] = y0
        boxes[q + 3] = y1
        count = 0
        if x0 < x1 and y0 < y1:
            across = ((x1 - 1) >> tile_bits) - (x0 >> tile_bits) + 1
            count = across * (((y1 - 1) >> tile_bits) - (y0 >> tile_bits) + 1)
        counts[s] = count


@njit(cache=True, nogil=True, error_model="numpy")
def list_tiles(
    boxes, counts, visible, n, width, height, tile_bits, first_row, last_row, offsets, entries
):
    """List the places of splats per tile for tile rows ``first_row .. last_row - 1``.

    ``entries`` receives places, tile by tile and nearest first; tile t of the range owns
    ``entries[offsets[t] : offsets[t + 1]]``. ``offsets`` must come zeroed, two longer than the
    number of tiles.
    """
    across, down = ((width - 1) >> tile_bits) + 1, ((height - 1) >> tile_bits) + 1
    for fill in range(2):
        for camera in range(first_row // down, (last_row + down - 1) // down):
            shift = camera * down - first_row  # from a row of this camera to a row of the range
            for s in range(camera * n, camera * n + visible[camera]):
                if counts[s] == 0:
                    continue
                x0, x1 = boxes[4 * s] >> tile_bits, (boxes[4 * s + 1] - 1) >> tile_bits
                y0 = (boxes[4 * s + 2] >> tile_bits) + shift
                y1 = ((boxes[4 * s + 3] - 1) >> tile_bits) + shift
                y0 = y0 if y0 > 0 else 0
                y1 = y1 if y1 < last_row - first_row else last_row - first_row - 1
                for y in range(y0, y1 + 1):
                    for t in range(y * across + x0, y * across + x1 + 1):
                        if fill:
                            at = offsets[t + 1]
                            entries[at] = s
                            offsets[t + 1] = at + 1
                        else:
                            offsets[t + 2] += 1
        if not fill:
            for t in range(offsets.size - 1):
                offsets[t + 1] += offsets[t]

"""Projection of 3D Gaussians to image-plane ellipses and its gradient, eight Gaussians at a time.

Zwicker et al. 2001, "EWA splatting", as used by Kerbl et al. 2023 and gsplat 1.5.3. With the world
rotation W and the perspective Jacobian J (evaluated at a centre clamped to 1.3 times the field of
view), P = J W is 2 x 3, M = R(q) diag(s) and U = P M give the 2D covariance U U^T + eps2d I. The
determinant is taken as |u0 x u1|^2 + eps2d (|u0|^2 + |u1|^2) + eps2d^2, which has no cancellation,
so needle-shaped splats keep a positive definite conic in float32.

Gaussians are gathered lane by lane from the usual row-major arrays; a range that does not end on
a multiple of eight repeats its last Gaussian (see ``simd.gather``).
"""

import numpy as np
from numba import njit

from score3d.render.simd import (
    dot3,
    fma,
    gather,
    scatter,
    select,
    splat,
    vceil,
    vmax,
    vmin,
    vsqrt,
)

HUGE = 1e30


@njit(inline="always")
def _rotation(quats, i, last):
    """Inverse norm, unit quaternion and rotation matrix (row by row) of eight quaternions."""
    w, x = gather(quats, i, last, 4, 0), gather(quats, i, last, 4, 1)
    y, z = gather(quats, i, last, 4, 2), gather(quats, i, last, 4, 3)
    inverse = 1.0 / vmax(vsqrt(fma(w, w, dot3(x, y, z, x, y, z))), 1e-12)
    w, x, y, z = w * inverse, x * inverse, y * inverse, z * inverse
    rotation = (
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y),
        2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x),
        2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y),
    )  # fmt: skip
    return inverse, (w, x, y, z), rotation


@njit(inline="always")
def _camera_point(view, mx, my, mz):
    """The centres in camera coordinates."""
    x = fma(mx, view[0], fma(my, view[1], fma(mz, view[2], splat(view[3]))))
    y = fma(mx, view[4], fma(my, view[5], fma(mz, view[6], splat(view[7]))))
    z = fma(mx, view[8], fma(my, view[9], fma(mz, view[10], splat(view[11]))))
    return x, y, z


@njit(inline="always")
def _limits(k, width, height):
    """Bounds on x/z and y/z inside which the Jacobian is evaluated: the view plus 15 % of it."""
    margin_x, margin_y = 0.15 * width / k[0], 0.15 * height / k[4]
    left, right = -k[2] / k[0] - margin_x, (width - k[2]) / k[0] + margin_x
    top, bottom = -k[5] / k[4] - margin_y, (height - k[5]) / k[4] + margin_y
    return np.float32(left), np.float32(right), np.float32(top), np.float32(bottom)


@njit(inline="always")
def _footprint(view, k, u, v, rz, m):
    """P = J W and U = P M, both 2 x 3, row by row."""
    fx, fy = rz * k[0], rz * k[4]
    p0, p1, p2 = (
        fx * (view[0] - u * view[8]),
        fx * (view[1] - u * view[9]),
        fx * (view[2] - u * view[10]),
    )
    p3, p4, p5 = (
        fy * (view[4] - v * view[8]),
        fy * (view[5] - v * view[9]),
        fy * (view[6] - v * view[10]),
    )
    u0, u1, u2 = (
        dot3(p0, p1, p2, m[0], m[3], m[6]),
        dot3(p0, p1, p2, m[1], m[4], m[7]),
        dot3(p0, p1, p2, m[2], m[5], m[8]),
    )
    u3, u4, u5 = (
        dot3(p3, p4, p5, m[0], m[3], m[6]),
        dot3(p3, p4, p5, m[1], m[4], m[7]),
        dot3(p3, p4, p5, m[2], m[5], m[8]),
    )
    return (p0, p1, p2, p3, p4, p5), (u0, u1, u2, u3, u4, u5)


@njit(inline="always")
def _covariance(u, eps2d):
    """Blurred 2D covariance (xx, xy, yy) and its determinant."""
    xx, yy = dot3(u[0], u[1], u[2], u[0], u[1], u[2]), dot3(u[3], u[4], u[5], u[3], u[4], u[5])
    xy = dot3(u[0], u[1], u[2], u[3], u[4], u[5])
    c0 = u[1] * u[5] - u[2] * u[4]
    c1 = u[2] * u[3] - u[0] * u[5]
    c2 = u[0] * u[4] - u[1] * u[3]
    det = dot3(c0, c1, c2, c0, c1, c2) + (xx + yy + eps2d) * eps2d
    return xx + eps2d, xy, yy + eps2d, det


@njit(cache=True, nogil=True, error_model="numpy")
def project_forward(
    means, quats, scales, reach, viewmats, intrinsics, cameras, n, width, height, near, far,
    eps2d, radius_clip, means2d, depths, conics, extents, first, end,
):  # fmt: skip
    """Project Gaussians ``first .. end - 1`` into every camera.

    ``reach`` [N] is the distance in standard deviations at which alpha falls to 1/255; culled
    splats get zeros everywhere. All arrays are flat views of the shapes in ``rasterization``.
    """
    zero = splat(np.float32(0.0))
    last = end - 1
    for i in range(first, end, 8):
        mx, my = gather(means, i, last, 3, 0), gather(means, i, last, 3, 1)
        mz = gather(means, i, last, 3, 2)
        s0, s1 = gather(scales, i, last, 3, 0), gather(scales, i, last, 3, 1)
        s2, sigmas = gather(scales, i, last, 3, 2), gather(reach, i, last, 1, 0)
        _, _, r = _rotation(quats, i, last)
        m = (
            r[0] * s0, r[1] * s1, r[2] * s2, r[3] * s0, r[4] * s1, r[5] * s2,
            r[6] * s0, r[7] * s1, r[8] * s2,
        )  # fmt: skip
        for camera in range(cameras):
            view, k = (
                viewmats[16 * camera : 16 * camera + 16],
                intrinsics[9 * camera : 9 * camera + 9],
            )
            left, right, top, bottom = _limits(k, width, height)
            x, y, z = _camera_point(view, mx, my, mz)
            rz = 1.0 / z
            u, v = vmax(vmin(x * rz, right), left), vmax(vmin(y * rz, bottom), top)
            _, uu = _footprint(view, k, u, v, rz, m)
            xx, xy, yy, det = _covariance(uu, eps2d)
            px, py = fma(x * rz, k[0], splat(k[2])), fma(y * rz, k[4], splat(k[5]))
            ex, ey = sigmas * vsqrt(xx), sigmas * vsqrt(yy)
            rx, ry = vceil(ex), vceil(ey)
            ok = (z > near) & (z < far) & (det > 0.0) & (det < HUGE) & (ex > 0.0) & (ey > 0.0)
            ok = ok & ((rx > radius_clip) | (ry > radius_clip))
            ok = ok & (px + rx > 0.0) & (px - rx < width) & (py + ry > 0.0) & (py - ry < height)
            inverse = 1.0 / det
            row, end_row = camera * n + i, camera * n + last
            scatter(means2d, row, end_row, 2, 0, select(ok, px, zero))
            scatter(means2d, row, end_row, 2, 1, select(ok, py, zero))
            scatter(depths, row, end_row, 1, 0, select(ok, z, zero))
            scatter(conics, row, end_row, 3, 0, select(ok, yy * inverse, zero))
            scatter(conics, row, end_row, 3, 1, select(ok, zero - xy * inverse, zero))
            scatter(conics, row, end_row, 3, 2, select(ok, xx * inverse, zero))
            scatter(extents, row, end_row, 2, 0, select(ok, ex, zero))
            scatter(extents, row, end_row, 2, 1, select(ok, ey, zero))


@njit(cache=True, nogil=True, error_model="numpy")
def project_backward(
    means, quats, scales, viewmats, intrinsics, extents, cameras, n, width, height, eps2d,
    g_means2d, g_depths, g_conics, v_means, v_quats, v_scales, first, end,
):  # fmt: skip
    """Gradients of Gaussians ``first .. end - 1``, summed over cameras in order."""
    zero = splat(np.float32(0.0))
    last = end - 1
    for i in range(first, end, 8):
        mx, my = gather(means, i, last, 3, 0), gather(means, i, last, 3, 1)
        mz = gather(means, i, last, 3, 2)
        s0, s1 = gather(scales, i, last, 3, 0), gather(scales, i, last, 3, 1)
        s2 = gather(scales, i, last, 3, 2)
        inverse, q, r = _rotation(quats, i, last)
        m = (
            r[0] * s0, r[1] * s1, r[2] * s2, r[3] * s0, r[4] * s1, r[5] * s2,
            r[6] * s0, r[7] * s1, r[8] * s2,
        )  # fmt: skip
        vmx, vmy, vmz = zero, zero, zero
        t0, t1, t2, t3, t4, t5, t6, t7, t8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
        for camera in range(cameras):
            row, end_row = camera * n + i, camera * n + last
            ok = gather(extents, row, end_row, 2, 0) > 0.0
            view, k = (
                viewmats[16 * camera : 16 * camera + 16],
                intrinsics[9 * camera : 9 * camera + 9],
            )
            left, right, top, bottom = _limits(k, width, height)
            x, y, z = _camera_point(view, mx, my, mz)
            rz = 1.0 / z
            free_u, free_v = x * rz, y * rz
            u, v = vmax(vmin(free_u, right), left), vmax(vmin(free_v, bottom), top)
            p, uu = _footprint(view, k, u, v, rz, m)
            xx, xy, yy, det = _covariance(uu, eps2d)
            # The conic X = [[a, b], [b, c]] inverts the covariance, so dL/dcov = -X G X.
            inv_det = 1.0 / det
            a, b, c = yy * inv_det, zero - xy * inv_det, xx * inv_det
            g0, g2 = gather(g_conics, row, end_row, 3, 0), gather(g_conics, row, end_row, 3, 2)
            g1 = 0.5 * gather(g_conics, row, end_row, 3, 1)
            h0, h1 = a * g0 + b * g1, a * g1 + b * g2
            h2, h3 = b * g0 + c * g1, b * g1 + c * g2
            w0, w1, w2 = h0 * a + h1 * b, h0 * b + h1 * c, h2 * b + h3 * c
            # cov = U U^T, so dL/dU = 2 dL/dcov U; the -2 carries the sign of -X G X.
            d0, d3 = -2.0 * (w0 * uu[0] + w1 * uu[3]), -2.0 * (w1 * uu[0] + w2 * uu[3])
            d1, d4 = -2.0 * (w0 * uu[1] + w1 * uu[4]), -2.0 * (w1 * uu[1] + w2 * uu[4])
            d2, d5 = -2.0 * (w0 * uu[2] + w1 * uu[5]), -2.0 * (w1 * uu[2] + w2 * uu[5])
            t0 = t0 + select(ok, p[0] * d0 + p[3] * d3, zero)
            t1 = t1 + select(ok, p[0] * d1 + p[3] * d4, zero)
            t2 = t2 + select(ok, p[0] * d2 + p[3] * d5, zero)
            t3 = t3 + select(ok, p[1] * d0 + p[4] * d3, zero)
            t4 = t4 + select(ok, p[1] * d1 + p[4] * d4, zero)
            t5 = t5 + select(ok, p[1] * d2 + p[4] * d5, zero)
            t6 = t6 + select(ok, p[2] * d0 + p[5] * d3, zero)
            t7 = t7 + select(ok, p[2] * d1 + p[5] * d4, zero)
            t8 = t8 + select(ok, p[2] * d2 + p[5] * d5, zero)
            # U = P M, so dL/dP = dL/dU M^T, and P depends on u, v and 1/z.
            p0, p1 = dot3(d0, d1, d2, m[0], m[1], m[2]), dot3(d0, d1, d2, m[3], m[4], m[5])
            p2 = dot3(d0, d1, d2, m[6], m[7], m[8])
            p3, p4 = dot3(d3, d4, d5, m[0], m[1], m[2]), dot3(d3, d4, d5, m[3], m[4], m[5])
            p5 = dot3(d3, d4, d5, m[6], m[7], m[8])
            along_u = k[0] * (p0 * view[8] + p1 * view[9] + p2 * view[10])
            along_v = k[4] * (p3 * view[8] + p4 * view[9] + p5 * view[10])
            v_rz = k[0] * (p0 * view[0] + p1 * view[1] + p2 * view[2]) - along_u * u
            v_rz = v_rz + k[4] * (p3 * view[4] + p4 * view[5] + p5 * view[6]) - along_v * v
            v_u = select((free_u >= left) & (free_u <= right), zero - rz * along_u, zero)
            v_v = select((free_v >= top) & (free_v <= bottom), zero - rz * along_v, zero)
            # The centre itself: px = fx x / z + cx.
            v_u = v_u + k[0] * gather(g_means2d, row, end_row, 2, 0)
            v_v = v_v + k[4] * gather(g_means2d, row, end_row, 2, 1)
            vx, vy = v_u * rz, v_v * rz
            v_rz = v_rz + v_u * x + v_v * y
            vz = gather(g_depths, row, end_row, 1, 0) - v_rz * rz * rz
            vx, vy, vz = select(ok, vx, zero), select(ok, vy, zero), select(ok, vz, zero)
            vmx = vmx + vx * view[0] + vy * view[4] + vz * view[8]
            vmy = vmy + vx * view[1] + vy * view[5] + vz * view[9]
            vmz = vmz + vx * view[2] + vy * view[6] + vz * view[10]
        scatter(v_means, i, last, 3, 0, vmx)
        scatter(v_means, i, last, 3, 1, vmy)
        scatter(v_means, i, last, 3, 2, vmz)
        scatter(v_scales, i, last, 3, 0, dot3(t0, t3, t6, r[0], r[3], r[6]))
        scatter(v_scales, i, last, 3, 1, dot3(t1, t4, t7, r[1], r[4], r[7]))
        scatter(v_scales, i, last, 3, 2, dot3(t2, t5, t8, r[2], r[5], r[8]))
        t0, t3, t6 = t0 * s0, t3 * s0, t6 * s0
        t1, t4, t7 = t1 * s1, t4 * s1, t7 * s1
        t2, t5, t8 = t2 * s2, t5 * s2, t8 * s2
        w, x, y, z = q
        vw = 2.0 * dot3(x, y, z, t7 - t5, t2 - t6, t3 - t1)
        vx = 2.0 * (dot3(y, z, w, t1 + t3, t2 + t6, t7 - t5) - 2.0 * x * (t4 + t8))
        vy = 2.0 * (dot3(x, z, w, t1 + t3, t5 + t7, t2 - t6) - 2.0 * y * (t0 + t8))
        vz = 2.0 * (dot3(x, y, w, t2 + t6, t5 + t7, t3 - t1) - 2.0 * z * (t0 + t4))
        along = fma(w, vw, dot3(x, y, z, vx, vy, vz))
        scatter(v_quats, i, last, 4, 0, (vw - w * along) * inverse)
        scatter(v_quats, i, last, 4, 1, (vx - x * along) * inverse)
        scatter(v_quats, i, last, 4, 2, (vy - y * along) * inverse)
        scatter(v_quats, i, last, 4, 3, (vz - z * along) * inverse)

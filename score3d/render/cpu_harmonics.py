"""View-dependent colour from spherical harmonics, eight Gaussians at a time.

Real harmonics up to degree 3 in the order and with the signs of Kerbl et al. 2023 (Sloan 2013,
with the Condon-Shortley phase), evaluated along the unit vector from the camera to the Gaussian:
colour = max(sum_k Y_k c_k + 1/2, 0).
"""

import numpy as np
from numba import njit

from score3d.render.simd import fma, gather, load, scatter, select, splat, store, vmax, vsqrt

Y0 = 0.28209479177387814
Y1 = 0.4886025119029199
Y2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
Y3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154,
      1.445305721320277)  # fmt: skip


@njit(nogil=True, error_model="numpy")
def _direction(means, positions, camera, i, last):
    """Unit directions from the camera and the inverse distances."""
    x = gather(means, i, last, 3, 0) - positions[3 * camera]
    y = gather(means, i, last, 3, 1) - positions[3 * camera + 1]
    z = gather(means, i, last, 3, 2) - positions[3 * camera + 2]
    inverse = 1.0 / vmax(vsqrt(fma(x, x, fma(y, y, z * z))), 1e-12)
    return x * inverse, y * inverse, z * inverse, inverse


@njit(nogil=True, error_model="numpy")
def _basis(x, y, z, out):
    """Store the sixteen basis functions, eight lanes each, in ``out`` [128]; callers use as many
    as the degree asks for."""
    xx, yy, zz = x * x, y * y, z * z
    values = (
        splat(np.float32(Y0)), -Y1 * y, Y1 * z, -Y1 * x,
        Y2[0] * x * y, -Y2[0] * y * z, Y2[1] * (3.0 * zz - 1.0), -Y2[0] * x * z,
        Y2[2] * (xx - yy), -Y3[0] * y * (3.0 * xx - yy), Y3[1] * x * y * z,
        -Y3[2] * y * (5.0 * zz - 1.0), Y3[3] * z * (5.0 * zz - 3.0),
        -Y3[2] * x * (5.0 * zz - 1.0), Y3[4] * z * (xx - yy), -Y3[0] * x * (xx - 3.0 * yy),
    )  # fmt: skip
    for b in range(16):
        store(out, 8 * b, values[b])


@njit(nogil=True, error_model="numpy")
def _basis_gradient(x, y, z, w):
    """Gradient of sum_k w_k Y_k with respect to the direction; ``w`` [128] holds the w_k."""
    xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
    a, b, c = Y2
    p, q, r, s, t = Y3
    w4, w8, w10, w14 = load(w, 32), load(w, 64), load(w, 80), load(w, 112)
    w5, w7, w11, w13 = load(w, 40), load(w, 56), load(w, 88), load(w, 104)
    w9, w15, ring, cone = load(w, 72), load(w, 120), 5.0 * zz - 1.0, xx - yy
    gx = a * (y * w4 - z * w7) - Y1 * load(w, 24) + (2.0 * c) * x * w8 + q * yz * w10
    gx = gx - r * ring * w13 + (2.0 * t) * xz * w14 - (3.0 * p) * (2.0 * xy * w9 + cone * w15)
    gy = a * (x * w4 - z * w5) - Y1 * load(w, 8) - (2.0 * c) * y * w8 + q * xz * w10
    gy = gy - r * ring * w11 - (2.0 * t) * yz * w14 - (3.0 * p) * (cone * w9 - 2.0 * xy * w15)
    gz = Y1 * load(w, 16) - a * (y * w5 + x * w7) + (6.0 * b) * z * load(w, 48) + q * xy * w10
    gz = gz - (10.0 * r) * (yz * w11 + xz * w13) + (3.0 * s) * ring * load(w, 96) + t * cone * w14
    return gx, gy, gz


@njit(cache=True, nogil=True, error_model="numpy")
def harmonics_forward(
    means, coefficients, positions, extents, cameras, n, k, bases, per_camera, colors, first, end
):
    """Colours [C,N,3] of Gaussians ``first .. end - 1`` from [N,K,3] coefficients, or [C,N,K,3]
    when ``per_camera``; zero where culled."""
    last = end - 1
    basis = np.empty(16 * 8, np.float32)
    for camera in range(cameras):
        shift = camera * n if per_camera else 0
        for i in range(first, end, 8):
            x, y, z, _ = _direction(means, positions, camera, i, last)
            _basis(x, y, z, basis)
            seen = gather(extents, camera * n + i, camera * n + last, 2, 0) > 0.0
            for channel in range(3):
                value = splat(np.float32(0.5))
                for b in range(bases):
                    c = gather(coefficients, shift + i, shift + last, 3 * k, 3 * b + channel)
                    value = fma(load(basis, 8 * b), c, value)
                value = select(seen, vmax(value, 0.0), 0.0)
                scatter(colors, camera * n + i, camera * n + last, 3, channel, value)


@njit(cache=True, nogil=True, error_model="numpy")
def harmonics_backward(
    means, coefficients, positions, colors, cameras, n, k, bases, per_camera, g_colors,
    v_means, v_coefficients, first, end,
):  # fmt: skip
    """Add the gradients of Gaussians ``first .. end - 1``, over cameras in order, to zeroed
    ``v_means`` [N,3] and ``v_coefficients`` (shaped like ``coefficients``)."""
    last = end - 1
    basis = np.empty(16 * 8, np.float32)
    along = np.zeros(16 * 8, np.float32)
    for camera in range(cameras):
        shift = camera * n if per_camera else 0
        for i in range(first, end, 8):
            x, y, z, inverse = _direction(means, positions, camera, i, last)
            _basis(x, y, z, basis)
            row, end_row = camera * n + i, camera * n + last
            along[:] = 0.0
            for channel in range(3):
                # A culled splat and a clamped colour both have colour 0 and receive no gradient.
                g = gather(g_colors, row, end_row, 3, channel)
                g = select(gather(colors, row, end_row, 3, channel) > 0.0, g, 0.0)
                for b in range(bases):
                    column = 3 * b + channel
                    c = gather(coefficients, shift + i, shift + last, 3 * k, column)
                    store(along, 8 * b, fma(g, c, load(along, 8 * b)))
                    old = gather(v_coefficients, shift + i, shift + last, 3 * k, column)
                    new = fma(g, load(basis, 8 * b), old)
                    scatter(v_coefficients, shift + i, shift + last, 3 * k, column, new)
            gx, gy, gz = _basis_gradient(x, y, z, along)
            # Through the normalisation of the direction.
            radial = fma(gx, x, fma(gy, y, gz * z))
            gx, gy, gz = gx - radial * x, gy - radial * y, gz - radial * z
            scatter(v_means, i, last, 3, 0, fma(gx, inverse, gather(v_means, i, last, 3, 0)))
            scatter(v_means, i, last, 3, 1, fma(gy, inverse, gather(v_means, i, last, 3, 1)))
            scatter(v_means, i, last, 3, 2, fma(gz, inverse, gather(v_means, i, last, 3, 2)))

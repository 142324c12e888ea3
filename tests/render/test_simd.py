"""The vector type: arithmetic, tails, reductions and the exponential."""

import numpy as np
import pytest
from numba import njit

from score3d.render import simd

RNG = np.random.default_rng(0)


@njit
def _exp2(values, out):
    for i in range(0, values.size, 8):
        simd.store(out, i, simd.exp2(simd.load(values, i)))


def test_exp2_is_accurate_where_alpha_is_decided():
    values = np.linspace(-30, 10, 8000).astype(np.float32)
    out = np.empty_like(values)
    _exp2(values, out)
    error = np.abs(out / np.exp2(values.astype(np.float64)) - 1)
    assert error.max() < 3e-7


def test_exp2_of_very_negative_values_is_tiny_and_finite():
    values = np.array([-64, -65, -100, -1e4, -1e30, -np.inf, np.nan, -63], np.float32)
    out = np.empty_like(values)
    _exp2(values, out)
    assert np.isfinite(out).all()
    assert (out < 2e-19).all()


@njit
def _arithmetic(a, b, out):
    x, y = simd.load(a, 0), simd.load(b, 0)
    simd.store(out, 0, simd.fma(x, y, 2.0 * x) - y / 4.0)
    simd.store(out, 8, simd.select((x < y) & (y >= 0.0), x, 1.0))
    simd.store(out, 16, simd.keep((x > y) | (x <= -1.0), y))
    simd.store(out, 24, simd.vmin(simd.vmax(x, y), 0.5) + simd.vabs(x))
    simd.store(out, 32, simd.vceil(x) * simd.vsqrt(simd.vabs(y)))
    simd.store(out, 40, simd.dot3(x, y, 1.0, y, x, 3.0) + simd.iota())
    return simd.count(x < y), simd.some(x > 1e9), simd.some(x < 1e9)


def test_lanes_do_what_numpy_does():
    a, b = RNG.standard_normal((2, 8)).astype(np.float32)
    out = np.empty(48, np.float32)
    assert _arithmetic(a, b, out) == ((a < b).sum(), False, True)
    expected = [
        a * b + 2 * a - b / 4,
        np.where((a < b) & (b >= 0), a, 1),
        np.where((a > b) | (a <= -1), b, 0),
        np.minimum(np.maximum(a, b), 0.5) + np.abs(a),
        np.ceil(a) * np.sqrt(np.abs(b)),
        2 * a * b + 3 + np.arange(8),
    ]
    np.testing.assert_allclose(out.reshape(6, 8), expected, rtol=1e-6, atol=1e-6)


@njit
def _totals(values, out):
    a, b, c, d = (simd.load(values, 0), simd.load(values, 8), simd.load(values, 16),
                  simd.load(values, 24))  # fmt: skip
    e, f, g, h = (simd.load(values, 32), simd.load(values, 40), simd.load(values, 48),
                  simd.load(values, 56))  # fmt: skip
    simd.store(out, 0, simd.totals(a, b, c, d, e, f, g, h))


def test_totals_keeps_the_order_of_its_arguments():
    values = RNG.standard_normal((8, 8)).astype(np.float32)
    out = np.empty(8, np.float32)
    _totals(values.reshape(-1), out)
    np.testing.assert_allclose(out, values.sum(1), rtol=1e-5, atol=1e-6)


@njit
def _double_column(array, out, rows):
    for i in range(0, rows, 8):
        simd.scatter(out, i, rows - 1, 2, 1, 2.0 * simd.gather(array, i, rows - 1, 3, 2))


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 16, 21])
def test_tails_stay_inside_the_array(rows):
    array = RNG.standard_normal((rows, 3)).astype(np.float32)
    out = np.full((rows + 8, 2), -1, np.float32)
    _double_column(array.reshape(-1), out.reshape(-1), rows)
    np.testing.assert_array_equal(out[:rows, 1], 2 * array[:, 2])
    assert (out[rows:] == -1).all()
    assert (out[:, 0] == -1).all()

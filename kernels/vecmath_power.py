"""Powers and roots: power, cbrt, rsqrt, hypot.

power is 2^(y log2 x). float32 takes the logarithm in float64; float64 takes it as a sum of two,
from the series of artanh in vecmath_log with the first terms carried in two.
"""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np

from . import vecmath_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_instructions import (
    F64,
    absolute,
    copysign,
    fast_two_sum,
    floor,
    fma,
    horner,
    nearest,
    power_of_two,
    quotient,
    scaled,
    split,
    sqrt,
    two_product,
    where,
)
from .vecmath_log import INVERSE_LN2, logarithms

THIRD = (1 / 3, 1.850371707708594e-17)


@cache
def magnitude_f32():
    """|x|^y of float32 for |x| > 0."""
    log2_wide, exp2_wide = coefficients.LOG2_WIDE["f32"], coefficients.EXP2_WIDE["f32"]
    top = 300.0

    @vectorisable
    def magnitude(x, y):
        m, k, _ = split(np.float64(x))
        s = (m - 1.0) / (m + 1.0)
        logarithm = fma(s, horner(s * s, log2_wide), k)
        logarithm = where(x > np.float32(0), logarithm, -np.inf)
        logarithm = where(x < np.float32(np.inf), logarithm, np.float64(x))
        exponent = np.float64(y) * logarithm
        exponent = where(exponent > top, top, where(exponent < -top, -top, exponent))
        n, i = nearest(exponent, 1.0)
        return np.float32(horner(exponent - n, exp2_wide) * power_of_two(i))

    return magnitude


@cache
def magnitude_f64():
    """|x|^y of float64 for |x| > 0."""
    log_tail = coefficients.LOG_TAIL["f64"]
    exp2_tail = coefficients.EXP2["f64"]
    normalised = logarithms(F64).normalised
    third, third_low = THIRD
    scale, scale_low = (2 * part for part in INVERSE_LN2)
    ln2 = math.log(2)
    top = 1100.0

    @vectorisable
    def log2_parts(x):
        """log2 x as high + low."""
        f, k = normalised(x)
        d, d_low = fast_two_sum(2.0, f)
        s, s_low = quotient(f, 0.0, d, d_low)
        z, z_low = two_product(s, s)
        z_low = fma(2.0 * s, s_low, z_low)
        t = horner(z, log_tail)
        product, product_low = two_product(z, t)
        u, u_low = fast_two_sum(third, product)
        u_low += fma(z_low, t, product_low) + third_low
        v, v_low = two_product(z, u)
        v_low += fma(z, u_low, z_low * u)
        w, w_low = two_product(s, v)
        w_low += fma(s, v_low, s_low * v)
        artanh, artanh_low = fast_two_sum(s, w)
        artanh_low += s_low + w_low
        value, value_low = two_product(artanh, scale)
        value_low += fma(artanh, scale_low, artanh_low * scale)
        high, low = fast_two_sum(k, value)
        return fast_two_sum(high, low + value_low)

    @vectorisable
    def magnitude(x, y):
        logarithm, logarithm_low = log2_parts(x)
        logarithm = where(x > 0.0, logarithm, -np.inf)
        logarithm = where(x < np.inf, logarithm, x)
        e, e_low = two_product(y, logarithm)
        e_low = fma(y, logarithm_low, e_low)
        e_low = where(absolute(e) < top, e_low, 0.0)
        e = where(e > top, top, where(e < -top, -top, e))
        n, i = nearest(e, 1.0)
        r, r_low = fast_two_sum(e - n, e_low)
        return scaled(1.0 + fma(r, horner(r, exp2_tail), r_low * ln2), i)

    return magnitude


@cache
def powers(form):
    """The functions of this module in one format."""
    real = form.real
    zero, half, one, two, three = form.reals((0, 0.5, 1, 2, 3))
    infinity, nan = form.infinity, form.nan
    smallest = form.smallest_normal
    lift_bits = 3 * (form.fraction_bits // 3 + 1)
    lift, lift_bits = real(2.0**lift_bits), real(lift_bits)
    start = form.reals(coefficients.CBRT[form.name])
    third, two_ninths = form.reals((1 / 3, 2 / 9))
    root, inverse_root = form.reals((2 ** (1 / 3), 2 ** (-1 / 3)))
    # hypot scales squares that would leave the normal range.
    half_range = form.bias // 2
    top, bottom = real(2.0 ** (half_range - 10)), real(2.0 ** (10 - half_range))
    drop = real(2.0 ** -(half_range + 17))
    raised = real(2.0 ** (half_range + form.fraction_bits + 24))
    magnitude = magnitude_f32() if form.name == "f32" else magnitude_f64()

    @vectorisable
    def power(x, y):
        has_fraction, is_odd = floor(y) != y, floor(y) == y
        is_odd &= floor(half * y) != half * y
        value = magnitude(absolute(x), y)
        value = where((absolute(x) == one) & (absolute(y) == infinity), one, value)
        value = where(is_odd, copysign(value, x), value)
        value = where((x < zero) & (x > -infinity) & has_fraction, nan, value)
        return where((y == zero) | (x == one), one, value)

    @vectorisable
    def rsqrt(x):
        """1/√x, improved by a Newton step on its exact residual."""
        y = one / sqrt(x)
        product, product_low = two_product(x, y)
        residual = fma(-product_low, y, fma(-product, y, one))
        return where(absolute(residual) < half, fma(half * y, residual, y), y)

    @vectorisable
    def cbrt(x):
        """a^(-1/3) by a polynomial and a third-order step, then one Newton step for a^(1/3)."""
        y = absolute(x)
        subnormal = y < smallest
        m, k, _ = split(where(subnormal, y * lift, y))
        k -= where(subnormal, lift_bits, zero)
        n, i = nearest(k, third)
        r = k - three * n
        a = m * where(r > zero, two, where(r < zero, half, one))
        y = horner(m, start) * where(r > zero, inverse_root, where(r < zero, root, one))
        e = fma(-a * y, y * y, one)
        y = fma(y * e, fma(e, two_ninths, third), y)
        c = a * y * y
        square, square_low = two_product(c, c)
        rest = fma(-c, square_low, fma(-c, square, a))
        value = copysign(fma(rest * third, y * y, c) * power_of_two(i), x)
        return where((absolute(x) < infinity) & (x != zero), value, x)

    @vectorisable
    def hypot(x, y):
        x, y = absolute(x), absolute(y)
        larger, smaller = where(x > y, x, y), where(x > y, y, x)
        scale = where(larger > top, drop, where(larger < bottom, raised, one))
        back = where(larger > top, one / drop, where(larger < bottom, one / raised, one))
        a, a_low = two_product(larger * scale, larger * scale)
        b, b_low = two_product(smaller * scale, smaller * scale)
        square, low = fast_two_sum(a, b)
        length = sqrt(square)
        rest = fma(-length, length, square) + (low + (a_low + b_low))
        value = (length + where(length > zero, half * rest / length, zero)) * back
        return where((x == infinity) | (y == infinity), infinity, value)

    return SimpleNamespace(**locals())

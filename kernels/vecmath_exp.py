"""Exponentials: exp, expm1, exp2, sinh, cosh, tanh, sigmoid.

All reduce x = i·ln 2 + r, |r| ≤ ½ ln 2, with ln 2 in two parts (Cody and Waite, 1980), and use a
minimax polynomial in r. Where a plain sum would lose more than half a unit in the last place, the
rounding error of its leading terms is carried along.
"""

import math
from functools import cache
from types import SimpleNamespace

from . import vecmath_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_instructions import (
    absolute,
    copysign,
    fast_two_sum,
    fma,
    horner,
    nearest,
    power_of_two,
    scaled,
    two_sum,
    where,
)

LN2 = (0.6931471805599453, 2.3190468138462996e-17)


@cache
def exponentials(form):
    """The functions of this module in one format."""
    real, integer = form.real, form.integer
    zero, half, one, two = form.reals((0, 0.5, 1, 2))
    tiny = form.tiny
    inverse_ln2 = real(1 / math.log(2))
    # The product of the first part and any exponent is exact.
    ln2_high, ln2_low = form.pair(*LN2, bits=form.fraction_bits + 1 - len(f"{form.bias:b}") - 1)
    exp_tail = form.reals(coefficients.EXP[form.name])
    exp_all = (one, one, *exp_tail)
    exp2_tail = form.reals(coefficients.EXP2[form.name])
    sinh_tail = form.reals(coefficients.SINH[form.name])
    cosh_tail = form.reals(coefficients.COSH[form.name])
    tanh_tail = form.reals(coefficients.TANH[form.name])
    tanh_straight = real(0.55)
    i_one, i_two = integer(1), integer(2)
    i_negligible = integer(2 * form.fraction_bits)  # 2^-i is lost beside 2^i
    # exp overflows, and underflows to zero, before these.
    exp_top = real((form.bias + 1.4) * math.log(2))
    exp_bottom = real(-(form.bias + form.fraction_bits + 2) * math.log(2))
    exp2_top, exp2_bottom = real(form.bias + 1.4), real(-(form.bias + form.fraction_bits + 2))
    sinh_top = real((form.bias + 2.4) * math.log(2))
    saturated = real((form.fraction_bits + 4) * math.log(2))

    @vectorisable
    def reduced(x):
        """r, its rounding error, and i: x = i·ln 2 + r."""
        n, i = nearest(x, inverse_ln2)
        exact = fma(n, -ln2_high, x)
        r = fma(n, -ln2_low, exact)
        return r, fma(n, -ln2_low, exact - r), i

    @vectorisable
    def exp_parts(x):
        """exp x = 2^i (high + low)."""
        r, r_low, i = reduced(x)
        high, low = fast_two_sum(one, r)
        high, low = fast_two_sum(high, low + fma(r * r, horner(r, exp_tail), r_low))
        return high, low, i

    @vectorisable
    def exp(x):
        x = where(x > exp_top, exp_top, where(x < exp_bottom, exp_bottom, x))
        r, _, i = reduced(x)
        return scaled(horner(r, exp_all), i)

    @vectorisable
    def exp2(x):
        x = where(x > exp2_top, exp2_top, where(x < exp2_bottom, exp2_bottom, x))
        n, i = nearest(x, one)
        r = x - n
        return scaled(fma(r, horner(r, exp2_tail), one), i)

    @vectorisable
    def expm1_parts(x):
        """½ expm1 x as high + low; halved, since 2^i overflows before the result does."""
        r, r_low, i = reduced(where(x > exp_top, exp_top, where(x < -saturated, -saturated, x)))
        power = power_of_two(integer(i - i_one))
        whole, whole_low = two_sum(power, -half)
        high, low = fast_two_sum(whole, power * r)
        return high, fma(power, fma(r * r, horner(r, exp_tail), r_low), low + whole_low)

    @vectorisable
    def expm1(x):
        high, low = expm1_parts(x)
        return where(absolute(x) < tiny, x, two * (high + low))

    @vectorisable
    def sigmoid_of_negative(x):
        """s = e/(1 + e), e = exp x, for x ≤ 0, as e (1 - s): the quotient's errors count less."""
        e = exp(x)
        return fma(-e, e / (one + e), e)

    @vectorisable
    def tanh(x):
        """1 - 2 s(-2|x|), s the sigmoid; a polynomial where that would cancel."""
        z = x * x
        near = fma(x * z, horner(z, tanh_tail), x)
        far = one - two * sigmoid_of_negative(-absolute(two * x))
        # The sign last: of -0 the polynomial makes 0.
        return copysign(where(absolute(x) < tanh_straight, near, far), x)

    @vectorisable
    def angle_sum(a, a_low, b, r, sinh_low, cosh_low):
        """(a + a_low)(1 + cosh_low) + b (r + sinh_low), halved back."""
        product = b * r
        total, low = fast_two_sum(a, product)
        low += fma(b, r, -product) + a_low
        return two * (total + (low + fma(b, sinh_low, a * cosh_low)))

    @vectorisable
    def hyperbolic_parts(x):
        """½ sinh(i ln 2) and ½ cosh(i ln 2) in two parts, then r, sinh r - r and cosh r - 1."""
        r, r_low, i = reduced(where(x > sinh_top, sinh_top, x))
        up = power_of_two(integer(i - i_two))
        down = where(i > i_negligible, zero, power_of_two(integer(-i - i_two)))
        odd, odd_low = fast_two_sum(up, -down)
        even, even_low = fast_two_sum(up, down)
        z = r * r
        sinh_low = fma(r * z, horner(z, sinh_tail), r_low)
        return odd, odd_low, even, even_low, r, sinh_low, z * horner(z, cosh_tail)

    @vectorisable
    def sinh(x):
        odd, odd_low, even, _, r, sinh_low, cosh_low = hyperbolic_parts(absolute(x))
        value = angle_sum(odd, odd_low, even, r, sinh_low, cosh_low)
        return where(absolute(x) < tiny, x, copysign(value, x))

    @vectorisable
    def cosh(x):
        odd, _, even, even_low, r, sinh_low, cosh_low = hyperbolic_parts(absolute(x))
        return angle_sum(even, even_low, odd, r, sinh_low, cosh_low)

    @vectorisable
    def exp_of_negative(x):
        """exp x for x ≤ 0 as high + low."""
        high, low, i = exp_parts(where(x < exp_bottom, exp_bottom, x))
        return scaled(high, i), scaled(low, i)

    @vectorisable
    def sigmoid(x):
        """s(x) = 1 - s(-x), from the smaller of the two."""
        s = sigmoid_of_negative(-absolute(x))
        return where(x < zero, s, one - s)

    return SimpleNamespace(**locals())

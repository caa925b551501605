"""Trigonometric functions: sin, cos, tan, arcsin, arccos, arctan, arctan2.

sin, cos and tan subtract the nearest multiple of π/2 given in three parts, the first product exact
by fused multiply-add (Cody and Waite, 1980), and hold up to a stated bound: beyond it the multiple
itself would need more parts of π. They begin alike, so that a loop with sin x and cos x does that
once.
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
    is_odd,
    nearest,
    quotient,
    sqrt,
    two_product,
    two_sum,
    where,
)

PI = (math.pi, 1.2246467991473532e-16, -2.9947698097183397e-33)
HALF_PI = tuple(part / 2 for part in PI)

# Multiples of π/2 up to these keep what is left of x right.
BOUND = {"f32": 2.0**21, "f64": 2.0**30}


@cache
def circular(form):
    """sin, cos and tan in one format, the tests of their bound, and the scalar ones beyond it."""
    sine, cosine = (form.reals(table[form.name]) for table in (coefficients.SIN, coefficients.COS))
    half_pi = form.real(HALF_PI[0])
    half_pi_low, half_pi_lowest = _rest_of_half_pi(form)
    inverse_half_pi, half, one = form.reals((2 / math.pi, 0.5, 1))
    tiny, bound, i_one = form.tiny, form.real(BOUND[form.name]), form.integer(1)

    @vectorisable
    def parts(x):
        """sin r and cos r as sums of two, and i, where x = i·π/2 + r."""
        n, i = nearest(x, inverse_half_pi)
        exact = fma(n, -half_pi, x)
        product, product_low = two_product(n, -half_pi_low)
        r, r_low = two_sum(exact, product)
        r_low = fma(n, -half_pi_lowest, r_low + product_low)
        z = r * r
        h = half * z
        s_low = fma(r * z, horner(z, sine), fma(-h, r_low, r_low))
        c, c_low = fast_two_sum(one, -h)
        c_low += fma(z * z, horner(z, cosine), fma(-r, r_low, half * fma(-r, r, z)))
        return r, s_low, c, c_low, i

    @vectorisable
    def sin(x):
        s, s_low, c, c_low, i = parts(x)
        value = where(is_odd(i), c + c_low, s + s_low)
        value = where(is_odd(i >> i_one), -value, value)
        return where(absolute(x) < tiny, x, value)

    @vectorisable
    def cos(x):
        s, s_low, c, c_low, i = parts(x)
        value = where(is_odd(i), s + s_low, c + c_low)
        return where(is_odd((i + i_one) >> i_one), -value, value)

    @vectorisable
    def tan(x):
        s, s_low, c, c_low, i = parts(x)
        odd = is_odd(i)
        d, d_low = fast_two_sum(where(odd, s, c), where(odd, s_low, c_low))
        t, t_low = quotient(where(odd, -c, s), where(odd, -c_low, s_low), d, d_low)
        return where(absolute(x) < tiny, x, t + t_low)

    @vectorisable
    def inside(x):
        return (absolute(x) <= bound) | (x != x)

    @vectorisable
    def sin_slow(x):
        return math.sin(x)

    @vectorisable
    def cos_slow(x):
        return math.cos(x)

    @vectorisable
    def tan_slow(x):
        return math.tan(x)

    sin_inside = cos_inside = tan_inside = inside
    return SimpleNamespace(**locals())


def _rest_of_half_pi(form):
    """π/2 less its nearest number, as a sum of two."""
    rest = HALF_PI[0] - float(form.real(HALF_PI[0]))
    return form.pair(rest, HALF_PI[1]) if rest else form.reals(HALF_PI[1:])


@cache
def inverse_circular(form):
    """arcsin, arccos, arctan and arctan2 in one format."""
    real = form.real
    zero, half, one, two = form.reals((0, 0.5, 1, 2))
    tiny, nan, infinity = form.tiny, form.nan, form.infinity
    # arctan2 scales its operands where sums would overflow or exact residuals underflow.
    moderate = real(2.0 ** (form.bias // 2))
    near_overflow = real(2.0 ** (form.bias - 3))
    lift, drop = real(2.0 ** (form.bias // 2 - 2)), real(2.0**-4)
    huge = real(2.0 ** (form.fraction_bits + 10))
    arctan_tail = form.reals(coefficients.ARCTAN[form.name])
    arcsin_tail = form.reals(coefficients.ARCSIN[form.name])
    half_pi, half_pi_low = form.pair(*HALF_PI[:2])
    quarter_pi, quarter_pi_low = form.pair(HALF_PI[0] / 2, HALF_PI[1] / 2)
    pi, pi_low = form.pair(*PI[:2])
    first, second = real(math.tan(math.pi / 8)), real(math.tan(3 * math.pi / 8))

    @vectorisable
    def octant(a, b):
        """arctan(a/b) for a ≥ 0, b > 0 as high + low, by a/b, (a - b)/(a + b) or -b/a."""
        steep, middle = a > second * b, a > first * b
        total, total_low = two_sum(a, b)
        difference, difference_low = two_sum(a, -b)
        t, t_low = quotient(
            where(steep, -b, where(middle, difference, a)),
            where(steep, zero, where(middle, difference_low, zero)),
            where(steep, a, where(middle, total, b)),
            where(steep, zero, where(middle, total_low, zero)),
        )
        base = where(steep, half_pi, where(middle, quarter_pi, zero))
        base_low = where(steep, half_pi_low, where(middle, quarter_pi_low, zero))
        z = t * t
        high, low = fast_two_sum(base, t)
        return high, low + (fma(t * z, horner(z, arctan_tail), t_low) + base_low)

    @vectorisable
    def arctan(x):
        y = absolute(x)
        high, low = octant(where(y > huge, huge, y), one)
        return where(y < tiny, x, copysign(high + low, x))

    @vectorisable
    def arctan2(y, x):
        a, b = absolute(y), absolute(x)
        a_infinite, b_infinite = a == infinity, b == infinity
        either = a_infinite | b_infinite
        a = where(either, where(a_infinite, one, zero), a)
        b = where(either, where(b_infinite, one, zero), b)
        larger = where(a > b, a, b)
        scale = where(larger < moderate, lift, where(larger > near_overflow, drop, one))
        high, low = octant(a * scale, where(larger > zero, b * scale, one))
        other, other_low = fast_two_sum(pi, -high)
        backwards = copysign(one, x) < zero
        angle = where(backwards, other + (other_low + (pi_low - low)), high + low)
        return where((x == x) & (y == y), copysign(angle, y), nan)

    @vectorisable
    def arcsin_parts(x):
        """arcsin x, x ≤ ½, or arcsin √((1 - x)/2), x > ½, as high + low, and which it is."""
        beyond = x > half
        z = where(beyond, half - half * x, x * x)
        root = sqrt(z)
        root_low = where(root > zero, half * fma(-root, root, z) / root, zero)
        high = where(beyond, root, x)
        low = fma(high * z, horner(z, arcsin_tail), where(beyond, root_low, zero))
        return high, low, beyond

    @vectorisable
    def arcsin(x):
        high, low, beyond = arcsin_parts(absolute(x))
        rest, rest_low = fast_two_sum(half_pi, -two * high)
        value = where(beyond, rest + (rest_low + (half_pi_low - two * low)), high + low)
        return where(absolute(x) <= one, copysign(value, x), nan)

    @vectorisable
    def arccos(x):
        high, low, beyond = arcsin_parts(absolute(x))
        middle, middle_low = fast_two_sum(half_pi, -x)
        middle += middle_low + (half_pi_low - copysign(low, x))
        left, left_low = fast_two_sum(pi, -two * high)
        left += left_low + (pi_low - two * low)
        value = where(beyond, where(x < zero, left, two * (high + low)), middle)
        return where(absolute(x) <= one, value, nan)

    return SimpleNamespace(**locals())

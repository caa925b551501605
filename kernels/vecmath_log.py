"""Logarithms: log, log2, log10, log1p, softplus, arcsinh, arccosh, arctanh.

All write x = m·2^k, m in [√½, √2), and use log m = 2 artanh s, s = (m - 1)/(m + 1), in the form of
fdlibm (Ng, 1993): with f = m - 1 and h = ½f², log m = f - (h - s (h + R(s²))).
"""

from functools import cache
from types import SimpleNamespace

from . import vecmath_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_exp import LN2, exponentials
from .vecmath_instructions import (
    absolute,
    copysign,
    fast_two_sum,
    fma,
    horner,
    power_of_two,
    quotient,
    split,
    sqrt,
    two_product,
    two_sum,
    where,
)

LOG10_2 = (0.3010299956639812, -2.8037281277851704e-18)
INVERSE_LN2 = (1.4426950408889634, 2.0355273740931033e-17)
INVERSE_LN10 = (0.4342944819032518, 1.098319650216765e-17)


@cache
def logarithms(form):
    """The functions of this module in one format."""
    real, integer = form.real, form.integer
    zero, half, one, two = form.reals((0, 0.5, 1, 2))
    small = real(2.0 ** -(form.fraction_bits // 2 + 2))  # there arcsinh x and arctanh x round to x
    tiny, infinity, nan = form.tiny, form.infinity, form.nan
    smallest = form.smallest_normal
    lift_bits = real(form.fraction_bits + 2)
    lift = real(2.0 ** (form.fraction_bits + 2))
    exponent_bits = len(f"{form.bias:b}") + 1
    ln2_high, ln2_low = form.pair(*LN2, bits=form.fraction_bits + 1 - exponent_bits)
    log_tail = form.reals(coefficients.LOG[form.name])
    large = real(2.0 ** (form.fraction_bits // 2 + 4))  # there √(x² ± 1) rounds to x
    i_one = integer(1)
    root_two = real(2**0.5)
    straight = real(float(lift_bits) * LN2[0])  # beyond, softplus x rounds to x
    exp_of_negative = exponentials(form).exp_of_negative

    @vectorisable
    def normalised(x):
        """m - 1 and k, subnormals included."""
        subnormal = x < smallest
        m, k, _ = split(where(subnormal, x * lift, x))
        return m - one, k - where(subnormal, lift_bits, zero)

    @vectorisable
    def series(f):
        """h and s (h + R): log(1 + f) = f - (h - s (h + R))."""
        s = f / (two + f)
        z = s * s
        h = half * f * f
        return h, s * fma(z, horner(z, log_tail), h)

    @vectorisable
    def at_the_edges(x, value):
        """The value of a logarithm, or what it is for x ≤ 0, ∞ or not a number."""
        value = where(x < infinity, value, x)
        return where(x > zero, value, where(x == zero, -infinity, nan))

    @vectorisable
    def log(x):
        f, k = normalised(x)
        h, t = series(f)
        return at_the_edges(x, fma(k, ln2_high, f - (h - fma(k, ln2_low, t))))

    def to_base(unit, inverse):
        unit_high, unit_low = form.pair(*unit, bits=form.fraction_bits + 1 - exponent_bits)
        inverse_high, inverse_low = form.pair(*inverse)

        @vectorisable
        def logarithm(x):
            f, k = normalised(x)
            h, t = series(f)
            high, low = fast_two_sum(f, -h)
            low += t - fma(half * f, f, -h)
            value, value_low = two_product(high, inverse_high)
            value_low += fma(low, inverse_high, high * inverse_low)
            whole, rest = fast_two_sum(k * unit_high, value)
            return at_the_edges(x, whole + fma(k, unit_low, rest + value_low))

        return logarithm

    log2 = to_base((1.0, 0.0), INVERSE_LN2)
    log10 = to_base(LOG10_2, INVERSE_LN10)

    @vectorisable
    def log_of_sum_parts(u, low):
        """log(u + low) in three parts, u ≥ ½ far above low; accurate where u is near 1."""
        m, k, i = split(u)
        scale = power_of_two(integer(i_one - i))  # 2·2^-i, for 2^-i may be subnormal
        f, f_low = fast_two_sum(m - one, half * low * scale)
        h, t = series(f)
        t += fma(-f, f_low, f_low)
        return k, f, h - fma(k, ln2_low, t)

    @vectorisable
    def log_of_sum(u, low):
        k, f, rest = log_of_sum_parts(u, low)
        return fma(k, ln2_high, f - rest)

    @vectorisable
    def log1p(x):
        u, low = two_sum(one, x)
        value = where(x < infinity, log_of_sum(u, low), x)
        value = where(u > zero, value, where(u == zero, -infinity, nan))
        return where(absolute(x) < tiny, x, value)

    @vectorisable
    def softplus(x):
        """max(x, 0) + log(1 + e), e = exp(-|x|)."""
        e, e_low = exp_of_negative(-absolute(x))
        u, low = fast_two_sum(one, e)
        halved = u > root_two
        scale = where(halved, half, one)
        f, f_low = fast_two_sum(fma(u, scale, -one), (low + e_low) * scale)
        h, t = series(f)
        t += fma(-f, f_low, f_low) + where(halved, ln2_low, zero)
        whole, whole_low = fast_two_sum(where(halved, ln2_high, zero), where(x > zero, x, zero))
        value = whole + (f - (h - (t + whole_low)))
        value = where(x > straight, x, value)
        return where(x < -straight, e + e_low, value)

    @vectorisable
    def log_with_root(x, square, square_low):
        """log(x + √(square + square_low)) for x ≥ 0, and log 2x where x is large."""
        root = sqrt(square)
        rest = fma(-root, root, square) + square_low
        root_low = where(root > zero, half * rest / root, zero)
        u, low = two_sum(x, root)
        is_large = x > large
        u, low = where(is_large, x, u), where(is_large, zero, low + root_low)
        k, f, rest = log_of_sum_parts(u, low)
        k += where(is_large, one, zero)
        rest -= where(is_large, ln2_low, zero)
        return where(x < infinity, fma(k, ln2_high, f - rest), x)

    @vectorisable
    def squared_plus(x, unit):
        """x² + unit as a sum of two."""
        square, square_low = two_product(x, x)
        total, low = two_sum(square, unit)
        return total, low + square_low

    @vectorisable
    def arcsinh(x):
        y = absolute(x)
        square, square_low = squared_plus(where(y > large, one, y), one)
        return where(y < small, x, copysign(log_with_root(y, square, square_low), x))

    @vectorisable
    def arccosh(x):
        square, square_low = squared_plus(where(x > large, one, x), -one)
        return where(x >= one, log_with_root(x, square, square_low), nan)

    @vectorisable
    def arctanh(x):
        y = absolute(x)
        a, a_low = fast_two_sum(one, y)
        b, b_low = fast_two_sum(one, -y)
        q, q_low = quotient(a, a_low, b, b_low)
        u, low = fast_two_sum(q, q_low)
        value = where(y < one, half * log_of_sum(u, low), where(y == one, infinity, nan))
        return where(y < small, x, copysign(value, x))

    return SimpleNamespace(**locals())

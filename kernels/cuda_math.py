"""Functions of float32 for kernels of a GPU, where these cost fewer machine instructions than
libdevice's, or share more of them.

They are right to 2 units in the last place over their whole domain, subnormal numbers and special
values included (benchmarks/results/cuda_math.md, by `python -m benchmarks.cuda_math`), with the
hardware's approximations as wrong as the PTX ISA allows; sigmoid and softplus, of which exp is
libdevice's, to 2.6 where that is a whole unit wrong. Equal lines of a kernel are computed once:
sin x and cos x have their reduction in common, tanh x and the logistic function of 2x their
exponential, and quotients by one number its reciprocal. So they begin alike, word by word.

They are straight-line code in the language of `codegen.cuda.inlining`, which writes their source
into kernels. The coefficients are vecmath's (`python -m benchmarks.remez`).
"""

import math

import numpy as np

from . import vecmath_coefficients as coefficients
from .cuda_instructions import (
    absolute,
    bit_is_clear,
    copysign,
    exp,
    fma,
    horner,
    larger_number,
    power_near,
    rarely_in_f64,
    rcp_approx,
    rint,
    root,
    rsqrt_approx,
    sqrt_approx,
    where,
)


def _reals(values):
    return tuple([np.float32(x) for x in values])


SINE, COSINE = _reals(coefficients.SIN["f32"]), _reals(coefficients.COS["f32"])
TANH, LOG1P_UNIT = _reals(coefficients.TANH["f32"]), _reals(coefficients.LOG1P_UNIT["f32"])
LOG1P_NEAR = _reals(coefficients.LOG1P_NEAR["f32"])
ZERO, QUARTER, HALF, ONE, TWO = _reals((0, 0.25, 0.5, 1, 2))

# sin and cos: x = n π/2 + r, with π/2 in three parts, of which the product of n and the first is
# exact by fused multiply-add (Cody and Waite, 1980).
BOUND = np.float32(2.0**17)
"""Up to here n and the parts of π/2 keep r right to one unit in the last place."""
INVERSE_HALF_PI = np.float32(2 / math.pi)
HALF_PI, HALF_PI_LOW, HALF_PI_LOWEST = _reals(
    (1.570796251296997, 7.549789415861596e-08, 5.390302953474238e-15)
)
# All are positive, so that -0 stays what it is.
MAGIC = np.float32(1.5 * 2**23)
"""Numbers near it have their last bit at 1, so that a sum with it is rounded to a whole number,
whose lowest bits are the sum's."""
# 2/π in parts of 24 bits (Payne and Hanek, 1983): the product with a float32 is exact in float64.
P0, P1, P2, P3 = (
    0.6366197466850281,
    2.5682552973194106e-08,
    2.937095214933759e-16,
    3.2543794001732456e-23,
)
P4, P5, P6 = 1.2089613708828537e-29, 5.667556795740071e-37, 2.6204031112097215e-44
P7 = 7.053957680880629e-52
FOUR, ROUNDER, WIDE_HALF_PI = 4.0, 1.5 * 2.0**23, math.pi / 2


def turns(x, part):
    """The product modulo 4, between -2 and 2: exact, as the product is."""
    y = x * part
    return fma(-FOUR, rint(QUARTER * y), y)


def reduced_large(x):
    """r and n + ROUNDER, in float64, for a float32 of any size."""
    a = turns(x, P0)
    b = turns(x, P1)
    c = turns(x, P2)
    d = turns(x, P3)
    e = turns(x, P4)
    f = turns(x, P5)
    rest = turns(x, P6) + turns(x, P7)
    n = rint(a + (b + (c + (d + (e + (f + rest))))))
    # Sums of the first ones that are not zero are exact. What is left after them may be small.
    r = (((((a - n) + b) + c) + d) + e) + (f + rest)
    return r * WIDE_HALF_PI, n + ROUNDER


def reduced(x):
    """r and n + MAGIC."""
    t = fma(x, INVERSE_HALF_PI, MAGIC)
    n = t - MAGIC
    r = fma(n, -HALF_PI, x)
    r = fma(n, -HALF_PI_LOW, r)
    r = fma(n, -HALF_PI_LOWEST, r)
    r, t = rarely_in_f64(x, BOUND, reduced_large, (r, t))
    return r, t


def sine_and_cosine(x):
    """sin r and cos r, and n + MAGIC."""
    r, t = reduced(x)
    z = r * r
    s = fma(fma(r, z, ZERO), horner(z, SINE), r)
    c = fma(z, fma(z, horner(z, COSINE), -HALF), ONE)
    return s, c, t


def sin(x):
    s, c, t = sine_and_cosine(x)
    value = where(bit_is_clear(t, 0), s, c)
    return where(bit_is_clear(t, 1), value, -value)


def cos(x):
    s, c, t = sine_and_cosine(x)
    value = where(bit_is_clear(t, 0), c, -s)
    return where(bit_is_clear(t, 1), value, -value)


def sin_of_small(x):
    """sin x for |x| ≤ π/4."""
    z = x * x
    return fma(fma(x, z, ZERO), horner(z, SINE), x)


def cos_of_small(x):
    """cos x for |x| ≤ π/4."""
    z = x * x
    return fma(z, fma(z, horner(z, COSINE), -HALF), ONE)


def logistic_of_negative(x):
    """s = e/(1 + e), e = exp(-|x|), and 1 - s. The first as e (1 - s), since errors of the quotient
    count less there."""
    e = exp(-absolute(x))
    d = ONE + e
    r = rcp_approx(d)
    r = fma(r, fma(-d, r, ONE), r)
    return fma(-e, e * r, e), r


def sigmoid(x):
    smaller, larger = logistic_of_negative(x)
    return where(x < ZERO, smaller, larger)


def tanh(x):
    """1 - 2 s(-2|x|), s the logistic function; a polynomial where that would cancel."""
    s, _ = logistic_of_negative(TWO * x)
    z = x * x
    near = fma(fma(x, z, ZERO), horner(z, TANH), x)
    far = copysign(fma(-TWO, s, ONE), x)
    return where(absolute(x) < STRAIGHT, near, far)


STRAIGHT = np.float32(0.55)


def softplus(x):
    """log(1 + exp x) from exp(-|x|), which needs no logarithm of more than 2."""
    e = exp(-absolute(x))
    return larger_number(x, ZERO) + fma(e * e, horner(e, LOG1P_UNIT), e)


LN2_UNIT = np.float32(math.log(2) * 2.0**-23)


def log1p_of_positive(x):
    """log(1 + x) for x ≥ 0, by 1 + x = p (1 + f), p a power of two. An infinite x makes f infinite
    and, since the last coefficient is positive, all that follows. Signs are such that of x = -0 all
    terms are -0."""
    scale, shift = power_near(ONE + x)
    f = fma(x * scale, QUARTER, -fma(scale, -QUARTER, ONE))
    return fma(-shift, LN2_UNIT, fma(f, f * horner(f, LOG1P_NEAR), f))


# Quotients by one number. Its reciprocal is a sum of two, of which the first is a little too small:
# so both have one sign, and no infinity or zero meets its opposite. They are exact if they are a
# float32, else rounded once but for an error of 2⁻²⁰ units.
LARGE, SMALL, TOO_SMALL = _reals((2.0**64, 2.0**-64, 1 - 2.0**-22))
LEAST_ERROR = np.float32(2.0**-25)


def reciprocal(y):
    """s, high and low: x/y = s·x·(high + low). s is a power of two that keeps what it is multiplied
    with in the range of normal numbers; where s·x is not, x/y is not either, or infinite."""
    s = where(absolute(y) < SMALL, LARGE, where(absolute(y) > LARGE, SMALL, ONE))
    high, low = plain_reciprocal(y * s)
    return s, high, low


def reciprocal_of_large(y):
    """The same for |y| ≥ 2⁻⁶⁴."""
    s = where(absolute(y) > LARGE, SMALL, ONE)
    high, low = plain_reciprocal(y * s)
    return s, high, low


def plain_reciprocal(y):
    """high and low for 2⁻¹⁰⁰ < |y| < 2¹⁰⁰, and for zeros and infinities."""
    high = rcp_approx(y) * TOO_SMALL
    return high, high * larger_number(fma(-y, high, ONE), LEAST_ERROR)


def quotient(x, s, high, low):
    """x/y by what `reciprocal` gives for y."""
    return plain_quotient(x * s, high, low)


def plain_quotient(x, high, low):
    return fma(x, high, x * low)


# 1/y itself, right to 0.51 units: one of Newton's steps. What is left of 1 is NaN where y is
# infinite, and then as little as it can be.
LEAST_REST, EIGHTH = _reals((-(2.0**-20), 0.125))


def inverse(y):
    """1/y for 2⁻⁶⁴ ≤ |y| ≤ 2⁶⁴."""
    r = rcp_approx(y)
    return fma(r, fma(-y, r, ONE), r)


def inverse_of_large(y):
    """The same for |y| ≥ 2⁻⁶⁴; that of y/8 is a normal number, or zero."""
    z = y * EIGHTH
    r = rcp_approx(z)
    r = fma(r, larger_number(fma(z, -r, ONE), LEAST_REST), r)
    return r * EIGHTH


def inverse_of_root(y, x):
    """1/y for the root y of x ≥ 2⁻⁶⁴, from what its own step of Newton's takes."""
    r = rsqrt_approx(x)
    return fma(r, larger_number(fma(-y, r, ONE), LEAST_REST), r)


ROOT_OF_SMALL = np.float32(2.0**-32)


def sqrt(x):
    """Rounded once but for an error of 2⁻²⁰ units."""
    small = x < SMALL
    root = sqrt_of_large(where(small, x * LARGE, x))
    return where(small, root * ROOT_OF_SMALL, root)


def sqrt_of_large(x):
    """The same for x ≥ 2⁻⁶⁴ and for zeros: a step of Newton's, unless it has nothing to improve."""
    y = sqrt_approx(x)
    rest = fma(-y, y, x)
    return where(absolute(rest) > ZERO, fma(rest, HALF * rsqrt_approx(x), y), y)


LEAST = np.float32(np.finfo(np.float32).min)


def sqrt_without_zero(x):
    """The same for x ≥ 2⁻⁶⁴. The rest of an infinite one is NaN, and its 1/√x is zero."""
    y = sqrt_approx(x)
    rest = larger_number(fma(-y, y, x), LEAST)
    return fma(rest, HALF * rsqrt_approx(x), y)


# In float64 libdevice's may be a unit too large, and so infinite where √(x² + y²) is not.
TOP, BOTTOM, DROP, RAISED = 2.0**500, 2.0**-400, 2.0**-600, 2.0**700
ALL, NOTHING, HALVED, INFINITE = 1.0, 0.0, 0.5, math.inf


def hypot(x, y):
    """√(a² + b²) with the rounding errors of the squares, of their sum and of the root."""
    a = absolute(x)
    b = absolute(y)
    large = where(a > b, a, b)
    scale = where(large > TOP, DROP, where(large < BOTTOM, RAISED, ALL))
    back = where(large > TOP, ALL / DROP, where(large < BOTTOM, ALL / RAISED, ALL))
    p = large * scale
    q = where(a > b, b, a) * scale
    first = p * p
    second = q * q
    square = first + second
    low = fma(p, p, -first) + fma(q, q, -second) + ((first - square) + second)
    length = root(square)
    rest = fma(-length, length, square) + low
    value = (length + where(length > NOTHING, HALVED * rest / length, NOTHING)) * back
    return where(a == INFINITE, INFINITE, where(b == INFINITE, INFINITE, value))


FUNCTIONS_F64 = {"hypot": hypot}
FUNCTIONS = {f.__name__: f for f in (cos, sigmoid, sin, softplus, sqrt, tanh)}
"""What kernels call instead of libdevice's function of this name, in float32."""
OF_LARGE = {"sqrt": sqrt_without_zero}
"""The same for numbers of 2⁻⁶⁴ or more."""
OF_SMALL = {"cos": cos_of_small, "sin": sin_of_small}
"""The same for numbers from -π/4 to π/4."""
OF_POSITIVE = {"log1p": log1p_of_positive}
"""The same for numbers that are not negative, where others have libdevice's."""
OF_NEGATIVE = {"sigmoid": logistic_of_negative}
"""The same for numbers that are not positive, and 1 less its results."""
ROOTS = frozenset(OF_LARGE)
"""Functions whose results are zero or between 2⁻⁷⁵ and 2⁶⁴."""

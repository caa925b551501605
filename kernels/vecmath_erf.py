"""The error function and its complement.

|x| < ½: erf x = x + x P(x²). Beyond: erfc x = exp(-x²) G(t)/(x + ½), t = (x - a)/(x + a), after
Shepherd and Laframboise (Math. Comp. 36, 1981). G stays within 7 % of a constant, so that the
polynomial's rounding errors count for little. The square, the exponential and the quotient are sums
of two: the tail keeps its relative accuracy down to the subnormals. In float32 erf needs
no more than 1 - exp(-x P(x)) beyond 0.8.
"""

from functools import cache
from types import SimpleNamespace

from . import vecmath_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_exp import exponentials
from .vecmath_instructions import (
    absolute,
    copysign,
    fast_two_sum,
    fma,
    horner,
    scaled,
    two_product,
    where,
)


@cache
def error_functions(form):
    """The functions of this module in one format."""
    real = form.real
    zero, half, one, two = form.reals((0, 0.5, 1, 2))
    small_tail = form.reals(coefficients.ERF[form.name])
    wide = form.name == "f64"
    shift = real(3 if wide else 2)
    suffix = form.name.upper()
    erfc_constant, *erfc_tail = form.reals(getattr(coefficients, f"ERFC_TAIL_{suffix}")[form.name])
    erfc_tail = tuple(erfc_tail)
    erfc_top = real(27.4 if wide else 10.2)  # erfc rounds to 0
    exp, exp_parts = exponentials(form).exp, exponentials(form).exp_parts

    @vectorisable
    def small(x):
        """erf x - x for |x| < ½."""
        return x * horner(x * x, small_tail)

    @vectorisable
    def tail(x, constant, rest):
        """erfc x = (high + low)·2^i for x ≥ ½, by the coefficients (constant, *rest) of G."""
        moved = x + shift
        d, d_low = fast_two_sum(x, half)
        both = one / (moved * d)
        inverse = both * d
        t = (x - shift) * inverse
        t = fma(inverse, fma(-t, moved, x - shift), t)
        g, g_low = fast_two_sum(constant, horner(t, rest))
        inverse = both * moved
        q = g * inverse
        q_low = inverse * (fma(-q, d, g) + fma(-q, d_low, g_low))
        square, square_low = two_product(x, x)
        e, e_low, i = exp_parts(-square)
        value, value_low = two_product(e, q)
        return value, value_low + fma(e, q_low, q * fma(-e, square_low, e_low)), i

    if wide:
        erf_constant, *rest = form.reals(coefficients.ERF_TAIL[form.name])
        erf_tail = tuple(rest)
        erf_top = real(6)  # erf rounds to 1

        @vectorisable
        def erf(x):
            y = absolute(x)
            value, low, i = tail(where(y > erf_top, erf_top, y), erf_constant, erf_tail)
            beyond = copysign(one - scaled(value + low, i), x)
            return where(y < half, x + small(x), beyond)

    else:
        erf_near = form.reals(coefficients.ERF_FURTHER[form.name])
        erfc_exponent = form.reals(coefficients.ERFC_EXPONENT[form.name])
        erf_straight, erf_top = form.reals((0.8, 4))

        @vectorisable
        def erf(x):
            """1 - exp(-|x| P(|x|)) beyond 0.8: of few digits, the exponent needs few terms."""
            y = absolute(x)
            t = where(y > erf_top, erf_top, y)
            far = copysign(one - exp(-t * horner(t, erfc_exponent)), x)
            return where(y < erf_straight, fma(x, horner(x * x, erf_near), x), far)

    @vectorisable
    def erfc(x):
        y = absolute(x)
        value, low, i = tail(where(y > erfc_top, erfc_top, y), erfc_constant, erfc_tail)
        value = scaled(value + low, i)
        high, low = fast_two_sum(one, -x)
        return where(y < half, high + (low - small(x)), where(x < zero, two - value, value))

    return SimpleNamespace(**locals())

"""The modified Bessel functions I₀ and I₁ times exp(-|x|), and what their derivatives are made of.

i0e and i1e fall as x^(-1/2), their derivatives as x^(-3/2) and second derivatives as x^(-5/2), so
that the formulas of these in i0e and i1e lose all digits. Here, for x > 0, each part of them has
polynomials of its own: i0e' = -(i0e - i1e), i0e'' = 2 (i0e - i1e) - i1e/x, and i1e/x with its slope
i1e/x - i2e/x. A part that falls as x^(-p) is a polynomial times (x + 1)^(-p) up to 8, in
(x - 4)/(x + 4), and times x^(-p) beyond, in 1/x.
"""

from functools import cache
from types import SimpleNamespace

from . import special_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_instructions import absolute, copysign, fma, horner, sqrt, where


@cache
def bessel_functions(form):
    """The functions of this module in one format."""
    half, one, four, eight, scale = form.reals((0.5, 1, 4, 8, 1.5))
    sixteen = form.real(16)

    def table(name):
        both = (getattr(coefficients, key)[form.name] for key in (name, f"{name}_TAIL"))
        return tuple(form.reals(values) for values in both)

    i0e_near, i0e_tail = table("I0E")
    ratio_near, ratio_tail = table("I1E_OVER_X")
    difference_near, difference_tail = table("I0E_MINUS_I1E")
    curvature_near, curvature_tail = table("I0E_CURVATURE")
    slope_near, slope_tail = table("I1E_OVER_X_SLOPE")

    @vectorisable
    def falling(x, near_coefficients, tail_coefficients):
        """r^(1/2) times the polynomial, and r: 1/(|x| + 1) or 1/|x|."""
        y = absolute(x)
        near = y < eight
        z = where(near, y - four, one) / where(near, y + four, y)
        p = horner(fma(z, scale, half), near_coefficients)
        q = horner(fma(z, sixteen, -one), tail_coefficients)
        r = where(near, one / (y + one), z)
        return sqrt(r) * where(near, p, q), r

    @vectorisable
    def i0e(x):
        value, _ = falling(x, i0e_near, i0e_tail)
        return value

    @vectorisable
    def i1e(x):
        value, r = falling(x, ratio_near, ratio_tail)
        y = absolute(x)
        return copysign(value * where(y < eight, y * r, one), x)

    @vectorisable
    def i1e_over_x(x):
        value, r = falling(x, ratio_near, ratio_tail)
        return value * r

    @vectorisable
    def i0e_minus_i1e(x):
        value, r = falling(x, difference_near, difference_tail)
        return value * r

    @vectorisable
    def i0e_curvature(x):
        value, r = falling(x, curvature_near, curvature_tail)
        return value * r * r

    @vectorisable
    def i1e_over_x_slope(x):
        value, r = falling(x, slope_near, slope_tail)
        return value * r * r

    return SimpleNamespace(**locals())

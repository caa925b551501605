"""Helpers with NumPy's meaning: extrema, signs, classification, fmod and what derives from it."""

from functools import cache
from types import SimpleNamespace

import numpy as np

from .numba_parts import vectorisable
from .vecmath_instructions import absolute, copysign, floor, fma, trunc, where


@cache
def plain_functions(form):
    """The functions of this module in one format."""
    zero, half, one = form.reals((0, 0.5, 1))
    nan, infinity = form.nan, form.infinity
    exact_quotients = form.real(2.0**form.fraction_bits)

    @vectorisable
    def maximum(x, y):
        """The larger; a NaN in either wins."""
        return where((x >= y) | (x != x), x, y)

    @vectorisable
    def minimum(x, y):
        """The smaller; a NaN in either wins."""
        return where((x <= y) | (x != x), x, y)

    @vectorisable
    def fmax(x, y):
        """The larger; a NaN loses."""
        return where((x >= y) | (y != y), x, y)

    @vectorisable
    def fmin(x, y):
        """The smaller; a NaN loses."""
        return where((x <= y) | (y != y), x, y)

    @vectorisable
    def sign(x):
        return where(x > zero, one, where(x < zero, -one, where(x == zero, zero, nan)))

    @vectorisable
    def signbit(x):
        return copysign(one, x) < zero

    @vectorisable
    def isnan(x):
        return x != x

    @vectorisable
    def isinf(x):
        return absolute(x) == infinity

    @vectorisable
    def isfinite(x):
        return absolute(x) < infinity

    @vectorisable
    def fmod_inside(x, y):
        """Whether the whole part of x/y is exact in this format."""
        return (absolute(x / y) < exact_quotients) | (x != x) | (y != y)

    @vectorisable
    def fmod(x, y):
        """x - trunc(x/y)·y, exact: the quotient can be one too large, never too small."""
        a, b = absolute(x), absolute(y)
        rest = fma(-trunc(a / b), b, a)
        rest = where(rest < zero, rest + b, rest)
        rest = where((b == infinity) & (a < infinity), a, rest)
        return copysign(rest, x)

    @vectorisable
    def floored(rest, y):
        """Python's remainder from C's."""
        moved = where((rest < zero) != (y < zero), rest + y, rest)
        return where(rest == zero, copysign(zero, y), moved)

    @vectorisable
    def remainder(x, y):
        return floored(fmod(x, y), y)

    @vectorisable
    def divided(rest, x, y):
        """NumPy's floor division from C's remainder."""
        whole = (x - rest) / y - where((rest != zero) & ((rest < zero) != (y < zero)), one, zero)
        below = floor(whole)
        below += where(whole - below > half, one, zero)
        return where(y == zero, x / y, where(whole == zero, copysign(zero, x / y), below))

    @vectorisable
    def floor_divide(x, y):
        return divided(fmod(x, y), x, y)

    @vectorisable
    def fmod_slow(x, y):
        return np.fmod(x, y)

    @vectorisable
    def remainder_slow(x, y):
        return floored(np.fmod(x, y), y)

    @vectorisable
    def floor_divide_slow(x, y):
        return divided(np.fmod(x, y), x, y)

    remainder_inside = floor_divide_inside = fmod_inside
    return SimpleNamespace(**locals())

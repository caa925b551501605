"""The instructions that `cuda_math` is written in, as NumPy computes them.

Each has in kernels the meaning that it has here on float32: so the functions of `cuda_math` can be
run as they stand on all numbers there are (`python -m benchmarks.cuda_math`), and kernels get their
source. The approximations are instructions of a GPU (PTX's are beside them) with at most the error
that the PTX ISA documents; here they are as accurate as the type allows. They take subnormal
numbers for zeros, and give zeros for them.
"""

import numpy as np

WRONG_BY = {
    "ex2_approx": 2.0,
    "lg2_approx": 2.0,
    "rcp_approx": 1.0,
    "rsqrt_approx": 1.2,
    "sqrt_approx": 1.0,
}
"""Their largest errors by the PTX ISA, in units in the last place; that of lg2 between ½ and 2 is
2⁻²² of 1 instead."""

absolute, copysign, rint, where = np.absolute, np.copysign, np.rint, np.where
root = np.sqrt
"""Rounded once, in float64."""


def fma(x, y, z):
    """x·y + z rounded once; float64 rounds twice, wrong in ties that it makes itself."""
    wide = np.asarray(x, np.float64) * y + z
    return wide if _is_wide(x) or _is_wide(y) or _is_wide(z) else wide.astype(np.float32)


def horner(x, coefficients):
    """Σ c_k x^k by fused multiply-adds, lowest power first."""
    *lower, total = coefficients
    for c in reversed(lower):
        total = fma(total, x, c)
    return total


def _is_wide(x):
    return getattr(x, "dtype", None) == np.float64


def larger_number(x, y):
    """The larger of x and y; if one is NaN, the other."""
    return np.fmax(x, y)


def bit_is_clear(x, k):
    """Whether bit k of the float32 x is 0, which is not negative."""
    return (x.view(np.int32) & np.int32(1 << k)) == 0


def power_near(x):
    """4/p and -2²³ log2 p, p the power of two for which ¾ ≤ x/p < 1½, of a float32 x ≥ 1."""
    below = (np.int32(BELOW) - x.view(np.int32)) & np.int32(-ONE_POWER)
    return (below + np.int32(FOUR_BITS)).view(np.float32), below.astype(np.float32)


BELOW, ONE_POWER, FOUR_BITS = 0x3FBFFFFF, 0x800000, 0x40800000
"""As integers, the number before 1½, the distance of two powers of two, and 4."""


def _flushed(x):
    tiny = np.absolute(x) < np.finfo(np.float32).tiny
    return np.where(tiny, np.copysign(np.float32(0), x), x)


def _approximation(function):
    def approximation(x):
        return _flushed(function(_flushed(x).astype(np.float64)).astype(np.float32))

    return approximation


ex2_approx = _approximation(np.exp2)
lg2_approx = _approximation(np.log2)
rcp_approx = _approximation(np.reciprocal)
rsqrt_approx = _approximation(lambda x: 1 / np.sqrt(x))
sqrt_approx = _approximation(np.sqrt)


def exp(x):
    """libdevice's, which is right to one unit in the last place."""
    return np.exp(x.astype(np.float64)).astype(np.float32)


def rarely_in_f64(x, bound, function, otherwise):
    """function(x) in float64 where |x| > bound, which kernels reach by a branch; elsewhere the
    values `otherwise`."""
    places = np.nonzero(np.absolute(x) > bound)
    found = [np.array(v, np.float32) for v in otherwise]
    for values, more in zip(found, function(x[places].astype(np.float64)), strict=True):
        values[places] = more
    return found

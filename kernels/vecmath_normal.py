"""The normal distribution: ndtr, log_ndtr, φ/Φ (inverse_mills) and x + φ/Φ (inverse_mills_excess).

With y = |x|, the upper tail is Q(y) = exp(-y²/2) (½ + v P(t))/(y + 1), v = 2y/(y + 4), t = v - 1,
for all y at once (as Shepherd and Laframboise do for erfc, Math. Comp. 36, 1981). So is φ/Q - y,
which falls as 1/y: the difference itself would lose its digits. The exponential takes the rounding
error of y² along.
"""

import math
from functools import cache
from types import SimpleNamespace

from . import special_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_exp import exponentials
from .vecmath_instructions import absolute, fma, horner, where
from .vecmath_log import logarithms


@cache
def normal_functions(form):
    """The functions of this module in one format."""
    real = form.real
    zero, half, one, two, four, eight = form.reals((0, 0.5, 1, 2, 4, 8))
    density = real(1 / math.sqrt(2 * math.pi))
    top = real(39 if form.name == "f64" else 15)  # the density is 0 before
    exp, log, log1p = exponentials(form).exp, logarithms(form).log, logarithms(form).log1p
    normal_tail = form.reals(coefficients.NORMAL_TAIL[form.name])
    excess = form.reals(coefficients.EXCESS[form.name])

    @vectorisable
    def gaussian(y):
        """exp(-y²/2) for y ≥ 0."""
        y = where(y > top, top, y)
        square = half * y * y
        return exp(-square) * (one - fma(half * y, y, -square))

    @vectorisable
    def ratio(y):
        """exp(y²/2) Q(y), for y ≥ 0, as a quotient."""
        v = two - eight / (y + four)
        return fma(v, horner(v - one, normal_tail), half), y + one

    @vectorisable
    def ndtr(x):
        y = absolute(x)
        g, d = ratio(y)
        tail = gaussian(y) * (g / d)
        return where(x > zero, one - tail, tail)

    @vectorisable
    def log_ndtr(x):
        y = absolute(x)
        g, d = ratio(y)
        q = g / d
        return where(x < zero, log(q) - half * y * y, log1p(-gaussian(y) * q))

    @vectorisable
    def inverse_mills(x):
        y = absolute(x)
        g, d = ratio(y)
        e = gaussian(y)
        return where(x < zero, density * d / g, density * e / (one - e * (g / d)))

    @vectorisable
    def inverse_mills_excess(x):
        y = absolute(x)
        below = horner(one - eight / (y + four), excess) / (y + one)
        return where(x < zero, below, x + inverse_mills(y))

    return SimpleNamespace(**locals())

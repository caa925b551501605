"""log |Γ| and its derivatives: gammaln, digamma, trigamma, tetragamma.

All take w ≥ 0.8 from x: x itself, x + 1 below 0.8, and 1 - x by reflection below -0.2. For w < 4
(tetragamma: 3) they are the zeros of the function times a polynomial in t = (w - a)/(w + a), which
keeps the poles on the negative axis at a distance; beyond, Stirling's series (Abramowitz and Stegun
6.1.40, 6.3.18, 6.4.11) with minimax coefficients. Reflection: 6.1.17, 6.3.7 and 6.4.7 there.
"""

import math
from functools import cache
from types import SimpleNamespace

from . import special_coefficients as coefficients
from .numba_parts import vectorisable
from .vecmath_instructions import absolute, fma, horner, rint, where
from .vecmath_log import logarithms

DIGAMMA_ROOT = (1.4616321449683622, 9.549995429965697e-17)
MIDDLE = 1.7888543819998317
"""a, the geometric mean of 0.8 and 4."""


@cache
def gamma_functions(form):
    """The functions of this module in one format."""
    real = form.real
    zero, half, one, two, three = form.reals((0, 0.5, 1, 2, 3))
    infinity, nan = form.infinity, form.nan
    first, last, turn, middle = form.reals((0.8, 4, -0.2, MIDDLE))
    pi = real(math.pi)
    whole = real(2.0**form.fraction_bits)  # from there on all numbers are whole
    root, root_low = form.pair(*DIGAMMA_ROOT)
    stirling = real((math.log(2 * math.pi) - 1) / 2)
    log = logarithms(form).log
    sine = form.reals(coefficients.SINPI[form.name])
    gammaln_near = form.reals(coefficients.GAMMALN[form.name])
    gammaln_tail = form.reals(coefficients.GAMMALN_TAIL[form.name])
    digamma_near = form.reals(coefficients.DIGAMMA[form.name])
    digamma_tail = form.reals(coefficients.DIGAMMA_TAIL[form.name])
    trigamma_near = form.reals(coefficients.TRIGAMMA[form.name])
    trigamma_tail = form.reals(coefficients.TRIGAMMA_TAIL[form.name])
    tetragamma_near = form.reals(coefficients.TETRAGAMMA[form.name])
    tetragamma_tail = form.reals(coefficients.TETRAGAMMA_TAIL[form.name])

    @vectorisable
    def moved(x):
        """w and t, and whether w is x + 1, and 1 - x."""
        reflected = x <= turn
        shifted = (x < first) & (x > turn)
        w = where(shifted, x + one, where(reflected, one - x, x))
        return w, (w - middle) / (w + middle), shifted, reflected

    @vectorisable
    def angle(x):
        """sin πx and cos πx up to their common sign, from the distance to the nearest integer."""
        d = where(x > -whole, x - rint(x), zero)
        c = half - absolute(d)
        return d * horner(d * d, sine), c * horner(c * c, sine)

    @vectorisable
    def gammaln(x):
        w, t, shifted, reflected = moved(x)
        a = where(shifted, x, w - one)
        b = where(shifted, x - one, w - two)
        near = fma(a * b, horner(t, gammaln_near), zero)
        l = log(where(w < last, absolute(x), w))
        inverse = one / w
        rest = fma(inverse, horner(inverse * inverse, gammaln_tail), stirling)
        value = where(w < last, near, fma(w - half, l - one, rest))
        value = where(shifted, value - l, value)
        s, _ = angle(x)
        value = where(reflected, log(pi / absolute(s)) - value, value)
        value = where(reflected & (s == zero), infinity, value)
        return where(x == -infinity, x, value)

    @vectorisable
    def digamma(x):
        w, t, shifted, reflected = moved(x)
        near = ((w - root) - root_low) * horner(t, digamma_near)
        inverse = one / where(shifted, x, w)
        u = inverse * inverse
        value = where(w < last, near, log(w) - fma(half, inverse, u * horner(u, digamma_tail)))
        value = where(shifted, value - inverse, value)
        s, c = angle(x)
        s = where(s == zero, nan, s)
        return where(reflected, fma(-pi, c / s, value), value)

    @vectorisable
    def trigamma(x):
        w, t, shifted, reflected = moved(x)
        inverse = one / where(shifted, x, w)
        u = inverse * inverse
        far = inverse * (one + fma(half, inverse, u * horner(u, trigamma_tail)))
        value = where(w < last, horner(t, trigamma_near), far)
        value = where(shifted, value + u, value)
        s, _ = angle(x)
        v = pi / s
        return where(reflected, fma(v, v, -value), value)

    @vectorisable
    def tetragamma(x):
        w, t, shifted, reflected = moved(x)
        inverse = one / where(shifted, x, w)
        u = inverse * inverse
        far = -u * (one + fma(u, horner(u, tetragamma_tail), inverse))
        value = where(w < three, horner(t, tetragamma_near), far)
        value = where(shifted, fma(-two * inverse, u, value), value)
        s, c = angle(x)
        v = pi / s
        return where(reflected, fma(-two * c * v, v * v, value), value)

    return SimpleNamespace(**locals())

"""Regenerate `kernels/special_coefficients.py`: `python -m benchmarks.remez_special [NAME ...]`.

The polynomials of the special functions in vecmath, found as those of `benchmarks.remez`. With
names, prints those fits and their errors and writes nothing. All of them take two minutes.
"""

import sys
from pathlib import Path

import mpmath
from mpmath import mp, mpf

from .remez import Fit, write

mp.dps = 60
TARGET = Path(__file__).resolve().parent.parent / "kernels" / "special_coefficients.py"

# Gamma and its kin: t = (w - a)/(w + a) on 0.8 ≤ w ≤ 4, a² = 0.8 · 4, and u = 1/w² beyond.

FIRST, LAST = mpf("0.8"), mpf(4)
MIDDLE = mpf(1.7888543819998317)
ROOT = mpmath.findroot(mpmath.digamma, 1.4616)


def off(w, *roots):
    """w, moved a little where a quotient would be 0/0."""
    return w + mpf(10) ** -25 if any(abs(w - r) < mpf(10) ** -25 for r in roots) else w


def gammaln_quotient(w):
    w = off(w, 1, 2)
    return mpmath.loggamma(w) / ((w - 1) * (w - 2))


def digamma_quotient(w):
    w = off(w, ROOT)
    return mpmath.digamma(w) / (w - ROOT)


def near(function, degree, last=LAST):
    """function(w) = P(t) on FIRST ≤ w ≤ last."""

    def of_t(t):
        return function(MIDDLE * (1 + t) / (1 - t))

    interval = tuple((w - MIDDLE) / (w + MIDDLE) * mpf("1.0001") for w in (FIRST, last))
    return Fit(of_t, lambda t: 1 / of_t(t), interval, degree)


def beyond(rest, weight, degree, last=LAST):
    """rest(w) = P(1/w²) for w ≥ last."""

    def back(u):
        return 1 / mpmath.sqrt(max(u, mpf(10) ** -12))

    return Fit(lambda u: rest(back(u)), lambda u: weight(back(u)), (mpf(0), 1 / last**2), degree)


def stirling_rest(w):
    """w (log Γ(w) - (w - ½) log w + w - ½ log 2π)."""
    with mpmath.workdps(90):
        half_log = mpmath.log(2 * mpmath.pi) / 2
        return +(w * (mpmath.loggamma(w) - (w - mpf(1) / 2) * mpmath.log(w) + w - half_log))


def digamma_rest(w):
    with mpmath.workdps(90):
        return +(w * w * (mpmath.log(w) - 1 / (2 * w) - mpmath.digamma(w)))


def trigamma_rest(w):
    with mpmath.workdps(90):
        return +(w * w * (w * mpmath.polygamma(1, w) - 1 - 1 / (2 * w)))


def tetragamma_rest(w):
    with mpmath.workdps(90):
        return +(w * w * (-w * w * mpmath.polygamma(2, w) - 1 - 1 / w))


# The normal distribution: t = (y - 4)/(y + 4) for all y ≥ 0. Q is the upper tail, φ the density.


def mills_ratio(y):
    """Q(y)/φ(y), for y > 30 by its continued fraction."""
    if y < 30:
        whole = mpmath.exp(y * y / 2) * mpmath.erfc(y / mpmath.sqrt(2))
        return mpmath.sqrt(mpmath.pi / 2) * whole
    f = y
    for k in range(120, 0, -1):
        f = y + k / f
    return 1 / f


def mean_excess(y):
    """φ(y)/Q(y) - y, for y > 30 by the continued fraction."""
    if y < 30:
        return 1 / mills_ratio(y) - y
    f = y
    for k in range(120, 1, -1):
        f = y + k / f
    return 1 / f


def half_line(t):
    """y ≥ 0 where t = (y - 4)/(y + 4)."""
    t = min(t, 1 - mpf(10) ** -25)
    return 4 * (1 + t) / (1 - t)


def normal_tail(t):
    y = half_line(t)
    return (y + 1) * mills_ratio(y) / mpmath.sqrt(2 * mpmath.pi)


def excess(t):
    y = half_line(t)
    return (y + 1) * mean_excess(y)


HALF = mpf("0.5")

# The Bessel functions I₀ and I₁ times exp(-y), and what their derivatives are made of.


def scaled_bessel(order, y):
    if y < 300:
        return mpmath.exp(-y) * mpmath.besseli(order, y)
    term, total, k = mpf(1), mpf(1), 0
    while abs(term) > mpf(10) ** -75:
        k += 1
        term *= -(4 * order * order - (2 * k - 1) ** 2) / (8 * k * y)
        total += term
    return total / mpmath.sqrt(2 * mpmath.pi * y)


def i0e(y):
    return scaled_bessel(0, y)


def i1e_over_x(y):
    return scaled_bessel(1, y) / y if y else mpf(1) / 2


def i0e_minus_i1e(y):
    return scaled_bessel(0, y) - scaled_bessel(1, y)


def i0e_curvature(y):
    return 2 * i0e_minus_i1e(y) - i1e_over_x(y)


def i1e_over_x_slope(y):
    if y < 1:
        return i1e_over_x(y) - (scaled_bessel(2, y) / y if y else 0)
    return (2 * i1e_over_x(y) - i0e_minus_i1e(y)) / y


def up_to_eight(function, power, degree):
    """(y + 1)^power function(y) = P(s), y ≤ 8: s = (3t + 1)/2, t = (y - 4)/(y + 4)."""

    def of_s(s):
        with mpmath.workdps(80):
            t = (2 * s - 1) / 3
            y = max(4 * (1 + t) / (1 - t), mpf(0))
            return +((y + 1) ** power * function(y))

    return Fit(of_s, lambda s: 1 / of_s(s), (mpf(-1), mpf("1.0001")), degree)


def from_eight(function, power, degree):
    """y^power function(y) = P(16/y - 1), y ≥ 8."""

    def of_s(s):
        with mpmath.workdps(90):
            y = 16 / (max(s, -1 + mpf(10) ** -22) + 1)
            return +(y**power * function(y))

    return Fit(of_s, lambda s: 1 / of_s(s), (mpf(-1), mpf("1.0001")), degree)


fits = {
    "GAMMALN": near(gammaln_quotient, {"f32": 10, "f64": 22}),  # log Γ(w) = (w - 1)(w - 2) P(t)
    "GAMMALN_TAIL": beyond(  # log Γ(w) = (w - ½) log w - w + ½ log 2π + P(u)/w
        stirling_rest, lambda w: 1 / (w * mpmath.loggamma(w)), {"f32": 2, "f64": 7}
    ),
    "DIGAMMA": near(digamma_quotient, {"f32": 11, "f64": 23}),  # ψ(w) = (w - root) P(t)
    "DIGAMMA_TAIL": beyond(  # ψ(w) = log w - 1/(2w) - u P(u)
        digamma_rest, lambda w: 1 / (w * w * mpmath.digamma(w)), {"f32": 2, "f64": 8}
    ),
    "TRIGAMMA": near(lambda w: mpmath.polygamma(1, w), {"f32": 13, "f64": 26}),
    "TRIGAMMA_TAIL": beyond(  # ψ⁽¹⁾(w) = (1 + 1/(2w) + u P(u))/w
        trigamma_rest, lambda w: 1 / (w**3 * mpmath.polygamma(1, w)), {"f32": 3, "f64": 9}
    ),
    "TETRAGAMMA": near(lambda w: mpmath.polygamma(2, w), {"f32": 14, "f64": 27}, mpf(3)),
    "TETRAGAMMA_TAIL": beyond(  # ψ⁽²⁾(w) = -u (1 + 1/w + u P(u)), w ≥ 3
        tetragamma_rest,
        lambda w: -1 / (w**4 * mpmath.polygamma(2, w)),
        {"f32": 4, "f64": 13},
        mpf(3),
    ),
    "SINPI": Fit(  # sin πz = z P(z²)
        lambda v: mpmath.sinpi(mpmath.sqrt(v)) / mpmath.sqrt(v),
        lambda v: mpmath.sqrt(v) / mpmath.sinpi(mpmath.sqrt(v)),
        (mpf(0), mpf("0.2501")),
        {"f32": 4, "f64": 8},
    ),
    "NORMAL_TAIL": Fit(  # (y + 1) exp(y²/2) Q(y) = ½ + (1 + t) P(t)
        lambda t: (normal_tail(t) - HALF) / (1 + t),
        lambda t: (1 + t) / normal_tail(t),
        (mpf(-1) + mpf(10) ** -25, mpf(1)),
        {"f32": 11, "f64": 24},
    ),
    "EXCESS": Fit(  # (y + 1) (φ(y)/Q(y) - y) = P(t)
        excess, lambda t: 1 / excess(t), (mpf(-1), mpf(1)), {"f32": 13, "f64": 28}
    ),
    "I0E": up_to_eight(i0e, HALF, {"f32": 13, "f64": 28}),
    "I0E_TAIL": from_eight(i0e, HALF, {"f32": 6, "f64": 24}),
    "I1E_OVER_X": up_to_eight(i1e_over_x, 3 * HALF, {"f32": 13, "f64": 28}),
    "I1E_OVER_X_TAIL": from_eight(i1e_over_x, 3 * HALF, {"f32": 6, "f64": 24}),
    "I0E_MINUS_I1E": up_to_eight(i0e_minus_i1e, 3 * HALF, {"f32": 15, "f64": 30}),
    "I0E_MINUS_I1E_TAIL": from_eight(i0e_minus_i1e, 3 * HALF, {"f32": 7, "f64": 27}),
    "I0E_CURVATURE": up_to_eight(i0e_curvature, 5 * HALF, {"f32": 17, "f64": 32}),
    "I0E_CURVATURE_TAIL": from_eight(i0e_curvature, 5 * HALF, {"f32": 9, "f64": 31}),
    "I1E_OVER_X_SLOPE": up_to_eight(i1e_over_x_slope, 5 * HALF, {"f32": 15, "f64": 30}),
    "I1E_OVER_X_SLOPE_TAIL": from_eight(i1e_over_x_slope, 5 * HALF, {"f32": 7, "f64": 27}),
}

HEADER = '''"""Coefficients of the polynomials of special functions, lowest power first, per format.

Written by `python -m benchmarks.remez_special`, which holds each polynomial's meaning; not by hand.
"""

'''

if __name__ == "__main__":
    write(fits, HEADER, TARGET, sys.argv[1:])

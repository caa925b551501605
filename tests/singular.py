"""Compositions of functions at points where some of them are singular, and their true slopes.

Each function is given for NumPy and for mpmath. A slope is taken from each side at high precision;
right is what lies between the two (a kink takes a subgradient), and what is not finite is no claim.
"""

import itertools
import math
from dataclasses import dataclass

import mpmath
import numpy as np

import gpuad as ad
from gpuad import numpy as gnp

mp = mpmath.mp
POINTS = np.array([0.0, 1.0, -1.0])


def _real(f):
    """f, refusing what is not a real number."""

    def function(x):
        y = f(x)
        if isinstance(y, mpmath.mpc):
            if y.imag != 0:
                raise ValueError
            y = y.real
        if not mpmath.isfinite(y):
            raise ValueError
        return y

    return function


def _entr(x):
    if x < 0:
        raise ValueError
    return mpmath.mpf(0) if x == 0 else -x * mpmath.log(x)


def _cbrt(x):
    return mpmath.sign(x) * abs(x) ** (mpmath.mpf(1) / 3)


FUNCTIONS = {
    "sin": (np.sin, mpmath.sin),
    "cos": (np.cos, mpmath.cos),
    "exp": (np.exp, mpmath.exp),
    "expm1": (np.expm1, mpmath.expm1),
    "log": (np.log, mpmath.log),
    "log1p": (np.log1p, lambda x: mpmath.log(1 + x)),
    "sqrt": (np.sqrt, mpmath.sqrt),
    "cbrt": (np.cbrt, _cbrt),
    "rsqrt": (lambda x: 1 / np.sqrt(x), lambda x: 1 / mpmath.sqrt(x)),
    "1/x": (lambda x: 1 / x, lambda x: 1 / x),
    "x**2": (lambda x: x**2, lambda x: x**2),
    "x**3": (lambda x: x**3, lambda x: x**3),
    "x**-2": (lambda x: x**-2, lambda x: x**-2),
    "x**1.5": (lambda x: x**1.5, lambda x: x * mpmath.sqrt(x)),
    "abs": (np.abs, abs),
    "1-x": (lambda x: 1 - x, lambda x: 1 - x),
    "arcsin": (np.arcsin, mpmath.asin),
    "arccos": (np.arccos, mpmath.acos),
    "arctan": (np.arctan, mpmath.atan),
    "arccosh": (np.arccosh, mpmath.acosh),
    "arctanh": (np.arctanh, mpmath.atanh),
    "tanh": (np.tanh, mpmath.tanh),
    "sigmoid": (gnp.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x))),
    "hypot(x, 0)": (lambda x: np.hypot(x, 0), abs),
    "hypot(x, 1)": (lambda x: np.hypot(x, 1), lambda x: mpmath.sqrt(x * x + 1)),
    "x log x": (lambda x: gnp.xlogy(x, x), lambda x: -_entr(x)),
    "maximum(x, 0)": (lambda x: np.maximum(x, 0), lambda x: max(x, mpmath.mpf(0))),
    "x sqrt x": (lambda x: x * np.sqrt(x), lambda x: x * mpmath.sqrt(x)),
    "sinc": (np.sinc, mpmath.sincpi),
    "arctan2(x, 1)": (lambda x: np.arctan2(x, 1), mpmath.atan),
}


def compositions(depth):
    return itertools.product(FUNCTIONS, repeat=depth)


def chained(functions):
    def chain(x):
        for f in functions:
            x = f(x)
        return x

    return chain


@dataclass
class Found:
    """Both modes' derivatives of one composition at one point, and whether a finite one is
    wrong."""

    names: tuple
    point: float
    forward: float
    reverse: float
    wrong: bool


def found(names):
    """What gpuad gives for a composition, at the points where its value is finite."""
    f = chained([FUNCTIONS[n][0] for n in names])
    exact = chained([_real(FUNCTIONS[n][1]) for n in names])
    with np.errstate(all="ignore"):
        value = f(POINTS)
    ones = np.ones_like(POINTS)
    forward = ad.jvp(f, (POINTS,), (ones,))[1]
    (reverse,) = ad.vjp(f, POINTS)[1](ones)
    for i in np.flatnonzero(np.isfinite(value)):
        wrong = math.isfinite(forward[i]) and not _right(exact, POINTS[i], forward[i])
        yield Found(names, POINTS[i], forward[i], reverse[i], wrong)


def _right(f, point, slope):
    bounds = [s for s in (_slope(f, point, 1), _slope(f, point, -1)) if s is not None]
    if not bounds:
        return True
    low, high = min(bounds), max(bounds)
    slack = 1e-6 * max(1.0, abs(low) if math.isfinite(low) else 0, abs(slope))
    return low - slack <= slope <= high + slack


def _slope(f, point, side):
    """The slope on one side, ±inf if it grows beyond bounds; None where f is not real."""
    with mpmath.workdps(80):
        x = mpmath.mpf(float(point))
        try:
            slopes = [
                (f(x + side * h) - f(x)) / (side * h)
                for h in (mp.mpf(10) ** -24, mp.mpf(10) ** -30)
            ]
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        if abs(slopes[1]) > 10 and abs(slopes[1]) > 1.01 * abs(slopes[0]):
            return math.copysign(math.inf, slopes[1])
        return float(slopes[1])

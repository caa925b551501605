"""Values, first and second derivatives of the special functions, against mpmath over their whole
domain, in units in the last place."""

import json

import numpy as np
import pytest

import gpuad as ad
from gpuad.scipy import special
from special_reference import REFERENCE, VALUES, partials, row

pytest.importorskip("scipy")
KNOWN = json.loads(VALUES.read_text())
FUNCTIONS = {
    "lambertw": lambda z: special.lambertw(z).real,
    "multigammaln_3": lambda x: special.multigammaln(x, 3),
    "polygamma_1": lambda x: special.polygamma(1, x),
    "polygamma_2": lambda x: special.polygamma(2, x),
    "riemann_zeta": special.zeta,
}
USUAL = (20, 20, 40)
BOUNDS = {
    # Values of SciPy's that are that far off: near the zeros of the logarithm of gamma, for one
    # large argument of beta and binom, in the far tails of ndtr and gammainc, and of kl_div for
    # nearly equal arguments.
    "gammaln": (4e3, 10, 10),
    "beta": (2e5, 2e5, 2e5),
    "betaln": (4e4, 20, 20),
    "binom": (1e7, 1e7, 1e7),
    "poch": (150, 150, 150),
    "ndtr": (1e3, 20, 20),
    "log_ndtr": (100, 20, 20),
    "gammainc": (1e3, 1e3, 1e3),
    "gammaincc": (20, 60, 150),
    "betainc": (2e3, 40, 1200),
    "kl_div": (1e15, 10, 10),
    # Near zeros of the derivatives.
    "polygamma_1": (20, 80, 20),
    "polygamma_2": (80, 20, 4e3),
    "digamma": (20, 20, 80),
    "dawsn": (20, 40, 1e3),
    "voigt_profile": (20, 40, 200),
    "j0": (20, 200, 40),
    "j1": (200, 20, 1e3),
    "y0": (200, 20, 200),
    "y1": (20, 200, 40),
    "ellipe": (20, 20, 150),
    # Of other than whole order, between the series for small and for large x.
    "ive_0.5": (60, 200, 600),
    "ive_4.25": (60, 40, 300),
    "jv_0.5": (40, 20, 40),
    "jv_4.25": (40, 20, 40),
    "yv_0.5": (20, 60, 40),
}
"""Largest errors of value, first and second derivatives, where they are not the usual ones."""


def function_of(name):
    base, _, parameter = name.rpartition("_")
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if not base or not parameter[0].isdigit():
        return getattr(special, name)
    return lambda x: getattr(special, base)(float(parameter), x)


def derivative(function, arguments, order):
    """The partial derivative of these orders of a function of arrays, by nested forward mode."""
    for i, times in enumerate(order):
        for _ in range(times):
            function = _by(function, i)
    return function(*arguments)


def _by(function, i):
    def slope(*xs):
        seeds = [np.ones_like(x) if j == i else np.zeros_like(x) for j, x in enumerate(xs)]
        return ad.jvp(function, xs, tuple(seeds))[1]

    return slope


def table_of(name):
    """The points as arrays, and the exact results by their orders."""
    columns = np.array(KNOWN[name]).T
    count = next(n for n in (1, 2, 3) if n + len(partials(n)) == len(columns))
    return list(columns[:count]), dict(zip(partials(count), columns[count:], strict=True))


@pytest.mark.parametrize("name", REFERENCE)
@np.errstate(all="ignore")
def test_values_and_derivatives_in_double_precision(name):
    points, exact = table_of(name)
    for order, expected in exact.items():
        found = np.asarray(derivative(function_of(name), points, order))
        errors = np.where(found == expected, 0, abs(found - expected) / np.spacing(abs(expected)))
        assert errors.max() <= BOUNDS.get(name, USUAL)[sum(order)], (order, errors)


LOST = {"beta": 400, "betainc": 2000, "boxcox1p": 40, "binom": 40, "poch": 40}


@pytest.mark.parametrize("name", REFERENCE)
@np.errstate(all="ignore")
def test_single_precision_loses_no_more_than_rounding(name):
    points, exact = table_of(name)
    singles = [x.astype(np.float32) for x in points]
    doubles = [x.astype(np.float64) for x in singles]
    for order in exact:
        found = np.asarray(derivative(function_of(name), singles, order))
        expected = np.asarray(derivative(function_of(name), doubles, order))
        normal = (abs(expected) > 1e-30) & (abs(expected) < 1e30)
        errors = abs(found - expected)[normal] / np.spacing(abs(expected[normal]), dtype=np.float32)
        assert errors.max(initial=0) <= LOST.get(name, 10), (order, errors)


@pytest.mark.parametrize("name", ["gamma", "erfcx", "gammainc", "j0", "boxcox"])
def test_the_stored_values_are_those_of_mpmath(name):
    mpmath = pytest.importorskip("mpmath")
    function, points = REFERENCE[name]
    assert len(KNOWN[name]) == len(points)
    stored = KNOWN[name][len(points) // 2]
    point = points[len(points) // 2]
    with mpmath.workdps(40):
        point = point if isinstance(point, tuple) else (point,)
        np.testing.assert_array_equal(stored, [*point, *row(function, point)])

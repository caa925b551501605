"""Slopes, unwrapped phases, interpolation and polynomials."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from executors.numpy_checks import check_as_numpy
from gpuad.errors import ArgumentError, UnsupportedError

_draw = np.random.default_rng(0)
X = _draw.normal(size=(4, 5))
COLUMNS = np.sort(_draw.normal(size=5))
ROWS = np.array([0.0, 1.0, 2.5, 4.0])

# gradient


@pytest.mark.parametrize("order", [1, 2])
def test_gradient_by_coordinates(order):
    def all_axes(x, rows, columns):
        return np.gradient(x, rows, columns, edge_order=order)

    check_as_numpy(all_axes, X, ROWS, COLUMNS, order=2)
    for x in (X, X.astype(np.float32), (X * 9).astype(int), X * 1j):
        check_as_numpy(lambda x: np.gradient(x, ROWS, COLUMNS, edge_order=order), x)
    check_as_numpy(lambda x, h: np.gradient(x, h, COLUMNS, axis=(0, 1), edge_order=order), X, 0.3)
    even = np.arange(5.0) * 2
    check_as_numpy(lambda x: np.gradient(x, even, axis=1, edge_order=order), X)


# unwrap

PHASES = np.cumsum(_draw.normal(size=(3, 30)) * 2, axis=1)


@pytest.mark.parametrize(
    "options", [{}, {"discont": 4.0}, {"period": 3.3}, {"axis": 0}, {"period": 5}]
)
def test_unwrap(options):
    check_as_numpy(lambda p: np.unwrap(p, **options), PHASES)
    check_as_numpy(lambda p: np.unwrap(p, **options), PHASES.astype(np.float32))


def test_unwrap_at_steps_of_half_a_period_and_of_integers():
    steps = np.array([0, np.pi, 0, -np.pi, np.pi])
    check_as_numpy(np.unwrap, steps, order=0)
    np.testing.assert_array_equal(ad.jacfwd(np.unwrap)(steps), np.eye(5))
    for period in (4, 5):
        whole = np.array([0, 1, 2, 3, 0, 1, 5, -3, 1])
        check_as_numpy(lambda p, q=period: np.unwrap(p, period=q), whole)
    check_as_numpy(lambda p, q: gnp.unwrap(p, period=q), PHASES, 6.28)
    check_as_numpy(np.unwrap, np.zeros((3, 0)), order=0)


# interp

POINTS, LEVELS = np.array([-2.0, -1.1, -0.2, 0.5, 1.9, 2.55]), _draw.normal(size=6)
AT = _draw.normal(size=(3, 7)) * 2


@pytest.mark.parametrize("options", [{}, {"left": 0.0, "right": 2.0}, {"period": 5.3}])
def test_interp(options):
    def interpolated(x, xp, fp):
        return np.interp(x, xp, fp, **options)

    check_as_numpy(interpolated, AT, POINTS, LEVELS, order=2)
    check_as_numpy(interpolated, *[x.astype(np.float32) for x in (AT, POINTS, LEVELS)])
    check_as_numpy(interpolated, AT, POINTS, LEVELS + 1j * POINTS)
    check_as_numpy(interpolated, *map(np.array, ([0, 1, 9], [0, 2, 3], [5, 4, 4])))
    check_as_numpy(interpolated, AT[0, 0], POINTS, LEVELS)
    check_as_numpy(interpolated, np.zeros((0, 2)), POINTS, LEVELS, order=0)


@pytest.mark.parametrize(
    ("xp", "fp"),
    [
        ([1.0, 2.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]),
        ([1.0, 2.0, 2.0], [0.0, 1.0, 2.0]),
        ([1.0, 2.0, 3.0], [0.0, np.inf, 2.0]),
        ([1.0], [7.0]),
    ],
)
def test_interp_at_its_points(xp, fp):
    x = np.array([1.0, 2.0, 3.0, 0.0, 4.0, np.nan, np.inf, -np.inf])
    with np.errstate(invalid="ignore"):
        check_as_numpy(lambda x: np.interp(x, xp, fp), x, order=0)


def test_interp_by_what_is_traced():
    check_as_numpy(lambda x: np.interp(x, POINTS, LEVELS, period=1.7), AT, order=0)
    slope = ad.vmap(ad.grad(lambda x: np.interp(x, [1.0, 2.0, 2.0], [0.0, 1.0, 2.0])))
    np.testing.assert_array_equal(slope(np.array([0.0, 1.0, 1.5, 2.0, 3.0])), [0, 1, 1, 0, 0])
    by_left = ad.grad(lambda left: gnp.interp(-9.0, POINTS, LEVELS, left=left))
    assert by_left(1.0) == 1
    xp = np.sort(_draw.normal(size=(3, 6)), 1)
    rows = [np.interp(x, p, p**2) for x, p in zip(AT, xp, strict=True)]
    np.testing.assert_allclose(ad.vmap(gnp.interp)(AT, xp, xp**2), rows)
    with pytest.raises(ArgumentError, match="one length"):
        ad.grad(lambda x: np.interp(x, [1.0], [1.0, 2.0]))(1.0)
    with pytest.raises(UnsupportedError, match="x is complex"):
        ad.jit(lambda x: np.interp(x, POINTS, LEVELS))(1j)


# Polynomials

P, Q = _draw.normal(size=4), _draw.normal(size=3)
WHOLE = np.array([3, 1, 2])
PAIRS = {
    "long": (P, Q),
    "short": (Q, P),
    "single": (P.astype(np.float32), Q.astype(np.float32)),
    "integers": (WHOLE, np.array([2, 5, 7, 1])),
    "complex": (P + 1j * Q[0], Q),
    "constant": (P, Q[:1]),
    "mixed": (WHOLE, P),
}


@pytest.mark.parametrize("name", PAIRS)
def test_polynomials(name):
    p, q = PAIRS[name]
    for f in (np.polyadd, np.polysub, np.polymul, np.polydiv, np.polyval):
        if not (f is np.polydiv and name == "single"):  # NumPy's keeps terms that are rounding
            check_as_numpy(lambda p, q, f=f: f(p, q), p, q, order=2)
    for m in (0, 1, 2, 5):
        check_as_numpy(lambda p, m=m: np.polyder(p, m), p, order=0)
        check_as_numpy(lambda p, m=m: np.polyint(p, m), p, order=0)
    check_as_numpy(lambda p: np.polyint(p, 2, [1, 2]), p)
    if name != "complex":
        check_as_numpy(np.poly, p, order=2)


def test_polynomials_of_what_is_traced():
    check_as_numpy(lambda p, k: np.polyint(p, 2, k), P, Q[:2])
    check_as_numpy(lambda a, b: gnp.polyval([a, b, 1.0], 3.0), 1.0, 2.0)
    check_as_numpy(lambda x: np.polyval([1, 2, 3], x), X, order=2)
    check_as_numpy(lambda x: np.vander(x, 3), P)


def test_fitted_polynomials():
    x, y = np.linspace(-1.0, 2.0, 7), np.cos(np.arange(14.0)).reshape(7, 2)
    w = 1 + np.arange(7.0) / 7
    check_as_numpy(lambda x, y: np.polyfit(x, y, 2), x, y, order=2)
    check_as_numpy(lambda y, w: np.polyfit(x, y[:, 0], 3, w=w), y, w)
    check_as_numpy(lambda y: np.polyfit(x, y[:, 0], 2, cov=True)[1], y)
    check_as_numpy(lambda y: np.polyfit(x, y, 1, cov="unscaled", w=w)[1] * y[0], y)
    check_as_numpy(lambda y: np.polyfit(x, y, 2, full=True)[1], y)
    check_as_numpy(lambda p: abs(np.roots(p)), P)
    with pytest.raises(ArgumentError, match="cov='unscaled'"):
        ad.vjp(lambda y: np.polyfit(x[:2], y, 1, cov=True)[0], y[:2, 0])


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda p: np.poly(p * 1j), r"np\.convolve"),
        (lambda p: np.poly(p[None]), "eigenvalues"),
        (lambda p: np.roots(p[None]), "give a vector"),
        (lambda p: np.polyval(p[None], 1.0), "give a vector"),
        (lambda p: np.polyder(p, -1), "from 0"),
        (lambda p: np.polyint(p, 3, [1, 2]), "one for each"),
    ],
)
def test_what_polynomials_cannot_be(f, words):
    with pytest.raises((ArgumentError, UnsupportedError), match=words):
        ad.vjp(f, P)

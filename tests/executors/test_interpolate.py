"""gpuad.scipy.interpolate against SciPy: values, derivatives, vmap, and messages."""

import numpy as np
import pytest
import scipy.interpolate

import gpuad as ad
from gpuad.errors import ArgumentError, DTypeError, UnsupportedError
from gpuad.testing import check_grads

interpolate = ad.scipy.interpolate
_draw = np.random.default_rng(37)
X = np.sort(_draw.uniform(0, 10, 9))
Y, COLUMNS = _draw.normal(size=9), _draw.normal(size=(2, 9, 3))
CLOSED = np.append(Y[:-1], Y[0])
LEVEL = np.where(np.arange(9) == 4, Y[3], Y)
POINTS, INSIDE = _draw.uniform(-2, 12, (4, 5)), _draw.uniform(X[0], X[-1], 7)
CALLS = [(POINTS, k) for k in range(5)] + [
    (POINTS, 0, False), (POINTS, 1, "periodic"), (2.5,), (X,)
]  # fmt: skip


def assert_like(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    scale = max(1.0, np.nanmax(np.abs(np.append(expected, 0))))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11 * scale)


def compare(name, x, y, *args, calls=CALLS, **options):
    """SciPy's interpolant, and gpuad's of plain arrays, with the values and the points traced."""
    theirs = getattr(scipy.interpolate, name)(x, y, *args, **options)

    def made(y):
        return getattr(interpolate, name)(x, y, *args, **options)

    for points, *rest in calls:
        expected = theirs(points, *rest)
        assert_like(made(y)(points, *rest), expected)
        of_values = ad.jit(lambda y, p=points, r=rest: made(y)(p, *r), executor="reference")
        of_points = ad.jit(lambda p, r=rest: made(y)(p, *r), executor="reference")
        assert_like(of_values(y), expected)
        assert_like(of_points(np.asarray(points)), expected)


ENDS = {
    "not-a-knot": Y, "natural": Y, "clamped": Y, "periodic": CLOSED, ((1, 0.5), (2, -0.3)): Y,
    ("natural", (1, 0.2)): Y,
}  # fmt: skip


@pytest.mark.parametrize("ends", ENDS, ids=str)
def test_cubic_splines(ends):
    compare("CubicSpline", X, ENDS[ends], bc_type=ends)


def test_cubic_splines_of_several_values():
    compare("CubicSpline", X, COLUMNS, 1, calls=CALLS[:2])
    compare("CubicSpline", X, COLUMNS + 1j, 1, calls=CALLS[:2])
    for n in (2, 3, 4):
        compare("CubicSpline", X[:n], Y[:n], calls=CALLS[:2])
    compare("CubicSpline", list(X), Y.astype(np.float32), calls=CALLS[:1])


def test_long_splines_are_made_in_blocks():
    """Of uneven knots, and with a block of one knot at the end."""
    x = np.cumsum(_draw.uniform(0.001, 1, 700) ** 3)
    y = _draw.normal(size=700)
    for ends in ("not-a-knot", ((1, 0.5), (2, -0.3))):
        compare("CubicSpline", x, y, bc_type=ends, calls=[(x[:-1] + 0.3 * np.diff(x),)])
    compare("CubicSpline", x[:513], y[:513], calls=[(x[500:512] + 0.001,)])


HERMITE = {
    "pchip": ("PchipInterpolator", {}),
    "akima": ("Akima1DInterpolator", {}),
    "makima": ("Akima1DInterpolator", {"method": "makima", "extrapolate": True}),
}


@pytest.mark.parametrize("kind", HERMITE)
def test_cubic_pieces(kind):
    name, options = HERMITE[kind]
    compare(name, X, LEVEL, **options)
    compare(name, X, COLUMNS, 1, **options, calls=CALLS[:2])
    compare(name, X[:2], Y[:2], **options, calls=CALLS[:2])
    compare(name, X, np.zeros(9), **options, calls=CALLS[:2])

    def cost(y, p):
        return (getattr(interpolate, name)(X, y, **options)(p) ** 2).sum()

    check_grads(cost, (COLUMNS[0, :, 0], INSIDE), order=2)
    flat = ad.grad(cost)(np.zeros(9), INSIDE)
    np.testing.assert_array_equal(flat, np.zeros(9))
    several = COLUMNS[:, :, 0]
    found = ad.vmap(lambda y: getattr(interpolate, name)(X, y, **options)(INSIDE))(several)
    each = [getattr(interpolate, name)(X, y, **options)(INSIDE) for y in several]
    np.testing.assert_allclose(found, np.stack(each), rtol=1e-12)


def test_derivatives_of_splines():
    for ends in ("not-a-knot", ((1, 0.5), (2, -0.3))):

        def cost(y, p, ends=ends):
            spline = interpolate.CubicSpline(X, y, bc_type=ends)
            return (spline(p) ** 2).sum() + spline(p, 1).sum()

        check_grads(cost, (Y, INSIDE), order=2)
        np.testing.assert_allclose(ad.jit(ad.grad(cost))(Y, INSIDE), ad.grad(cost)(Y, INSIDE),
                                   rtol=1e-11)  # fmt: skip

    def of_ends(v):
        return (interpolate.CubicSpline(X, Y, bc_type=((1, v), "natural"))(INSIDE) ** 2).sum()

    check_grads(of_ends, (np.array(0.3),), order=2)
    spline, theirs = interpolate.CubicSpline(X, Y), scipy.interpolate.CubicSpline(X, Y)
    np.testing.assert_allclose(ad.vmap(ad.grad(spline))(INSIDE), theirs(INSIDE, 1), rtol=1e-11)
    curvature = ad.vmap(ad.grad(ad.grad(spline)))(INSIDE)
    np.testing.assert_allclose(curvature, theirs(INSIDE, 2), rtol=1e-10)
    periodic = ad.grad(lambda y: interpolate.CubicSpline(X, y, bc_type="periodic")(3.0))(CLOSED)
    unit = np.eye(9, 8)
    unit[-1, 0] = 1
    expected = scipy.interpolate.CubicSpline(X, unit, bc_type="periodic")(3.0)
    np.testing.assert_allclose(periodic, np.append(expected, 0), atol=1e-13)


def test_other_pieces():
    compare("CubicHermiteSpline", X, Y, Y[::-1], calls=CALLS[:3])
    spline, theirs = (
        interpolate.CubicSpline(X, COLUMNS, 1),
        scipy.interpolate.CubicSpline(X, COLUMNS, 1),
    )
    for nu in (1, 2, 4, -1, -2):
        assert_like(spline.derivative(nu)(POINTS), theirs.derivative(nu)(POINTS))
    assert_like(spline.integrate(-0.3, 7.0), theirs.integrate(-0.3, 7.0))
    area = ad.grad(lambda b: interpolate.CubicSpline(X, Y).integrate(1.0, b))(5.0)
    assert np.isclose(area, interpolate.CubicSpline(X, Y)(5.0))
    c = _draw.normal(size=(3, 8, 2))
    assert_like(interpolate.PPoly(c, X)(POINTS), scipy.interpolate.PPoly(c, X)(POINTS))


KINDS = ("linear", "slinear", "nearest", "nearest-up", "previous", "next", "cubic")
OUTSIDE = [
    {"bounds_error": False},
    {"fill_value": "extrapolate"},
    {"bounds_error": False, "fill_value": (1.0, 2.0)},
]


@pytest.mark.parametrize("kind", KINDS)
def test_interp1d(kind):
    order = _draw.permutation(9)
    for options in OUTSIDE:
        compare("interp1d", X[order], COLUMNS[0][order].T, kind, **options,
                calls=[(POINTS,), (X,), (3.0,)])  # fmt: skip
        compare("interp1d", X, COLUMNS, kind, axis=1, **options, calls=[(POINTS,)])


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, int])
def test_a_value_that_is_given_back_keeps_its_dtype(dtype):
    y = (9 * Y).astype(dtype)
    for kind in KINDS[2:6]:
        expected = scipy.interpolate.interp1d(X, y, kind)(X)
        found = ad.jit(lambda y, k=kind: interpolate.interp1d(X, y, k)(X))(y)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    places = X[:, None]
    expected = scipy.interpolate.RegularGridInterpolator([X], y, "nearest")(places)
    found = ad.jit(lambda y: interpolate.RegularGridInterpolator([X], y, "nearest")(places))(y)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


GRID = (np.sort(_draw.uniform(size=5)), np.sort(_draw.uniform(size=4))[::-1])
VALUES = _draw.normal(size=(5, 4, 2))
PLACES = _draw.uniform(-0.2, 1.2, (6, 3, 2))


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_grids(method):
    places = PLACES.copy()
    places[0, 0, 0] = np.nan
    for fill in (np.nan, None, 3.0):
        compare("RegularGridInterpolator", GRID, VALUES, method, bounds_error=False,
                fill_value=fill, calls=[(places,), ([0.3, 0.4],)])  # fmt: skip
        ours = interpolate.RegularGridInterpolator(GRID, VALUES, method, False, fill)
        theirs = scipy.interpolate.RegularGridInterpolator(GRID, VALUES, method, False, fill)
        pair = (places[..., 0], 0.5)
        assert_like(ours(pair), theirs(pair))


def test_derivatives_of_grids():
    def cost(v, p):
        made = interpolate.RegularGridInterpolator(GRID, v, bounds_error=False, fill_value=None)
        return (made(p) ** 2).sum()

    check_grads(cost, (VALUES, PLACES), order=2)
    found = ad.jit(ad.grad(cost, argnums=(0, 1)))(VALUES, PLACES)
    for x, y in zip(found, ad.grad(cost, argnums=(0, 1))(VALUES, PLACES), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda y: interpolate.CubicSpline(y, Y), UnsupportedError, "knots must be known"),
        (lambda y: interpolate.CubicSpline(X[::-1], y), ArgumentError, "increase strictly"),
        (lambda y: interpolate.CubicSpline(X, y[:4]), ArgumentError, "4 values"),
        (lambda y: interpolate.PchipInterpolator(X, y * 1j), DTypeError, "y.real"),
        (lambda y: interpolate.Akima1DInterpolator(X, y, method="no"), ArgumentError, "'makima'"),
        (lambda y: interpolate.interp1d(X, y, "no"), ArgumentError, "kind='no'"),
        (lambda y: interpolate.interp1d(X, Y)(y), UnsupportedError, "bounds_error=False"),
        (lambda y: interpolate.interp1d(X, y)(99.0), ArgumentError, "outside of the grid"),
        (lambda y: interpolate.CubicSpline(X, y)(1.0, 0, "no"), ArgumentError, "extrapolate='no'"),
        (
            lambda y: interpolate.RegularGridInterpolator([X], y, "cubic"),
            UnsupportedError,
            "'linear' or 'nearest'",
        ),
        (
            lambda y: interpolate.RegularGridInterpolator([X], Y)(y[:, None]),
            UnsupportedError,
            "bounds_error=False",
        ),
        (
            lambda y: interpolate.CubicSpline(X, y, bc_type="periodic").integrate(0, 1),
            UnsupportedError,
            "extrapolate=False",
        ),
    ],
)
def test_messages(function, error, words):
    with pytest.raises(error, match=words):
        ad.grad(lambda y: function(y) * y.sum())(Y)


def test_akima_of_no_values():
    f = lambda y: interpolate.Akima1DInterpolator(np.arange(5.0), y)(0.5)  # noqa: E731
    assert ad.jit(f)(np.zeros((5, 0))).shape == (0,)

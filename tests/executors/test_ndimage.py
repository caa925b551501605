"""gpuad.scipy.ndimage against SciPy: values, derivatives, vmap, and messages."""

import warnings

import numpy as np
import pytest
import scipy
import scipy.ndimage

import gpuad as ad
from gpuad.errors import ArgumentError, DTypeError, InPlaceError
from gpuad.testing import check_grads

ndimage = ad.scipy.ndimage
MODES = ("reflect", "grid-mirror", "mirror", "nearest", "wrap", "grid-wrap", "constant",
         "grid-constant")  # fmt: skip
_draw = np.random.default_rng(29)


def some_of(kinds):
    """Every mode of real images, and some of others."""
    return [(k, m) for k in kinds for m in (MODES if k == "real" else MODES[::3])]


def real(*shape):
    return _draw.normal(size=shape)


IMAGE = real(6, 7)
IMAGES = {
    "real": IMAGE,
    "single": IMAGE.astype(np.float32),
    "integers": _draw.integers(-50, 50, (6, 7)),
    "complex": IMAGE + 1j * real(6, 7),
    "strided": real(14, 12)[::-2, ::2].T,
}
ORDERED = [kind for kind in IMAGES if kind != "complex"]


OLD = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 18)
"""Spline filters of these modes began with an element that was one step ahead."""
AHEAD = ("reflect", "grid-mirror", "nearest")
RESAMPLING = ("map_coordinates", "shift", "zoom", "rotate", "affine_transform", "spline_filter",
              "spline_filter1d")  # fmt: skip


def assert_like(found, expected, tolerance=1e-12):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.name in ("float32", "complex64"):
        tolerance = max(tolerance, 3e-6)
    scale = max(1.0, np.max(np.abs(expected), initial=0))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def compare(name, image, *args, **options):
    """SciPy's function of an image, and gpuad's with the image traced."""
    expected = getattr(scipy.ndimage, name)(image, *args, **options)
    function = ad.jit(lambda x: getattr(ndimage, name)(x, *args, **options), executor="reference")
    ahead = OLD and name in RESAMPLING and options.get("mode") in AHEAD
    assert_like(function(image), expected, 1e-3 if ahead else 1e-12)


# Filters


@pytest.mark.parametrize(("kind", "mode"), some_of(IMAGES))
def test_linear_filters(kind, mode):
    x, options = IMAGES[kind], {"mode": mode, "cval": 1.5}
    for weights in ([1, -2, 1.0], np.arange(20.0), [1 + 2j, 3.0]):
        compare("correlate1d", x, weights, **options)
        compare("convolve1d", x, weights, 0, origin=-1, **options)
    for weights in (real(3, 3), real(4, 5), real(2, 3) + 1j):
        compare("correlate", x, weights, **options)
        compare("convolve", x, weights, origin=(0, -1), **options)
    compare("convolve", x, real(2, 3), axes=(1, 0), **options)
    compare("uniform_filter", x, (2, 6), **options)
    compare("uniform_filter1d", x, 3, 0, origin=1, **options)
    compare("gaussian_filter", x, (1, 0.5), order=(0, 1), **options)
    compare("gaussian_filter", x, 3.0, radius=(2, 9), **options)
    compare("gaussian_filter1d", x, 0.7, order=3, truncate=3.0, **options)
    for name in ("prewitt", "sobel", "laplace"):
        compare(name, x, **options)
    compare("gaussian_laplace", x, 1.2, **options)
    compare("gaussian_gradient_magnitude", x, 1.2, **options)


@pytest.mark.parametrize(("kind", "mode"), some_of(ORDERED))
def test_filters_that_choose(kind, mode):
    x, options = IMAGES[kind], {"mode": mode, "cval": 3.0}
    names = ("maximum_filter", "minimum_filter", "median_filter", "grey_erosion", "grey_dilation")
    for name in names:
        compare(name, x, (2, 3), **options)
        compare(name, x, footprint=[[1, 0, 1], [0, 1, 1]], origin=(0, -1), **options)
    compare("maximum_filter", x, 9, **options)
    compare("maximum_filter1d", x, 4, origin=-1, **options)
    compare("minimum_filter1d", x, 3, 0, **options)
    compare("rank_filter", x, -2, 3, **options)
    compare("percentile_filter", x, 30, 3, **options)
    for name in ("grey_erosion", "grey_dilation", "grey_opening", "grey_closing"):
        compare(name, x, structure=real(2, 3), mode=mode)


def test_axes_of_filters():
    x = real(3, 4, 5)
    compare("gaussian_filter", x, (1.0, 0.5), axes=(2, 0), mode=("wrap", "nearest"))
    compare("uniform_filter", x, (2, 3), axes=(-1, 0), origin=(0, 1))
    compare("correlate", x, real(2, 3), axes=(2, 0), origin=(1, 0))
    compare("laplace", x, axes=(1,), output=np.float32)
    compare("gaussian_laplace", x, (0.5,), axes=(1,), truncate=3)
    compare("gaussian_gradient_magnitude", x, 0.5, axes=(0, 2), radius=2)
    compare("maximum_filter", x, (2, 3), axes=(2, 0), mode=("wrap", "nearest"))
    compare("median_filter", x, footprint=[[1, 0], [1, 1]], axes=(2, 0))
    compare("gaussian_filter", x, 0.0)
    compare("laplace", x, axes=())


def test_images_that_are_small_or_empty():
    for shape in ((0, 3), (1, 4), (1,), (2,)):
        x = real(*shape)
        for mode in MODES:
            for name, *args in (("gaussian_filter", 1.0), ("uniform_filter", 4), ("sobel",),
                                ("laplace",), ("maximum_filter", 3)):  # fmt: skip
                compare(name, x, *args, mode=mode)
    compare("gaussian_filter", np.array(2.0), 1.0)
    x = IMAGE.copy()
    x[2, 3] = np.nan
    compare("gaussian_filter", x, 0.5)
    compare("sobel", x)


FILTERS = {
    "gaussian": lambda x: ndimage.gaussian_filter(x, 0.6),
    "wide": lambda x: ndimage.gaussian_filter(x, 3.0, mode="wrap"),
    "uniform": lambda x: ndimage.uniform_filter(x, 4),
    "gradient": lambda x: ndimage.gaussian_gradient_magnitude(x, 0.5),
    "maximum": lambda x: ndimage.maximum_filter(x, 3),
    "median": lambda x: ndimage.median_filter(x, 3),
    "coefficients": lambda x: ndimage.spline_filter(x, 4, mode="grid-wrap"),
    "zoom": lambda x: ndimage.zoom(x, 1.5),
}


@pytest.mark.parametrize("name", FILTERS)
def test_derivatives_of_filters(name):
    function = FILTERS[name]
    check_grads(lambda x: (function(x) ** 2).sum(), (IMAGE,), order=2)
    expected = ad.grad(lambda x: (function(x) ** 2).sum())(IMAGE)
    np.testing.assert_allclose(
        ad.jit(ad.grad(lambda x: (function(x) ** 2).sum()))(IMAGE), expected, rtol=1e-12, atol=1e-12
    )
    several = real(3, 6, 7)
    each = np.stack([function(x) for x in several])
    np.testing.assert_allclose(ad.vmap(function)(several), each, rtol=1e-12, atol=1e-12)


def test_derivatives_by_weights_and_widths():
    def filtered(x, w, v, c):
        y = ndimage.correlate(x, w)
        return (ndimage.convolve1d(y, v, 0, mode="constant", cval=c) ** 3).sum()

    check_grads(filtered, (IMAGE, real(3, 3), real(4), np.array(0.5)), order=2)

    def smoothed(sigma):
        return (ndimage.gaussian_filter(IMAGE, [sigma, 1.0], radius=4, order=1) ** 2).sum()

    check_grads(smoothed, (np.array(1.1),), order=2)
    check_grads(
        lambda s: (ndimage.grey_dilation(IMAGE, structure=s) ** 2).sum(), (real(2, 3),), order=2
    )


def test_hard_points():
    flat = np.zeros((4, 5))
    gradient = ad.grad(lambda x: ndimage.gaussian_gradient_magnitude(x, 1.0).sum())(flat)
    assert (gradient == 0).all()
    ties = ad.grad(lambda x: ndimage.maximum_filter(x, 3)[1, 1])(flat)
    np.testing.assert_allclose(ties[:3, :3], 1 / 9)
    holes = np.full(5, np.nan)
    holes[2] = 1.0
    kept = ad.grad(lambda x: ndimage.map_coordinates(x, [[2.0, 9.0]], order=0).sum())(holes)
    np.testing.assert_array_equal(kept, [0, 0, 1, 0, 0])


# Resampling


@pytest.mark.parametrize(("kind", "mode"), some_of(["real", "single", "complex"]))
def test_resampling(kind, mode):
    x = IMAGES[kind]
    places = _draw.uniform(-20, 25, (2, 4, 5))
    for order in range(6):
        options = {"order": order, "mode": mode, "cval": 1.5}
        compare("map_coordinates", x, places, **options)
        compare("map_coordinates", x, np.round(places), prefilter=False, **options)
        compare("shift", x, (1.3, -2.6), **options)
        compare("affine_transform", x, [[1.1, 0.3], [-0.2, 0.9]], (1.01, -2.0), **options)
        if kind == "real":
            compare("map_coordinates", x, places.astype(np.float32), **options)
            compare("affine_transform", x, [0.7, 1.2], 0.5, **options)
            compare("rotate", x, 33.0, **options)
        dtype = complex if kind == "complex" else float
        compare("spline_filter1d", x, order, 0, output=dtype, mode=mode)
        if order > 1:
            compare("spline_filter", x, order, output=dtype, mode=mode)


def test_other_ways_to_resample():
    matrix = [[1.1, 0.3, 0.5], [-0.2, 0.9, 0.1], [0, 0, 1]]
    compare("affine_transform", IMAGE, matrix, output_shape=(5, 6))
    compare("affine_transform", IMAGE, matrix[:2], output_shape=(5, 6), order=1)
    compare("affine_transform", IMAGE, [[1.1], [-0.2]], output_shape=(5,), mode="nearest")
    compare("rotate", IMAGE, 90, mode="constant")
    compare("rotate", IMAGE, -47.0, reshape=False, mode="mirror")
    compare("rotate", real(5, 3, 6), 20.0, axes=(0, 2), order=2, mode="nearest")
    compare("map_coordinates", real(3, 4, 5), _draw.uniform(-2, 6, (3, 8)), mode="reflect")
    compare("spline_filter", IMAGE, output=np.float32)
    compare("map_coordinates", IMAGES["integers"], real(2, 9), output=float, mode="wrap")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy advises another mode
        for mode in MODES:
            for factor in (2, (0.6, 1.7)):
                compare("zoom", IMAGE, factor, mode=mode, grid_mode=factor == 2, order=2)
    compare("zoom", IMAGE, 1)
    for kind in ("integers", "single"):
        compare("shift", IMAGES[kind], 0.3, cval=2)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "grid-mirror"])
def test_derivatives_of_resampling(mode):
    """Those by coordinates are those of the spline, of which order 1 is not smooth at elements."""
    places = _draw.uniform(-3, 9, (2, 4))
    orders = (1, 2, 3, 5) if mode == "reflect" else (3,) if "grid" in mode else (1, 3)
    if OLD and mode == "reflect":  # check_grads compares with SciPy's value, too
        orders = (1,)
    for order in orders:

        def cost(x, c, order=order):
            return (ndimage.map_coordinates(x, c, order=order, mode=mode, cval=0.5) ** 2).sum()

        check_grads(cost, (IMAGE, places), order=2)


def test_derivatives_by_motions():
    x = IMAGE
    check_grads(lambda x, s: (ndimage.shift(x, s) ** 2).sum(), (x, np.array([0.3, 0.4])), order=2)
    check_grads(
        lambda a: (ndimage.rotate(x, a, reshape=False) ** 2).sum(), (np.array(31.0),), order=2
    )
    matrix, offset = np.array([[0.9, 0.1], [0.2, 0.7]]), np.array([0.213, 0.317])
    check_grads(
        lambda m, o: (ndimage.affine_transform(x, m, o) ** 2).sum(), (matrix, offset), order=2
    )
    turned = ad.vmap(lambda a: ndimage.rotate(x, a, reshape=False, order=1))
    for angle, found in zip((0.0, 90.0, -180.0, 33.0), turned(np.array([0, 90, -180, 33.0])),
                            strict=True):  # fmt: skip
        expected = scipy.ndimage.rotate(x, angle, reshape=False, order=1)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_slope_at_an_element_is_that_of_the_piece_behind_it():
    x = np.array([0.0, 1.0, 4.0, 9.0])
    slope = ad.grad(lambda c: ndimage.map_coordinates(x, c[None, None], order=1)[0])
    assert slope(1.0) == 3.0
    for mode, value in (("nearest", np.nan), ("constant", 7.0)):
        compare("map_coordinates", x, [[np.nan]], mode=mode, cval=7.0)
        found = ad.vmap(lambda c, m=mode: ndimage.map_coordinates(x, c, mode=m, cval=7.0))
        np.testing.assert_array_equal(found(np.full((1, 1, 1), np.nan)), [[value]])


def test_weights_of_zero_and_tangents_of_zero_drop_infinite_slopes():
    """P3 of the conventions, element by element: a filter spreads no NaN."""
    x, t = np.array([0.0, 0.0, 0.0, 4.0, 9.0]), np.array([0.0, 1.0, 0.0, 0.0, 1.0])

    def roots(x):
        return np.sum(np.sqrt(ndimage.correlate1d(x, [0.0, 1.0, 0.0], mode="constant")))

    slopes = [np.inf, np.inf, np.inf, 1 / 4, 1 / 6]
    for transform in (lambda f: f, ad.jit):
        np.testing.assert_allclose(transform(ad.grad(roots))(x), slopes)
        product = transform(lambda x: ad.hvp(roots, (x,), (t,))[0])(x)
        np.testing.assert_allclose(product, [0, -np.inf, 0, 0, -1 / 108])


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda x: ndimage.laplace(x, mode="no"), ArgumentError, "mode='no'; give one of"),
        (lambda x: ndimage.gaussian_filter(x, x[0, 0]), ArgumentError, "give radius="),
        (lambda x: ndimage.zoom(x, x[0, 0]), ArgumentError, "zoom is traced"),
        (lambda x: ndimage.rotate(x, x[0, 0]), ArgumentError, "reshape=False"),
        (lambda x: ndimage.correlate(x, [1.0]), ArgumentError, "weights have shape"),
        (lambda x: ndimage.correlate1d(x, [[1.0]]), ArgumentError, "give a vector"),
        (lambda x: ndimage.uniform_filter(x, 3, origin=4), ArgumentError, "origin 4"),
        (lambda x: ndimage.median_filter(x), ArgumentError, "size nor footprint"),
        (lambda x: ndimage.rank_filter(x, 9, 3), ArgumentError, "rank 9"),
        (lambda x: ndimage.maximum_filter(x * 1j, 3), DTypeError, "no order"),
        (lambda x: ndimage.map_coordinates(x, x), ArgumentError, r"give \(2, \.\.\.\)"),
        (lambda x: ndimage.shift(x, 1, order=6), ArgumentError, "order=6"),
        (lambda x: ndimage.shift(x, [1, 2, 3]), ArgumentError, "3 values for 2 axes"),
        (lambda x: ndimage.affine_transform(x, [[1.0]]), ArgumentError, "matrix has shape"),
        (lambda x: ndimage.laplace(x, output=np.zeros((6, 7))), InPlaceError, "plain array"),
        (lambda x: ndimage.gaussian_laplace(x, 1.0, sigmas=3), ArgumentError, "sigmas"),
    ],
)
def test_messages(function, error, words):
    with pytest.raises(error, match=words):
        ad.grad(lambda x: function(x).sum())(IMAGE)

"""Medians and quantiles by every method, of what is not NaN, with weights, at traced places."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from executors.numpy_checks import check_as_numpy
from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy.quantiles import _METHODS

_draw = np.random.default_rng(0)
X = _draw.normal(size=(3, 7))
WITH_NAN = X.copy()
WITH_NAN[0, 2] = WITH_NAN[1, 1:5] = WITH_NAN[2, 0] = np.nan
NOTHING = WITH_NAN.copy()
NOTHING[1] = np.nan
WHOLE = _draw.integers(0, 9, (3, 7))
PLACES = [0.3, 0, 1, np.float64(0.5), [0.0, 0.1, 0.5, 1 / 7, 2 / 7, 1], np.array([[0.3, 0.7]], "f")]


@pytest.mark.filterwarnings("ignore:All-NaN slice|invalid value:RuntimeWarning")
@pytest.mark.parametrize("method", _METHODS)
def test_every_method(method):
    for number, q in enumerate(PLACES):
        options = [{}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}][number % 3]
        for f in (np.quantile, np.nanquantile):
            for x in (X, X.astype(np.float32), WHOLE, WITH_NAN, NOTHING):
                expected = f(x, q, method=method, **options)
                found = run(lambda x, f=f, q=q, o=options: f(x, q, method=method, **o), x)
                assert found.dtype == expected.dtype and found.shape == np.shape(expected)
                rtol = 1e-6 if x.dtype == np.float32 else 1e-12
                np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)
    check_as_numpy(lambda x: np.quantile(x, [0.3, 0.4], axis=0, method=method), X)
    check_as_numpy(lambda x: np.nanquantile(x, [0.3, 0.4], axis=0, method=method), X)


def run(f, *args):
    return np.asarray(ad.jit(f, executor="reference")(*args))


def test_a_traced_place_is_differentiated():
    q = np.array([0.22, 0.41, 0.9])
    check_as_numpy(lambda x, q: gnp.quantile(x, q, axis=1), X, q, order=2)
    check_as_numpy(lambda x, q: gnp.nanquantile(x, q, axis=1, method="hazen"), X, q[0], order=2)
    check_as_numpy(lambda x, q: gnp.percentile(x, 100 * q, axis=0), X, q / 2)
    check_as_numpy(lambda q: gnp.nanpercentile(WITH_NAN, 100 * q, axis=1), q)


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_medians():
    for x in (X, X[:, :6], WHOLE, WITH_NAN, NOTHING, X.astype(np.float32)):
        for options in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}):
            for f in (np.median, np.nanmedian):
                check_as_numpy(lambda x, f=f, o=options: f(x, **o), x, order=0)
    check_as_numpy(lambda x: np.nanmedian(x, axis=1), X, order=2)
    infinite = np.array([[np.inf, 1, np.inf, 2], [-np.inf, np.inf, np.nan, np.nan]])
    np.testing.assert_array_equal(
        run(lambda x: gnp.nanmedian(x, axis=1), infinite), [np.inf, np.nan]
    )
    gradient = ad.grad(lambda x: np.nansum(np.nanmedian(x, axis=1)))(NOTHING)
    np.testing.assert_array_equal(gradient.sum(1), [1, 0, 1])


def test_weights():
    weights = _draw.uniform(0.1, 1, (3, 7))
    weights[0, :3] = 0
    for f in (np.quantile, np.nanquantile):
        for x in (X, WITH_NAN, WHOLE):
            for options in ({}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}):
                check_as_numpy(
                    lambda x, w, f=f, o=options: f(
                        x, [0, 0.3, 1], weights=w, method="inverted_cdf", **o
                    ),
                    x,
                    weights,
                    order=0,
                )
    one = np.arange(7) % 3
    check_as_numpy(lambda x: np.quantile(x, 0.6, axis=1, weights=one, method="inverted_cdf"), X)
    with pytest.raises(ArgumentError, match="method='inverted_cdf' only"):
        run(lambda x: np.quantile(x, 0.5, weights=weights), X)


def test_weights_that_numpy_refuses_give_nan():
    for weights in (np.zeros(7), np.full(7, np.inf)):
        found = run(
            lambda x, w=weights: np.quantile(x, 0.5, 1, weights=w, method="inverted_cdf"), X
        )
        assert np.isnan(found).all()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "f2", "f4"])
def test_dtypes_of_elements_and_places(dtype):
    x = np.arange(5).astype(dtype)
    places = (0.3, 1, np.float32(0.3), np.float16(0.5), np.array([0.3, 0.5]), [0, 1], np.int8(1))
    for q in places:
        check_as_numpy(lambda x, q=q: np.quantile(x, q), x, order=0)
    check_as_numpy(lambda x: np.quantile(x, np.float32(0.25), method="hazen"), x, order=0)
    whole = np.array([2**62 + 1, 2**62 + 3])
    assert run(lambda x: np.quantile(x, 1), whole) == whole[1]


def test_no_place_and_no_elements():
    check_as_numpy(lambda x: np.quantile(x, [], axis=1), X, order=0)
    for f in (np.quantile, np.nanquantile):
        with pytest.raises(ArgumentError, match="no elements"):
            run(lambda x, f=f: f(x[:0], 0.5, axis=0), X)
    for options in ({}, {"weights": np.ones((3, 7)), "method": "inverted_cdf"}):
        with pytest.raises(UnsupportedError, match="complex"):
            run(lambda x, o=options: np.quantile(x, 0.5, **o), X * 1j)
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        run(lambda x: np.nanpercentile(x, 101), X)

"""Statistics, cumulative functions, sorting and searching of the namespace, against NumPy."""

import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special

import gpuad as ad
import gpuad.numpy as gnp
from executors.numpy_checks import check_as_numpy
from gpuad.errors import ArgumentError, UnknownValueError, UnsupportedError

jax.config.update("jax_enable_x64", True)

_draw = np.random.default_rng(0)
X = _draw.normal(size=(3, 4))
V = _draw.normal(size=(3, 4))
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 0]], bool)
HOLES = np.where(MASK, X, np.nan)
W = _draw.random(4) + 0.1

# Functions that NumPy and gpuad run from one text: each is a function of an array (3, 4).
SMOOTH: dict[str, Callable[[Any], Any]] = {
    "sum": np.sum,
    "sum axis": lambda x: np.sum(x, axis=1),
    "sum axes keepdims": lambda x: np.sum(x, axis=(-1, 0), keepdims=True),
    "sum no axes": lambda x: np.sum(x, axis=()),
    "sum dtype": lambda x: np.sum(x, axis=0, dtype=np.complex128).real,
    "sum initial": lambda x: np.sum(x, axis=0, initial=2.5),
    "sum where": lambda x: np.sum(x, axis=1, where=MASK),
    "sum where traced": lambda x: np.sum(np.ones((3, 4)), axis=1, where=x > 0) + x[:, 0],
    "sum initial traced": lambda x: np.sum(x[0], initial=x[1, 1]),
    "sum method": lambda x: x.sum(0, None, None, True),
    "prod": np.prod,
    "prod axis": lambda x: np.prod(x, axis=-1, keepdims=True),
    "prod initial where": lambda x: np.prod(x, axis=0, initial=2.0, where=MASK),
    "prod method": lambda x: x.prod(axis=(0, 1)),
    "max": np.max,
    "amax axis": lambda x: np.amax(x, axis=1, keepdims=True),
    "max initial": lambda x: np.max(x, axis=0, initial=0.1),
    "max initial where": lambda x: np.max(x, axis=1, initial=-0.5, where=MASK),
    "max method": lambda x: x.max(0),
    "min": np.min,
    "amin axes": lambda x: np.amin(x, axis=(0, 1)),
    "min initial": lambda x: np.min(x, axis=-2, initial=-0.1, keepdims=True),
    "min method": lambda x: x.min(1, None, True),
    "max of none": lambda x: np.max(x[:, :0], axis=1, initial=3.0) + x[:, 0],
    "ptp": np.ptp,
    "ptp axis": lambda x: np.ptp(x, axis=1, keepdims=True),
    "mean": np.mean,
    "mean axis": lambda x: np.mean(x, axis=0, keepdims=True),
    "mean where": lambda x: np.mean(x, axis=1, where=MASK),
    "var where": lambda x: np.var(x, axis=1, ddof=1, where=MASK),
    "std where": lambda x: np.std(x, where=MASK),
    "mean dtype": lambda x: np.mean(x, axis=1, dtype=np.float64),
    "mean method": lambda x: x.mean((0, 1)),
    "var": np.var,
    "var axis": lambda x: np.var(x, axis=1, ddof=1, keepdims=True),
    "var correction": lambda x: np.var(x, axis=0, correction=1),
    "var mean": lambda x: np.var(x, axis=0, mean=np.mean(x, axis=0, keepdims=True), ddof=1),
    "var complex": lambda x: np.var(x + 1j * x**2, axis=0),
    "var method": lambda x: x.var(0),
    "std": np.std,
    "std axis": lambda x: np.std(x, axis=(0, 1), ddof=2, keepdims=True),
    "std complex": lambda x: np.std(x * (1 + 2j)),
    "std mean": lambda x: np.std(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)),
    "std method": lambda x: x.std(axis=1, ddof=1),
    "average": lambda x: np.average(x, axis=0),
    "average weights": lambda x: np.average(x, axis=1, weights=W),
    "average full weights": lambda x: np.average(x, weights=MASK + 0.5, keepdims=True),
    "average traced weights": lambda x: np.average(np.arange(4.0), weights=x[0] ** 2),
    "average returned": lambda x: sum(np.average(x, axis=1, weights=W, returned=True)),
    "average returned mean": lambda x: sum(np.average(x, axis=1, returned=True)),
    "cov": np.cov,
    "cov columns": lambda x: np.cov(x, rowvar=False, bias=True),
    "cov pair": lambda x: np.cov(x[0], x[1], ddof=0),
    "cov line": lambda x: np.cov(x[0]),
    "corrcoef": np.corrcoef,
    "corrcoef pair": lambda x: np.corrcoef(x[0], x[1] ** 2),
    "median odd": lambda x: np.median(x, axis=0),
    "median even": lambda x: np.median(x, axis=1, keepdims=True),
    "median all": np.median,
    "median axes": lambda x: np.median(x[None], axis=(0, 2)),
    "quantile": lambda x: np.quantile(x, 0.3),
    "quantile many": lambda x: np.quantile(x, [[0.0, 0.25], [0.9, 1.0]], axis=1),
    "quantile keepdims": lambda x: np.quantile(x, [0.2, 0.8], axis=(0, 1), keepdims=True),
    **{
        f"quantile {method}": lambda x, m=method: np.quantile(x, [0.1, 0.45, 0.8], axis=1, method=m)
        for method in (
            "weibull hazen median_unbiased normal_unbiased interpolated_inverted_cdf lower higher "
            "nearest midpoint".split()
        )
    },
    "percentile": lambda x: np.percentile(x, [10, 50], axis=0),
    "nansum": lambda x: np.nansum(x + HOLES, axis=1),
    "nanprod": lambda x: np.nanprod(x + HOLES, axis=0, keepdims=True),
    "nanmean": lambda x: np.nanmean(x + HOLES, axis=1),
    "nanmean where": lambda x: np.nanmean(x + HOLES, axis=1, where=V > -1),
    "nanmax": lambda x: np.nanmax(x + HOLES, axis=0),
    "nanmin": lambda x: np.nanmin(x + HOLES),
    "nanmax initial": lambda x: np.nanmax(x + HOLES, axis=1, initial=0.0),
    "nanvar": lambda x: np.nanvar(x + HOLES, axis=1, ddof=1, keepdims=True),
    "nanstd": lambda x: np.nanstd(x + HOLES),
    "nancumsum": lambda x: np.nancumsum(x + HOLES, axis=1),
    "nancumprod": lambda x: np.nancumprod(x + HOLES, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumsum flat": np.cumsum,
    "cumsum method": lambda x: x.cumsum(0),
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "cumprod method": lambda x: x.cumprod(axis=-1),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x, axis=0),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "minimum.accumulate": lambda x: np.minimum.accumulate(x, axis=0),
    "logaddexp.accumulate": lambda x: np.logaddexp.accumulate(x, axis=1),
    "add.reduce": lambda x: np.add.reduce(x, axis=1, keepdims=True),
    "multiply.reduce": lambda x: np.multiply.reduce(x),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=0),
    "diff": np.diff,
    "diff twice": lambda x: np.diff(x, n=2, axis=0),
    "diff around": lambda x: np.diff(x, axis=1, prepend=0.5, append=x[:, :1]),
    "ediff1d": lambda x: np.ediff1d(x, to_begin=1.0, to_end=x[0, :2]),
    "gradient": lambda x: np.gradient(x, 0.5, axis=1),
    "gradient both": lambda x: np.stack(np.gradient(x, 0.5, 2.0)),
    "gradient second": lambda x: np.gradient(x, axis=0, edge_order=2),
    "trapezoid": np.trapezoid,
    "trapezoid x": lambda x: np.trapezoid(x**2, W, axis=1),
    "trapezoid dx": lambda x: np.trapezoid(x, dx=0.3, axis=0),
    "trapezoid traced x": lambda x: np.trapezoid(W, x[0]),
    "sort": lambda x: np.sort(x, axis=0),
    "sort flat": lambda x: np.sort(x, axis=None, kind="stable"),
    "sort by argsort": lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "where": lambda x: np.where(x > 0, x**2, 3.0),
    "where numbers": lambda x: x * np.where(x > 0, 1, 0.5),
    "where broadcast": lambda x: np.where(MASK[:, :1], x, x[0] * 2),
    "unique": lambda x: np.unique(x)[::2],
    "nonzero": lambda x: x[np.nonzero(x > 0)],
    "flatnonzero": lambda x: x.ravel()[np.flatnonzero(MASK)],
}
if hasattr(np, "cumulative_sum"):
    SMOOTH["cumulative_sum"] = lambda x: np.cumulative_sum(x, axis=1, include_initial=True)
    SMOOTH["cumulative_prod"] = lambda x: np.cumulative_prod(x, axis=0, include_initial=True)


def difference(f: Callable, x: np.ndarray, v: np.ndarray, h: float = 1e-6) -> np.ndarray:
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


@pytest.mark.parametrize("name", SMOOTH)
def test_value_and_derivative(name: str) -> None:
    f = SMOOTH[name]
    expected = f(X)
    value, dot = ad.jvp(f, (X,), (V,))
    assert np.shape(value) == np.shape(expected)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dot, difference(f, X, V), rtol=1e-6, atol=1e-7)
    _, pull = ad.vjp(f, X)
    seed = np.random.default_rng(1).normal(size=np.shape(expected))
    np.testing.assert_allclose(np.sum(pull(seed)[0] * V), np.sum(seed * dot), rtol=1e-10)


# Functions that NumPy has not, with their values by SciPy or NumPy.
B = np.array([0.5, 0.0, 2.0, 1.0])
OURS: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], Any]]] = {
    "logsumexp": (gnp.logsumexp, scipy.special.logsumexp),
    "logsumexp axis": (
        lambda x: gnp.logsumexp(x, axis=1, keepdims=True),
        lambda x: scipy.special.logsumexp(x, axis=1, keepdims=True),
    ),
    "logsumexp b": (
        lambda x: gnp.logsumexp(x, axis=1, b=B),
        lambda x: scipy.special.logsumexp(x, axis=1, b=B),
    ),
    "logsumexp traced b": (
        lambda x: gnp.logsumexp(B, b=x**2, axis=-1),
        lambda x: scipy.special.logsumexp(np.broadcast_to(B, x.shape), b=x**2, axis=-1),
    ),
    "softmax": (lambda x: gnp.softmax(x, axis=1), lambda x: scipy.special.softmax(x, axis=1)),
    "softmax all": (gnp.softmax, scipy.special.softmax),
    "log_softmax": (
        lambda x: gnp.log_softmax(x, axis=0),
        lambda x: scipy.special.log_softmax(x, axis=0),
    ),
    "cummax": (lambda x: gnp.cummax(x, 1), lambda x: np.maximum.accumulate(x, 1)),
    "cummin": (gnp.cummin, lambda x: np.minimum.accumulate(x.ravel())),
    "cumlogsumexp": (lambda x: gnp.cumlogsumexp(x, 1), lambda x: np.logaddexp.accumulate(x, 1)),
    "logcumsumexp": (gnp.logcumsumexp, lambda x: np.logaddexp.accumulate(x.ravel())),
    "sort descending": (
        lambda x: gnp.sort(x, axis=1, descending=True),
        lambda x: np.sort(x, 1)[:, ::-1],
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_functions_of_our_own(name: str) -> None:
    f, by_numpy = OURS[name]
    value, dot = ad.jvp(f, (X,), (V,))
    np.testing.assert_allclose(value, by_numpy(X), rtol=1e-12)
    np.testing.assert_allclose(f(X), by_numpy(X), rtol=1e-12)  # of plain arrays
    np.testing.assert_allclose(dot, difference(by_numpy, X, V), rtol=1e-6, atol=1e-8)


SECOND: dict[str, tuple[Callable, Callable]] = {
    "prod": (lambda x: np.prod(x, 1), lambda x: jnp.prod(x, 1)),
    "cumprod": (lambda x: np.cumprod(x, 1), lambda x: jnp.cumprod(x, 1)),
    "var": (lambda x: np.var(x, 0), lambda x: jnp.var(x, 0)),
    "std": (np.std, jnp.std),
    "logsumexp": (lambda x: gnp.logsumexp(x, 1), lambda x: jax.scipy.special.logsumexp(x, 1)),
    "softmax": (lambda x: gnp.softmax(x, 1), lambda x: jax.nn.softmax(x, 1)),
    "log_softmax": (lambda x: gnp.log_softmax(x, 1), lambda x: jax.nn.log_softmax(x, 1)),
    "cumlogsumexp": (lambda x: gnp.cumlogsumexp(x, 1), lambda x: jax.lax.cumlogsumexp(x, 1)),
    "cummax": (lambda x: gnp.cummax(x * x, 1), lambda x: jax.lax.cummax(x * x, 1)),
    "sort": (lambda x: np.sort(x**3, 1), lambda x: jnp.sort(x**3, 1)),
    "corrcoef": (np.corrcoef, jnp.corrcoef),
    "median": (lambda x: np.median(x**2, 1), lambda x: jnp.median(x**2, 1)),
    "max": (lambda x: np.max(x**2, 1), lambda x: jnp.max(x**2, 1)),
}


@pytest.mark.parametrize("mode", ["forward-over-reverse", "reverse-over-forward"])
@pytest.mark.parametrize("name", SECOND)
def test_second_order_against_jax(name: str, mode: str) -> None:
    ours, theirs = SECOND[name]
    seed = np.random.default_rng(2).normal(size=np.shape(theirs(X)))
    found = hvp(lambda x: (ours(x) * seed).sum(), X, V, mode)
    _, expected = jax.jvp(jax.grad(lambda x: (theirs(x) * seed).sum()), (X,), (V,))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def hvp(f: Callable, x: np.ndarray, v: np.ndarray, mode: str = "forward-over-reverse") -> Any:
    return ad.hvp(f, (x,), (v,), mode=mode)[0]


# Hard points


def agree(f: Callable, x: np.ndarray, expected: Any) -> None:
    """The Jacobian is `expected`, forward and reverse; an HVP is finite; a zero seed gives zero."""
    np.testing.assert_allclose(ad.jacfwd(f)(x), expected, atol=1e-15)
    np.testing.assert_allclose(ad.jacrev(f)(x), expected, atol=1e-15)
    zero = ad.jvp(f, (x,), (np.zeros_like(x),))[1]
    assert not np.any(zero)
    assert np.isfinite(hvp(lambda x: np.sum(f(x)), x, np.ones_like(x))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x", "gradient"),
    [
        ([2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
        ([2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([1e-30, 1e30, 2.0], [2e30, 2e-30, 1.0]),
    ],
)
def test_prod_beside_zeros(x: list, gradient: list, dtype: type) -> None:
    x = np.array(x, dtype)
    found = ad.grad(np.prod)(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.array(gradient, dtype), rtol=1e-6)


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def test_prod_and_cumprod_are_exact_to_third_order(x: list) -> None:
    x = np.array(x)
    pairs = [(0, 1), (0, 2), (1, 2)]
    hessian = np.zeros((3, 3))
    for i, j in pairs:
        hessian[i, j] = hessian[j, i] = x[3 - i - j]
    np.testing.assert_array_equal(ad.hessian(np.prod)(x), hessian)
    np.testing.assert_array_equal(ad.hessian(lambda x: np.cumprod(x)[2])(x), hessian)
    third = ad.jacfwd(ad.hessian(lambda x: np.cumprod(x)[2]))(x)
    assert third[0, 1, 2] == third[2, 0, 1] == 1 and third.sum() == 6
    jacobian = [[1, 0, 0], [x[1], x[0], 0], [x[1] * x[2], x[0] * x[2], x[0] * x[1]]]
    np.testing.assert_array_equal(ad.jacfwd(np.cumprod)(x), jacobian)
    np.testing.assert_array_equal(ad.jacrev(np.cumprod)(x), jacobian)


def test_extremes_split_evenly_at_ties() -> None:
    x = np.array([1.0, 3.0, 3.0, 0.0, 3.0])
    agree(np.max, x, [0, 1 / 3, 1 / 3, 0, 1 / 3])
    agree(np.min, -x, [0, 1 / 3, 1 / 3, 0, 1 / 3])
    rows = [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]]
    agree(gnp.cummax, x[:3], rows)
    agree(gnp.cummin, -x[:3], rows)
    later = ad.jacrev(gnp.cummax)(np.array([2.0, 1.0, 2.0, 5.0]))
    np.testing.assert_array_equal(
        later, [[1, 0, 0, 0], [1, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]]
    )


def test_extremes_with_nan() -> None:
    x = np.array([1.0, np.nan, 3.0])
    for f in (np.max, np.min, lambda x: gnp.cummax(x)[2], lambda x: gnp.cummin(x)[2]):
        assert np.isnan(f(x))
        np.testing.assert_array_equal(ad.grad(f)(x), [0, 1, 0])
    np.testing.assert_array_equal(ad.grad(np.nanmax)(x), [0, 0, 1])
    assert np.isnan(ad.jvp(np.nanmax, (np.full(2, np.nan),), (np.ones(2),))[0])


INF = np.inf


@pytest.mark.parametrize(
    ("x", "value", "gradient"),
    [
        ([0.0, -INF, 0.0], np.log(2), [0.5, 0, 0.5]),
        ([-INF, -INF], -INF, [0, 0]),
        ([INF, INF], INF, [0.5, 0.5]),
        ([INF, 1.0, INF, -INF], INF, [0.5, 0, 0.5, 0]),
        ([1000.0, 1000.0], 1000 + np.log(2), [0.5, 0.5]),
        ([-1000.0, -1000.0], -1000 + np.log(2), [0.5, 0.5]),
    ],
)
def test_logsumexp_at_infinities(x: list, value: float, gradient: list) -> None:
    x = np.array(x)
    for f in (gnp.logsumexp, lambda x: gnp.cumlogsumexp(x)[-1]):
        np.testing.assert_allclose(f(x), value)
        np.testing.assert_allclose(ad.jvp(f, (x,), (np.ones_like(x),))[0], value)
        agree(f, x, gradient)


def test_logsumexp_beside_the_infinite_slope_of_log() -> None:
    x = np.array([0.0, 2.0])
    with np.errstate(divide="ignore"):
        found = ad.jacfwd(lambda x: gnp.logsumexp(np.log(x)))(x)
        np.testing.assert_allclose(found, [0, 0.5])
        np.testing.assert_allclose(ad.jacrev(lambda x: gnp.logsumexp(np.log(x)))(x), [0, 0.5])


@pytest.mark.parametrize("gap", [1.0, 20.0, 40.0, 300.0])
def test_logsumexp_is_accurate_to_second_order(gap: float) -> None:
    x = np.array([gap, 0.0, 0.25])
    with mpmath.workdps(400):
        e = [mpmath.exp(mpmath.mpf(float(t))) for t in x]
        p = [t / mpmath.fsum(e) for t in e]
        value = mpmath.log(mpmath.fsum(e)) - mpmath.mpf(gap)
        hessian = [[p[i] * ((i == j) - p[j]) for j in range(3)] for i in range(3)]
        hessian = np.array(hessian, dtype=float)
    shifted = float(gnp.logsumexp(x - gap))
    assert abs(shifted - float(value)) <= 4e-16 * float(value)
    np.testing.assert_allclose(ad.grad(gnp.logsumexp)(x), np.array(p, float), rtol=4e-16)
    np.testing.assert_allclose(ad.hessian(gnp.logsumexp)(x), hessian, rtol=4e-15)
    np.testing.assert_allclose(ad.jacfwd(lambda x: gnp.softmax(x))(x), hessian, rtol=4e-15)
    np.testing.assert_allclose(ad.jacrev(lambda x: gnp.softmax(x))(x), hessian, rtol=4e-15)


def test_zero_variance() -> None:
    x = np.full(4, 1.5)
    agree(np.var, x, np.zeros(4))
    for f in (np.std, np.nanstd):  # a kink: like a norm
        np.testing.assert_array_equal(ad.grad(f)(x), 0)
        np.testing.assert_array_equal(ad.jacfwd(f)(x), 0)
        assert not np.isfinite(hvp(f, x, np.arange(4.0))).any()
        np.testing.assert_array_equal(hvp(f, x, 0 * x), 0)
    np.testing.assert_allclose(ad.hessian(np.var)(x), (np.eye(4) - 0.25) / 2)


def test_sort_ties_are_stable() -> None:
    x = np.array([2.0, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(ad.jacrev(np.sort)(x), np.eye(4)[[1, 3, 0, 2]])
    down = lambda x: gnp.sort(x, descending=True)  # noqa: E731
    np.testing.assert_array_equal(down(x), [2, 2, 1, 1])
    order = ad.jit(lambda x: gnp.argsort(x, descending=True))(x)
    np.testing.assert_array_equal(order, [0, 2, 1, 3])


def test_where_keeps_the_other_branch_out() -> None:
    f = lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0.0).sum()  # noqa: E731
    bad = lambda x: np.where(x > 0, np.log(x), 0.0).sum()  # noqa: E731
    x = np.array([-1.0, 4.0])
    np.testing.assert_array_equal(ad.grad(f)(x), [0, 0.25])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ad.grad(bad)(x), [0, 0.25])
        assert ad.jvp(bad, (x,), (np.ones(2),))[1] == 0.25


# dtypes and constants


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.float16, np.float32])
@pytest.mark.parametrize(
    "name", "sum prod mean var max min any all cumsum cumprod argmax sort median".split()
)
def test_dtypes_follow_numpy(name: str, dtype: type) -> None:
    x = (np.arange(12).reshape(3, 4) % 3).astype(dtype)
    f = getattr(np, name)
    found, expected = ad.jit(lambda x: f(x, axis=1))(x), f(x, axis=1)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


CONSTANT: dict[str, Callable[[Any], Any]] = {
    "any": lambda x: np.any(x > 1, axis=1, keepdims=True),
    "any where": lambda x: np.any(x > 0, axis=0, where=MASK),
    "any floats": np.any,
    "all": lambda x: np.all(x > -1, axis=(0, 1)),
    "all where": lambda x: np.all(x > 0, axis=1, where=MASK),
    "all method": lambda x: (x > 0).all(0),
    "argmax": np.argmax,
    "argmax keepdims": lambda x: np.argmax(x, axis=1, keepdims=True),
    "argmax flat keepdims": lambda x: np.argmax(x, keepdims=True),
    "argmin": lambda x: np.argmin(x, axis=-2),
    "argmin method": lambda x: x.argmin(1),
    "argsort": lambda x: np.argsort(x, axis=0),
    "argsort flat": lambda x: np.argsort(x, axis=None),
    "count_nonzero": lambda x: np.count_nonzero(x > 0, axis=1, keepdims=True),
    "count_nonzero all": lambda x: np.count_nonzero(x > 0, axis=(0, 1)),
    "searchsorted": lambda x: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x),
    "searchsorted right": lambda x: np.searchsorted(np.sort(x[0]), x, side="right"),
    "searchsorted sorter": lambda x: np.searchsorted(x[0], 0.1, sorter=np.argsort(x[0])),
    "searchsorted method": lambda x: np.sort(x[1]).searchsorted(x[2]),
    "diff of booleans": lambda x: np.diff(x > 0, axis=1),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_constant_functions(name: str) -> None:
    f = CONSTANT[name]
    found, expected = ad.jit(f)(X), f(X)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", "argwhere nonzero flatnonzero".split())
def test_indices_are_plain_arrays(name: str) -> None:
    f = getattr(np, name)

    def loss(x: Any) -> Any:
        np.testing.assert_array_equal(f(x > 0), f(X > 0))
        return x.sum()

    ad.grad(loss)(X)


def test_unique_extras() -> None:
    x = np.array([3.0, 1.0, 3.0, 2.0])

    def loss(x: Any) -> Any:
        values, index, inverse, counts = np.unique(x, True, True, True)
        expected = np.unique(np.array([3.0, 1.0, 3.0, 2.0]), True, True, True)
        for a, b in zip((index, inverse, counts), expected[1:], strict=True):
            np.testing.assert_array_equal(a, b)
        return (values * np.array([1.0, 10.0, 100.0])).sum()

    np.testing.assert_array_equal(ad.grad(loss)(x), [100, 1, 0, 10])


def test_sizes_of_zero() -> None:
    x = np.zeros((3, 0))
    for f in (np.sum, np.prod, np.cumsum, np.sort, lambda x: np.sum(x, axis=1)):
        value, dot = ad.jvp(f, (x,), (x,))
        np.testing.assert_array_equal(value, f(x))
        assert dot.shape == value.shape
    assert ad.grad(np.prod)(x).shape == (3, 0)
    for f in (np.sum, np.prod, np.max, np.mean, np.var, np.std, np.cumsum, np.median):
        value = ad.jvp(f, (2.0,), (1.0,))[0]
        np.testing.assert_array_equal(value, f(2.0))


def test_scalars_without_axes() -> None:
    assert ad.grad(np.max)(2.0) == 1.0
    assert ad.grad(lambda x: np.sum(x) * np.mean(x) + np.prod(x))(3.0) == 7.0
    assert ad.grad(np.std)(3.0) == 0.0
    assert ad.jit(np.argmax)(3.0) == 0


def test_numbers_are_reduced_along_an_axis_as_numpy_does() -> None:
    for f in (np.sum, np.prod, np.max, np.min, np.any, np.nansum, np.nanmax):
        for axis in (0, -1):
            check_as_numpy(lambda x, f=f, i=axis: f(x, axis=i, keepdims=True), np.array(2.0))
    with pytest.raises(ArgumentError, match="leave axis out"):
        ad.jit(lambda x: np.sum(x, axis=1))(2.0)


WHOLE = np.array([[1, -2, 3], [4, 0, -1]])
INTEGERS: dict[str, Callable[[Any], Any]] = {
    "sum initial": lambda x: np.sum(x, initial=2.5),
    "prod initial": lambda x: np.prod(x, axis=0, initial=2.5),
    "max initial": lambda x: np.max(x, axis=1, initial=2.7),
    "min where": lambda x: np.min(x, axis=1, initial=2.7, where=x > 0),
    "nanmax initial": lambda x: np.nanmax(x, initial=2.7),
    "nanvar of too few": lambda x: np.nanvar(x, axis=0, ddof=3),
    "nanstd about": lambda x: np.nanstd(x, axis=0, mean=np.array([[1.0, 2, 3]]), where=x > -2),
    "subtract.reduce": lambda x: np.subtract.reduce(x, dtype=float),
}


@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:divide by zero")
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_stay_what_numpy_makes_of_them(name: str) -> None:
    check_as_numpy(INTEGERS[name], WHOLE)
    check_as_numpy(INTEGERS[name], WHOLE.astype(np.int8))


def test_a_real_dtype_for_the_spread_of_complex_values_is_refused() -> None:
    for f in (np.var, np.nanstd):
        with pytest.raises(UnsupportedError, match=r"write \w+\(x.real\)"):
            ad.jit(lambda x, f=f: f(x, dtype=float))(X * 1j)


def test_out_and_in_place() -> None:
    def loss(x: Any) -> Any:
        total = np.zeros_like(x[0])
        np.sum(x, axis=0, out=total)
        y = x[0] * 1
        y.sort()
        np.cumsum(y, out=y)
        return (total**2).sum() + y[2]

    expected = 2 * X.sum(0) + np.zeros_like(X)
    expected[0, np.argsort(X[0])] += [1, 1, 1, 0]
    np.testing.assert_allclose(ad.grad(loss)(X), expected)


def test_vmap_of_each_function() -> None:
    skipped = {"unique", "nonzero", "flatnonzero", "trapezoid x"}
    batch = np.stack([X, 2 * X, X - V])
    for name in SMOOTH.keys() - skipped:
        f = SMOOTH[name]
        found = ad.vmap(f)(batch)
        np.testing.assert_allclose(found, [f(x) for x in batch], rtol=1e-12, err_msg=name)


def test_cupy_kernels_reach_the_reductions() -> None:
    names = {
        "cupy_sum": np.sum, "cupy_prod": np.prod, "cupy_max": np.max, "cupy_min": np.min,
        "cupy_any": np.any, "cupy_all": np.all, "cupy_argmax": np.argmax, "cupy_mean": np.mean,
        "cupy_argmin": np.argmin, "cupy_nansum": np.nansum, "cupy_nanmax": np.nanmax,
        "cupy_sum_with_dtype": np.sum, "cupy_prod_with_dtype": np.prod, "cupy_nanmin": np.nanmin,
        "cupy_nanprod": np.nanprod,
    }  # fmt: skip
    for name, by_numpy in names.items():
        kernel = types.SimpleNamespace(name=name)
        found = ad.jit(
            lambda x, k=kernel: x.__cupy_override_reduction_kernel__(k, 1, None, None, True)
        )(X)
        np.testing.assert_allclose(found, by_numpy(X, axis=1, keepdims=True), err_msg=name)
    where = types.SimpleNamespace(name="cupy_where")
    found = ad.jit(lambda x: x.__cupy_override_elementwise_kernel__(where, x > 0, x, 0.0))(X)
    np.testing.assert_array_equal(found, np.where(X > 0, X, 0.0))


# Refusals


REFUSED: dict[str, tuple[Callable[[Any], Any], type, str]] = {
    "max of nothing": (lambda x: np.max(x[:0]), ArgumentError, "give initial="),
    "max where": (lambda x: np.max(x, where=MASK), ArgumentError, "give initial= too"),
    "argmax of nothing": (lambda x: np.argmax(x[:0], axis=0), ArgumentError, "argmax: shape"),
    "axis": (lambda x: np.sum(x, axis=2), ArgumentError, "axis 2 is out of range"),
    "axis twice": (lambda x: np.sum(x, axis=(0, 0)), ArgumentError, "twice"),
    "ddof twice": (lambda x: np.std(x, ddof=1, correction=1), ArgumentError, "one of them"),
    "weights": (lambda x: np.average(x, 0, weights=W), ArgumentError, r"shape \(4,\)"),
    "cov weights": (lambda x: np.cov(x, aweights=-W), ArgumentError, "aweights are below 0"),
    "histogram": (lambda x: np.histogram(x), UnsupportedError, "counts have no derivative"),
    "histogram, weights": (lambda x: np.histogram2d(x, x), UnsupportedError, "weights have deriv"),
    "histogram, auto": (
        lambda x: np.histogram(W, "auto", weights=x[0]),
        ArgumentError,
        "without weights",
    ),
    "histogram, shape": (
        lambda x: np.histogram(W[:2], weights=x[0]),
        ArgumentError,
        "one weight for each sample",
    ),
    "sort order": (lambda x: np.sort(x, order="a"), UnsupportedError, "order"),
    "q": (lambda x: np.quantile(x, 1.5), ArgumentError, "from 0 to 1"),
    "method": (lambda x: np.quantile(x, 0.5, method="middle"), ArgumentError, "one of"),
    "median of nothing": (lambda x: np.median(x[:0]), ArgumentError, "no median"),
    "gradient spacing": (lambda x: np.gradient(x, W, axis=0), ArgumentError, "one coordinate"),
    "gradient short": (lambda x: np.gradient(x[:1], axis=0), ArgumentError, "at least 2"),
    "return_sign": (lambda x: gnp.logsumexp(x, return_sign=True), UnsupportedError, "return_sign"),
    "complex logsumexp": (lambda x: gnp.logsumexp(x * 1j), UnsupportedError, "complex"),
    "where with one": (lambda x: np.where(x > 0, x), (ArgumentError, ValueError), "both x and y"),
    "side": (lambda x: np.searchsorted(x[0], x, side="middle"), ArgumentError, "'left' or"),
    "searched axes": (lambda x: np.searchsorted(x, x), ArgumentError, "one sorted axis"),
    "cumulative axis": (lambda x: gnp.cumulative_sum(x), ArgumentError, "give axis="),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_to_write(name: str) -> None:
    f, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        ad.jvp(f, (X,), (V,))


@pytest.mark.parametrize("name", "nonzero flatnonzero argwhere unique where".split())
def test_shapes_that_depend_on_values_are_refused_under_jit(name: str) -> None:
    f = getattr(np, name)
    for transform in (ad.jit, ad.vmap):
        with pytest.raises(UnknownValueError, match="whose shape depends on values"):
            transform(lambda x: f(x))(X)


SAMPLES = np.random.default_rng(5).normal(size=(30, 2))
HISTOGRAMS = {
    "bins": lambda w: np.histogram(SAMPLES[:, 0], 7, weights=w)[0],
    "edges": lambda w: np.histogram(SAMPLES[:, 0], [-1, 0, 0.5, 2], weights=w)[0],
    "density": lambda w: np.histogram(SAMPLES[:, 0], 5, (-1, 1), density=True, weights=w)[0],
    "several axes": lambda w: np.histogram(SAMPLES[:, 0].reshape(5, 6), 4, weights=w.reshape(5, 6))[
        0
    ],
    "2d": lambda w: np.histogram2d(*SAMPLES.T, 4, weights=w)[0],
    "2d density": lambda w: np.histogram2d(
        *SAMPLES.T, [3, np.array([-1, 0, 1.0])], density=True, weights=w
    )[0],
    "dd": lambda w: np.histogramdd(SAMPLES, 3, weights=w)[0],
    "dd of columns": lambda w: np.histogramdd([*SAMPLES.T], 3, density=True, weights=w)[0],
    "bincount": lambda w: np.bincount(np.arange(30) % 4, w, minlength=6),
}


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_the_weights_of_a_histogram_have_derivatives(name: str) -> None:
    f = HISTOGRAMS[name]
    w = np.random.default_rng(6).uniform(1, 2, size=30)
    v = np.sin(np.arange(30.0))
    value, tangent = ad.jvp(f, (w,), (v,))
    assert value.dtype == f(w).dtype
    np.testing.assert_allclose(value, f(w), rtol=1e-13)
    np.testing.assert_allclose(tangent, (f(w + 1e-5 * v) - f(w - 1e-5 * v)) / 2e-5, atol=1e-8)
    (pulled,) = ad.vjp(f, w)[1](np.ones_like(value))
    np.testing.assert_allclose(pulled @ v, tangent.sum(), rtol=1e-10, atol=1e-12)

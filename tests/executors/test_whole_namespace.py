"""What completes NumPy's namespace: sets, indices, functions of the user's, subscripts, parts."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from executors.numpy_checks import check_as_numpy, known_as_numpy
from gpuad.errors import (
    ArgumentError,
    BadIndexError,
    GpuadError,
    InPlaceError,
    UnknownValueError,
    UnsupportedError,
)

_draw = np.random.default_rng(0)
X = _draw.normal(size=(3, 4))
V = _draw.normal(size=5)
WHOLE = _draw.integers(0, 9, (3, 4))
HOLES = X.copy()
HOLES[0, 1] = HOLES[2, 0] = np.nan

# Sets

TESTS: list[Any] = [WHOLE[0], np.arange(20), np.arange(9.0), WHOLE[:0], [1, np.nan], 1j]


@pytest.mark.parametrize("invert", [False, True])
def test_isin(invert):
    for x in (WHOLE, WHOLE * 1.0, HOLES, WHOLE.astype(np.uint8), WHOLE > 3, WHOLE * 1j):
        for tests in TESTS:
            check_as_numpy(lambda x, t=tests: np.isin(x, t, invert=invert), x, order=0)
    check_as_numpy(lambda x, t: np.isin(x, t, kind="sort"), np.float64(3), np.arange(12.0), order=0)


SETS: dict[str, Callable[..., Any]] = {
    "union1d": np.union1d,
    "setdiff1d": np.setdiff1d,
    "setdiff1d unique": lambda a, b: np.setdiff1d(a[:3], b, assume_unique=True),
    "setxor1d": np.setxor1d,
    "intersect1d": np.intersect1d,
    "intersect1d indices": lambda a, b: np.intersect1d(a, b, return_indices=True),
    "unique": lambda a, b: np.unique(np.append(a * np.nan, b), equal_nan=False),
    "trim_zeros": lambda a, b: np.trim_zeros(np.pad(a, 2)),
    "trim_zeros front": lambda a, b: np.trim_zeros(np.pad(a, 2), "f"),
    "trim_zeros of zeros": lambda a, b: np.trim_zeros(a * 0),
    "trim_zeros axis": lambda a, b: np.trim_zeros(np.pad(np.outer(a, b), 1), axis=1),
    "real_if_close": lambda a, b: np.real_if_close(a + 0j),
    "real_if_close of complex": lambda a, b: np.real_if_close(a + 1j),
    "bincount": lambda a, b: np.bincount(a.astype(int)),
}


@pytest.mark.parametrize("name", SETS)
def test_functions_of_known_values(name):
    f = SETS[name]
    known_as_numpy(f, np.array([3.0, 1.0, 2.0, 3.0, 5.0]), np.array([5.0, 7.0, 3.0, 3.0]))
    with pytest.raises(UnknownValueError, match="depends on values"):
        ad.jit(f)(np.array([3.0, 1.0, 2.0]), np.array([5.0, 7.0]))


def test_elements_of_a_set_have_the_derivative_of_what_they_are():
    def loss(a):
        return (np.intersect1d(a, [1.0, 3.0]) ** 2).sum() + np.setdiff1d(a, [1.0]).sum()

    np.testing.assert_array_equal(ad.grad(loss)(np.array([3.0, 1.0, 2.0, 3.0])), [7, 2, 1, 0])


# Searching and sorting


@pytest.mark.parametrize("right", [False, True])
def test_digitize(right):
    x = np.array([[0.0, 1.0, 2.0, 2.5, 9.0, -1.0, np.nan]])
    for bins in ([0.0, 1.0, 2.5, 4.0], [4.0, 2.5, 1.0, 0.0], [1.0], [1.0, 1.0]):
        check_as_numpy(lambda x, b=bins: np.digitize(x, b, right), x, order=0)
        check_as_numpy(lambda x, b: np.digitize(x, b, right), x, np.array(bins), order=0)
    with pytest.raises(ValueError, match="monotonic"):
        ad.jit(lambda x: np.digitize(x, [0, 2, 1]))(x)


def test_partition_puts_elements_into_their_places():
    for k in (0, 2, -1, [1, 2]):
        found = ad.jit(lambda x, k=k: np.partition(x, k, axis=1))(X)
        np.testing.assert_array_equal(found[:, k], np.partition(X, k, axis=1)[:, k])
        order = ad.jit(lambda x, k=k: x.argpartition(k))(X)
        np.testing.assert_array_equal(np.take_along_axis(X, order, 1)[:, k], found[:, k])
    with pytest.raises(ArgumentError, match="kth=4"):
        ad.jit(lambda x: np.partition(x, 4))(X)


KEYS = _draw.integers(0, 3, (3, 2, 5))
ELEMENTARY: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "lexsort": (np.lexsort, (KEYS,)),
    "lexsort axis": (lambda k: np.lexsort(k, axis=0), (KEYS,)),
    "lexsort tuple": (lambda k: np.lexsort((k[0], k[1])), (KEYS,)),
    "sort_complex": (np.sort_complex, (X,)),
    "sort_complex small": (np.sort_complex, (WHOLE.astype(np.int16),)),
    "sort_complex complex": (np.sort_complex, (X + 1j * X[::-1],)),
    "nanargmax": (lambda x: np.nanargmax(x, axis=1, keepdims=True), (HOLES,)),
    "nanargmin": (np.nanargmin, (HOLES,)),
    "nanargmin integers": (lambda x: np.nanargmin(x, axis=0), (WHOLE,)),
    "nanvar mean": (lambda x, m: np.nanvar(x, axis=0, mean=m), (HOLES, np.ones((1, 4)))),
    "nanstd mean": (lambda x: np.nanstd(x, axis=1, mean=np.nanmean(x, 1, keepdims=True)), (HOLES,)),
    "ravel_multi_index": (lambda i: np.ravel_multi_index(i, (9, 9, 9)), (WHOLE,)),
    "ravel_multi_index F": (lambda i: np.ravel_multi_index(tuple(i), (9, 9, 9), order="F"),
                            (WHOLE,)),
    "ravel_multi_index modes": (
        lambda a, b: np.ravel_multi_index((a - 5, b + 9), (3, 4), mode=("wrap", "clip")),
        (WHOLE[0], WHOLE[1]),
    ),
    "unravel_index": (lambda i: np.unravel_index(i, (3, 4, 2)), (WHOLE,)),
    "unravel_index F": (lambda i: np.unravel_index(i, (3, 4, 2), order="F"), (WHOLE,)),
    "ix_": (lambda x, i: x[np.ix_(i, [True, False, True, False])], (X, np.array([1, 0]))),
    "bitwise_or.reduce": (lambda x: np.bitwise_or.reduce(x > 3), (WHOLE,)),
    "bitwise_and.reduce": (lambda x: np.bitwise_and.reduce(x > 3, axis=1), (WHOLE,)),
    "logical_xor.reduce": (lambda x: np.logical_xor.reduce(x > 3, axis=1), (WHOLE,)),
    "minimum.reduceat": (lambda x: np.minimum.reduceat(x, [0, 2, 1], axis=1), (WHOLE,)),
    "maximum.reduceat of booleans": (lambda x: np.maximum.reduceat(x > 3, [0, 2]), (WHOLE,)),
    "subtract.reduce of integers": (
        lambda x: np.subtract.reduce(x, initial=7), (WHOLE.astype(np.int16),)),
    "divide.reduce of integers": (lambda x: np.divide.reduce(x + 2**40, axis=1), (WHOLE,)),
    "ediff1d beside traced ends": (lambda e: np.ediff1d(X, e, to_begin=0), (X[0],)),
    "coordinates traced alone": (lambda h: np.gradient(X, h, 2.0), (np.array([0.0, 1.0, 4.0]),)),
    "poly of no roots": (np.poly, (np.ones(0),)),
    "histogram_bin_edges single": (np.histogram_bin_edges, (X.astype(np.float32),)),
    "histogram_bin_edges single in a range": (
        lambda x: np.histogram_bin_edges(x, 4, (0, 1)), (X.astype(np.float32),)),
    "add.reduceat of small integers": (
        lambda x: np.add.reduceat(x, [0, 2], axis=1), (WHOLE.astype(np.int8),)),
    "average of integers": (lambda x: np.average(x, 0, returned=True), (X.astype(np.float32),)),
    "bitwise_count": (np.bitwise_count, (np.array([-128, 127, 0, 5], np.int8),)),
    "bitwise_count 64": (np.bitwise_count, (np.array([-(2**63), 2**63 - 1, 77]),)),
    "resize": (lambda x: np.resize(x, (2, 3, 5)), (X,)),
    "resize smaller": (lambda x: np.resize(x, 3), (X,)),
    "resize to nothing": (lambda x: np.resize(x, (0, 3)), (X,)),
    "compress method": (lambda x: x.compress([1, 0, 1], axis=0), (X,)),
    "choose method": (lambda i, x: i.choose([x, 2 * x]), (WHOLE % 2, X)),
    "frexp": (np.frexp, (np.array([1, 0.5, -3, 0, np.inf, np.nan, 5e-324, 1.7e308, 2.0**-1022]),)),
    "frexp single": (np.frexp, (np.array([1, -0.75, 1e-45, 3e38], np.float32),)),
    "frexp integers": (np.frexp, (WHOLE,)),
    "modf small integers": (np.modf, (WHOLE.astype(np.int8),)),
    "spacing": (np.spacing, (np.array([1, -0.5, 0, np.inf, np.nan, 5e-324, 1.7e308]),)),
    "nan_to_num": (lambda x: np.nan_to_num(x, nan=3.0, posinf=1, neginf=np.arange(4.0)),
                   (np.array([1, np.nan, np.inf, -np.inf]),)),
    "nan_to_num complex": (np.nan_to_num, (np.array([complex(np.nan, 1), complex(2, -np.inf)]),)),
    "geomspace of two signs": (lambda a: np.geomspace(a, -8, 4, endpoint=False), (np.float32(-2),)),
    "geomspace complex": (lambda a: np.geomspace(a, 1 + 1j, 4), (1 + 2j,)),
    "histogram_bin_edges of equals": (lambda x: np.histogram_bin_edges(x, 3), (np.ones(3),)),
    "histogram_bin_edges of none": (np.histogram_bin_edges, (np.ones(0),)),
    "cov dtype": (lambda x: np.cov(x, dtype=np.float32), (X,)),
    "cov complex": (lambda x: np.cov(x, aweights=[0.1, 0.5, 0.2, 0.9]), (X * 1j + X**2,)),
    "corrcoef complex": (np.corrcoef, (X * 1j + X**2,)),
    "piecewise of integers": (lambda x: np.piecewise(x, [x > 2], [7, 5]), (np.arange(5),)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", ELEMENTARY)
def test_values(name):
    f, args = ELEMENTARY[name]
    check_as_numpy(f, *args, order=0)


# What has derivatives

COUNTS, WEIGHTS = np.array([1, 2, 0, 3]), np.array([0.1, 0.5, 0.2, 0.9])
CUBE = X.reshape(3, 2, 2)
SMOOTH: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cov fweights": (lambda x: np.cov(x, fweights=COUNTS), (X,)),
    "cov aweights": (lambda x, w: gnp.cov(x, aweights=w, ddof=2), (X, WEIGHTS)),
    "cov both": (lambda x: np.cov(x, fweights=COUNTS, aweights=WEIGHTS, bias=True), (X,)),
    "cov columns": (lambda x: np.cov(x.T, x.T**2, rowvar=False), (X,)),
    "corrcoef": (np.corrcoef, (X,)),
    "average over axes in another order": (
        lambda x: np.average(x, (1, 0), weights=np.arange(6.0).reshape(2, 3)), (CUBE,)),
    "histogram_bin_edges": (lambda x: np.histogram_bin_edges(x, 5), (X,)),
    "bincount": (lambda w: np.bincount([1, 0, 3, 1], w, 6), (V[:4],)),
    "logspace bases": (lambda s, b: gnp.logspace(s, [1.0, 2.0], 4, base=b[:, None]),
                       (1.0, np.array([2.0, 3.0]))),
    "geomspace": (lambda a, b: gnp.geomspace(a, -b, 4, axis=1), (-np.exp(V), np.exp(-V))),
    "convolve with a number": (lambda a: np.convolve(a, V), (2.0,)),
    "frexp": (lambda x: np.frexp(x)[0], (X,)),
    "trapezoid": (lambda y, x: np.trapezoid(y, x), (X, np.sort(X[0]))),
    "ediff1d": (lambda x, b: np.ediff1d(x, to_begin=b, to_end=[1.0, 2.0]), (X, V)),
    "diff": (lambda x, p: np.diff(x, 2, prepend=p, append=0.0), (X, X[:, :2])),
    "along axis": (lambda x: np.apply_along_axis(lambda r: r[:2] * r.sum(), 1, x), (X,)),
    "along axis, number": (lambda x: np.apply_along_axis(np.sum, 0, x), (X,)),
    "along axis, matrix": (
        lambda x: np.apply_along_axis(lambda r, k: np.outer(r, r) * k, 1, x, 2.0), (CUBE,)),
    "over axes": (lambda x: np.apply_over_axes(np.sum, x, [0, -1]), (CUBE,)),
    "over axes kept": (lambda x: np.apply_over_axes(np.cumsum, x, (0, 1)), (X,)),
    "piecewise": (lambda x: np.piecewise(x, [x < 0, x >= 0.5], [lambda t: -(t**2), np.sin]), (X,)),
    "piecewise otherwise": (
        lambda x: np.piecewise(x, [x < 0, x >= 0.5], [np.exp, 3.0, lambda t: t**3]), (X,)),
    "piecewise one condition": (lambda x: np.piecewise(x, x > 0, [np.exp, np.sin]), (V,)),
    "piecewise with arguments": (
        lambda x: np.piecewise(x, [x > 0], [lambda t, k: t**2 * k], 2.0), (X,)),
    "piecewise of a number": (lambda x: gnp.piecewise(x, [x > 0], [np.exp]), (2.0,)),
    "piecewise of known conditions": (lambda x: np.piecewise(x, [X > 0], [np.exp, -1]), (X,)),
    "subtract.reduce": (lambda x: np.subtract.reduce(x, axis=1), (X,)),
    "subtract.reduce from": (
        lambda x: np.subtract.reduce(x, axis=1, initial=2.0, where=X > 0, keepdims=True), (X,)),
    "divide.reduce from": (lambda x: np.divide.reduce(x, initial=2.0), (X + 9,)),
    "divide.reduce": (lambda x: np.divide.reduce(x, keepdims=True), (X,)),
    "hypot.reduce": (lambda x: np.hypot.reduce(x, axis=1), (X,)),
    "fmax.reduce": (lambda x: np.fmax.reduce(x, axis=0), (X,)),
    "add.reduceat": (lambda x: np.add.reduceat(x, [0, 3, 1, 1], axis=1), (X,)),
    "multiply.reduceat": (lambda x: np.multiply.reduceat(x, [1, 0], axis=0), (X,)),
    "maximum.reduceat": (lambda x: np.maximum.reduceat(x, [0, 2], axis=1), (X,)),
    "windows": (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3)), (X,)),
    "windows of an axis": (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 1), (X,)),
    "average, weights of integers": (
        lambda x: np.average(x, 0, weights=[1, 2, 3], returned=True), (X,)),
    "quotient where": (
        lambda a, b: np.divide(a, b, out=np.zeros_like(a), where=X > 0), (X, X + 3)),
    "quotient where broadcast": (
        lambda a, b: np.divide(a, b, out=a * 2.0, where=X[0] > 0), (X, X + 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name):
    f, args = SMOOTH[name]
    check_as_numpy(f, *args, order=2)


def test_what_is_dropped_gives_no_nan():
    slope = ad.vmap(ad.grad(lambda x: np.piecewise(x, [x > 0], [np.sqrt, lambda t: 3 * t])))
    np.testing.assert_array_equal(slope(np.array([0.0, 4.0, -1.0])), [3, 0.25, 3])

    def quotient(b):
        return np.divide(1.0, b, out=np.zeros_like(b), where=b != 0).sum()

    np.testing.assert_array_equal(ad.grad(quotient)(np.array([0.0, 2.0])), [0, -0.25])
    with pytest.raises(UnsupportedError, match="give out="):
        ad.grad(lambda b: np.divide(1.0, b, where=b != 0).sum())(V)
    with pytest.raises(InPlaceError, match="plain array"):
        ad.grad(lambda b: np.divide(1.0, b, out=np.zeros(5), where=V > 0).sum())(V)


def test_several_results_and_values_in_place():
    def f(x):
        quotient, rest = np.zeros_like(x), np.zeros_like(x)
        np.divmod(x, 2.0, out=(quotient, rest))
        whole = np.zeros_like(x)
        fraction, _ = np.modf(x, out=(None, whole))
        mantissa, _ = np.frexp(x, out=(whole * 0, None))
        y = x.copy()
        y[0] = np.inf
        np.nan_to_num(y, copy=False, posinf=5.0)
        z = x.copy()
        z.partition(2)
        y.put([1], 9.0)
        return quotient, rest, whole, fraction, mantissa, y, z

    check_as_numpy(f, X[0], order=0)


# vectorize and subscripts


def test_vectorize():
    f = gnp.vectorize(lambda a, b: np.sin(a) * b)
    np.testing.assert_allclose(f(X, V[:4]), np.sin(X) * V[:4])
    check_as_numpy(lambda x, y: f(x, y[:, None]), X, V[:3], order=2)
    check_as_numpy(lambda x: f(x, 2.0), 1.0)
    rows = gnp.vectorize(np.dot, signature="(n),(n)->()")
    check_as_numpy(lambda x, y: rows(x[:, None], y), X, X[:2])
    two = gnp.vectorize(lambda a: (a, a**2), otypes=["f", "d"])
    assert [x.dtype.char for x in ad.jit(two)(X)] == ["f", "d"]
    scaled = gnp.vectorize(lambda a, k: a * k[1], excluded=[1])
    check_as_numpy(lambda x: scaled(x, [1, 2]), X)
    named = gnp.vectorize(lambda a, k: a * k, excluded={"k"})
    check_as_numpy(lambda x: named(x, k=2.0), X)
    with pytest.raises(GpuadError, match=r"Write gpuad\.numpy\.vectorize"):
        ad.grad(lambda x: np.vectorize(lambda t: t)(x).sum())(V)


SUBSCRIPTS: list[Callable[[Any, Any], Any]] = [
    lambda g, x: g.r_[x, x[:1]],
    lambda g, x: g.r_[x[0], 1, 2, 3:6, 0:1:4j],
    lambda g, x: g.c_[x[0], x[1]],
    lambda g, x: g.c_[x, x],
    lambda g, x: g.c_[x[0], 1:5],
    lambda g, x: g.r_["-1", x, x],
    lambda g, x: g.r_["0,2", x[0], x[1]],
    lambda g, x: g.r_["0,2,0", x[0], 1:5],
    lambda g, x: g.r_["0,3,1", x[0], x[1]],
    lambda g, x: g.r_[x[0].astype("f"), 1.5, 2],
]


@pytest.mark.parametrize("number", range(len(SUBSCRIPTS)))
def test_subscripts_join(number):
    f = SUBSCRIPTS[number]
    for found in (f(gnp, X), ad.jit(lambda x: f(gnp, x))(X)):
        np.testing.assert_array_equal(found, f(np, X))
        assert found.dtype == f(np, X).dtype


def test_numpys_own_subscripts_name_gpuads():
    with pytest.raises(GpuadError, match=r"Write gpuad\.numpy\.r_"):
        ad.grad(lambda x: np.r_[x, 1.0].sum())(V)
    with pytest.raises(ArgumentError, match="write the axis"):
        _ = gnp.r_["c", X]


# Arguments


def test_every_argument_has_numpys_name():
    """So ``help`` shows them, and a call by name is understood or refused by name."""
    others = {"arange": {"start_or_stop"}, "empty_like": {"prototype"}, "fromfunction": {"like"}}
    both = set(np.__all__) & set(gnp.__all__)
    lacking = {}
    for name in both:
        theirs, ours = getattr(np, name), getattr(gnp, name)
        if ours is theirs or not callable(ours) or isinstance(theirs, type):
            continue
        variable = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
        names = {
            p.name for p in inspect.signature(theirs).parameters.values() if p.kind not in variable
        }
        names -= {"subok", "signature", *others.get(name, ())}
        if name in ("matmul", "matvec", "vecmat"):
            names -= {"axis", "keepdims"}  # NumPy raises for them: there are two axes
        missing = names - set(inspect.signature(ours).parameters)
        if missing:
            lacking[name] = missing
    assert lacking == {}


PRODUCTS: dict[str, Callable[..., Any]] = {
    "matmul": lambda x, y: np.matmul(x, y, axes=[(1, 0), (1, 0), (1, 0)]),
    "matvec": lambda x, y: np.matvec(x, y[:, 0], axes=[(0, 1), 0, 0]),
    "vecmat": lambda x, y: np.vecmat(x[:, 0], y, axes=[0, (1, 0), 0]),
    "vecdot": lambda x, y: np.vecdot(x, y.T, axes=[0, 0], keepdims=False),
    "vecdot kept": lambda x, y: np.vecdot(x, y.T, axis=0, keepdims=True),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_named_axes(name):
    if not hasattr(np, name.split()[0]):
        pytest.skip(f"this NumPy has no {name}")
    x = _draw.normal(size=(3, 4))
    check_as_numpy(PRODUCTS[name], x, _draw.normal(size=(4, 3)))


# What is refused

REFUSED: dict[str, tuple[Callable[[Any], Any], type, str]] = {
    "where of two results": (lambda x: np.divmod(x, 2, where=x > 0), UnsupportedError, "np.where"),
    "dtype of two results": (lambda x: np.frexp(x, dtype="f"), UnsupportedError, "leave dtype out"),
    "axes": (lambda x: np.matmul(x, x, axes=[0]), (ArgumentError, ValueError), "axes"),
    "subtract over two axes": (lambda x: np.subtract.reduce(x, (0, 1)), ArgumentError, "one axis"),
    "subtract where": (
        lambda x: np.subtract.reduce(x, where=X > 0), ArgumentError, "give initial"),
    "maximum.reduceat": (
        lambda x: np.maximum.reduceat(x * 1j, [0]), UnsupportedError, "the real part"),
    "ediff1d": (
        lambda x: np.ediff1d(x.astype(int), to_begin=0.5), TypeError, "same_kind"),
    "reduceat": (lambda x: np.hypot.reduceat(x, [0]), UnsupportedError, "each piece"),
    "reduceat out of range": (lambda x: np.add.reduceat(x, [9]), ArgumentError, "3 elements"),
    "windows": (
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 9, 0), ArgumentError, "3 elements",
    ),
    "windows to write to": (
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 0, writeable=True),
        UnsupportedError, "the array itself",
    ),
    "isin kind": (lambda x: np.isin(x, x, kind="x"), ArgumentError, "'sort'"),
    "ravel_multi_index": (
        lambda x: np.ravel_multi_index(x.astype(int) + 5, (3, 3, 3)), BadIndexError, "out of range",
    ),
    "unravel_index": (lambda x: np.unravel_index(x.astype(int), (2,)), BadIndexError, "out of"),
    "places": (lambda x: np.ravel_multi_index((x > 0).astype(int), (3,)), ArgumentError, "one of"),
    "ix_": (lambda x: np.ix_(x.astype(int)), ArgumentError, "give vectors"),
    "diagonal": (np.diag_indices_from, ArgumentError, "one length"),
    "triangle": (lambda x: np.tril_indices_from(x[0]), ArgumentError, "give a matrix"),
    "piecewise": (lambda x: np.piecewise(x, [x > 0], [1, 2, 3]), ArgumentError, "one more"),
    "lines": (lambda x: np.apply_along_axis(np.sum, 1, x[:0]), ArgumentError, "no lines"),
    "over axes": (
        lambda x: np.apply_over_axes(lambda a, i: a.sum(), x, 0), ArgumentError, "keep the axes",
    ),
    "fweights": (lambda x: np.cov(x, fweights=WEIGHTS), ArgumentError, "give integers"),
    "weights of another length": (lambda x: np.cov(x, aweights=V), ArgumentError, "each of 4"),
    "bins": (lambda x: np.histogram_bin_edges(x, "auto"), UnsupportedError, "number of bins"),
    "bincount": (lambda x: np.bincount(-1 - x[0].astype(int) ** 2), ArgumentError, "at least 0"),
    "trim": (lambda x: np.trim_zeros(x, "x"), ArgumentError, "'fb'"),
    "resize": (lambda x: np.resize(x, -1), ArgumentError, "from 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    f, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        ad.vjp(lambda x: f(x) and x, np.where(X[1, 1] == X, -1.5, X) - 5 * (X < -9))


def test_shapes_alone_give_indices():
    for f in (np.tril_indices_from, lambda x: np.triu_indices_from(x, 1)):
        known_as_numpy(f, X)
    known_as_numpy(np.diag_indices_from, X[:, :3])


def test_bincount_of_unknown_values_says_what_to_write():
    with pytest.raises(UnknownValueError, match=r"scatter_add\(gpuad\.numpy\.zeros\(length\)"):
        ad.jit(np.bincount)(np.array([1, 2]))


def test_types():
    seen = []
    ad.jit(lambda x: seen.append(np.common_type(x, np.ones(2, "F"))) or x)(1.0)
    assert seen == [np.complex128]
    x = ad.jit(gnp.asfortranarray)(X)
    np.testing.assert_array_equal(x, X)

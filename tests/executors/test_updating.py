"""In-place updates, put and its kin, take and its kin, rearranging; and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.errors import (
    ArgumentError,
    BadIndexError,
    ConversionError,
    DTypeError,
    InPlaceError,
    UnknownValueError,
    UnsupportedError,
)

_draw = np.random.default_rng(4)
X = _draw.normal(size=(3, 4))
SQUARE = _draw.normal(size=(4, 4))
CUBE = _draw.normal(size=(2, 3, 4))
CONDITIONS = [X > 0.5, X < -0.5]
I = np.array([[2, 0, -1], [1, 1, 3], [0, 0, 0]])


def check_linear(f: Callable, x: np.ndarray, constant: np.ndarray | float = 0.0) -> None:
    """`f`, linear in `x` but for a constant: value, JVP, and VJP by the dot test."""
    expected = f(x)
    x_dot = _draw.normal(size=x.shape)
    y, y_dot = ad.jvp(f, (x,), (x_dot,))
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y_dot, f(x_dot) - constant, atol=1e-15)
    y_bar = _draw.normal(size=y.shape)
    (x_bar,) = ad.vjp(f, x)[1](y_bar)
    np.testing.assert_allclose(np.sum(y_bar * y_dot), np.sum(x_bar * x_dot), atol=1e-12)
    np.testing.assert_array_equal(ad.jit(f)(x), expected)


# One text for NumPy and gpuad.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "take": (lambda x: np.take(x, [1, -1, 1]), X),
    "take axis": (lambda x: np.take(x, [[1, -1], [0, 0]], axis=1), X),
    "take one": (lambda x: np.take(x, -2, axis=0), X),
    "take wrap": (lambda x: np.take(x, [7, -6], 0, mode="wrap"), X),
    "take clip": (lambda x: x.take([7, -6], 1, mode="clip"), X),
    "take_along_axis": (lambda x: np.take_along_axis(x, I, 1), X),
    "take_along_axis 0": (lambda x: np.take_along_axis(x, I[:1] % 3, 0), X[:, :3]),
    "take_along_axis one row": (lambda x: np.take_along_axis(x[:1], I, 1), X),
    "take_along_axis flat": (lambda x: np.take_along_axis(x, np.array([5, 0]), None), X),
    "take_along_axis argsort": (lambda x: np.take_along_axis(x, np.argsort(SQUARE, 1)[:3], 1), X),
    "choose": (lambda x: np.choose([0, 2, 1, 0], [x[0], 2 * x[1], x[2, 0]]), X),
    "choose wrap": (lambda x: np.choose([-1, 5, 1, 0], x, mode="wrap"), X),
    "compress": (lambda x: np.compress([False, True, True], x, axis=1), X),
    "compress flat": (lambda x: np.compress([0, 1, 0, 1, 1], x), X),
    "extract": (lambda x: np.extract(X > 0, x), X),
    "select": (lambda x: np.select(CONDITIONS, [x, 2 * x]), X),
    "select default": (lambda x: np.select(CONDITIONS, [x, x[0]], default=x[:, :1]), X),
    "tril": (np.tril, CUBE),
    "tril 1": (lambda x: np.tril(x, 1), X),
    "triu -1": (lambda x: np.triu(x, -1), X),
    "triu of a vector": (lambda x: np.triu(x[0], 1), X),
    "diag": (np.diag, X),
    "diag -1": (lambda x: np.diag(x, -1), X),
    "diag outside": (lambda x: np.diag(x, 9), X),
    "diag of a vector": (lambda x: np.diag(x[0], 1), X),
    "diag of nothing": (lambda x: np.diag(x[0, :0], 0), X),
    "diagonal": (lambda x: np.diagonal(x, 1, 2, 0), CUBE),
    "diagonal method": (lambda x: x.diagonal(-1, axis1=1, axis2=2), CUBE),
    "diagflat": (lambda x: np.diagflat(x, -1), X),
    "roll": (lambda x: np.roll(x, 5), X),
    "roll axis": (lambda x: np.roll(x, -1, axis=1), X),
    "roll axes": (lambda x: np.roll(x, (1, 2), axis=(0, -1)), X),
    "roll one by axes": (lambda x: np.roll(x, 1, axis=(0, 1)), X),
    "repeat": (lambda x: np.repeat(x, 2), X),
    "repeat axis": (lambda x: x.repeat(3, axis=0), X),
    "repeat each": (lambda x: np.repeat(x, [2, 0, 1], axis=0), X),
    "repeat none": (lambda x: np.repeat(x, 0, axis=1), X),
    "tile": (lambda x: np.tile(x, 2), X),
    "tile more": (lambda x: np.tile(x, (2, 1, 3)), X),
    "tile fewer": (lambda x: np.tile(x, (2,)), CUBE),
    "delete": (lambda x: np.delete(x, [1, -1]), X),
    "delete axis": (lambda x: np.delete(x, 1, axis=0), X),
    "delete slice": (lambda x: np.delete(x, slice(None, None, 2), axis=1), X),
    "delete mask": (lambda x: np.delete(x, X[0] > 0, axis=1), X),
    "insert": (lambda x: np.insert(x, 1, x[0, 0]), X),
    "insert row": (lambda x: np.insert(x, -1, x[2], axis=0), X),
    "insert column": (lambda x: np.insert(x, 1, x[:, 0], axis=1), X),
    "insert columns": (lambda x: np.insert(x, [0, 2, 2], x[:, :3], axis=1), X),
    "insert by slice": (lambda x: np.insert(x, slice(0, 2), x[0, 0], axis=1), X),
    "insert by list of one": (lambda x: np.insert(x, [1], x[:, :2], axis=1), X),
}


@pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS)
def test_function(case):
    check_linear(*case)


def stored(change: Callable[[Any, Any], None]) -> Callable:
    """`change` of a copy, by values that depend on the argument."""

    def f(x: Any) -> Any:
        y = x.copy()
        change(y, x * 2.0)
        return y

    return f


STORES: dict[str, tuple[Callable[[Any, Any], None], np.ndarray]] = {
    "put": (lambda a, v: np.put(a, [0, -1, 0], v), X),
    "put one": (lambda a, v: np.put(a, 3, v), X),
    "put cycled": (lambda a, v: np.put(a, [5, 1, 7], v[0, :2]), X),
    "put wrap": (lambda a, v: np.put(a, [13, -14], v, mode="wrap"), X),
    "put nothing": (lambda a, v: np.put(a, [], v), X),
    "put_along_axis": (lambda a, v: np.put_along_axis(a, I, v[:, :3], 1), X),
    "put_along_axis one": (lambda a, v: np.put_along_axis(a, I[:, :1] % 3, v[:, :1], 0), X[:, :1]),
    "put_along_axis flat": (lambda a, v: np.put_along_axis(a, np.array([5, 0]), v[0, :2], None), X),
    "place": (lambda a, v: np.place(a, X > 0, v[0, :3]), X),
    "putmask": (lambda a, v: np.putmask(a, X > 0, v), X),
    "putmask cycled": (lambda a, v: np.putmask(a, X > 0, v[0, :3]), X),
    "copyto": (lambda a, v: np.copyto(a, v[:1]), X),
    "copyto where": (lambda a, v: np.copyto(a, v, where=X > 0), X),
    "fill_diagonal": (lambda a, v: np.fill_diagonal(a, v[0, 0]), X),
    "fill_diagonal tall": (lambda a, v: np.fill_diagonal(a, v[0]), np.vstack([X, X, X])),
    "fill_diagonal wrap": (
        lambda a, v: np.fill_diagonal(a, v[0], wrap=True),
        np.vstack([X, X, X]),
    ),
    "fill_diagonal cube": (lambda a, v: np.fill_diagonal(a, v[0, 0, :2]), CUBE[:, :2, :2]),
    "setitem list": (lambda a, v: a.__setitem__(0, [v[0, 0], v[1, 1], v[2, 2], v[0, 1]]), X),
    "setitem leading ones": (lambda a, v: a.__setitem__(slice(2), v[None, :2]), X),
    "out=": (lambda a, v: np.add(v, v, out=a), X),
    "out= of a slice": (lambda a, v: np.add(v[0], v[1], out=a[1]), X),
    "out= with more axes": (lambda a, v: np.add(v[0], v[1], out=a), X),
    "out= of a number": (lambda a, v: np.multiply(v[0, 0], 2.0, out=a[1:]), X),
    "out= with longer axes": (lambda a, v: np.add(v[:, :1], 1.5 * v[:, 1:2], out=a), X),
    "out= of gpuad.numpy": (lambda a, v: gnp.add(v[0], v[1], out=a), X),
}  # fmt: skip


@pytest.mark.parametrize("case", STORES.values(), ids=STORES)
def test_store(case):
    change, x = case
    check_linear(stored(change), x)


# Slices are views


def augmented_slice(x: Any) -> Any:
    x[1:3] += x[0]
    return x


def augmented_element(x: Any) -> Any:
    x[1, 2] += x[0, 0]
    x[-1] -= x[0]
    return x


def view_updated(x: Any) -> Any:
    y = x[1:]
    y += x[0]
    return x + y[0]


def view_of_a_view(x: Any) -> Any:
    y = x[1:]
    z = y[:, ::-2]
    z *= 3.0
    z[0, 0] = y[0, 0]
    return x + y.sum()


def rows_one_by_one(x: Any) -> Any:
    for row in x:
        row += row[0]
    return x


def chained_key(x: Any) -> Any:
    x[0][1:] = x[1, 1:]
    return x


def view_kept(x: Any) -> Any:
    y = x[1:]
    return y * 2 + x[:1]


def stored_elsewhere(x: Any) -> Any:
    x[np.array([0, 0])] = x[1:3]
    x[1:2] = x[0:1]
    y = x[1:3]
    y *= 2.0
    x[:2] = y
    return x


def argument_updated_twice(x: Any) -> Any:
    x += 0
    x[0] = x[1]
    x[0] += x[2]
    return x


@pytest.mark.parametrize(
    "f",
    [
        augmented_slice, augmented_element, view_updated, view_of_a_view, rows_one_by_one,
        chained_key, view_kept, stored_elsewhere, argument_updated_twice,
    ],
)  # fmt: skip
def test_views_are_updated_as_in_numpy(f):
    kept = X.copy()
    check_linear(lambda x: f(x.copy()), X)
    np.testing.assert_array_equal(ad.jvp(f, (X,), (X,))[0], f(X.copy()))
    np.testing.assert_array_equal(X, kept)


def test_an_augmented_slice_is_stored_once():
    graph = str(ad.make_graph(augmented_slice)(X))
    assert graph.count("slice_set") == 1


# Windows


@pytest.mark.parametrize("start", [(0, 0), (1, 2), (-5, 1), (9, 9)])
@pytest.mark.parametrize("sizes", [(2, 2), (3, 1), (1, 4), (3, 4)])
def test_windows_at_traced_starts(start, sizes):
    inside = [min(max(s, 0), n - m) for s, n, m in zip(start, X.shape, sizes, strict=True)]
    window = tuple([slice(s, s + m) for s, m in zip(inside, sizes, strict=True)])
    np.testing.assert_array_equal(
        ad.jit(lambda x, i, j: gnp.dynamic_slice(x, (i, j), sizes))(X, *start), X[window]
    )
    check_linear(
        lambda x: gnp.dynamic_slice(x, start, sizes),
        X,
    )
    u = _draw.normal(size=sizes)
    expected = X.copy()
    expected[window] = u
    update = lambda x, u, i, j: gnp.dynamic_update_slice(x, u, (i, j))  # noqa: E731
    np.testing.assert_array_equal(ad.jit(update)(X, u, *start), expected)
    _, pullback = ad.vjp(lambda x, u: update(x, u, *start), X, u)
    x_bar, u_bar = pullback(X)
    np.testing.assert_array_equal(u_bar, X[window])
    expected[window] = 0.0
    np.testing.assert_array_equal(x_bar, np.where(expected == 0, 0, X))


# What is refused


def known(f: Callable) -> Callable:
    return lambda: ad.jvp(f, (X,), (X,))


def jitted(f: Callable, *args: Any) -> Callable:
    return lambda: ad.jit(f)(*(args or (X,)))


def _store(x: Any, key: Any, value: Any) -> None:
    x[key] = value


ERRORS: dict[str, tuple[Callable, type, str]] = {
    "out of range": (
        known(lambda x: x[3]), IndexError, "index 3 is out of bounds for axis 0 with size 3",
    ),
    "second axis": (known(lambda x: x[0, -5]), BadIndexError, "-5 is out of bounds for axis 1"),
    "array": (known(lambda x: x[:, [0, 4]]), BadIndexError, "index 4 is out of bounds for axis 1"),
    "traced": (
        jitted(lambda x, i: x[i], X, np.array([0, 3])), IndexError, "index 3 is out of bounds",
    ),
    "traced negative": (jitted(lambda x, i: x[i], X, -4), IndexError, "out of bounds"),
    "traced store": (
        jitted(lambda x, i: x.at[:, i].add(1.0), X, np.array([4])), IndexError, "index .*out of",
    ),
    "take": (known(lambda x: np.take(x, 12)), IndexError, "12 is out of bounds"),
    "too many": (known(lambda x: x[0, 0, 0]), BadIndexError, "2-dimensional, but 3 were indexed"),
    "two ellipses": (known(lambda x: x[..., ...]), BadIndexError, "a single ellipsis"),
    "float": (known(lambda x: x[1.0]), BadIndexError, "only integers, slices"),
    "string": (known(lambda x: x["a"]), BadIndexError, r"not str \('a'\)"),
    "floats": (known(lambda x: x[np.array([1.0])]), BadIndexError, "integer .* not float64"),
    "traced floats": (known(lambda x: x[x[0]]), BadIndexError, r"astype\(int\)"),
    "arrays of two shapes": (
        known(lambda x: x[[0, 1], [0, 1, 2]]), BadIndexError, r"\(2,\) \(3,\)",
    ),
    "mask of another shape": (
        known(lambda x: x[:, np.ones(3, bool)]), BadIndexError,
        "along axis 1; size of axis is 4 but size of corresponding boolean axis is 3",
    ),
    "stored mask of another shape": (
        known(lambda x: _store(x, np.ones(4, bool), 1.0)), BadIndexError, "along axis 0",
    ),
    "unknown mask": (jitted(lambda x: x[x > 0]), UnknownValueError, r"np.where\(mask, x, 0\)"),
    "unknown mask, many values": (
        jitted(lambda x: _store(x, x > 0, np.ones(12))), UnknownValueError, r"np.where\(mask, v, x",
    ),
    "unknown bound": (
        jitted(lambda x, i: x[i : i + 2], X, 1), UnknownValueError, r"dynamic_slice\(x, starts",
    ),
    "value of another shape": (
        known(lambda x: _store(x, 0, np.ones(3))), ArgumentError,
        r"from shape \(3,\) into shape \(4,\)",
    ),
    "float into integers": (
        jitted(lambda i, x: _store(i, 0, x), np.arange(3), 1.0), DTypeError, r"astype\(np.float",
    ),
    "traced value into a plain array": (
        known(lambda x: _store(X.copy(), 0, x[0])), ConversionError, "zeros_like",
    ),
    "plain array by a traced index": (
        jitted(lambda i: X[i], np.array([1, 2])), ConversionError, r"gpuad.numpy.take\(y, i",
    ),
    "add.at into a plain array": (
        known(lambda x: np.add.at(X.copy(), 0, x[0])), InPlaceError, "np.add.at",
    ),
    "put into a plain array": (
        known(lambda x: np.put(X.copy(), 0, x[0])), InPlaceError, "plain array",
    ),
    "divide.at": (
        known(lambda x: np.divide.at(x, [0], 2.0)), UnsupportedError, "divide.at cannot be",
    ),
    "mode": (known(lambda x: np.take(x, 0, mode="no")), ArgumentError, "mode is 'no'"),
    "boolean indices": (known(lambda x: np.take(x, [True])), BadIndexError, "type, not bool"),
    "window": (known(lambda x: gnp.dynamic_slice(x, (0, 0), (4, 1))), ArgumentError, "does not"),
    "starts": (known(lambda x: gnp.dynamic_slice(x, 0, (1,))), ArgumentError, "1 starts"),
    "float start": (
        jitted(lambda x, i: gnp.dynamic_slice(x, (i, 0), (1, 1)), X, 1.0), ArgumentError, "starts:",
    ),
    "diag of a cube": (known(lambda x: np.diag(x[None])), ArgumentError, "3 axes"),
    "diagonal of one axis": (known(lambda x: np.diagonal(x, 0, 1, -1)), ArgumentError, "name two"),
    "fill_diagonal": (known(lambda x: np.fill_diagonal(x[0], 1)), ArgumentError, r"shape \(4,\)"),
    "select": (known(lambda x: np.select([x], [x])), ArgumentError, "such as x > 0"),
    "choose": (known(lambda x: np.choose([3], [x, x])), IndexError, "3 is out of bounds"),
    "along": (
        known(lambda x: np.take_along_axis(x, np.array([0]), 1)), ArgumentError, "number of axes",
    ),
    "put_along_axis": (
        known(lambda x: np.put_along_axis(x[:1].copy(), I, 1.0, 1)), ArgumentError, "reach beyond",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS)
def test_errors(case):
    call, error, message = case
    with pytest.raises(error, match=message):
        call()

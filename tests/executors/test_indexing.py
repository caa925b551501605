"""Keys, updates and rearranging on traced arrays, against NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuad as ad
import gpuad.numpy as gnp
from executors.cases_indexing import scattered
from gpuad.primitives.indexing import _combine_sorted

_draw = np.random.default_rng(3)
X = _draw.normal(size=(3, 4, 5))
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
I = np.array([2, 0, 2, -1])
J = np.array([[1], [-2]])


def like(x: np.ndarray) -> np.ndarray:
    return _draw.normal(size=x.shape)


def check_linear(f: Callable, x: np.ndarray) -> None:
    """`f`, linear in `x`: its value, its JVP (itself), and the VJP by the dot test."""
    x_dot = like(x)
    expected = f(x)
    y, y_dot = ad.jvp(f, (x,), (x_dot,))
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y_dot, f(x_dot))
    check_vjp(f, x, x_dot, y_dot)


def check_vjp(f: Callable, x: np.ndarray, x_dot: np.ndarray, y_dot: np.ndarray) -> None:
    y, pullback = ad.vjp(f, x)
    y_bar = like(y)
    (x_bar,) = pullback(y_bar)
    np.testing.assert_allclose(np.sum(y_bar * y_dot), np.sum(x_bar * x_dot), atol=1e-12)


# Reading

KEYS: dict[str, Any] = {
    "int": 1,
    "negative": -1,
    "numpy int": np.int64(2),
    "array of no axes": np.array(2),
    "ints": (0, -1, 2),
    "slice": slice(1, None),
    "steps": (slice(None, None, 2), slice(3, 0, -2)),
    "reversed": slice(None, None, -1),
    "empty slice": (slice(2, 1), slice(0, 9, -1)),
    "ellipsis": (..., 0),
    "only ellipsis": ...,
    "no key": (),
    "new axes": (None, 1, None, slice(1, 3), None),
    "list": [0, 2, 2],
    "empty list": [],
    "array": I,
    "array of small integers": I.astype(np.int8),
    "unsigned": np.array([2, 0], np.uint16),
    "two arrays": (I, I),
    "broadcast arrays": (I % 3, J),
    "apart": (J, slice(None), I),
    "apart by new axis": (J, None, I),
    "apart by an empty ellipsis": (I, J, ..., 1),
    "middle": (slice(1, None), J, slice(None, None, -1)),
    "last": (..., I),
    "int and array": (0, slice(None), I),
    "int beside array": (slice(None), 1, I),
    "array and new axes": (None, I, None, slice(2), None),
    "mask": X > 0,
    "mask of rows": np.array([True, False, True]),
    "mask of two axes": MASK,
    "mask and slice": (slice(None, 2), X[0] > 0),
    "mask and int": (1, X[1] > 0),
    "mask and array": (np.array([True, False, True]), np.array([1, -1])),
    "list mask": [True, False, True],
    "true": True,
    "false": (..., False),
    "true and array": (True, I),
    "nonzero": np.nonzero(MASK),
    "ix": np.ix_([0, 2], [1, 3, 3]),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_read(key):
    check_linear(lambda x: x[key], X)


def reference_gradient(x: np.ndarray, key: Any, weights: np.ndarray) -> np.ndarray:
    """The gradient of ``sum(weights * x[key])``, by adding at the places that the key reads."""
    out = np.zeros(x.size)
    np.add.at(out, np.arange(x.size).reshape(x.shape)[key], weights)
    return out.reshape(x.shape)


@st.composite
def keys(draw: Any, ndim: int = 3) -> tuple[tuple[int, ...], Any]:
    """A shape and a key for it. The last `after` items of the key stand after an ellipsis."""
    shape = tuple(draw(st.lists(st.integers(2, 4), min_size=ndim, max_size=ndim)))
    used = draw(st.integers(0, ndim))
    after = draw(st.integers(0, used))
    index_shape = draw(st.sampled_from([(2,), (3, 2), (1, 2), (0,)]))
    axes = [*range(used - after), *range(ndim - after, ndim)]
    items = [draw(_item(shape[axis], index_shape)) for axis in axes]
    if after or draw(st.booleans()):
        items.insert(used - after, ...)
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    return shape, tuple(items)


@st.composite
def _item(draw: Any, n: int, index_shape: tuple[int, ...]) -> Any:
    """A part of a key for an axis of length n; a mask has two places, as arrays of (2,) have."""
    kind = draw(st.sampled_from("isammt"))
    if kind == "i":
        return draw(st.integers(-n, n - 1))
    if kind == "s":
        bound = st.one_of(st.none(), st.integers(-n - 1, n + 1))
        return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, -1, -2])))
    if kind == "m" and index_shape == (2,):
        mask = np.zeros(n, bool)
        mask[draw(st.permutations(range(n)))[:2]] = True
        return mask
    count = int(np.prod(index_shape))
    flat = draw(st.lists(st.integers(-n, n - 1), min_size=count, max_size=count))
    return np.array(flat, np.int64).reshape(index_shape)


@settings(max_examples=150, deadline=None)
@given(keys())
def test_read_any(case):
    shape, key = case
    x = like(np.empty(shape))
    weights = like(x[key])
    np.testing.assert_array_equal(ad.jvp(lambda x: x[key], (x,), (x,))[1], x[key])
    gradient = ad.grad(lambda x: (x[key] * weights).sum())(x)
    np.testing.assert_allclose(gradient, reference_gradient(x, key, weights), atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(keys())
def test_read_any_by_traced_indices(case):
    """The arrays of a key as arguments of a jitted function."""
    shape, key = case
    if any(isinstance(item, np.ndarray) and item.dtype == bool for item in key):
        return
    arrays = [item for item in key if isinstance(item, np.ndarray | int)]

    def f(x: Any, arrays: Any) -> Any:
        rest = iter(arrays)
        return x[tuple([next(rest) if isinstance(k, np.ndarray | int) else k for k in key])]

    x = like(np.empty(shape))
    np.testing.assert_array_equal(ad.jit(f)(x, [np.asarray(a) for a in arrays]), x[key])


def test_read_by_a_list_of_traced_integers():
    f = lambda x, i, j: x[[i, j]]  # noqa: E731
    np.testing.assert_array_equal(ad.jit(f)(X, 2, -3), X[[2, -3]])


def test_read_by_argmax():
    f = lambda x: x[0, 0, x[0, 0].argmax()]  # noqa: E731
    expected = np.zeros(X.shape)
    expected[0, 0, X[0, 0].argmax()] = 1
    np.testing.assert_array_equal(ad.grad(f)(X), expected)


def test_read_by_a_traced_mask_where_values_are_known():
    f = lambda x: (x[x > 0] ** 2).sum()  # noqa: E731
    np.testing.assert_allclose(ad.grad(f)(X), 2 * X * (X > 0))
    np.testing.assert_allclose(ad.hvp(f, (X,), (X,)), [2 * X * (X > 0)])


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (1, 0), (1, None)])
def test_read_under_vmap(axes):
    """A plain array is indexed by a traced one with take; see `test_errors` for x[i]."""
    x_axis, i_axis = axes
    x = X[0] if x_axis is None else X[:2] if x_axis == 0 else X[:, :2]
    i = np.array([[0, -1, 1], [2, 2, 0]]) if i_axis == 0 else np.array([0, -1, 2])
    f = lambda x, i: gnp.take(x, i, axis=0)[..., 1]  # noqa: E731
    at = lambda a, axis, k: a if axis is None else np.take(a, k, axis)  # noqa: E731
    expected = [f(at(x, x_axis, k), at(i, i_axis, k)) for k in range(2)]
    np.testing.assert_array_equal(ad.vmap(f, in_axes=axes)(x, i), np.stack(expected))


def test_dtypes_are_numpys():
    x = X.astype(np.float32)
    v = np.ones(3, np.float64)
    for f in (
        lambda x: x[I],
        lambda x: gnp.scatter_add(x, (I[:3], 0, 0), v),
        lambda x: gnp.scatter_mul(x, (I[:3], 0, 0), 2.0),
        lambda x: gnp.scatter_max(x, (I[:3], 0, 0), v),
    ):
        y, y_dot = ad.jvp(f, (x,), (x,))
        (x_bar,) = ad.vjp(f, x)[1](y)
        assert y.dtype == y_dot.dtype == x_bar.dtype == np.float32


def test_basic_keys_record_no_gather():
    graph = str(ad.make_graph(lambda x: x[0, ::-1, 1:])(X))
    assert "gather" not in graph
    assert "slice" in graph


# Updating


def updated(key: Any, value: Any, change: str) -> Callable:
    def f(x: Any) -> Any:
        x = x.copy()
        if change == "set":
            x[key] = value
        elif change == "in place":
            x[key] += value
        else:
            x[key] *= value
        return x

    return f


@pytest.mark.parametrize("change", ["set", "in place", "times"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_update_with_a_number(key, change):
    f = updated(key, 2.5, change)
    x_dot = like(X)
    y, y_dot = ad.jvp(f, (X,), (x_dot,))
    np.testing.assert_array_equal(y, f(X))
    zero = {"set": 0.0, "in place": 0.0, "times": 2.5}[change]
    np.testing.assert_array_equal(y_dot, updated(key, zero, change)(x_dot))
    check_vjp(f, X, x_dot, y_dot)


@settings(max_examples=150, deadline=None)
@given(keys(), st.sampled_from(["set", "in place", "times"]))
def test_update_any_with_traced_values(case, change):
    shape, key = case
    x = like(np.empty(shape))
    v = like(x[key])
    f = lambda x, v: updated(key, v, change)(x)  # noqa: E731
    x_dot, v_dot = like(x), like(v)
    y, y_dot = ad.jvp(f, (x, v), (x_dot, v_dot))
    np.testing.assert_array_equal(y, f(x, v))
    if change == "times":
        expected = updated(key, v, "times")(x_dot)
        expected -= updated(key, 0.0, "set")(expected)
        both = x_dot[key] * v + x[key] * v_dot
        expected = updated(key, both, "set")(x_dot)
        np.testing.assert_allclose(y_dot, expected, atol=1e-14)
    else:
        np.testing.assert_array_equal(y_dot, f(x_dot, v_dot))
    y_bar = like(y)
    x_bar, v_bar = ad.vjp(f, x, v)[1](y_bar)
    pairing = np.sum(x_bar * x_dot) + np.sum(v_bar * v_dot)
    np.testing.assert_allclose(np.sum(y_bar * y_dot), pairing, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "ufunc"),
    [("add", np.add), ("mul", np.multiply), ("min", np.minimum), ("max", np.maximum)],
)
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_at(key, method, ufunc):
    v = like(X[key]) if X[key].size else 1.5
    expected = X.copy()
    ufunc.at(expected, key, v)

    def in_place(x: Any) -> Any:
        x = x.copy()
        ufunc.at(x, key, v)
        return x

    named = getattr(gnp, f"scatter_{method}")
    for f in (in_place, lambda x: getattr(x.at[key], method)(v), lambda x: named(x, key, v)):
        y, y_dot = ad.jvp(f, (X,), (X,))
        np.testing.assert_array_equal(y, expected)
        check_vjp(f, X, X, y_dot)
    np.testing.assert_array_equal(named(X, key, v), expected)


def test_at_subtract_and_set():
    def f(x):
        x = x * 1.0
        np.subtract.at(x, [0, 0, 1], np.array([1.0, 2.0, 3.0]))
        return x.at[2].set(7.0)

    np.testing.assert_array_equal(ad.jit(f)(np.array([1.0, 1.0, 1.0, 1.0])), [-2.0, -2.0, 7.0, 1.0])


def test_of_duplicates_the_last_wins_in_value_and_derivative():
    i = np.array([1, 0, 1])
    f = lambda x, v: gnp.scatter_set(x, i, v)  # noqa: E731
    x, v = np.zeros(3), np.array([1.0, 2.0, 3.0])
    y, pullback = ad.vjp(f, x, v)
    np.testing.assert_array_equal(y, [2.0, 3.0, 0.0])
    x_bar, v_bar = pullback(np.array([10.0, 20.0, 30.0]))
    np.testing.assert_array_equal(x_bar, [0, 0, 30])
    np.testing.assert_array_equal(v_bar, [0, 10, 20])


def test_the_last_wins_whatever_the_layout_of_the_indices():
    i = np.asfortranarray(np.array([[0, 1], [1, 0]]))
    v = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(gnp.scatter_set(np.zeros(2), i, v), [4.0, 3.0])


@pytest.mark.parametrize("f", [gnp.scatter_max, gnp.scatter_min])
def test_ties_share_the_derivative(f):
    i = np.array([0, 0, 1, 2])
    x, v = np.array([1.0, 1.0, 5.0]), np.array([1.0, 1.0, 1.0, 5.0])
    _, pullback = ad.vjp(lambda x, v: f(x, i, v), x, v)
    x_bar, v_bar = pullback(np.array([6.0, 1.0, 1.0]))
    np.testing.assert_array_equal(x_bar, [2.0, 0.5, 0.5])
    np.testing.assert_array_equal(v_bar, [2.0, 2.0, 0.5, 0.5])


def test_a_nan_takes_the_derivative_of_scatter_max():
    f = lambda x, v: gnp.scatter_max(x, [0, 1], v)  # noqa: E731
    _, pullback = ad.vjp(f, np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    x_bar, v_bar = pullback(np.ones(2))
    np.testing.assert_array_equal(x_bar, [1, 0])
    np.testing.assert_array_equal(v_bar, [0, 1])


@pytest.mark.parametrize("zeros", [[], [0], [0, 2], [3], [0, 1, 2, 3]])
def test_products_with_zeros(zeros):
    i = np.array([1, 1, 0, 1])
    v = np.array([2.0, 3.0, 5.0, 7.0])
    v[zeros] = 0.0
    x = np.array([1.5, 0.0 if len(zeros) == 4 else 2.0])
    f = lambda v: gnp.scatter_mul(x, i, v)  # noqa: E731
    expected = np.zeros((2, 4))
    for k in range(4):
        others = np.delete(v, k)[np.delete(i, k) == i[k]]
        expected[i[k], k] = x[i[k]] * np.prod(others)
    np.testing.assert_allclose(ad.jacfwd(f)(v), expected)
    np.testing.assert_allclose(ad.jacrev(f)(v), expected)
    hessian = ad.hessian(lambda v: f(v)[1])(v)
    for k, m in ((0, 1), (0, 3), (1, 3)):
        (third,) = {0, 1, 3} - {k, m}
        np.testing.assert_allclose(hessian[k, m], x[1] * v[third])
    np.testing.assert_array_equal(np.diag(hessian), 0)


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", None])
def test_the_sorted_form_that_cupy_runs(name):
    """Run on NumPy, against a loop."""
    combine = getattr(np, name) if name else lambda old, new: new
    for count in (0, 1, 7, 30):
        x, u, i = like(np.empty((5, 2))), like(np.empty((count, 2))), _draw.integers(0, 5, count)
        found = _combine_sorted(np, name, x, u, i)
        np.testing.assert_allclose(found, scattered(combine)(x, u, i, batch=0), rtol=1e-12)


@pytest.mark.parametrize("how", ["jit", "vmap"])
def test_a_traced_mask_and_one_value(how):
    def f(x):
        x = x * 1.0
        x[x < 0] = 0.5
        x[x[:, 0] > 0.7, 1:] = 2.0
        x[0, x[0] > 1] = 3.0
        x[np.array([True, False, True, False])] = x[0]
        return x

    transformed = ad.jit(f) if how == "jit" else ad.vmap(f)
    expected = f(X[0]) if how == "jit" else np.stack([f(x) for x in X])
    np.testing.assert_array_equal(transformed(X[0] if how == "jit" else X), expected)
    np.testing.assert_array_equal(
        ad.grad(lambda x: f(x).sum())(X[0]), ad.jacrev(f)(X[0]).sum((0, 1))
    )


def test_a_traced_mask_and_one_value_combined():
    f = lambda x: x.at[x[:, 0] > 0, 1:].mul(2.0).at[..., x[0] > 0].add(1.0)  # noqa: E731
    expected = X[0].copy()
    expected[X[0][:, 0] > 0, 1:] *= 2.0
    expected[:, X[0][0] > 0] += 1.0
    np.testing.assert_array_equal(ad.jit(f)(X[0]), expected)


def test_a_masked_update_drops_what_it_replaces():
    f = lambda x: gnp.scatter_set(np.log(x), x <= 0, 0.0).sum()  # noqa: E731
    np.testing.assert_array_equal(ad.grad(f)(np.array([2.0, 0.0])), [0.5, 0.0])

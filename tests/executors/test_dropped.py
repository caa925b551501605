"""What is dropped does not count: a singular lane, dropped by each kind of structure, in each mode.

One lane of the argument is at a point where a function or a derivative of it is infinite or NaN,
and is dropped; the other lane must have the derivatives that it has without the first.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gpuad as ad
import singular
from gpuad import numpy as gnp
from gpuad.transforms.bounds import Bounds
from singular import FUNCTIONS

inf, nan = np.inf, np.nan


@dataclass
class Singular:
    """A function of an array, and points where something of it is not finite."""

    function: Any
    points: tuple
    good: float = 0.4


UNARY = {
    "1/x": Singular(lambda x: 1 / x, (0.0,)),
    "x/x": Singular(lambda x: x / x, (0.0,)),
    "sin(x)/x": Singular(lambda x: np.sin(x) / x, (0.0,)),
    "(1/x)**2": Singular(lambda x: (1 / x) ** 2, (0.0,)),
    "x**-2": Singular(lambda x: x**-2, (0.0,)),
    "x**0.5": Singular(lambda x: x**0.5, (0.0, -1.0)),
    "x**1.5": Singular(lambda x: x**1.5, (0.0, -1.0)),
    "x**x": Singular(lambda x: x**x, (0.0, -0.5)),
    "x**array": Singular(lambda x: x ** np.full(2, 2.5, x.dtype), (0.0, -1.0)),
    "2**(1/x)": Singular(lambda x: 2 ** (1 / x), (0.0,)),
    "sqrt": Singular(np.sqrt, (0.0, -1.0)),
    "sqrt(x) x": Singular(lambda x: np.sqrt(x) * x, (0.0, -1.0)),
    "rsqrt": Singular(lambda x: 1 / np.sqrt(x), (0.0, -1.0)),
    "cbrt": Singular(np.cbrt, (0.0,)),
    "exp": Singular(np.exp, (1e3,)),
    "exp2": Singular(np.exp2, (1e4,)),
    "expm1": Singular(np.expm1, (1e3,)),
    "sinh": Singular(np.sinh, (1e3,)),
    "cosh": Singular(np.cosh, (-1e3,)),
    "log": Singular(np.log, (0.0, -1.0)),
    "log2": Singular(np.log2, (0.0, -1.0)),
    "log10": Singular(np.log10, (0.0, -1.0)),
    "log1p": Singular(np.log1p, (-1.0, -2.0)),
    "x**2 log x": Singular(lambda x: x**2 * np.log(x), (0.0, -1.0)),
    "sin(1/x)": Singular(lambda x: np.sin(1 / x), (0.0,)),
    "tanh(1/x)": Singular(lambda x: np.tanh(1 / x), (0.0,)),
    "sigmoid(1/x)": Singular(lambda x: gnp.sigmoid(1 / x), (0.0,)),
    "hypot(1/x, 1)": Singular(lambda x: np.hypot(1 / x, 1), (0.0,)),
    "hypot(x, 0)": Singular(lambda x: np.hypot(x, 0 * x), (0.0,)),
    "arctan2(x, 0)": Singular(lambda x: np.arctan2(x, 0 * x), (0.0,)),
    "log(exp(1/x)+1)": Singular(lambda x: np.log(np.exp(1 / x) + 1), (0.0,), 0.9),
    "logaddexp(1/x, log x)": Singular(lambda x: np.logaddexp(1 / x, np.log(x)), (0.0,), 0.9),
    "1/(1 - exp x)": Singular(lambda x: 1 / (1 - np.exp(x)), (0.0,)),
    "arcsin": Singular(np.arcsin, (1.0, -1.0, 2.0)),
    "arccos": Singular(np.arccos, (1.0, -1.0, 2.0)),
    "arccosh": Singular(np.arccosh, (1.0, 0.5), 1.7),
    "arctanh": Singular(np.arctanh, (1.0, -1.0, 2.0)),
    "logit": Singular(gnp.logit, (0.0, 1.0)),
    "entr": Singular(gnp.entr, (0.0, -1.0)),
    "xlogy": Singular(lambda x: gnp.xlogy(x, x), (0.0,)),
    "xlog1py": Singular(lambda x: gnp.xlog1py(1.0, x), (-1.0,)),
    "erfinv": Singular(gnp.erfinv, (1.0, -1.0)),
    "erfcinv": Singular(gnp.erfcinv, (0.0, 2.0)),
    "gammaln": Singular(ad.scipy.special.gammaln, (0.0, -1.0)),
    "digamma": Singular(ad.scipy.special.digamma, (0.0, -1.0)),
    "abs": Singular(np.abs, (0.0,)),
    "fmod(x, x)": Singular(lambda x: np.fmod(1.0, x), (0.0,), 0.3),
    "norm": Singular(lambda x: np.linalg.norm(np.stack([x, 2 * x]), axis=0), (0.0,)),
    "sqrt of squares": Singular(lambda x: np.sqrt(x * x + (2 * x) ** 2), (0.0,)),
    "std": Singular(lambda x: np.std(np.stack([x, 0 * x]), axis=0), (0.0,)),
}


# Structures that drop the first of two lanes: f(function, bad point) → function of x.


def _mask_assignment(f, bad):
    def function(x):
        y = f(x)
        y[np.array([True, False])] = 0
        return (y * y).sum()

    return function


def _item_assignment(f, bad):
    def function(x):
        y = f(x)
        y[0] = 3 * x[1]
        return y.sum()

    return function


def _finite(y):
    """y with ones for what is not finite, so that a weight of zero gives a finite value."""
    return np.where(np.isfinite(y), y, 1.0)


FIRST = np.array([True, False])
STRUCTURES = {
    "where, a moving condition": lambda f, bad: lambda x: np.where(x != bad, f(x), 0.0).sum(),
    "where, a constant": lambda f, bad: lambda x: np.where(FIRST, 0 * x, f(x)).sum(),
    "where, then a function": lambda f, bad: (
        lambda x: np.exp(-(np.where(FIRST, 0, f(x)) ** 2)).sum()
    ),
    "select": lambda f, bad: lambda x: np.select([x == bad], [x * 0.0], f(x)).sum(),
    "mask assignment": _mask_assignment,
    "item assignment": _item_assignment,
    "a slice": lambda f, bad: lambda x: (f(x)[1:] ** 2).sum(),
    "an index array": lambda f, bad: lambda x: f(x)[np.array([1, 1])].sum(),
    "a boolean index": lambda f, bad: lambda x: np.prod(f(x)[~FIRST]),
    "a zero weight": lambda f, bad: lambda x: (np.array([0.0, 1.5]) * _finite(f(x))).sum(),
    "a zero weight in a product": lambda f, bad: lambda x: np.array([0.0, 2.0]) @ _finite(f(x)),
    "a boolean weight": lambda f, bad: lambda x: ((x != bad) * _finite(f(x))).sum(),
    "maximum": lambda f, bad: lambda x: np.maximum(np.where(FIRST, -9.0, f(x)), -8.0).sum(),
    "max": lambda f, bad: lambda x: np.max(np.where(FIRST, -inf, f(x))),
    "clip": lambda f, bad: lambda x: np.clip(np.where(FIRST, 99.0, f(x)), -50, 50).sum(),
    "nansum": lambda f, bad: lambda x: np.nansum(np.where(FIRST, nan, f(x))),
    "softmax": lambda f, bad: lambda x: gnp.softmax(np.where(FIRST, -inf, f(x)))[1] + f(x)[1],
    "under a matrix product": lambda f, bad: (
        lambda x: np.where(
            FIRST, 0.0, (f(x)[:, None] * np.ones((2, 3))) @ np.array([1.0, 2.0, 3.0])
        ).sum()
    ),
    "sums of dropped lanes": lambda f, bad: (
        lambda x: np.where(FIRST, 0.0, np.cumsum(np.stack([f(x), x]), axis=0)[1]).sum()
    ),
}

HVPS = {
    "forward over reverse": lambda f, x, v: ad.hvp(f, (x,), (v,))[0],
    "reverse over forward": lambda f, x, v: ad.hvp(f, (x,), (v,), mode="reverse-over-forward")[0],
    "forward over forward": lambda f, x, v: ad.hvp(f, (x,), (v,), mode="forward-over-forward")[0],
    "reverse over reverse": lambda f, x, v: ad.grad(lambda y: (ad.grad(f)(y) * v).sum())(x),
}
V = np.array([0.7, -1.3])


def assert_only_the_second(found, expected):
    """Nothing from the first lane, and in the second what it has with both lanes good."""
    assert np.shape(found) == (2,)
    assert found[0] == 0, found
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", UNARY)
def test_a_dropped_lane_does_not_count(name, structure):
    s = UNARY[name]
    good = np.array([s.good * 1.1, s.good])
    for bad in s.points:
        f = STRUCTURES[structure](s.function, bad)
        x = np.array([bad, s.good])
        value, gradient = ad.value_and_grad(f)(x)
        assert np.isfinite(value)
        expected = ad.grad(f)(good)
        assert_only_the_second(gradient, expected)
        slopes = [ad.jvp(f, (x,), (unit,))[1] for unit in np.eye(2)]
        assert_only_the_second(slopes, expected)
        product = HVPS["forward over reverse"](f, good, V)
        for hvp in HVPS.values():
            assert_only_the_second(hvp(f, x, V), product)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_dropped_lane_does_not_count_when_compiled(structure):
    chosen = [UNARY[n] for n in ("x**2 log x", "sqrt", "hypot(1/x, 1)")]
    x, good = np.array([0.0, 0.4]), np.array([0.3, 0.4])
    fs = [STRUCTURES[structure](s.function, 0.0) for s in chosen]

    def everything(x):
        def f(y):
            return sum(g(y) for g in fs)

        return ad.grad(f)(x), HVPS["forward over reverse"](f, x, V)

    compiled = ad.jit(everything)
    for found, expected in zip(compiled(x), everything(good), strict=True):
        assert_only_the_second(found, expected)
    for found, expected in zip(compiled(x), everything(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


BINARY = {
    "x / y": (np.divide, (1.0, 0.0)),
    "0 / 0": (np.divide, (0.0, 0.0)),
    "x ** y at 0": (np.power, (0.0, 0.5)),
    "x ** y below 0": (np.power, (-1.0, 0.5)),
    "hypot": (np.hypot, (0.0, 0.0)),
    "arctan2": (np.arctan2, (0.0, 0.0)),
    "logaddexp": (np.logaddexp, (inf, inf)),
    "xlogy": (gnp.xlogy, (1.0, 0.0)),
    "xlog1py": (gnp.xlog1py, (1.0, -1.0)),
    "remainder": (np.remainder, (1.0, 0.0)),
    "fmod": (np.fmod, (1.0, 0.0)),
}
BINARY_STRUCTURES = (
    "where, a constant",
    "a slice",
    "mask assignment",
    "a zero weight in a product",
)


@pytest.mark.parametrize("structure", BINARY_STRUCTURES)
@pytest.mark.parametrize("name", BINARY)
def test_a_dropped_lane_of_two_operands_does_not_count(name, structure):
    function, (x_bad, y_bad) = BINARY[name]
    x, y = np.array([x_bad, 1.3]), np.array([y_bad, 0.8])
    v = np.array([1.0, 0.5])

    def loss(x, y):
        return STRUCTURES[structure](lambda z: function(z, y), x_bad)(x)

    good = np.array([1.1, 1.3]), np.array([0.9, 0.8])
    for found, expected in zip(
        ad.grad(loss, (0, 1))(x, y), ad.grad(loss, (0, 1))(*good), strict=True
    ):
        assert_only_the_second(found, expected)
    for mode in ("forward-over-reverse", "reverse-over-forward", "forward-over-forward"):
        found, expected = [ad.hvp(loss, p, (v, v), mode=mode) for p in ((x, y), good)]
        for f, e in zip(found, expected, strict=True):
            assert_only_the_second(f, e)


def test_only_structure_drops():
    """A factor that happens to vanish is not dropped: what comes is not finite, never a guess."""
    for f, x in [
        (lambda x: np.cos(np.sqrt(x)), 0.0),
        (lambda x: np.arccos(x) ** 2, 1.0),
        (lambda x: np.cbrt(x) ** 3, 0.0),
    ]:
        assert not np.isfinite(ad.grad(f)(x))
        assert not np.isfinite(ad.jvp(f, (x,), (1.0,))[1])
    # A condition in a rule drops nothing.
    assert not np.isfinite(ad.grad(lambda x: np.hypot(np.sqrt(x), 0.0))(0.0))


def test_a_seed_that_moves_is_not_dropped():
    """The derivative of c·v by v at v = 0 is c."""

    def along(v):
        return ad.jvp(np.sqrt, (np.array([4.0, 9.0]),), (v,))[1].sum()

    np.testing.assert_allclose(ad.grad(along)(np.zeros(2)), [1 / 4, 1 / 6])

    def newton(x):
        return ad.jvp(np.log, (x,), (x - 1,))[1]

    np.testing.assert_allclose(ad.grad(newton)(1.0), 1.0)
    np.testing.assert_allclose(ad.jvp(newton, (1.0,), (1.0,))[1], 1.0)

    def pulled(u):
        return ad.vjp(np.sqrt, np.array([4.0, 9.0]))[1](u)[0].sum()

    np.testing.assert_allclose(ad.grad(pulled)(np.zeros(2)), [1 / 4, 1 / 6])


def test_a_zero_seed_gives_zero_through_sums_products_and_held_graphs():
    A = np.arange(6.0).reshape(2, 3)
    for f in [
        lambda x: np.sqrt(x.sum()),
        lambda x: np.sqrt((A @ x)[0] * 0) + np.log(x[0]),
        lambda x: np.linalg.norm(A @ x),
        lambda x: (1 / np.cumsum(x)).sum(),
        lambda x: ad.checkpoint(lambda y: np.log(np.sqrt(y)).sum())(x),
        lambda x: ad.jit(lambda y: np.sqrt(y).sum())(x * x),
    ]:
        x = np.zeros(3)
        _, tangent = ad.jvp(f, (x,), (x,))
        assert tangent == 0
        np.testing.assert_array_equal(ad.vjp(f, x)[1](0.0)[0], 0)
        np.testing.assert_array_equal(ad.hvp(f, (x + 1,), (x,))[0], 0)


def test_marks_of_a_tangent_go_through_a_checkpoint():
    """In reverse over forward they are made of what is transposed, and pass nothing on."""
    sin = ad.checkpoint(np.sin)
    v = np.array([1.0, 2.0])
    products = [
        ad.hvp(lambda x: sin(np.logaddexp(np.sin(x), 1.0)).sum(), (v / 3,), (v,), mode=mode)[0]
        for mode in ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")
    ]
    np.testing.assert_allclose(products[1], products[0], rtol=1e-13)
    np.testing.assert_allclose(products[2], products[0], rtol=1e-13)


def test_a_checkpoint_does_not_hide_what_is_dropped():
    def f(x):
        return np.where(x > 0, ad.checkpoint(lambda y: y * np.log(y))(x), 0).sum()

    x = np.array([0.0, 2.0])
    np.testing.assert_allclose(ad.grad(f)(x), [0, 1 + np.log(2)])
    np.testing.assert_allclose(ad.hvp(f, (x,), (np.ones(2),))[0], [0, 0.5])
    reverse = ad.grad(lambda x: ad.grad(f)(x).sum())
    np.testing.assert_allclose(reverse(x), [0, 0.5])


def test_no_guards_where_nothing_can_be_infinite():
    """Bounds are followed through 1 + x², 2 + sin x, exp(-x²/2) and denominators that are
    tested."""

    def f(x):
        safe = np.where(x == 0, 1.0, x)
        return (
            np.log(1 + x**2) + 1 / (2 + np.sin(x)) + np.exp(-0.5 * x**2) + np.sqrt(1 + x * x)
            + np.where(x == 0, 1.0, np.sin(x) / safe) + np.tanh(x) + np.logaddexp(0, x)
            + np.maximum(x, 0)
        ).sum()  # fmt: skip

    x = np.linspace(-1, 1.1, 5)
    text = str(ad.make_graph(lambda x, v: ad.hvp(f, (x,), (v,))[0])(x, x))
    assert "guard=True" not in text
    np.testing.assert_allclose(
        ad.hvp(f, (x,), (V[0] * np.ones(5),))[0],
        (ad.grad(f)(x + 1e-6) - ad.grad(f)(x - 1e-6)) / 2e-6 * V[0], rtol=1e-6, atol=1e-6,
    )  # fmt: skip


INTEGERS = {
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "sort": np.sort,
    "pad": lambda i: np.pad(i[1:], (1, 0)),
    "diff": lambda i: np.diff(i, prepend=0),
    "matmul": lambda i: np.outer(i, i) @ i,
    "convolve": lambda i: np.convolve(i, [1, 1], "same"),
    "store": lambda i: gnp.zeros(4, int) + i[::-1],
    "sum": np.sum,
}


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("integers", [np.argsort, lambda x: (x > 0.25).astype(int)])
def test_integers_that_depend_on_the_argument_drop_nothing(name, integers):
    x = np.array([0.5, 0.3, 0.2, 0.7])
    c = INTEGERS[name](integers(x))

    def f(x):
        return (INTEGERS[name](integers(x)) * np.log(x)).sum()

    def expected(x):
        return (c * np.log(x)).sum()

    for derivative in (ad.grad, lambda f: ad.jit(ad.grad(f)), hessian_product):
        np.testing.assert_allclose(derivative(f)(x), derivative(expected)(x))


def hessian_product(f):
    return lambda x: ad.hvp(f, (x,), (x + 1,))[0]


@pytest.mark.parametrize("extreme", [np.fmax, np.fmin])
def test_the_bounds_of_an_extreme_beside_a_nan(extreme):
    x, y = np.array([-1.0]), np.array([-3.0])
    graph = ad.make_graph(lambda x, y: extreme(5 + np.sqrt(x), y))(x, y).graph
    (bounds,) = Bounds(graph).outputs
    with np.errstate(invalid="ignore"):
        (value,) = extreme(5 + np.sqrt(x), y)
    assert bounds.low <= value <= bounds.high


@pytest.mark.parametrize("first", FUNCTIONS)
def test_compositions_at_singular_points(first):
    """Forward and reverse agree at every point; what is finite is a one-sided slope, or between
    the two."""
    rng = np.random.default_rng(sum(map(ord, first)))
    names = list(FUNCTIONS)
    tried = [(first, n) for n in names]
    tried += [(first, *rng.choice(names, 2)) for _ in range(30)]
    count = 0
    for chain in tried:
        for f in singular.found(chain):
            count += 1
            finite = np.isfinite(f.forward)
            assert finite == np.isfinite(f.reverse), f
            if finite:
                np.testing.assert_allclose(f.forward, f.reverse, rtol=1e-9, err_msg=str(f))
            # NumPy's sinc(±1) is 4e-17, where a root has a slope of 1e8.
            assert not f.wrong or "sinc" in f.names, f
    assert count > len(singular.POINTS)


X = np.array([0.0, 0.41, 0.62])
FIRST_OF_3 = np.array([True, False, False])
A = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, -1.0]])

# Functions of three numbers, the first dropped or irrelevant, at X.
SCALARS = {
    "a column of zeros": lambda x: (A @ np.sqrt(x)).sum(),
    "zeros in an einsum": lambda x: np.einsum(
        "ij,j->i", A, np.log(x + (x == 0)) + np.sqrt(x)
    ).sum(),
    "rows of an outer product": lambda x: np.outer(1 / x, 1 / x)[1:, 1:].sum(),
    "two selections": lambda x: np.where(
        ~FIRST_OF_3, 1 / (x + 1), np.where(FIRST_OF_3, 0 * x + 1, 1 / x)
    ).sum(),
    "a weight of constants": lambda x: (np.where(x > 0, 1.0, 0.0) * np.sqrt(x)).sum(),
    "whole numbers": lambda x: np.where(
        (x + 0.6).astype(int) != 0, x / (x + 0.6).astype(int), 0.0
    ).sum(),
}


@pytest.mark.parametrize("name", SCALARS)
def test_both_modes_see_the_same_lanes(name):
    f = SCALARS[name]
    slopes = [ad.jvp(f, (X,), (unit,))[1] for unit in np.eye(3)]
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(ad.grad(f)(X), slopes, rtol=1e-12)
    v = np.array([1.0, -0.5, 2.0])
    expected = ad.hvp(f, (X,), (v,))[0]
    assert np.isfinite(expected).all()
    for hvp in HVPS.values():
        np.testing.assert_allclose(hvp(f, X, v), expected, rtol=1e-9, atol=1e-12)


ASKED = {
    "isnan": lambda x: np.where(np.isnan(x), 0.0, x**2),
    "isfinite": lambda x: np.where(np.isfinite(x), x**2, 0.0),
    "x == x": lambda x: np.where(x == x, x**2, 0.0),
    "x != x": lambda x: np.where(x != x, 0.0, x**2),
    "nan_to_num": lambda x: np.nan_to_num(x) ** 2,
    "nanmean": lambda x: np.nanmean(x**2) * 2,
}


@pytest.mark.parametrize("name", ASKED)
def test_inputs_that_a_function_asks_about_may_be_nan(name):
    def f(x):
        return ASKED[name](x).sum()

    x, v = np.array([nan, 2.0, 3.0]), np.ones(3)
    np.testing.assert_allclose(ad.grad(f)(x), [0, 4, 6])
    for hvp in HVPS.values():
        np.testing.assert_allclose(hvp(f, x, v), [0, 2, 2])


def test_rows_after_a_softmax_that_are_dropped():
    def f(x):
        weights = gnp.softmax(np.sqrt(x)[:, None] * x, axis=1)
        return (weights[1:] * np.arange(6.0).reshape(2, 3)).sum()

    slopes = [ad.jvp(f, (X,), (unit,))[1] for unit in np.eye(3)]
    np.testing.assert_allclose(ad.grad(f)(X), slopes, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (lambda p: np.sqrt(np.maximum(p[0], p[1])), [0.0, -1.0]),
        (lambda p: np.cbrt(np.fmin(p[0], p[1])), [0.0, 1.0]),
        (lambda p: np.cbrt(np.logaddexp(gnp.logit(p[0]), -p[1])), [0.0, 0.0]),
    ],
)
def test_the_smaller_of_two_is_dropped_from_both_modes(f, at):
    p = np.array(at)
    slopes = [ad.jvp(f, (p,), (unit,))[1] for unit in np.eye(2)]
    assert not np.isnan(slopes).any()
    np.testing.assert_array_equal(ad.grad(f)(p), slopes)


def test_a_tangent_that_is_dropped_everywhere():
    assert not ad.linearize(lambda x: np.sqrt(x) * 0.0, X)[1](X).any()


def _entropy(x):
    return np.where(x > 0, x * np.log(x), 0.0).sum()


LOOKING = {
    "nan_to_num": lambda g: np.nan_to_num(g, nan=7.0),
    "a comparison": lambda g: np.where(g <= 0, 1.0, 2.0),
    "isfinite": lambda g: np.where(np.isfinite(g), g, 100.0),
    "fmax": lambda g: np.fmax(g, -5.0),
    "sort": np.sort,
    "an integer": lambda g: (10 * g).astype(int),
    "a power": lambda g: g**0,
    "argmax": lambda g: np.argmax(g),
}


@pytest.mark.parametrize("name", LOOKING)
@pytest.mark.parametrize("jit", [False, True])
def test_programs_that_look_at_a_derivative_see_no_nan(name, jit):
    def f(x):
        return LOOKING[name](ad.grad(_entropy)(x))

    expected = LOOKING[name](np.array([0.0, 1 + np.log(0.41), 1 + np.log(0.62)]))
    found = ad.jit(f) if jit else ad.linearize(lambda x: f(x) * 1.0, X)[0]
    np.testing.assert_allclose(found(X) if jit else found, expected, rtol=1e-12)


KINKS = {
    "|x|²": (lambda n: n**2, 2),
    "(2|x|)²": (lambda n: (2 * n) ** 2, 8),
    "(-|x|)²": (lambda n: (-n) ** 2, 2),
    "|x||x|/2": (lambda n: 0.5 * n * n, 1),
    "|x|⁴": (lambda n: n * n * n * n, 0),
    "exp(-(|x|/2)²)": (lambda n: np.exp(-((n / 2) ** 2)), -0.5),
    "stacked": (lambda n: (np.stack([n, 3 * n]) ** 2).sum(), 20),
    "padded": (lambda n: (np.pad(np.reshape(n, 1), 1) ** 2).sum(), 2),
    "n·n": (lambda n: np.reshape(n, 1) @ np.reshape(n, 1), 2),
    "Huber": (lambda n: np.where(n < 1, 0.5 * n * n, n - 0.5), 1),
    "under jit": (lambda n: ad.jit(np.square)(n), 2),
}
ROOTS = {
    "abs": lambda x: np.abs(x[0]),
    "norm": np.linalg.norm,
    "hypot": lambda x: np.hypot(x[0], x[1]),
    "√Σx²": lambda x: np.sqrt((x * x).sum()),
    "√(x·x)": lambda x: np.sqrt(x @ x),
    "√(x² + y²)": lambda x: np.sqrt(x[0] ** 2 + x[1] ** 2),
    "|z|": lambda x: np.abs(x[0] + 1j * x[1]),
    "of a row": lambda x: np.linalg.norm(x[None], axis=1, keepdims=True)[0, 0],
}


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("power", KINKS)
def test_even_powers_of_kinks_are_smooth(power, root):
    of, curvature = KINKS[power]

    def f(x):
        return of(ROOTS[root](x))

    x = np.zeros(2)
    expected = curvature * np.diag([1.0, 0.0 if root == "abs" else 1.0])
    np.testing.assert_array_equal(ad.grad(f)(x), 0)
    for hessian in (
        ad.hessian,
        lambda f: ad.jacrev(ad.jacrev(f)),
        lambda f: ad.jacfwd(ad.jacfwd(f)),
    ):
        np.testing.assert_allclose(hessian(f)(x), expected, atol=1e-15)


def _stored(x):
    y = gnp.zeros(2)
    y[0] = x
    y[1] = 2 * x
    return np.log(y.sum())


GATHERED = {
    "stack": lambda x: np.log(np.sum(np.stack([x, x * x]))),
    "norm": lambda x: np.log(np.linalg.norm(np.stack([x, 2 * x]))),
    "exp": lambda x: np.log(np.exp(np.stack([x, 2 * x])).sum()),
    "a product": lambda x: 1 / np.sqrt(np.stack([x, 2 * x]) @ np.stack([x, 3 * x])),
    "nanmax": lambda x: np.nanmax(np.stack([x, x * nan])) ** 2,
    "stores": _stored,
    "concatenate": lambda x: np.log(np.concatenate([x[None], np.sqrt(x)[None]])).sum(),
    "pad": lambda x: np.log1p(np.pad(np.sqrt(x)[None], 1)).sum(),
}


@pytest.mark.parametrize("name", GATHERED)
@pytest.mark.parametrize("executor", [None, "auto", "reference"])
def test_numbers_put_side_by_side_under_vmap(name, executor):
    f, points = GATHERED[name], np.array([2.0, 0.3])
    for second in (ad.grad(ad.grad(f)), ad.jacfwd(ad.grad(f)), ad.jacfwd(ad.jacfwd(f))):
        many = ad.vmap(second)
        many = many if executor is None else ad.jit(many, executor=executor)
        expected = [ad.jacfwd(ad.grad(f))(x) for x in points]
        np.testing.assert_allclose(many(points), expected, rtol=1e-12)


EVEN = {
    "cos|x|": (np.cos, lambda t: np.abs(t), -1.0),
    "cosh(-2|x|)": (np.cosh, lambda t: -2 * np.abs(t), 4.0),
    "log cosh|x|": (lambda t: np.log(np.cosh(t)), lambda t: np.abs(t), 1.0),
    "sinc|x|": (np.sinc, lambda t: np.abs(t), -(np.pi**2) / 3),
    "cos of a row of |x|": (lambda t: np.cos(t)[0], lambda t: np.abs(t)[None], -1.0),
    "cos(x|x|)": (np.cos, lambda t: t * np.abs(t), 0.0),
    "cos(|x|/2)": (np.cos, lambda t: np.abs(t) / 2, -0.25),
}


@pytest.mark.parametrize("name", EVEN)
def test_even_functions_of_an_absolute_value_are_smooth(name):
    of, inner, curvature = EVEN[name]

    def f(x):
        return of(inner(x)).sum()

    x, v = np.array([0.0, -0.0, 0.4, -0.4]), np.ones(4)
    slope = ad.grad(f)(x)
    assert not slope[:2].any()
    assert slope[2] == -slope[3] == ad.grad(lambda t: of(inner(t)))(0.4)
    for hvp in HVPS.values():
        found = hvp(f, x, v)
        np.testing.assert_allclose(found[:2], curvature, rtol=1e-12)
        np.testing.assert_allclose(found[2], found[3], rtol=1e-12)


@pytest.mark.parametrize("root", [r for r in ROOTS if r != "abs"])
def test_what_is_not_smooth_has_no_finite_curvature(root):
    for of in (lambda n: n, np.cos, lambda n: n**3 / (n + 1)):

        def f(x, of=of):
            return of(ROOTS[root](x))

        x = np.zeros(2)
        np.testing.assert_array_equal(ad.grad(f)(x), 0)
        assert not np.isfinite(ad.hvp(f, (x,), (np.ones(2),))[0]).all()
        np.testing.assert_array_equal(ad.hvp(f, (x,), (x,))[0], 0)


@pytest.mark.parametrize("x", [1.0, 1e6, 1e8, 1e10])
def test_second_derivatives_of_hypot_and_norm_keep_their_digits(x):
    exact = 1 / np.hypot(x, 1) ** 3
    found = [
        ad.grad(ad.grad(lambda x: np.hypot(x, 1)))(x),
        ad.hessian(np.linalg.norm)(np.array([x, 1.0]))[0, 0],
        ad.jacrev(ad.jacrev(np.linalg.norm))(np.array([x, 1.0]))[0, 0],
    ]
    np.testing.assert_allclose(found, exact, rtol=1e-14)


@pytest.mark.parametrize("mode", ["forward-over-reverse", "forward-over-forward"])
def test_marks_of_values_of_several_shapes(mode):
    """One mask, of lanes where any seed is, reduced and repeated for values of several shapes."""

    def f(x):
        y = ad.checkpoint(lambda a: np.real(a * np.exp(1j * a)))(np.diff(x, n=2, axis=1))
        u = np.linalg.svd(y, full_matrices=False)[0]
        return np.sum(np.array([[1.0], [2.0], [4.0]]) * np.abs(u) ** 2)

    x = np.random.default_rng(0).normal(size=(3, 3))
    v = np.random.default_rng(1).normal(size=(3, 3))
    (expected,) = ad.hvp(f, (x,), (v,), "reverse-over-forward")
    for transform in (lambda f: f, functools.partial(ad.jit, executor="reference")):
        (found,) = transform(lambda x, v: ad.hvp(f, (x,), (v,), mode))(x, v)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)

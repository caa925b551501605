"""The numerical conventions at hard points, and the accuracy of derivative rules: one table each.

For each row and dtype: the value, forward and reverse mode agreeing, curvature in every nesting of
the modes, and a zero seed that gives exactly zero.
"""

from dataclasses import dataclass
from math import inf, nan
from typing import Any

import mpmath
import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.errors import DTypeError


@dataclass
class Row:
    """A function of one array at a hard point: its gradient, and its Hessian times ones (nan: not
    finite)."""

    name: str
    function: Any
    point: Any
    gradient: Any
    curvature: Any = 0.0


def pair(function):
    """A function of two numbers as one of an array of two."""
    return lambda x: function(x[0], x[1])


def each(function):
    """The sum of an elementwise function, so that gradients are derivatives."""
    return lambda x: function(x).sum()


ROWS = [
    Row("sqrt at 0", each(np.sqrt), [0.0], [inf], [-inf]),
    Row("cbrt at 0", each(np.cbrt), [0.0], [inf], [nan]),  # -inf on one side, inf on the other
    Row("1/sqrt at 0", each(lambda x: 1 / np.sqrt(x)), [0.0], [-inf], [inf]),
    Row("x**-0.5 at 0", each(lambda x: x**-0.5), [0.0], [-inf], [inf]),
    Row("abs at 0 and -0.0", each(np.abs), [0.0, -0.0, -2.0], [0, 0, -1]),
    Row("sign", each(np.sign), [0.0, 1.5], [0, 0]),
    Row("floor", each(np.floor), [1.0, 1.5], [0, 0]),
    Row("ceil", each(np.ceil), [1.0, 1.5], [0, 0]),
    Row("trunc", each(np.trunc), [1.0, 1.5], [0, 0]),
    Row("round", each(np.round), [0.5, 1.5], [0, 0]),
    Row("comparison", each(lambda x: (x >= 1) * x.dtype.type(2)), [1.0], [0]),
    Row("maximum at a tie", pair(np.maximum), [3.0, 3.0], [0.5, 0.5]),
    Row("minimum at a tie", pair(np.minimum), [3.0, 3.0], [0.5, 0.5]),
    Row("fmax at a tie", pair(np.fmax), [3.0, 3.0], [0.5, 0.5]),
    Row("fmin at a tie", pair(np.fmin), [3.0, 3.0], [0.5, 0.5]),
    Row("maximum with NaN", pair(np.maximum), [nan, 3.0], [1, 0]),
    Row("minimum with NaN", pair(np.minimum), [3.0, nan], [0, 1]),
    Row("fmax with NaN", pair(np.fmax), [nan, 3.0], [0, 1]),
    Row("fmin with NaN", pair(np.fmin), [3.0, nan], [1, 0]),
    Row("max at a tie", np.max, [1.0, 3.0, 3.0], [0, 0.5, 0.5]),
    Row("min at a tie", np.min, [1.0, 1.0, 3.0, 1.0], [1 / 3, 1 / 3, 0, 1 / 3]),
    Row("relu at 0", each(gnp.relu), [0.0, -0.0, 2.0], [0, 0, 1]),
    Row("maximum(x, 0) at 0", each(lambda x: np.maximum(x, 0)), [0.0], [0.5]),
    Row("clip", each(lambda x: np.clip(x, 0, 1)), [-1.0, 0.0, 0.5, 1.0, 2.0], [0, 1, 1, 1, 0]),
    Row("clip, one bound", each(lambda x: np.clip(x, 0, None)), [-1.0, 0.0, 2.0], [0, 1, 1]),
    Row("clip, equal bounds", each(lambda x: np.clip(x, 1, 1)), [0.0, 1.0, 2.0], [0, 0, 0]),
    Row("x**0 at 0", each(lambda x: x**0), [0.0], [0]),
    Row("x**y at (0, 0)", pair(np.power), [0.0, 0.0], [0, 0], None),
    Row("x**2 at 0", each(lambda x: x**2), [0.0], [0], [2]),
    Row("x**3 at 0", each(lambda x: x**3), [0.0], [0], [0]),
    Row("x**y, y an array, at x = 0", each(lambda x: x ** np.array([2, 3], x.dtype)),
        [0.0, 0.0], [0, 0], [2, 0]),
    Row("0**y", each(lambda y: 0.0**y), [2.0, 0.0, -1.0], [0, 0, -inf], None),
    Row("x**y at (0, 3)", pair(np.power), [0.0, 3.0], [0, 0], [0, 0]),
    Row("x < 0, x**y", pair(np.power), [-2.0, 2.0], [-4, nan], None),
    Row("log at 0", each(np.log), [0.0], [inf], [-inf]),
    Row("log below 0", each(np.log), [-1.0], [nan], [nan]),
    Row("log1p at -1", each(np.log1p), [-1.0], [inf], [-inf]),
    Row("norm at 0", np.linalg.norm, [0.0, 0.0], [0, 0], nan),
    Row("norm of rows at 0", lambda x: np.linalg.norm(x[None], axis=1).sum(), [0.0, 0.0], [0, 0],
        nan),
    Row("hypot(0, 0)", pair(np.hypot), [0.0, 0.0], [0, 0], nan),
    Row("complex abs at 0", lambda x: np.abs(x[0] + 1j * x[1]), [0.0, 0.0], [0, 0], nan),
    Row("logaddexp of two -inf", pair(np.logaddexp), [-inf, -inf], [0.5, 0.5]),
    Row("logaddexp of two inf", pair(np.logaddexp), [inf, inf], [0.5, 0.5]),
    Row("logaddexp of -inf and 1", pair(np.logaddexp), [-inf, 1.0], [0, 1]),
    Row("logaddexp2 of two -inf", pair(np.logaddexp2), [-inf, -inf], [0.5, 0.5]),
    Row("logsumexp, some -inf", lambda x: gnp.logsumexp(x), [-inf, 1.0, 1.0], [0, 0.5, 0.5]),
    Row("logsumexp, all -inf", lambda x: gnp.logsumexp(x), [-inf, -inf], [0, 0]),
    Row("logsumexp, all inf", lambda x: gnp.logsumexp(x), [inf, inf], [0.5, 0.5]),
    Row("arctan2(0, 0)", pair(np.arctan2), [0.0, 0.0], [0, 0], nan),
    Row("remainder", pair(np.remainder), [5.5, 2.0], [1, -2]),
    Row("remainder, x < 0", pair(np.remainder), [-5.5, 2.0], [1, 3]),
    Row("fmod, x < 0", pair(np.fmod), [-5.5, 2.0], [1, 2]),
    Row("arcsin at ±1", each(np.arcsin), [1.0, -1.0], [inf, inf], [inf, -inf]),
    Row("arccos at ±1", each(np.arccos), [1.0, -1.0], [-inf, -inf], [-inf, inf]),
    Row("arccosh at 1", each(np.arccosh), [1.0], [inf], [-inf]),
    Row("arctanh at ±1", each(np.arctanh), [1.0, -1.0], [inf, inf], [inf, -inf]),
    Row("arctanh outside", each(np.arctanh), [2.0], [nan], [nan]),
    Row("sinc at 0", each(np.sinc), [0.0], [0], [-np.pi**2 / 3]),
    Row("xlogy at x = 0", pair(gnp.xlogy), [0.0, 2.0], [np.log(2), 0], [0.5, 0.5]),
    Row("xlogy at (0, 0)", pair(gnp.xlogy), [0.0, 0.0], [-inf, 0], None),
    Row("entr at 0", each(gnp.entr), [0.0], [inf], [-inf]),
    Row("logit at 0, 1", each(gnp.logit), [0.0, 1.0], [inf, inf], [-inf, inf]),
    Row("erfinv at ±1", each(gnp.erfinv), [1.0, -1.0], [inf, inf], None),
    Row("gammaln at 0", each(ad.scipy.special.gammaln), [0.0], [-inf], [inf]),
    Row("i0e, i1e at 0", lambda x: ad.scipy.special.i0e(x[0]) + ad.scipy.special.i1e(x[1]),
        [0.0, 0.0], [0, 0.5]),
    Row("sort with ties", lambda x: (np.sort(x) * np.arange(1, 4, dtype=x.dtype)).sum(),
        [2.0, 1.0, 2.0], [2, 1, 3]),
    Row("prod with one zero", np.prod, [2.0, 0.0, 3.0], [0, 6, 0], [3, 5, 2]),
    Row("prod with two zeros", np.prod, [0.0, 0.0, 3.0], [0, 0, 0], [3, 3, 0]),
    Row("cumprod with a zero", each(np.cumprod), [2.0, 0.0, 3.0], [1, 8, 0], [4, 6, 2]),
    Row("std at zero variance", np.std, [2.0, 2.0, 2.0], [0, 0, 0], None),
    Row("var at zero variance", np.var, [2.0, 2.0, 2.0], [0, 0, 0]),
]  # fmt: skip

# where(c, x, bad(x)): the branch not taken is at a point where its derivatives are not finite.
BAD = {
    "sqrt": (np.sqrt, 0.0),
    "cbrt": (np.cbrt, 0.0),
    "log": (np.log, 0.0),
    "log below 0": (np.log, -1.0),
    "log2": (np.log2, 0.0),
    "log10": (np.log10, 0.0),
    "log1p": (np.log1p, -1.0),
    "1/x": (lambda x: 1 / x, 0.0),
    "x/x": (lambda x: x / x, 0.0),
    "sin(x)/x": (lambda x: np.sin(x) / x, 0.0),
    "x**0.5": (lambda x: x**0.5, 0.0),
    "x**1.5": (lambda x: x**1.5, 0.0),
    "x**-2": (lambda x: x**-2, 0.0),
    "x**array": (lambda x: x ** np.full(1, 0.5, x.dtype), 0.0),
    "x**x": (lambda x: x**x, 0.0),
    "arcsin": (np.arcsin, 1.0),
    "arccos": (np.arccos, 1.0),
    "arccosh": (np.arccosh, 1.0),
    "arctanh": (np.arctanh, 1.0),
    "hypot": (lambda x: np.hypot(x, 0 * x), 0.0),
    "arctan2": (lambda x: np.arctan2(x, 0 * x), 0.0),
    "logit": (gnp.logit, 1.0),
    "entr": (gnp.entr, 0.0),
    "xlogy": (lambda x: gnp.xlogy(x, x), 0.0),
    "erfinv": (gnp.erfinv, 1.0),
    "gammaln": (ad.scipy.special.gammaln, 0.0),
    "digamma": (ad.scipy.special.digamma, -1.0),
    "sqrt of a sum": (lambda x: np.sqrt((x**2).sum()), 0.0),
    "std": (lambda x: np.std(np.stack([x, x])), 0.0),
}
ROWS += [
    Row(
        f"where around {name}",
        each(lambda x, bad=bad, p=point: np.where(x == np.asarray(p, x.dtype), 3 * x, bad(x))),
        [point],
        [3.0],
    )
    for name, (bad, point) in BAD.items()
]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def gradient(row, x):
    return ad.grad(row.function)(x)


def along(row, v):
    """The directional derivative, by forward mode."""
    return lambda x: ad.jvp(row.function, (x,), (v,))[1]


@each_dtype
@each_row
def test_value(row, dtype):
    x = np.array(row.point, dtype)
    with np.errstate(all="ignore"):
        expected = row.function(x)
    value, _ = ad.value_and_grad(row.function)(x)
    np.testing.assert_allclose(value, expected, rtol=4 * np.finfo(dtype).eps)
    assert value.dtype == dtype


@each_dtype
@each_row
def test_gradient_of_both_modes(row, dtype):
    x = np.array(row.point, dtype)
    found = gradient(row, x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, row.gradient, rtol=4 * np.finfo(dtype).eps)
    for i, unit in enumerate(np.eye(x.size, dtype=dtype)):
        np.testing.assert_array_equal(along(row, unit)(x), found[i])
    # <u, Jv> = <J'u, v>
    v = np.linspace(1, 2, x.size).astype(dtype)
    np.testing.assert_allclose(along(row, v)(x), found @ v, rtol=1e-6)


NESTINGS = {
    "forward over reverse": lambda row, x, v: ad.jvp(ad.grad(row.function), (x,), (v,))[1],
    "reverse over reverse": lambda row, x, v: ad.grad(lambda y: (gradient(row, y) * v).sum())(x),
    "reverse over forward": lambda row, x, v: ad.grad(along(row, v))(x),
    "forward over forward": lambda row, x, v: np.stack(
        [ad.jvp(along(row, v), (x,), (unit,))[1] for unit in np.eye(x.size, dtype=x.dtype)]
    ),
}


@each_dtype
@pytest.mark.parametrize("nesting", NESTINGS)
@each_row
def test_curvature(row, nesting, dtype):
    x = np.array(row.point, dtype)
    found = NESTINGS[nesting](row, x, np.ones_like(x))
    assert found.dtype == dtype
    if row.curvature is not None:
        expected = np.broadcast_to(row.curvature, x.shape)
        found = np.where(np.isnan(expected) & np.isinf(found), nan, found)
        np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps, atol=1e-30)


@each_dtype
@each_row
def test_a_zero_seed_gives_zero(row, dtype):
    x = np.array(row.point, dtype)
    nothing = np.zeros_like(x)
    assert along(row, nothing)(x) == 0
    _, back = ad.vjp(row.function, x)
    np.testing.assert_array_equal(back(dtype(0))[0], nothing)
    if np.all(np.isfinite(row.gradient)):
        for nesting in NESTINGS.values():
            np.testing.assert_array_equal(nesting(row, x, nothing), nothing)


@each_dtype
def test_subnormals_are_kept(dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    value, derivative = ad.value_and_grad(lambda x: x * (smallest * 8) * dtype(0.25))(dtype(1))
    assert value == derivative == smallest * 2


def test_sinc_at_zero_is_exact_to_order_four():
    f, found = np.sinc, []
    for _ in range(4):
        f = ad.grad(f)
        found.append(f(0.0))
    np.testing.assert_allclose(found, [0, -(np.pi**2) / 3, 0, np.pi**4 / 5], rtol=1e-15)


@each_dtype
@pytest.mark.parametrize("logits", [[0.0, 0.0, -1.0], [-1.0, 2.0, 0.0], [inf, inf, 0.0]])
def test_an_infinite_tangent_of_a_logit_stays_beside_others(logits, dtype):
    """As in reverse mode: the derivative of log p1 by logit 0 is -p0."""
    x, seed = np.array(logits, dtype), np.array([inf, 0, 0], dtype)
    _, along_seed = ad.jvp(lambda x: gnp.log_softmax(x)[1], (x,), (seed,))
    (gradient,) = ad.vjp(lambda x: gnp.log_softmax(x)[1], x)[1](dtype(1))
    assert along_seed == -inf
    assert gradient[0] < 0


@each_dtype
@pytest.mark.parametrize("gap", [0, 0.5, 3, 17, 38, 80])
def test_weights_near_one_keep_the_digits_of_their_derivatives(gap, dtype):
    x, t = np.array([gap, 0, -0.25], dtype), np.array([-1.5, 2, 0.75], dtype)
    with mpmath.workdps(60):
        e = [mpmath.exp(float(v)) for v in x]
        p = [v / sum(e) for v in e]
        exact = [pi * sum(pj * (float(a) - float(b)) for pj, b in zip(p, t, strict=True))
                 for pi, a in zip(p, t, strict=True)]  # fmt: skip
        exact = np.array([float(v) for v in exact])
    hvp = ad.jit(lambda x, t: ad.jvp(ad.grad(gnp.logsumexp), (x,), (t,))[1])(x, t)
    back = ad.jvp(ad.vjp(gnp.softmax, x)[1], (t,), (t,))[1][0]
    for found in (ad.jvp(gnp.softmax, (x,), (t,))[1], hvp, back):
        np.testing.assert_allclose(found, exact, 64 * np.finfo(dtype).eps)


def test_gradient_by_a_complex_argument():
    z = np.array([1.0 + 2.0j, -0.5j])
    np.testing.assert_allclose(ad.grad(lambda z: (np.abs(z) ** 2).sum())(z), 2 * z.conj())
    # a holomorphic function's real part: its derivative
    np.testing.assert_allclose(ad.grad(lambda z: np.exp(z).sum().real)(z), np.exp(z))


@pytest.mark.parametrize("value", [3, True, np.arange(3)])
def test_integers_are_refused_by_name(value):
    with pytest.raises(DTypeError, match=r"weights has dtype (int64|bool)"):
        ad.grad(lambda weights: (weights * 1.0).sum())(value)


# Accuracy of derivative rules, in units in the last place against mpmath.

mp = mpmath.mp
ROOT_PI = mpmath.sqrt(mpmath.pi)


def s(x):
    return 1 / (1 + mpmath.exp(-x))


@dataclass
class Accuracy:
    """A function of one number; its first and second derivative exactly; points and bounds."""

    name: str
    function: Any
    first: Any
    second: Any
    points: Any
    ulps: tuple[float, float] = (2, 3)


# Around 0, where the second derivative of sigmoid and tanh goes through zero, it has the absolute
# accuracy of their scale; the table is about the tails.
TAILS = [-80.0, -17.0, -5.0, -0.7, 0.7, 5.0, 17.0, 80.0]
ACCURACY = [
    Accuracy("sigmoid", gnp.sigmoid, lambda x: s(x) * s(-x),
             lambda x: s(x) * s(-x) * (s(-x) - s(x)), TAILS),
    Accuracy("tanh", np.tanh, lambda x: mpmath.sech(x) ** 2,
             lambda x: -2 * mpmath.tanh(x) * mpmath.sech(x) ** 2,
             [-40.0, -9.0, -0.7, 0.7, 3.0, 9.0, 40.0]),
    Accuracy("expm1", np.expm1, mpmath.exp, mpmath.exp, [-80.0, -1e-10, 1e-10, 1.0, 80.0]),
    Accuracy("softplus", gnp.softplus, s, lambda x: s(x) * s(-x), [*TAILS, -1000.0, 1000.0]),
    Accuracy("log_sigmoid", gnp.log_sigmoid, lambda x: s(-x), lambda x: -s(x) * s(-x),
             [*TAILS, -1000.0, 1000.0]),
    Accuracy("logaddexp", lambda x: np.logaddexp(x, 0.25), lambda x: s(x - 0.25),
             lambda x: s(x - 0.25) * s(0.25 - x), [*TAILS, -1000.0, 1000.0]),
    Accuracy("logsumexp", lambda x: gnp.logsumexp(np.stack([x, 0 * x])), s,
             lambda x: s(x) * s(-x), [*TAILS, -1000.0]),
    Accuracy("log1p", np.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2,
             [-0.9999, -1e-10, 1e-10, 1e8]),
    Accuracy("erf", gnp.erf, lambda x: 2 / ROOT_PI * mpmath.exp(-x * x),
             lambda x: -4 * x / ROOT_PI * mpmath.exp(-x * x), [-8.5, -0.3, 1.7, 8.9]),
    Accuracy("erfc", gnp.erfc, lambda x: -2 / ROOT_PI * mpmath.exp(-x * x),
             lambda x: 4 * x / ROOT_PI * mpmath.exp(-x * x), [-8.5, -0.3, 1.7, 8.9]),
    Accuracy("x / y by y", lambda y: 1e22 / y, lambda y: -mpmath.mpf(1e22) / y**2,
             lambda y: 2 * mpmath.mpf(1e22) / y**3, [1e-5, 3.0, 1e18]),
    Accuracy("arctanh", np.arctanh, lambda x: 1 / (1 - x * x),
             lambda x: 2 * x / (1 - x * x) ** 2, [-0.9999, 0.3, 0.99999]),
    Accuracy("arcsin", np.arcsin, lambda x: 1 / mpmath.sqrt(1 - x * x),
             lambda x: x / mpmath.sqrt(1 - x * x) ** 3, [-0.9999, 0.3, 0.99999]),
    Accuracy("arccosh", np.arccosh, lambda x: 1 / mpmath.sqrt(x * x - 1),
             lambda x: -x / mpmath.sqrt(x * x - 1) ** 3, [1.00001, 3.0, 1e8]),
    Accuracy("arcsinh", np.arcsinh, lambda x: 1 / mpmath.sqrt(x * x + 1),
             lambda x: -x / mpmath.sqrt(x * x + 1) ** 3, [-1e8, 1e-5, 3.0, 1e8]),
    Accuracy("arctan", np.arctan, lambda x: 1 / (1 + x * x),
             lambda x: -2 * x / (1 + x * x) ** 2, [-1e8, 1e-5, 3.0]),
    Accuracy("logit", gnp.logit, lambda x: 1 / (x * (1 - x)),
             lambda x: (2 * x - 1) / (x * (1 - x)) ** 2, [1e-8, 0.2, 0.99999]),
    Accuracy("log", np.log, lambda x: 1 / x, lambda x: -1 / x**2, [1e-15, 0.3, 1e15]),
    Accuracy("sqrt", np.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)),
             lambda x: -1 / (4 * mpmath.sqrt(x) ** 3), [1e-15, 0.3, 1e15]),
]  # fmt: skip


def ulps(found, exact, dtype):
    """The error in units in the last place, above the subnormals."""
    near = dtype(float(exact)) if dtype is np.float64 else dtype(exact)
    tiny = np.finfo(dtype).tiny
    unit = mpmath.mpf(float(np.spacing(np.maximum(abs(near), tiny))))
    return float(abs(mpmath.mpf(float(found)) - exact) / unit)


@each_dtype
@pytest.mark.parametrize("row", ACCURACY, ids=lambda row: row.name)
def test_accuracy_of_derivatives(row, dtype):
    with mpmath.workdps(60):
        for point in row.points:
            x = dtype(point)
            exact = mpmath.mpf(float(x))
            first = ad.grad(row.function)(x)
            assert ulps(first, row.first(exact), dtype) <= row.ulps[0], (point, first)
            second = ad.grad(ad.grad(row.function))(x)
            assert ulps(second, row.second(exact), dtype) <= row.ulps[1], (point, second)

"""log Γ, digamma, the normal distribution and the scaled Bessel functions: values, derivatives."""

import types
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

import gpuad as ad
import gpuad.numpy as gnp
from executors.test_conventions import ulps
from gpuad.errors import UnsupportedError
from gpuad.primitives import special_text
from gpuad.testing import check_grads, check_hvp
from vecmath_reference import EXACT, density, inverse_mills, inverse_mills_excess

special = ad.scipy.special
NAMES = ("gammaln", "digamma", "psi", "ndtr", "log_ndtr", "i0e", "i1e")
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
each_name = pytest.mark.parametrize("name", NAMES)
X = np.array([0.3, 1.0, 1.4616321449683622, 2.0, 2.5, 3.7, 4.2, 8.0, 17.5, 400.0])


def values(name):
    """Arguments in the function's domain, some of them negative."""
    return np.concatenate([X, [-0.1, -0.7, -1.5, -3.3, -11.8]])


# Values


@DTYPES
@each_name
def test_values_are_scipys(name, dtype):
    x = values(name).astype(dtype)
    expected = getattr(scipy.special, name)(x.astype(float))
    function = getattr(special, name)
    for found in (function(x), ad.jit(function)(x), ad.vmap(function)(x)):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=30 * np.finfo(dtype).eps, atol=1e-15)


@each_name
def test_arguments_of_every_kind(name):
    function, theirs = getattr(special, name), getattr(scipy.special, name)
    jitted = ad.jit(function)
    wide = values(name).reshape(3, 5)
    for x in (2.5, np.array(2.5), np.arange(1, 4), np.empty((0, 2)), wide.T, wide[:, ::2]):
        expected = theirs(x)
        found = jitted(x)
        assert (np.shape(found), found.dtype) == (np.shape(expected), expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=2e-14)  # SciPy's ndtr is 1e-14 off
    np.testing.assert_array_equal(jitted(np.array([np.nan, 1.0])) >= -1, [False, True])
    np.testing.assert_allclose(ad.jit(theirs)(X), theirs(X), rtol=1e-14)


@DTYPES
def test_values_at_the_ends(dtype):
    ends = np.array([-np.inf, -2, -0.0, 0, np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        for name in NAMES:
            expected = getattr(scipy.special, name)(ends)
            for found in (getattr(special, name)(ends), ad.jit(getattr(special, name))(ends)):
                np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


def test_what_cupy_arrays_take():
    """The same formulas in another namespace, where CuPy's own overflow."""
    xp = types.ModuleType("other")
    vars(xp).update(vars(np))
    x = np.array([-800.0, -3, -0.0, 0, 1e-5, 0.2, 7.9, 8.1, 800, 1e250])
    for name in ("i0e", "i1e"):
        found = getattr(special_text, name).run(xp, x)
        np.testing.assert_allclose(found, getattr(scipy.special, name)(x), rtol=2e-15)


# Derivatives


@dataclass
class Accuracy:
    """First and second derivative exactly; points; how many units in the last place are allowed."""

    first: Any
    second: Any
    points: Any
    ulps: tuple[float, float]


def sign(x):
    return mpmath.sign(x)


BESSEL = [-1e6, -30.0, -7.9, -0.3, 1e-6, 0.01, 0.5, 1.0, 3.0, 7.99, 8.01, 100.0, 1e4, 1e9]
ACCURACY = {
    "gammaln": Accuracy(
        lambda x: mpmath.psi(0, x), lambda x: mpmath.psi(1, x),
        [1e-9, 0.1, 0.79, 0.81, 1.46163, 1.7, 3.0, 4.01, 50.0, 1e12, -0.3, -2.7], (6, 7),
    ),
    "digamma": Accuracy(
        lambda x: mpmath.psi(1, x), lambda x: mpmath.psi(2, x),
        [1e-6, 0.1, 0.79, 0.81, 1.46163, 1.7, 3.0, 4.01, 50.0, 1e12, -0.3, -2.7], (6, 9),
    ),
    "ndtr": Accuracy(
        density, lambda x: -x * density(x), [-12.0, -3.3, -0.7, 1e-4, 0.5, 2.2, 8.8, 12.0], (4, 5),
    ),
    "log_ndtr": Accuracy(
        inverse_mills, lambda x: -inverse_mills(x) * inverse_mills_excess(x),
        [-1e4, -40.0, -12.0, -3.3, -0.7, -1e-4, 1e-4, 0.5, 2.2, 8.8, 12.0], (6, 9),
    ),
    "i0e": Accuracy(
        lambda x: -sign(x) * EXACT["i0e_minus_i1e"](x), EXACT["i0e_curvature"], BESSEL, (6, 9),
    ),
    "i1e": Accuracy(
        lambda x: EXACT["i0e_minus_i1e"](x) - EXACT["i1e_over_x"](x),
        lambda x: sign(x) * (EXACT["i1e_over_x_slope"](x) - EXACT["i0e_curvature"](x)),
        BESSEL, (15, 25),
    ),
}  # fmt: skip


@DTYPES
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_of_derivatives(name, dtype):
    """To second order in both tails, recorded and compiled."""
    row, function = ACCURACY[name], getattr(special, name)
    x = np.array(row.points, dtype)
    first = ad.grad(lambda x: function(x).sum())

    def second(x):
        return ad.jvp(first, (x,), (np.ones_like(x),))[1]

    with mpmath.workprec(200):
        for derivative, exact, most in zip(
            (first, second), (row.first, row.second), row.ulps, strict=True
        ):
            for found in (derivative(x), ad.jit(derivative)(x)):
                errors = [
                    ulps(a, exact(mpmath.mpf(float(b))), dtype)
                    for a, b in zip(found, x, strict=True)
                ]
                assert max(errors) <= most, errors


@each_name
def test_derivatives_of_third_order(name):
    function = getattr(special, name)
    x = np.array([0.4, 1.2, 2.9, 6.0, 9.5])
    check_grads(function, (x,), order=3)
    check_hvp(lambda x: function(x).sum(), (x,))


def test_derivatives_of_every_order_of_digamma():
    f, n = special.digamma, 5
    for _ in range(n):
        f = ad.grad(f)
    for found in (f(1.7), ad.jit(f)(1.7)):
        np.testing.assert_allclose(found, scipy.special.polygamma(n, 1.7), rtol=1e-13)


@DTYPES
def test_kinks_and_poles(dtype):
    zero = dtype(0)
    assert ad.grad(special.i0e)(zero) == ad.grad(ad.grad(special.i0e))(zero) == 0
    assert ad.grad(special.i1e)(zero) == dtype(0.5)
    assert ad.grad(ad.grad(special.i1e))(zero) == ad.grad(ad.grad(ad.grad(special.i1e)))(zero) == 0
    with np.errstate(all="ignore"):
        assert ad.grad(special.gammaln)(zero) == -np.inf
        assert ad.grad(special.digamma)(zero) == np.inf


@pytest.mark.parametrize("name", ["gammaln", "digamma"])
def test_what_is_dropped_leaves_no_nan(name):
    def loss(x):
        return gnp.where(x > 0, getattr(special, name)(x), x).sum()

    x = np.array([-1.0, 0.0, -np.inf, 2.0])
    with np.errstate(all="ignore"):
        for transform in (lambda f: f, ad.jit):
            found = transform(ad.grad(loss))(x)
            np.testing.assert_array_equal(found[:3], 1)
            assert np.isfinite(found[3])
            product = ad.hvp(loss, (x,), (np.ones(4),))[0]
            np.testing.assert_array_equal(product[:3], 0)


# Programs


def test_a_likelihood_is_one_sweep():
    """Negative binomial counts, with probits: value, gradient and product in one launch each."""

    def loss(p, n):
        r = gnp.exp(p)
        counts = special.gammaln(n + r) - special.gammaln(r) - n * gnp.log1p(r)
        return (counts + special.log_ndtr(p) + special.ndtr(-p) * special.i0e(p)).sum()

    p, v = np.random.default_rng(0).normal(size=(2, 300))
    n = np.arange(300.0) % 7
    product = lambda p, v: ad.hvp(lambda p: loss(p, n), (p,), (v,))[0]  # noqa: E731
    for f, given in ((loss, (p, n)), (ad.grad(loss), (p, n)), (product, (p, v))):
        jitted = ad.jit(f)
        assert jitted.explain(*given).launches == 1
        np.testing.assert_allclose(jitted(*given), f(*given), rtol=1e-11, atol=1e-12)
    check_hvp(lambda p: loss(p, n[:5]), (p[:5],))


@each_name
def test_vmap_is_a_loop(name):
    function = getattr(special, name)
    x = np.abs(values(name)).reshape(5, 3)
    gradient = ad.grad(lambda x: function(x).prod())
    np.testing.assert_allclose(
        ad.vmap(gradient)(x), np.stack([gradient(row) for row in x]), rtol=1e-13
    )


def test_what_is_refused():
    with pytest.raises(UnsupportedError, match="gammaln has no rule for dtypes complex128"):
        ad.jit(special.gammaln)(X + 1j)
    with pytest.raises(UnsupportedError, match=r"where=.*np.where"):
        ad.jit(lambda x: special.ndtr(x, where=x > 0))(X)

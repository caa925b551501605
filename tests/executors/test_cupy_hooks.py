"""CuPy's functions on traced arrays: its ufuncs and reductions hand over to gpuad.

No GPU is needed: the hooks are reached before CuPy touches a device.
"""

import numpy as np
import pytest

import gpuad as ad
from gpuad.compile import run_once
from gpuad.errors import UnsupportedError
from gpuad.ir.primitive import CATALOGUE
from gpuad.tracing.registry import CUPY

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install gpuad[cuda13]")

X = np.array([0.5, 1.0, 2.0])
Y = np.array([1.0, 2.0, 0.3])


def ufuncs(module):
    return [f for n in dir(module) if isinstance(f := getattr(module, n), cupy.ufunc)]


# Without a derivative rule of their own: refused by name.
REFUSED = {"cupy_bitwise_count", "cupy_frexp", "cupy_i0"}


def test_every_ufunc_of_cupy_is_known():
    assert {f.name for f in ufuncs(cupy)} - set(CUPY) == REFUSED


def test_the_names_of_the_special_kernels_are_cupys():
    special = pytest.importorskip("cupyx.scipy.special")
    names = {f.name for f in ufuncs(special)}
    assert {n for n in CUPY if "scipy_special" in n} <= names
    assert {"cupy_expit", "cupy_logit", "cupy_xlogy", "cupyx_scipy_log1p"} <= names & set(CUPY)


def test_cupy_has_every_array_function_that_a_primitive_names():
    names = {p.run for p in CATALOGUE.values() if isinstance(p.run, str)}
    assert [n for n in sorted(names) if not hasattr(cupy, n)] == []


CALLS = {
    "sin": (lambda x, y: cupy.sin(x), np.sin(X)),
    "add a number": (lambda x, y: cupy.add(x, 1.0), X + 1),
    "a number first": (lambda x, y: cupy.logaddexp(0, x), np.logaddexp(0, X)),
    "true_divide": (lambda x, y: cupy.divide(x, y), X / Y),
    "power": (lambda x, y: cupy.power(x, 2), X**2),
    "maximum": (lambda x, y: cupy.maximum(x, y), np.maximum(X, Y)),
    "where": (lambda x, y: cupy.where(x > y, x, y), np.maximum(X, Y)),
    "clip": (lambda x, y: cupy.clip(x, 0.6, 1.5), np.clip(X, 0.6, 1.5)),
    "degrees": (lambda x, y: cupy.degrees(x) + cupy.rad2deg(y), np.degrees(X + Y)),
    "fix": (lambda x, y: cupy.fix(x), np.fix(X)),
    "angle": (lambda x, y: cupy.angle(-x), np.full(3, np.pi)),
    "divmod": (lambda x, y: cupy.divmod(x, y)[1], X % Y),
    "modf": (lambda x, y: cupy.modf(x)[0], np.modf(X)[0]),
    "dtype": (lambda x, y: cupy.add(x, y, dtype=np.float32), (X + Y).astype(np.float32)),
    "out": (lambda x, y: cupy.sin(x, out=y.copy()), np.sin(X)),
    "sum": (lambda x, y: cupy.sum(x), X.sum()),
    "sum of an axis": (lambda x, y: cupy.sum(x, axis=0, keepdims=True), X.sum(keepdims=True)),
    "add.reduce": (lambda x, y: cupy.add.reduce(x), X.sum()),
    "prod": (lambda x, y: cupy.prod(x), X.prod()),
    "max": (lambda x, y: cupy.max(x), X.max()),
    "amin": (lambda x, y: cupy.amin(x), X.min()),
    "mean": (lambda x, y: cupy.mean(x), X.mean()),
    "var": (lambda x, y: cupy.var(x), X.var()),
    "argmax": (lambda x, y: cupy.argmax(x), 2),
    "dot": (lambda x, y: cupy.dot(x, y), X @ Y),
    "reshape": (lambda x, y: cupy.reshape(x, (3, 1)), X.reshape(3, 1)),
    "sort": (lambda x, y: cupy.sort(y), np.sort(Y)),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_of_cupy_record(name):
    function, expected = CALLS[name]
    found = run_once(function, (X, Y), {})
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_special_functions_of_cupy_record():
    special = pytest.importorskip("cupyx.scipy.special")
    import scipy.special

    for (
        name
    ) in "expit erf erfc entr xlogy log1p cbrt gammaln digamma ndtr log_ndtr i0e i1e".split():
        args = (X,) * getattr(scipy.special, name).nin
        found = run_once(getattr(special, name), args, {})
        np.testing.assert_allclose(found, getattr(scipy.special, name)(*args), rtol=1e-14)


def test_derivatives_through_cupy_functions():
    loss = lambda x: cupy.sum(cupy.exp(x) * cupy.where(x > 0.7, x, 0.0))  # noqa: E731
    np.testing.assert_allclose(ad.grad(loss)(X), np.where(X > 0.7, (1 + X) * np.exp(X), 0))


def test_a_kernel_of_the_users_is_refused_by_name():
    kernel = cupy.ElementwiseKernel("T x", "T y", "y = x * x", "my_square")
    with pytest.raises(UnsupportedError, match="'my_square'"):
        ad.grad(lambda x: kernel(x).sum())(X)

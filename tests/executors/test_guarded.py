"""Guards are compiled and run only where a result is NaN without them."""

import numpy as np
import pytest

import gpuad as ad
from gpuad import compile as compile_
from gpuad.executors.native.guarded import GuardedProgram

pytest.importorskip("numba")
N = 20_000


def loss(w, x):
    """Divides by something that a zero weight drops where it is zero."""
    return (np.sqrt(w[0] * x) * np.log(1 + w[1] * x * x) / (x + w[1])).sum()


def product(w, x, v):
    return ad.hvp(loss, (w, x), (v, None))[0]


def program_of(f):
    (entry,) = f._entries.values()
    return compile_.compiled(entry.recorded.graph, np, "auto")


W, V = np.array([0.0, 1.0]), np.array([0.0, 1.0])
X = np.linspace(0.1, 1, N)


@pytest.fixture(scope="module")
def jitted():
    f = ad.jit(product)
    f(W + 1, X, V)
    return f


def test_without_nan_nothing_guarded_is_compiled(jitted):
    found = jitted(W + 1, X, V)
    program = program_of(jitted)
    assert isinstance(program, GuardedProgram)
    assert "guarded" not in vars(program)
    np.testing.assert_allclose(found, product(W + 1, X, V), rtol=1e-10)


def test_a_seed_that_is_zero_is_dropped(jitted):
    """√(w x) at w = 0 has an infinite slope, along which the seed is zero; on the second call too,
    which takes the fast path."""
    expected = product(W, X, V)
    assert np.isfinite(expected[1])
    for _ in range(2):
        np.testing.assert_allclose(jitted(W, X, V), expected, rtol=1e-10)
    assert "guarded" in vars(program_of(jitted))
    np.testing.assert_allclose(jitted(W + 1, X, V), product(W + 1, X, V), rtol=1e-10)


def test_a_true_nan_stays(jitted):
    assert np.isnan(jitted(W - 2, X, V)).any()


def test_limits_and_donated_memory():
    expected = product(W, X, V)
    limited = ad.jit(product, max_bytes=3e5)
    np.testing.assert_allclose(limited(W, X, V), expected, rtol=1e-10)
    donating = ad.jit(product, donate_argnums=1)
    np.testing.assert_allclose(donating(W, X.copy(), V), expected, rtol=1e-10)

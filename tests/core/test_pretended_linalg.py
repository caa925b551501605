"""Linear algebra on a pretended CuPy: which of its functions are called, and with what results."""

import numpy as np
import pytest

import gpuad as ad
import pretended_cupy
from executors.cases_linalg import CASES
from executors.test_primitives import case_id
from gpuad.errors import UnsupportedError

ON_THE_HOST = {"sylvester", "sqrtm"}


@pytest.fixture
def cupy(monkeypatch):
    yield pretended_cupy.installed(monkeypatch)
    ad.clear_cache()


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_values(case, cupy):
    operands = [cupy.asarray(x) for x in case.operands]
    if case.primitive.name in ON_THE_HOST:
        with pytest.raises(UnsupportedError, match=r"gpuad\.external"):
            case.primitive.run(cupy, *operands, **case.params)
        return
    with np.errstate(all="ignore"):
        found = case.primitive.run(cupy, *operands, **case.params)
        expected = case.primitive.run(np, *case.operands, **case.params)
    pairs = zip(found, expected, strict=True) if case.primitive.multiple else [(found, expected)]
    for ours, theirs in pairs:
        assert isinstance(ours, cupy.ndarray)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours.get(), theirs, rtol=1e-9, atol=1e-10)


def test_a_matrix_that_is_not_positive_definite_gives_nan(cupy):
    a = np.stack([np.eye(3), np.diag([1.0, -1.0, 1.0]), 2 * np.eye(3)])
    a[1, 2, 0] = a[1, 0, 2] = 0.5
    found = ad.jvp(np.linalg.cholesky, (cupy.asarray(a),), (cupy.asarray(a),))[0].get()
    assert np.isnan(found[1][np.tril_indices(3)]).all()
    np.testing.assert_allclose(found[[0, 2]], np.linalg.cholesky(a[[0, 2]]))


def test_a_gaussian_process_is_that_of_the_host(cupy):
    x, y = np.random.default_rng(0).normal(size=(2, 9))

    def likelihood(theta, x, y):
        d = x[:, None] - x
        K = np.exp(-(d**2) * theta[0]) + (d == 0) * theta[1]
        factor = ad.scipy.linalg.cho_factor(K, lower=True)
        return y @ ad.scipy.linalg.cho_solve(factor, y) + np.linalg.slogdet(K)[1]

    arguments = (np.array([0.7, 0.3]), x, y)
    tangents = (np.array([1.0, -2.0]), y, x)
    gradient = ad.grad(likelihood, argnums=(0, 1, 2))
    expected = ad.jvp(gradient, arguments, tangents)[1]
    found = ad.jvp(gradient, *[tuple(map(cupy.asarray, z)) for z in (arguments, tangents)])[1]
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f.get(), e, rtol=1e-8)

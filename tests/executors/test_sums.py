"""Sums over many rows keep their digits in float32."""

import numpy as np
import pytest

import gpuad as ad

ROWS = 10**6
PLACES = np.arange(ROWS) % 3


def _loss(w, X):
    return ((X * w).sum(1) ** 2).mean()


PROGRAMS = {
    "rows of few lanes": (lambda X: X.sum(0), 3),
    "rows of a vector": (lambda X: (X * X).sum(0), 8),
    "rows of many lanes": (lambda X: (X * X).sum(0), 33),
    "some columns": (lambda X: X[:, :3].mean(), 5),
    "leading axes": (lambda X: X.reshape(1000, -1, 2, 3).sum((0, 1)), 6),
    "all": (lambda X: (X * X).sum(), 8),
    "norm of rows": (lambda X: np.linalg.norm(X, axis=0), 3),
    "slope of a norm": (lambda X: ad.grad(lambda X: np.linalg.norm(X, axis=0).sum())(X)[:2], 3),
    "product with a vector": (lambda X: X.T @ X[:, 0], 8),
    "product with a matrix": (lambda X: X.T @ X, 3),
    "product of vectors": (lambda X: X[:, 0] @ X[:, 1], 2),
    "gradient": (lambda X: ad.grad(_loss)(np.ones(5, X.dtype), X), 5),
    "table": (lambda X: ad.grad(lambda w: (w[PLACES] * X).sum())(np.zeros((3, 2), X.dtype)), 2),
    "softmax": (lambda X: ad.numpy.softmax(X, axis=0).sum(0), 2),
}


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_sums_over_rows_keep_their_digits(name, executor):
    f, columns = PROGRAMS[name]
    X = np.full((ROWS, columns), 0.01, np.float32)
    got = ad.jit(f, executor=executor)(X)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, f(X.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("axes", [0, 1, 2, (0, 1), (1, 2), (0, 2), None])
@pytest.mark.parametrize("turned", [False, True])
def test_sums_in_runs_are_sums_of_all_elements(dtype, axes, turned):
    x = np.random.default_rng(0).normal(size=(70, 33, 130)).astype(dtype)
    x = x.T if turned else x
    got = ad.jit(lambda x: x.sum(axes), executor="reference")(x)
    right = x.astype(np.complex128).sum(axes)
    assert got.dtype == dtype
    assert got.shape == right.shape
    np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-4)


PRODUCTS = ["nij,nik->jk", "inb,nib->b", "n,n->", "nbi,bni->bi", "ni,mni->m", "ni,nj->ij"]


@pytest.mark.parametrize("equation", PRODUCTS)
@pytest.mark.parametrize("rows", [2**11, 5000])
def test_products_in_runs_are_products_of_all_rows(equation, rows):
    rng = np.random.default_rng(0)
    size = {"n": rows, "i": 3, "j": 4, "k": 5, "b": 2, "m": 3}
    factors = equation.split("->")[0].split(",")
    x, y = [rng.normal(size=[size[c] for c in s]).astype(np.float32) for s in factors]
    got = ad.jit(lambda x, y: np.einsum(equation, x, y), executor="reference")(x, y)
    right = np.einsum(equation, x.astype(float), y.astype(float))
    np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-3)

"""A user's first five minutes: a loss in plain NumPy, and what gpuad makes of it."""

import numpy as np
import pytest

import gpuad as ad

rng = np.random.default_rng(0)
X, w, v = rng.normal(size=(50, 4)), rng.normal(size=4), rng.normal(size=4)
y = (X @ w + rng.normal(size=50) > 0).astype(float)

# Derivatives by hand: r = sigmoid(Xw) − y, gradient Xᵀr/n, Hessian Xᵀ diag(s(1−s)) X/n.
s = 1 / (1 + np.exp(-X @ w))
GRADIENT = X.T @ (s - y) / 50
HESSIAN = (X.T * (s * (1 - s))) @ X / 50


def loss(w, X, y):
    z = X @ w
    return (np.logaddexp(0, z) - y * z).mean()


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_the_loss_itself_is_plain_numpy():
    assert type(loss(w, X, y)) is np.float64


def test_gradient():
    found = ad.grad(loss)(w, X, y)
    assert type(found) is np.ndarray
    close(found, GRADIENT)


def test_value_and_gradient():
    value, gradient = ad.value_and_grad(loss)(w, X, y)
    assert value == pytest.approx(loss(w, X, y), rel=1e-15)
    close(gradient, GRADIENT)


def test_hessian_vector_product_holds_the_data_constant():
    product, *rest = ad.hvp(loss, (w, X, y), (v, None, None))
    assert rest == [None, None]
    close(product, HESSIAN @ v)


def test_hessian():
    close(ad.hessian(loss)(w, X, y), HESSIAN)


def test_gradient_of_each_sample():
    each = ad.vmap(ad.grad(loss), in_axes=(None, 0, 0))(w, X, y)
    close(each, X * (s - y)[:, None])


def test_jit_records_once():
    step = ad.jit(lambda w, X, y: w - 0.1 * ad.grad(loss)(w, X, y))
    close(step(w, X, y), w - 0.1 * GRADIENT)
    step(step(w, X, y), X, y)
    assert step.retraces == []


def test_newton_finds_the_minimum():
    found = w
    for _ in range(8):
        found = found - np.linalg.solve(ad.hessian(loss)(found, X, y), ad.grad(loss)(found, X, y))
    close(ad.grad(loss)(found, X, y), np.zeros(4))


def test_parameters_in_a_dict():
    def model(p, X, y):
        return loss(p["w"], X + p["shift"], y)

    gradient = ad.grad(model)({"w": w, "shift": 0.0}, X, y)
    close(gradient["w"], GRADIENT)
    close(gradient["shift"], (s - y).mean() * w.sum())


def test_loops_and_branches_are_pythons():
    def newton_sqrt(a):
        x = a
        while abs(x * x - a) > 1e-13 * a:
            x = (x + a / x) / 2
        return x

    close(ad.grad(newton_sqrt)(2.0), 0.5 / np.sqrt(2.0))


def test_the_user_s_arrays_are_not_touched():
    def doubled(x):
        x *= 2
        x[0] = 0.0
        return (x**2).sum()

    before = w.copy()
    close(ad.grad(doubled)(w), [0, *(8 * w[1:])])
    np.testing.assert_array_equal(w, before)


def test_a_mistake_says_what_to_write():
    with pytest.raises(TypeError, match=r"w has dtype int64.*w\.astype\(float\)"):
        ad.grad(loss)(np.arange(4), X, y)

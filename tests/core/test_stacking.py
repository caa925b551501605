"""Products that share an operand are made as one, with the same values."""

import numpy as np
import pytest

import gpuad as ad
from gpuad.executors import reference
from gpuad.ir.check import check
from gpuad.transforms.guards import without_guards
from gpuad.transforms.lower import lower
from gpuad.transforms.stacking import stacked

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 12))
W, V, U = (RNG.normal(size=(12, n)) for n in (5, 5, 3))


def graph_of(function, *arrays):
    return ad.make_graph(function)(*arrays).graph


def products(graph):
    return [e for e in graph.equations if e.primitive.name == "dot_general"]


CASES = {
    "left": (lambda x, w, v: (x @ w, x @ v), (X, W, V), 1),
    "three of several widths": (lambda x, w, v, u: (x @ u, x @ w, x @ v), (X, W, V, U), 1),
    "right": (lambda x, w, v: (w.T @ x.T, v.T @ x.T), (X, W, V), 1),
    "used on the way": (lambda x, w, v: np.tanh(x @ w) + np.sin(x @ v), (X, W, V), 1),
    "computed before": (lambda x, w, v: (np.sin(x) @ w) * (np.sin(x) @ v), (X, W, V), 1),
    "transposed": (lambda x, w, v: (x @ w.T, x @ v.T), (X, W.T.copy(), V.T.copy()), 1),
    "contracted apart": (lambda x, w, v: (x @ w, x.T @ v), (X, W, RNG.normal(size=(300, 5))), 2),
    "one of the other": (lambda x, w, v: x @ (w * np.sum(x @ v)), (X, W, V), 2),
    "one matrix": (lambda x, w: (x @ w, x @ w), (X, W), 1),
    "not much larger": (lambda x, w, v: (x @ w, x @ v), (X[:40], W, V), 2),
    "wide": (
        lambda x, w, v: (x @ w, x @ v),
        (RNG.normal(size=(3000, 12)), RNG.normal(size=(12, 40)), RNG.normal(size=(12, 40))),
        2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_stacked_and_its_values(name):
    function, arrays, count = CASES[name]
    graph = graph_of(function, *arrays)
    new = stacked(graph)
    check(new)
    assert len(products(new)) == count
    expected, found = (reference.run(g, list(arrays), np) for g in (graph, new))
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-13)


def test_the_hessian_product_of_a_softmax_multiplies_by_the_data_twice():
    """Once for primal and tangent together, and once on the way back."""

    def loss(w, x):
        z = x @ w
        return np.mean(np.log(np.sum(np.exp(z), axis=1)))

    graph = graph_of(lambda w, v, x: ad.hvp(loss, (w, x), (v, None))[0], W, V, X)
    graph = lower(without_guards(graph))
    assert len(products(graph)) == 2
    found = ad.jit(lambda w, v, x: ad.hvp(loss, (w, x), (v, None))[0])(W, V, X)
    expected = ad.hvp(loss, (W, X), (V, None))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_dtypes_are_not_mixed():
    narrow = V.astype(np.float32)

    def function(x, w, v):
        return x @ w, x.astype(np.float32) @ v

    found = ad.jit(function)(X, W, narrow)
    assert found[0].dtype == np.float64 and found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], X @ V, rtol=1e-4, atol=1e-4)

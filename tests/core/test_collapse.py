"""Sums before matrix products: the same values, fewer multiplications."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.executors import reference
from gpuad.ir.check import check
from gpuad.ir.graph import Graph
from gpuad.transforms.collapse import collapse
from gpuad.transforms.simplify import simplify

RNG = np.random.default_rng(11)
D, N, H = 5, 7, 6
X = RNG.normal(size=(N, D))
WEIGHTS = [RNG.normal(size=s) for s in ((D, H), (H, H), (H, 1))]


def network(x: Any, *weights: Any) -> Any:
    for w in weights[:-1]:
        x = gnp.tanh(x @ w)
    return (x @ weights[-1])[..., 0]


def laplacian(x: Any, *weights: Any) -> Any:
    def along(e: Any) -> Any:
        t = gnp.broadcast_to(e, x.shape)
        slope = lambda z: ad.jvp(lambda y: network(y, *weights), (z,), (t,))[1]  # noqa: E731
        return ad.jvp(slope, (x,), (t,))[1]

    return ad.vmap(along)(np.eye(D)).sum(0)


def multiplications(graph: Graph) -> int:
    """Of all matrix products."""
    return sum(
        math.prod(e.outputs[0].aval.shape)
        * math.prod(e.operands[0].aval.shape[a] for a in e.params["contract"][0])
        for e in graph.equations
        if e.primitive.name == "dot_general"
    )


def simplified(function: Any, *args: Any) -> Graph:
    return simplify(ad.make_graph(function)(*args).graph)


def assert_same(graph: Graph, inputs: Any) -> Graph:
    new = simplify(collapse(graph))
    check(new)
    inputs = [*inputs, *[np.eye(D)][: len(graph.inputs) - len(inputs)]]
    found, expected = (reference.run(g, inputs, np) for g in (new, graph))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
    return new


def test_a_laplacian_has_one_second_order_stream():
    graph = simplified(laplacian, X, *WEIGHTS)
    new = assert_same(graph, [X, *WEIGHTS])
    second_order = N * H * H + N * H
    first_order = D * D * H + D * N * H * H
    assert multiplications(graph) == N * D * H + N * H * H + first_order + D * second_order
    assert multiplications(new) == multiplications(graph) - (D - 1) * second_order


def test_the_gradient_of_a_laplacian_is_collapsed_too():
    def loss(x: Any, *weights: Any) -> Any:
        return (laplacian(x, *weights) ** 2).sum()

    graph = simplified(ad.grad(loss, argnums=(1, 2, 3)), X, *WEIGHTS)
    new = assert_same(graph, [X, *WEIGHTS])
    assert multiplications(new) < 0.75 * multiplications(graph)


def test_a_factor_repeated_along_the_sum_meets_the_sum_of_the_other():
    y, w = RNG.normal(size=(N, H)), RNG.normal(size=(D, N, H))
    graph = simplified(lambda w, y: gnp.einsum("kni,nj->ij", w, y), w, y)
    assert multiplications(graph) > 0
    new = assert_same(graph, [w, y])
    assert multiplications(new) == N * H * H


def test_programs_without_products_are_left_alone():
    graph = simplified(lambda x: (x * 2.0 + x).sum(0), X)
    assert collapse(graph) is graph


def test_infinite_and_nan_weights_stay_visible():
    w = WEIGHTS[1].copy()
    w[0, 0], w[1, 2] = np.inf, np.nan
    graph = simplified(lambda t, w: (t @ w).sum(0), RNG.normal(size=(3, N, H)), w)
    new = simplify(collapse(graph))
    found = reference.run(new, [np.ones((3, N, H)), w], np)[0]
    assert np.isinf(found[:, 0]).all() and np.isnan(found[:, 2]).all()


STEPS = {
    "product": lambda v, w: v @ w,
    "twice": lambda v, w: v + v * 0.5,
    "factor": lambda v, w: v * w[0],
    "row factor": lambda v, w: v * v[:1].sum(0),
    "difference": lambda v, w: v - (v @ w),
    "square": lambda v, w: v * v,
    "quotient": lambda v, w: v / (2.0 + w[1] ** 2),
    "swapped": lambda v, w: gnp.swapaxes(gnp.swapaxes(v, 0, 1) @ w, 0, 1),
    "kept": lambda v, w: v + gnp.broadcast_to(v.sum(0), v.shape),
    "ends": lambda v, w: gnp.concatenate([v[:, :1], v[:, 1:]], 1) - v[:, ::-1],
    "reshaped": lambda v, w: (v.reshape(*v.shape, 1) * 2.0)[..., 0],
}


@pytest.mark.parametrize("axis", [0, 1, (0, 1), (1, 2)])
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=7))
def test_random_programs_keep_their_values(axis, steps):
    v, w = RNG.normal(size=(3, 4, H)), 0.3 * RNG.normal(size=(H, H))

    def program(v: Any, w: Any) -> Any:
        for name in steps:
            v = STEPS[name](v, w)
        return v.sum(axis), (v @ w).sum(axis), v.mean()

    graph = simplified(program, v, w)
    new = simplify(collapse(graph))
    check(new)
    found, expected = (reference.run(g, [v, w], np) for g in (new, graph))
    for a, b in zip(found, expected, strict=True):
        scale = max(1.0, np.max(np.abs(b)))
        np.testing.assert_allclose(a / scale, b / scale, rtol=1e-9, atol=1e-10)

"""Shared products and symmetric sums of pairs are found where they are, and only there."""

from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.executors import reference
from gpuad.ir.check import check
from gpuad.transforms.lower import lower
from gpuad.transforms.shared_products import operations, with_shared_products
from gpuad.transforms.simplify import simplify
from gpuad.transforms.symmetric_sums import with_symmetric_sums

N = 60


def normal(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape)


def simplified(function, *arrays):
    return simplify(ad.make_graph(function)(*arrays).graph)


def counted(graph):
    return Counter([e.primitive.name for e in graph.equations])


def assert_close(graph, new, arrays, rtol=1e-12):
    check(new)
    with np.errstate(all="ignore"):
        expected, found = (reference.run(g, list(arrays), np) for g in (graph, new))
    for x, y in zip(found, expected, strict=True):
        largest = np.abs(y[np.isfinite(y)]).max(initial=0)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * largest)


def distances(p):
    x, y, z = p[:, 0], p[:, 1], p[:, 2]
    dx, dy, dz = (c[:, None] - c[None, :] for c in (x, y, z))
    return dx * dx + dy * dy + dz * dz


def potential(p):
    s = 1.0 / (distances(p) + 0.5)
    s3 = s * s * s
    return gnp.sum(s3 * s3 - s3)


def hvp(function):
    return lambda x, v: ad.jvp(ad.grad(function), (x,), (v,))[1]


def hvps(function):
    return lambda x, vs: ad.vmap(lambda v: hvp(function)(x, v))(vs)


# Shared products


@pytest.mark.parametrize("m", [1, 8])
def test_a_potential_divides_once_and_shares_coefficients(m):
    n = 200  # of many more pairs than there are numbers in 8 directions
    x, v = normal(n, 3), normal(m, n, 3, seed=4)
    arrays = (x, v[0]) if m == 1 else (x, v)
    graph = simplified((hvp if m == 1 else hvps)(potential), *arrays)
    new = lower(graph)
    assert_close(graph, new, arrays)
    assert counted(graph)["div"] == 4
    assert counted(new)["div"] == 1
    assert len(summed(new)) == 1
    pairs = [e for e in new.equations if e.outputs[0].aval.shape[-2:] == (n, n)]
    work = [e for e in pairs if e.primitive.kind == "elementwise"]
    each = [e for e in work if e.outputs[0].aval.ndim == 3]  # done for each direction
    assert len(work) <= 45
    assert m == 1 or len(each) <= 19
    assert operations(new) < operations(graph) / 2


def test_small_values_are_left_alone():
    graph = simplified(lambda x, y: x * y * x + y * x * x, normal(N), normal(N))
    assert with_shared_products(graph) is graph
    assert with_symmetric_sums(graph) is graph


def test_exact_differences_are_not_multiplied_out():
    def f(x, w):
        d = x[:, None] - x[None, :]
        c = w[:, None] * w[None, :]
        products = d * c * 3.0 + c * d * 5.0 + c * 7.0 * d + d * (d * c) + d * d * c + c * d * d
        return gnp.sum(products, 1)

    x = 1e12 + np.arange(N) / 16
    arrays = x, normal(N)
    graph = simplified(f, *arrays)
    new = with_shared_products(graph)
    assert operations(new) < operations(graph)
    assert_close(graph, new, arrays)


def test_what_cancels_is_not_dropped():
    def f(x, w):
        c = x[:, None] * w[None, :]
        return gnp.sum(c * c * 2.0 - 2.0 * (c * c) + c * c * c + c * c * c, 1)

    x = normal(N)
    x[0] = np.inf
    arrays = x, normal(N)
    graph = simplified(f, *arrays)
    new = with_shared_products(graph)
    assert_close(graph, new, arrays)
    assert np.isnan(np.asarray(reference.run(new, list(arrays), np)[0])[0])


def test_the_rounding_error_of_a_sum_is_kept():
    def f(x, y):
        a, b = 1e8 * x[:, None], y[None, :] * 1.0
        s = a + b
        t = s - a
        return gnp.sum(gnp.abs((a - (s - t)) + (b - t)), 1)

    arrays = normal(N), normal(N)
    graph = simplified(f, *arrays)
    assert_close(graph, with_shared_products(graph), arrays, 0)


def test_a_quotient_of_something_else_stays_exact():
    def f(x, y):
        d = x[:, None] + y[None, :]
        return gnp.sum(1 / d, 1), gnp.sum(gnp.floor((d * 1.0) / d), 1)

    x, y = np.full(N, 40.0), np.full(N, 9.0)  # 49 * (1 / 49) is less than 1
    graph = simplified(f, x, y)
    new = with_shared_products(graph)
    np.testing.assert_array_equal(reference.run(new, [x, y], np)[1], N)


@pytest.mark.parametrize("most", [1e-150, 1e150])
def test_a_sum_of_powers_of_large_and_small_numbers(most):
    def f(x):
        d = gnp.abs(x[:, None] - x[None, :]) + most
        return gnp.sum(1 / d + (1 / d) / d, 1)

    x = most * normal(N)
    graph = simplified(f, x)
    assert_close(graph, with_shared_products(graph), (x,))


def test_large_numbers_are_not_put_together():
    def f(x, y):
        d = x[:, None] * y[None, :]
        return gnp.sum(d * 1e30 * 1e30 + 1e30 * (d * 1e30) + (1e30 * d) * 1e30, 1)

    arrays = normal(N).astype(np.float32), np.full(N, 1e-30, np.float32)
    graph = simplified(f, *arrays)
    assert_close(graph, with_shared_products(graph), arrays, 1e-6)


LEAVES = st.sampled_from(["d", "e", "s", "a", "b", "1.5", "2.0", "0.5"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda x: st.one_of(
        st.tuples(st.sampled_from("+-**"), x, x).map(lambda t: f"({t[1]} {t[0]} {t[2]})"),
        x.map(lambda t: f"(-{t})"),
        x.map(lambda t: f"(({t}) / q)"),
        x.map(lambda t: f"({t} * {t})"),
    ),
    max_leaves=12,
)


@hypothesis.given(EXPRESSIONS, st.sampled_from(["d", "e", "s"]))
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_expression_keeps_its_value(text, second):
    def f(x, y):
        a, b = x[:, None] + 0 * y[None, :], y[None, :] + 0 * x[:, None]
        d, e = a - b, a * b
        q = d * d + 1.0
        s = 1.0 / q
        names = {"a": a, "b": b, "d": d, "e": e, "q": q, "s": s}
        first = eval(text, {}, names)
        other = names[second]
        return gnp.sum(first * other, 0), gnp.sum(first * 2.0 + other, 1)

    arrays = normal(N), normal(N, seed=4)
    graph = simplified(f, *arrays)
    new = with_shared_products(graph)
    check(new)
    sizes = reference.run(graph, [np.abs(arrays[0]), -np.abs(arrays[1])], np)
    found, expected = (reference.run(g, list(arrays), np) for g in (new, graph))
    for x, y, size in zip(found, expected, sizes, strict=True):
        assert np.abs(x - y).max() <= 1e-9 * max(1, np.abs(size).max(), np.abs(y).max())


# Symmetric sums


def both(f):
    """The sums over each axis of what f makes of all pairs."""
    return lambda *arrays: (gnp.sum(f(*arrays), 0), gnp.sum(f(*arrays), 1))


def pair(f, x=lambda x: x, y=lambda y: y):
    return lambda p: f(x(p)[:, None] - y(p)[None, :])


SYMMETRIC = {
    "even": pair(lambda d: 1.0 / (d * d + 1.0)),
    "odd": pair(lambda d: d / (d * d + 1.0)),
    "size": pair(gnp.abs),
    "cube": pair(lambda d: d**3),
    "within a distance": pair(lambda d: gnp.where(d * d < 0.5, gnp.exp(-d * d), 0.0)),
    "product": lambda p: gnp.sin(p)[:, None] * gnp.sin(p)[None, :],
    "all but the diagonal": lambda p: gnp.where(p[:, None] == p[None, :], 0.0, p[:, None] + p),
    "odd times odd": pair(lambda d: d * (d * d * d)),
}
OTHERS = {
    "half of the pairs": lambda p: gnp.where(p[:, None] < p[None, :], 1.0, 0.0) * p[None, :],
    "scaled": pair(gnp.square, lambda x: 2 * x),
    "two functions": pair(gnp.square, gnp.sin),
    "neither even nor odd": pair(lambda d: d * d + d),
    "exponential": pair(gnp.exp),
    "first only": lambda p: p[:, None] + 0 * p[None, :],
    "weighted": lambda p: (p[:, None] - p[None, :]) * gnp.arange(1.0, N + 1)[None, :],
}


def summed(graph):
    return {e.params["axes"] for e in graph.equations if e.primitive.name == "reduce_sum"}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_sums_are_over_one_axis(name):
    p = normal(N)
    graph = simplified(both(SYMMETRIC[name]), p)
    new = with_symmetric_sums(graph)
    assert summed(graph) == {(0,), (1,)}
    assert summed(new) == {(1,)}
    assert_close(graph, new, (p,))


@pytest.mark.parametrize("name", OTHERS)
def test_other_sums_stay(name):
    graph = simplified(both(OTHERS[name]), normal(N))
    assert with_symmetric_sums(graph) is graph


def test_pairs_of_two_sets_stay():
    def f(x, y):
        return (x[:, None] - y[None, :]) ** 2

    for m in (N, N + 1):
        graph = simplified(both(f), normal(N), normal(m, seed=4))
        assert with_symmetric_sums(graph) is graph


def test_a_sum_over_one_axis_alone_stays():
    graph = simplified(lambda p: gnp.sum(pair(gnp.square)(p), 0), normal(N))
    assert with_symmetric_sums(graph) is graph


@pytest.mark.parametrize("m", [1, 4])
def test_forces_and_their_derivatives_are_symmetric(m):
    x, v = normal(N, 3), normal(m, N, 3, seed=4)
    arrays = (x, v[0]) if m == 1 else (x, v)
    graph = simplified((hvp if m == 1 else hvps)(potential), *arrays)
    new = with_symmetric_sums(graph)
    assert len(summed(graph)) == 2
    assert len(summed(new)) == 1
    assert_close(graph, new, arrays)


def test_vectors_of_pairs_are_symmetric():
    def f(p):
        d = p[:, None, :] - p[None, :, :]
        force = d / (gnp.sum(d * d, 2) + 1.0)[:, :, None]
        return gnp.sum(force, 0), gnp.sum(force, 1)

    p = normal(N, 3)
    graph = simplified(f, p)
    new = with_symmetric_sums(graph)
    assert_close(graph, new, (p,))


def test_a_compiled_potential_agrees_with_finite_differences():
    x, v = normal(N, 3), normal(N, 3, seed=4)
    got = ad.jit(hvp(potential))(x, v)
    g, h = ad.grad(potential), 1e-6
    np.testing.assert_allclose(got, (g(x + h * v) - g(x - h * v)) / (2 * h), rtol=1e-6, atol=1e-6)

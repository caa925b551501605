"""Sums of products that are added to each other, as one."""

import itertools

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.executors import reference
from gpuad.plan.added_products import join_added_products
from gpuad.transforms.lower import lower


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def outer(x, y):
    return gnp.tensordot(x, y, (list(range(x.ndim - 1)),) * 2)


def joined(function, *arguments, suits=lambda _: True):
    """How many products the joined graph has, whose results are right."""
    graph = lower(ad.make_graph(function)(*arguments).graph)
    found, sides = join_added_products(graph, suits)
    assert bool(sides) is (found is not graph)
    got, expected = [reference.run(g, arguments, np) for g in (found, graph)]
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)
    return [e.primitive.name for e in found.equations].count("dot_general")


X, Y, WIDE, ALSO_WIDE = normal(70, 5), normal(70, 4), normal(3, 70, 5), normal(3, 70, 4)


@pytest.mark.parametrize(
    ("function", "products"),
    [
        (lambda x, y, u, v: outer(x, y) + outer(gnp.sin(x), gnp.cos(y)), 1),
        (lambda x, y, u, v: outer(x, y) + outer(u, v) + outer(gnp.sin(x), y), 1),
        (lambda x, y, u, v: outer(x, y).T + outer(u, v).T, 1),
        (lambda x, y, u, v: (outer(x, y) + outer(u, v)) * outer(x, gnp.sin(y)), 2),
        (lambda x, y, u, v: outer(x, y) + (outer(u, v) + 1), 2),
        (lambda x, y, u, v: outer(x, y) + outer(y, x).T, 2),
        (lambda x, y, u, v: outer(x, y)[:4] + outer(u, v)[:4], 2),
        (lambda x, y, u, v: outer(x[:60], y[:60]) + outer(x, y), 2),
    ],
)
def test_terms_of_one_form_are_joined(function, products):
    assert joined(function, X, Y, WIDE, ALSO_WIDE) == products


def test_what_is_read_elsewhere_stays():
    def function(x, y):
        p, q = outer(x, y), outer(gnp.sin(x), y)
        return p + q, p

    def of_sums(x, y):
        sums = outer(x, y) + outer(gnp.sin(x), y)
        return sums + outer(gnp.cos(x), y), sums

    assert joined(function, X, Y) == 2
    assert joined(of_sums, X, Y) == 2


def test_part_of_a_sum_is_joined_where_the_whole_does_not_suit():
    def function(x, y):
        return outer(x, y) + outer(gnp.sin(x), y) + outer(gnp.cos(x), y)

    assert joined(function, X, Y, suits=lambda e: e.operands[0].aval.shape[0] < 3) == 2


def test_a_sum_may_have_any_number_of_terms():
    def function(x, y):
        terms = [outer(x * k, y) for k in range(1200)]
        return list(itertools.accumulate(terms))[-1]

    assert joined(function, X[:2], Y[:2]) == 1

"""Neighbouring axes as one axis: which are joined, and that values stay as they are."""

import hypothesis
import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from executors.programs import Program, compiled, program
from gpuad import tree
from gpuad.api.recording import Arguments, record
from gpuad.codegen.cuda.planning import cuda_plan
from gpuad.executors import reference
from gpuad.ir.check import check
from gpuad.plan.roles import is_view
from gpuad.transforms.join_axes import join_axes
from gpuad.transforms.lower import lower

RNG = np.random.default_rng(8)


def lowered(function, *shapes):
    arguments = [np.zeros(shape, np.float32) for shape in shapes]
    return lower(ad.make_graph(function)(*arguments).graph)


def shapes_inside(graph):
    """The shapes of all that is computed, but for views."""
    return {v.aval.shape for e in graph.equations if not is_view(e) for v in e.outputs}


JOINED = {
    "elementwise": (lambda x: gnp.tanh(x) * x, [(5, 6, 7)], {(210,)}),
    "sum over all": (lambda x: gnp.sum(x * x), [(5, 6, 7)], {(210,), ()}),
    "sum over the first": (lambda x: gnp.sum(x * x, 0), [(3, 40, 50)], {(3, 2000), (2000,)}),
    "sum over the last": (lambda x: gnp.sum(x * x, 2), [(30, 40, 5)], {(1200, 5), (1200,)}),
    "kept axes": (lambda x: x - gnp.mean(x, 2, keepdims=True), [(30, 40, 5)], {(1200, 5), (1200,)}),
    "one vector for all": (lambda x, w: gnp.exp(x + w), [(30, 40, 5), (5,)], {(1200, 5)}),
    "axes with others between": (
        lambda x: gnp.sum(x * x, 1),
        [(30, 4, 50)],
        {(30, 4, 50), (30, 50)},
    ),
    "turned": (lambda x: gnp.exp(x) + x.transpose(1, 0, 2), [(40, 40, 50)], {(40, 40, 50)}),
    "of two lengths": (lambda x, y: (x * x, y * y), [(40, 3), (40, 50)], {(40, 3), (40, 50)}),
    "too many long axes": (
        lambda x, y: (x * x, y * y),
        [(100, 40, 50), (100, 3)],
        {(100, 2000), (100, 3)},
    ),
}


@pytest.mark.parametrize("name", JOINED)
def test_axes_that_go_together_are_one(name):
    function, shapes, expected = JOINED[name]
    graph = check(join_axes(lowered(function, *shapes)))
    assert shapes_inside(graph) == expected


def test_kernels_take_views_before_and_after():
    graph = join_axes(lowered(lambda x: gnp.sum(gnp.tanh(x) * x, 2), (40, 50, 60)))
    plan = cuda_plan(graph)
    check(plan.graph)
    assert [s.rows for s in plan.stages] == [0, 2000, 0]
    assert all(is_view(e) for s in plan.stages for e in s.whole)


def test_an_argument_that_is_also_read_as_it_is_has_no_view_before():
    graph = lowered(lambda x: (x * x, gnp.sum(x.reshape(-1, 2, 3), 2)), (40, 6))
    plan = cuda_plan(graph)
    assert [len(s.whole) for s in plan.stages] == [0]


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True, database=None)
@hypothesis.given(program())
def test_values_of_random_programs_stay(asked: Program):
    inputs = asked.inputs()
    recorded = record(compiled(asked, gnp), Arguments(*tree.flatten((tuple(inputs), {}))))
    values = [*inputs, *recorded.captured]
    graph = lower(recorded.graph)
    joined = check(join_axes(graph))
    with np.errstate(all="ignore"):
        expected, got = [reference.run(g, values, np) for g in (graph, joined)]
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

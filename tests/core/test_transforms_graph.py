"""Laws of the transforms of graphs: what transforming twice, or another way round, gives."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import gpuad
import gpuad.numpy as gnp
from gpuad.errors import NotLinearError
from gpuad.executors import reference
from gpuad.ir.check import check
from gpuad.ir.graph import Graph
from gpuad.transforms.jvp import jvp
from gpuad.transforms.linearize import linearize, partition
from gpuad.transforms.simplify import simplify
from gpuad.transforms.transpose import gradient, linear_transpose, vjp, with_outputs
from gpuad.transforms.vmap import vmap

RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 4))
W = RNG.normal(size=(4,))
MASK = np.array([True, False, True, True])


def graph_of(function: Callable[..., Any], *args: Any) -> Graph:
    return gpuad.make_graph(function)(*args).graph


def values(graph: Graph, *inputs: Any) -> list[Any]:
    return reference.run(graph, list(inputs), np)


def random_inputs(graph: Graph) -> list[Any]:
    """Values for the inputs; integers are indices, and stay small."""
    draw = {"f": RNG.normal, "i": lambda size: RNG.integers(0, 2, size), "b": lambda size: MASK}
    return [np.asarray(draw[a.dtype.kind](size=a.shape))[()] for a in graph.in_avals]


def assert_same(results: Sequence[Any], expected: Sequence[Any]) -> None:
    for x, y in zip(results, expected, strict=True):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


def updated(x):
    y = gnp.zeros(6)
    y[1:5] = x
    y[np.array([0, 2])] += x[:2]
    return y


LINEAR: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "scaled": (lambda x: 3.0 * x / 2.0 - x, (W,)),
    "matrix": (lambda x: A @ x, (W,)),
    "of two": (lambda x, y: np.concatenate([A @ x, y[::-1] - x.sum()]), (W, np.ones(2))),
    "structure": (lambda x: np.pad(np.roll(x, 1, axis=1).T[1:, ::2], 1).reshape(-1), (A,)),
    "reductions": (lambda x: (x.mean(axis=0), np.cumsum(x, axis=1), np.trace(x[:, :3])), (A,)),
    "indexing": (lambda x: (x[MASK], x[np.array([0, 0, -1])], np.where(MASK, x, -x)), (W,)),
    "update": (updated, (W,)),
    "einsum": (lambda x: np.einsum("ij,jk->ki", x, A.T), (A,)),
    "call": (lambda x: gpuad.jit(lambda v: (A @ v, 2.0 * v))(x), (W,)),
    "checkpoint": (lambda x: gpuad.checkpoint(lambda v: A @ v)(x), (W,)),
    "vmap": (lambda x: gpuad.vmap(lambda row: row * W + x[0])(x), (A,)),
    "nothing depends": (lambda x, y: x * 2.0, (W, W)),
}
SMOOTH: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "elementwise": (lambda x: np.exp(np.sin(x)) / (1 + x**2), (W,)),
    "of two": (lambda x, y: np.tanh(x @ y) * np.prod(y), (A, W)),
    "several": (lambda x: (np.sum(x**2), np.sort(x) * x[0], np.cumprod(x)), (W,)),
    "call": (lambda x: gpuad.jit(lambda v: np.sin(A @ v) * v[:3])(x), (W,)),
    "checkpoint": (lambda x: gpuad.checkpoint(lambda v: np.sin(A @ v))(x) ** 2, (W,)),
    "closure": (lambda x: gpuad.vmap(lambda row: np.sin(row) * x[0])(np.outer(x, x)), (W,)),
    "constant result": (lambda x: (np.sin(x), np.ones(2)), (W,)),
    "gathers": (lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1) ** 2, (A,)),
}
each_linear = pytest.mark.parametrize("name", LINEAR)
each_smooth = pytest.mark.parametrize("name", SMOOTH)


def linear_graph(name: str) -> tuple[Graph, tuple[bool, ...]]:
    """A graph and which of its inputs it is linear in: those that are not captured."""
    function, args = LINEAR[name]
    graph = graph_of(function, *args)
    return graph, tuple([True] * len(args) + [False] * graph.captured)


def smooth_graph(name: str) -> tuple[Graph, tuple[bool, ...]]:
    function, args = SMOOTH[name]
    graph = graph_of(function, *args)
    return graph, tuple([True] * len(args) + [False] * graph.captured)


def divided(graph: Graph, chosen: Sequence[bool], inputs: Sequence[Any]) -> tuple[list, list]:
    """The inputs that are not chosen, and those that are."""
    pairs = list(zip(inputs, chosen, strict=True))
    return [x for x, on in pairs if not on], [x for x, on in pairs if on]


# Linear graphs


@each_linear
def test_transposing_twice_is_the_identity(name):
    graph, linear = linear_graph(name)
    inputs = random_inputs(graph)
    others, moving = divided(graph, linear, inputs)
    once = linear_transpose(graph, linear)
    twice = linear_transpose(once, tuple([i >= len(others) for i in range(len(once.inputs))]))
    assert twice.out_avals == tuple([a.with_dtype(a.dtype) for a in graph.out_avals])
    assert_same(values(twice, *others, *moving), values(graph, *inputs))


@each_linear
def test_the_transpose_is_the_adjoint(name):
    graph, linear = linear_graph(name)
    inputs = random_inputs(graph)
    others, moving = divided(graph, linear, inputs)
    outs = values(graph, *inputs)
    seeds = [np.asarray(RNG.normal(size=np.shape(x)))[()] for x in outs]
    pulled = values(linear_transpose(graph, linear), *others, *seeds)
    left = sum(np.sum(x * y) for x, y in zip(outs, seeds, strict=True))
    right = sum(np.sum(x * y) for x, y in zip(moving, pulled, strict=True))
    assert left == pytest.approx(right, rel=1e-12)


@each_linear
def test_the_jvp_of_a_linear_graph_is_itself(name):
    graph, linear = linear_graph(name)
    primals, tangents = random_inputs(graph), random_inputs(graph)
    _, moving = divided(graph, linear, tangents)
    joint, present = jvp(graph, linear)
    dots = values(joint, *primals, *moving)[len(graph.outputs) :]
    # Captured values are no part of the linear map: they keep their values.
    both = [t if on else x for x, t, on in zip(primals, tangents, linear, strict=True)]
    expected = [x for x, on in zip(values(graph, *both), present, strict=True) if on]
    assert_same(dots, expected)


@each_linear
def test_the_linear_part_of_a_linear_graph_needs_no_value_of_its_arguments(name):
    graph, linear = linear_graph(name)
    early, rest, _ = linearize(graph, linear)
    tangents = random_inputs(graph)
    _, moving = divided(graph, linear, tangents)
    one, other = random_inputs(graph), random_inputs(graph)
    other = [y if on else x for x, y, on in zip(one, other, linear, strict=True)]
    n = len(graph.outputs)
    dots = [values(rest, *values(early, *point)[n:], *moving) for point in (one, other)]
    assert_same(*dots)


def test_what_is_not_linear_is_not_transposed():
    for function in (
        np.sin, np.abs, np.sort, lambda x: x * x, lambda x: x @ x, lambda x: x / x,
        lambda x: 1.0 / x, lambda x: np.where(x > 0, x, 0.0), lambda x: x[np.argsort(x)],
        lambda x: gpuad.jit(np.sin)(x), lambda x: np.prod(x), lambda x: x**2,
    ):  # fmt: skip
        with pytest.raises(NotLinearError):
            linear_transpose(graph_of(function, W), (True,))


# Splitting


@each_smooth
@pytest.mark.parametrize("last", [0, 1])
def test_the_halves_of_a_partition_compose_to_the_whole(name, last):
    graph, active = smooth_graph(name)
    joint, _ = jvp(graph, active)
    late = tuple([i >= len(graph.inputs) for i in range(len(joint.inputs))])
    first, second, out_late = partition(joint, late, last)
    inputs = random_inputs(joint)
    early_inputs, late_inputs = divided(joint, late, inputs)
    before = values(first, *early_inputs)
    n_early = out_late.count(False)
    after = iter(values(second, *before[n_early:], *late_inputs))
    early_outs = iter(before[:n_early])
    together = [next(after if on else early_outs) for on in out_late]
    assert_same(together, values(joint, *inputs))
    assert not last or out_late[-1]


@each_smooth
def test_the_early_half_of_a_partition_has_all_that_can_be_early(name):
    graph, active = smooth_graph(name)
    joint, _ = jvp(graph, active)
    late = tuple([i >= len(graph.inputs) for i in range(len(joint.inputs))])
    _, second, _ = partition(joint, late)
    waiting = set(second.inputs[len(second.inputs) - sum(late) :])
    for e in second.equations:
        assert not waiting.isdisjoint(e.operands)
        waiting.update(e.outputs)


@each_smooth
def test_linearize_is_jvp_in_two_steps(name):
    graph, active = smooth_graph(name)
    joint, present = jvp(graph, active)
    early, rest, linear_present = linearize(graph, active)
    assert present == linear_present
    inputs = random_inputs(joint)
    primals, tangents = inputs[: len(graph.inputs)], inputs[len(graph.inputs) :]
    n = len(graph.outputs)
    forward = values(early, *primals)
    assert_same(forward[:n] + values(rest, *forward[n:], *tangents), values(joint, *inputs))


# Reverse mode


@each_smooth
def test_forward_and_reverse_agree(name):
    graph, active = smooth_graph(name)
    primals, tangents = random_inputs(graph), random_inputs(graph)
    _, moving = divided(graph, active, tangents)
    joint, present = jvp(graph, active)
    n = len(graph.outputs)
    dots = values(joint, *primals, *moving)[n:]
    seeds = [np.asarray(RNG.normal(size=a.shape))[()] for a in graph.out_avals]
    pulled = values(vjp(graph, active), *primals, *seeds)[n:]
    moving_seeds = [s for s, on in zip(seeds, present, strict=True) if on]
    left = sum(np.sum(s * t) for s, t in zip(moving_seeds, dots, strict=True))
    right = sum(np.sum(ct * t) for ct, t in zip(pulled, moving, strict=True))
    assert left == pytest.approx(right, rel=1e-10)


def test_gradient_is_vjp_with_a_seed_of_one():
    graph = graph_of(lambda x, w: np.sum(np.tanh(x @ w) ** 2), A, W)
    both = (True, True)
    assert_same(values(gradient(graph, both), A, W), values(vjp(graph, both), A, W, 1.0))


def test_the_hessian_is_symmetric_whichever_way_it_is_taken():
    graph = graph_of(lambda x: np.sum(np.cumprod(np.sin(x) + 2) * x[0]), W)
    reverse = with_outputs(gradient(graph, (True,)), (1,))
    by_forward, _ = jvp(reverse, (True,))
    by_reverse = vjp(reverse, (True,))
    v = RNG.normal(size=4)
    assert_same(values(by_forward, W, v), values(by_reverse, W, v))


# Batching


@each_smooth
def test_vmap_of_vmap_is_vmap_of_both_axes(name):
    graph, _ = smooth_graph(name)
    flags = (True,) * len(graph.inputs)
    inner, _ = vmap(graph, 3, flags)
    outer, _ = vmap(inner, 2, flags)
    flat, _ = vmap(graph, 6, flags)
    batches = [RNG.normal(size=(2, 3, *a.shape)) for a in graph.in_avals]
    nested = values(outer, *batches)
    at_once = values(flat, *[x.reshape(6, *x.shape[2:]) for x in batches])
    assert_same(nested, [x.reshape(2, 3, *x.shape[1:]) for x in at_once])


@each_smooth
def test_vmap_is_a_loop_whatever_is_mapped(name):
    graph, _ = smooth_graph(name)
    for k in range(len(graph.inputs)):
        flags = tuple([i == k for i in range(len(graph.inputs))])
        batched, _ = vmap(graph, 3, flags)
        inputs = random_inputs(graph)
        rows = RNG.normal(size=(3, *graph.in_avals[k].shape))
        by_row = [values(graph, *inputs[:k], row, *inputs[k + 1 :]) for row in rows]
        expected = [np.stack(parts) for parts in zip(*by_row, strict=True)]
        assert_same(values(batched, *inputs[:k], rows, *inputs[k + 1 :]), expected)


@each_smooth
def test_vmap_and_jvp_commute(name):
    graph, active = smooth_graph(name)
    flags = (True,) * len(graph.inputs)
    batched_jvp, _ = vmap(jvp(graph, active)[0], 3, (*flags, *[True] * sum(active)))
    jvp_batched, _ = jvp(vmap(graph, 3, flags)[0], active)
    inputs = random_inputs(jvp_batched)
    assert_same(values(batched_jvp, *inputs), values(jvp_batched, *inputs))


def test_nothing_mapped_is_the_graph_itself():
    graph, _ = smooth_graph("of two")
    batched, mapped = vmap(graph, 3, (False, False), False)
    assert batched == graph
    assert mapped == (False,)
    repeated, mapped = vmap(graph, 3, (False, False), True)
    assert repeated.out_avals[0].shape == (3, 3)
    assert mapped == (True,)


# All of them


@each_smooth
def test_what_transforms_give_is_legal_and_closed(name):
    graph, active = smooth_graph(name)
    flags = (True,) * len(graph.inputs)
    early, rest, _ = linearize(graph, active)
    for result in (
        jvp(graph, active)[0], vjp(graph, active), early, rest, vmap(graph, 2, flags)[0],
        jvp(jvp(graph, active)[0], (*active, *[True] * sum(active)))[0],
        vjp(vjp(graph, active), (*active, *[False] * len(graph.outputs))),
    ):  # fmt: skip
        check(result)
        check(simplify(result))


@each_smooth
def test_simplifying_keeps_values_and_is_done_once(name):
    graph, active = smooth_graph(name)
    joint, _ = jvp(graph, active)
    simple = simplify(joint)
    inputs = random_inputs(joint)
    assert_same(values(simple, *inputs), values(joint, *inputs))
    assert len(simplify(simple)) == len(simple)

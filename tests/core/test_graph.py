"""The recorded graph: what it shares and drops, when two are equal, when one is legal, its text."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuad
from gpuad import compile as compile_
from gpuad import tree
from gpuad.api.recording import Arguments, record
from gpuad.errors import GraphError
from gpuad.executors import reference
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.check import check
from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.primitive import CATALOGUE
from gpuad.ir.show import letters, show
from gpuad.transforms.calls import call
from gpuad.transforms.jvp import jvp
from gpuad.transforms.linearize import linearize
from gpuad.transforms.transpose import gradient, vjp, with_outputs
from gpuad.transforms.vmap import vmap

VECTOR = Aval((3,), np.float64)
MATRIX = Aval((2, 3), np.float64)
add, mul, sin, exp = (CATALOGUE[name] for name in ("add", "mul", "sin", "exp"))


def graph_of(function: Callable[..., Any], *args: Any) -> Graph:
    return gpuad.make_graph(function)(*args).graph


def fresh_graph(function: Callable[..., Any], *args: Any) -> Graph:
    """The graph of a function, not one that has been kept."""
    gpuad.clear_cache()
    return graph_of(function, *args)


# Content


def test_traces_over_different_data_are_one_graph():
    weights = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])]

    def over(w):
        return fresh_graph(lambda x: np.sum(np.sin(x) * w), np.ones(3))

    one, other = map(over, weights)
    assert one is not other
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1
    assert graph_of(np.sin, 1.0) is graph_of(np.sin, 2.0)


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x * 2.5,
        lambda x: x * -0.0,
        lambda x: x + 2.0,
        lambda x: 2.0 * x,
        lambda x: x * 2.0 * 1.5,
        lambda x: (x * 2.0, x * 2.0),
        lambda x: np.sum(x * 2.0),
        lambda x: x * np.full(3, 2.0),
    ],
)
def test_graphs_of_different_content_differ(other):
    x = np.ones(3)
    assert graph_of(lambda x: x * 2.0, x) != graph_of(other, x)


def test_signs_of_zero_and_types_of_literals_are_content():
    x = np.ones(3)
    assert graph_of(lambda x: x * 0.0, x) != graph_of(lambda x: x * -0.0, x)
    assert graph_of(np.sin, np.ones(3)) != graph_of(np.sin, np.ones(4))
    assert graph_of(np.sin, np.ones(3)) != graph_of(np.sin, np.ones(3, np.float32))
    assert graph_of(np.sin, 1.0) != graph_of(np.sin, np.float64(1.0))  # a weak value
    assert graph_of(lambda x: x.sum(0), np.eye(3)) != graph_of(lambda x: x.sum(1), np.eye(3))


def test_what_is_captured_is_no_argument():
    w = np.ones(3)
    captured = graph_of(lambda x: x * w, np.ones(3))
    given = graph_of(lambda x, w: x * w, np.ones(3), w)
    assert captured.captured == 1
    assert captured != given


def test_names_and_places_are_no_content():
    def first(x):
        return np.sin(x)

    def second(y):
        return np.sin(y)

    one, other = graph_of(first, 1.0), graph_of(second, 1.0)
    assert one == other
    assert show(one).startswith("first(")
    assert show(other).startswith("second(")


# What a Builder shares and drops


def primitives(graph: Graph) -> list[str]:
    return [e.primitive.name for e in graph.equations]


def test_equal_applications_are_recorded_once():
    graph = graph_of(lambda x: np.sin(x) * np.cos(x) + np.sin(x) * np.cos(x), 1.0)
    assert primitives(graph) == ["sin", "cos", "mul", "add"]
    assert primitives(graph_of(lambda x: (x + 1.0, x + 1), 1.0)) == ["add"]


def test_different_parameters_are_not_shared():
    graph = graph_of(lambda x: (x.sum(0), x.sum(1), x.sum(0)), np.eye(2))
    assert primitives(graph) == ["reduce_sum", "reduce_sum"]
    assert graph.outputs[0] is graph.outputs[2]


def test_calls_of_equal_graphs_are_shared():
    graph = graph_of(lambda x: gpuad.jit(np.sin)(x) + gpuad.jit(np.sin)(x), 1.0)
    assert primitives(graph) == ["call", "add"]


def test_what_no_output_needs_is_dropped():
    unused = np.ones(3)

    def f(x):
        np.exp(x) * unused
        y = np.sin(x)
        np.cos(y)
        return y

    graph = graph_of(f, np.ones(3))
    assert primitives(graph) == ["sin"]
    assert graph.captured == 0


def test_operations_of_numbers_alone_are_computed():
    with building(Builder()) as builder:
        x = builder.input(Aval((), np.float64))
        two = sin(add(Literal(np.float64(1.5)), Literal(np.float64(0.5))))
        graph = builder.graph([mul(x, two)])
    assert primitives(graph) == ["mul"]
    assert graph.equations[0].operands[1].value == np.sin(2.0)


# Immutability


def loss(x, w):
    return np.sum(np.tanh(x @ w) ** 2)


def content(graph: Graph) -> Any:
    """Everything in a graph, down to the identity of its values."""
    return [
        graph.inputs,
        graph.outputs,
        graph.captured,
        [(e.primitive, e.operands, dict(e.params), e.outputs) for e in graph.equations],
        Graph(graph.inputs, graph.equations, graph.outputs, graph.captured).key,
    ]


def test_transforms_and_runs_leave_a_graph_as_it_is():
    graph = fresh_graph(loss, np.ones((2, 3)), np.ones(3))
    before = content(graph)
    both = (True, True)
    jvp(graph, both), vjp(graph, both), linearize(graph, both), gradient(graph, both)
    vmap(graph, 4, both), with_outputs(graph, (0,)), check(graph), show(graph)
    arrays = [np.ones((2, 3)), np.ones(3)]
    reference.run(graph, arrays, np)
    assert content(graph) == before
    assert all(np.all(x == 1) for x in arrays)


def test_a_graph_is_made_of_tuples():
    graph = graph_of(gpuad.grad(loss), np.ones((2, 3)), np.ones(3))
    assert {type(graph.inputs), type(graph.equations), type(graph.outputs)} == {tuple}
    assert {type(e.operands) for e in graph.equations} == {tuple}
    assert {type(e.outputs) for e in graph.equations} == {tuple}


def test_transforms_are_kept_with_their_graph():
    graph = graph_of(loss, np.ones((2, 3)), np.ones(3))
    assert jvp(graph, (True, False)) is jvp(graph, (True, False))
    assert jvp(graph, (True, False)) is not jvp(graph, (True, True))


# Legality: each kind of fault in a graph that is legal otherwise


def legal(
    inputs: Callable[[tuple], tuple] = lambda inputs: inputs,
    first: Callable[[Equation, tuple], Equation] = lambda e, inputs: e,
    order: slice = slice(None),
    outputs: Callable[[tuple], tuple] = lambda outputs: outputs,
    captured: int = 0,
) -> Graph:
    """x, y → sin(x * y), sin(x * y) + x; with one thing changed."""
    x, y, product, wave, total = [Var(VECTOR) for _ in range(5)]
    equations = [
        first(Equation(mul, (x, y), {}, (product,)), (x, y)),
        Equation(sin, (product,), {}, (wave,)),
        Equation(add, (wave, x), {}, (total,)),
    ]
    return Graph(inputs((x, y)), tuple(equations[order]), outputs((wave, total)), captured, "f")


def like(e: Equation, **changed: Any) -> Equation:
    fields = {n: getattr(e, n) for n in ("primitive", "operands", "params", "outputs")}
    return Equation(**{**fields, **changed})


HELD = Graph((), (), (Var(VECTOR),), 0, "held")
TAKES_MATRIX = Graph((held_input := Var(MATRIX),), (), (held_input,), 0, "held")
FAULTS: dict[str, tuple[Callable[[], Graph], str]] = {
    "input twice": (lambda: legal(inputs=lambda i: (*i, i[0])), "an input stands twice"),
    "too many captured": (lambda: legal(captured=3), "3 inputs are said to be captured"),
    "used before computed": (
        lambda: legal(order=slice(None, None, -1)),
        r"equation 0 \(add\) uses a value before",
    ),
    "never computed": (lambda: legal(order=slice(2)), "an output is never computed"),
    "no input": (lambda: legal(inputs=lambda i: i[:1]), r"equation 0 \(mul\) uses a value before"),
    "computed twice": (
        lambda: legal(first=lambda e, i: like(e, outputs=(i[0],))),
        r"equation 0 \(mul\) computes a value for the second time",
    ),
    "same result twice": (
        lambda: legal(first=lambda e, i: like(e, outputs=e.outputs * 2)),
        "computes a value for the second time",
    ),
    "too few operands": (
        lambda: legal(first=lambda e, i: like(e, operands=())),
        r"equation 0 \(mul\) has operands or parameters that it refuses",
    ),
    "unknown parameter": (
        lambda: legal(
            first=lambda e, i: like(
                e, primitive=CATALOGUE["reduce_sum"], operands=i[:1], params={"axis": 1}
            )
        ),
        r"equation 0 \(reduce_sum\) has operands or parameters that it refuses",
    ),
    "wrong shape": (
        lambda: legal(first=lambda e, i: like(e, outputs=(Var(MATRIX),))),
        r"equation 0 \(mul\) says f64\[2,3\] where f64\[3\] is inferred",
    ),
    "wrong dtype": (
        lambda: legal(first=lambda e, i: like(e, outputs=(Var(VECTOR.with_dtype("f4")),))),
        r"says f32\[3\] where f64\[3\] is inferred",
    ),
    "dtypes differ": (
        lambda: legal(first=lambda e, i: like(e, operands=(i[0], Literal(np.float32(1))))),
        "operands of dtypes float64 and float32",
    ),
    "too many results": (
        lambda: legal(first=lambda e, i: like(e, outputs=(*e.outputs, Var(VECTOR)))),
        "has 2 results where 1 are inferred",
    ),
    "illegal graph held": (
        lambda: legal(
            first=lambda e, i: like(e, primitive=call, operands=(), params={"graph": HELD})
        ),
        "an output is never computed in\nheld",
    ),
    "held graph of other arguments": (
        lambda: legal(
            first=lambda e, i: like(
                e, primitive=call, operands=i[:1], params={"graph": TAKES_MATRIX}
            )
        ),
        r"held takes .f64\[2,3\],., and was applied to .f64\[3\],.",
    ),
}


def test_the_graph_that_the_faults_are_made_in_is_legal():
    assert check(legal()) is not None


@pytest.mark.parametrize("fault", FAULTS)
def test_illegal_graphs_are_refused(fault):
    make, message = FAULTS[fault]
    with pytest.raises(GraphError, match=message):
        check(make())


def test_operands_of_different_shapes_are_refused():
    x, y, out = Var(VECTOR), Var(MATRIX), Var(MATRIX)
    with pytest.raises(GraphError, match=r"has operands of shapes \[\(2, 3\), \(3,\)\]"):
        check(Graph((x, y), (Equation(add, (x, y), {}, (out,)),), (out,)))


def test_transforms_check_their_results(monkeypatch):
    """A rule that records something illegal is found where it was recorded."""

    def rule(primals, tangents, out):
        v = sin(tangents[0])
        v.aval = MATRIX
        return v

    graph = fresh_graph(np.exp, np.ones(3))
    monkeypatch.setattr(exp, "jvp", rule)
    with pytest.raises(GraphError, match=r"says f64\[2,3\] where f64\[3\] is inferred"):
        jvp(graph, (True,))


# Text


def test_text_of_a_graph_with_a_nested_call():
    @gpuad.jit
    def inner(x, n):
        return np.sum(x * n, axis=0), 2.5 - x

    w = np.arange(3.0)

    def outer(x):
        total, rest = inner(np.sin(x), w)
        return total / 3.0, rest.astype(np.float32)

    assert repr(gpuad.make_graph(outer)(np.ones(3))) == (
        """\
outer(a: f64[3], b: f64[3]) {
  c: f64[3] = sin a
  d: f64[], e: f64[3] = call c b
    graph =
    inner(a: f64[3], b: f64[3]) {
      c: f64[3] = mul a b
      d: f64[] = reduce_sum[axes=(0,)] c
      e: f64[3] = sub 2.5 a
      return d, e
    }
  f: f64[] = div d 3.0
  g: f32[3] = cast[dtype=f32] e
  return f, g
}"""
    )


def test_names_of_values_are_distinct():
    names = [letters(n) for n in range(3000)]
    assert names[:2] == ["a", "b"]
    assert names[25:28] == ["z", "aa", "ab"]
    assert len(set(names)) == len(names)


# Size


def long_function(equations: int) -> Callable[[Any], Any]:
    def f(x):
        for i in range(equations // 2):
            x = np.sin(x) * 1.0001 if i % 2 else x + 0.5 * x
        return np.sum(x)

    return f


def twice_differentiated(equations: int) -> tuple[float, str]:
    """Seconds to trace a function and take forward-over-reverse of it; and that as text."""
    x = np.linspace(0, 1, 10)
    start = time.process_time()
    leaves, treedef = tree.flatten(((x,), {}))
    graph = record(long_function(equations), Arguments(leaves, treedef)).graph
    assert len(graph) == equations + 1
    both, _ = jvp(with_outputs(gradient(graph, (True,)), (1,)), (True,))
    return time.process_time() - start, show(both)


def test_ten_thousand_equations_differentiate_twice_and_print_in_seconds(monkeypatch):
    monkeypatch.setattr("gpuad.transforms.memo.checking", False)
    seconds, text = twice_differentiated(10_000)
    assert text.count("\n") > 50_000
    assert seconds < 5


def test_depth_of_a_graph_is_not_limited_by_recursion():
    x = np.linspace(0, 1, 10)
    f = long_function(3 * sys.getrecursionlimit())
    direct = gpuad.hvp(f, (x,), (np.ones(10),))[0]
    jitted = gpuad.jit(lambda x: gpuad.grad(f)(x), executor="reference")(x)
    np.testing.assert_array_equal(jitted, gpuad.grad(f)(x))
    assert np.all(np.isfinite(direct))
    graph = graph_of(f, x)
    assert check(graph) is graph
    assert hash(graph) == hash(fresh_graph(f, x))


def test_known_values_of_deep_graphs():
    def f(x):
        for _ in range(2 * sys.getrecursionlimit()):
            x = x + 1.0
        return x if x > 0 else -x  # the value is asked for at the end

    assert gpuad.grad(f)(0.5) == 1.0


# Threads


def test_threads_trace_at_the_same_time():
    """Each thread has its own trace; a switch between any two lines does no harm."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def work(k: int) -> None:
        def f(x):
            y = x
            for _ in range(5):
                y = gpuad.vmap(lambda r: np.sin(r) * float(k + 1))(y) + x[0]
            return np.sum(y * y)

        try:
            start.wait()
            x = np.linspace(0, 1, 4)
            expected = gpuad.grad(f)(x)
            for _ in range(20):
                gpuad.clear_cache()
                np.testing.assert_array_equal(gpuad.grad(f)(x), expected)
                gpuad.jvp(f, (x,), (x,))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k % 2,)) for k in range(4)]
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures, failures[0]


def test_one_jitted_function_in_several_threads():
    @gpuad.jit
    def f(x):
        return np.sum(np.tanh(x) * x)

    sizes = list(range(1, 9)) * 3
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i, n=n: results.update({i: gpuad.grad(f)(np.ones(n))}))
        for i, n in enumerate(sizes)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expected = np.tanh(1.0) + 1 - np.tanh(1.0) ** 2
    for i, n in enumerate(sizes):
        np.testing.assert_allclose(results[i], np.full(n, expected))


def test_nothing_joins_the_caches_while_they_are_listed_to_be_cleared() -> None:
    made = threading.Event()

    def make() -> None:
        gpuad.jit(lambda x: x * 2.0)
        made.set()

    with compile_._lock:
        thread = threading.Thread(target=make)
        thread.start()
        assert not made.wait(0.2)
    assert made.wait(10)
    thread.join()

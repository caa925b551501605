"""Long programs of small arrays, interpreted: against the reference, and without a cliff."""

import threading

import numpy as np
import pytest

import gpuad
from benchmarks.unrolled import LIBRARY, heated, logistic, lorenz, programs
from executors.sweep_programs import load_interpreted
from executors.test_native import (
    assert_case_is_right,
    assert_near,
    assert_program_is_right,
    primitives_recorded,
)
from gpuad import tree
from gpuad.codegen.cpu import planning
from gpuad.codegen.cpu.packed_memory import runs_of
from gpuad.executors.native import fused_calls as functions
from gpuad.plan import fused_calls
from gpuad.plan.plan import Plan, Stage
from gpuad.plan.roles import is_view

pytest.importorskip("numba")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def all_interpreted(monkeypatch):
    """All that the interpreter can compute is interpreted, in plain Python."""

    def unswept(graph, target):
        return Plan(graph, 0, [Stage(whole=list(graph.equations))])

    monkeypatch.setattr(functions, "load", load_interpreted)
    monkeypatch.setattr(planning, "make_plan", unswept)
    monkeypatch.setattr(fused_calls, "_is_much", lambda *asked: True)
    monkeypatch.setattr(fused_calls, "_is_worth", lambda run, readers: True)


def interpreted_calls(compiled):
    return [f for f in compiled.functions.values() if f.call.interpreted]


def test_every_primitive(all_interpreted):
    names = set()
    for case, graph, arrays in primitives_recorded():
        if interpreted_calls(assert_case_is_right(case, graph, arrays, calls=2)):
            names.add(case.primitive.name)
    assert {"sin", "cast", "select", "pad", "concatenate", "transpose", "broadcast"} <= names
    assert {"reduce_sum", "reduce_max", "dot_general", "cumsum", "linear_recurrence"} <= names


def test_random_programs(all_interpreted):
    for seed in range(60):
        assert_program_is_right(seed, seed % 7 + 1)


# Programs of many steps


def calls_of(graph):
    return sum(not is_view(e) for e in graph.equations)


PROGRAMS = programs(0.1)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_more_calls_than_the_reference(name, monkeypatch):
    monkeypatch.setattr(functions, "load", load_interpreted)
    function, args = PROGRAMS[name]
    jitted = gpuad.jit(function)
    found = tree.flatten(jitted(*args))[0]
    expected = tree.flatten(gpuad.jit(function, executor="reference")(*args))[0]
    for x, y in zip(found, expected, strict=True):
        assert_near(x, y, tolerance=1e-5 if y.dtype == np.float32 else 1e-11)
    (entry,) = jitted._entries.values()
    launches, calls = jitted.explain(*args).launches, calls_of(entry.recorded.graph)
    assert launches <= calls
    assert name in LIBRARY or launches <= max(2, calls // 4)


def test_the_interpreter_does_not_grow_with_the_program():
    texts = set()
    for count in (100, 600):
        jitted = gpuad.jit(gpuad.grad(logistic(count)))
        explanation = jitted.explain(0.3)
        assert explanation.launches == 1
        texts.update(explanation.sources)
    assert len(texts) == 1


def test_a_long_program_compiled():
    step = gpuad.jit(gpuad.grad(lorenz(60)))
    x = np.ones(3)
    expected = gpuad.grad(lorenz(60))(x)
    np.testing.assert_allclose(step(x), expected, rtol=1e-9)
    first = step(x)
    before = first.copy()
    first[...] = 0
    np.testing.assert_array_equal(step(x), before)
    np.testing.assert_array_equal(step(np.ones(6)[::2]), before)


def test_threads_have_memory_of_their_own():
    step = gpuad.jit(gpuad.value_and_grad(logistic(400)))
    points = np.linspace(0.1, 0.9, 8)
    expected = [step(float(x)) for x in points]
    found = [None] * len(points)

    def work(k):
        for _ in range(20):
            found[k] = step(float(points[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(points))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == expected


def test_sines_of_large_numbers(monkeypatch):
    def f(x):
        for _ in range(30):
            x = np.sin(x) * 1e15
        return x

    x = np.array([0.5, -2.0, 1e20, np.inf])
    found = gpuad.jit(f)(x)
    with np.errstate(all="ignore"):
        expected = f(x)
    np.testing.assert_allclose(found / 1e15, expected / 1e15, atol=1e-2)
    y = gpuad.jit(lambda x: [np.sin(x + k) for k in range(20)])(x)
    for k, z in enumerate(y):
        np.testing.assert_allclose(z, np.sin(np.where(np.isinf(x), np.nan, x) + k), rtol=1e-14)


def test_places_outside_raise():
    def f(x, i):
        for _ in range(20):
            x = x[i] * 0.5 + 1
        return x

    step = gpuad.jit(f)
    i = np.array([2, 0, 1])
    expected = f(np.arange(3.0), i)
    np.testing.assert_allclose(step(np.arange(3.0), i), expected)
    with pytest.raises(IndexError, match="out of bounds"):
        step(np.arange(3.0), np.array([0, 1, 3]))
    np.testing.assert_allclose(step(np.arange(3.0), i), expected)


def test_memory_is_known_before_a_run():
    jitted = gpuad.jit(gpuad.grad(heated(60)), max_bytes=1 << 10)
    with pytest.raises(gpuad.errors.MemoryLimitError):
        jitted(np.ones(500))
    enough = gpuad.jit(gpuad.grad(heated(60)), max_bytes=1 << 20)
    assert enough(np.ones(500)).shape == (500,)


def test_runs_of_addresses():
    assert runs_of(np.array([4, 5, 6])) == [(0, 3, 1)]
    assert runs_of(np.array([4])) == [(0, 1, 1)]
    assert runs_of(np.array([0, 0, 0, 7, 8, 2])) == [(0, 3, 0), (3, 5, 1), (5, 6, 1)]
    rng = np.random.default_rng(0)
    for _ in range(200):
        addresses = np.repeat(rng.integers(0, 9, 6), rng.integers(1, 4, 6)) + rng.integers(0, 2)
        found = [
            p + step * k for a, b, step in runs_of(addresses) for p, k in runs(addresses, a, b)
        ]
        np.testing.assert_array_equal(found, addresses)
    assert runs_of(rng.permutation(100)) is None


def runs(addresses, first, last):
    return [(addresses[first], k) for k in range(last - first)]

"""Small equations beside the sweeps, as one compiled function, against the reference."""

import numpy as np
import pytest

import gpuad
from executors.sweep_programs import load_interpreted
from executors.test_native import (
    assert_case_is_right,
    assert_program_is_right,
    assert_same,
    primitives_recorded,
    program_of,
)
from gpuad.codegen.cpu import planning
from gpuad.executors.native import sweep
from gpuad.plan import fused_calls
from gpuad.plan.plan import FusedCall, Plan, Stage

pytest.importorskip("numba")
gnp = gpuad.numpy


@pytest.fixture
def interpreted(monkeypatch):
    """Sweeps as plain Python."""
    monkeypatch.setattr(sweep, "load", load_interpreted)
    return monkeypatch


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def factor(q, i):
    """Work on a small matrix: parts put together, looked up, padded, reduced, turned."""
    wide = gnp.concatenate([gnp.exp(q), q[:, ::-1], 0.5 * q[:, :1]], axis=1)
    chosen = gnp.take(wide, i, axis=1).reshape(4, 3, 2).transpose(1, 0, 2)
    edge = gnp.pad(gnp.sin(chosen[0, 1:, :]), ((1, 0), (0, 1)))
    top = gnp.max(wide, axis=1, keepdims=True)
    shares = gnp.exp(wide - top) / gnp.sum(gnp.exp(wide - top), axis=1, keepdims=True)
    flags = gnp.where(chosen > 0, chosen, gnp.nan)
    return chosen, edge, shares, flags, gnp.sum(gnp.tanh(edge)), gnp.min(chosen, axis=(0, 2))


def loss(q, i, x):
    parts = factor(q, i)
    w = gnp.sum(parts[0] ** 2, axis=(1, 2)) + gnp.sum(parts[1]) - gnp.mean(parts[2])
    return gnp.sum(gnp.log1p(gnp.exp(x @ w))) + gnp.sum(w * w)


def functions_of(function, *args):
    jitted = gpuad.jit(function, executor="reference")
    jitted(*args)
    (entry,) = jitted._entries.values()
    plan = program_of(entry.recorded.graph).plan
    return [e for s in plan.stages for e in s.whole if isinstance(e, FusedCall)]


def test_small_work_is_a_function_before_and_after_the_sweep():
    args = normal(4, 3), np.array([0, 5, -1, 6, 2, 0]), normal(3000, 3)

    def derivatives(q, i, x):
        def f(q):
            return loss(q, i, x)

        return factor(q, i), f(q), gpuad.grad(f)(q), gpuad.hvp(f, (q,), (q,))

    assert_same(derivatives, *args, tolerance=1e-9)
    assert len(functions_of(derivatives, *args)) >= 2


def test_places_outside_raise():
    args = normal(4, 3), np.array([0, 5, 7, 6, 2, 0]), normal(300, 3)
    assert functions_of(loss, normal(4, 3), np.zeros(6, int), args[2])
    with pytest.raises(IndexError, match="out of bounds"):
        gpuad.jit(loss, executor="native")(*args)


@pytest.fixture
def all_small(interpreted):
    """Everything that a sweep can do is done in small functions."""

    def unswept(graph, target):
        return Plan(graph, 0, [Stage(whole=list(graph.equations))])

    interpreted.setattr(planning, "make_plan", unswept)
    interpreted.setattr(fused_calls, "MIN_OPERATIONS", 1)
    interpreted.setattr(fused_calls, "_is_much", lambda *asked: False)


def test_every_primitive(all_small):
    names = set()
    for case, graph, arrays in primitives_recorded():
        compiled = assert_case_is_right(case, graph, arrays)
        whole = compiled.plan.stages[0].whole
        if case.primitive not in [getattr(e, "primitive", None) for e in whole]:
            names.add(case.primitive.name)
    assert {"gather", "scatter_add", "pad", "concatenate", "reduce_max"} <= names


def test_random_programs(all_small):
    for seed in range(100):
        assert_program_is_right(seed, seed % 7 + 1)


def test_layouts_and_scalars(interpreted):
    interpreted.setattr(fused_calls, "MIN_OPERATIONS", 1)
    q, i = normal(3, 4).T, np.array([0, 5, -1, 6, 2, 0])[::-1]
    x = normal(3, 300).T

    def f(q, i, x, s):
        return loss(q * s, i, x), s * 2, s * s > 1

    assert_same(f, q, i, x, np.float64(0.7))
    assert_same(f, np.asfortranarray(q), i, x, np.array(1.5))


def test_no_function_where_it_would_compile_for_long(monkeypatch):
    monkeypatch.setattr(fused_calls, "MAX_FUNCTIONS", 0.01)
    monkeypatch.setattr(fused_calls, "_is_much", lambda *asked: False)
    args = normal(4, 3), np.array([0, 5, -1, 6, 2, 0]), normal(300, 3)
    assert not functions_of(loss, *args)

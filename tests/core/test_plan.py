"""Plans: roles of axes, stages, views apart, and how long planning takes."""

import time
from typing import Any

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.codegen.cpu.ordering import Loop, Ordering
from gpuad.codegen.cpu.planning import cpu_plan
from gpuad.codegen.cpu.target import CPU
from gpuad.codegen.cuda.planning import cuda_plan
from gpuad.codegen.structure import row_shape
from gpuad.executors.native import program
from gpuad.executors.reference import run
from gpuad.ir.check import check
from gpuad.ir.graph import Graph
from gpuad.plan.divide import parts
from gpuad.plan.plan import Plan, stored
from gpuad.plan.roles import is_view
from gpuad.plan.show import show
from gpuad.plan.staging import make_plan
from gpuad.plan.views import views_apart
from gpuad.transforms.lower import lower

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 3))


def plan_of(function: Any, *args: Any) -> Plan:
    return make_plan(lower(ad.make_graph(function)(*args).graph), CPU)


def swept(plan: Plan) -> list[set[str]]:
    """For each stage, the primitives of its sweep."""
    return [{s.equation.primitive.name for s in stage.sweep} for stage in plan.stages]


def uses_of(plan: Plan, name: str) -> set[str]:
    return {
        use.kind
        for stage in plan.stages
        for s in stage.sweep
        if s.equation.primitive.name == name
        for use in s.uses
    }


def test_elementwise_work_is_one_sweep_over_the_long_axis():
    plan = plan_of(lambda x: gnp.exp(x) * 2.0 + x, X)
    assert plan.rows == 50 and plan.sweeps == 1 and not plan.stages[0].whole


def test_a_sum_over_rows_ends_a_stage_and_one_over_lanes_does_not():
    lanes = plan_of(lambda x: x / gnp.sum(x, axis=1, keepdims=True), X)
    rows = plan_of(lambda x: x / gnp.sum(x, axis=0, keepdims=True), X)
    assert lanes.sweeps == 1 and rows.sweeps == 2


def test_batch_statistics_take_a_stage_each():
    def normalised(x: Any) -> Any:
        y = (x - x.mean(0)) / x.std(0)
        return gnp.tanh(y).sum(0)

    assert plan_of(normalised, X).sweeps == 3


def test_of_two_equal_axes_one_is_the_rows():
    square = RNG.normal(size=(40, 40))
    plan = plan_of(lambda x: (x - x.max(axis=1, keepdims=True)) * 2.0, square)
    assert plan.sweeps == 1 and {s.axis for s in plan.stages[0].sweep} == {0}


def test_no_common_axis_is_no_sweep():
    plan = plan_of(lambda x: x[0] + 1.0, np.ones(1))
    assert plan.rows == 0 and plan.sweeps == 0


def test_all_pairs_of_one_array_are_read_by_rows_and_by_lanes():
    def energy(x: Any) -> Any:
        d = x[:, None] - x[None, :]
        return gnp.exp(-(d * d)).sum()

    x = RNG.normal(size=300)
    plan = plan_of(ad.grad(energy), x)
    assert uses_of(plan, "broadcast") == {"rows", "free"}
    # Nothing of the size of all pairs is kept.
    assert all(v.aval.size <= 300 for kept in stored(plan) for v in kept)


def test_views_apart_keep_the_values():
    def program_of_views(x: Any) -> Any:
        y = x.T[::-1]
        z = gnp.sin(y)
        return y * 2.0, z + y, y, z[:, None, :] - z[None, :, :], x.reshape(-1)[::2]

    graph = ad.make_graph(program_of_views)(X).graph
    apart = views_apart(graph)
    check(apart)
    for a, b in zip(run(apart, [X], np), run(graph, [X], np), strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_use_has_views_of_its_own():
    graph = views_apart(ad.make_graph(lambda x: (x.T * 2.0, gnp.sin(x.T), x.T))(X).graph)
    views = {v for e in graph.equations if is_view(e) for v in e.outputs}
    uses = [x for e in graph.equations for x in e.operands] + list(graph.outputs)
    assert len(views) == 3 and all(uses.count(v) == 1 for v in views)


def test_a_long_chain_of_views():
    def f(x: Any) -> Any:
        for _ in range(1200):
            x = x[1:]
        return gnp.sin(x).sum()

    x = np.arange(1210.0)
    np.testing.assert_allclose(ad.jit(f)(x), np.sin(x[1200:]).sum())


def test_a_sweep_is_not_cut_where_that_costs_more():
    x = np.ones((1000, 1))

    def many(x: Any) -> Any:
        """Forty values, all made before the first of them is used."""
        values = [gnp.sin(x * k) for k in range(1, 41)]
        return sum([gnp.exp(y) for y in values])

    def long(x: Any) -> Any:
        for _ in range(40):
            x = gnp.exp(gnp.sin(x))
        return x

    for f, cut in ((many, False), (long, True)):
        (stage,) = [s for s in plan_of(f, x).stages if s.sweep]
        limit = len(stage.sweep) / 3
        assert len(parts(stage.sweep, lambda s: 1.0, limit)) > 2
        found = parts(stage.sweep, lambda s: 1.0, limit, crossing_cost=1.0)
        assert (len(found) > 2) == cut
        assert sum(map(len, found)) == len(stage.sweep)


def test_loops_that_can_be_whole_come_first():
    """Else the loop over rows would be divided by the one over lanes that it waits for."""

    def f(x: Any) -> Any:
        rows = gnp.sin(x[:, 0])
        return rows * (x * 0.5)[:, 3] + gnp.exp(rows)

    (stage,) = [s for s in plan_of(f, np.ones((1000, 64))).stages if s.sweep]
    order = Ordering(stage.sweep, lambda s: not is_view(s.equation), row_shape).order
    assert [x.shape for x in order if isinstance(x, Loop)] == [(64,), ()]


def chain(equations: int) -> Graph:
    """Long sweeps."""

    def long(x: Any, w: Any) -> Any:
        for k in range(equations // 4):
            x = gnp.sin(x) * 0.9 + x * w[k % 7]
            if k % 50 == 0:
                x = x - x.mean(axis=1, keepdims=True)
        return (x * x).sum()

    return lower(ad.make_graph(long)(np.ones((1000, 4)), np.ones(7)).graph)


def steps(equations: int) -> Graph:
    """Many stages: each step needs a sum over the rows of the one before."""

    def long(x: Any) -> Any:
        y = x
        for _ in range(equations // 7):
            y = gnp.tanh(y - y.mean(0)) * x[:, :1] + gnp.exp(-y)
        return y.sum()

    return lower(ad.make_graph(long)(np.ones((100_000, 4), np.float32)).graph)


@pytest.mark.parametrize(("make", "planned"), [(chain, program.NativeProgram), (steps, cuda_plan)])
def test_ten_thousand_equations_are_planned_in_seconds(make: Any, planned: Any):
    graph = make(10_000)
    assert len(graph) > 10_000

    def seconds(size: Graph) -> float:
        start = time.process_time()
        planned(size)
        return time.process_time() - start

    tries = (seconds(graph) for _ in range(3))  # a busy machine may spoil one
    large = next((taken for taken in tries if taken < 8.0), None)
    assert large is not None
    small = make(2_500)
    assert large < 10 * min(seconds(small) for _ in range(2)), "planning grows with the square"


def test_a_plan_as_text():
    plan = plan_of(lambda x, w: gnp.sum(gnp.exp(x * 2.0), 0) * w, X, X[0])
    assert show(plan) == (
        "plan(a: f64[50,3], b: f64[3])\n"
        "stage 0\n"
        "  sweep over 50 rows\n"
        "    c: f64[50,3] = mul a 2.0  (rows 0 -> 0)\n"
        "    d: f64[50,3] = exp c  (block 0 -> 0)\n"
        "    e: f64[3] = reduce_sum[axes=(0,)] d  (block 0 -> sum)\n"
        "stage 1\n"
        "  call f: f64[3] = mul e b\n"
        "return f"
    )


def test_a_fused_call_as_text():
    def small(x: Any, w: Any) -> Any:
        for k in range(10):
            w = gnp.sin(w * float(k) + 0.5)
        return x * w

    text = show(cpu_plan(lower(ad.make_graph(small)(np.ones((100_000, 3)), np.ones(3)).graph)))
    assert "operations, compiled, of" in text or "operations, interpreted, of" in text

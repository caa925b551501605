"""Graphs that primitives hold, compiled as programs of their own: checkpoints and others."""

import threading
from itertools import pairwise

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gpuad as ad
from executors.memory_programs import array, measured
from executors.programs import program
from executors.test_random_memory import (
    KINDS,
    batched,
    bits,
    called_by_rows,
    calls,
    enough_for,
    load_nothing,
)
from executors.test_random_native import MODES, compiled_in, examples, laid_out, layouts, ways
from gpuad import compile as compile_
from gpuad.errors import GraphError
from gpuad.executors.native import executor as native
from gpuad.executors.native import one_thread_blas, result_pool, sweep
from gpuad.executors.protocols import RunOptions
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.check import check
from gpuad.ir.graph import Graph
from gpuad.ir.primitive import CATALOGUE
from gpuad.ir.show import show
from gpuad.primitives.declare import holding

pytest.importorskip("numba")
SLACK = 400_000


def last(programs):
    return len(programs) - 1


@pytest.fixture
def kept(monkeypatch):
    """Checkpoints stay held, whatever that costs."""
    ad.clear_cache()
    monkeypatch.setattr(native, "with_least_memory", last)
    yield
    ad.clear_cache()


def program_of(f):
    (entry,) = f._entries.values()
    found = compile_.compiled(entry.recorded.graph, np, "auto")
    return getattr(found, "plain", found)


def wrapped(kind):
    """A function as it is differentiated: in one checkpoint, or in one within another."""
    once = ad.checkpoint
    return once if kind == "once" else lambda f: once(lambda *xs: [2 * y for y in once(f)(*xs)])


# Random programs


@examples(20)
@hypothesis.given(
    program(longest=6), ways, st.sampled_from(["once", "nested"]), st.sampled_from(MODES),
    st.sampled_from(KINDS), layouts, st.sampled_from([2, 5, 17]), st.booleans(), st.randoms(),
)  # fmt: skip
def test_held_programs_are_the_reference(asked, way, wrap, mode, kind, chosen, rows, held, rng):
    function, batch = batched(asked, mode, kind, rows, wrapped(wrap))
    given = laid_out(batch, chosen)
    before = [x.copy() for x in given]
    with pytest.MonkeyPatch.context() as monkeypatch, compiled_in(way):
        if held:
            monkeypatch.setattr(native, "with_least_memory", last)
        found = ad.jit(function, executor="native")(*given)
        expected = ad.jit(function, executor="reference")(*given)
        for x, y in zip(found, expected, strict=True):
            scale = max(1.0, np.max(np.abs(y), initial=0, where=np.isfinite(y)))
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9 * scale)
        least = enough_for(function, given)
        for limit in (least, least + rng.randrange(least + 1)):
            f = ad.jit(function, executor="native", max_bytes=limit)
            assert bits(f(*given)) == bits(found)
            assert f.explain(*given).peak_bytes <= limit
        donated = tuple([k for k in range(len(given)) if rng.randrange(2)])
        f = ad.jit(function, executor="native", donate_argnums=donated)
        fresh = [x.copy(order="K") if k in donated else x for k, x in enumerate(given)]
        assert bits(f(*fresh)) == bits(found)
    for x, y in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, y, "an argument was modified")


@examples(12)
@hypothesis.given(
    program(longest=6), st.sampled_from(["once", "nested"]), st.sampled_from(MODES),
    st.sampled_from(KINDS), layouts, calls, st.booleans(),
)  # fmt: skip
def test_memory_of_held_programs_is_below_the_predicted(
    asked, wrap, mode, kind, chosen, calls, limited
):
    function, batch = batched(asked, mode, kind, 20_000, wrapped(wrap))
    given = laid_out(batch, chosen)
    with pytest.MonkeyPatch.context() as monkeypatch, called_by_rows(64, calls):
        monkeypatch.setattr(sweep, "load", load_nothing)
        monkeypatch.setattr(native, "with_least_memory", last)
        ad.clear_cache()
        limit = enough_for(function, given) if limited else None
        f = ad.jit(function, executor="native", max_bytes=limit)
        predicted = f.explain(*given).peak_bytes
        for _ in range(2):
            f(*given)
        result_pool.release()
        found = min([measured(lambda: f(*given)) for _ in range(3)])
        ad.clear_cache()
    assert found <= predicted + SLACK


# Checkpoints


def blocks(block, *shapes):
    """The gradient of a perceptron in such blocks, and its arguments."""
    x, ws = array(20_000, shapes[0]), [array(m, n) / m for m, n in pairwise(shapes)]

    def loss(x, *ws):
        for w in ws:
            x = block(x, w)
        return np.mean(x * x)

    return ad.grad(loss, tuple(range(1, len(shapes)))), (x, *ws)


def layer(x, w):
    return np.exp(np.sin(np.tanh(x @ w)))


def normalized(x, w):
    """A layer whose rows are not apart: what it computes is whole in memory."""
    y = layer(x, w)
    return (y - np.mean(y, axis=0)) / np.std(y, axis=0)


WIDE = (100,) * 5


def test_a_checkpoint_takes_less_memory_than_what_it_would_keep():
    plain, arguments = blocks(normalized, *WIDE)
    again, _ = blocks(ad.checkpoint(normalized), *WIDE)
    usual, less = ad.jit(plain), ad.jit(again)
    for x, y in zip(usual(*arguments), less(*arguments), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-16)
    peaks = [f.explain(*arguments).peak_bytes for f in (usual, less)]
    assert peaks[1] < 0.8 * peaks[0]
    found = []
    for f in (usual, less):
        result_pool.release()
        with one_thread_blas.one_thread_blas():
            found.append(measured(lambda f=f: f(*arguments)))
    assert 0.9 * peaks[1] <= found[1] <= peaks[1] + SLACK
    assert found[1] < 0.8 * found[0]


def test_blocks_that_are_alike_are_one_program():
    function, arguments = blocks(ad.checkpoint(normalized), *WIDE)
    f = ad.jit(function)
    account = f.explain(*arguments)
    programs = [p for parts in program_of(f).parts.values() for p in parts]
    assert len(programs) == 8  # four blocks there and four back, the first of which gives no x̄
    assert len({id(p) for p in programs}) == 3
    assert str(account).count("checkpoint, compiled: ") == 8
    sources = {s.source.text for p in programs for s in p.sweeps if s is not None}
    assert sources <= set(account.sources)
    assert account.launches > 8 and account.flops > 3 * 4 * 2 * 20_000 * 100**2


def test_what_sweeps_hold_in_the_cache_is_not_computed_again():
    """A row of all that is computed takes less memory than what checkpoints leave."""
    function, arguments = blocks(ad.checkpoint(layer), 16, 16, 16, 16, 16)
    plain, _ = blocks(layer, 16, 16, 16, 16, 16)
    f = ad.jit(function)
    assert f.explain(*arguments).flops == ad.jit(plain).explain(*arguments).flops
    assert not program_of(f).parts


def test_what_nothing_needs_does_not_leave_a_checkpoint(kept):
    """Of a Hessian-vector product the gradient, say."""
    f = ad.checkpoint(lambda x, y: np.sum(np.sin(x) * np.exp(y) + y))
    x = array(2000, 3)
    g = ad.jit(lambda x, y, v: (ad.hvp(f, (x, y), (v, None))[0], f(x, y)))
    g(x, x, x)
    held = list(program_of(g).parts)
    assert [len(e.outputs) for e in held] == [1, 1]


def test_results_that_are_views_of_operands(kept):
    f = ad.checkpoint(lambda x: (x.T, x[::2], np.sin(x), x, 2.0, np.broadcast_to(x, (2, *x.shape))))
    g = ad.jit(lambda x: (f(x + 1), f(x)), donate_argnums=0)
    x = array(3000, 2)
    found, expected = g(x.copy()), (f(x + 1), f(x))
    leaves = [ad.tree.flatten(t)[0] for t in (found, expected)]
    for y, z in zip(*leaves, strict=True):
        np.testing.assert_allclose(y, z, rtol=1e-14)
    arrays = [y for y in leaves[0] if isinstance(y, np.ndarray)]
    for k, y in enumerate(arrays):
        assert y.flags.writeable and not any(np.shares_memory(y, z) for z in arrays[:k])


def test_threads_share_a_held_program(kept):
    function, arguments = blocks(ad.checkpoint(layer), 40, 40, 40)
    f = ad.jit(function)
    expected = bits(f(*arguments))
    results = [None] * 8

    def work(k):
        results[k] = [bits(f(*arguments)) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(k,)) for k in range(len(results))]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert all(found == [expected] * 5 for found in results)


# Functions of the user's


def test_a_function_of_the_users_is_called_as_often_as_is_written():
    calls = []

    def log(x):
        calls.append(x)
        return np.log(x)

    outside = ad.external(log, out=lambda x: x)

    @ad.custom_jvp
    def logarithm(x):
        return outside(x)

    logarithm.defjvp(lambda primals, tangents: (logarithm(*primals), tangents[0] / primals[0]))

    def slope(x, w):
        """Has guards, and is NaN where x is negative."""
        return ad.hvp(lambda w, x: np.sum(np.sqrt(w * x) * ad.checkpoint(logarithm)(x)), (w, x),
                      (np.ones_like(w), None))[0]  # fmt: skip

    def value(x, w):
        return logarithm(x)

    def again(x, w):
        return ad.checkpoint(logarithm)(x)

    x, w = -np.ones(5), np.array(1.0)
    for executor in ("auto", "reference"):
        for function in (
            value,
            again,
            slope,
        ):
            f = ad.jit(function, executor=executor)
            f(np.ones(5), w)
            calls.clear()
            assert np.isnan(f(x, w)).all()
            assert len(calls) == 1


# Several graphs


def _one_of_infer(*avals, graphs):
    return graphs[0].out_avals


def _one_of_apply(functions, which, *arrays, graphs):
    return functions[int(which)](*arrays)


def _none(*arguments, **params):
    raise AssertionError("not asked for")


@pytest.fixture
def one_of():
    """A primitive that applies one of several graphs."""
    made = holding(
        "one_of", graphs=("graphs",), infer=_one_of_infer, apply=_one_of_apply,
        jvp=_none, linearize=_none, transpose=None, batch=_none,
    )  # fmt: skip
    yield made
    del CATALOGUE["one_of"]


def recorded(function, *avals):
    with building(Builder("part")) as builder:
        inputs = [builder.input(a) for a in avals]
        return builder.graph(function(*inputs))


def test_a_primitive_of_several_graphs(one_of):
    square = Aval((300, 300), np.dtype(float))
    which = Aval((), np.dtype(int))
    ops = CATALOGUE
    first = recorded(lambda x, y: [ops["sin"](ops["cos"](ops["exp"](x)))], square, square)
    second = recorded(
        lambda x, y: [ops["tanh"](ops["mul"](y, ops["cumsum"](x, axis=0)))], square, square
    )
    graphs = (first, second)
    graph = recorded(
        lambda k, x, y: one_of(k, x, ops["sin"](y), graphs=graphs), which, square, square
    )
    check(graph)
    (e,) = [e for e in graph.equations if e.primitive is one_of]
    assert one_of.held_graphs(e.params) == graphs
    assert one_of.with_graphs(e.params, [second, first]) == {"graphs": (second, first)}
    assert show(graph).count("part(") == 3 and "cumsum" in show(graph)
    broken = Graph(first.inputs, first.equations, first.outputs, captured=9)
    with pytest.raises(GraphError, match="9 inputs are said to be captured"):
        check(recorded(lambda k, x: one_of(k, x, x, graphs=(second, broken)), which, square))
    x, y = array(300, 300), array(300, 300, seed=1)
    native = compile_._native(graph)
    assert [len(parts) for parts in native.parts.values()] == [2]
    account = native.explain([np.int64(0), x, y])
    assert len(account.sources) == 3 and "one_of, compiled: " in account.text
    for k in (0, 1):
        given = [np.int64(k), x, y]
        (expected,) = compile_.compiled(graph, np, "reference")(given)
        (found,) = native(given)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
        result_pool.release()
        assert measured(lambda given=given: native(given)) <= account.peak_bytes + SLACK
        least = account.peak_bytes
        np.testing.assert_array_equal(native(given, RunOptions(max_bytes=least))[0], found)


def test_one_of_several_graphs_that_is_a_view_of_an_operand(one_of):
    long, which = Aval((300_000,), np.dtype(float)), Aval((), np.dtype(int))
    flipped = recorded(lambda x: [CATALOGUE["flip"](x, axes=(0,))], long)
    other = recorded(lambda x: [CATALOGUE["cumsum"](x, axis=0)], long)
    graph = recorded(lambda k, x: one_of(k, x, graphs=(flipped, other)), which, long)
    x = array(300_000)
    (found,) = compile_._native(graph)([np.int64(0), x])
    np.testing.assert_array_equal(found, x[::-1])
    assert not np.shares_memory(found, x)


def test_what_a_declaration_of_a_held_graph_must_say():
    given = {"jvp": _none, "linearize": _none, "transpose": None, "batch": _none}
    with pytest.raises(GraphError, match="how they are applied"):
        holding("neither", apply=None, **given)
    with pytest.raises(GraphError, match="and its results"):
        holding("neither", apply=_one_of_apply, **given)

"""Compiled sweeps at the edges: odd shapes, memory layouts and dtypes, stages, threads, forks."""

import os
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pytest

import gpuad
from executors.sweep_programs import load_interpreted
from executors.test_native import assert_same, program_of
from gpuad import compile as compile_
from gpuad.errors import ExecutorWarning
from gpuad.executors.native import compile_cache, sweep

pytest.importorskip("numba")
gnp = gpuad.numpy


@pytest.fixture
def interpreted(monkeypatch):
    """Sweeps as plain Python."""
    monkeypatch.setattr(sweep, "load", load_interpreted)
    return monkeypatch


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def plan_of(function, *args):
    jitted = gpuad.jit(function, executor="reference")
    jitted(*args)
    (entry,) = jitted._entries.values()
    return program_of(entry.recorded.graph).plan


# Shapes


def statistics(x):
    y = np.sin(x) * 2
    return y, np.sum(y, axis=0), np.sum(y, axis=1), np.sum(y), y - np.mean(y, axis=0), y @ y.T


@pytest.mark.parametrize("shape", [(0, 5), (0, 0), (1, 5), (1, 1), (2, 1), (5, 1), (7, 5), (3, 40)])
def test_few_rows_or_none(interpreted, shape):
    assert_same(statistics, normal(*shape))
    assert_same(lambda x: gpuad.grad(lambda x: np.sum(np.tanh(x) ** 2))(x), normal(*shape))


def test_zero_rows_compiled():
    assert_same(lambda x: (np.sin(x), np.sum(x, axis=0), np.max(x, axis=1)), normal(0, 5))


@pytest.mark.parametrize("rows", [4095, 4096, 4097, 2 * 4096 + 1])
def test_rows_that_do_not_divide_the_block(rows):
    x = normal(rows, 3)
    assert_same(lambda x: (np.cos(x), np.sum(np.cos(x), axis=0), np.sum(x * x, axis=1)), x)


def test_rows_that_do_not_divide_blocks_or_segments(interpreted):
    interpreted.setattr(sweep, "SEGMENT_VALUES", 64)
    interpreted.setattr("gpuad.codegen.cpu.block_sweep.BLOCK_BYTES", 1)
    for rows in (15, 16, 17, 31, 33, 100, 257):
        assert_same(statistics, normal(rows, 20))


def test_two_row_axes_of_equal_size(interpreted):
    x, y = normal(24, 24), normal(24, 24, seed=1)

    def f(x, y):
        z = np.tanh(x @ y) + x.T
        return z, np.sum(z, axis=0), np.sum(z, axis=1), z @ z, z + z.T, np.trace(z), np.diagonal(x)

    assert_same(f, x, y)
    assert_same(lambda x: gpuad.grad(lambda x: np.sum(np.sin(x @ x.T + x)))(x), x)
    assert_same(lambda x: gpuad.hvp(lambda x: np.sum(np.sin(x @ x.T + x)), (x,), (x,))[0], x)


def test_no_common_axis(interpreted):
    args = normal(7), normal(5, 3), normal(11), np.float64(2.0)
    f = lambda a, b, c, s: (np.sin(a) * s, np.cos(b).sum(), np.exp(-c * c), s * s)  # noqa: E731
    assert_same(f, *args)


@pytest.mark.parametrize("axis", [None, (), 0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_reductions_over_all_none_and_several_axes(interpreted, axis):
    def f(x):
        y = np.sin(x)
        return np.sum(y, axis=axis), np.max(y, axis=axis), np.mean(y * x, axis=axis, keepdims=True)

    for shape in ((6, 5, 4), (6, 1, 4), (1, 5, 1)):
        assert_same(f, normal(*shape))


# Stages


def standardised(x):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def normalised_loss(x, w, y):
    h = np.tanh(standardised(x) @ w)
    return np.mean((np.sum(standardised(h), axis=1) - y) ** 2)


def test_batch_statistics_feed_back():
    x, w, y = normal(300, 6), normal(6, 4, seed=1), normal(300, seed=2)
    assert_same(standardised, x, tolerance=1e-11)

    def derivatives(x, w, y):
        by_w = gpuad.hvp(lambda w: normalised_loss(x, w, y), (w,), (w,))
        return normalised_loss(x, w, y), gpuad.grad(normalised_loss, (0, 1))(x, w, y), by_w

    assert_same(derivatives, x, w, y, tolerance=1e-9)
    assert plan_of(normalised_loss, x, w, y).sweeps >= 4


# Layouts and dtypes


def test_layouts(interpreted):
    base = normal(12, 10)
    read_only = base[:6, :5].copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"0" + base.tobytes(), np.uint8)[1:].view(np.float64).reshape(12, 10)
    assert not unaligned.flags.aligned
    layouts = [base.T, base[::2, ::-1], base[:, 3], read_only, unaligned, unaligned[:, 0].copy()]
    layouts += [np.asfortranarray(base), np.broadcast_to(base[0], (12, 10)), base[2:3, :4], base[0]]
    layouts += [base.astype(">f8"), base.astype(">f4"), unaligned.reshape(-1)]
    for x in layouts:
        assert_same(lambda x: (np.sin(x), np.sum(x * x), x + 1), x)


def test_blocks_outside_the_bounds_of_fast_functions():
    x = normal(20_000, 3)
    x[5000, 1], x[19_999, 2], x[7, 0] = 1e30, np.nan, -1e19

    def f(x):
        y = np.sin(x) * np.cos(2 * x)
        return y, np.sum(y, axis=1), np.sum(np.where(np.isnan(y), 0, y)), np.max(y, axis=0)

    assert_same(f, x)
    assert_same(f, np.repeat(x, 7, axis=1)[::3].astype(np.float32), tolerance=2e-4)


def test_layouts_share_one_compiled_sweep():
    x = normal(50, 3)
    read_only = x.copy()
    read_only.flags.writeable = False
    f = gpuad.jit(lambda x: (np.exp(x), x.sum(axis=1)), executor="native")
    for other in (x, read_only, x[::-1], np.asfortranarray(x)):
        np.testing.assert_allclose(f(other)[0], np.exp(other), rtol=1e-14)
    (entry,) = f._entries.values()
    (sweep,) = compile_.compiled(entry.recorded.graph, np, "native").sweeps
    assert len(sweep.function.signatures) == 1


def test_without_axes(interpreted):
    assert_same(lambda x, y: (np.sin(x) * y, x + y), np.float64(0.3), np.array(1.5))
    assert_same(lambda x, s: np.sin(x) * s + s * s, normal(20, 3), np.array(1.5))
    assert_same(lambda x, s: np.sin(x) * s, normal(20, 3, dtype=np.float32), np.float32(1.5))


def test_mixed_dtypes():
    single, double = normal(60, 4, dtype=np.float32), normal(60, 4, seed=1)
    whole, flags = np.arange(240).reshape(60, 4), normal(60, 4, seed=2) > 0

    def f(x, y, i, c):
        z = np.exp(x) + np.where(c, y, i * 0.5)
        mixed = np.logaddexp(z.astype(np.float32), x), np.sin(y) * np.tanh(x)
        return z, *mixed, i + 1, ~c & (x > 0), np.sum(x), np.sum(i, axis=1), np.where(c, i, 3), c

    assert_same(f, single, double, whole, flags, tolerance=2e-6)
    small = whole.astype(np.int8), whole.astype(np.uint16), flags.astype(np.float16)
    assert_same(lambda i, j, h: (i * 2, j + 1, h * 2, i + h), *small)
    assert_same(lambda z: (np.abs(z), z * z, z.real * 2), single + 1j * double)


# Outputs


def test_outputs_that_are_inputs_literals_or_twice_the_same(interpreted):
    x = normal(30, 3)

    def f(x):
        y = np.sin(x)
        return x, 2.0, y, y, y.T, x[:5], x.T, y.reshape(-1), np.broadcast_to(y[0, 0], (3,)), x

    found = assert_same(f, x)
    arrays = [a for a in found if isinstance(a, np.ndarray)]
    for i, a in enumerate(arrays):
        assert a.flags.writeable and not np.shares_memory(a, x)
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    assert_same(lambda x: (1.0, 2, True), x)
    assert_same(lambda x: x, x)
    assert_same(lambda x: np.zeros(4) + 1, x)


def test_sums_that_overflow_raise_no_warning():
    x = np.full((100, 3), 3e38, np.float32)
    with np.errstate(all="raise"):
        assert_same(lambda x: (np.sum(x), np.sum(x * 0 - np.inf) + np.sum(x * 10)), x)


# Threads, forks, processes


def work(x, w):
    h = np.tanh(x @ w)
    return np.sum(h * h), np.sum(h, axis=0), np.max(np.exp(h), axis=1), gnp.logsumexp(x, axis=1)


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    x, w = normal(6000, 20), normal(20, 18, seed=1)
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    f = gpuad.jit(work, executor="native")
    results = []
    for count in (1, 2, 3, 1, 2):
        monkeypatch.setenv("GPUAD_NUM_THREADS", str(count))
        results.append([a.tobytes() for a in (*f(x, w), *f(x32, w32))])
    assert all(r == results[0] for r in results)


def test_calls_from_several_threads_at_once():
    xs, w = [normal(5000, 8, seed=s) for s in range(6)], normal(8, 17, seed=1)
    expected = [gpuad.jit(work, executor="native")(x, w) for x in xs]
    gpuad.clear_cache()
    f = gpuad.jit(work, executor="native")
    failures = []

    def call(k):
        try:
            for _ in range(5):
                for a, b in zip(f(xs[k], w), expected[k], strict=True):
                    np.testing.assert_array_equal(a, b)
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(6)]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    assert not failures


def in_process(code, **environment):
    """The output of Python code run in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


FORK = """
    import os, sys, warnings
    import numpy as np, gpuad
    warnings.simplefilter("ignore", DeprecationWarning)
    x, w = np.random.default_rng(0).normal(size=(20000, 8)), np.ones((8, 17))
    f = gpuad.jit(lambda x, w: np.tanh(x @ w).sum(axis=0), executor="native")
    before = f(x, w)
    child = os.fork()
    if not child:
        try:
            same = np.array_equal(f(x, w), before)
            fresh = gpuad.jit(lambda x: np.cos(x).sum(), executor="native")(x)
            os._exit(0 if same and np.isclose(fresh, np.cos(x).sum()) else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(f(x, w), before)
    print("forked")
"""


def test_a_fork_after_the_first_call():
    assert in_process(FORK, GPUAD_NUM_THREADS="2") == "forked\n"


def test_without_numba_the_reference_runs_and_says_so_once(monkeypatch):
    monkeypatch.setattr(compile_cache, "available", lambda: False)
    monkeypatch.setattr(compile_, "_said", set())
    x = normal(8, 3)
    with pytest.warns(ExecutorWarning, match="Numba is not installed"):
        np.testing.assert_array_equal(gpuad.jit(np.sin)(x), np.sin(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(gpuad.jit(np.cos)(x), np.cos(x))

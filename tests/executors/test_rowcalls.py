"""Library calls by rows: matrix products and other work of NumPy over tiles of rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuad
from executors import test_primitives
from executors.memory_programs import array, measured, prepared
from executors.test_memory import least_of, results_of
from executors.test_random_memory import called_by_rows
from gpuad import compile as compile_
from gpuad.errors import MemoryLimitError
from gpuad.executors.native import one_thread_blas, program, row_calls, row_pipeline
from gpuad.executors.native.row_calls import RowCall
from gpuad.ir.graph import Equation, Var
from gpuad.ir.interpret import evaluate
from gpuad.transforms import vmap

pytest.importorskip("numba")
gnp = gpuad.numpy


@pytest.fixture(autouse=True)
def forget():
    gpuad.clear_cache()
    yield
    gpuad.clear_cache()


def program_of(function, arguments):
    f = gpuad.jit(function)
    f.explain(*arguments)
    (entry,) = f._entries.values()
    return compile_.compiled(entry.recorded.graph, np, "auto")


def steps_of(function, arguments):
    """For each step its library call, or the kinds of work in a pass."""
    return [
        str(s.work.primitive)
        if isinstance(s.work, Equation)
        else [type(u).__name__ for u in s.work.sweeps]
        for s in program_of(function, arguments).steps
    ]


# What NumPy does by rows


def test_every_primitive_over_tiles_of_rows():
    """Of primitives that act on rows apart, three rows at a time give what all at once give."""
    seen = set()
    for case, graph, batch in test_primitives.batches(11):
        expected = compile_.compiled(graph, np, "reference")(batch)
        with called_by_rows(1, "all"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(row_calls, "tile_rows", lambda s, rows: 3)
            made = program.NativeProgram(graph)
            found = made(batch)
        units = [
            u for s in made.steps if isinstance(s.work, row_pipeline.RowPass) for u in s.work.sweeps
        ]
        seen.update([u.equation.primitive.name for u in units])
        for x, y in zip(found, expected, strict=True):
            assert x.dtype == y.dtype and x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14, err_msg=str(case.primitive))
    assert len(seen) > 100
    assert {"dot_general", "sort", "cumsum", "searchsorted", "gather", "fft", "sin"} <= seen


def test_temporaries_of_a_tile_are_counted():
    rows, seen = 3000, set()
    for case in test_primitives.CASES:
        arrays = test_primitives.arrays_of(case)
        if not arrays or any(0 in x.shape for x in arrays) or case.primitive in seen:
            continue
        seen.add(case.primitive)
        graph = test_primitives.record(case, arrays)
        graph, _ = vmap.vmap(graph, rows, (True,) * len(arrays), True)
        env = dict(zip(graph.inputs, [np.stack([x] * rows) for x in arrays], strict=True))
        for e in graph.equations:
            with np.errstate(all="ignore"):
                operands = [env[x] if type(x) is Var else x.value for x in e.operands]
                env.update(zip(e.outputs, evaluate(e, np, operands), strict=True))
        with called_by_rows(rows, "all"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(row_calls, "tile_rows", lambda s, n: n)
            made = program.NativeProgram(graph)
        for unit in [
            u for s in made.steps if type(s.work) is row_pipeline.RowPass for u in s.work.sweeps
        ]:
            s = unit.source
            if any(a.var not in env for a in s.reads):
                continue
            flat = [
                np.moveaxis(env[a.var], a.axis, 0).copy().reshape(-1)
                if a.kind == "rows"
                else env[a.var]
                for a in s.reads
            ]
            flat += [np.empty(a.var.aval.size, a.var.aval.dtype) for a in s.writes]
            flat += [np.zeros(a.var.aval.size) for a in s.sums]
            unit.function(*flat, 0, rows)
            found = measured(lambda unit=unit, flat=flat: unit.function(*flat, 0, rows))
            assert found <= 1.05 * unit.tile_bytes + 10_000, unit.equation.primitive


# Matrices


def loss(x, w1, w2, w3):
    return np.mean(gnp.logsumexp(np.tanh(np.tanh(x @ w1) @ w2) @ w3, axis=1))


def hvp(x, w, v):
    return gpuad.hvp(lambda *w: loss(x, *w), w, v)


def network(rows):
    shapes = (32, 200), (200, 200), (200, 4)
    weights = [tuple([array(*s, seed=k) for s in shapes]) for k in (1, 2)]
    return hvp, (array(rows, 32), *weights)


def test_the_hvp_of_a_wide_network_needs_memory_for_its_weights_and_for_a_few_rows():
    least = []
    for rows in (3000, 24_000):
        function, (x, w, v) = network(rows)
        f = gpuad.jit(function, max_bytes=0)
        with pytest.raises(MemoryLimitError) as info:
            f(x, w, v)
        least.append(int(str(info.value).split("Give max_bytes=")[1].split()[0]))
    assert least[1] <= 1.1 * least[0]
    assert least[1] < 24_000 * 200 * 8
    limited = gpuad.jit(function, max_bytes=least[1])
    found = limited(x, w, v)
    for a, b in zip(found, gpuad.jit(function)(x, w, v), strict=True):
        assert a.tobytes() == b.tobytes()
    expected = gpuad.jit(function, executor="reference")(x, w, v)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert measured(lambda: limited(x, w, v)) <= least[1] + 200_000


def test_products_run_with_the_sweeps_around_them():
    steps = steps_of(*prepared("wide_perceptron", 40_000))
    together = [s for s in steps if isinstance(s, list)]
    assert len(together) == 1
    assert together[0].count("RowCall") == 3 and "Sweep" in together[0]
    assert "dot_general" not in steps


def test_short_matrices_are_multiplied_as_a_whole():
    x, w = array(500, 300), array(300, 200)
    assert steps_of(lambda x, w: np.sin(np.sin(x) @ w), (x, w)).count("dot_general") == 1
    x = array(1500, 300)
    by_rows = steps_of(lambda x, w: np.sin(np.sin(x) @ w), (x, w))
    assert by_rows == [["Sweep", "RowCall", "Sweep"]]
    # To sum over rows takes more of them.
    for rows, names in ((1500, [["Sweep"], "dot_general"]), (4096, [["Sweep", "RowCall"]])):
        x, y = array(rows, 200), array(rows, 200)
        assert steps_of(lambda x, y: np.sin(x).T @ np.sin(y), (x, y)) == names


@pytest.mark.parametrize("rows", [1024, 3333])
def test_rows_on_either_side_and_in_any_layout(rows):
    x, w = array(rows, 210), array(210, 190)
    stack = array(3, rows, 210)
    for function in (
        lambda x, w, s: np.tanh(x) @ w,
        lambda x, w, s: w.T @ np.tanh(x).T,
        lambda x, w, s: np.einsum("knd,dm->nkm", np.tanh(s), w),
        lambda x, w, s: np.einsum("knd,dm->mkn", np.tanh(s), w),
        lambda x, w, s: np.einsum("nd,dm->mn", np.tanh(x), w),
        lambda x, w, s: np.tanh(x).T @ np.cos(x),
        lambda x, w, s: np.einsum("nd,ne->ed", np.tanh(x), np.cos(x)),
        lambda x, w, s: np.einsum("knd,knm->dm", np.tanh(s), np.cos(s)),
    ):
        for given in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
            found = gpuad.jit(function)(given, w, stack)
            expected = function(given, w, stack)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_blas_is_held_to_one_thread_by_any_caller():
    libraries = one_thread_blas._blas()

    def counts():
        return [x.get_num_threads() for x in libraries]

    def held():
        with one_thread_blas.one_thread_blas():
            return counts()

    before = counts()
    assert held() == [1] * len(libraries)
    with ThreadPoolExecutor(1) as other:
        for library in libraries:
            one_thread_blas._set_threads(library, 2)
        assert other.submit(held).result() == [1] * len(libraries)
        assert counts() == [2] * len(libraries)
    for library, count in zip(libraries, before, strict=True):
        one_thread_blas._set_threads(library, count)


def test_blas_has_its_threads_again_after_an_interrupt(monkeypatch):
    before = [x.get_num_threads() for x in one_thread_blas._blas()]
    set_threads = one_thread_blas._set_threads

    def interrupted(library, count):
        set_threads(library, count)
        monkeypatch.setattr(one_thread_blas, "_set_threads", set_threads)
        raise KeyboardInterrupt

    monkeypatch.setattr(one_thread_blas, "_set_threads", interrupted)
    with pytest.raises(KeyboardInterrupt), one_thread_blas.one_thread_blas():
        pass
    assert [x.get_num_threads() for x in one_thread_blas._blas()] == before


@pytest.mark.parametrize("layout", ["strided", "reversed", "unaligned"])
def test_a_matrix_that_blas_cannot_take_is_copied_once(layout):
    x, w = array(6000, 800), array(800, 800)
    if layout == "strided":
        w = np.repeat(w, 2, axis=1)[:, ::2]
    elif layout == "reversed":
        w = w[::-1, ::-1]
    else:
        memory = np.empty(w.nbytes + 1, np.uint8)[1:].view(w.dtype).reshape(w.shape)
        memory[...] = w
        w = memory

    def function(x, w):
        return np.sum(np.tanh(np.tanh(x) @ w), axis=1)

    limit = least_of(function, (x, w))
    limited = gpuad.jit(function, max_bytes=limit)
    limited(x, w)
    assert measured(lambda: limited(x, w)) <= limit + 200_000


def test_sums_too_large_for_what_they_sum_are_made_at_once():
    x, y = array(2048, 1100, dtype=np.float32), array(2048, 1100, dtype=np.float32)
    assert "dot_general" in steps_of(lambda x, y: np.sin(x).T @ np.sin(y), (x, y))


def test_small_calls_stay_as_they_are():
    x = array(100, 4)
    steps = steps_of(lambda x: np.sin(np.sort(np.cos(x), axis=1)), (x,))
    assert steps == [["Sweep"], "sort", ["Sweep"]]


def test_what_a_user_wrote_is_called_once():
    calls = []

    def mine(x):
        calls.append(x.shape)
        return np.sin(x)

    x = array(20_000, 4)
    out = gpuad.ShapeDtype(x.shape, x.dtype)
    f = gpuad.jit(lambda x: np.cos(gpuad.external(mine, out=out)(np.tanh(x))))
    f(x)
    assert calls == [x.shape]


# What stands between


def test_calls_between_go_before_or_after():
    w = array(200, 200)

    def f(x, w):
        y = np.tanh(x @ w)
        total = np.sum(y, axis=0)
        small = np.sort(total) + np.sort(w[0])
        return np.cos(y @ w.T), small

    arguments = (array(5000, 200), w)
    steps = steps_of(f, arguments)
    (together,) = [s for s in steps if isinstance(s, list)]
    assert together.count("RowCall") == 2 and together[-1] == "Sweep"
    before, after = steps[: steps.index(together)], steps[steps.index(together) + 1 :]
    assert before.count("sort") == after.count("sort") == 1
    for a, b in zip(gpuad.jit(f)(*arguments), f(*arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_tiles_are_what_the_plan_says_for_any_limit(monkeypatch):
    """BLAS rounds differently with other numbers of rows: it is asked for the same in each run."""
    function, arguments = prepared("wide_perceptron", 40_000)
    seen = []
    tile = RowCall._tile
    monkeypatch.setattr(
        RowCall,
        "_tile",
        lambda self, arrays, lo, hi: (seen.append(hi - lo), tile(self, arrays, lo, hi)),
    )
    lengths = []
    for limit in (None, least_of(function, arguments)):
        seen.clear()
        results_of(gpuad.jit(function, max_bytes=limit), arguments)
        lengths.append(sorted(seen))
    assert lengths[0] == lengths[1] and max(lengths[0]) <= 512

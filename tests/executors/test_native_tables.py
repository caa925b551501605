"""Gathers and scatters inside compiled sweeps, and work on integers, against the reference."""

import numpy as np
import pytest

import gpuad
from executors.sweep_programs import load_interpreted
from executors.test_native import WRITERS, assert_same, program_of, use_writer
from gpuad.codegen.cpu import gather_scatter
from gpuad.executors.native import sweep

pytest.importorskip("numba")
gnp = gpuad.numpy


@pytest.fixture
def interpreted(monkeypatch):
    """Sweeps as plain Python."""
    monkeypatch.setattr(sweep, "load", load_interpreted)
    return monkeypatch


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def places(n, *shape, seed=1):
    return np.random.default_rng(seed).integers(-n, n, shape)


def swept(function, *args):
    """The names of the primitives in the sweeps of a function."""
    jitted = gpuad.jit(function, executor="reference")
    jitted(*args)
    (entry,) = jitted._entries.values()
    plan = program_of(entry.recorded.graph).plan
    return [s.equation.primitive.name for stage in plan.stages for s in stage.sweep]


def weighted(table, i, w):
    """Values, and the gradient by the table: a gather and a scatter."""

    def loss(table):
        return gnp.sum(gnp.sin(gnp.take(table, i, axis=0)) * w)

    return gnp.take(table, i, axis=0) * w, loss(table), gpuad.grad(loss)(table)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rest", [(), (1,), (3,), (11,), (2, 3), (20,)])
def test_rows_of_a_table(interpreted, writer, rest):
    for block in (2, 16):
        use_writer(interpreted, writer, block)
        for dtype in (np.float32, np.float64):
            table, w = normal(7, *rest, dtype=dtype), normal(33, *rest, seed=2, dtype=dtype)
            assert_same(weighted, table, places(7, 33), w, tolerance=1e-5)
    names = swept(weighted, table, places(7, 33), w)
    assert names.count("gather") >= 1 and "scatter_add" in names


@pytest.mark.parametrize("writer", WRITERS)
def test_several_indices_and_places_in_a_row(interpreted, writer):
    use_writer(interpreted, writer, 4)
    table, i, j = normal(5, 4, 3), places(5, 40, 2), places(4, 40, 2, seed=3)

    def f(table, i, j):
        value = table[i, j]
        return value, gpuad.grad(lambda t: gnp.sum(t[i, j] ** 3))(table), gnp.sum(value, axis=1)

    assert_same(f, table, i, j)
    names = swept(f, table, i, j)
    assert {"gather", "scatter_add"} <= set(names)
    # Rows that are not the first axis of the indices.
    assert_same(f, table, i.T.copy(), j.T.copy())


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("lanes", [(5,), (1,), (20,), (3, 2)])
def test_a_table_in_each_row(interpreted, writer, lanes):
    use_writer(interpreted, writer, 4)
    x, i = normal(30, *lanes), places(lanes[0], 30)

    def f(x, i):
        def loss(x):
            own = gnp.take_along_axis(x, i.reshape(30, *[1 for _ in lanes]), axis=1)
            return gnp.sum(gnp.logsumexp(x, axis=1)) - gnp.sum(own**2)

        return gnp.take_along_axis(x, i.reshape(30, *[1 for _ in lanes]), 1), gpuad.grad(loss)(x)

    assert_same(f, x, i)
    if len(lanes) == 1:
        assert {"gather", "scatter_add"} <= set(swept(f, x, i))
    j = places(lanes[0], 30, 3)
    g = lambda x, j: gpuad.grad(lambda x: gnp.sum(x[gnp.arange(30)[:, None], j] ** 3))(x)  # noqa: E731
    assert_same(g, x, j)


def test_repeated_places_add_up():
    table, i = normal(6, 3), np.zeros(5000, int)
    i[::7] = 5
    u = normal(5000, 3, seed=4)

    def f(table, i, u):
        return gpuad.grad(lambda t: gnp.sum(gnp.take(t, i, axis=0) * u))(table)

    (found,) = assert_same(f, table, i, u)
    np.testing.assert_allclose(found[0], u[i == 0].sum(0), rtol=1e-12)
    np.testing.assert_array_equal(found[1], 0)


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    table, i = normal(50, 11), places(50, 30_000)
    w = normal(30_000, 11, seed=2)
    f = gpuad.jit(weighted, executor="native")
    results = []
    for count in "1", "2", "3", "1":
        monkeypatch.setenv("GPUAD_NUM_THREADS", count)
        results.append([a.tobytes() for a in f(table, i, w)])
    assert all(r == results[0] for r in results)


@pytest.mark.parametrize("writer", [*WRITERS, "compiled"])
@pytest.mark.parametrize("bad", [7, -8, 2**40, -(2**40)])
def test_places_outside_raise(interpreted, writer, bad):
    if writer == "compiled":
        interpreted.undo()
    else:
        use_writer(interpreted, writer, 8)
    table, i, w = normal(7, 3), places(7, 50), normal(50, 3)
    f = gpuad.jit(weighted, executor="native")
    f(table, i, w)
    i[31] = bad
    with pytest.raises(IndexError, match="out of bounds"):
        f(table, i, w)


@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_modes(interpreted, mode):
    table, i = normal(7, 3), np.random.default_rng(5).integers(-30, 30, 60)

    def f(table, i):
        return gnp.take(table, i, axis=0, mode=mode) * 2

    assert_same(f, table, i)


def test_empty_tables_and_no_places(interpreted):
    assert_same(weighted, normal(7, 3), np.zeros(0, int), normal(0, 3))
    assert_same(weighted, normal(7, 0), places(7, 20), normal(20, 0))
    assert_same(weighted, normal(0, 3), np.zeros(0, int), normal(0, 3))
    with pytest.raises(IndexError):
        gpuad.jit(weighted, executor="native")(normal(0, 3), np.zeros(20, int), normal(20, 3))


def test_large_tables_are_added_to_by_a_call(interpreted):
    count = gather_scatter.TABLE_VALUES + 1
    table, i, w = normal(count), places(count, 20_000), normal(20_000, seed=2)
    assert_same(weighted, table, i, w)
    assert "scatter_add" not in swept(weighted, table, i, w)
    i[7] = count
    with pytest.raises(IndexError, match="out of bounds"):
        gpuad.jit(weighted, executor="native")(table, i, w)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_whole_numbers(interpreted, dtype):
    rng = np.random.default_rng(6)
    i, j = rng.integers(-100, 100, (2, 64, 3)).astype(dtype)
    limits = np.iinfo(dtype)
    i[0], j[0] = limits.max, limits.max
    i[1], j[1] = limits.min, -1

    def f(i, j):
        flags = (i < j) & (i != 3) | (j >= i)
        return (
            i + j, i - j, i * j, -i, flags, gnp.where(flags, i, j), gnp.maximum(i, j),
            gnp.minimum(i, j), i & j, i | j, i ^ j, i * 0.5, i.astype(np.float32), flags * j,
            i.astype(np.int32), i.astype(np.int64) + 1, i == j, i.astype(bool),
        )  # fmt: skip

    interpreted.undo()
    assert_same(f, i, j)
    assert len(swept(f, i, j)) >= 15


def test_table_of_whole_numbers_and_of_flags(interpreted):
    i, x = places(9, 50), normal(50)

    def f(numbers, flags, i, x):
        k = gnp.take(numbers, i, axis=0)
        return k, gnp.where(gnp.take(flags, i, axis=0), x, 0), gnp.take(x, k, axis=0)

    assert_same(f, np.arange(9) * 2, np.arange(9) % 3 == 0, i, x)


def test_hvp_through_tables():
    table, i, w = normal(12, 3), places(12, 4000), normal(4000, 3, seed=2)

    def f(table, v, i, w):
        def loss(t):
            rows = gnp.take(t, i, axis=0)
            return gnp.sum(gnp.exp(-gnp.sum(rows * rows, axis=1)) * w[:, 0])

        return gpuad.hvp(loss, (table,), (v,))

    assert_same(f, table, normal(12, 3, seed=7), i, w)

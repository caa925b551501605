"""Rows read at indices and updates added at indices: inside kernels, and by a sort."""

import numpy as np
import pytest
from gpuad.kernels.cuda_scatter_text import THREADS

import gpuad as ad
import gpuad.numpy as gnp
from compiled_kernels import KERNELS
from emulator.checks import check_launches, check_results, graph_of, same, use
from emulator.device import host
from emulator.launching import launch
from gpuad.codegen.cuda import gathers, planning, table_sums
from gpuad.executors.cuda.scatter import MANY, RANK
from gpuad.ir.primitive import Role
from needing import NEEDS_COMPILER
from pretended_cupy import with_peak

pytestmark = NEEDS_COMPILER
rng = np.random.default_rng(5)


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def places(*shape, below):
    return rng.integers(0, below, shape)


def called(program):
    """The roles of what the program calls on whole arrays."""
    return {e.primitive.role for s in program.plan.stages for e in s.whole}


def check(emulator, function, arguments):
    """The program gives the reference results, twice the same, in the memory that it predicts."""
    graph, expected = graph_of(function, arguments)
    program, inputs = emulator.program(graph), emulator.arrays(arguments)
    got, peak = with_peak(emulator.cupy, lambda: program(inputs))
    assert peak <= program.peak_bytes(inputs)
    got = host(got)
    check_results(got, expected)
    before = len(emulator.launches)
    assert same(got, host(program(inputs)))
    launched = sum(s.source.launches(s.rows) for s in program.plan.stages if s.source)
    for v, scatter in program.scatters.items():
        shared = program.shared_orders.get(v)
        launched += scatter.launches if shared is None or shared.first else 1
    assert len(emulator.launches) - before == launched
    check_launches(emulator)
    return program


# Rows of tables

TABLES = {
    "rows": (lambda x, u, i: gnp.sum(gnp.exp(x[i]) * u, 1), (normal(9, 3), normal(70, 3), 9)),
    "one value": (lambda x, u, i: gnp.sin(x[i]) * u, (normal(9), normal(1200), 9)),
    "by lanes": (
        lambda x, u, i: gnp.logsumexp(x[i] * u, 1), (normal(6, 70), normal(300, 70), 6)
    ),
    "many lanes": (lambda x, u, i: gnp.sum(x[i] * u, 1), (normal(4, 9001), normal(5, 9001), 4)),
    "rest of two axes": (
        lambda x, u, i: gnp.sum(x[i] * u, 2), (normal(5, 2, 3), normal(40, 2, 3), 5)
    ),
    "booleans": (
        lambda x, u, i: gnp.where((x > 0)[i], u, -u), (normal(9, 3), normal(70, 3), 9)
    ),
    "float64": (
        lambda x, u, i: x[i] * u, (normal(9, 3, dtype=float), normal(33, 3, dtype=float), 9)
    ),
    "one row": (lambda x, u, i: x[i] * u, (normal(1, 3), normal(31, 3), 1)),
    "large table": (lambda x, u, i: x[i] * u, (normal(5000, 2), normal(9001, 2), 5000)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_rows_of_a_table(emulator, name):
    function, (x, u, below) = TABLES[name]
    program = check(emulator, function, (x, u, places(len(u), below=below)))
    if name != "many lanes":
        assert Role.GATHER not in called(program)


WIDTHS = [1, 2, 3, 4, 5, 6, 7, 8, 11, 16]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 31, 33, 300])
def test_rows_are_loaded_in_vectors(emulator, monkeypatch, dtype, n):
    """Of every width, and with rows filled up where there are enough of them."""
    monkeypatch.setattr(gathers, "MUCH", 1)

    def function(i, u, *tables):
        return [gnp.sum(gnp.sin(x[i]), 1) * u for x in tables]

    tables = [normal(7, w, dtype=dtype) for w in WIDTHS]
    program = check(emulator, function, (places(n, below=7), normal(n, dtype=dtype), *tables))
    reads = [a for k in program.kernels for a in k.source.reads if a.kind == "free"]
    filled = {a.filled.width: a.filled.length for a in reads if a.filled}
    several = 16 // np.dtype(dtype).itemsize
    expected = {w: -(-w // several) * several for w in WIDTHS if w > several and w % several}
    assert filled == (expected if n >= 28 else {})
    aligned = {x.aval.shape[1] for k in program.kernels for x in k.source.aligned}
    assert n == 1 or aligned == {w for w in WIDTHS if w % 2 == 0} | set(filled)


@pytest.mark.parametrize("width", [4, 5])
def test_tables_that_begin_anywhere(emulator, monkeypatch, width):
    """Where no vector may begin; in another order; and part of a larger array."""
    monkeypatch.setattr(gathers, "MUCH", 1)

    def function(x, y, z, u, i):
        return [gnp.sum(t[i] * u, 1) for t in (x, y, z)]

    x, u = normal(9, width), normal(100, width)
    arguments = x, x[::-1], x[:, ::-1], u, places(100, below=9)
    graph, expected = graph_of(function, arguments)
    program, inputs = emulator.program(graph), emulator.arrays(arguments)
    memory = emulator.arrays([np.zeros(9 * width + 1, np.float32)])[0]
    memory[1:] = inputs[0].ravel()
    wide = emulator.arrays([np.ascontiguousarray(x[:, ::-1].T)])[0]
    given = [memory[1:].reshape(9, width), inputs[1], wide.T, *inputs[3:]]
    got, peak = with_peak(emulator.cupy, lambda: program(given))
    assert peak <= program.peak_bytes(given)
    check_results(host(got), expected)
    check_launches(emulator)


def test_a_table_that_is_also_read_as_it_is(emulator, monkeypatch):
    """It has one form for each kernel."""
    monkeypatch.setattr(gathers, "MUCH", 1)

    def function(x, u, i, j):
        return gnp.sum(x[i] * u, 1), x[i, j], gnp.sum(gnp.sum(x, 0) * u, 1)

    n = 100
    indices = places(n, below=9), places(n, below=5)
    check(emulator, function, (normal(9, 5), normal(n, 5), *indices))
    check(emulator, ad.grad(lambda x, u, i, j: sum(map(gnp.sum, function(x, u, i, j)))),
          (normal(9, 5), normal(n, 5), *indices))  # fmt: skip


def test_a_row_at_an_index_that_was_loaded_in_a_vector(emulator, monkeypatch):
    def function(x, links, u, i):
        return gnp.sum(x[links[i][:, 1]] * u, 1) + x[links[i][:, 3]][:, 2]

    links = places(12, 4, below=9)
    check(emulator, function, (normal(9, 4), links, normal(70, 4), places(70, below=12)))


def test_indices_of_several_axes(emulator):
    def function(x, y, u, i, j):
        return x[i, j] * u, gnp.sum(y[i] * u, 1), y[i[:, 0]] + x[i[:, 1], j[:, 2]]

    arguments = normal(4, 5), normal(4), normal(70, 3)
    indices = places(70, 3, below=4), places(70, 3, below=5)
    program = check(emulator, function, (*arguments, *indices))
    assert Role.GATHER not in called(program)


def test_negative_indices_count_from_the_end(emulator):
    i = rng.choice([*range(-9, -1), *range(9)], 70)  # -1 looks like memory that is not written
    check(emulator, lambda x, u, i: x[i] * u, (normal(9, 3), normal(70, 3), i))
    check(emulator, ad.grad(lambda x, u, i: gnp.sum(x[i] * u)), (normal(9, 3), normal(70, 3), i))


@pytest.mark.parametrize("in_kernel", [True, False])
def test_wrong_indices_reach_no_memory_outside(emulator, monkeypatch, in_kernel):
    """What is read is another row, and what is added is dropped."""
    x, u = normal(9, 3), normal(70, 3)
    right = places(70, below=9)
    wrong = right.copy()
    wrong[::7] = [9, -1 - 9, 1 << 40, -(1 << 40), 10, 99, 9, 12, -77, 1 << 31]

    def function(x, u, i):
        return ad.grad(lambda x: gnp.sum(gnp.exp(x[i]) * u))(x), x[i]

    if not in_kernel:
        monkeypatch.setattr(planning, "joins_scatter", lambda e: False)
    graph, _ = graph_of(function, (x, u, right))
    total, _ = host(emulator.program(graph)(emulator.arrays((x, u, wrong))))
    negative = (wrong < 0) & (wrong >= -9)
    inside = (wrong >= 0) & (wrong < 9)
    assert not negative.any()
    expected = np.zeros((9, 3))
    np.add.at(expected, wrong[inside], (np.exp(x[wrong[inside]]) * u[inside]).astype(float))
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-6)
    check_launches(emulator)


# Updates added at indices


def patterns(n, places_):
    """Indices that a sort finds hard or need not do."""
    yield "random", rng.integers(0, places_, n)
    yield "in order", np.sort(rng.integers(0, places_, n))
    yield "one place", np.full(n, places_ - 1)
    yield "backwards", np.sort(rng.integers(0, places_, n))[::-1].copy()
    yield "few places", rng.choice([0, places_ // 2, places_ - 1], n)


SIZES = [(1, 1, 1), (1, 5, 3), (31, 5, 3), (33, 1, 40), (33, 40, 3), (257, 3, 40), (5000, 300, 3)]
SIZES += [(4097, 70_001, 1)]


def updates_of(x, u, i):
    return ad.grad(lambda x: gnp.sum(gnp.take(x, i, 0) * gnp.sin(u)))(x)


@pytest.mark.parametrize(("n", "count", "rest"), SIZES)
@pytest.mark.parametrize("in_kernel", [True, False])
def test_updates(emulator, monkeypatch, n, count, rest, in_kernel):
    if not in_kernel:
        monkeypatch.setattr(planning, "joins_scatter", lambda e: False)
    x, u = normal(count, rest), normal(n, rest)
    graph, _ = graph_of(updates_of, (x, u, np.zeros(n, int)))
    program = emulator.program(graph)
    for name, i in patterns(n, count):
        inputs = emulator.arrays((x, u, i))
        got, peak = with_peak(emulator.cupy, lambda inputs=inputs: program(inputs))
        assert peak <= program.peak_bytes(inputs), name
        (got,) = host(got)
        expected = np.zeros((count, rest))
        np.add.at(expected, i, np.sin(u).astype(float))
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5, err_msg=name)
        assert same([got], host(program(inputs))), name
    check_launches(emulator)
    if not in_kernel:
        assert program.scatters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("blocks", [1024, 1])
def test_tables_in_kernels(emulator, monkeypatch, dtype, blocks):
    """Of several sums, small and large, with lanes of indices; nothing is left to a call."""
    use(monkeypatch, {"BLOCKS": blocks})

    def function(x, y, z, u, i, j):
        def total(x, y, z):
            seen = gnp.exp(x[i]) * u + y[i][:, None]
            return gnp.sum(seen) + gnp.sum(z[j] * u)

        return ad.grad(total, argnums=(0, 1, 2))(x, y, z)

    n = 3000
    x, y, z, u = [normal(*s, dtype=dtype) for s in ((5, 3), (5,), (7,), (n, 3))]
    program = check(emulator, function, (x, y, z, u, places(n, below=5), places(n, 3, below=7)))
    assert Role.SCATTER not in called(program)


def test_a_large_table_has_the_shared_memory_of_a_multiprocessor(emulator, monkeypatch):
    monkeypatch.setattr(table_sums, "LITTLE", 1 << 40)
    n, count = 20_000, 5000

    def function(x, u, i):
        return ad.grad(lambda x: gnp.sum(gnp.sin(x[i]) * u))(x)

    x, u = normal(count, 3), normal(n, 3)
    program = check(emulator, function, (x, u, places(n, below=count)))
    (kernel,) = program.kernels
    assert kernel.source.layout.table_bytes == x.nbytes
    assert not program.scatters


def test_what_no_block_has_shared_memory_for_is_a_call(emulator, monkeypatch):
    monkeypatch.setattr(table_sums, "LITTLE", 1 << 40)
    n, count = 20_000, 5000

    def function(x, u, i):
        return ad.grad(lambda x: gnp.sum(gnp.sin(x[i]) * u))(x)

    arguments = normal(count, 3), normal(n, 3), places(n, below=count)
    monkeypatch.setattr(emulator.device, "_shared", 48 * 1024)
    program = check(emulator, function, arguments)
    assert len(program.scatters) == 1


def test_indices_changed_in_place_are_seen(emulator, monkeypatch):
    """Nothing is kept of an earlier call."""
    monkeypatch.setattr(planning, "joins_scatter", lambda e: False)
    x, u, i = normal(40, 3), normal(300, 3), np.sort(places(300, below=40))
    graph, _ = graph_of(updates_of, (x, u, i))
    program, inputs = emulator.program(graph), emulator.arrays((x, u, i))
    program(inputs)
    inputs[2]._host[...] = i[::-1]
    (got,) = host(program(inputs))
    expected = np.zeros((40, 3))
    np.add.at(expected, i[::-1], np.sin(u).astype(float))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_scatters_with_the_same_indices_share_an_order(emulator, monkeypatch):
    monkeypatch.setattr(planning, "joins_scatter", lambda e: False)

    def function(x, y, z, u, i, j):
        def total(x, y, z):
            return gnp.sum(gnp.sin(x[i] * u) + y[i] * u + z[j]) + gnp.sum(x[j] * z[i] * u)

        return ad.grad(total, argnums=(0, 1, 2))(x, y, z)

    count, n = 900, 3000
    arguments = [normal(count), normal(count), normal(count), normal(n)]
    indices = places(n, below=count), places(n, below=count)
    program = check(emulator, function, (*arguments, *indices))
    shared = program.shared_orders.values()
    assert len(shared) == 5
    assert {s.number for s in shared} == {0, 1}
    assert sum(s.first for s in shared) == sum(s.last for s in shared) == 2


def test_digits_of_many_tiles_are_ranked_in_rounds():
    tiles = 700
    counts = rng.integers(0, 9, (4, tiles)).astype(np.int32)
    ranked, totals = counts.copy(), np.full(4, -1, np.int32)
    ptx = KERNELS.ptx(RANK)
    assert not launch(ptx, 4, THREADS, np.ones(1, np.int32), ranked, totals, tiles).findings
    assert np.array_equal(totals, counts.sum(1))
    assert np.array_equal(ranked, np.cumsum(counts, 1) - counts)


def test_many_updates_of_each_place(emulator, monkeypatch):
    monkeypatch.setattr(planning, "joins_scatter", lambda e: False)
    for rest in (1, 5, 33):
        n = 3 * MANY + 1
        check(
            emulator,
            updates_of,
            (normal(3, rest), normal(n, rest), places(n, below=3)),
        )


def test_updates_with_batch_axes_and_several_indices(emulator):
    def function(x, u, i, j):
        return ad.grad(lambda x: gnp.sum(x[i, j] * gnp.sin(u)))(x)

    n = 400
    check(emulator, function, (normal(90, 80), normal(n), places(n, below=90), places(n, below=80)))
    batched = ad.vmap(updates_of)
    check(emulator, batched, (normal(6, 70, 3), normal(6, 50, 3), places(6, 50, below=70)))


def test_a_wide_table_is_no_table_of_a_kernel(emulator):
    """A table whose copies, one for each block, would be more than the updates."""
    n = 300

    def function(x, u, i):
        return updates_of(x, u, i)

    program = check(emulator, function, (normal(5000, 2), normal(n, 2), places(n, below=5000)))
    assert len(program.scatters) == 1

"""Library calls on a pretended GPU: cuBLAS from several threads, its memory, rows, donation.

Where results are looked at, no operation is a kernel: all are calls by rows, which CuPy (that is,
NumPy) computes.
"""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuad as ad
import pretended_cupy
from executors import test_primitives
from executors.cases_elementwise import CASES
from gpuad import compile as compiling
from gpuad.codegen.cuda import planning
from gpuad.errors import LibraryError, MemoryLimitError
from gpuad.executors.cuda import cublas, executor, launch, program, row_calls
from gpuad.executors.cuda.donation import can_take
from gpuad.executors.cuda.replay import SEEN, TRIED
from gpuad.executors.cuda.row_pipeline import KernelPass
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.structure import transpose
from gpuad.transforms.fold_transposes import fold_transposes
from gpuad.transforms.lower import lower

gnp = ad.numpy


@pytest.fixture
def cupy(monkeypatch):
    yield pretended_cupy.installed(monkeypatch)
    ad.clear_cache()


@pytest.fixture
def tiled(monkeypatch):
    """Calls by rows even of small arrays: all operations are such calls."""
    monkeypatch.setattr(planning, "joins", lambda e: False)
    monkeypatch.setattr(row_calls, "TILE_BYTES", 1 << 14)
    monkeypatch.setattr(row_calls, "LEAST_ROWS", 8)
    monkeypatch.setattr(row_calls, "PRODUCT_ROWS", 16)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def replayed_of(f, *args):
    """What runs a jitted function on the first GPU."""
    entry, _ = f._entry(args, {})
    graph = entry.recorded.graph
    (found,) = [v for k, v in graph.derived.items() if k[0] == "compiled" and k[1] == "cupy"]
    return found.program(0)


def steps_of(f, *args):
    """For each step its library call, or the kinds of work in a pass."""
    return [
        [type(u).__name__ for u in s.work.units]
        if isinstance(s.work, KernelPass)
        else s.work.primitive.name
        for s in replayed_of(f, *args).program.steps
    ]


def measured(cupy, call):
    """The results on the host, and the most memory in use beside what was there."""
    found, peak = pretended_cupy.with_peak(cupy, call)
    return [x._host.copy() for x in (found if isinstance(found, tuple) else (found,))], peak


def least_of(function, *args, **options):
    with pytest.raises(MemoryLimitError) as info:
        ad.jit(function, max_bytes=0, **options)(*args)
    return int(str(info.value).split("Give max_bytes=")[1].split()[0])


def same(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


# cuBLAS


def test_threads_with_streams_of_their_own_multiply_at_once(cupy):
    """The stream and the workspace of a product are not those of another thread's."""
    cupy.cublas.between = lambda: time.sleep(1e-3)
    x = normal(40, 30)
    arrays = cupy.asarray(x), cupy.asarray(x.T.copy())
    f = ad.jit(lambda x, y: x @ y)
    f(*arrays)
    run = replayed_of(f, *arrays).program

    def work():
        with cupy.cuda.Stream(non_blocking=True):
            for _ in range(5):
                (product,) = run(arrays)  # held: else its memory is another thread's before the end
                np.testing.assert_allclose(product._host, x @ x.T, rtol=1e-4)

    with ThreadPoolExecutor(3) as pool:
        for task in [pool.submit(work) for _ in range(3)]:
            task.result()
    assert len(set(cupy.cublas.streams)) == 4


def test_memory_for_cublas_is_counted_and_stated(cupy):
    x = cupy.asarray(normal(200, 100))
    f = ad.jit(lambda x: x.T @ x)
    account = f.explain(x)
    workspace = 1 << (200 * 100 * 4 + 100 * 100 * 4).bit_length()
    _, peak = measured(cupy, lambda: f(x))
    assert cupy.cublas.workspaces[-1] >= workspace
    assert peak == account.peak_bytes >= 100 * 100 * 4 + workspace
    assert "kB for cuBLAS to work in" in str(account)
    assert least_of(lambda x: x.T @ x, x) == peak


def test_memory_for_cublas_depends_on_shapes_alone(cupy):
    assert cublas.most_workspace((9, 0)) == 32 << 20
    assert cublas.most_workspace((8, 6)) == 4 << 20
    small = [cupy.asarray(normal(*s)) for s in ((3, 4), (4, 5))]
    graph = ad.make_graph(lambda x, y: x @ y)(*small).graph
    (e,) = graph.equations
    assert cublas.workspace_of(e, 4 << 20) == cublas.LEAST_WORKSPACE
    assert cublas.workspace_of(e, 1 << 10) == 1 << 10


def test_copies_of_operands_are_counted(cupy):
    x = cupy.asarray(np.repeat(normal(200, 64), 2, axis=1))[:, ::2]
    y = cupy.asarray(normal(64, 32))
    f = ad.jit(lambda x, y: x @ y)
    predicted = f.explain(x, y).peak_bytes
    _, peak = measured(cupy, lambda: f(x, y))
    assert peak == predicted > 200 * 64 * 4


def test_a_captured_product_has_memory_of_its_own(cupy):
    x = cupy.asarray(normal(50, 40))
    f = ad.jit(lambda x: (x @ x.T) @ x)
    for _ in range(SEEN + 1):
        result = f(x)
    assert replayed_of(f, x).replays == 1
    del result
    cupy.machine.default_pool.free_all_blocks()
    others = [cupy.asarray(normal(64, 64)) for _ in range(30)]
    before = [y._host.copy() for y in others]
    np.testing.assert_allclose(f(x)._host, x._host @ x._host.T @ x._host, rtol=1e-3, atol=1e-3)
    assert replayed_of(f, x).replays == 2
    assert all(np.array_equal(y._host, z) for y, z in zip(others, before, strict=True))


def test_cublas_that_does_not_start_is_tried_again(cupy):
    x = cupy.asarray(normal(50, 40))
    f = ad.jit(lambda x: x @ x.T)
    cupy.cublas.failures = [3, 1]
    with pytest.raises(LibraryError, match=r"cannot be started on GPU 0, \d+ bytes .*status 3"):
        f(x)
    cupy.cublas.failures = [1]
    for _ in range(SEEN + 1):
        np.testing.assert_allclose(f(x)._host, x._host @ x._host.T, rtol=1e-4)
    assert replayed_of(f, x).replays == 1
    assert len(cupy.cublas.calls) == SEEN + 1


def test_a_library_that_was_not_found_is_looked_for_again(cupy, monkeypatch):
    x = cupy.asarray(normal(50, 40))
    with monkeypatch.context() as patch:
        patch.setattr(cublas, "library", lambda: None)
        ad.jit(lambda x: x @ x.T)(x)
    assert not cupy.cublas.calls
    ad.jit(lambda x: (x @ x.T) * 2)(x)
    assert len(cupy.cublas.calls) == 1


def test_a_capture_without_memory_is_tried_again(cupy, monkeypatch):
    x = cupy.asarray(np.ones(1000, np.float32))
    f, tried = ad.jit(lambda x: gnp.sin(x) * 2), []

    def short(made, inputs):
        tried.append(None)
        pool = cupy.cuda.MemoryPool
        with monkeypatch.context() as patch:
            if len(tried) < TRIED:
                patch.setattr(cupy.cuda, "MemoryPool", lambda: limited(pool()))
            return launch.capture(made, inputs)

    def limited(pool):
        pool.limit = 1
        return pool

    monkeypatch.setattr(executor, "capture", short)
    for _ in range(TRIED * (SEEN + 1)):
        f(x)
    replayed = replayed_of(f, x)
    assert len(tried) == TRIED
    assert replayed.fault is None
    assert replayed.replays == 1


# Products of transposed operands


def test_transposes_are_read_by_the_product(cupy):
    x, y = normal(30, 20), normal(40, 20)
    f = ad.jit(lambda x, y: x.T.T @ y.T)
    arrays = cupy.asarray(x), cupy.asarray(y)
    np.testing.assert_allclose(f(*arrays)._host, x @ y.T, rtol=1e-4, atol=1e-5)
    assert steps_of(f, *arrays) == ["dot_general"]


@pytest.mark.parametrize("text", ["ijk,kl->ijl", "jik,kl->ijl", "kji,kl->jil", "bij,bkj->bik",
                                  "jbi,kbj->bik", "jib,bkj->bik"])  # fmt: skip
def test_folded_graphs_mean_the_same(text):
    sizes = dict(zip("ijklb", (3, 4, 5, 6, 2), strict=True))
    left, right = text.split("->")[0].split(",")
    x, y = [normal(*[sizes[c] for c in s], dtype=np.float64) for s in (left, right)]

    def f(x, y):
        return gnp.einsum(text, x, y) + gnp.sum(gnp.transpose(x, (2, 0, 1)))

    graph = lower(ad.make_graph(f)(x, y).graph)
    expected = compiling.compiled(graph, np, "reference")([x, y])
    found = compiling.compiled(fold_transposes(graph), np, "reference")([x, y])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


@pytest.mark.parametrize("perm", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("side", [0, 1])
def test_every_order_of_axes_is_folded_or_left(perm, side):
    shapes = [(3, 4, 5), (3, 4, 5)]
    shapes[side] = tuple([shapes[side][perm.index(k)] for k in range(3)])
    x, y = [normal(*s, dtype=np.float64) for s in shapes]
    for contract, batch in ((((2,), (2,)), ((), ())), (((1, 2), (1, 2)), ((0,), (0,)))):
        builder = Builder("product")
        with building(builder):
            inputs = [builder.input(Aval(a.shape, a.dtype)) for a in (x, y)]
            operands = list(inputs)
            operands[side] = transpose(inputs[side], perm=perm)
            graph = builder.graph([dot_general(*operands, contract=contract, batch=batch)])
        made = fold_transposes(graph)
        (expected,) = compiling.compiled(graph, np, "reference")([x, y])
        (found,) = compiling.compiled(made, np, "reference")([x, y])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        if batch[0]:
            assert len(made.equations) == 1


# By rows


def test_every_primitive_over_tiles_of_rows(cupy, monkeypatch):
    """Of primitives that act on rows apart, four rows at a time give what all at once give."""
    monkeypatch.setattr(planning, "joins", lambda e: False)
    monkeypatch.setattr(row_calls, "tile_rows", lambda calls, rows: 4)
    for module in (row_calls, program):
        monkeypatch.setattr(module, "is_scatter", lambda e: False)
    seen = set()
    for case, graph, batch in test_primitives.batches(11):
        if case.primitive.name.startswith("beta") and case.primitive.name in seen:
            continue  # a sum of a hundred terms, each a call of the pretended CuPy
        try:
            expected = compiling.compiled(graph, cupy, "reference")(
                [cupy.asarray(x) for x in batch]
            )
        except (TypeError, AttributeError, NotImplementedError, ImportError, ValueError):
            continue  # more than the pretended CuPy can do
        made = program.CudaProgram(graph, launch.device(0))
        found = made([cupy.asarray(x) for x in batch])
        units = [u for s in made.steps if isinstance(s.work, KernelPass) for u in s.work.units]
        seen.update([u.equation.primitive.name for u in units])
        for x, y in zip(found, expected, strict=True):
            x, y = [getattr(z, "_host", z) for z in (x, y)]
            assert x.dtype == y.dtype and x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14, err_msg=str(case.primitive))
    assert len(seen) > 60
    assert {"dot_general", "sort", "cumsum", "gather", "sin"} <= seen


def perceptron(x, w1, w2, w3):
    return gnp.mean(gnp.logsumexp(gnp.tanh(gnp.tanh(x @ w1) @ w2) @ w3, axis=1))


PERCEPTRON = [(3000, 8), (8, 16), (16, 16), (16, 4)]
WIDE = [(3000, 70), (70, 80), (80, 80), (80, 70)]
"""A network whose matrices are too large for kernels."""
BY_ROWS = {
    "perceptron": (perceptron, PERCEPTRON),
    "its gradient": (ad.grad(perceptron, argnums=(1, 2, 3)), PERCEPTRON),
    "its hvp": (
        lambda x, *w: ad.hvp(lambda *w: perceptron(x, *w), w, tuple([v * 2 for v in w]))[0],
        PERCEPTRON,
    ),
    "sort": (lambda x: gnp.sin(gnp.sort(gnp.tanh(x), axis=1)), [(3000, 9)]),
    "cumsum": (lambda x: gnp.sin(gnp.cumsum(gnp.tanh(x), axis=1)) * 2, [(3000, 9)]),
    "rows last": (lambda x, w: gnp.tanh(w.T @ gnp.tanh(x)), [(8, 3000), (8, 16)]),
    "matrices": (lambda x, y: gnp.tanh(gnp.tanh(x) @ y), [(3000, 4, 5), (3000, 5, 2)]),
    "a gather": (lambda x, w: gnp.tanh(x)[:, ::2] @ w, [(3000, 8), (4, 3)]),
}


@pytest.mark.parametrize("name", BY_ROWS)
def test_calls_by_rows_within_a_limit(cupy, tiled, name):
    function, shapes = BY_ROWS[name]
    hosts = [normal(*s, seed=k) for k, s in enumerate(shapes)]
    arrays = [cupy.asarray(x) for x in hosts]
    f = ad.jit(function)
    expected, peak = measured(cupy, lambda: f(*arrays))
    whole = f.explain(*arrays).peak_bytes
    assert peak <= whole
    reference = ad.jit(function, executor="reference")(*hosts)
    for x, y in zip(
        expected, reference if isinstance(reference, tuple) else [reference], strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    least = least_of(function, *arrays)
    assert least < 0.6 * whole or name == "rows last"
    for limit in (least, (least + whole) // 2, whole):
        limited = ad.jit(function, max_bytes=limit)
        found, peak = measured(cupy, lambda limited=limited: limited(*arrays))
        assert peak <= limited.explain(*arrays).peak_bytes <= limit
        assert same(found, expected)
    assert all(same([x._host], [y]) for x, y in zip(arrays, hosts, strict=True))


def test_a_chain_of_products_is_one_pass(cupy, tiled):
    arrays = [cupy.asarray(normal(*s)) for s in PERCEPTRON]
    f = ad.jit(perceptron)
    f.explain(*arrays)
    assert [len(s) > 8 for s in steps_of(f, *arrays) if isinstance(s, list)] == [True]


def test_tiles_do_not_depend_on_the_limit(cupy, tiled):
    arrays = [cupy.asarray(normal(*s)) for s in PERCEPTRON]
    called = []
    for limit in (None, 10**9, least_of(perceptron, *arrays)):
        f = ad.jit(perceptron, max_bytes=limit)
        cupy.cublas.calls.clear()
        f(*arrays)
        called.append(sorted(cupy.cublas.calls))
    assert called[0] == called[1] == called[2]
    assert len(called[0]) > 20


def test_kernels_and_calls_take_turns(cupy, monkeypatch):
    monkeypatch.setattr(row_calls, "TILE_BYTES", 1 << 16)
    arrays = [cupy.asarray(normal(*s)) for s in WIDE]
    f = ad.jit(perceptron)
    account = f.explain(*arrays)
    (units, *_) = steps_of(f, *arrays)
    assert units == ["RowCall", "Kernel"] * 3
    _, peak = measured(cupy, lambda: f(*arrays))
    assert 0.99 * account.peak_bytes <= peak <= account.peak_bytes
    assert "1024 rows at a time" in str(account)
    least = least_of(perceptron, *arrays)
    limited = ad.jit(perceptron, max_bytes=least)
    _, peak = measured(cupy, lambda: limited(*arrays))
    assert peak <= least < account.peak_bytes


SET_APART = ("make_complex", "unit")
"""They write to the parts of a complex array, which the pretended CuPy does not take."""


def test_temporaries_of_elementwise_calls_are_counted(cupy, monkeypatch):
    """CuPy makes an array for every step of an expression."""
    monkeypatch.setattr(planning, "joins", lambda e: False)
    monkeypatch.setattr(row_calls, "LEAST_ROWS", 1 << 40)
    called = set()
    for case in CASES:
        if isinstance(case.primitive.run, str) or case.primitive.name in SET_APART:
            continue
        shapes = [np.shape(x) for x in case.operands]
        longest = max(map(len, shapes), default=0)
        operands = [
            np.resize(x, 20_000) if len(n) == longest else np.asarray(x)
            for x, n in zip(case.operands, shapes, strict=True)
        ]
        builder = Builder("case")
        with building(builder):
            inputs = [builder.input(Aval(x.shape, x.dtype)) for x in operands]
            graph = builder.graph([case.primitive(*inputs, **case.params)])
        if not graph.inputs or not graph.equations:
            continue
        made, arrays = (
            program.CudaProgram(graph, launch.device(0)),
            list(map(cupy.asarray, operands)),
        )
        before = cupy.machine.peak = cupy.machine.used
        made(arrays)
        assert cupy.machine.peak - before <= made.peak_bytes(arrays), case.primitive
        called.add(case.primitive.name)
    assert called > {"sech_square", "sigmoid", "gaussian", "sinc", "one_minus_square", "share"}


def test_small_calls_are_whole(cupy):
    arrays = [cupy.asarray(normal(*s)) for s in WIDE]
    f = ad.jit(perceptron)
    f.explain(*arrays)
    assert "dot_general" in steps_of(f, *arrays)
    assert len(cupy.cublas.calls) == 0
    f(*arrays)
    assert len(cupy.cublas.calls) == 3


def test_a_call_that_reads_little_beside_what_it_sums_is_whole(cupy, tiled):
    """Its result would be read and written for each tile."""
    x = cupy.asarray(normal(3000, 8))
    f = ad.jit(lambda x: x.T @ x)
    f(x)
    assert steps_of(f, x) == [["RowCall"]]
    wide = cupy.asarray(normal(400, 100)), cupy.asarray(normal(400, 90))
    g = ad.jit(lambda x, y: x.T @ y)
    g(*wide)
    assert steps_of(g, *wide) == ["dot_general"]


# Donation


def doubled(x):
    return gnp.sin(x) * 2


def test_a_donated_array_holds_the_result(cupy, tiled):
    host = normal(3000, 9)
    for function, given in (
        (doubled, {"donate_argnums": 0}),
        (lambda x: gnp.sin(gnp.sort(x, axis=1)), {"donate_argnums": 0}),
    ):
        expected = ad.jit(function, executor="reference")(host)
        x = cupy.asarray(host)
        address = x.data.ptr
        f = ad.jit(function, **given)
        account = f.explain(x)
        plain = ad.jit(function).explain(x)
        (found,), peak = measured(cupy, lambda f=f, x=x, a=address: keep(f(x), a))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert peak <= account.peak_bytes <= plain.peak_bytes


def keep(result, address):
    assert result.data.ptr == address
    assert result.base is None
    return result


def test_what_is_overwritten_is_read_before(cupy, tiled):
    host = normal(3000, 64)
    f = ad.jit(lambda x: (gnp.sin(x), gnp.cos(x)), donate_argnums=0)
    x = cupy.asarray(host)
    address = x.data.ptr
    first, second = f(x)
    assert address in (first.data.ptr, second.data.ptr)
    np.testing.assert_allclose(first._host, np.sin(host), rtol=1e-6)
    np.testing.assert_allclose(second._host, np.cos(host), rtol=1e-6)


def test_a_donated_array_that_is_dead_is_used_without_copies(cupy, monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)

    def f(x):
        y = x
        for k in range(3):
            y = gnp.sin(y) + gnp.cos(y * (k + 1))
        total = gnp.sum(y)
        return gnp.sin(y * total) * 2

    x = cupy.asarray(np.ones(100_000, np.float32))
    address = x.data.ptr
    plain = ad.jit(f).explain(x).peak_bytes
    g = ad.jit(f, donate_argnums=0)
    account = g.explain(x)
    _, peak = measured(cupy, lambda: g(x))
    assert peak <= account.peak_bytes <= plain - 390_000
    assert address in cupy.machine.regions


def test_donation_within_a_limit(cupy, tiled):
    host = normal(3000, 64)
    x = cupy.asarray(host)
    function = lambda x: gnp.sin(x) * 2 + 1  # noqa: E731
    least = least_of(function, x, donate_argnums=0)
    assert least < host.nbytes // 2 < host.nbytes <= least_of(function, x)
    f = ad.jit(function, donate_argnums=0, max_bytes=least)
    (found,), peak = measured(cupy, lambda: f(x))
    assert peak <= least
    np.testing.assert_allclose(found, np.sin(host) * 2 + 1, rtol=1e-5)


def test_what_is_not_given_away_stays(cupy, tiled):
    host = normal(3000, 9)
    f = ad.jit(lambda x, y: gnp.sin(x) * y, donate_argnums=0)
    x, y = cupy.asarray(host), cupy.asarray(host)
    view = cupy.asarray(np.concatenate([host, host]))[3000:]
    lying = cupy.asarray(host.T.copy()).T
    for a, b in ((x, x), (view, y), (lying, y), (x, x[::-1])):
        expected = np.sin(a._host) * b._host
        before = a._host.copy(), b._host.copy()
        np.testing.assert_allclose(f(a, b)._host, expected, rtol=1e-5)
        assert same(before, (a._host, b._host))
    assert can_take(cupy, x, [y, np.ones(3), 2.0])
    assert not can_take(cupy, x[:], [])  # the array behind it is still held
    assert not can_take(cupy, host, [])
    assert not can_take(cupy, cupy.asarray(np.array(1.0)), [])
    result = f(x, y)
    assert result.data.ptr == x.data.ptr
    assert same([y._host], [host])


def test_a_view_that_a_held_graph_gives_stays(cupy, tiled):
    """The array is not read any more, but what is read lies in it."""
    host = normal(3000, 16), normal(3000, 16, seed=1)

    def f(x, y):
        turned = ad.checkpoint(lambda a: a[:, ::-1])(y)
        return gnp.sin(x) * 2, gnp.sort(turned, axis=1) + turned

    given = [cupy.asarray(x) for x in host]
    expected, _ = measured(cupy, lambda: ad.jit(f)(*given))
    found, _ = measured(cupy, lambda: ad.jit(f, donate_argnums=(0, 1))(*given))
    assert same(found, expected)


def test_donated_runs_are_not_replayed_others_are(cupy):
    f = ad.jit(lambda x: gnp.sin(x) * 2, donate_argnums=0)
    x = cupy.asarray(np.ones(1000, np.float32))
    for _ in range(SEEN + 3):
        x = f(x)
    assert replayed_of(f, x).replays == 0
    g = ad.jit(lambda x: gnp.sum(x), donate_argnums=0)
    for _ in range(SEEN + 3):
        g(x)
    assert replayed_of(g, x).replays == 3


def test_a_donated_array_is_lost_when_memory_runs_out(monkeypatch):
    monkeypatch.setattr(planning, "COST", 20)
    cupy = pretended_cupy.installed(monkeypatch, capacity=10_000_000)
    x = cupy.asarray(np.ones(1_000_000, np.float32))

    def f(x):
        y = gnp.sin(x) * 2 + gnp.cos(x)
        return y, gnp.argsort(y)

    with pytest.raises(MemoryLimitError, match="donated arguments are lost; with max_bytes"):
        ad.jit(f, donate_argnums=0)(x)
    ad.clear_cache()


ON_GPU = {
    "smoothed": lambda x: ad.scipy.ndimage.gaussian_filter(x, 4.0),
    "read": lambda x: ad.scipy.ndimage.map_coordinates(x, [[0.5, 2.2], [1.1, 3.0]]),
    "turned": lambda x: ad.scipy.ndimage.rotate(x, 20.0),
    "zoomed": lambda x: ad.scipy.ndimage.zoom(x, 1.5, mode="grid-constant"),
    "distances": lambda x: ad.scipy.spatial.distance.cdist(x, x, "minkowski", p=3),
    "pairs": lambda x: ad.scipy.spatial.distance.pdist(x, "cosine"),
    "spline": lambda x: ad.scipy.interpolate.CubicSpline(np.arange(7.0), x, 1)(x),
    "monotonic": lambda x: ad.scipy.interpolate.PchipInterpolator(np.arange(7.0), x, 1)(0.5),
    "lines": lambda x: ad.scipy.interpolate.interp1d(np.arange(7.0), x, bounds_error=False)(x),
}


@pytest.mark.parametrize("name", ON_GPU)
def test_constants_of_images_and_interpolants_go_to_the_gpu(cupy, name):
    """Without kernels: interpreted, by CuPy's functions."""
    function, x = ON_GPU[name], normal(6, 7, dtype=np.float64)
    found = ad.grad(lambda x: (function(x) ** 2).sum())(cupy.asarray(x))
    assert isinstance(found, cupy.ndarray)
    expected = ad.grad(lambda x: (function(x) ** 2).sum())(x)
    np.testing.assert_allclose(found.get(), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(function(cupy.asarray(x)).get(), function(x), rtol=1e-9, atol=1e-9)

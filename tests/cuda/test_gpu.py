"""On a GPU: results against the reference executor, launches, replay, streams, memory.

The bound: 16 units in the last place of the largest value of an array for a few operations, 256 for
the long rows of the suite and for what multiplies errors.
"""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuad as ad
from benchmarks import peers, suite
from executors.kernel_programs import PROGRAMS, units
from gpuad.codegen.cuda import planning
from gpuad.errors import ArgumentError, MemoryLimitError
from gpuad.executors.cuda import launch
from gpuad.executors.cuda.executor import CudaExecutor
from gpuad.executors.cuda.replay import SEEN
from gpuad.transforms.lower import lower

gnp = ad.numpy
ROWS = ["L0", "W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "R1"]
KEYS = [case.key for case in suite.cases(ROWS, "small", "cpu")]
SORTED = ("scatter", "scatter of many")
"""Programs that sort: CuPy's, of which not every one can be captured."""
MULTIPLYING = "divided"
"""A program whose angles are products of what was rounded before, five times over."""


def executor_of(function, arguments):
    graph = ad.make_graph(function)(*arguments).graph
    return CudaExecutor(lower(graph), "f")


def on_gpu(cupy, arguments):
    return [cupy.asarray(x) for x in arguments]


def on_host(cupy, results):
    return [cupy.asnumpy(x) for x in (results if isinstance(results, tuple | list) else [results])]


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


# Results


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_family_gives_the_reference_results(cupy, name):
    function, arguments, families = PROGRAMS[name]
    # In half precision the reference executor rounds where kernels do not.
    limit = 256 if name == MULTIPLYING else 32 if "float16" in name else 16
    expected = on_host(cupy, ad.jit(function, executor="reference")(*arguments))
    arrays = on_gpu(cupy, arguments)
    results = ad.jit(function)(*arrays)
    flat = results if isinstance(results, tuple) else (results,)
    assert all(isinstance(x, cupy.ndarray) for x in flat)
    for a, b in zip(on_host(cupy, results), expected, strict=True):
        assert units(a, b) <= limit
    program = executor_of(function, arrays).program(0).program
    assert {k.source.layout.family for k in program.kernels} == families


@pytest.mark.parametrize("name", PROGRAMS)
def test_families_at_sizes_that_fill_the_gpu(cupy, name):
    function, arguments, _ = PROGRAMS[name]
    if "pair" in name:
        pytest.skip("its cost grows with the square")
    rows = max(x.shape[0] for x in arguments)
    times = 40_000 // rows + 1
    large = [np.repeat(x, times, 0) if x.shape[0] == rows else x for x in arguments]
    expected = on_host(cupy, ad.jit(function, executor="reference")(*large))
    got = on_host(cupy, ad.jit(function)(*on_gpu(cupy, large)))
    for a, b in zip(got, expected, strict=True):
        assert units(a, b) <= 256


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_row_of_the_suite(cupy, key):
    case = suite.find(key, "small", "cpu")
    engine = peers.Gpuad("cuda", 1)
    way = next(iter(engine.ways(case)))
    arguments, tangents = engine.operands(case, case.dtype)
    function = engine.derivative(case, way)
    got = engine.jit(function)(*arguments, *tangents)
    expected = ad.jit(function, executor="reference")(*arguments, *tangents)
    for a, b in zip(got, expected, strict=True):
        scale = float(abs(b).max())
        assert float(abs(a - b).max()) <= 256 * np.spacing(b.dtype.type(scale))


@pytest.mark.parametrize("name", PROGRAMS)
def test_arrays_that_do_not_lie_in_order(cupy, name):
    function, arguments, _ = PROGRAMS[name]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    expected = on_host(cupy, f(*arrays))
    strided = [cupy.repeat(x, 2, axis=x.ndim - 1)[..., ::2] for x in arrays]
    assert same(on_host(cupy, f(*strided)), expected)
    offset = [cupy.concatenate([x[:1], x])[1:] for x in arrays]
    assert same(on_host(cupy, f(*offset)), expected)


# Launches


@pytest.mark.parametrize("name", PROGRAMS)
def test_launches_are_those_of_the_plan(cupy, name, monkeypatch):
    launched = []
    original = launch.CupyDevice.ready

    def ready(device, kernel):
        function = original(device, kernel)

        def count(*arguments):
            launched.append(kernel.name)
            function(*arguments)

        return count

    monkeypatch.setattr(launch.CupyDevice, "ready", ready)
    function, arguments, _ = PROGRAMS[name]
    arrays = on_gpu(cupy, arguments)
    program = executor_of(function, arrays).program(arrays[0].device.id).program
    program(arrays)
    planned = sum(k.source.launches(k.rows) for k in program.kernels)
    assert len(launched) == planned + len(program.scatters)


def test_one_launch_is_enough_for_a_chain(cupy):
    function, arguments, _ = PROGRAMS["chain"]
    arrays = on_gpu(cupy, arguments)
    assert executor_of(function, arrays).explain(arrays).launches == 1


# Replay


@pytest.mark.parametrize("name", PROGRAMS)
def test_replay_gives_the_same_and_refuses_other_buffers(cupy, name):
    function, arguments, _ = PROGRAMS[name]
    arrays = on_gpu(cupy, arguments)
    executor = executor_of(function, arrays)
    first = on_host(cupy, executor(arrays))
    for _ in range(SEEN + 3):
        assert same(on_host(cupy, executor(arrays)), first)
    program = executor.program(arrays[0].device.id)
    if program.fault is not None and name in SORTED:
        pytest.skip(f"not captured: {program.fault}")
    assert program.fault is None
    assert program.replays > 0
    arrays[0] *= 2
    changed = on_host(cupy, executor(arrays))
    others = [x.copy() for x in arrays]
    replays = program.replays
    assert same(on_host(cupy, executor(others)), changed)
    assert program.replays == replays


def test_results_in_use_are_not_written_over(cupy):
    x = cupy.arange(1000, dtype=np.float32)
    f = ad.jit(lambda x: gnp.sin(x) + x)
    kept = []
    for k in range(8):
        x[...] = k
        kept.append(f(x))
    for k, y in enumerate(kept):
        assert np.allclose(cupy.asnumpy(y), np.sin(k) + k, rtol=1e-6)


def test_a_result_outlives_its_graph(cupy):
    x = cupy.full(100_000, 0.5, np.float32)
    f = ad.jit(lambda x: gnp.sin(x) + x)
    for _ in range(SEEN + 1):
        result = f(x)
    del f
    ad.clear_cache()
    gc.collect()
    others = [cupy.full(100_000, 7.0, np.float32) for _ in range(20)]
    assert np.allclose(cupy.asnumpy(result), np.sin(0.5) + 0.5, rtol=1e-6)
    del others


# Streams and threads


def test_the_current_stream_is_used(cupy):
    function, arguments, _ = PROGRAMS["rosenbrock"]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    expected = cupy.asnumpy(f(*arrays))
    cupy.cuda.get_current_stream().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        results = [f(*arrays) for _ in range(6)]
        stream.synchronize()
    for result in results:
        assert np.array_equal(cupy.asnumpy(result), expected)


def test_work_on_a_stream_waits_for_what_is_before_it(cupy):
    """Kernels on any other stream would read the array before it is filled."""
    n = 1 << 24
    x = cupy.zeros(n, np.float32)
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    f(x)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        for k in range(1, 8):
            for _ in range(20):
                x += 1
            x[...] = k
            result = f(x)
            assert float(abs(result - 2 * cupy.sin(cupy.float32(k))).max()) < 1e-6
        stream.synchronize()


def test_two_streams_at_once(cupy):
    function, arguments, _ = PROGRAMS["logistic"]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    expected = cupy.asnumpy(f(*arrays))
    cupy.cuda.Device().synchronize()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    found = []
    for k in range(40):
        with streams[k % 2]:
            found.append(f(*arrays))
            if k % 3:
                found[-1] = found[-1].copy()
    for stream in streams:
        stream.synchronize()
    assert all(np.array_equal(cupy.asnumpy(x), expected) for x in found)


def test_two_threads_at_once(cupy):
    function, arguments, _ = PROGRAMS["logsumexp"]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    expected = cupy.asnumpy(f(*arrays))

    def work():
        with cupy.cuda.Stream(non_blocking=True):
            for x in [f(*arrays) for _ in range(50)]:
                np.testing.assert_array_equal(cupy.asnumpy(x), expected)

    cupy.cuda.Device().synchronize()
    with ThreadPoolExecutor(2) as pool:
        for task in [pool.submit(work) for _ in range(2)]:
            task.result()


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_waits_for_the_host(cupy, name):
    """While a stream is captured, waiting for it is an error."""
    function, arguments, _ = PROGRAMS[name]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    f(*arrays)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            f(*arrays)
        finally:
            graph = stream.end_capture()
    assert graph is not None


PRODUCTS = {
    "matrices": ("ij,jk->ik", (300, 200), (200, 100)),
    "a vector": ("ij,j->i", (300, 200), (200,)),
    "one shared": ("ij,jk->ik", (300, 1), (1, 200)),
    "stacked": ("bij,bjk->bik", (3, 300, 20), (3, 20, 10)),
    "stacked last": ("ijb,jkb->bik", (30, 20, 3), (20, 10, 3)),
    "several axes": ("iajb,jbk->iak", (5, 6, 4, 3), (4, 3, 7)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_captured(cupy, name, dtype):
    text, *shapes = PRODUCTS[name]
    arrays = [cupy.asarray(np.random.default_rng(1).normal(size=s).astype(dtype)) for s in shapes]
    expected = np.einsum(text, *[cupy.asnumpy(x).astype(np.float64) for x in arrays])
    executor = executor_of(lambda x, y: gnp.einsum(text, x, y), arrays)
    found = [cupy.asnumpy(executor(arrays)[0]) for _ in range(SEEN + 3)]
    assert np.abs(found[0] - expected).max() <= 1e3 * np.finfo(dtype).eps * np.abs(expected).max()
    assert all(np.array_equal(x, found[0]) for x in found)
    program = executor.program(0)
    assert program.fault is None
    assert program.replays > 0


def test_products_on_two_threads_at_once(cupy):
    """Each has its own stream and memory for cuBLAS, and every run the same bits."""
    rng = np.random.default_rng(2)
    shapes = [((64, 100_000), (100_000, 64)), ((2000, 300), (300, 700)), ((7, 5000), (5000, 9))]
    pairs = [[cupy.asarray(rng.normal(size=s).astype(np.float32)) for s in two] for two in shapes]
    f = ad.jit(lambda x, y: gnp.tanh(x @ y))
    expected = [cupy.asnumpy(f(*pair)) for pair in pairs]
    cupy.cuda.Device().synchronize()

    def work():
        with cupy.cuda.Stream(non_blocking=True):
            for k in range(60):
                result = cupy.asnumpy(f(*pairs[k % 3]))
                np.testing.assert_array_equal(result, expected[k % 3])

    with ThreadPoolExecutor(3) as pool:
        for task in [pool.submit(work) for _ in range(3)]:
            task.result()


# The same in every run


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hundred_runs_are_the_same(cupy, name):
    function, arguments, _ = PROGRAMS[name]
    arrays = on_gpu(cupy, arguments)
    replayed, plain = ad.jit(function), executor_of(function, arrays).program(0).program
    first = on_host(cupy, replayed(*arrays))
    for _ in range(50):
        assert same(on_host(cupy, replayed(*arrays)), first)
        assert same(on_host(cupy, plain(arrays)), first)


# Memory


def peak_of(cupy, f, *arrays):
    """The most memory that a call has at one time."""
    gc.collect()
    pool, used = cupy.cuda.MemoryPool(), [0]

    def malloc(size):
        memory = pool.malloc(size)
        used.append(pool.used_bytes())
        return memory

    with cupy.cuda.using_allocator(malloc):
        result = f(*arrays)
        del result
        gc.collect()
    return max(used)


MEMORY = {
    "softmax": lambda x: gnp.softmax(x, 1) * 2,
    "statistics": lambda x: gnp.sum(gnp.exp(gnp.tanh(x) - gnp.mean(gnp.tanh(x), 0)), 1),
    "product": lambda x: gnp.tanh(x @ x[:64]) * 2,
}


@pytest.mark.parametrize("name", MEMORY)
def test_peak_memory_is_as_predicted(cupy, name):
    x = cupy.ones((100_000, 64), np.float32)
    f = ad.jit(MEMORY[name])
    predicted = f.explain(x).peak_bytes
    f(x)  # CuPy's own kernels are compiled, and cuBLAS gets its memory
    assert 0.7 * predicted <= peak_of(cupy, f, x) <= 1.02 * predicted + (1 << 20)


def several(x):
    y = x
    for k in range(4):
        y = gnp.sin(y) + gnp.cos(x * (k + 1))
    return gnp.sum(y), gnp.sum(y * y)


def least_of(function, *arrays):
    with pytest.raises(MemoryLimitError) as info:
        ad.jit(function, max_bytes=0)(*arrays)
    return int(str(info.value).split("Give max_bytes=")[1].split()[0])


def test_pieces_of_rows_give_the_same_in_less_memory(cupy, monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)
    x = cupy.linspace(-3, 3, 5_000_000, dtype=np.float32)
    f = ad.jit(several)
    expected, whole = on_host(cupy, f(x)), f.explain(x).peak_bytes
    for limit in (whole // 2, whole // 5, least_of(several, x)):
        limited = ad.jit(several, max_bytes=limit)
        assert same(on_host(cupy, limited(x)), expected)
        assert peak_of(cupy, limited, x) <= limit
    ad.clear_cache()


def test_out_of_memory_is_run_in_pieces(cupy, monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)
    x = cupy.linspace(-3, 3, 20_000_000, dtype=np.float32)
    f = ad.jit(several)
    expected = on_host(cupy, f(x))
    pool = cupy.get_default_memory_pool()
    gc.collect()
    pool.free_all_blocks()
    before = pool.get_limit()
    pool.set_limit(size=pool.used_bytes() + f.explain(x).peak_bytes // 2)
    try:
        assert same(on_host(cupy, f(x)), expected)
        gc.collect()
        pool.free_all_blocks()
        pool.set_limit(size=pool.used_bytes() + 1_000_000)
        with pytest.raises(MemoryLimitError, match=r"beside its arguments.*are free on GPU"):
            ad.jit(lambda x: gnp.sin(x) * 2)(x)
    finally:
        pool.set_limit(size=before)
        ad.clear_cache()


def perceptron(x, *w):
    def loss(w1, w2):
        return gnp.mean(gnp.logsumexp(gnp.tanh(x @ w1) @ w2, axis=1))

    return ad.hvp(loss, w, tuple([v * 2 for v in w]))[0]


BY_ROWS = {
    "products": (perceptron, [(800_000, 64), (64, 64), (64, 8)]),
    "sorts": (lambda x: gnp.sort(gnp.tanh(x), axis=1) * 2, [(800_000, 64)]),
}


@pytest.mark.parametrize("name", BY_ROWS)
def test_products_and_sorts_by_rows_within_a_limit(cupy, name):
    function, shapes = BY_ROWS[name]
    rng = np.random.default_rng(3)
    arrays = [cupy.asarray(rng.normal(size=s).astype(np.float32)) for s in shapes]
    f = ad.jit(function)
    expected, whole = on_host(cupy, f(*arrays)), f.explain(*arrays).peak_bytes
    scaled = [abs(x).max() for x in expected]
    reference = on_host(cupy, ad.jit(function, executor="reference")(*arrays))
    for x, y, scale in zip(expected, reference, scaled, strict=True):
        assert abs(x - y).max() <= 1e-4 * scale
    least = least_of(function, *arrays)
    assert least < whole / 2
    for limit in (whole, least):
        limited = ad.jit(function, max_bytes=limit)
        assert same(on_host(cupy, limited(*arrays)), expected)
        assert peak_of(cupy, limited, *arrays) <= 1.02 * limit
    ad.clear_cache()


@pytest.mark.parametrize("name", ["softmax", "product"])
def test_donated_arrays_hold_results(cupy, name):
    rng = np.random.default_rng(4)
    host = rng.normal(size=(100_000, 64)).astype(np.float32)
    f, g = ad.jit(MEMORY[name]), ad.jit(MEMORY[name], donate_argnums=0)
    expected = cupy.asnumpy(f(cupy.asarray(host)))
    for _ in range(3):
        x = cupy.asarray(host)
        address = x.data.ptr
        result = g(x)
        assert np.array_equal(cupy.asnumpy(result), expected)
        assert result.data.ptr == address or name == "product"
    x = cupy.asarray(host)
    assert g.explain(x).peak_bytes <= f.explain(x).peak_bytes
    assert peak_of(cupy, g, x) <= 1.02 * g.explain(x).peak_bytes + (1 << 20)


# Devices


def test_the_gpu_of_the_arrays_is_used_and_two_are_named(cupy):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is only one GPU")
    x = cupy.ones(3)
    with cupy.cuda.Device(1):
        y = cupy.ones(3)
    f = ad.jit(lambda x, y: x + y)
    assert f(y, y).device.id == 1
    with pytest.raises(ArgumentError, match=r"x is .* on GPU 0 and y is .* on GPU 1"):
        f(x, y)


def test_an_array_of_numpy_is_named(cupy):
    with pytest.raises(ArgumentError, match=r"y is a NumPy array.*cupy\.asarray"):
        ad.jit(lambda x, y: x + y)(cupy.ones(3), np.ones(3))

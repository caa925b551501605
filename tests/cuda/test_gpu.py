"""On a GPU: results against the reference executor, launches, replay, streams, memory.

The bound: 16 units in the last place of the largest value of an array for a few operations, 256 for
the long rows of the suite.
"""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

import gpuad as ad
from benchmarks import peers, suite
from gpuad.errors import ArgumentError
from gpuad.executors.cuda.executor import CudaExecutor
from gpuad.transforms.lower import lower

sys.path.insert(0, str(Path(__file__).parent.parent / "simulator"))
from kernel_programs import PROGRAMS

ROWS = ["L0", "W1", "W2", "W3", "W4", "W5", "W6"]
KEYS = [case.key for case in suite.cases(ROWS, "small", "cpu")]


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy")


def units(got, expected):
    """The largest difference, in units in the last place of the largest expected value."""
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(got, expected) else float("inf")
    scale = np.spacing(np.abs(expected).max())
    return float(np.abs(got - expected).max() / scale)


def executor_of(function, arguments):
    graph = ad.make_graph(function)(*arguments).graph
    return CudaExecutor(lower(graph), "f")


def on_gpu(cupy, arguments):
    return [cupy.asarray(x) for x in arguments]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_family_gives_the_reference_results(cupy, name):
    function, arguments, _ = PROGRAMS[name]
    expected = ad.jit(function, executor="reference")(*arguments)
    got = ad.jit(function)(*on_gpu(cupy, arguments))
    got, expected = (x if isinstance(x, tuple) else (x,) for x in (got, expected))
    for a, b in zip(got, expected, strict=True):
        assert isinstance(a, cupy.ndarray)
        assert units(cupy.asnumpy(a), np.asarray(b)) <= 16


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
        assert float(abs(a - b).max()) <= 256 * np.spacing(np.float32(scale))


def test_launches_are_those_of_the_plan(cupy):
    function, arguments, _ = PROGRAMS["chain"]
    executor = executor_of(function, on_gpu(cupy, arguments))
    assert executor.explain(on_gpu(cupy, arguments)).launches == 1


def test_replay_gives_the_same_and_refuses_other_buffers(cupy):
    function, arguments, _ = PROGRAMS["logistic"]
    arrays = on_gpu(cupy, arguments)
    executor = executor_of(function, arrays)
    first = cupy.asnumpy(executor(arrays)[0])
    for _ in range(10):
        assert np.array_equal(cupy.asnumpy(executor(arrays)[0]), first)
    program = executor.program(arrays[0].device.id)
    assert program.fault is None
    assert program.replays > 0
    arrays[0] *= 2
    changed = cupy.asnumpy(executor(arrays)[0])
    others = [x.copy() for x in arrays]
    replays = program.replays
    assert np.array_equal(cupy.asnumpy(executor(others)[0]), changed)
    assert program.replays == replays


def test_results_in_use_are_not_written_over(cupy):
    x = cupy.arange(1000, dtype=np.float32)
    f = ad.jit(lambda x: ad.numpy.sin(x) + x)
    kept = []
    for k in range(8):
        x[...] = k
        kept.append(f(x))
    for k, y in enumerate(kept):
        assert np.allclose(cupy.asnumpy(y), np.sin(k) + k, rtol=1e-6)


def test_the_current_stream_is_used(cupy):
    function, arguments, _ = PROGRAMS["rosenbrock"]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    expected = cupy.asnumpy(f(*arrays))
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()
    with stream:
        results = [f(*arrays) for _ in range(6)]
        stream.synchronize()
    for result in results:
        assert np.array_equal(cupy.asnumpy(result), expected)


@pytest.mark.parametrize("name", ["logistic", "scatter", "scatter of many", "pair"])
def test_a_hundred_runs_are_the_same(cupy, name):
    function, arguments, _ = PROGRAMS[name]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    first = cupy.asnumpy(f(*arrays))
    for _ in range(100):
        assert np.array_equal(cupy.asnumpy(f(*arrays)), first)


def test_peak_memory_is_as_predicted(cupy):
    x = cupy.ones((100_000, 64), np.float32)
    f = ad.jit(lambda x: ad.numpy.softmax(x, 1) * 2)
    predicted = f.explain(x).peak_bytes
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        result = f(x)
        del result
        gc.collect()
        assert pool.total_bytes() <= 1.1 * predicted + (1 << 20)


def test_nothing_waits_for_the_host(cupy):
    function, arguments, _ = PROGRAMS["logsumexp"]
    arrays = on_gpu(cupy, arguments)
    f = ad.jit(function)
    f(*arrays)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        f(*arrays)
        assert stream.end_capture() is not None


def test_arrays_on_two_gpus_are_named(cupy):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is only one GPU")
    x = cupy.ones(3)
    with cupy.cuda.Device(1):
        y = cupy.ones(3)
    with pytest.raises(ArgumentError, match=r"argument 0 .* argument 1"):
        ad.jit(lambda x, y: x + y)(x, y)

"""Results that are written past the cache: which, and that they are right wherever they begin."""

import numpy as np
import pytest

import gpuad
from executors.sweep_programs import load_interpreted
from executors.test_native import assert_same
from gpuad.codegen.cpu import nontemporal
from gpuad.executors.native import sweep

pytest.importorskip("numba")

from gpuad.kernels.nontemporal_stores import LINE, stream


@pytest.fixture
def small_cache(monkeypatch):
    monkeypatch.setattr(nontemporal, "cache_bytes", lambda: 4096)
    gpuad.clear_cache()
    yield
    gpuad.clear_cache()


def outer(x):
    return x[:, :, None] * np.sin(x[:, None, :])


def streamed(f, *args):
    """How many arrays the sweeps of a function write past the cache."""
    (source,) = gpuad.jit(f, executor="native").explain(*args).sources
    return source.count("stream(")


def rows(n, lanes, dtype=np.float64):
    return np.random.default_rng(0).normal(size=(n, lanes)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(600, 3), (601, 4), (37, 20), (1000, 7)])
def test_streamed_results_equal_the_reference(small_cache, monkeypatch, shape, dtype):
    monkeypatch.setattr(sweep, "load", load_interpreted)
    assert streamed(outer, rows(*shape, dtype)) == 1
    assert_same(outer, rows(*shape, dtype))


def test_streamed_results_compiled(small_cache):
    assert_same(outer, rows(601, 4, np.float32))
    assert_same(lambda x: (outer(x), x[:, :, None] > x[:, None, :]), rows(603, 5))


def test_only_large_results_that_are_much_of_the_traffic(small_cache):
    assert streamed(outer, rows(600, 4)) == 1
    assert streamed(outer, rows(6, 4)) == 0
    assert streamed(lambda x: outer(x).sum(axis=0), rows(600, 4)) == 0
    assert streamed(outer, rows(12, 4)) == 0
    assert streamed(outer, rows(13, 4)) == 1
    four = [rows(600, 4) for _ in range(4)]
    assert streamed(lambda x, y: x * y, *four[:2]) == 1
    assert streamed(lambda x, y, z, w: x * y * z * w, *four) == 1
    assert streamed(lambda x, y, z, w: x[:, :2] * y[:, :2] * (z * w).sum(1)[:, None], *four) == 0


def test_where_memory_is_waited_for(small_cache):
    """Arithmetic that takes longer than memory hides what a store waits for."""
    x = rows(600, 4, np.float32)
    assert streamed(lambda x, y: np.sin(x) * y, x, x) == 1
    assert streamed(lambda x, y: np.sin(np.tanh(np.exp(np.sin(np.cos(np.exp(x))))) * y), x, x) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
def test_any_beginning_and_length(dtype):
    dtype = np.dtype(dtype)
    memory = np.zeros(8 * LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    source = (np.arange(4 * LINE) % 3).astype(dtype)
    for offset in range(0, LINE, dtype.itemsize):
        for n in (0, 1, 5, LINE // dtype.itemsize, 3 * LINE // dtype.itemsize + 1):
            memory[:] = 255
            target = memory[start + offset :][: n * dtype.itemsize].view(dtype)
            stream(source[:n], target)
            np.testing.assert_array_equal(target, source[:n])
            assert (memory == 255).sum() >= memory.size - target.nbytes
            assert memory[start + offset + target.nbytes] == 255


def test_a_donated_input_that_is_aligned_for_its_own_dtype_only(small_cache):
    """Results past the cache are stored a line at a time: a place in between ends the process."""
    x = rows(600, 4)
    donated = np.frombuffer(bytearray(4 * 600 * 40 + 4), np.float32, 600 * 40, 4)
    f = gpuad.jit(lambda donated, x: outer(x), executor="native", donate_argnums=(0,))
    found = f(donated, x)
    assert found.flags.aligned
    np.testing.assert_allclose(found, outer(x), rtol=1e-14)

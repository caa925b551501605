"""Memory of large results: used again, never while anything can still see it."""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpuad as ad
from gpuad.errors import ArgumentError
from gpuad.executors import disk_cache
from gpuad.executors.native import result_pool, thread_pool

N = 100_000


@pytest.fixture(autouse=True)
def nothing_kept():
    result_pool.release()
    yield
    result_pool.release()


def address(x):
    return x.__array_interface__["data"][0]


def test_the_memory_of_a_dropped_result_comes_again():
    x = result_pool.empty((N,), np.dtype(np.float64))
    first = address(x)
    del x
    again = result_pool.empty((N // 2, 2), np.dtype(np.float64))
    assert address(again) == first
    assert again.shape == (N // 2, 2) and again.flags.writeable and first % 64 == 0


def test_a_view_keeps_the_memory():
    x = result_pool.empty((N,), np.dtype(np.float64))
    first, view = address(x), x[10:20].reshape(2, 5)
    view[...] = 7.0
    del x
    gc.collect()
    other = result_pool.empty((N,), np.dtype(np.float64))
    other[...] = 1.0
    assert address(other) != first
    assert (view == 7.0).all()


def test_small_results_are_numpys_own():
    assert result_pool.empty((10,), np.dtype(np.float32)).base is None


def test_results_of_jit_do_not_overwrite_one_another():
    f = ad.jit(lambda x: x * 2.0 + 1.0)
    results = [f(np.full(N, float(k))) for k in range(4)]
    assert len({address(r) for r in results}) == 4
    for k, r in enumerate(results):
        assert (r == 2.0 * k + 1.0).all()


def test_the_limit_holds(monkeypatch):
    monkeypatch.setenv("GPUAD_KEEP_BYTES", str(8 * N))
    arrays = [result_pool.empty((N,), np.dtype(np.float64)) for _ in range(3)]
    places = {address(x) for x in arrays}
    del arrays
    again = [result_pool.empty((N,), np.dtype(np.float64)) for _ in range(1)]
    assert address(again[0]) in places
    assert sum(len(blocks) for blocks in result_pool._pool._free.values()) == 0
    monkeypatch.setenv("GPUAD_KEEP_BYTES", "0")
    del again
    result_pool.empty((N + 8,), np.dtype(np.float64))
    assert not result_pool._pool._free


NUMBERS = {
    "GPUAD_KEEP_BYTES": (result_pool.limit, ["-1", "abc", "1.5"]),
    "GPUAD_CACHE_BYTES": (disk_cache.limit, ["-1", "abc", "1 GB"]),
    "GPUAD_NUM_THREADS": (thread_pool.threads, ["-1", "abc", "0"]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_setting_that_is_no_number(monkeypatch, name):
    ask, wrong = NUMBERS[name]
    monkeypatch.delenv(name, raising=False)
    unset = ask()
    for given in wrong:
        monkeypatch.setenv(name, given)
        with pytest.raises(ArgumentError, match=f"{name}={given}: set it to a number of .* unset"):
            ask()
    for given, expected in (("3", 3), ("", unset)):
        monkeypatch.setenv(name, given)
        assert ask() == expected


def test_threads_never_share_a_block():
    def work(k):
        for _ in range(50):
            x = result_pool.empty((N,), np.dtype(np.int64))
            x[...] = k
            if not (x == k).all():
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


FORK = """
import os
import numpy as np
from gpuad.executors.native import result_pool

x = result_pool.empty((100_000,), np.dtype(np.float64))
x[...] = 3.0
child = os.fork()
if child == 0:
    x[...] = 5.0
    fresh = result_pool.empty((100_000,), np.dtype(np.float64))
    fresh[...] = 1.0
    os._exit(int(not (x == 5.0).all()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (x == 3.0).all()
"""


def test_a_forked_process_has_memory_of_its_own():
    # In a process without the fork hooks of other packages.
    subprocess.run([sys.executable, "-c", FORK], check=True)

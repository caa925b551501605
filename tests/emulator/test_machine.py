"""Threads, warps, blocks and memory: kernels with known results, and with known faults."""

import numpy as np
import pytest

from emulator.launching import kinds, run
from emulator.machine import Fault
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
I = "i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x"


def ones(n):
    return np.ones(n, np.float32)


def counted(report, space, store):
    (found,) = [a for a in report.accesses if a.space == space and a.store == store]
    return found


# Results and counts


def test_a_sum_of_two_arrays():
    text = f"def k(x, y, n):\n    {I}\n    if i < n:\n        y[i] = x[i] + y[i]\n"
    n = 1000
    x, y = np.arange(n, dtype=np.float32), ones(n)
    report = run(text, 8, 128, x, y, n)
    assert np.array_equal(y, x[:n] + 1)
    assert not report.findings
    loads = [a for a in report.accesses if not a.store]
    assert sum(a.lanes for a in loads) == 2 * n
    assert sum(a.sectors for a in loads) == sum(a.ideal for a in loads) == 2 * n * 4 // 32
    assert report.dram_read == report.l2_read == 2 * n * 4
    assert report.dram_written == report.l2_written == n * 4


def test_distant_elements_take_a_sector_each():
    text = f"def k(x, y):\n    {I}\n    y[i] = x[8 * i]\n"
    n = 256
    report = run(text, 2, 128, ones(8 * n), ones(n))
    load = counted(report, "global", False)
    assert (load.sectors, load.ideal) == (n, n // 8)


BLOCK_SUM = """\
def k(x, out, n):
    t = cuda.threadIdx.x
    s = cuda.shared.array(128, f32)
    total = f32(0)
    for i in range(t + cuda.blockIdx.x * 128, n, 128 * cuda.gridDim.x):
        total += x[i]
    s[t] = total
    cuda.syncthreads()
    step = 64
    while step > 0:
        if t < step:
            s[t] += s[t + step]
        cuda.syncthreads()
        step //= 2
    if t == 0:
        out[cuda.blockIdx.x] = s[0]
"""


def test_a_sum_over_a_block():
    x, out = np.arange(3000, dtype=np.float32), ones(3)
    report = run(BLOCK_SUM, 3, 128, x, out, len(x))
    assert out.sum() == x.sum()
    assert not report.findings
    assert report.barriers == 3 * 8


def test_threads_go_different_ways():
    text = f"""\
def k(n, steps):
    {I}
    x = n[i]
    k = 0
    while x != 1:
        x = x // 2 if x % 2 == 0 else 3 * x + 1
        k += 1
    steps[i] = k
"""

    def count(x):
        return 0 if x == 1 else 1 + count(x // 2 if x % 2 == 0 else 3 * x + 1)

    n, steps = np.arange(1, 201), np.zeros(200, np.int64)
    report = run(text, 2, 100, n, steps)
    assert steps.tolist() == [count(x) for x in range(1, 201)]
    assert 0.2 < report.block_threads.sum() / (32 * report.block_warps.sum()) < 0.8


def test_shuffles():
    text = """\
def k(x, a, b):
    t = cuda.threadIdx.x
    a[t] = cuda.shfl_xor_sync(-1, x[t], 16)
    b[t] = cuda.shfl_sync(-1, x[t], (t + 5) & 31)
"""
    x = np.arange(64, dtype=np.float32)
    a, b = ones(64), ones(64)
    assert not run(text, 1, 64, x, a, b).findings
    assert np.array_equal(a, np.arange(64) ^ 16)
    assert np.array_equal(b, np.roll(x.reshape(2, 32), -5, 1).ravel())


def test_lanes_with_the_same_value():
    text = """\
def k(x, a, b):
    t = cuda.threadIdx.x
    a[t] = i32(cuda.match_any_sync(-1, x[t]))
    b[t] = i32(1) if cuda.any_sync(-1, x[t] == 70) else i32(0)
"""
    x = np.concatenate([np.arange(32) % 5, np.arange(32) + 40]).astype(np.int32)
    a, b = ones(64).astype(np.int32), ones(64).astype(np.int32)
    assert not run(text, 1, 64, x, a, b).findings
    expected = [sum(1 << k for k in range(32) if k % 5 == t % 5) for t in range(32)]
    assert a.view(np.uint32).tolist() == [*expected, *[1 << k for k in range(32)]]
    assert b.tolist() == [0] * 32 + [1] * 32


@pytest.mark.parametrize(("stride", "ways"), [(1, 1), (2, 2), (3, 1), (8, 8), (32, 32), (0, 1)])
def test_turns_of_the_banks(stride, ways):
    text = """\
def k(out, stride):
    t = cuda.threadIdx.x
    s = cuda.shared.array(1024, f32)
    for k in range(32):
        s[t + 32 * k] = f32(k)
    cuda.syncthreads()
    out[t] = s[t * stride]
"""
    load = counted(run(text, 1, 32, ones(32), stride), "shared", False)
    assert load.waves == ways * load.groups


# Faults end the launch


def refused(text, *arguments):
    with pytest.raises(Fault) as error:
        run(text, 2, 32, *arguments)
    return str(error.value)


def test_a_read_outside_of_an_array():
    text = refused(f"def k(x, y):\n    {I}\n    y[i] = x[i + 1]\n", ones(64), ones(64))
    assert "block 1, thread 31: read outside of all arrays" in text
    assert "0 bytes past the end of array 0" in text


def test_a_write_outside_of_an_array():
    text = refused(f"def k(x, y):\n    {I}\n    y[i - 1] = x[i]\n", ones(64), ones(64))
    assert "block 0, thread 0: write outside of all arrays" in text


def test_a_write_outside_of_a_shared_array():
    text = """\
def k(x):
    t = cuda.threadIdx.x
    s = cuda.shared.array(32, f32)
    s[t + 1] = x[t]
    cuda.syncthreads()
    x[t] = s[t]
"""
    assert "thread 31: access outside of the shared arrays" in refused(text, ones(32))


# Findings are noted, and the launch goes on


def found(text, threads, *arguments, blocks=1):
    return kinds(run(text, blocks, threads, *arguments))


def test_memory_that_was_never_written():
    x = ones(64)
    x.view(np.uint8)[-16:] = 0xFF
    report = run(f"def k(x, y):\n    {I}\n    y[i] = x[i]\n", 1, 64, x, ones(64))
    (finding,) = report.findings.values()
    assert finding.kind == "memory that was never written"
    assert (finding.count, "thread 60" in finding.example) == (4, True)


IN_SHARED = """\
def k(x, n):
    t = cuda.threadIdx.x
    s = cuda.shared.array(64, f32)
    if t < n:
        s[t] = x[t]
    {barrier}
    x[t] = s[{place}]
"""


def in_shared(barrier, place, threads=32, n=64):
    text = IN_SHARED.format(barrier=barrier, place=place)
    return found(text, threads, ones(threads), n)


def test_shared_memory_that_was_never_written():
    assert in_shared("cuda.syncthreads()", "31 - t") == set()
    assert in_shared("cuda.syncthreads()", "31 - t", n=16) == {
        "shared memory that was never written"
    }


def test_a_race_in_shared_memory():
    assert in_shared("cuda.syncthreads()", "63 - t", 64) == set()
    assert "race in shared memory" in in_shared("cuda.syncwarp()", "63 - t", 64)


def test_a_race_within_a_warp():
    assert in_shared("cuda.syncwarp()", "t ^ 1") == set()
    assert in_shared("pass", "t ^ 1") == {"race within a warp"}


AGAIN = """\
def k(x):
    t = cuda.threadIdx.x
    s = cuda.shared.array(32, f32)
    s[t] = x[t]
    cuda.syncwarp()
    y = s[t ^ 1] + s[t ^ 2]
    {barrier}
    s[t] = y
    cuda.syncwarp()
    x[t] = s[t ^ 2]
"""


def test_a_write_before_others_have_read():
    assert found(AGAIN.format(barrier="cuda.syncwarp()"), 32, ones(32)) == set()
    assert found(AGAIN.format(barrier="pass"), 32, ones(32)) == {"race within a warp"}


def test_two_writes_at_once():
    text = """\
def k(x):
    t = cuda.threadIdx.x
    s = cuda.shared.array(32, f32)
    s[t >> 1] = x[t]
    cuda.syncthreads()
    x[t] = s[t >> 1]
"""
    assert found(text, 32, ones(32)) == {"race within a warp"}


def test_a_race_in_global_memory():
    text = f"def k(x, y):\n    {I}\n    x[i] = y[i] + 1\n    y[i] = x[i ^ {{apart}}]\n"
    assert found(text.format(apart=0), 64, ones(128), ones(128), blocks=2) == set()
    for apart in (1, 32, 64):  # in a warp, in a block, between blocks
        wrong = found(text.format(apart=apart), 64, ones(128), ones(128), blocks=2)
        assert wrong == {"race in global memory"}


def test_a_barrier_orders_global_memory_in_a_block():
    text = f"""\
def k(x, y):
    {I}
    x[i] = y[i] + 1
    cuda.syncthreads()
    y[i] = x[i ^ {{apart}}]
"""
    assert found(text.format(apart=32), 64, ones(128), ones(128), blocks=2) == set()
    wrong = found(text.format(apart=64), 64, ones(128), ones(128), blocks=2)
    assert wrong == {"race in global memory"}


def test_a_barrier_that_some_threads_never_reach():
    text = """\
def k(x):
    t = cuda.threadIdx.x
    s = cuda.shared.array(64, f32)
    s[t] = x[t]
    if t < 40:
        cuda.syncthreads()
        x[t] = s[t]
"""
    assert found(text, 64, ones(64)) == {"barrier that some threads never reach"}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("i32(cuda.match_any_sync(-1, x[t]))", "match.any"),
        ("i32(cuda.any_sync(-1, x[t] > 0))", "vote"),
    ],
)
def test_a_comparison_without_all_lanes(call, name):
    text = f"""\
def k(x):
    t = cuda.threadIdx.x
    v = x[t]
    if t < 20:
        v += {call}
    x[t] = v
"""
    (kind,) = found(text, 32, np.ones(32, np.int32))
    assert kind.startswith(name)
    assert kind.endswith("without lanes of its mask")


def test_a_shuffle_without_all_lanes():
    text = """\
def k(x):
    t = cuda.threadIdx.x
    v = x[t]
    if t < 20:
        v += cuda.shfl_xor_sync(-1, v, 16)
    x[t] = v
"""
    assert found(text, 32, ones(32)) == {
        "shfl.sync without lanes of its mask",
        "shuffle from a lane that is not there",
    }

"""Rows and lanes that go through shared memory: no two threads of a warp meet in a bank."""

import numpy as np
import pytest

import gpuad.numpy as gnp
from emulator.checks import check_launches, check_results, graph_of
from emulator.device import host
from executors.kernel_programs import hessians, hvp, rosenbrock
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


def normal(*shape, dtype):
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


def shared(emulator):
    return [a for x in emulator.launches for a in x.report.accesses if a.space == "shared"]


def checked(emulator, function, *arguments):
    """What was accessed in shared memory by a program whose results are right."""
    graph, expected = graph_of(function, arguments)
    check_results(host(emulator.program(graph)(emulator.arrays(arguments))), expected)
    check_launches(emulator)
    return shared(emulator)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 8, 10, 12, 16])
def test_rows_of_a_few_values_are_moved_without_conflicts(emulator, width, dtype):
    x = normal(300, width, dtype=dtype)
    found = checked(emulator, hvp(rosenbrock), x, x)
    assert all(a.waves == a.groups for a in found)
    assert bool(found) == (width * dtype.itemsize > 16 or width == 3)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_rows_of_several_runs_are_moved_without_conflicts(emulator, width):
    x, units = normal(300, width, dtype=np.float32), np.eye(width, dtype=np.float32)
    assert all(a.waves == a.groups for a in checked(emulator, hessians, x, units))


def test_rows_of_half_precision_are_moved_in_vectors(emulator):
    x = normal(300, 8, dtype=np.float16)
    found = checked(emulator, lambda x: x * (x[:, ::-1] + 1), x)
    assert found and all(a.waves == a.groups for a in found)


@pytest.mark.parametrize("lanes", [33, 64, 100])
def test_lanes_move_without_conflicts(emulator, lanes):
    x = normal(40, lanes, dtype=np.float32)
    found = checked(emulator, hvp(rosenbrock), x, x)
    assert found and all(a.waves == a.groups for a in found)


def test_what_stays_in_its_thread_needs_no_shared_memory(emulator):
    x = normal(40, 64, dtype=np.float32)
    found = checked(emulator, lambda x: gnp.pad(gnp.exp(x), ((0, 0), (0, 3))), x)
    assert not found


def test_numbers_of_all_rows_are_read_in_vectors(emulator):
    """More of them than a thread holds: each four are one access."""
    x, y = normal(300, dtype=np.float32), normal(60, dtype=np.float32)
    checked(emulator, lambda x, y: gnp.sum(gnp.exp(x[:, None] * y) * y, 1), x, y)
    (sweep,) = emulator.launches
    read = [a.size for a in sweep.report.accesses if a.space != "shared" and not a.store]
    assert 16 in read

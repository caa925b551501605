"""Flat kernels, of which a thread has several rows that lie together, loaded and stored at once."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from emulator.checks import check_launches, check_results, graph_of, same, use
from emulator.device import host
from needing import NEEDS_COMPILER
from pretended_cupy import with_peak

pytestmark = NEEDS_COMPILER
rng = np.random.default_rng(7)
SIZES = [1, 31, 33, 1023, 1024, 1025, 2049, 5000]
SETTINGS = {
    "light": {},
    "pairs": {"LIGHT": 0, "HEAVY": 0, "SEVERAL": 1},
    "fours": {"LIGHT": 0, "SEVERAL": 1},
    "one block": {"BLOCKS": 1},
}


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def check(emulator, function, arguments, given=None):
    """The program gives the reference results, twice the same, in the memory that it predicts."""
    graph, expected = graph_of(function, arguments)
    program = emulator.program(graph)
    inputs = given or emulator.arrays(arguments)
    got, peak = with_peak(emulator.cupy, lambda: program(inputs))
    assert peak <= program.peak_bytes(inputs)
    check_results(host(got), expected)
    assert same(host(got), host(program(inputs)))
    check_launches(emulator)
    return program


def function(x, y, z, k, b):
    """Values of several types, with sums over rows."""
    u = gnp.where(b, gnp.sin(x) * y, z.astype(np.float32))
    return u, z - z * z, k + 1, u > 0, gnp.sum(u), gnp.sum(gnp.exp(-z * z))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("n", SIZES)
def test_rows_of_any_number(emulator, monkeypatch, setting, n):
    use(monkeypatch, SETTINGS[setting])
    x, y, z = normal(n), normal(n), normal(n, dtype=np.float64)
    arguments = x, y, z, rng.integers(0, 9, n), x > y
    program = check(emulator, function, arguments)
    layouts = [k.source.layout for k in program.kernels]
    expected = [] if n == 1 else [("flat", 2 if setting == "pairs" else 4)]
    assert [(x.family, x.vector) for x in layouts] == expected


@pytest.mark.parametrize("n", [33, 1025, 3000])
def test_arrays_that_begin_anywhere(emulator, n):
    """One byte of a value, or more, past a multiple of a vector: it is copied."""
    x, y = normal(n), normal(n)
    memory = emulator.arrays([np.concatenate([[9], x]).astype(np.float32)])[0]
    given = [memory[1:], emulator.arrays([y])[0]]
    check(emulator, lambda x, y: (x * y, gnp.sum(x + y)), (x, y), given)


def test_parts_of_arrays(emulator):
    """Of a larger array, from an element on where a vector may begin, or may not."""
    x = normal(5000)

    def parts(x):
        return x[4:-4] * x[8:] + x[:-8], x[1:-1] - x[2:], x[::-1] * x

    check(emulator, parts, (x,))
    check(emulator, ad.grad(lambda x: sum(map(gnp.sum, parts(x)))), (x,))


def test_rows_that_lie_apart(emulator):
    """Columns: a thread has rows from all over the block."""

    def columns(x):
        return x[:, 0] * x[:, 2] + gnp.sin(x[:, 1])

    program = check(emulator, columns, (normal(5000, 3),))
    assert {k.source.layout.vector for k in program.kernels} == {1}


def test_a_row_axis_that_is_not_the_first(emulator):
    def rows(x):
        return x[0] * x[1] + x[2], x[1] - x[2]

    for n in (31, 33, 5000, 5001):
        check(emulator, rows, (normal(3, n),))


def test_rows_of_a_table_and_updates(emulator):
    def total(x, u, i):
        return gnp.sum(gnp.sin(x[i]) * u)

    n = 3001
    arguments = normal(40), normal(n), rng.integers(0, 40, n)
    check(emulator, lambda x, u, i: x[i] * u, arguments)
    check(emulator, ad.grad(total), arguments)

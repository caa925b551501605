"""Families at numbers of rows that do not divide: what is left over of warps, blocks and rounds.

``GPUAD_EXAMPLES=1 pytest -n0 tests/emulator/test_sizes.py`` takes all sizes.
"""

import numpy as np
import pytest

import gpuad.numpy as gnp
from emulator.checks import EVERYTHING, check_launches, check_results, graph_of, same
from emulator.device import host
from executors.kernel_programs import (
    chain,
    extremes,
    hvp,
    logistic,
    logsumexp,
    neighbours,
    rosenbrock,
    scattered,
)
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER


def normal(*shape, dtype, seed=3):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def one(*tail):
    return lambda n, dtype: (normal(n, *tail, dtype=dtype),)


def two(*tail):
    return lambda n, dtype: (normal(n, *tail, dtype=dtype), normal(n, *tail, dtype=dtype, seed=4))


def glm(n, dtype, d=33):
    weights = normal(d, dtype=dtype), normal(d, dtype=dtype, seed=5)
    return *weights, normal(n, d, dtype=dtype, seed=6), normal(n, dtype=dtype)


def updates(n, dtype):
    places = max(1, n // 7)
    i = np.random.default_rng(9).integers(0, places, n)
    return normal(places, 3, dtype=dtype), normal(n, 3, dtype=dtype), i


def softmax(x):
    return gnp.softmax(x, 1) * gnp.mean(x, 1)[:, None]


def statistics(x):
    return gnp.max(x, 1), gnp.min(x, 1), gnp.sum(x * x, 0), gnp.mean(abs(x)), x > 0


def transposed(x):
    return gnp.sum(gnp.tanh(x), 1), gnp.tanh(x).T


# name: (function, arguments of so many rows and a dtype, most values of float32)
FUNCTIONS = {
    "chain": (hvp(chain), two(), 1 << 20),
    "sum": (chain, one(), 1 << 20),
    "rosenbrock 4": (hvp(rosenbrock), two(4), 1 << 20),
    "rosenbrock 7": (hvp(rosenbrock), two(7), 1 << 17),
    "statistics 5": (statistics, one(5), 1 << 17),
    "logsumexp 33": (hvp(logsumexp), two(33), 1 << 17),
    "logistic 33": (hvp(logistic), glm, 1 << 17),
    "neighbours 40": (neighbours, one(40), 2000),
    "extremes 200": (extremes, one(200), 1 << 17),
    "softmax 700": (softmax, one(700), 2000),
    "softmax 9001": (softmax, one(9001), 257),
    "scatter": (scattered, updates, 1 << 17),
    "transposed": (transposed, one(19), 1 << 17),
}
ROWS = (1, 31, 33, 257, 1025, 100003, 1000003)
if EVERYTHING:
    CHOSEN = [
        (name, n, dtype)
        for name, (*_, most) in FUNCTIONS.items()
        for n in ROWS
        for dtype in (np.float32, np.float64)
        if n * np.dtype(dtype).itemsize <= 4 * most
    ]
else:
    CHOSEN = [
        (name, n, dtype)
        for name, dtype in (
            ("sum", np.float32),
            ("rosenbrock 4", np.float32),
            ("statistics 5", np.float64),
            ("extremes 200", np.float32),
            ("extremes 200", np.float64),
            ("transposed", np.float32),
        )
        for n in (1, 31, 33, 1025)
    ]
    CHOSEN += [("rosenbrock 4", 300_003, np.float32)]


@pytest.mark.parametrize(
    ("name", "rows", "dtype"), CHOSEN, ids=[f"{n}-{k}-{np.dtype(d)}" for n, k, d in CHOSEN]
)
def test_any_number_of_rows(emulator, name, rows, dtype):
    function, make, _ = FUNCTIONS[name]
    arguments = make(rows, dtype)
    graph, expected = graph_of(function, arguments)
    program, inputs = emulator.program(graph), emulator.arrays(arguments)
    got = host(program(inputs))
    check_results(got, expected)
    assert same(got, host(program(inputs)))
    check_launches(emulator, name)

"""Rows of the benchmark suite, against the reference executor in float64."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benchmarks import peers, suite
from emulator.checks import check_launches
from emulator.device import host
from gpuad import tree
from gpuad.api.recording import record
from gpuad.executors import reference
from gpuad.transforms.drop import for_kernels
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
KEYS = [case.key for case in suite.cases([], "small", "cpu")]
SIZES = {
    "W1": {"n": 1500},
    "W2": {"n": 600},
    "W3": {"n": 300},
    "W5": {"cameras": 7, "points": 60, "observations": 300},
    "W7": {"n": 150},
}
"""Fewer rows than the suite's: the kernels are the same."""


def results(case, dtype, run):
    engine = peers.Gpuad("cpu", 1)
    arguments, tangents = engine.operands(case, dtype)
    function = engine.derivative(case, next(iter(engine.ways(case))))
    operands, treedef = tree.flatten(((*arguments, *tangents), {}))
    recorded = record(function, operands, treedef, [True] * len(operands), differentiated=False)
    return run(recorded.graph, [*operands, *recorded.captured])


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_row_of_the_suite(emulator, key):
    case = suite.find(key, "small", "cpu")
    if case.row in SIZES:
        sizes = {**case.make.keywords, **SIZES[case.row]}
        case = replace(case, make=partial(case.make.func, **sizes))

    def emulated(graph, operands):
        program = emulator.program(for_kernels(graph))
        return host(program(emulator.arrays(operands)))

    got = results(case, case.dtype, emulated)
    exact = results(case, "float64", lambda graph, operands: reference.run(graph, operands, np))
    assert emulator.launches
    check_launches(emulator, key)
    for a, b in zip(got, exact, strict=True):
        assert np.abs(a - b).max() < 2e-5 * (np.abs(b).max() or 1)

"""Rows of the benchmark suite, against their formulas in float64, or the reference executor."""

from dataclasses import replace
from functools import partial

import pytest

from benchmarks import reduced, suite
from compiled_kernels import LONG_TO_COMPILE
from emulator.checks import check_launches
from emulator.device import host
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
KEYS = [case.key for case in suite.cases([], "small", "cpu")]
KEYS = [key for key in KEYS if key not in LONG_TO_COMPILE]
SIZES = {
    "W1": {"n": 1500},
    "W2": {"n": 600},
    "W3": {"n": 300},
    "W4": {"n": 300},
    "W5": {"cameras": 7, "points": 60, "observations": 300},
    "W7": {"n": 70},
    "R1": {"n": 130},
}
"""Fewer rows than the suite's: the kernels are the same."""


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_row_of_the_suite(emulator, key):
    case = suite.find(key, "small", "cpu")
    if case.row in SIZES:
        sizes = {**case.make.keywords, **SIZES[case.row]}
        case = replace(case, make=partial(case.make.func, **sizes))

    graph, operands = reduced.recorded(case, *case.data)
    got = host(emulator.program(graph)(emulator.arrays(operands)))
    assert emulator.launches
    check_launches(emulator, key)
    assert reduced.error_of(case, tuple(got), operands) < 2e-5

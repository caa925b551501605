"""Runs rows of the benchmark suite, at sizes that the simulator can bear; prints a line of JSON for
each. The results are compared with those of the reference executor in float64."""

import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
from run import use
from simulated import Simulator

from benchmarks import peers, suite
from gpuad import tree
from gpuad.api.recording import record
from gpuad.executors import reference
from gpuad.executors.cuda.program import CudaProgram
from gpuad.transforms.drop import for_kernels
from gpuad.transforms.lower import lower

SIZES = {
    "W1": {"n": 70},
    "W2": {"n": 70},
    "W3": {"n": 40},
    "W4": {"n": 20, "d": 3, "k": 18},
    "W5": {"cameras": 4, "points": 6, "observations": 40},
    "W6": {"n": 18},
    "W7": {"n": 12, "widths": (2, 20, 20, 20, 20, 1)},
    "W8": {"n": 10, "widths": (6, 24, 20, 18, 18, 1)},
    "R1": {"n": 20, "widths": (20, 40, 24, 20, 18, 17, 10)},
}


def small(case):
    if case.row not in SIZES:
        return case
    sizes = {**case.make.keywords, **SIZES[case.row]}
    return replace(case, make=partial(case.make.func, **sizes))


def results(case, dtype, run):
    engine = peers.Gpuad("cpu", 1)
    arguments, tangents = engine.operands(case, dtype)
    function = engine.derivative(case, next(iter(engine.ways(case))))
    operands, treedef = tree.flatten(((*arguments, *tangents), {}))
    recorded = record(function, operands, treedef, [True] * len(operands), differentiated=False)
    return run(recorded.graph, [*operands, *recorded.captured])


def main(rows):
    use({})
    for case in map(small, suite.cases(rows, "small", "cpu")):
        got = results(
            case, case.dtype, lambda g, x: CudaProgram(lower(for_kernels(g)), Simulator())(x)
        )
        exact = results(case, "float64", lambda g, x: reference.run(g, x, np))
        pairs = zip(got, exact, strict=True)
        errors = [np.abs(a - b).max() / (np.abs(b).max() or 1) for a, b in pairs]
        print(json.dumps({"case": case.key, "error": float(max(errors))}), flush=True)


main(sys.argv[1:])

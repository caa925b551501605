"""Runs the cases of elementwise primitives in the simulator; prints what differs as JSON."""

import json

import numpy as np
from run import use
from simulated import Simulator

from executors.cases_elementwise import CASES
from gpuad.executors import reference
from gpuad.executors.cuda.planning import joins
from gpuad.executors.cuda.program import CudaProgram
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building

TOLERANCE = {np.float32: 3e-6, np.float64: 1e-14}


def operands_of(case, dtype):
    """The case's operands as arrays of one shape; None where they are complex."""
    arrays = [np.asarray(x) for x in case.operands]
    if any(x.dtype.kind == "c" for x in arrays):
        return None
    shape = max([x.shape for x in arrays], key=len) or (3,)
    typed = [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays]
    return [np.broadcast_to(x, shape).copy() for x in typed]


def graph_of(case, arrays):
    builder = Builder("case")
    with building(builder):
        inputs = [builder.input(Aval(x.shape, x.dtype)) for x in arrays]
        return builder.graph([case.primitive(*inputs, **case.params)])


def differs(graph, arrays, tolerance):
    (got,) = CudaProgram(graph, Simulator())(arrays)
    (expected,) = reference.run(graph, arrays, np)
    same = np.allclose(got, expected, rtol=tolerance, atol=0, equal_nan=True)
    return not same or got.dtype != expected.dtype


def main():
    use({"THREADS": 32})
    ran, wrong = set(), []
    for case in CASES:
        for dtype, tolerance in TOLERANCE.items():
            arrays = operands_of(case, dtype)
            if arrays is None:
                continue
            graph = graph_of(case, arrays)
            if graph.equations and joins(graph.equations[0]):
                ran.add(case.primitive.name)
                if differs(graph, arrays, tolerance):
                    wrong.append(f"{case.primitive} {dtype.__name__}")
    print(json.dumps({"ran": sorted(ran), "wrong": wrong}))


main()

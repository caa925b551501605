"""Runs the programs in the simulator and prints a line of JSON for each; see test_simulator.py."""

import json
import sys

import numpy as np
from executors.kernel_programs import PROGRAMS, SETTINGS
from simulated import Simulator

import gpuad as ad
from gpuad.executors import reference
from gpuad.executors.cuda import layout, planning, source
from gpuad.executors.cuda.program import CudaProgram
from gpuad.transforms.lower import lower

DEFAULTS = {
    "THREADS": 64,
    "SLOTS": layout.SLOTS,
    "LONGEST": layout.LONGEST,
    "MANY_ROWS": layout.MANY_ROWS,
    "BLOCKS": source.BLOCKS,
    "EFFORT": planning.EFFORT,
}
"""A block of few threads is much faster in the simulator."""


MODULES = {"BLOCKS": source, "EFFORT": planning}


def use(settings):
    """Sets these numbers of the planner, for the program that is next."""
    for name, number in (DEFAULTS | settings).items():
        setattr(MODULES.get(name, layout), name, number)


def units(got, expected):
    """The largest difference, in units in the last place of the largest expected value."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return float("inf")
    if got.dtype.kind != "f":
        return 0.0 if np.array_equal(got, expected) else float("inf")
    if not got.size:
        return 0.0
    scale = np.spacing(np.abs(expected).max().astype(got.dtype))
    return float(np.abs(got - expected).max() / scale)


def main(names):
    for name in names:
        function, arguments, _ = PROGRAMS[name]
        use(SETTINGS.get(name, {}))
        graph = ad.make_graph(function)(*arguments).graph
        program = CudaProgram(lower(graph), Simulator())
        got = program(arguments)
        again = program(arguments)
        expected = reference.run(graph, arguments, np)
        pairs = zip(got, expected, strict=True)
        families = [s.source.layout.family for s in program.plan.stages if s.source]
        kernels = sum(s.source.launches(s.rows) for s in program.plan.stages if s.source)
        line = {
            "name": name,
            "families": sorted(set(families)),
            "units": max(units(a, b) for a, b in pairs),
            "same again": all(
                np.array_equal(a, b, equal_nan=True) for a, b in zip(got, again, strict=True)
            ),
            "launches": program.device.launched,
            "planned": 2 * (kernels + len(program._scatters)),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

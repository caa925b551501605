"""What the tests of gpuad on the emulator share."""

import os
from importlib import import_module

import numpy as np

import gpuad as ad
from executors.kernel_programs import units
from gpuad.executors import reference

EVERYTHING = "GPUAD_EXAMPLES" in os.environ
"""Whether to run all sizes and planted faults: ``GPUAD_EXAMPLES=1 pytest -n0 tests/emulator``."""
UNITS = 64
"""Of the largest value in an array: sums are added up in another order."""

OWNERS = {
    "BLOCKS": "source", "COST": "planning", "FILLED": "row_layouts", "LONG": "row_batches",
    "HELD_SUMS": "matrices", "MANY_LINES": "shared_pool", "MOST_WAITING": "shared_pool",
}  # fmt: skip


def use(monkeypatch, settings):
    """Sets numbers of the planner."""
    for name, number in settings.items():
        module = import_module(f"gpuad.codegen.cuda.{OWNERS.get(name, 'layout')}")
        monkeypatch.setattr(module, name, number)


def check_launches(emulator, name=""):
    """Nothing is wrong with any launch."""
    assert not emulator.findings, f"{name}: {emulator.findings[:5]}"


def check_results(got, expected, limit=UNITS):
    for a, b in zip(got, expected, strict=True):
        assert units(a, b) <= limit


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


def graph_of(function, arguments):
    """The graph, and what the reference executor makes of it."""
    graph = ad.make_graph(function)(*arguments).graph
    with np.errstate(all="ignore"):
        return graph, reference.run(graph, arguments, np)


def families(program):
    return {s.source.layout.family for s in program.plan.stages if s.source}

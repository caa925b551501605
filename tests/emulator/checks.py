"""What the tests of gpuad on the emulator share."""

import os
from importlib import import_module

import numpy as np

import gpuad as ad
from executors.kernel_programs import units
from gpuad.executors import reference

EVERYTHING = "GPUAD_EXAMPLES" in os.environ
"""Whether to run all sizes and all planted faults: ``GPUAD_EXAMPLES=1 pytest -n0 tests/emulator``."""
UNITS = 64
"""Of the largest value in an array: sums are added up in another order."""

READ_UNWRITTEN = {
    # Kernels that read shared memory which no thread has written, and use nothing of it.
    "neighbours",
    ("W2", "HVP d=32"),
}

OWNERS = {"BLOCKS": "source", "EFFORT": "planning"}


def use(monkeypatch, settings):
    """Sets numbers of the planner."""
    for name, number in settings.items():
        module = import_module(f"gpuad.executors.cuda.{OWNERS.get(name, 'layout')}")
        monkeypatch.setattr(module, name, number)


def check_launches(emulator, name=""):
    """Nothing is wrong with any launch."""
    findings = emulator.findings
    if name in READ_UNWRITTEN:
        unwritten = [x for x in findings if x.startswith("shared memory that was never written")]
        assert unwritten, f"{name} is in READ_UNWRITTEN and does not do that"
        findings = [x for x in findings if x not in unwritten]
    assert not findings, f"{name}: {findings[:5]}"


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

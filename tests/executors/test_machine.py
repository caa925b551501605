"""Long programs of small arrays, run by a machine: against the reference, and without a cliff."""

import threading

import numpy as np
import pytest

import gpuad
from executors import test_primitives
from executors.sweep_programs import load_interpreted
from executors.test_native import assert_near, assert_program_is_right, program_of
from gpuad.executors import machine, program, reference, small
from gpuad.executors.machine_function import MachineFunction
from gpuad.executors.packing import segments
from gpuad.plan.plan import Plan, Stage

pytest.importorskip("numba")
gnp = gpuad.numpy


@pytest.fixture
def all_by_machine(monkeypatch):
    """Everything that a machine can do is done by one, in plain Python."""

    def unswept(graph, joins):
        return Plan(graph, 0, [Stage(whole=list(graph.equations))])

    monkeypatch.setattr(machine, "load", load_interpreted)
    monkeypatch.setattr(program, "make_plan", unswept)
    monkeypatch.setattr(small, "_is_much", lambda whole, readers, joins: True)
    monkeypatch.setattr(small, "_is_worth", lambda run, readers: True)


def machines_of(compiled):
    whole = [e for s in compiled.plan.stages for e in s.whole]
    return [f for e in whole if isinstance(f := small.function_of(e), MachineFunction)]


def test_every_primitive(all_by_machine):
    names = set()
    for case in test_primitives.CASES:
        arrays = test_primitives.arrays_of(case)
        if not arrays or case.primitive.holds_graph:
            continue
        graph = test_primitives.record(case, arrays)
        compiled = program_of(graph)
        expected = reference.run(graph, arrays, np)
        for _ in range(2):
            for x, y in zip(compiled(arrays), expected, strict=True):
                assert_near(x, y, what=test_primitives.case_id(case))
        if machines_of(compiled):
            names.add(case.primitive.name)
    assert {"sin", "cast", "select", "pad", "concatenate", "transpose", "broadcast"} <= names
    assert {"reduce_sum", "reduce_max", "dot_general", "cumsum", "linear_recurrence"} <= names


def test_random_programs(all_by_machine):
    for seed in range(100):
        assert_program_is_right(seed, seed % 7 + 1)

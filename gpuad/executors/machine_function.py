"""A run of equations on small arrays as one function, done by a machine."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.executors.assembly import Assembly, in_one_row
from gpuad.executors.machine import DTYPES, WIDTH, Machine
from gpuad.executors.packing import Lanes
from gpuad.executors.views import size_of
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.interpret import program
from gpuad.plan.plan import SweepEquation

KEPT = 1 << 24
"""Memory of at most so many bytes is kept for the next run."""


class _Memory:
    """Packed memory for one run at a time, and where operands and results lie in it."""

    def __init__(self, assembly: Assembly):
        sizes = {k: m.size for k, m in assembly.memory.items()}
        arrays = {k: np.empty(sizes.get(k, 0), DTYPES[k]) for k in assembly.machine.kinds}
        for kind, memory in assembly.memory.items():
            for (number, size), start in memory.constants.items():
                arrays[kind][start : start + size] = np.frombuffer(number, DTYPES[kind])
        self.arrays = [arrays[k] for k in sorted(arrays)]
        self.inputs = [_part(arrays, x) for x in assembly.inputs]
        self.outputs = [_part(arrays, x) for x in assembly.outputs]


def _part(arrays: dict[str, Any], x: Lanes) -> Any:
    start: int = x.start  # type: ignore[assignment]
    return arrays[x.kind][start : start + size_of(x.shape)].reshape(x.shape)


class MachineFunction:
    """The array function of a run of equations: of its operands, giving its results."""

    scratch_bytes = 0
    """It has memory of its own."""

    def __init__(
        self,
        machine: Machine,
        equations: Sequence[Equation],
        operands: Sequence[Var],
        results: Sequence[Var],
    ):
        self._equations = equations
        self._operands = tuple(operands)
        self._machine = machine
        assembly = self._assembly = Assembly(machine, equations, operands, results)
        self._code = np.array(assembly.code, np.int32)
        self._tables = np.array(assembly.tables, np.int32)
        self._count = len(assembly.code) // WIDTH
        self._idle: list[_Memory] = []
        """Memory that no run is using: as many as have run at a time."""
        assembly.code = assembly.tables = []
        sizes = [m.size * DTYPES[k].itemsize for k, m in assembly.memory.items()]
        self.memory_bytes = sum(sizes)
        """What a run takes."""

    @property
    def equations(self) -> list[SweepEquation]:
        return [in_one_row(e, ()) for e in self._equations]

    @property
    def text(self) -> str:
        """The source of the machine."""
        return self._machine.text

    def __call__(self, xp: Any, *arrays: Any) -> tuple[Any, ...]:
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = _Memory(self._assembly)
        for place, x in zip(memory.inputs, arrays, strict=True):
            place[...] = x
        try:
            self._machine.run(*memory.arrays, self._code, self._tables, 0, self._count)
        except IndexError:
            # NumPy says which index.
            program(Graph(self._operands, tuple(self._equations), ()), np)(*arrays)
            raise
        results = tuple([x.copy() if x.ndim else x[()] for x in memory.outputs])
        if self.memory_bytes <= KEPT:
            self._idle.append(memory)
        return results

"""A program of the interpreter, while it is assembled: instructions, tables, packed memory.

A value is a number of lanes in the packed memory. What only moves elements is no instruction: it
says where they lie. They are brought together where an instruction wants them side by side.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cpu.instructions import InstructionSet, Opcode, scalar_form
from gpuad.codegen.cpu.packed_memory import Lanes, Memory, Run, runs_of
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Literal

FEW_RUNS = 3
"""Runs of lanes that are copied one by one, at most, unless they are long."""


class PackedProgram:
    """What the assemblers of operations share.

    `code` has the instructions, `tables` integers that they look up, `memory` is by type, and
    `values` says where the values lie that are known and still needed.
    """

    def __init__(self, instructions: InstructionSet):
        self.code: list[int] = []
        self.tables: list[int] = []
        self.memory: dict[str, Memory] = {}
        self.values: dict[Any, Lanes] = {}
        self._instructions = instructions
        self._tables: dict[bytes, int] = {}

    @property
    def main(self) -> str:
        """The type of functions without a suffix."""
        return self._instructions.main

    # Memory

    def memory_of(self, kind: str) -> Memory:
        if kind not in self.memory:
            self.memory[kind] = Memory()
            self._instructions.kinds.add(kind)
        return self.memory[kind]

    def new(self, kind: str, shape: tuple[int, ...]) -> tuple[Lanes, int]:
        """Lanes for a value, and where they start."""
        start = self.memory_of(kind).block(size_of(shape))
        return Lanes(kind, shape, start, (start,)), start

    def at(self, kind: str, addresses: Any) -> Lanes:
        """A value whose elements are those at these addresses."""
        memory = self.memory_of(kind)
        blocks = memory.blocks(addresses)
        memory.hold(blocks)
        if not addresses.shape:
            return Lanes(kind, (), int(addresses), blocks)
        return Lanes(kind, addresses.shape, None, blocks, addresses)

    def release(self, x: Lanes) -> None:
        """Nothing reads this value any longer."""
        self.memory[x.kind].release(x.blocks)

    # Operands

    def operand(self, x: Any) -> Lanes:
        if type(x) is Literal:
            kind = kind_of(x)
            start = self.memory_of(kind).constant(x.value, 1)
            return Lanes(kind, (), start, (start,))
        return self.values[x]

    def arranged(self, x: Any, order: Sequence[int]) -> tuple[int, Lanes]:
        """Where the lanes of an operand start with its axes in this order, and what to release when
        they have been read."""
        value = self.operand(x)
        if list(order) == list(range(len(order))):
            start = self.packed(value)
            self.memory[value.kind].hold(value.blocks)
            return start, Lanes(value.kind, (), start, value.blocks)
        turned = self.at(value.kind, value.addresses.transpose(order))
        return self.packed(turned), turned

    def packed(self, x: Lanes) -> int:
        """Where the lanes of a value start, side by side: as they are, or copied once for all."""
        if x.start is not None:
            return x.start
        addresses = x.addresses.ravel()
        runs = runs_of(addresses)
        if runs is not None and len(runs) == 1 and runs[0][2] == 1:
            x.start = int(addresses[0])
            return x.start
        memory = self.memory[x.kind]
        target = memory.block(len(addresses))
        self._copy(x.kind, target, addresses, runs)
        memory.release(x.blocks)
        x.start, x.blocks = target, (target,)
        return target

    def _copy(self, kind: str, target: int, addresses: Any, runs: Sequence[Run] | None) -> None:
        if runs is None or len(runs) > max(FEW_RUNS, len(addresses) // 8):
            low = int(addresses.min())
            table = self.table((addresses - low).tolist())
            self.add(Opcode("take", kind, (kind,)), len(addresses), target, low, table)
            return
        for first, last, step in runs:
            if step:
                copy = Opcode(scalar_form(last - first), kind, (kind,), "x", kind)
            else:
                copy = Opcode("fill", kind, (kind,))
            self.add(copy, last - first, target + first, int(addresses[first]))

    # Instructions

    def add(self, opcode: Opcode, lanes: int, target: int, *operands: int) -> None:
        numbers = self._instructions.opcodes
        number = numbers.setdefault(opcode, len(numbers))
        a, b, c = (*operands, 0, 0, 0)[:3]
        self.code += (number, lanes, target, a, b, c)

    def table(self, numbers: list[int]) -> int:
        """Where a table with these numbers begins."""
        key = np.array(numbers, np.int32).tobytes()
        if key not in self._tables:
            self._tables[key] = len(self.tables)
            self.tables += numbers
        return self._tables[key]

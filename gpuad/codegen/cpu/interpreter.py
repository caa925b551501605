"""An interpreter of packed arrays: one compiled function that runs lists of instructions.

Straight-line code takes a millisecond an operation to compile. The interpreter takes a tenth of a
second once for the opcodes that it knows, in whatever order and however often they come; an
instruction then takes one to five nanoseconds and its lanes what they take in a vectorised loop.
"""

from collections.abc import Sequence

import numpy as np

from gpuad.codegen.argument import TYPES
from gpuad.codegen.cpu.instructions import (
    COMMON_OPCODES,
    FIELDS,
    WIDTH,
    InstructionSet,
    Opcode,
    memory_name,
)
from gpuad.codegen.cpu.operations import ASSEMBLERS

CHAIN = 64
"""Opcodes that are told apart in one chain of tests, which LLVM makes a table of."""
DTYPES = {name: np.dtype(code) for code, name in TYPES.items()}
_LINES = COMMON_OPCODES | {k: f for a in ASSEMBLERS.values() for k, f in a.opcodes.items()}
"""What writes the lines of an opcode, by its form."""


class Interpreter(InstructionSet):
    """The interpreter of an instruction set."""

    @property
    def text(self) -> str:
        return interpreter_text(list(self.opcodes), sorted(self.kinds))


def interpreter_text(opcodes: Sequence[Opcode], kinds: Sequence[str]) -> str:
    """The source of an interpreter of opcodes, numbered in order, on arrays of these types."""
    lines = [
        f"def sweep({', '.join(map(memory_name, kinds))}, code, tables, begin, end):",
        "    for i in range(begin, end):",
        f"        p = {WIDTH} * i",
        *[f"        {name} = code[p + {k}]" for k, name in FIELDS.items()],
    ]
    chains = [opcodes[k : k + CHAIN] for k in range(0, len(opcodes), CHAIN)]
    for k, chain in enumerate(chains):
        first = k * CHAIN
        body = _chain_lines(chain, first)
        if len(chains) > 1:
            test = "if" if not k else "elif"
            condition = f"{test} o < {first + len(chain)}:" if k < len(chains) - 1 else "else:"
            body = [condition, *[f"    {x}" for x in body]]
        lines += [f"        {x}" for x in body]
    return "\n".join(lines) + "\n"


def _chain_lines(opcodes: Sequence[Opcode], first: int) -> list[str]:
    lines: list[str] = []
    for k, opcode in enumerate(opcodes):
        lines.append(f"{'if' if not k else 'elif'} o == {first + k}:")
        lines += [f"    {x}" for x in _LINES[opcode.form](opcode)]
    return lines

"""Assembles the program of the interpreter for a list of equations on small arrays."""

from collections.abc import Iterable, Sequence

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cpu.instructions import InstructionSet
from gpuad.codegen.cpu.operations import ASSEMBLERS
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.ir.graph import Equation, Var


class Assembly:
    """Instructions, tables and memory for equations of these operands and results.

    `inputs` says where the operands are to lie before the first instruction, `outputs` where the
    results lie after the last one.
    """

    def __init__(
        self,
        instructions: InstructionSet,
        equations: Sequence[Equation],
        operands: Sequence[Var],
        results: Sequence[Var],
    ):
        self.instructions = instructions
        program = PackedProgram(instructions)
        values = program.values
        for x in operands:
            values[x], _ = program.new(kind_of(x), x.aval.shape)
        self.inputs = [values[x] for x in operands]
        unused_after = _last_uses(equations, results)
        for i, e in enumerate(equations):
            values[e.outputs[0]] = ASSEMBLERS[e.primitive.role].assemble(program, e)
            for x in unused_after.get(i, ()):
                program.release(values.pop(x))
        for x in results:
            program.packed(values[x])
        self.outputs = [values[x] for x in results]
        self.code = program.code
        self.tables = program.tables
        self.memory = program.memory


def _last_uses(equations: Sequence[Equation], results: Iterable[Var]) -> dict[int, list[Var]]:
    """For each equation, the values that nothing after it reads."""
    last: dict[Var, int] = {}
    for i, e in enumerate(equations):
        last[e.outputs[0]] = i
        last.update([(x, i) for x in e.operands if type(x) is Var])
    for x in results:
        last.pop(x, None)
    ends: dict[int, list[Var]] = {}
    for x, i in last.items():
        ends.setdefault(i, []).append(x)
    return ends

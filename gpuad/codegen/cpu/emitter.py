"""What the code generator of the CPU knows of a role: one entry for each family of operations.

An operation is written in three forms: in blocks of rows, unrolled, and as instructions of the
interpreter. The functions of all three stand side by side in the module of its family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpuad.codegen.cpu.block_sweep import BlockSweep
from gpuad.codegen.cpu.instructions import Opcode
from gpuad.codegen.cpu.loop_body import LoopBody
from gpuad.codegen.cpu.loops import Assign, Reduce
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.cpu.unrolled_sweep import Names, UnrolledSweep
from gpuad.codegen.structure import row_shape
from gpuad.ir.graph import Equation
from gpuad.plan.plan import SweepEquation


def _zero(s: SweepEquation) -> int:
    return 0


@dataclass(frozen=True)
class Assembler:
    """How the interpreter computes the operations of a role.

    assemble
        Adds the instructions of an equation to a program, and gives the lanes of its result.
    accepts
        Whether the interpreter can compute this equation, whose values are not empty and have
        types of compiled functions; None if it can where a sweep can.
    opcodes
        The lines of opcodes of its own, by form.
    """

    assemble: Callable[[PackedProgram, Equation], Lanes]
    accepts: Callable[[Equation], bool] | None = None
    opcodes: Mapping[str, Callable[[Opcode], list[str]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Emitter:
    """How sweeps compute the operations of a role.

    joins
        Whether a sweep can compute this equation, whose values are not empty and have types of
        compiled functions.
    cost
        What the equation costs to compile, in the units of `codegen.compile_cost`.
    emit
        Writes it in blocks of rows, between loops; None if it never stands there.
    statement
        Its statement in a loop over lanes and rows; None if it never stands there.
    emit_unrolled
        Writes it as straight-line code and gives the names of its result; None if a sweep with it
        is never unrolled.
    assembler
        How the interpreter computes it.
    lanes
        The shape of lanes that it runs over.
    unrolled_cost
        What its straight-line code costs to compile.
    unrolled_bytes
        The scratch that its straight-line code takes for each row.
    calls_blas
        Whether it may call BLAS.
    """

    joins: Callable[[Equation], bool]
    cost: Callable[[SweepEquation], int]
    emit: Callable[[BlockSweep, SweepEquation], None] | None
    statement: Callable[[LoopBody, SweepEquation], Assign | Reduce] | None = None
    emit_unrolled: Callable[[UnrolledSweep, SweepEquation], Names] | None
    assembler: Assembler
    lanes: Callable[[SweepEquation], tuple[int, ...]] = row_shape
    unrolled_cost: Callable[[SweepEquation], int] = _zero
    unrolled_bytes: Callable[[SweepEquation], int] = _zero
    calls_blas: bool = False

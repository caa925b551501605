"""Operations that the interpreter computes and sweeps do not: counting, and updating a window."""

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cpu.emitter import Assembler
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.ir.graph import Equation


def accepts(e: Equation) -> bool:
    return True


def assemble_iota(program: PackedProgram, e: Equation) -> Lanes:
    kind, aval = kind_of(e.outputs[0]), e.outputs[0].aval
    values = e.primitive.implementation(np, e.params)()
    memory = program.memory_of(kind)
    start = memory.constant(np.ascontiguousarray(values), aval.size)
    memory.hold((start,))
    return Lanes(kind, aval.shape, start, (start,))


def assemble_update(program: PackedProgram, e: Equation) -> Lanes:
    """No instruction: the first operand with the second one in its window."""
    x, u = [program.operand(y).addresses for y in e.operands]
    addresses = np.array(np.broadcast_to(x, e.outputs[0].aval.shape))
    addresses[tuple(map(slice, *[e.params[k] for k in ("starts", "stops", "steps")]))] = u
    return program.at(kind_of(e.outputs[0]), addresses)


IOTA = Assembler(assemble_iota, accepts)
UPDATE = Assembler(assemble_update, accepts)

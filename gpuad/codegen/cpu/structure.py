"""Operations that move elements: views where they can be, else copies."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.compile_cost import compile_cost
from gpuad.codegen.cpu.block_sweep import BlockSweep
from gpuad.codegen.cpu.elementwise import assigned
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.codegen.cpu.loop_body import LoopBody
from gpuad.codegen.cpu.loops import Assign, copy_lines, fill_lines, fill_view_lines
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.cpu.unrolled_sweep import Names, UnrolledSweep
from gpuad.codegen.structure import (
    covers,
    moved_names,
    moved_view,
    parts_of,
    row_params,
    row_shape,
)
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation, in_one_row


def joins(e: Equation) -> bool:
    return True


# In blocks of rows


def emit_view(sweep: BlockSweep, s: SweepEquation) -> None:
    v = s.equation.outputs[0]
    (source,) = sweep.operands(s)
    moved = moved_view(source, s)
    if moved is None:
        dense = sweep.new_block(v, source.shape, matrix=not sweep.lane_major)
        sweep.lines += copy_lines(dense, source, sweep.lane_major)
        moved = moved_view(dense, s)
        assert moved is not None
    sweep.views[v] = moved
    sweep.store(s)


def repeated(body: LoopBody, s: SweepEquation) -> Assign:
    """A view of a number: a value like any other."""
    return assigned(body, s, "x")


def emit_copy(sweep: BlockSweep, s: SweepEquation) -> None:
    e, v = s.equation, s.equation.outputs[0]
    padded = _padded_in_place(sweep, s) if len(e.operands) == 1 else None
    sweep.views[v] = padded or sweep.new_block(v, row_shape(s))
    if padded is None:
        _put_together(sweep, s, sweep.views[v])
    sweep.store(s)


def _padded_in_place(sweep: BlockSweep, s: SweepEquation) -> View | None:
    """A padded value as a view of its operand with the zeros around it, if there is room."""
    (source,) = sweep.operands(s)
    shape, (part,) = row_shape(s), parts_of(s)
    low = [p.start for p in part]
    room = sweep.padding.rooms.get(source)
    spread_out = any((p.step or 1) != 1 for p in part)
    if spread_out or room is None or not room.holds(low, shape):
        return None
    if room.computed and source not in sweep.padding.zeroed:
        sweep.padding.zeroed.add(source)
        zero, lanes = f"{kind_of(s.equation.outputs[0])}(0)", size_of(source.shape)
        sweep.before += fill_lines(source.base, source.offset, zero)
        gap = View(source.base, (source.row - lanes,), (1,), source.row, source.offset + lanes)
        sweep.lines += fill_view_lines(gap, zero, False)
    before = sum(a * s for a, s in zip(low, source.strides, strict=True))
    return replace(source, shape=shape, offset=source.offset - before)


def _put_together(sweep: BlockSweep, s: SweepEquation, target: View) -> None:
    """Copies the operands to their parts of the target, with zeros around them."""
    sweep.nested = True
    if not covers(s):
        zero = f"{kind_of(s.equation.outputs[0])}(0)"
        sweep.lines += fill_view_lines(target, zero, sweep.lane_major)
    pairs = zip(s.equation.operands, s.uses, parts_of(s), strict=True)
    for x, use, part in pairs:
        source = sweep.read(x, use)
        sweep.lines += copy_lines(target.part(part), source, sweep.lane_major)


# Unrolled


def emit_unrolled(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    zero = f"{kind_of(s.equation.outputs[0])}(0)"
    return _moved(s, sweep.operands(s), row_shape(s), zero)


def _moved(
    s: SweepEquation, operands: Sequence[np.ndarray], shape: tuple[int, ...], zero: Any
) -> np.ndarray:
    """What stands for the elements of a row of this shape after a structure operation."""
    kept, params = row_params(s)
    first, *others = operands
    if kept is not None:
        first = first.reshape([first.shape[k] for k in kept])
    return moved_names([first, *others], s.equation.primitive, params, shape, zero)


# Interpreted


def assemble(program: PackedProgram, e: Equation) -> Lanes:
    """No instruction: the same elements in another order."""
    kind, shape = kind_of(e.outputs[0]), e.outputs[0].aval.shape
    operands = [program.operand(x) for x in e.operands]
    first, memory = operands[0], program.memory_of(kind)
    if first.start is not None and _is_in_order(e, first.shape):
        memory.hold(first.blocks)
        return Lanes(kind, shape, first.start, first.blocks)
    zero = None
    if e.primitive.role is Role.COPY and not covers(in_one_row(e)):
        zero = memory.constant(e.outputs[0].aval.dtype.type(0), 1)
    addresses = _moved(in_one_row(e), [x.addresses for x in operands], shape, zero)
    return program.at(kind, addresses.astype(np.int64))


def _is_in_order(e: Equation, shape: tuple[int, ...]) -> bool:
    """Whether a view of an array in C order has the same elements in the same order."""
    view = moved_view(View("", shape, contiguous(shape), 0), in_one_row(e))
    same = view is not None and view.dense and not view.offset
    return same and e.outputs[0].aval.size == size_of(shape)


ASSEMBLER = Assembler(assemble)
VIEW = Emitter(
    joins=joins,
    cost=compile_cost,
    emit=emit_view,
    statement=repeated,
    emit_unrolled=emit_unrolled,
    assembler=ASSEMBLER,
)
COPY = Emitter(
    joins=joins,
    cost=compile_cost,
    emit=emit_copy,
    emit_unrolled=emit_unrolled,
    assembler=ASSEMBLER,
)

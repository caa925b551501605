"""Cumulative sums, products and extrema, and linear recurrences: each element along an axis of
lanes from the one before it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gpuad.codegen.argument import kind_of, typed_as
from gpuad.codegen.compile_cost import COPY
from gpuad.codegen.cpu.block_sweep import BlockSweep
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.codegen.cpu.instructions import Opcode, scalar_form
from gpuad.codegen.cpu.loops import copy_lines, expression_text, nest_lines
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.cpu.unrolled_sweep import Names, UnrolledSweep
from gpuad.codegen.structure import row_shape
from gpuad.codegen.views import View, size_of
from gpuad.ir.graph import Equation
from gpuad.ir.rows import inner, without_axis
from gpuad.plan.plan import SweepEquation


def joins(e: Equation) -> bool:
    return e.outputs[0].aval.dtype.kind == "f"


def cost(s: SweepEquation) -> int:
    return COPY


# In blocks of rows


def emit(sweep: BlockSweep, s: SweepEquation) -> None:
    sweep.nested = True
    e, v = s.equation, s.equation.outputs[0]
    (axis,) = without_axis((e.params["axis"],), s.axis)
    sources = sweep.operands(s)
    target = sweep.views[v] = sweep.new_block(v, row_shape(s))
    first, later = _part(target, axis, 0, 1), _but_first(target, axis)
    sweep.lines += copy_lines(first, _part(sources[-1], axis, 0, 1), sweep.lane_major)
    kind, result, suffix = typed_as(e, sweep.main)
    operands = [_but_last(target, axis), *[_but_first(x, axis) for x in sources]]

    def body(names: Sequence[str]) -> list[str]:
        elements = [f"{x.base}[{x.index('r', names)}]" for x in operands]
        text = expression_text(e.primitive.step, elements, kind, result, False, suffix)
        return [f"{later.base}[{later.index('r', names)}] = {text}"]

    if later.shape[axis]:
        sweep.lines += nest_lines(later.shape, sweep.lane_major, body)
    sweep.store(s)


def _part(view: View, axis: int, start: int, stop: int) -> View:
    shape = tuple([stop - start if k == axis else n for k, n in enumerate(view.shape)])
    return replace(view, shape=shape, offset=view.offset + start * view.strides[axis])


def _but_first(view: View, axis: int) -> View:
    return _part(view, axis, 1, view.shape[axis])


def _but_last(view: View, axis: int) -> View:
    return _part(view, axis, 0, view.shape[axis] - 1)


# Unrolled


def emit_unrolled(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    e, operands = s.equation, sweep.operands(s)
    kind, result, suffix = typed_as(e, sweep.main)
    (axis,) = without_axis((e.params["axis"],), s.axis)
    xs = [np.moveaxis(x, axis, 0) for x in operands]
    out = xs[-1].copy()
    for k, *i in np.ndindex(*out.shape):
        if k:
            names = [str(name) for name in (out[(k - 1, *i)], *[x[(k, *i)] for x in xs])]
            value = expression_text(e.primitive.step, names, kind, result, False, suffix)
            out[(k, *i)] = sweep.line(value)
    return np.moveaxis(out, 0, axis)


def unrolled_cost(s: SweepEquation) -> int:
    return 2 * size_of(inner(s.equation.operands[0].aval.shape, s.uses[0].axis))


# Interpreted


def assemble(program: PackedProgram, e: Equation) -> Lanes:
    axis, shape = e.params["axis"], e.outputs[0].aval.shape
    order = [axis, *[k for k in range(len(shape)) if k != axis]]
    arranged = [program.arranged(x, order) for x in e.operands]
    out, start = program.new(kind_of(e.outputs[0]), tuple([shape[k] for k in order]))
    rest = e.outputs[0].aval.size // shape[axis]
    form = scalar_form(rest)
    first = Opcode(form, out.kind, (out.kind,), "x", out.kind)
    program.add(first, rest, start, arranged[-1][0])
    numbers, result, suffix = typed_as(e, program.main)
    kinds = (out.kind, *map(kind_of, e.operands))
    step = Opcode(form, result, kinds, e.primitive.step, numbers, suffix)
    for k in range(1, shape[axis]):
        starts = [x + k * rest for x, _ in arranged]
        program.add(step, rest, start + k * rest, start + (k - 1) * rest, *starts)
    for _, read in arranged:
        program.release(read)
    back = program.at(out.kind, np.moveaxis(out.addresses, 0, axis))
    program.release(out)
    return back


EMITTER = Emitter(
    joins=joins,
    cost=cost,
    emit=emit,
    emit_unrolled=emit_unrolled,
    assembler=Assembler(assemble),
    unrolled_cost=unrolled_cost,
)

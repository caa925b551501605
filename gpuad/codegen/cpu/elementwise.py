"""Elementwise operations: the scalar text of a primitive, for each lane of each row."""

import functools
import re
from collections.abc import Callable

import numpy as np

from gpuad.codegen.argument import kind_of, text_of, typed_as
from gpuad.codegen.compile_cost import FUNCTION, compile_cost, text_cost
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.codegen.cpu.instructions import Opcode, scalar_form
from gpuad.codegen.cpu.loop_body import LoopBody
from gpuad.codegen.cpu.loops import Assign, At, bound_checks, expression_text
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.cpu.unrolled_sweep import Names, UnrolledSweep
from gpuad.codegen.structure import row_shape
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Equation, Literal
from gpuad.ir.half import is_half
from gpuad.plan.plan import SweepEquation

# What a sweep can compute


@functools.cache
def text_names() -> frozenset[str]:
    """What the scalar text of a primitive may use."""
    from gpuad.kernels import vecmath

    return frozenset(vecmath.namespace(np.float32)) | {"x", "y", "z", "cast", "inf", "nan"}


def is_known(text: str) -> bool:
    """Whether a sweep has all that a scalar text uses."""
    return set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)) <= text_names()


def joins(e: Equation) -> bool:
    return is_known(e.primitive.scalar_text(e.params)) and _has_types(e)


def _has_types(e: Equation) -> bool:
    """Whether an elementwise operation is for these types what the same text says."""
    if any(is_half(x.aval.dtype) for x in (*e.operands, *e.outputs)):
        return True
    kinds = {x.aval.dtype.kind for x in (*e.operands, *e.outputs)}
    if kinds <= {"f", "b"}:
        return True
    # What a NaN or a float out of range becomes as an integer differs from processor to processor.
    to_integer = e.outputs[0].aval.dtype.kind == "i" and e.operands[0].aval.dtype.kind == "f"
    return e.primitive.integers and not to_integer


# In blocks of rows


def statement(body: LoopBody, s: SweepEquation) -> Assign:
    return assigned(body, s, text_of(s.equation))


def assigned(body: LoopBody, s: SweepEquation, text: str) -> Assign:
    """The statement that computes a result by this scalar text."""
    sweep, e, v = body.sweep, s.equation, s.equation.outputs[0]
    operands = body.operands(s)
    kind, result, suffix = typed_as(e, sweep.main)
    stores = []
    if v in sweep.kept:
        if body.width:
            sweep.views[v] = sweep.new_spread_block(v, body.shape, body.width)
        else:
            sweep.views[v] = sweep.new_block(v, body.shape)
        stores.append(sweep.views[v])
    if v in sweep.stored and s.axis is not None:
        stores.append(sweep.output(v, s.axis))
    for place in sweep.places.get(v, ()):
        (whole,) = place.result.equation.outputs
        assert place.result.axis is not None
        stores.append(place.within(sweep.output(whole, place.result.axis), body.shape))
    body.local[v] = sweep.name(v)

    def expression(at: At, speed: str) -> str:
        names = [f(at) for f in operands]
        return expression_text(text, names, kind, result, speed == "slow", suffix)

    def check(condition: str) -> Callable[[At], str]:
        return lambda at: expression_text(
            condition, [f(at) for f in operands], kind, result, False, suffix
        )

    checks = tuple([check(condition) for condition in bound_checks(text)])
    sweep.checked |= bool(checks)
    return Assign(body.local[v], expression, tuple(stores), checks)


# Unrolled


def emit_unrolled(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    operands, shape = sweep.operands(s), row_shape(s)
    out = np.empty(shape, object)
    wide = [np.broadcast_to(x, shape) for x in operands]
    for i in np.ndindex(*shape):
        out[i] = _scalar(sweep, s.equation, [str(x[i]) for x in wide])
    return out


def _scalar(sweep: UnrolledSweep, e: Equation, operands: list[str]) -> str:
    text = text_of(e)
    kind, result, suffix = typed_as(e, sweep.main)
    for check in bound_checks(text):
        sweep.checked = True
        if sweep.speed == "fast":
            condition = expression_text(check, operands, kind, result, False, suffix)
            sweep.lines.append(f"inside &= {condition}")
    slow = sweep.speed == "slow"
    return sweep.line(expression_text(text, operands, kind, result, slow, suffix))


def unrolled_cost(s: SweepEquation) -> int:
    return compile_cost(s) * size_of(row_shape(s))


# Interpreted


def assemble(program: PackedProgram, e: Equation) -> Lanes:
    lanes = e.outputs[0].aval.size
    starts = [
        program.memory_of(kind_of(x)).constant(x.value, lanes)
        if type(x) is Literal
        else program.packed(program.values[x])
        for x in e.operands
    ]
    out, target = program.new(kind_of(e.outputs[0]), e.outputs[0].aval.shape)
    program.add(_opcode(program, e, lanes), lanes, target, *starts)
    return out


def _opcode(program: PackedProgram, e: Equation, lanes: int) -> Opcode:
    text = e.primitive.scalar_text(e.params)
    numbers, result, suffix = typed_as(e, program.main)
    # A loop costs nothing beside a function, which is compiled once if it has one form only.
    form = "each" if text_cost(text) >= FUNCTION else scalar_form(lanes)
    return Opcode(form, result, tuple(map(kind_of, e.operands)), text, numbers, suffix)


EMITTER = Emitter(
    joins=joins,
    cost=compile_cost,
    emit=None,
    statement=statement,
    emit_unrolled=emit_unrolled,
    assembler=Assembler(assemble),
    unrolled_cost=unrolled_cost,
)

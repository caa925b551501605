"""Reductions over lanes, and over rows."""

from collections.abc import Sequence

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.compile_cost import compile_cost
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.codegen.cpu.instructions import Opcode, memory_name
from gpuad.codegen.cpu.loop_body import LoopBody
from gpuad.codegen.cpu.loops import Reduce
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.cpu.unrolled_sweep import Names, UnrolledSweep
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Equation, Var
from gpuad.ir.rows import inner, without_axis
from gpuad.plan.plan import SweepEquation


def joins(e: Equation) -> bool:
    return e.outputs[0].aval.dtype.kind == "f"


def reduced_lanes(s: SweepEquation) -> tuple[int, ...]:
    return inner(s.equation.operands[0].aval.shape, s.uses[0].axis)


# In blocks of rows


def statement(body: LoopBody, s: SweepEquation) -> Reduce:
    sweep, e, v = body.sweep, s.equation, s.equation.outputs[0]
    (value,) = body.operands(s)
    over = without_axis(e.params["axes"], s.uses[0].axis)
    kept = tuple([k for k in range(len(body.shape)) if k not in over])
    shape = tuple([body.shape[k] for k in kept])
    name, kind = sweep.name(v), kind_of(v)
    combiner = e.primitive.combiner
    if s.axis is not None:
        sweep.views[v] = target = sweep.new_block(v, shape)
        stored = sweep.output(v, s.axis) if v in sweep.stored else None
        return Reduce(name, kind, value, kept, target, stored, None, combiner)
    total = sweep.arguments.sum(v).name
    if size_of(shape) > 1:
        sweep.scratch[f"{total}b"] = kind, size_of(shape)
    target = View(f"{total}b", shape, contiguous(shape), 0)
    return Reduce(name, kind, value, kept, target, None, total)


# Unrolled


def emit_unrolled(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    e, v = s.equation, s.equation.outputs[0]
    (x,) = sweep.operands(s)
    over = without_axis(e.params["axes"], s.uses[0].axis)
    kept = [k for k in range(x.ndim) if k not in over]
    columns = x.transpose([*kept, *over]).reshape((*[x.shape[k] for k in kept], -1))
    out = np.empty(columns.shape[:-1], object)
    for i in np.ndindex(*out.shape):
        out[i] = _combined(sweep, e.primitive.combiner, [str(name) for name in columns[i]])
    if s.axis is None:
        _add_to_total(sweep, v, out)
    return out


def _combined(sweep: UnrolledSweep, combiner: str, names: Sequence[str]) -> str:
    result, *others = names
    for name in others:
        added = combiner == "sum"
        result = sweep.line(f"{result} + {name}" if added else f"{combiner}imum({result}, {name})")
    return result


def _add_to_total(sweep: UnrolledSweep, v: Var, values: Names) -> None:
    total = sweep.arguments.sum(v).name
    for j, i in enumerate(np.ndindex(*values.shape)):
        name = f"{total}_{j}"
        sweep.totals.append((name, f"{total}[{j}]", kind_of(v)))
        sweep.lines.append(f"{name} = radd({name}, {values[i]})")


def unrolled_cost(s: SweepEquation) -> int:
    return 2 * size_of(reduced_lanes(s))


# Interpreted


def assemble(program: PackedProgram, e: Equation) -> Lanes:
    (x,), over = e.operands, e.params["axes"]
    kept = [k for k in range(x.aval.ndim) if k not in over]
    start, read = program.arranged(x, [*kept, *over])
    out, target = program.new(kind_of(e.outputs[0]), e.outputs[0].aval.shape)
    lanes = e.outputs[0].aval.size
    suffix = f"_{out.kind}" if out.kind != program.main else ""
    opcode = Opcode(e.primitive.combiner, out.kind, (out.kind,), suffix=suffix)
    program.add(opcode, lanes, target, start, x.aval.size // lanes)
    program.release(read)
    return out


def _sum_lines(opcode: Opcode) -> list[str]:
    """Each result lane from a row of lanes, in float64: of 8 and more in eight sums, as NumPy's."""
    memory, kind = memory_name(opcode.result), opcode.result
    element = f"f64({memory}[first + j{{0}}])"
    sums = [f"t{k}" for k in range(8)]
    pairs = [f"({x} + {y})" for x, y in zip(sums[::2], sums[1::2], strict=True)]
    return [
        "for l in range(code[p + 1]):",
        "    first = a + l * b",
        "    t = f64(0)",
        "    last = b - b % 8",
        "    if last > 0:",
        *[f"        {x} = f64({memory}[first + {k}])" for k, x in enumerate(sums)],
        "        for j in range(8, last, 8):",
        *[f"            {x} = {x} + {element.format(f' + {k}')}" for k, x in enumerate(sums)],
        f"        t = ({' + '.join(pairs[:2])}) + ({' + '.join(pairs[2:])})",
        "    for j in range(last, b):",
        f"        t = t + {element.format('')}",
        f"    {memory}[d + l] = {kind}(t)",
    ]


def _extremum_lines(opcode: Opcode) -> list[str]:
    memory = memory_name(opcode.result)
    return [
        "for l in range(code[p + 1]):",
        f"    t = {memory}[a + l * b]",
        "    for j in range(1, b):",
        f"        t = {opcode.form}imum{opcode.suffix}(t, {memory}[a + l * b + j])",
        f"    {memory}[d + l] = t",
    ]


EMITTER = Emitter(
    joins=joins,
    cost=compile_cost,
    emit=None,
    statement=statement,
    emit_unrolled=emit_unrolled,
    assembler=Assembler(
        assemble, opcodes={"sum": _sum_lines, "max": _extremum_lines, "min": _extremum_lines}
    ),
    lanes=reduced_lanes,
    unrolled_cost=unrolled_cost,
)

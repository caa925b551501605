"""Matrix products: of rows with what is the same for all rows, and summed over rows."""

from typing import Any

from gpuad.codegen.argument import kind_of
from gpuad.codegen.compile_cost import PRODUCT
from gpuad.codegen.cpu.block_sweep import BlockSweep
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.codegen.cpu.instructions import Opcode, memory_name
from gpuad.codegen.cpu.loops import copy_lines
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.views import View, size_of
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation, Var
from gpuad.ir.rows import without_axis
from gpuad.plan.plan import SweepEquation, Use

GEMM_VALUES = 1 << 14
"""A product whose smallest matrix has at most so many values is made block by block, a larger one
by the library."""
MULTIPLICATIONS = 1 << 12
"""Of a product that the interpreter computes, at most: beyond them BLAS is faster."""


def joins(e: Equation) -> bool:
    contract = e.params["contract"]
    if e.params["batch"][0] or not contract[0] or any(x.aval.dtype.kind != "f" for x in e.operands):
        return False
    sizes = sorted(x.aval.size for x in (*e.operands, *e.outputs))
    return sizes[0] <= GEMM_VALUES


def cost(s: SweepEquation) -> int:
    return PRODUCT


# In blocks of rows


def emit(sweep: BlockSweep, s: SweepEquation) -> None:
    if s.axis is None:
        _emit_sum_over_rows(sweep, s)
        return
    contract = s.equation.params["contract"]
    side = 0 if s.uses[0].axis is not None else 1
    x, use = s.equation.operands[side], s.uses[side]
    y = s.equation.operands[1 - side]
    axes_x, axes_y = contract[side], contract[1 - side]
    source = _whole_rows(sweep, x, use)
    lanes = without_axis(axes_x, use.axis)
    free = [k for k in range(len(source.shape)) if k not in lanes]
    left = _matrix(sweep, x, source.transpose([*free, *lanes]))
    free_y = [k for k in range(y.aval.ndim) if k not in axes_y]
    order = (*axes_y, *free_y)
    right = sweep.arguments.read(y, "free", None, order, key=(y, "matrix", order)).name
    rows_shape = [source.shape[k] for k in free]
    y_shape = [y.aval.shape[k] for k in free_y]
    k, m = size_of([y.aval.shape[i] for i in axes_y]), size_of(y_shape)
    n = f"{size_of(rows_shape)} * n"
    out = _new_product(
        sweep, s, (*rows_shape, *y_shape), f"product({left}, {right}, {{}}, {n}, {k}, {m})"
    )
    if side == 1:
        # The result has the free axes of the first operand in front.
        first = range(len(rows_shape), len(rows_shape) + len(y_shape))
        out = out.transpose([*first, *range(len(rows_shape))])
    sweep.views[s.equation.outputs[0]] = out
    sweep.store(s)


def _new_product(sweep: BlockSweep, s: SweepEquation, shape: tuple[int, ...], call: str) -> View:
    """Scratch for a product, after a call that fills a matrix."""
    v = s.equation.outputs[0]
    matrix = sweep.new_block(Var(v.aval) if sweep.lane_major else v, shape, matrix=True)
    sweep.lines.append(call.format(matrix.base))
    if not sweep.lane_major:
        return matrix
    out = sweep.new_block(v, shape)
    sweep.lines += copy_lines(out, matrix, True)
    return out


def _emit_sum_over_rows(sweep: BlockSweep, s: SweepEquation) -> None:
    """A sum over rows of outer products: two blocks multiplied, added to the total."""
    sides, shapes = [], []
    shared = 1
    contract = s.equation.params["contract"]
    for x, use, axes in zip(s.equation.operands, s.uses, contract, strict=True):
        source = _whole_rows(sweep, x, use)
        lanes = without_axis([a for a in axes if a != use.axis], use.axis)
        free = [k for k in range(len(source.shape)) if k not in lanes]
        sides.append(_matrix(sweep, x, source.transpose([*lanes, *free])))
        shapes.append(size_of([source.shape[k] for k in free]))
        shared = size_of([source.shape[k] for k in lanes])
    v = s.equation.outputs[0]
    total = sweep.arguments.sum(v).name
    a, b = shapes
    sweep.scratch[f"{total}b"] = kind_of(v), a * b
    n = f"{shared} * n"
    x2, y2 = sides
    sweep.lines.append(f"row_product({x2}, {y2}, {total}b, {n}, {a}, {b})")
    sweep.lines += [f"for i in range({a * b}):", f"    {total}[i] += {total}b[i]"]


def _whole_rows(sweep: BlockSweep, x: Any, use: Use) -> View:
    """Where an operand lies row after row, and not transposed, if it is read from memory."""
    return sweep.rows_of(x, use) if use.kind == "rows" else sweep.read(x, use)


def _matrix(sweep: BlockSweep, x: Any, view: View) -> str:
    """The name of a block that holds this view densely, row after row."""
    if view.flat and not view.offset:
        return view.base
    dense = sweep.new_block(Var(x.aval), view.shape, matrix=True)
    sweep.lines += copy_lines(dense, view, False)
    return dense.base


# Interpreted


def accepts(e: Equation) -> bool:
    kinds = {x.aval.dtype.str[1:] for x in (*e.operands, *e.outputs)}
    return kinds in ({"f4"}, {"f8"}) and contraction_of(e).multiplications <= MULTIPLICATIONS


def assemble(program: PackedProgram, e: Equation) -> Lanes:
    """Matrix products, one for each index along batch axes."""
    (x, y), c = e.operands, contraction_of(e)
    a, read_a = program.arranged(x, [*c.batch[0], *c.free[0], *c.contract[0]])
    b, read_b = program.arranged(y, [*c.batch[1], *c.free[1], *c.contract[1]])
    out, target = program.new(kind_of(e.outputs[0]), e.outputs[0].aval.shape)
    rows, columns, length = c.n, c.m, c.k
    table = program.table([columns, length])
    opcode = Opcode("dot", out.kind, (out.kind, out.kind))
    for k in range(c.count):
        starts = (a + k * rows * length, b + k * columns * length, table)
        program.add(opcode, rows, target + k * rows * columns, *starts)
    program.release(read_a)
    program.release(read_b)
    return out


def _dot_lines(opcode: Opcode) -> list[str]:
    """Rows of one matrix with rows of another; sums in float64."""
    memory, kind = memory_name(opcode.result), opcode.result
    return [
        "rows = tables[c]",
        "length = tables[c + 1]",
        "for l in range(code[p + 1]):",
        "    for k in range(rows):",
        "        t = f64(0)",
        "        for j in range(length):",
        f"            x = {memory}[a + l * length + j]",
        f"            t = t + f64(x) * f64({memory}[b + k * length + j])",
        f"        {memory}[d + l * rows + k] = {kind}(t)",
    ]


EMITTER = Emitter(
    joins=joins,
    cost=cost,
    emit=emit,
    emit_unrolled=None,
    assembler=Assembler(assemble, accepts, {"dot": _dot_lines}),
    calls_blas=True,
)

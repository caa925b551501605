"""Rows of a table read at indices, and rows added at indices, inside a sweep.

Indices are checked, a block at a time, before they are used. Updates of a table that is the same
for all rows are added in the order of the rows, in float64, to a table of the segment.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.compile_cost import COPY
from gpuad.codegen.cpu.block_sweep import BlockSweep
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.codegen.cpu.instructions import Opcode, memory_name, scalar_form
from gpuad.codegen.cpu.loops import copy_lines, nest_lines, out_of_bounds_lines
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.cpu.packed_program import PackedProgram
from gpuad.codegen.cpu.unrolled_sweep import Names, UnrolledSweep
from gpuad.codegen.structure import row_shape
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Equation, Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation
from gpuad.plan.roles import is_scatter_add

TABLE_VALUES = 1 << 12
"""Each segment of rows adds to a table of its own of at most so many values; a larger table is
updated by one library call."""


def joins_gather(e: Equation) -> bool:
    return e.params["batch"] < 2


def joins_scatter(e: Equation) -> bool:
    if not is_scatter_add(e):
        return False
    small = e.params["batch"] == 1 or e.outputs[0].aval.size <= TABLE_VALUES
    return e.params["batch"] < 2 and small and e.outputs[0].aval.dtype.kind == "f"


def cost(s: SweepEquation) -> int:
    return COPY


def updated_lanes(s: SweepEquation) -> tuple[int, ...]:
    """The lanes of a scatter: of its updates, if they are summed over rows."""
    if s.axis is not None:
        return row_shape(s)
    return inner(s.equation.operands[1].aval.shape, s.uses[1].axis)


def table_shape(e: Equation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a table along which it is looked up, and the others."""
    shape = e.operands[0].aval.shape[e.params["batch"] :]
    count = len(e.operands) - (1 if e.primitive.role is Role.GATHER else 2)
    return shape[:count], shape[count:]


# In blocks of rows


def emit_gather(sweep: BlockSweep, s: SweepEquation) -> None:
    e, v = s.equation, s.equation.outputs[0]
    x, use = e.operands[0], s.uses[0]
    table = _table(sweep, x) if use.kind == "free" else sweep.read(x, use)
    target = sweep.views[v] = sweep.new_block(v, row_shape(s))
    indices = _checked_indices(sweep, s, 1)
    sweep.lines += nest_lines(
        target.shape, sweep.lane_major, _lines_at_indices(indices, table, target, "{1} = {0}")
    )
    sweep.store(s)


def emit_scatter(sweep: BlockSweep, s: SweepEquation) -> None:
    e, v = s.equation, s.equation.outputs[0]
    x = e.operands[0]
    update = sweep.read(e.operands[1], s.uses[1])
    if s.axis is not None:
        table = sweep.views[v] = sweep.new_block(v, row_shape(s))
        sweep.lines += copy_lines(table, sweep.read(x, s.uses[0]), sweep.lane_major)
    else:
        _table(sweep, x)
        total = sweep.arguments.sum(v, base=x).name
        table = View(total, x.aval.shape, contiguous(x.aval.shape), 0)
    indices = _checked_indices(sweep, s, 2)
    sweep.lines += nest_lines(
        update.shape, False, _lines_at_indices(indices, table, update, "{0} += {1}")
    )
    sweep.store(s)


def _table(sweep: BlockSweep, x: Any) -> View:
    """An array in memory with its axes as they are."""
    known = sweep.arguments.reads.get((x, "free", None))
    key = (x, "table", None) if known is None or known.order is not None else None
    name = sweep.arguments.read(x, "free", None, key=key).name
    return View(name, x.aval.shape, contiguous(x.aval.shape), 0)


def _lines_at_indices(
    indices: Sequence[View], table: View, lanes: View, text: str
) -> Callable[[Sequence[str]], list[str]]:
    """What writes the lines for one lane: `text`, with the element of the table as ``{0}`` and that
    of the lanes as ``{1}``."""
    rest = len(lanes.shape) - len(indices[0].shape)
    spread = [i.broadcast(lanes.shape, range(len(i.shape))) for i in indices]

    def body(names: Sequence[str]) -> list[str]:
        lines = [f"p{k} = {i.base}[{i.index('r', names)}]" for k, i in enumerate(spread)]
        of_rest = names[len(names) - rest :]
        found = [f"p{k}" for k in range(len(spread))]
        element = f"{table.base}[{table.index('r', [*found, *of_rest])}]"
        lane = f"{lanes.base}[{lanes.index('r', names)}]"
        return [*lines, text.format(element, lane)]

    return body


def _checked_indices(sweep: BlockSweep, s: SweepEquation, first: int) -> list[View]:
    """Writes lines that check the indices, the operands from `first`, and gives their views."""
    sweep.nested = True
    sizes, _ = table_shape(s.equation)
    views = sweep.operands(s, first)

    def body(names: Sequence[str]) -> list[str]:
        return [
            line
            for view, n in zip(views, sizes, strict=True)
            for line in (
                f"p = {view.base}[{view.index('r', names)}]",
                f"found &= (p >= 0) & (p < {n})",
            )
        ]

    sweep.lines += ["found = True", *nest_lines(views[0].shape, sweep.lane_major, body)]
    sweep.lines += out_of_bounds_lines(sizes)
    return views


# Unrolled


def emit_gather_unrolled(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    x = s.equation.operands[0]
    if s.equation.params["batch"]:
        return _gather_from_row(sweep, s)
    table = sweep.arguments.read(x, "free").name
    _, rest = table_shape(s.equation)
    indices, size = _row_indices(sweep, s, 1), size_of(rest)
    out = np.empty((*indices.shape, size), object)
    for i in np.ndindex(*out.shape):
        index = indices[i[:-1]]
        element = index if size == 1 else f"{size} * {index} + {i[-1]}"
        out[i] = sweep.line(f"{table}[{element}]")
    return out.reshape((*indices.shape, *rest))


def emit_scatter_unrolled(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    """Updates go to scratch, lane by lane, and are added after the loop."""
    e, v = s.equation, s.equation.outputs[0]
    x, u = e.operands[:2]
    if e.params["batch"]:
        return _scatter_to_row(sweep, s)
    sweep.arguments.read(x, "free")
    total = sweep.arguments.sum(v, base=x).name
    indices, update = _row_indices(sweep, s, 2), sweep.operand(u, s.uses[1])
    stride, size = sweep.tiles.stride, size_of(table_shape(e)[1])
    sweep.scratch[f"{total}p"] = "i64", indices.size * stride
    sweep.scratch[f"{total}u"] = kind_of(u), update.size * stride
    for letter, names in (("p", indices), ("u", update)):
        for j, n in enumerate(names.ravel()):
            sweep.lines.append(f"{total}{letter}[{stride * j} + r] = {n}")
    sweep.after[total] = (
        f"add_at_places({total}p, {total}u, {total}, n, {indices.size}, {size}, {stride})"
    )
    return np.empty((), object)


def scatter_bytes(s: SweepEquation) -> int:
    """Bytes of scratch for the updates of a table and their indices, by row."""
    if s.axis is not None:
        return 0
    pairs = zip(s.equation.operands[1:], s.uses[1:], strict=True)
    return sum(size_of(inner(x.aval.shape, u.axis)) * x.aval.dtype.itemsize for x, u in pairs)


def _row_indices(sweep: UnrolledSweep, s: SweepEquation, first: int) -> Names:
    """The names of the indices of a table's rows, clamped to the table. The operands from `first`
    are the indices along each of its axes."""
    sizes, _ = table_shape(s.equation)
    operands = sweep.operands(s, first)
    indices = np.empty(operands[0].shape, object)
    found = sweep.in_bounds.setdefault(sizes, f"found{len(sweep.in_bounds)}")
    for i in np.ndindex(*indices.shape):
        inside = []
        for index, n in zip(operands, sizes, strict=True):
            inside.append(sweep.line(f"min(max({index[i]}, 0), {n - 1})"))
            sweep.lines.append(f"{found} &= {inside[-1]} == {index[i]}")
        indices[i] = sweep.line(_row_index(inside, sizes))
    return indices


def _row_index(indices: Sequence[str], sizes: Sequence[int]) -> str:
    """The index of a table's row, from one index for each of its axes."""
    text = indices[0]
    for index, n in zip(indices[1:], sizes[1:], strict=True):
        text = f"({text}) * {n} + {index}"
    return text


def _own_table(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    """The names of the table of this row, by index."""
    size = size_of(table_shape(s.equation)[1])
    return sweep.operand(s.equation.operands[0], s.uses[0]).reshape(-1, size)


def _gather_from_row(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    """The elements at indices of a row's own table, each selected from all of it."""
    table, indices = _own_table(sweep, s), _row_indices(sweep, s, 1)
    out = np.empty((*indices.shape, table.shape[1]), object)
    for *i, j in np.ndindex(*out.shape):
        out[(*i, j)] = str(table[0, j])
        for k in range(1, len(table)):
            choice = f"where({indices[tuple(i)]} == {k}, {table[k, j]}, {out[(*i, j)]})"
            out[(*i, j)] = sweep.line(choice)
    return out.reshape(row_shape(s))


def _scatter_to_row(sweep: UnrolledSweep, s: SweepEquation) -> Names:
    """A row's own table with updates added at indices."""
    table, indices = _own_table(sweep, s).copy(), _row_indices(sweep, s, 2)
    updates = sweep.operand(s.equation.operands[1], s.uses[1])
    updates = updates.reshape((*indices.shape, -1))
    for *i, j in np.ndindex(*updates.shape):
        for k in range(len(table)):
            old = table[k, j]
            added = f"{old} + {updates[(*i, j)]}"
            table[k, j] = sweep.line(f"where({indices[tuple(i)]} == {k}, {added}, {old})")
    return table.reshape(row_shape(s))


# Interpreted

SCATTERS = {"sum": "add_rows", "set": "set_rows"}
"""The form of its opcode, by the combiner of a scatter."""


def accepts_gather(e: Equation) -> bool:
    return True


def accepts_scatter(e: Equation) -> bool:
    adds_booleans = is_scatter_add(e) and e.outputs[0].aval.dtype.kind == "b"
    return e.primitive.combiner in SCATTERS and not adds_booleans


def assemble_gather(program: PackedProgram, e: Equation) -> Lanes:
    shape = e.outputs[0].aval.shape
    table = program.packed(program.operand(e.operands[0]))
    index, start = _index(program, e, e.operands[1:])
    out, target = program.new(kind_of(e.outputs[0]), shape)
    lanes = size_of(index.shape)
    opcode = Opcode("gather_rows", out.kind, (out.kind, "i64"))
    program.add(opcode, lanes, target, table, start, size_of(shape) // lanes)
    program.release(index)
    return out


def assemble_scatter(program: PackedProgram, e: Equation) -> Lanes:
    shape = e.outputs[0].aval.shape
    table, updates = [program.packed(program.operand(x)) for x in e.operands[:2]]
    index, start = _index(program, e, e.operands[2:])
    out, target = program.new(kind_of(e.outputs[0]), shape)
    lanes = size_of(index.shape)
    copy = Opcode(scalar_form(size_of(shape)), out.kind, (out.kind,), "x", out.kind)
    program.add(copy, size_of(shape), target, table)
    rest = e.operands[1].aval.size // lanes
    opcode = Opcode(SCATTERS[e.primitive.combiner], out.kind, (out.kind, "i64"))
    program.add(opcode, lanes, target, updates, start, rest)
    program.release(index)
    return out


def _index(program: PackedProgram, e: Equation, indices: Sequence[Any]) -> tuple[Lanes, int]:
    """Indices along several axes, batch axes before them, as one; and where it starts."""
    table, batch = e.operands[0].aval.shape, e.params["batch"]
    shape = indices[0].aval.shape
    lanes, memory = size_of(shape), program.memory_of("i64")
    own = np.arange(size_of(shape[:batch])).repeat(lanes // size_of(shape[:batch]))
    start = memory.constant(own, lanes)
    before = Lanes("i64", shape, start, ())
    opcode = Opcode("index", "i64", ("i64", "i64"))
    for x, size in zip(indices, table[batch:], strict=False):
        along = program.packed(_spread(program, x, shape))
        after, target = program.new("i64", shape)
        program.add(opcode, lanes, target, start, along, program.table([size]))
        program.release(before)
        before, start = after, target
    return before, start


def _spread(program: PackedProgram, x: Any, shape: tuple[int, ...]) -> Lanes:
    """An index of this shape, or a number for all its elements."""
    if type(x) is Var:
        return program.values[x]
    start = program.memory_of("i64").constant(x.value, size_of(shape))
    return Lanes("i64", shape, start, ())


def _index_lines(opcode: Opcode) -> list[str]:
    """One index of that so far and one along a further axis, whose length a table has."""
    return [
        "size = tables[c]",
        "for l in range(code[p + 1]):",
        "    j = mi64[b + l]",
        "    if (j < 0) | (j >= size):",
        "        raise IndexError('an index is out of bounds')",
        "    mi64[d + l] = mi64[a + l] * size + j",
    ]


def _gather_lines(opcode: Opcode) -> list[str]:
    memory = memory_name(opcode.result)
    return [
        "for l in range(code[p + 1]):",
        "    j = a + mi64[b + l] * c",
        "    for k in range(c):",
        f"        {memory}[d + l * c + k] = {memory}[j + k]",
    ]


def _scatter_lines(opcode: Opcode) -> list[str]:
    memory = memory_name(opcode.result)
    sign = "+=" if opcode.form == "add_rows" else "="
    return [
        "for l in range(code[p + 1]):",
        "    j = d + mi64[b + l] * c",
        "    for k in range(c):",
        f"        {memory}[j + k] {sign} {memory}[a + l * c + k]",
    ]


GATHER = Emitter(
    joins=joins_gather,
    cost=cost,
    emit=emit_gather,
    emit_unrolled=emit_gather_unrolled,
    assembler=Assembler(
        assemble_gather, accepts_gather, {"index": _index_lines, "gather_rows": _gather_lines}
    ),
)
SCATTER = Emitter(
    joins=joins_scatter,
    cost=cost,
    emit=emit_scatter,
    emit_unrolled=emit_scatter_unrolled,
    assembler=Assembler(
        assemble_scatter,
        accepts_scatter,
        {"index": _index_lines, "add_rows": _scatter_lines, "set_rows": _scatter_lines},
    ),
    lanes=updated_lanes,
    unrolled_bytes=scatter_bytes,
)

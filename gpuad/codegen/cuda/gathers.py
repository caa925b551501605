"""Rows of a table read at indices, inside a kernel.

The index of a row is clamped to the table once, so that a wrong index reads a wrong row and never
memory outside. The elements of the row are loaded in vectors, where they lie together: threads read
rows far from each other, and each load of a warp then touches a sector for each of its threads.

A row of 11 floats begins where no vector may. A table of which many rows are read is copied with
its rows filled up, to 12: three loads of a row in place of eleven. (Rows of a table and of its
tangent side by side would be 96 bytes, three sectors in place of four; it is one load less in
twelve, and an executor that puts several arrays together.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import Filled, kind_of
from gpuad.codegen.cuda.cells import Cells, Unsuitable, held_shape
from gpuad.codegen.cuda.instruction_order import what_computes
from gpuad.codegen.cuda.layout import VECTOR_BYTES, Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Equation, Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation

EARLY = 16
"""Lines that an index takes, at most, if rows are to be loaded before other lines."""
READ_AGAIN = 4
"""Times that each row of a table is read, at least, if its rows are filled up: the copy reads and
writes the table once."""
MUCH = 1 << 20
"""Bytes that are read of a table, at least, if its rows are filled up: the copy is two more
launches."""
VECTORS = ("f32", "f64", "i32", "i64")
"""The types whose vectors are loaded."""


def joins_gather(e: Equation) -> bool:
    """Whether a kernel can read these rows: all rows have one table."""
    return not e.params["batch"]


def table_shape(e: Equation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a table along which it is indexed, and the others."""
    shape = e.operands[0].aval.shape
    indexed = len(e.operands) - (1 if e.primitive.role is Role.GATHER else 2)
    return shape[:indexed], shape[indexed:]


def filled_tables(sweep: Sequence[SweepEquation], layout: Layout) -> dict[Var, Filled]:
    """The tables of a sweep whose rows are filled up: those from which threads read whole rows,
    and nothing else."""
    found: dict[Var, set[Filled | None]] = {}
    for s in sweep:
        for k, (x, use) in enumerate(zip(s.equation.operands, s.uses, strict=True)):
            if type(x) is Var and use.kind != "block":
                filled = _filled(s.equation, layout) if k == 0 else None
                found.setdefault(x, set()).add(filled)
    return {x: f for x, several in found.items() for f in several if f and len(several) == 1}


def _filled(e: Equation, layout: Layout) -> Filled | None:
    """How the rows of the table of a gather are to be filled up; None if they are not."""
    if e.primitive.role is not Role.GATHER:
        return None
    table, rest = e.operands[0].aval, table_shape(e)[1]
    width, several = size_of(rest), VECTOR_BYTES // table.dtype.itemsize
    length = -(-width // several) * several
    again = e.outputs[0].aval.size >= READ_AGAIN * table.size
    much = e.outputs[0].aval.nbytes >= MUCH
    vectors = kind_of(e.operands[0]) in VECTORS and not layout.long_axes(rest)
    # Fewer loads by more than what they read for nothing.
    few = several < width < length <= 2 * width
    return Filled(width, length) if vectors and few and again and much else None


def emit_gather(writer: Any, s: SweepEquation, operands: list[Any], u: int, scope: Scope) -> Cells:
    """The names of the elements of a row's rows of a table."""
    table, *indices = operands
    if writer.layout.family == "pair" or not isinstance(table, View) or table.row:
        raise Unsuitable("rows of a table in a loop over lanes")
    indexed, rest = table_shape(s.equation)
    cells = [writer._cells(x, u, scope) for x in indices]
    shape = inner(s.equation.outputs[0].aval.shape, s.axis)
    if len(writer.layout.long_axes(shape)) > 1:
        raise Unsuitable("a value has two axes of lanes")
    held = held_shape(shape, writer.layout)
    out = np.empty(held, object)
    row = _TableRow(writer, s.equation.operands[0], table.base, rest, scope)
    for i in np.ndindex(*cells[0].names.shape):
        given = [c.names[i] for c in cells]
        place = flat_indices(given, indexed, scope)
        row.early = _is_early(writer, place, scope)
        for j in np.ndindex(*held[len(i) :]):
            out[(*i, *j)] = row.element(place, j)
    return Cells(out, shape)


def _is_early(writer: Any, place: Any, scope: Scope) -> bool:
    """Whether an index of a few lines can be computed before all other lines, which it then is: the
    rows that it points to are loaded with all else."""
    if writer.layout.group > 1 or scope is not writer.row:
        return False
    lines = what_computes(place, scope.lines)
    if lines is None or len(lines) > EARLY:
        return False
    scope.loads += lines
    scope.lines[:] = [line for line in scope.lines if line not in lines]
    return True


def flat_indices(given: Sequence[Any], sizes: Sequence[int], scope: Scope) -> Any:
    """The name of the number of a table's row, by its index along each axis, or one for each slot
    of lanes."""
    slots = max([len(x) for x in given if isinstance(x, tuple)], default=0)
    if not slots:
        return flat_index(given, sizes, scope)
    each = [x if isinstance(x, tuple) else (x,) * slots for x in given]
    return tuple([flat_index([x[k] for x in each], sizes, scope) for k in range(slots)])


def flat_index(given: Sequence[str], sizes: Sequence[int], scope: Scope) -> str:
    """The name of the number of a table's row, each index clamped to its axis."""
    inside = [scope.named(f"min(max({x}, 0), {n - 1})") for x, n in zip(given, sizes, strict=True)]
    text = inside[0]
    for x, n in zip(inside[1:], sizes[1:], strict=True):
        text = f"({text}) * {n} + {x}"
    return scope.named(text)


class _TableRow:
    """Loads of the elements of a table's rows."""

    def __init__(self, writer: Any, x: Any, base: str, rest: tuple[int, ...], scope: Scope):
        self._writer, self._base, self._rest, self._scope = writer, base, rest, scope
        self._width, self._strides = size_of(rest), contiguous(rest)
        self.early = False
        """Whether the index is known before other lines."""
        a = writer.reads.get(x)
        if a is not None and a.filled:
            self._width = a.filled.length
        itemsize = x.aval.dtype.itemsize
        fit = [n for n in (4, 2) if n * itemsize <= VECTOR_BYTES and self._width % n == 0]
        vectors = a is not None and kind_of(x) in VECTORS and not writer.layout.long_axes(rest)
        self._vector = next(iter(fit), 1) if vectors else 1

    def element(self, row: Any, place: tuple[int, ...]) -> Any:
        """The names at one place of a row; `row` has a name for each slot where the indices have
        lanes."""
        long = self._writer.layout.long_axes(self._rest)
        offset = sum([i * n for i, n in zip(place, self._strides, strict=True)])
        if isinstance(row, tuple):
            return tuple([self._load(r, str(offset)) for r in row])
        if not long:
            return self._load(row, str(offset)) if self._vector == 1 else self._part(row, offset)
        lanes, stride = self._rest[long[0]], self._strides[long[0]]
        slots = range(self._writer.layout.slots(lanes))
        texts = [f"{self._writer._lane(lanes, k)} * {stride} + {offset}" for k in slots]
        return tuple([self._load(row, text) for text in texts])

    def _part(self, row: str, offset: int) -> str:
        """The element at this place of a row, of a vector of them."""
        n = self._vector
        self._writer.aligned.add(self._base)
        text = f"load{n}({self._base}, {row} * {self._width} + {offset // n * n})"
        return self._scope.several(text, n, early=self.early)[offset % n]

    def _load(self, row: str, offset: str) -> str:
        text = f"{self._base}[{row} * {self._width} + {offset}]"
        text = f"({text} != 0)" if self._base in self._writer._booleans else text
        return self._scope.loaded(text) if self.early else self._scope.named(text)

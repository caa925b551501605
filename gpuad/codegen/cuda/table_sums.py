"""Sums over rows that go to places of a table: a scatter-add inside a kernel.

Each block of threads has a table of its own in shared memory, with all of a multiprocessor's if it
is large. In a round of rows, threads of a warp with the same place add up their updates by
shuffles, over a tree that depends on the threads only; then one of them adds the sum to the table,
and warps take turns. Nothing is atomic: the order is the same in every run.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.gathers import flat_index, table_shape
from gpuad.codegen.cuda.layout import LARGE_TABLE, SMALL_TABLES, THREADS, Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import BLOCKS, SIZES, Sum
from gpuad.codegen.views import View, size_of
from gpuad.ir.graph import Equation
from gpuad.kernels import cuda_text
from gpuad.plan.plan import SweepEquation
from gpuad.plan.roles import is_scatter_add

UNROLLED = 8
"""Values of a table that a thread begins, or leaves, at a time."""
PLACES = 8
"""Updates of a row to one table, at most: warps take turns for each."""
UPDATE = 32
"""Values of an update, at most: a thread holds them."""
LITTLE = 1 << 12
"""Values of the tables of all blocks that are written in any case."""


def joins_scatter(e: Equation) -> bool:
    """Whether a kernel can add these updates: to one small table, which has fewer values, in all
    blocks together, than there are in the updates."""
    if not is_scatter_add(e) or e.params["batch"] or kind_of(e.outputs[0]) not in ("f32", "f64"):
        return False
    x, u, index = [v.aval for v in e.operands[:3]]
    _, rest = table_shape(e)
    blocks = min(BLOCKS, -(-index.size // THREADS))
    few = size_of(rest) <= UPDATE and x.nbytes <= LARGE_TABLE
    return few and x.size * blocks <= max(u.size, LITTLE)


@dataclass
class Table:
    """The table of a block: `name` is its array in the text; `x` is the array that it is added
    to."""

    total: Sum
    x: str
    name: str


class TableSums:
    """The tables of a kernel, and the lines that fill them."""

    def __init__(self, layout: Layout) -> None:
        self.tables: list[Table] = []
        self._layout = layout

    @property
    def shared_bytes(self) -> int:
        """Of all tables but one that has the shared memory of a multiprocessor."""
        return self._bytes - self._layout.table_bytes

    @property
    def _bytes(self) -> int:
        return sum(t.total.size * SIZES[t.total.kind] for t in self.tables)

    @property
    def values(self) -> int:
        """Of all tables."""
        return sum(t.total.size for t in self.tables)

    def add(self, total: Sum, x: str) -> Table:
        """A table for a sum."""
        self.tables.append(Table(total, x, f"table{len(self.tables)}"))
        if self._bytes > max(SMALL_TABLES, self._layout.table_bytes):
            raise Unsuitable("tables larger than what a block has of shared memory")
        return self.tables[-1]

    def before(self) -> list[str]:
        """Lines that begin a table: the first one with what it is added to."""
        lines = []
        for t in self.tables:
            kind, size = t.total.kind, t.total.size
            lines.append(f"{t.name} = cuda.shared.array({size}, {kind})")
            lines.append("if low + cuda.blockIdx.x == 0:")
            lines += cuda_text.indented(self._each(size, f"{t.name}[i] = {t.x}[i]"))
            lines.append("else:")
            lines += cuda_text.indented(self._each(size, f"{t.name}[i] = {kind}(0)"))
        return lines

    def after(self, sizes: dict[str, int]) -> list[str]:
        """Lines that leave the tables among the partial sums; `sizes` are, by dtype, the values of
        all sums."""
        lines = ["cuda.syncthreads()"] if self.tables else []
        for k, t in enumerate(self.tables):
            kind = t.total.kind
            lines.append(f"to{k} = cuda.blockIdx.x * {sizes[kind]} + {t.total.start}")
            lines += self._each(t.total.size, f"c_{kind}[to{k} + i] = {t.name}[i]")
        return lines

    def _each(self, size: int, line: str) -> list[str]:
        """A loop of the threads of a block over the values of a table."""
        threads = self._layout.threads
        whole = size // (UNROLLED * threads) * UNROLLED * threads
        unrolled = [line.replace("i]", f"i + {k * threads}]") for k in range(UNROLLED)]
        lines = []
        if whole:
            lines += [f"for i in range(t, {whole}, {UNROLLED * threads}):"]
            lines += cuda_text.indented(unrolled)
        if size > whole:
            lines += [f"for i in range({whole} + t, {size}, {threads}):", f"    {line}"]
        return lines


def emit_scatter(writer: Any, s: SweepEquation, operands: list[Any], u: int, scope: Scope) -> None:
    """Adds the updates of one row for each thread to the table of the block."""
    x, update, *indices = operands
    one_thread = writer.layout.group == 1 and writer.layout.family != "pair"
    if s.axis is not None or not one_thread or not isinstance(x, View):
        raise Unsuitable("updates of a table by several threads")
    table = writer.sums.table(s.equation.outputs[0], x.base)
    updates = writer._cells(update, u, scope).names
    cells = [writer._cells(i, u, scope).names for i in indices]
    if cells[0].size > PLACES:
        raise Unsuitable("many updates of a table in a row")
    sizes, rest = table_shape(s.equation)
    for i in np.ndindex(*cells[0].shape):
        given = [c[i] for c in cells]
        place = flat_index(given, sizes, scope)
        inside = [f"0 <= {p} < {n}" for p, n in zip(given, sizes, strict=True)]
        counts = scope.named(" and ".join([f"live{u}", *inside]))
        values = [str(updates[(*i, *j)]) for j in np.ndindex(*rest)]
        scope.lines += _added(table, place, counts, values, writer.layout.threads)


def _added(table: Table, place: str, counts: str, values: list[str], threads: int) -> list[str]:
    """Lines that add the values of each thread at its place, those of threads with the same place
    added up before."""
    kind, names = table.total.kind, [f"w{k}" for k in range(len(values))]
    own = [f"{w} = {x} if {counts} else {kind}(0)" for w, x in zip(names, values, strict=True)]
    lines = [
        *own,
        f"peers = cuda.match_any_sync(-1, i32({place}))",
        "following = i64(cuda.ffs(peers & (4294967294 << (t & 31)) & 4294967295))",
        "leads = i32(t >> 5) if peers & ((1 << (t & 31)) - 1) == 0 else i32(-1)",
        "while cuda.any_sync(-1, following > 0):",
        "    source = i32(max(following - 1, 0))",
    ]
    for w in names:
        moved = cuda_text.moved_by("cuda.shfl_sync(-1, {}, source)", w, kind)
        lines += [f"    other_{kind} = {moved}"]
        lines += [f"    {w} += other_{kind} if following > 0 else {kind}(0)"]
    lines.append("    further = cuda.shfl_sync(-1, i32(following), source)")
    lines.append("    following = i64(further) if following > 0 else i64(0)")
    lines += ["turn = i32(0)", f"while turn < {threads // cuda_text.WARP}:"]
    lines += ["    cuda.syncthreads()", "    if turn == leads:"]
    own = [f"{table.name}[{place} * {len(names)} + {k}]" for k in range(len(names))]
    lines += [f"        {w} += {x}" for w, x in zip(names, own, strict=True)]
    lines += [f"        {x} = {w}" for w, x in zip(names, own, strict=True)]
    lines.append("    turn = i32(turn + 1)")
    return lines

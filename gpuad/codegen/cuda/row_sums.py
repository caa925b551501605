"""Sums over rows in a kernel: each thread adds up its own, and a block combines them at the end."""

from typing import Any

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import index_text, memory_view
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.row_layouts import TWO_LEVELS
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import SECTOR, SIZES, Sum
from gpuad.codegen.cuda.table_sums import Table, TableSums
from gpuad.ir.graph import Var
from gpuad.kernels import cuda_text
from gpuad.kernels.cuda_text import BlockSum

MANY = 64
"""Partial sums of a block, at least, if they begin with a sector: whether a few do matters less
than the lines that fill them up."""


class RowSums:
    """The sums over rows of one kernel, and the accumulators of a thread for them.

    Attributes
    ----------
    sums : dict
        Where each sum lies among the partial sums of its dtype.
    sizes : dict
        By dtype, the number of values that all sums have together.
    tables : TableSums
        The sums whose values are added at places of a table.
    """

    def __init__(self, layout: Layout, once: Scope):
        self.sums: dict[Var, Sum] = {}
        self.sizes: dict[str, int] = {}
        self.tables = TableSums(layout)
        self._layout = layout
        self._once = once
        self._block_sums: list[tuple[BlockSum, Sum]] = []
        self._accumulators: dict[tuple[Var, int], list[str]] = {}

    def accumulators(
        self, v: Var, element: tuple[int, Any], slots: int, lanes: int, over_lanes: bool
    ) -> list[str]:
        """The names of the accumulators for an element of a sum, given by number and index: one for
        each slot of its lanes, or a single one if the sum is also over the lanes."""
        number, i = element
        key = (v, number)
        if key not in self._accumulators:
            self._accumulators[key] = self._new(v, i, slots, lanes, over_lanes)
        return self._accumulators[key]

    def _new(self, v: Var, i: Any, slots: int, lanes: int, over_lanes: bool) -> list[str]:
        kind, group = kind_of(v), self._layout.group
        self.total(v)
        by_lanes = bool(lanes) and not over_lanes
        spread = "lanes" if by_lanes else "threads" if over_lanes or group == 1 else "group"
        view = memory_view("", v.aval.shape, None)
        long = self._layout.long_axes(v.aval.shape)
        names = []
        for k in range(slots):
            names.append(self._once.variable(f"{kind}(0)"))
            lane = self._layout.lane(k) if by_lanes else "lane"
            place = index_text(view, "", i, f"({lane})", long[0] if long else None)
            inside = self._layout.inside(k, lanes) if by_lanes else ""
            block_sum = BlockSum(names[-1], kind, spread, place, inside)
            self._block_sums.append((block_sum, self.sums[v]))
        return names

    def total(self, v: Var) -> Sum:
        """Where a sum lies among the partial sums of its dtype."""
        if v not in self.sums:
            kind = kind_of(v)
            self.sums[v] = Sum(v, kind, self.sizes.get(kind, 0))
            self.sizes[kind] = self.sums[v].start + self.sums[v].size
        return self.sums[v]

    def table(self, v: Var, x: str) -> Table:
        """The table of a block for a sum that is added to the array `x`."""
        known = [t for t in self.tables.tables if t.total.var is v]
        return known[0] if known else self.tables.add(self.total(v), x)

    def filled_up(self) -> list[str]:
        """Lines that fill up the partial sums of a block, where there are many: those of each block
        then begin with a sector of memory."""
        lines = []
        for kind, size in self.sizes.items():
            missing = -size % (SECTOR // SIZES[kind])
            if size >= MANY and missing:
                self.sizes[kind] = size + missing
                place = f"cuda.blockIdx.x * {size + missing} + {size} + t"
                lines += [f"if t < {missing}:", f"    c_{kind}[{place}] = {kind}(0)"]
        return lines

    @property
    def registers(self) -> int:
        """Values that a thread holds for the sums all the time."""
        return len(self._block_sums) + len(self.in_two_levels())

    def in_two_levels(self) -> list[str]:
        """The accumulators of sums in two levels: those in float32, unless there are many."""
        names = [b.name for b, _ in self._block_sums if b.kind == "f32"]
        return names if len(names) <= TWO_LEVELS else []

    def finished(self) -> list[BlockSum]:
        """What a block combines when its rows are done, and where it puts that."""
        two_levels = set(self.in_two_levels())
        return [self._placed(b, s, b.name in two_levels) for b, s in self._block_sums]

    def stored(self, total: Sum, place: str, value: str) -> str:
        """The line that stores a value of a block at this place of a sum."""
        return f"{self._place(total, place)} = {value}"

    def _place(self, total: Sum, place: str) -> str:
        size = self.sizes[total.kind]
        return f"c_{total.kind}[cuda.blockIdx.x * {size} + {total.start} + {place}]"

    def _placed(self, block_sum: BlockSum, total: Sum, two_levels: bool) -> BlockSum:
        place = self._place(total, block_sum.place)
        name = cuda_text.whole_of(block_sum.name) if two_levels else block_sum.name
        return BlockSum(name, block_sum.kind, block_sum.spread, place, block_sum.inside)

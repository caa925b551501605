"""A sweep in blocks of rows, while it is written: where its values lie, and its lines so far."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cpu.lane_major import TRANSPOSED_AT_ONCE, is_tiled
from gpuad.codegen.cpu.loops import copy_lines, fill_lines
from gpuad.codegen.cpu.ordering import Item, values_kept
from gpuad.codegen.cpu.padding import Padding, PaddingRoom
from gpuad.codegen.cpu.placed_copies import Place
from gpuad.codegen.cpu.sweep_builder import SweepBuilder
from gpuad.codegen.structure import row_shape
from gpuad.codegen.views import SHORT, View, contiguous, loop_order, ordered, size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation, Use

BLOCK_BYTES = 256 * 1024
"""A block: what stays in a core's L2 cache, where loops over its rows must be long."""
LANE_BYTES = 32 * 1024
"""A block of loops along the lanes: what stays in a core's L1 cache; in L2 such loops take
1.4 times as long."""
LEAST_ROWS = 16
"""Of a block, unless all its loops are flat."""
LANE_MAJOR_LANES = 16
"""Up to so many lanes, scratch is laid out lane by lane, so that loops over rows vectorise."""
LANE_MAJOR_SHORT = 256
"""Up to so many, where no axis is long enough for a loop along it."""
ALIGNED = 16
"""Elements whose size is a multiple of a vector's."""


@dataclass(frozen=True)
class BlockForm:
    """How a sweep is written: whether scratch may be lane-major, the rows of a block (0: as many
    as suit), and whether functions are "fast" or "slow", which is right everywhere."""

    lane_major: bool = True
    block: int = 0
    speed: str = "fast"


AS_SUITS = BlockForm()


class BlockSweep(SweepBuilder):
    """What the emitters of a sweep in blocks share, beside that of every sweep.

    lane_major, kept
        Decided before anything is written: whether scratch is laid out lane by lane, and the values
        that need scratch.
    padding
        Which values have room for padding.
    views
        Where each value lies; for one in memory, by value, kind and axis of its use.
    nested
        Whether any loop is not flat.
    places
        The places in results of copies where values are stored by their loops.
    """

    def __init__(
        self,
        equations: Sequence[SweepEquation],
        stored: set[Var],
        order: Sequence[Item],
        form: BlockForm,
        calls_blas: bool,
    ):
        self.calls_blas = calls_blas
        self.lane_major = form.lane_major and _suits_lane_major(equations)
        self.kept = values_kept(order)
        over_rows = self.lane_major or calls_blas
        least = LEAST_ROWS if form.lane_major else 1
        block = form.block or block_rows(equations, self.kept, over_rows, least)
        super().__init__(equations, stored, block, form.speed)
        self.padding = Padding(equations)
        self.views: dict[Any, View] = {}
        self.nested = False
        self.places: dict[Var, list[Place]] = {}
        self._names: dict[Any, str] = {}

    def name(self, x: Any) -> str:
        return self._names.setdefault(x, f"v{len(self._names)}")

    def operands(self, s: SweepEquation, first: int = 0) -> list[View]:
        """Where the operands lie, from the one numbered `first`."""
        pairs = zip(s.equation.operands[first:], s.uses[first:], strict=True)
        return [self.read(x, use) for x, use in pairs]

    # Scratch

    def new_block(self, v: Var, shape: tuple[int, ...], matrix: bool = False) -> View:
        """Scratch for a value; for a `matrix`, with its last axis innermost."""
        name = f"w{self.name(v)[1:]}"
        room = None if matrix else self.padding.room_for(v, shape)
        whole = room.shape if room else shape
        lane_major = self.lane_major and not matrix
        # Lanes a power of two apart would be in one set of the cache.
        length = self.block + ALIGNED if lane_major else self.block
        self.scratch[name] = kind_of(v), size_of(whole) * length
        if lane_major:
            strides, row = tuple([s * length for s in contiguous(whole)]), 1
        else:
            strides = contiguous(whole) if matrix else ordered(whole, loop_order(shape))
            row = size_of(whole)
        view = View(name, shape, strides, row)
        if room:
            offset = sum(a * s for a, s in zip(room.low, strides, strict=True))
            view = replace(view, offset=offset)
            self.padding.rooms[view] = room
            self.before += fill_lines(name, size_of(whole) * length, f"{kind_of(v)}(0)")
        return view

    def new_spread_block(self, v: Var, shape: tuple[int, ...], width: int) -> View:
        """Scratch for a value whose rows are `width` apart, with room before it; a loop that also
        runs over what is between them writes to it."""
        name = f"w{self.name(v)[1:]}"
        room = -(-(width - size_of(shape)) // ALIGNED) * ALIGNED
        self.scratch[name] = kind_of(v), room + width * self.block
        view = View(name, shape, contiguous(shape), width, room)
        low = tuple([width - n if n > 1 else 0 for n in shape])
        whole = tuple([a + n for a, n in zip(low, shape, strict=True)])
        self.padding.rooms[view] = PaddingRoom(low, whole, True)
        return view

    # Arrays in memory

    def read(self, x: Any, use: Use) -> View:
        if use.kind == "block":
            return self.views[x]
        key = (x, use.kind, use.axis)
        if key not in self.views:
            self.views[key] = self._view_in_memory(x, use)
        return self.views[key]

    def _view_in_memory(self, x: Var, use: Use) -> View:
        """An array in memory as the loops of this sweep read it."""
        shape, rows = inner(x.aval.shape, use.axis), use.kind == "rows"
        a = self.arguments.read(x, use.kind, use.axis)
        least = TRANSPOSED_AT_ONCE.get(kind_of(x))
        if rows and self.lane_major and least is not None and size_of(shape) >= least:
            return self.tiles.view(a.name, x, shape, written=False)
        order = loop_order(shape)
        if not rows and order != sorted(order):
            # What is the same for all rows is laid out as the loops run.
            self.arguments.reads[x, use.kind, use.axis] = replace(a, order=tuple(order))
            return View(a.name, shape, ordered(shape, order), 0)
        return self.rows_of(x, use) if rows else View(a.name, shape, contiguous(shape), 0)

    def rows_of(self, x: Var, use: Use) -> View:
        """The rows of an array as they lie in memory."""
        shape = inner(x.aval.shape, use.axis)
        name = self.arguments.read(x, use.kind, use.axis).name
        return View(f"{name}b", shape, contiguous(shape), size_of(shape))

    def output(self, v: Var, axis: int) -> View:
        """The rows of an array that is written."""
        shape = inner(v.aval.shape, axis)
        name = self.arguments.write(v, axis).name
        if self.lane_major and is_tiled(v, size_of(shape)):
            return self.tiles.view(name, v, shape, written=True)
        return View(f"{name}b", shape, contiguous(shape), size_of(shape))

    def store(self, s: SweepEquation) -> None:
        """Copies a result to memory, if it is to be there."""
        v = s.equation.outputs[0]
        if v in self.stored and s.axis is not None:
            self.lines += copy_lines(self.output(v, s.axis), self.views[v], self.lane_major)


def _suits_lane_major(equations: Sequence[SweepEquation]) -> bool:
    lanes = [row_shape(s) for s in equations if s.axis is not None]
    most = max(map(size_of, lanes), default=1)
    longest = max([max(shape, default=1) for shape in lanes], default=1)
    return 1 < most <= (LANE_MAJOR_SHORT if longest <= SHORT else LANE_MAJOR_LANES)


def block_rows(
    equations: Sequence[SweepEquation], kept: Collection[Any], over_rows: bool, least: int
) -> int:
    """A power of two: as many rows as have their scratch in the cache, in L2 if the innermost
    loops are `over_rows`. There are at `least` so many, if L2 holds these; or if every row reads
    the same array, which a longer block reads less often."""
    width = 64
    for s in equations:
        v = s.equation.outputs[0]
        if s.axis is not None and v in kept and s.equation.primitive.role is not Role.VIEW:
            width += size_of(row_shape(s)) * v.aval.dtype.itemsize
    rows_read = {
        (x, use.axis): size_of(inner(x.aval.shape, use.axis)) * x.aval.dtype.itemsize
        for s in equations
        for x, use in zip(s.equation.operands, s.uses, strict=True)
        if use.kind == "rows"
    }
    width += sum(rows_read.values())
    size = BLOCK_BYTES if over_rows else min(BLOCK_BYTES, LANE_BYTES)
    in_common = [
        x.aval.size
        for s in equations
        for x, use in zip(s.equation.operands, s.uses, strict=True)
        if use.kind == "free"
    ]
    if not over_rows and max(in_common, default=1) == 1:
        least = min(least, BLOCK_BYTES // width)
    rows = max(1, least, size // width)
    return min(2048, 1 << rows.bit_length() - 1)

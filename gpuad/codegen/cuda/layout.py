"""How the work of a sweep is divided among threads: the kernel families.

At most one axis of a row is long: its elements are the lanes, which the threads of a group share.
The other axes are short, and the text of the kernel has every element along them. Without lanes
each thread has a row of its own.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gpuad.codegen.compile_cost import compile_cost
from gpuad.codegen.cuda.matrices import adds_to_block, multiplies_lanes, streams_matrix
from gpuad.codegen.cuda.row_layouts import FILLED, MOST_THREADS, group_of, row_work, shares
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.kernels.cuda_text import WARP
from gpuad.plan.plan import SweepEquation, Use
from gpuad.plan.roles import is_indexed, is_scatter_add

THREADS = 256
"""Threads of a block, if a group is no larger than a warp."""
WRITTEN_OUT = 64
"""Values that a thread holds of one row of one array, at most."""
FEW_VALUES = 16
"""A row of at most so many values is computed by one thread. A longer one is too, if threads cannot
share its lanes."""
SLOTS = 4
"""Lanes of each thread, where a thread has neither vectors nor several rows."""
HELD = 16
"""Values of one array that a thread holds then, at most: fewer lanes where a lane has several."""
VECTOR_BYTES = 16
"""Bytes that a thread loads or stores at once, at most."""
MOST_VECTOR = 4
"""Elements that it loads or stores at once, at most."""
MANY_REGISTERS = 128
"""With more of them, smaller blocks leave fewer registers of a multiprocessor unused."""
TILE_THREADS = 128
"""Threads of a block whose warps have rows of a tile in shared memory."""
PARKED = 120
"""Values of a row that a thread of a tile holds in registers, at most, if others have to wait in
shared memory."""
TRIED = 2
"""Ways to share rows that are tried: a kernel may need more registers than estimated."""
MOST_COST = 4000
"""Units of compile cost in a row that one thread computes: what is compiled in two seconds."""
MOST_LANES = 8192
"""Lanes that are held in registers, at most; a loop goes over more of them."""
MANY_ROWS = 4096
"""With so many rows, one warp for each fills a GPU."""
FEW_ROWS = 512
"""So few rows are divided among all threads that a block can have."""
COLUMNS = 1024
"""So many rows that lie side by side, with the elements of each far apart in memory, have a thread
each, so that neighbouring threads read neighbouring memory."""
AT_ONCE = 16
"""Values that a thread loads before it computes, in a loop over lanes of a row of its own."""
IN_FLIGHT = 4
"""Rows that a thread of a flat kernel loads before it computes."""
LIGHT, HEAVY = 100, 300
"""Units of compile cost of a row, up to which a flat kernel waits for memory more than it computes,
and from which its thread has two rows at a time: four would take more registers, and as long again
to compile."""
SEVERAL = 1 << 20
"""Rows of a flat kernel that is not light, at least, if a thread has several at a time: so many
fill a GPU with four for each thread."""
SMALL_TABLES = 32 * 1024
"""Bytes of the tables of a block to which updates are added, at most, if a multiprocessor is to
hold several blocks."""
LARGE_TABLE = 200 * 1024
"""Bytes of one table that has the shared memory of a multiprocessor, at most, on a GPU that has so
much."""
ONLY_BLOCK = (512, 256)
"""Threads of a block that has a multiprocessor for itself: the first number that its registers
allow."""


@dataclass(frozen=True)
class Layout:
    """A kernel family and its numbers.

    family: "flat" (a thread for each row of one value), "sample" (a thread for each row of several
    values), "row" (a group of threads for each row, its lanes in registers), "tile" (the same, with
    matrices that multiply the lanes in shared memory), "pair" (a group for each row, with a loop
    over its lanes).
    """

    family: str
    short: int
    """Axes up to this size are short, longer ones are lanes."""
    group: int
    """Threads of one row: a power of two."""
    threads: int
    """Threads of a block."""
    rows: int
    """Rows that a group works on at the same time."""
    vector: int = 1
    """Lanes that lie together in a thread, which loads and stores them at once; of a flat kernel,
    rows."""
    lanes: int = 1
    """Lanes of a row that a thread works on at the same time, in a loop over them."""
    table_bytes: int = 0
    """Of a large table in shared memory."""
    parked: int = 0
    """Values that a thread holds from line to line in registers, at most, if others are to wait in
    shared memory (see `parking`)."""

    @property
    def block_rows(self) -> int:
        """Rows that a block of threads works on at the same time."""
        return self.threads // self.group * self.rows

    def slots(self, lanes: int) -> int:
        """How many of a row's lanes each thread holds."""
        return 1 if self.family == "pair" else -(-lanes // (self.group * self.vector)) * self.vector

    def lane(self, slot: int) -> str:
        """The lane in a slot of each thread, as source text."""
        return self._of_vector(slot, slot % self.vector)

    def inside(self, slot: int, lanes: int) -> str:
        """The condition under which a slot holds a lane; empty if it always does. A vector is whole
        or has none."""
        if (slot // self.vector + 1) * self.group * self.vector <= lanes:
            return ""
        return f"{self._of_vector(slot, 0)} < {lanes}"

    def near_lane(self, slot: int, lanes: int) -> str:
        """The lane in a slot; past the last lane, that one again, or that vector."""
        if not self.inside(slot, lanes):
            return self.lane(slot)
        text = f"min({self._of_vector(slot, 0)}, {lanes - self.vector})"
        return f"{text} + {slot % self.vector}" if slot % self.vector else text

    def _of_vector(self, slot: int, place: int) -> str:
        """The lane at a place of the vector in which a slot is."""
        offset = slot // self.vector * self.group * self.vector + place
        text = "lane" if self.vector == 1 else f"lane * {self.vector}"
        return f"{text} + {offset}" if offset else text

    def long_axes(self, shape: Sequence[int]) -> list[int]:
        return [k for k, n in enumerate(shape) if n > self.short]


def row_shapes(sweep: Sequence[SweepEquation]) -> Iterator[tuple[int, ...]]:
    """The shapes of one row of each value that threads hold: not of views of what is in memory."""
    in_memory: set[Var] = set()
    for s in sweep:
        e = s.equation
        if e.primitive.role is Role.VIEW and (
            s.uses[0].kind != "block" or e.operands[0] in in_memory
        ):
            in_memory.add(e.outputs[0])
            continue
        yield from _held_shapes(s)


def _held_shapes(s: SweepEquation) -> list[tuple[int, ...]]:
    """The shapes of one row of the operands and the result of an equation, without a table that is
    read or added to at indices, without a matrix in shared memory or one that is loaded where it is
    used, and without sums that the threads of a block share."""
    e = s.equation
    if adds_to_block(s):
        return [inner(x.aval.shape, u.axis) for x, u in zip(e.operands, s.uses, strict=True)]
    if multiplies_lanes(e) or streams_matrix(s):
        pairs = [p for p in zip(e.operands, s.uses, strict=True) if p[1].kind != "free"]
        shapes = [inner(x.aval.shape, use.axis) for x, use in pairs]
        return [*shapes, inner(e.outputs[0].aval.shape, s.axis)]
    pairs = [*zip(e.operands, s.uses, strict=True), (e.outputs[0], Use("", s.axis))]
    shapes = [inner(x.aval.shape, use.axis) for x, use in pairs]
    if is_scatter_add(e):
        return shapes[1:-1]
    return shapes[1:] if is_indexed(e) else shapes


def layouts(sweep: Sequence[SweepEquation], rows: int) -> Iterator[Layout]:
    """The layouts that suit a sweep, the best one first."""
    shapes = list(set(row_shapes(sweep)))
    sums = [s.equation.outputs[0].aval.shape for s in sweep if adds_to_block(s)]
    widest = max(map(size_of, [*shapes, *sums]), default=1)
    few = widest <= FEW_VALUES
    fits_thread = widest <= WRITTEN_OUT and _unrolled_cost(sweep) <= MOST_COST
    work = _work(sweep)
    in_flight = IN_FLIGHT if widest == 1 and work <= LIGHT else 1
    threads = THREADS if widest <= FEW_VALUES // 2 else THREADS // 2 if few else 64
    one_thread = Layout("flat" if widest == 1 else "sample", WRITTEN_OUT, 1, threads, in_flight)
    table = max(map(_table_bytes, sweep), default=0)
    if fits_thread and widest == 1 and (work <= LIGHT or rows >= SEVERAL):
        n = IN_FLIGHT if work <= HEAVY else 2
        yield replace(one_thread, rows=n, vector=n)
    if fits_thread and SMALL_TABLES < table <= LARGE_TABLE:
        yield from [replace(one_thread, threads=n, table_bytes=table) for n in ONLY_BLOCK]
    if fits_thread and few:
        yield from _blocks(one_thread)
    if rows >= COLUMNS and _rows_innermost(sweep):
        yield from _blocks(one_thread) if fits_thread else _columns(sweep, shapes, rows)
    tried = set()
    for short in (32, 16, 8, 4, 3, 2, 1):
        long = tuple([tuple([n > short for n in shape]) for shape in shapes])
        if long not in tried:
            yield from _with_lanes(sweep, shapes, short, rows)
        tried.add(long)
    if fits_thread and not few:
        yield from _blocks(one_thread)


def _blocks(layout: Layout) -> Iterator[Layout]:
    """The layout, and with fewer threads, whose rows need less shared memory."""
    threads = layout.threads
    while threads >= WARP:
        yield replace(layout, threads=threads)
        threads = threads // 2 if layout.family == "sample" else 0


def _table_bytes(s: SweepEquation) -> int:
    """Of the table that the updates of an equation are added to."""
    return s.equation.outputs[0].aval.nbytes if is_scatter_add(s.equation) else 0


def _unrolled_cost(sweep: Sequence[SweepEquation]) -> int:
    """The compile cost of a row of which the text has every element."""
    total = 0
    for s in sweep:
        e = s.equation
        if e.primitive.role is Role.ELEMENTWISE or s.axis is None:
            shape = _held_shapes(s)[0] if e.operands else ()
            total += size_of(shape) * (compile_cost(s) if s.axis is not None else 8)
    return total


def _work(sweep: Sequence[SweepEquation]) -> float:
    """The compile cost of what a sweep computes of each element."""
    return sum(compile_cost(s) for s in sweep if s.equation.primitive.role is Role.ELEMENTWISE)


def _rows_innermost(sweep: Sequence[SweepEquation]) -> bool:
    """Whether neighbouring rows lie together in most of the memory that is read, not the elements
    of a row."""
    together = apart = 0
    for s in sweep:
        for x, use in zip(s.equation.operands, s.uses, strict=True):
            if use.kind == "rows" and x.aval.ndim > 1:
                if use.axis == x.aval.ndim - 1:
                    together += x.aval.nbytes
                else:
                    apart += x.aval.nbytes
    return together > apart


def _columns(
    sweep: Sequence[SweepEquation], shapes: list[tuple[int, ...]], rows: int
) -> Iterator[Layout]:
    """The layouts in which each thread has a row of its own, with a loop over its lanes."""
    threads = THREADS if rows >= FILLED else 64
    for short in (32, 8, 4, 1):
        long = [[n for n in shape if n > short] for shape in shapes]
        unrolled = max([size_of([n for n in shape if n <= short]) for shape in shapes])
        if unrolled <= HELD and not _contracts(sweep) and all(len(sizes) < 2 for sizes in long):
            yield Layout("pair", short, 1, threads, 1, lanes=max(1, AT_ONCE // unrolled))


def _contracts(sweep: Sequence[SweepEquation]) -> bool:
    return any(s.equation.primitive.role is Role.CONTRACTION for s in sweep)


def _with_lanes(
    sweep: Sequence[SweepEquation], shapes: list[tuple[int, ...]], short: int, rows: int
) -> Iterator[Layout]:
    """The layouts in which axes longer than `short` are lanes."""
    long = [[n for n in shape if n > short] for shape in shapes]
    lanes = max([max(sizes, default=1) for sizes in long], default=1)  # no shapes: only views
    if lanes == 1 or any(len(sizes) > 1 for sizes in long):
        return
    unrolled = max([size_of([n for n in shape if n <= short]) for shape in shapes])
    if unrolled > WRITTEN_OUT:
        return
    if any(multiplies_lanes(s.equation) for s in sweep):
        yield from _tiles(sweep, short, long)
    elif lanes <= MOST_LANES and 2 * unrolled <= WRITTEN_OUT:
        yield from _in_registers(sweep, short, rows, lanes, unrolled)
    if lanes > SLOTS * WARP and not _contracts(sweep):
        group = WARP if rows >= MANY_ROWS else THREADS
        if rows <= FEW_ROWS and lanes >= 4 * MOST_THREADS:
            group = MOST_THREADS
        threads, few = max(group, THREADS), unrolled <= SLOTS
        at_once = 2 if group == WARP and few else 1
        yield Layout("pair", short, group, threads, at_once, lanes=4 if few else 2)
        yield Layout("pair", short, group, threads, at_once)


def _in_registers(
    sweep: Sequence[SweepEquation], short: int, rows: int, lanes: int, unrolled: int
) -> Iterator[Layout]:
    """The layouts of the row family: with vectors and several rows at a time, and a simpler one for
    sweeps that have no use for these."""
    work = row_work(sweep, short)
    itemsize = max([x.itemsize for x in work.arrays], default=4)
    vector = min(VECTOR_BYTES // itemsize, MOST_VECTOR)
    if lanes % vector and any(streams_matrix(s) or adds_to_block(s) for s in sweep):
        vector = 1
    for x in itertools.islice(shares(work, lanes, vector, rows), TRIED):
        many = work.registers(x) > MANY_REGISTERS
        threads = x.group if x.group > WARP else THREADS // 2 if many else THREADS
        yield Layout("row", short, x.group, threads, x.rows, vector)
    slots = max(1, min(SLOTS, HELD // unrolled))
    group = group_of(lanes, slots)
    yield Layout("row", short, group, THREADS if group <= WARP else group, 1)


def _tiles(sweep: Sequence[SweepEquation], short: int, long: list[list[int]]) -> Iterator[Layout]:
    """The layouts of the tile family, for rows with these numbers of lanes."""
    itemsize = max(s.equation.outputs[0].aval.dtype.itemsize for s in sweep)
    group = group_of(max(n for sizes in long for n in sizes), SLOTS)
    for vector in (min(VECTOR_BYTES // itemsize, MOST_VECTOR), 1):
        for rows, parked in ((4, 0), (2, 0), (2, PARKED)):
            if rows <= group <= WARP:
                yield Layout("tile", short, group, TILE_THREADS, rows, vector, parked=parked)

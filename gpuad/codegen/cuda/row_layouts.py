"""How many threads share a row, and how many rows they have at a time: a small model of the cost.

Counted for each row are the instructions of warps. Work on lanes is the same in every layout. Work
without lanes is done once for all rows that a group has at a time, by each warp of the group; the
more rows, the less it costs, and the more registers they take. A kernel that waits for memory needs
no fewer instructions: of layouts that take about the same time the one with the fewest registers is
chosen, which leaves the most warps on a multiprocessor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuad.codegen.compile_cost import compile_cost
from gpuad.codegen.cuda.matrices import adds_to_block, streams_matrix
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.kernels.cuda_text import WARP
from gpuad.plan.plan import SweepEquation

REGISTERS = 220
"""Registers of a thread, estimated, at most: a multiprocessor has 8 to 12 warps with so many."""
ALWAYS = 40
"""Registers that every kernel needs, besides what it holds."""
HOISTED = 32
"""Elements, the same for all rows, that a thread holds from the start, at most."""
TWO_LEVELS = 8
"""Accumulators in float32, at most, that have a second register, for sums in two levels."""
ROWS = (1, 2, 4, 8)
"""Rows that a group may work on at the same time."""
MOST_SLOTS = 32
"""Lanes of a thread, at most."""
FILLED = 1 << 17
"""Threads that fill a GPU, about: fewer rows are divided among more threads."""
INSTRUCTIONS = 0.25
"""Instructions that warps can issue while a byte comes from memory: 132 multiprocessors issue 4 in
a clock of 1.98 GHz, and 4.3 TB/s come from the memory of an H200."""
WAITING = 0.5
"""A kernel with this part of the instructions that memory leaves time for waits for it."""
AS_GOOD = 1.1
"""A layout that takes so many times as long as the best one is as good."""
EXCHANGE = 10
"""Instructions that add up a value over a warp."""
BARRIER = 30
"""Instructions that a warp could issue while it waits for the others of its group."""
FLYING = 40 * 1024
"""Bytes that a multiprocessor must be waiting for, so that memory is never idle: by Little's law
its share of the bandwidth, times some 0.7 µs."""
REGISTER_FILE = 65536
"""Registers of a multiprocessor."""
THREADS = 2048
"""Of a multiprocessor."""
MOST_THREADS = 1024
"""Threads of a block."""


@dataclass(frozen=True)
class RowShare:
    """So many threads share a row, each with so many of its lanes, and work on so many rows."""

    group: int
    slots: int
    rows: int


@dataclass(frozen=True)
class LaneArray:
    """An array with lanes: `short` elements of each lane; "rows", "free" or "sum", or a product
    that is "made" of a row and a matrix and held."""

    lanes: int
    short: int
    itemsize: int
    kind: str

    def registers(self, slots: int, rows: int) -> int:
        """Registers that a thread holds it in."""
        values = slots * self.short
        size = values * self.itemsize // 4
        if self.kind in ("rows", "made"):
            return size * rows
        if self.kind == "free":
            return min(size, HOISTED)
        return 2 * size if values <= TWO_LEVELS and self.itemsize == 4 else size


@dataclass(frozen=True)
class RowWork:
    """What a sweep does for a row: its arrays with lanes, and the instructions of threads."""

    arrays: list[LaneArray]
    of_lanes: float
    """Of a warp, for all lanes."""
    without_lanes: float
    of_round: float = 0.0
    """Of a group, once for all rows that it has at the same time: it loads a matrix."""

    @property
    def bytes(self) -> int:
        """Bytes that a row reads and writes."""
        of_rows = [x for x in self.arrays if x.kind == "rows"]
        return sum(x.lanes * x.short * x.itemsize for x in of_rows)

    def registers(self, share: RowShare) -> int:
        return ALWAYS + sum(x.registers(share.slots, share.rows) for x in self.arrays)

    def cost(self, share: RowShare) -> float:
        """Instructions of warps for a row, or those that its bytes leave time for."""
        warps = share.group / WARP
        once = self.without_lanes + (BARRIER if warps > 1 else 0)
        found = self.of_lanes + (once * warps + self.of_round) / share.rows
        held = min(THREADS, REGISTER_FILE // self.registers(share)) * self.asked(share)
        waiting = max(WAITING, FLYING / held) if held else 0.0
        return max(found, waiting * INSTRUCTIONS * self.bytes)

    def asked(self, share: RowShare) -> int:
        """Bytes that a thread loads before it waits for them."""
        of_rows = [x for x in self.arrays if x.kind == "rows"]
        return sum(share.slots * x.short * x.itemsize * share.rows for x in of_rows)


def row_work(sweep: Sequence[SweepEquation], short: int) -> RowWork:
    """What a sweep does for a row, if axes longer than `short` are lanes."""
    arrays: dict[Var, LaneArray] = {}
    of_lanes = without = of_round = 0.0

    def note(x: Var, axis: int | None, kind: str) -> int:
        """The elements of a row; the array is noted, if it has lanes."""
        shape = inner(x.aval.shape, axis)
        long = [n for n in shape if n > short]
        rest = size_of([n for n in shape if n <= short])
        if long and kind:
            arrays.setdefault(x, LaneArray(long[0], rest, x.aval.dtype.itemsize, kind))
        return rest * (long[0] if long else 1) if long else -rest

    for s in sweep:
        e = s.equation
        (v,) = e.outputs
        pairs = [(x, use) for x, use in zip(e.operands, s.uses, strict=True) if type(x) is Var]
        streamed = streams_matrix(s)
        unheld = ("block", "free") if streamed else ("block",)
        sizes = [note(x, u.axis, "" if u.kind in unheld else u.kind) for x, u in pairs]
        of_round += sum([x.aval.size for x, u in pairs if streamed and u.kind == "free"]) / WARP
        of_rows = s.axis is None and not adds_to_block(s)
        kind = "made" if streamed else "sum" if of_rows else ""
        sizes.append(note(v, s.axis, kind))
        if e.primitive.role in (Role.VIEW, Role.COPY):
            continue
        # The largest of the sizes; those of values without lanes are negative.
        size = max(sizes)
        units = compile_cost(s) if e.primitive.role is Role.ELEMENTWISE else 1
        if size > 0:
            of_lanes += units * size / WARP
            if s.axis is not None and e.primitive.role is not Role.ELEMENTWISE:
                without += EXCHANGE * abs(sizes[-1])
        else:
            without += units * -size
    return RowWork(list(arrays.values()), of_lanes, without, of_round)


def group_of(lanes: int, slots: int) -> int:
    """Threads that share a row, if each has so many of its lanes and there are enough threads."""
    return min(MOST_THREADS, max(2, 1 << (-(-lanes // slots) - 1).bit_length()))


def shares(work: RowWork, lanes: int, vector: int, rows: int) -> Iterator[RowShare]:
    """The ways to divide so many rows that registers suffice for, the best one first."""
    found = []
    slots = vector
    while slots <= MOST_SLOTS:
        group = group_of(lanes, slots)
        for n in ROWS:
            filled = n == 1 or rows * group >= n * FILLED
            enough = group * slots >= lanes
            if enough and n <= min(group, WARP) and filled:
                found.append(RowShare(group, slots, n))
        slots *= 2
    if rows * lanes < FILLED * vector:
        return iter(found[:1])
    suited = [x for x in found if work.registers(x) <= REGISTERS] or found[:1]
    least = min([work.cost(x) for x in suited], default=0.0)
    good = [x for x in suited if work.cost(x) <= AS_GOOD * least]
    good.sort(key=lambda x: (x.group > WARP, work.registers(x), x.group))
    return iter(good)

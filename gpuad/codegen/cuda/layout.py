"""How the work of a sweep is laid out over threads: the kernel families.

A row of a value has axes. At most one of them is long, the lanes, which the threads of a group
share; the others are short and written out. Without lanes each thread has a row of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuad.codegen.compile_cost import compile_cost
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.kernels.cuda_text import WARP
from gpuad.plan.plan import SweepEquation, Use

THREADS = 256
"""Of a block, if a group is no larger than a warp."""
WRITTEN_OUT = 64
"""Values that a thread holds of one row of one array, at most."""
FEW_LANES = 16
"""A row of at most so many lanes is a thread's; a longer one only if its lanes cannot be shared."""
SLOTS = 4
"""Lanes of each thread, where the group can be chosen freely."""
HELD = 16
"""Values of one array that a thread holds then: fewer lanes where each has several values."""
MOST_LANES = 4000
"""Units of compile cost in a row that is written out: what is compiled in two seconds."""
LONGEST = 8192
"""More lanes than this are not held in registers: they are gone through in a loop."""
MANY_ROWS = 4096
"""So many rows fill a GPU with a warp for each."""
IN_FLIGHT = 4
"""Rows that a thread of a flat kernel loads before it computes."""


@dataclass(frozen=True)
class Layout:
    """A kernel family and its numbers.

    family: "flat" (a thread for each row of one value), "sample" (of several), "row" (a group of
    threads for each row, its lanes in registers), "pair" (a group for each row, a loop over lanes).
    """

    family: str
    short: int
    """Axes up to this size are written out, longer ones are lanes."""
    group: int
    """Threads of one row: a power of two."""
    threads: int
    rows: int
    """Rows that a group works on at the same time."""

    @property
    def block_rows(self) -> int:
        """Rows that a block of threads works on at the same time."""
        return self.threads // self.group * self.rows

    def slots(self, lanes: int) -> int:
        """How many lanes of so many each thread holds."""
        return 1 if self.family == "pair" else -(-lanes // self.group)

    def long_axes(self, shape: Sequence[int]) -> list[int]:
        return [k for k, n in enumerate(shape) if n > self.short]


def row_shapes(sweep: Sequence[SweepEquation]) -> Iterator[tuple[int, ...]]:
    """The shapes of one row of every value that is held: not of views on the way to it."""
    in_memory: set[Var] = set()
    for s in sweep:
        e = s.equation
        if e.primitive.role is Role.VIEW and (
            s.uses[0].kind != "block" or e.operands[0] in in_memory
        ):
            in_memory.add(e.outputs[0])
            continue
        for x, use in zip((*e.operands, e.outputs[0]), (*s.uses, Use("", s.axis)), strict=True):
            yield inner(x.aval.shape, use.axis)


def layouts(sweep: Sequence[SweepEquation], rows: int) -> Iterator[Layout]:
    """The layouts that suit a sweep, the best one first."""
    shapes = list(set(row_shapes(sweep)))
    widest = max(map(size_of, shapes), default=1)
    own = widest <= WRITTEN_OUT and _written_lanes(sweep) <= MOST_LANES
    in_flight = IN_FLIGHT if widest == 1 and _light(sweep) else 1
    threads = THREADS if widest <= FEW_LANES // 2 else THREADS // 2 if widest <= FEW_LANES else 64
    thread = Layout("flat" if widest == 1 else "sample", WRITTEN_OUT, 1, threads, in_flight)
    if own and widest <= FEW_LANES:
        yield thread
    for short in (32, 16, 8, 4, 3, 2, 1):
        yield from _with_lanes(shapes, short, rows)
    if own and widest > FEW_LANES:
        yield thread


def _written_lanes(sweep: Sequence[SweepEquation]) -> int:
    """The work of a row that is written out, in units of compile cost."""
    total = 0
    for s in sweep:
        e = s.equation
        if e.primitive.role is Role.ELEMENTWISE or s.axis is None:
            shape = inner(e.operands[0].aval.shape, s.uses[0].axis) if e.operands else ()
            total += size_of(shape) * (compile_cost(s) if s.axis is not None else 8)
    return total


def _light(sweep: Sequence[SweepEquation]) -> bool:
    """Whether memory is what the sweep waits for."""
    work = sum(compile_cost(s) for s in sweep if s.equation.primitive.role is Role.ELEMENTWISE)
    return work <= 100


def _with_lanes(shapes: list[tuple[int, ...]], short: int, rows: int) -> Iterator[Layout]:
    long = [[n for n in shape if n > short] for shape in shapes]
    lanes = max([max(sizes, default=1) for sizes in long], default=1)  # none: views alone
    if lanes == 1 or any(len(sizes) > 1 for sizes in long):
        return
    unrolled = max([size_of([n for n in shape if n <= short]) for shape in shapes])
    if unrolled > WRITTEN_OUT:
        return
    slots = max(1, min(SLOTS, HELD // unrolled))
    if lanes <= LONGEST and 2 * unrolled <= WRITTEN_OUT:
        group = min(1024, max(2, _power_of_two(-(-lanes // slots))))
        yield Layout("row", short, group, THREADS if group <= WARP else group, 1)
    if lanes > SLOTS * WARP:
        # Few rows: more threads for each.
        group = WARP if rows >= MANY_ROWS else THREADS
        several = group == WARP and unrolled <= SLOTS
        yield Layout("pair", short, group, THREADS, 2 if several else 1)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()

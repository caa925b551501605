"""Compiled sweeps over fixed segments of rows.

Numba's own parallel layers are not used (the only one that is always installed aborts if two
threads call it). The threads of `thread_pool` run functions that hold no lock, one segment of rows
at a time. Segments depend on the plan alone, each is summed in order and the segments are combined
in order, so the result does not depend on how many threads there are.
"""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import SweepSource
from gpuad.codegen.cpu.sweeps import source_of
from gpuad.codegen.views import size_of
from gpuad.executors.native.compile_cache import load
from gpuad.executors.native.scratch import Scratch
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation

SEGMENT_VALUES = 1 << 17
"""A segment reads at least so many values: below that a thread is not worth waking (80 µs)."""
STATEMENTS = 8
"""Statements that take as long as reading a value."""
SEGMENTS = 16
"""At most so many segments: enough to balance threads, few enough for small sums."""
PRODUCT_ROWS = 1 << 6
"""The least rows of a segment that multiplies matrices, if there are more than `FEW_SEGMENTS`: the
other matrix is packed for each segment."""
FEW_SEGMENTS = 4
LARGE_TOTALS = 1 << 13
"""If sums over rows have more values than this, there are fewer segments."""
VECTOR = 16
"""The most rows that one instruction works on, where lanes are unrolled."""


@functools.cache
def _outside() -> type[Exception]:
    """The exception of a sweep that must be run again with its slow functions."""
    from gpuad.kernels.reductions import Outside

    return Outside


class Sweep:
    """One compiled sweep: a function of flat arrays, totals and scratch for a range of rows."""

    def __init__(self, source: SweepSource, dtype: np.dtype, bits: int | None = None):
        """`bits`: the width of vectors; None: LLVM chooses it."""
        self.source = source
        self.bits = bits
        self._dtype = dtype
        self.own_scratch = Scratch(source)

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        fast = load(self.source.text, self._dtype, self.source.types, self.bits)
        return fast if self.source.slow is None else self._careful(fast)

    @functools.cached_property
    def _slow(self) -> Callable[..., Any]:
        """The same with functions that are right everywhere; compiled when it is first needed,
        since that takes long."""
        assert self.source.slow is not None
        return load(self.source.slow, self._dtype, self.source.types, self.bits)

    def _careful(self, fast: Callable[..., Any]) -> Callable[..., Any]:
        """`fast`, with the slow sweep in its place for the blocks of rows that need it."""
        s = self.source
        first = len(s.reads) + len(s.writes)
        totals = slice(first, first + len(s.sums))
        outside = _outside()

        def run(*args: Any) -> None:
            before = [t.copy() for t in args[totals]]
            try:
                fast(*args)
                return
            except outside:
                for t, value in zip(args[totals], before, strict=True):
                    t[...] = value
            *arrays, lo, hi = args
            if hi - lo <= s.block:
                self._slow(*args)
            else:
                for start in range(lo, hi, s.block):
                    run(*arrays, start, min(start + s.block, hi))

        return run


def sweep_of(
    equations: Sequence[SweepEquation], whole: set[Var], final: Collection[Var] = ()
) -> Sweep:
    """The sweep of these equations; `whole` are the results that it stores. Nothing reads those in
    `final` again."""
    source, bits = source_of(equations, whole, final)
    return Sweep(source, main_dtype(equations), bits)


def main_dtype(equations: Sequence[SweepEquation]) -> np.dtype:
    """The dtype of functions in the text of a sweep that have no suffix for a type."""
    dtypes = [s.equation.outputs[0].aval.dtype for s in equations]
    return next((d for d in dtypes if d.str[1:] in ("f4", "f8")), np.dtype(np.float64))


def one_row(source: SweepSource, dtype: np.dtype) -> Callable[..., Any]:
    """The function, of flat arrays, of a sweep over one row."""
    sweep = Sweep(source, dtype)
    return lambda *arrays: sweep.function(*arrays, *sweep.own_scratch(), 0, 1)


def segments_of(sources: Sequence[SweepSource], rows: int) -> list[tuple[int, int]]:
    """Ranges of rows for sweeps that run together. They end at the end of a block, or else of a
    vector of rows, if there are enough rows."""
    width = max(_width(s) for s in sources)
    totals = sum(size_of(a.var.aval.shape) for s in sources for a in s.sums)
    # Every segment has its own totals, which must be small beside what is read.
    least = SEGMENT_VALUES if totals <= LARGE_TOTALS else max(SEGMENT_VALUES, 8 * totals)
    wanted = min(SEGMENTS, max(1, rows * width // least))
    block = max(s.block for s in sources)
    step = -(-rows // wanted)
    if any(s.calls_blas for s in sources):
        step = max(step, min(PRODUCT_ROWS, -(-rows // FEW_SEGMENTS)))
    grain = block if step >= block else VECTOR if step >= VECTOR else 1
    step = -(-step // grain) * grain
    return [(lo, min(lo + step, rows)) for lo in range(0, rows, step)]


def _width(source: SweepSource) -> int:
    """The work for a row: the values read, or the statements if these take longer."""
    lanes = [size_of(inner(a.var.aval.shape, a.axis)) for a in source.reads if a.kind == "rows"]
    return max(1, sum(lanes), source.width, source.text.count("\n") // STATEMENTS)

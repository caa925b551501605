"""Numba sweeps over fixed segments of rows, and BLAS beside them.

Numba's own parallel layers are not used (the one that is always there aborts when two threads call
it): the threads of `workers` run functions that hold no lock, one segment of rows at a time.
Segments depend on the plan alone, each is summed in order and the segments are combined in order,
so the result does not depend on how many threads there are.
"""

import functools
import importlib.util
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import threadpoolctl

from gpuad.executors.joining import joins
from gpuad.executors.scratch import Scratch
from gpuad.executors.source import SweepWriter, flat_source
from gpuad.executors.store import load
from gpuad.executors.streams import streamed
from gpuad.executors.sweep import SweepSource, inner
from gpuad.executors.unrolled import UnrolledWriter, can_unroll
from gpuad.executors.vectors import vector_bits
from gpuad.executors.views import size_of
from gpuad.ir.graph import Equation, Var
from gpuad.plan.plan import SweepEquation

SEGMENT_VALUES = 1 << 17
"""A segment reads at least so many values: below that a thread is not worth waking (80 µs)."""
STATEMENTS = 8
"""Statements that take as long as reading a value."""
SEGMENTS = 16
"""At most so many segments: enough to balance threads, few enough for small sums."""
PRODUCT_ROWS = 1 << 6
"""Rows of a segment that multiplies matrices, at least, if there are more than a few segments: for
each the other matrix is packed."""
FEW = 4
LARGE_TOTALS = 1 << 13
"""Sums over rows of more values than these make segments fewer."""
VECTOR = 16
"""Rows that one instruction works on at most, where lanes are unrolled."""


@functools.cache
def available() -> bool:
    """Whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None


@functools.cache
def _known_words() -> frozenset[str]:
    """What the scalar text of a primitive may use in a CPU sweep."""
    from gpuad.kernels import vecmath

    names = {"x", "y", "z", "cast", "inf", "nan"}
    return frozenset(vecmath.namespace(np.float32)) | names


def can_join(e: Equation) -> bool:
    """Whether a sweep can compute this equation."""
    return joins(e, _known_words())


# Matrices


class _OneThreadBlas:
    """BLAS held to one thread while sweeps that multiply matrices run on ours.

    Who holds it is noted by thread, and what was before until it is so again: what an interrupt in
    the middle leaves undone, the next call does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[int] = set()
        self._before: list[tuple[Any, int]] = []
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a forked process nobody multiplies yet, whatever other threads were at."""
        self._lock = threading.Lock()
        self._users.clear()
        self._restore()

    def _restore(self) -> None:
        for library, count in self._before:
            _set_threads(library, count)
        self._before = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        me = threading.get_ident()
        try:
            with self._lock:
                self._users.add(me)
                self._before = self._before or [(x, x.get_num_threads()) for x in _blas()]
                for library, _ in self._before:
                    _set_threads(library, 1)
            yield
        finally:
            with self._lock:
                self._users.discard(me)
                if not self._users:
                    self._restore()


@functools.cache
def _blas() -> Sequence[Any]:
    """The libraries that multiply matrices, that of Numba among them."""
    import scipy.linalg.cython_blas  # noqa: F401

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def _set_threads(library: Any, count: int) -> None:
    """From any thread: of OpenBLAS, threadpoolctl itself heeds the first thread that asks, and says
    nothing to others."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


one_thread_blas = _OneThreadBlas()


# Sweeps


@functools.cache
def _outside() -> type[Exception]:
    """What a sweep raises that must be run again with its slow functions."""
    from gpuad.kernels.reductions import Outside

    return Outside


class Sweep:
    """One compiled sweep: a function of flat arrays, totals and scratch for a range of rows."""

    def __init__(self, source: SweepSource, dtype: np.dtype, bits: int | None = None):
        """`bits`: how wide vectors are; None: as LLVM likes."""
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
        """The same with functions that are right everywhere; compiled when needed, for it takes
        long."""
        assert self.source.slow is not None
        return load(self.source.slow, self._dtype, self.source.types, self.bits)

    def _careful(self, fast: Callable[..., Any]) -> Callable[..., Any]:
        """`fast`, and in its place, for the blocks of rows that need it, the slow sweep."""
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
    """The sweep of these equations; `whole` are the results that it stores, of which nothing reads
    those in `final` again."""
    streams = streamed(equations, final)
    flat = flat_source(equations, whole, streams)
    unrolled = flat is None and can_unroll(equations)
    writer = UnrolledWriter if unrolled else SweepWriter
    source = flat or writer(equations, whole, streams).write()
    return Sweep(source, _main_dtype(equations), vector_bits(equations, whole, unrolled))


def _main_dtype(equations: Sequence[SweepEquation]) -> np.dtype:
    dtypes = [s.equation.outputs[0].aval.dtype for s in equations]
    return next((d for d in dtypes if d.kind == "f"), np.dtype(np.float64))


def one_row(source: SweepSource, equations: Sequence[SweepEquation]) -> Callable[..., Any]:
    """The function, of flat arrays, of a sweep over one row."""
    sweep = Sweep(source, _main_dtype(equations))
    return lambda *arrays: sweep.function(*arrays, *sweep.own_scratch(), 0, 1)


def segments_of(sources: Sequence[SweepSource], rows: int) -> list[tuple[int, int]]:
    """Ranges of rows for sweeps that run together: whole blocks, or whole vectors of rows, if there
    are enough."""
    width = max(_width(s) for s in sources)
    totals = sum(size_of(a.var.aval.shape) for s in sources for a in s.sums)
    # Every segment has totals of its own: they stay small beside what is read.
    least = SEGMENT_VALUES if totals <= LARGE_TOTALS else max(SEGMENT_VALUES, 8 * totals)
    wanted = min(SEGMENTS, max(1, rows * width // least))
    block = max(s.block for s in sources)
    step = -(-rows // wanted)
    if any(s.products for s in sources):
        step = max(step, min(PRODUCT_ROWS, -(-rows // FEW)))
    grain = block if step >= block else VECTOR if step >= VECTOR else 1
    step = -(-step // grain) * grain
    return [(lo, min(lo + step, rows)) for lo in range(0, rows, step)]


def _width(source: SweepSource) -> int:
    """The work for a row: values read, or statements where there are many for each."""
    lanes = [size_of(inner(a.var.aval.shape, a.axis)) for a in source.reads if a.kind == "rows"]
    return max(1, sum(lanes), source.width, source.text.count("\n") // STATEMENTS)

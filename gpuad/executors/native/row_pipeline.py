"""Passes over the rows: consecutive sweeps and library calls by rows, run together.

For a row, each of them needs only the same row of what the others make. A pass runs segment by
segment on the threads. Values that only later sweeps of it read, and copies of rows that are not
contiguous in memory, exist for a piece of a segment at a time. Pieces end where blocks and tiles
end and are taken in order, so that their length changes no bit of a result.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, SweepSource
from gpuad.codegen.views import size_of
from gpuad.executors.native.one_thread_blas import one_thread_blas
from gpuad.executors.native.row_calls import SEGMENTS_OF_SUMS, RowCall, row_call
from gpuad.executors.native.scratch import scratch_bytes
from gpuad.executors.native.sweep import LARGE_TOTALS, Sweep, segments_of
from gpuad.executors.native.thread_pool import threads, workers
from gpuad.executors.steps import Key, Limits
from gpuad.executors.workspace import is_dense
from gpuad.ir.graph import Equation, Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import Call, Plan

Unit = Sweep | RowCall
Allocate = Callable[[Var, tuple[int, ...]], np.ndarray]


def key_of(a: Argument) -> Key:
    return a.var, a.kind, a.axis, a.order


class NativeUnits:
    """Sweeps and calls by rows, as `plan.grouping` asks for them."""

    def __init__(self, plan: Plan):
        self._plan = plan

    def of_call(self, e: Equation) -> RowCall | None:
        axes = self._plan.by_rows.get(e)
        return None if axes is None else row_call(axes, self._plan.rows)

    def follows(self, unit: Unit, earlier: Sequence[Unit]) -> bool:
        """Whether a unit, for a row, needs only the same row of the results of these."""
        rows = {key_of(a) for s in earlier for a in s.source.writes}
        made = {a.var for s in earlier for a in (*s.source.writes, *s.source.sums)}
        return all(a.var not in made or key_of(a) in rows for a in unit.source.reads)

    def reads(self, unit: Unit) -> list[Var]:
        return [a.var for a in unit.source.reads]

    def makes(self, unit: Unit) -> list[Var]:
        return [a.var for a in (*unit.source.writes, *unit.source.sums)]

    def may_precede(self, e: Call) -> bool:
        return True


class RowPass:
    """Sweeps and calls run together, as a `Pass`. `live` are the values that are needed after them.

    It has many attributes because all that a run needs is prepared once: small programs are called
    often.

    Attributes
    ----------
    reads : dict
        What is read by rows and not made here, by key.
    free : dict
        What is read as a whole, by key; of kind "whole" what a call takes with its axes.
    writes : list
        What is kept as a whole; other results of the sweeps exist for a piece of rows.
    scratch_bytes : int
        What each thread keeps for the sweeps.
    """

    def __init__(self, sweeps: Sequence[Unit], rows: int, live: Collection[Var]):
        self.sweeps = sweeps
        self.rows = rows
        sources = [s.source for s in sweeps]
        calls = [s for s in sweeps if isinstance(s, RowCall)]
        self.segments = _segments(sources, rows, bool(calls))
        self._block = math.lcm(*[s.block for s in sources])
        self._longest = max(hi - lo for lo, hi in self.segments)
        self.calls_blas = any(s.calls_blas for s in sources)
        self.scratch_bytes = max([scratch_bytes(s) for s in sources])
        self._tile_bytes = max([s.tile_bytes for s in calls], default=0)
        made = {key_of(a): a for s in sources for a in s.writes}
        self.writes = [a for a in made.values() if a.var in live]
        self._piecewise = {k: a for k, a in made.items() if a.var not in live}
        arguments = {key_of(a): a for s in sources for a in s.reads}
        self.reads = {k: a for k, a in arguments.items() if a.kind == "rows" and k not in made}
        self.free = {k: a for k, a in arguments.items() if a.kind != "rows"}
        self.sums = [a for s in sources for a in s.sums]
        # By numbers: looking hundreds of keys up would take longer than the sweeps of a piece.
        known = {**made, **arguments}
        self._numbers = {k: i for i, k in enumerate(known)}
        self._sizes = [_row_size(a) if a.kind == "rows" else 0 for a in known.values()]
        self._operands = [
            [self._numbers[key_of(a)] for a in (*s.reads, *s.writes)] for s in sources
        ]
        self._piecewise_items = [
            (self._numbers[k], a.var.aval.dtype) for k, a in self._piecewise.items()
        ]
        self._piecewise_bytes = sum(map(_row_bytes, self._piecewise.values()))
        self._free_items = [(self._numbers[k], a.var, a) for k, a in self.free.items()]
        self._read_items = [(self._numbers[k], k, a) for k, a in self.reads.items()]
        self._write_items = [(self._numbers[key_of(a)], a, self._shape(a)) for a in self.writes]
        self._total_shapes = [
            [(len(self.segments), size_of(a.var.aval.shape)) for a in s.sums] for s in sources
        ]

    @property
    def values(self) -> Collection[Var]:
        """All values that are read or kept as a whole."""
        arguments = (*self.reads.values(), *self.free.values(), *self.writes, *self.sums)
        return dict.fromkeys([a.var for a in arguments])

    def _shape(self, a: Argument) -> tuple[int, ...]:
        """The shape of a result with its rows first, as it lies in memory."""
        return (self.rows, *inner(a.var.aval.shape, a.axis))

    # Memory

    def copied(self, env: dict[Any, Any]) -> list[Key]:
        """What is read by rows and has to be copied, since it is not contiguous or not aligned."""
        return [k for k, a in self.reads.items() if not is_dense(by_rows(env[a.var], a))]

    def _local_bytes(self, copied: Collection[Key]) -> int:
        """Bytes for a row of what exists for a piece of rows: values between sweeps, and copies."""
        return self._piecewise_bytes + sum([_row_bytes(self.reads[k]) for k in copied])

    def piece(self, copied: Collection[Key], limits: Limits) -> int:
        """How many rows are taken at a time; a whole segment if nothing exists for a piece only."""
        width = self._local_bytes(copied)
        if not width:
            return self._longest
        rows = max(1, limits.piece_bytes // width // self._block) * self._block
        return min(rows, self._longest)

    def in_pieces(self, copied: Collection[Key]) -> bool:
        """Whether something exists for a piece of rows only."""
        return bool(copied or self._piecewise)

    def extra_bytes(self, env: dict[Any, Any], copied: Collection[Key], limits: Limits) -> int:
        """Memory during the pass, beside scratch and the arrays that it reads and writes."""
        at_once = self.at_once(limits)
        own = self.piece(copied, limits) * self._local_bytes(copied) + self._tile_bytes
        sums = [size_of(a.var.aval.shape) for a in self.sums]
        totals = 8 * len(self.segments) * sum(sums) + 8 * max(sums, default=0)
        free = [a for a in self.free.values() if not _suits(in_order(env[a.var], a), a)]
        return at_once * own + totals + sum(a.var.aval.nbytes for a in free)

    def at_once(self, limits: Limits) -> int:
        """How many threads work."""
        return min(limits.threads or threads(), len(self.segments))

    # Running

    def __call__(
        self, env: dict[Any, Any], allocate: Allocate, staged: Collection[Key], limits: Limits
    ) -> None:
        """Reads operands from `env` and puts results there.

        What is `staged` is copied piece by piece, since results are written to its memory.
        """
        arrays: list[Any] = [None] * len(self._numbers)
        for i, var, a in self._free_items:
            arrays[i] = _as_read(in_order(env[var], a), a)
        copied = []
        for i, k, a in self._read_items:
            x = by_rows(env[a.var], a)
            if k in staged or not is_dense(x):
                copied.append(k)
            else:
                arrays[i] = x.reshape(-1)
        for i, a, shape in self._write_items:
            x = allocate(a.var, shape)
            arrays[i] = x.reshape(-1)
            env[a.var] = np.moveaxis(x, 0, a.axis) if a.axis else x
        totals = [[np.zeros(shape) for shape in shapes] for shapes in self._total_shapes]
        if self.in_pieces(copied):
            work = self._in_pieces(env, arrays, totals, copied, limits)
        else:
            work = self._whole_segments(arrays, totals)
        count = len(self.segments)
        with one_thread_blas() if self.calls_blas else nullcontext():
            workers.run(work, count, limits.threads or threads())
        for s, parts in zip(self.sweeps, totals, strict=True):
            if parts:
                _combine(s.source.sums, parts, env)

    def _whole_segments(self, arrays: Sequence[Any], totals: Any) -> Callable[[int], None]:
        work = [
            (s, s.function, [arrays[i] for i in operands], parts)
            for s, operands, parts in zip(self.sweeps, self._operands, totals, strict=True)
        ]

        def run(k: int) -> None:
            lo, hi = self.segments[k]
            for s, function, given, parts in work:
                function(*given, *[t[k] for t in parts], *s.own_scratch(), lo, hi)

        return run

    def _in_pieces(
        self,
        env: dict[Any, Any],
        arrays: Sequence[Any],
        totals: Any,
        copied: Collection[Key],
        limits: Limits,
    ) -> Callable[[int], None]:
        """`arrays` has what exists as a whole."""
        step, sizes = self.piece(copied, limits), self._sizes
        copies = [(self._numbers[k], k[0].aval.dtype) for k in copied]
        local = [*self._piecewise_items, *copies]
        sources = [(self._numbers[k], by_rows(env[k[0]], self.reads[k])) for k in copied]
        whole = [(i, x) for i, x in enumerate(arrays) if x is not None and sizes[i]]
        work = list(zip(self.sweeps, self._operands, totals, strict=True))
        spare: list[list[tuple[int, np.ndarray]]] = []

        def run(k: int) -> None:
            try:
                blocks = spare.pop()
            except IndexError:
                blocks = [(i, np.empty(step * sizes[i], dtype)) for i, dtype in local]
            for start, n in self._pieces(k, step):
                piece = list(arrays)
                for i, x in blocks:
                    piece[i] = x if n == step else x[: n * sizes[i]]
                for i, x in whole:
                    piece[i] = x[sizes[i] * start : sizes[i] * (start + n)]
                for i, x in sources:
                    np.copyto(piece[i].reshape(n, *x.shape[1:]), x[start : start + n])
                for s, operands, parts in work:
                    given = [piece[i] for i in operands]
                    s.function(*given, *[t[k] for t in parts], *s.own_scratch(), 0, n)
            spare.append(blocks)

        return run

    def _pieces(self, k: int, step: int) -> Iterator[tuple[int, int]]:
        lo, hi = self.segments[k]
        for start in range(lo, hi, step):
            yield start, min(step, hi - start)


def _segments(sources: Sequence[SweepSource], rows: int, calls: bool) -> list[tuple[int, int]]:
    """Ranges of rows that threads work on. If calls make large totals, there are fewer of them."""
    segments = segments_of(sources, rows)
    totals = sum(size_of(a.var.aval.shape) for s in sources for a in s.sums)
    if not calls or totals <= LARGE_TOTALS:
        return segments
    size = -(-len(segments) // SEGMENTS_OF_SUMS)
    groups = [segments[k : k + size] for k in range(0, len(segments), size)]
    return [(group[0][0], group[-1][1]) for group in groups]


def _row_size(a: Argument) -> int:
    return size_of(inner(a.var.aval.shape, a.axis))


def _row_bytes(a: Argument) -> int:
    return _row_size(a) * a.var.aval.dtype.itemsize


def by_rows(x: np.ndarray, a: Argument) -> np.ndarray:
    """The array with its row axis first."""
    return np.moveaxis(x, a.axis, 0) if a.axis else x


def in_order(x: np.ndarray, a: Argument) -> np.ndarray:
    """The array with its axes in the order in which sweeps read it as a whole."""
    return x if a.order is None else x.transpose(a.order)


def _suits(x: np.ndarray, a: Argument) -> bool:
    """Whether an array needs no copy: a sweep takes C order only, a call Fortran order too."""
    return is_dense(x) or (a.kind == "whole" and x.flags.f_contiguous and x.flags.aligned)


def _as_read(x: np.ndarray, a: Argument) -> np.ndarray:
    x = x if _suits(x, a) else x.copy("C")
    return x if a.kind == "whole" else x.reshape(-1)


def _combine(sums: Sequence[Argument], parts: Sequence[Any], env: dict[Any, Any]) -> None:
    """Puts the sums over all segments into `env`."""
    with np.errstate(all="ignore"):
        for a, t in zip(sums, parts, strict=True):
            env[a.var] = combined(a, t, None if a.base is None else env[a.base])


def combined(a: Argument, parts: np.ndarray, base: Any = None) -> np.ndarray:
    """A sum: the sums of the segments, in order, added to its base if it has one."""
    total = parts[0] if len(parts) == 1 else parts.sum(axis=0)
    if base is not None:
        total = total + base.reshape(-1)
    return total.astype(a.var.aval.dtype).reshape(a.var.aval.shape)

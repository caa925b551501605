"""Rows that are read at several offsets along their lanes, such as x[:, 1:] and x[:, :-1]: each
value is loaded once.

What is read of a row is known when the whole sweep is written. Runs of lanes that overlap are then
loaded as one run. Thread t of a group of g holds its lanes t, t + g, t + 2g, ..., so the lane d
further on is in another thread: a shuffle brings it, or shared memory where a group has several
warps.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import index_text
from gpuad.codegen.cuda.lane_permutation import SHARED_BYTES, RowWriter
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import SIZES
from gpuad.codegen.cuda.writer import Env
from gpuad.codegen.views import View
from gpuad.ir.graph import Var
from gpuad.kernels import cuda_text
from gpuad.plan.plan import SweepEquation


@dataclass
class Run:
    """Lanes of the array `base` that are read one after another: from index `start` of a row, each
    `step` further on.

    `u` numbers the rows of a group, `row` is the distance between rows, and `names` are those of
    the values that a thread holds.
    """

    base: str
    u: int
    row: int
    step: int
    start: int
    lanes: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Where the last lane is."""
        return self.start + self.step * (self.lanes - 1)

    @property
    def track(self) -> tuple[str, int, int, int, int]:
        """Equal for runs that can have lanes in common."""
        return self.base, self.u, self.row, self.step, self.start % self.step


class StencilWriter(RowWriter):
    """Writes a sweep of the row family; what is read at several lanes is loaded once."""

    def __init__(self, sweep: Sequence[SweepEquation], stored: set[Var], layout: Layout):
        super().__init__(sweep, stored, layout)
        self._runs: dict[tuple[Any, ...], Run] = {}

    def _loads(self, view: View, i: Any, long: int | None, u: int, scope: Scope) -> Any:
        step = view.strides[long] if long is not None else 0
        of_rows = view.row and view.base not in self.moved and view.base not in self._booleans
        if long is None or step <= 0 or not of_rows:
            return super()._loads(view, i, long, u, scope)
        places = zip(i, view.strides, strict=True)
        start = view.offset + sum([k * s for j, (k, s) in enumerate(places) if j != long])
        run = Run(view.base, u, view.row, step, start)
        run = self._runs.setdefault((*run.track, start), run)
        run.lanes = max(run.lanes, view.shape[long])
        slots = self.layout.slots(view.shape[long])
        self._lengthen(run, slots)
        return tuple(run.names[:slots])

    def _lengthen(self, run: Run, slots: int) -> None:
        run.names += [self._fresh() for _ in range(slots - len(run.names))]

    def _rows(self, envs: list[Env]) -> None:
        super()._rows(envs)
        self._read_runs()

    def _read_runs(self) -> None:
        """Writes the loads of all runs, before the other lines."""
        lines = self.row.lines
        self.row.lines = []
        for runs in _overlapping(list(self._runs.values())):
            self._read(runs)
        self.row.lines += lines

    def _read(self, runs: list[Run]) -> None:
        """Loads runs, each of which has lanes in common with one before it."""
        first, *others = runs
        together = (max([run.end for run in runs]) - first.start) // first.step + 1
        shuffles = self.layout.group <= cuda_text.WARP
        if others and not shuffles and not self._fits(first, together):
            for run in runs:
                self._load_run(run)
            return
        first.lanes = together
        self._load_run(first)
        if others and shuffles:
            for run in others:
                self._shuffle(first, run)
        elif others:
            self._exchange(first, others)

    def _load_run(self, run: Run) -> None:
        slots = self.layout.slots(run.lanes)
        self._lengthen(run, slots)
        view = View(run.base, (run.lanes,), (run.step,), run.row, run.start)
        for k in range(slots):
            place = index_text(view, f"q{run.u}", (0,), self._lane(run.lanes, k), 0)
            self.row.loads.append(f"{run.names[k]} = {run.base}[{place}]")

    def _shuffle(self, first: Run, run: Run) -> None:
        """Each thread takes values of a run from the threads that hold them in the first one."""
        group, last = self.layout.group, len(first.names) - 1
        slots, lanes = divmod((run.start - first.start) // run.step, group)
        for k, name in enumerate(run.names):
            here = first.names[min(k + slots, last)]
            after = first.names[min(k + slots + 1, last)]
            taken = self._taken(here, after, lanes, self._kind(run)) if lanes else here
            self.row.lines.append(f"{name} = {taken}")

    def _taken(self, here: str, after: str, lanes: int, kind: str) -> str:
        """The value so many lanes further on. The last threads of a group take it from the first
        ones, which send that of their next slot."""
        source = self.once.named(f"i32(t - lane + ((lane + {lanes}) & {self.layout.group - 1}))")
        sent = here if here == after else f"({here} if lane >= {lanes} else {after})"
        call = f"cuda.shfl_sync(-1, {{}}, {source})"
        return cuda_text.moved_by(call, self.row.named(sent), kind)

    def _kind(self, run: Run) -> str:
        return next(kind_of(a.var) for a in self.reads.values() if a.name == run.base)

    # Groups of several warps

    def _fits(self, run: Run, lanes: int) -> bool:
        """Whether there is shared memory left for so many lanes."""
        kind = self._kind(run)
        return kind in SIZES and self._moved_bytes + lanes * SIZES[kind] <= SHARED_BYTES

    def _exchange(self, first: Run, others: list[Run]) -> None:
        """Puts the first run into shared memory, and takes the names of the others from there."""
        lines, place = self.row.lines, f"m{len(self.moved)}"
        self.moved[place] = first.lanes, self._kind(first)
        for k, name in enumerate(first.names):
            inside = self._inside(first.lanes, k)
            store = f"{place}[{self._lane(first.lanes, k)}] = {name}"
            lines += [f"if {inside}:", f"    {store}"] if inside else [store]
        lines.append(self._barrier)
        for run in others:
            ahead = (run.start - first.start) // run.step
            for k, name in enumerate(run.names):
                lines.append(f"{name} = {place}[{self._lane(run.lanes, k)} + {ahead}]")


def _overlapping(runs: list[Run]) -> list[list[Run]]:
    """The runs, those with lanes in common together, in the order of their lanes."""
    found: list[list[Run]] = []
    tracks = itertools.groupby(sorted(runs, key=lambda x: (x.track, x.start)), lambda x: x.track)
    for _, track in tracks:
        end = -1
        for run in track:
            if run.start <= end:
                found[-1].append(run)
            else:
                found.append([run])
            end = max(end, run.end)
    return found

"""Predicted and resident memory of a program on the CPU, step by step: which step is predicted to
take another amount than it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from benchmarks import memory
from benchmarks.terminal import Table
from gpuad.executors.memory import DryRun
from gpuad.executors.native.memory import NativeDryRun
from gpuad.executors.native.program import NativeProgram
from gpuad.executors.native.row_pipeline import RowPass
from gpuad.ir.graph import Equation


@dataclass
class Taken:
    """Bytes beside the arguments before a step, and at its peak."""

    work: Any
    before: int
    most: int


class Steps:
    """What the outermost steps took in the run that was last."""

    def __init__(self) -> None:
        self.all: list[Taken] = []
        self._inside = False

    def clear(self) -> None:
        self.all.clear()

    def around(
        self,
        work: Any,
        before: Callable[[], int],
        run: Callable[[], Any],
        most: Callable[[], int],
    ) -> Any:
        """The result of `run`; a step inside of another one is a part of that."""
        if self._inside:
            return run()
        self._inside, start = True, before()
        try:
            result = run()
        finally:
            self._inside = False
        self.all.append(Taken(work, start, most()))
        return result


@contextlib.contextmanager
def predicted() -> Iterator[Steps]:
    """The steps of the last dry run."""
    steps = Steps()

    def watched(method: Callable[..., None]) -> Callable[..., None]:
        def step(self: NativeDryRun, work: Any) -> None:
            ledger, most = self.ledger, self.ledger.most

            def before() -> int:
                ledger.most = ledger.now
                return ledger.now

            steps.around(work, before, lambda: method(self, work), lambda: ledger.most)
            ledger.most = max(ledger.most, most)

        return step

    def peak(self: DryRun, given: Any, run: Any = DryRun.peak) -> int:
        steps.clear()
        return run(self, given)

    with (
        patch.object(NativeDryRun, "_pass", watched(NativeDryRun._pass)),
        patch.object(NativeDryRun, "_call", watched(NativeDryRun._call)),
        patch.object(DryRun, "peak", peak),
    ):
        yield steps


@contextlib.contextmanager
def resident() -> Iterator[Steps]:
    """The steps of the last run."""
    steps = Steps()
    start: list[int] = []

    def watched(method: Callable[..., Any], position: int) -> Callable[..., Any]:
        def before() -> int:
            memory.CLEAR_REFS.write_text("5")
            start.append(memory.resident("VmRSS"))
            return start[-1] - start[0]

        def most() -> int:
            return memory.resident("VmHWM") - start[0]

        def step(self: Any, *arguments: Any) -> Any:
            work = arguments[0] if position else self
            return steps.around(work, before, lambda: method(self, *arguments), most)

        return step

    with (
        patch.object(RowPass, "__call__", watched(RowPass.__call__, 0)),
        patch.object(NativeProgram, "_call", watched(NativeProgram._call, 1)),
    ):
        yield steps


def described(work: Any) -> str:
    """A step in a few words."""
    if isinstance(work, RowPass):
        kept = " ".join(str(a.var.aval) for a in (*work.writes, *work.sums))
        rows = f"pass of {len(work.sweeps)} over {work.rows} rows"
        return f"{rows}, scratch {work.scratch_bytes}: {kept}"
    made = " ".join(str(v.aval) for v in work.outputs)
    name = work.primitive.name if isinstance(work, Equation) else type(work).__name__
    return f"{name}: {made}"


def table(ours: Steps, theirs: Steps, least: float = 1e6) -> Table:
    """A line for each step whose predicted and resident bytes differ by more than `least`, or whose
    peak is near that of the program."""
    out = Table("step", "predicted before", "peak", "resident before", "peak")
    near = 0.9 * max([t.most for t in (*ours.all, *theirs.all)], default=0)
    for a, b in zip(ours.all, theirs.all, strict=True):
        if abs(a.most - b.most) > least or max(a.most, b.most) > near:
            sizes = [f"{x / 1e6:.1f}" for x in (a.before, a.most, b.before, b.most)]
            out.add_row(described(a.work), *sizes)
    return out

"""What a program of the CPU does and costs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.executors.explain import (
    amount,
    bytes_of,
    call_line,
    flops_of_call,
    flops_of_sweep,
    least_bytes,
    moved_by_call,
    totals_line,
)
from gpuad.executors.native.fused_calls import FusedFunction
from gpuad.executors.native.row_calls import RowCall
from gpuad.executors.native.row_pipeline import RowPass, Unit
from gpuad.executors.protocols import Explanation
from gpuad.executors.steps import Limits, Step
from gpuad.ir.graph import Equation, Graph
from gpuad.plan.plan import FusedCall, SweepEquation


@dataclass(frozen=True)
class Run:
    """What is known of a run on certain inputs: its peak; the calls that make views; the passes
    that copy rows, with what they copy."""

    peak: int
    views: Collection[Any]
    copied: Mapping[Any, Any]
    limits: Limits
    functions: Mapping[FusedCall, FusedFunction]


Equations = Mapping[Any, Sequence[SweepEquation]]
"""Those of each sweep."""


def explain(graph: Graph, steps: Sequence[Step], equations: Equations, run: Run) -> Explanation:
    """The account of a program in these steps."""
    lines: list[str] = []
    moved = launches = flops = 0
    sources: list[str] = []
    for step in steps:
        work = step.work
        if isinstance(work, RowPass):
            lines += _pass_lines(work, equations, run)
            moved += _moved_by_pass(work, run)
            launches += len(work.sweeps)
            flops += sum([_flops_of_unit(s, equations) for s in work.sweeps])
            sources += [s.source.text for s in work.sweeps if s.source.text]
            continue
        assert isinstance(work, Equation | FusedCall)
        view = work in run.views
        lines.append(f"{call_line(work)}, a view" if view else call_line(work))
        if not view:
            moved += moved_by_call(work)
            launches += 1
            flops += flops_of_call(work)
        if isinstance(work, FusedCall):
            sources.append(run.functions[work].text)
    floor = least_bytes(graph)
    lines.append(totals_line(launches, moved, floor, flops, run.peak))
    text = "\n".join(lines)
    return Explanation(text, run.peak, moved, floor, flops, launches, tuple(sources))


def _flops_of_unit(unit: Unit, equations: Equations) -> int:
    if isinstance(unit, RowCall):
        return flops_of_call(unit.equation)
    return flops_of_sweep(equations[unit])


def _pass_lines(work: RowPass, equations: Equations, run: Run) -> list[str]:
    """A line for what runs together, and one for each sweep and call of it."""
    copied = run.copied[work]
    left = bytes_of([a.var for a in (*work.writes, *work.sums)])
    read = bytes_of([a.var for a in (*work.reads.values(), *work.free.values())])
    pieces = f", {work.piece(copied, run.limits)} at a time" if work.in_pieces(copied) else ""
    head = (
        f"pass over {work.rows} rows in {len(work.segments)} segments{pieces}: "
        f"{amount(read)}B read, {amount(left)}B left"
    )
    return [head, *[f"  {_unit_line(s, equations)}" for s in work.sweeps]]


def _unit_line(unit: Unit, equations: Equations) -> str:
    source = unit.source
    if isinstance(unit, RowCall):
        return f"{call_line(unit.equation)}, {source.block} rows at a time"
    scratch = sum(n for _, n in source.scratch.values())
    return (
        f"sweep: {len(equations[unit])} operations, reads {len(source.reads)}, "
        f"writes {len(source.writes)}, sums {len(source.sums)} over rows; "
        f"blocks of {source.block} rows, {scratch} values of scratch"
    )


def _moved_by_pass(work: RowPass, run: Run) -> int:
    """In pieces, what several sweeps read is in the cache after the first."""
    if work.in_pieces(run.copied[work]):
        return bytes_of(work.values)
    return sum(
        bytes_of([a.var for a in (*s.source.reads, *s.source.writes, *s.source.sums)])
        for s in work.sweeps
    )

"""What a program of the CPU does and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.executors.explain import (
    Account,
    amount,
    bytes_of,
    call_line,
    flops_of_call,
    flops_of_sweep,
    held_line,
)
from gpuad.executors.native.memory import NativeDryRun
from gpuad.executors.native.row_calls import RowCall
from gpuad.executors.native.row_pipeline import RowPass, Unit
from gpuad.executors.protocols import Explanation
from gpuad.executors.steps import Limits
from gpuad.ir.graph import Equation
from gpuad.plan.plan import FusedCall, SweepEquation

Equations = Mapping[Any, Sequence[SweepEquation]]
"""The equations of each sweep."""


@dataclass(frozen=True)
class Run:
    """A run on certain inputs: what each pass copies piece by piece, how much memory a pass may
    take, and the equations of the sweeps."""

    copied: Mapping[Any, Any]
    limits: Limits
    equations: Equations


def explain(dry_run: NativeDryRun, peak: int) -> Explanation:
    """The explanation of a program, from its dry run and the peak that this gave."""
    account = Account()
    _add_program(account, dry_run)
    return account.explanation(dry_run.graph, peak)


def _add_program(account: Account, dry_run: NativeDryRun, indent: str = "") -> None:
    program = dry_run.program
    pairs = zip(program.plan.stages, program.sweeps, strict=True)
    equations = {sweep: stage.sweep for stage, sweep in pairs if sweep is not None}
    run = Run(dry_run.copied, dry_run.strategy.limits, equations)
    for step in program.steps:
        work = step.work
        if isinstance(work, RowPass):
            _add_pass(account, work, run, indent)
            continue
        assert isinstance(work, Equation | FusedCall)
        if isinstance(work, Equation) and work in program.parts:
            account.lines.append(indent + held_line(work))
            for part in dry_run.parts[work]:
                _add_program(account, part, indent + "  ")
            continue
        view = work in dry_run.views
        account.lines.append(f"{indent}{call_line(work)}{', a view' if view else ''}")
        if not view:
            account.add_call(work)
        if isinstance(work, FusedCall):
            account.sources[work] = program.functions[work].text


def _add_pass(account: Account, work: RowPass, run: Run, indent: str) -> None:
    account.lines += [indent + line for line in _pass_lines(work, run)]
    flops = sum([_flops_of_unit(s, run.equations) for s in work.sweeps])
    account.add(_moved_by_pass(work, run), flops, len(work.sweeps))
    account.sources.update({s: s.source.text for s in work.sweeps if s.source.text})


def _flops_of_unit(unit: Unit, equations: Equations) -> int:
    if isinstance(unit, RowCall):
        return flops_of_call(unit.equation)
    return flops_of_sweep(equations[unit])


def _pass_lines(work: RowPass, run: Run) -> list[str]:
    """A line for the pass, and one for each sweep and call in it."""
    copied = run.copied[work]
    left = bytes_of([a.var for a in (*work.writes, *work.sums)])
    read = bytes_of([a.var for a in (*work.reads.values(), *work.free.values())])
    pieces = f", {work.piece(copied, run.limits)} at a time" if work.in_pieces(copied) else ""
    head = (
        f"pass over {work.rows} rows in {len(work.segments)} segments{pieces}: "
        f"{amount(read)}B read, {amount(left)}B left"
    )
    return [head, *[f"  {_unit_line(s, run.equations)}" for s in work.sweeps]]


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
    """The bytes that a pass moves. If it works in pieces, what several of its sweeps read is in the
    cache after the first."""
    if work.in_pieces(run.copied[work]):
        return bytes_of(work.values)
    return sum(
        bytes_of([a.var for a in (*s.source.reads, *s.source.writes, *s.source.sums)])
        for s in work.sweeps
    )

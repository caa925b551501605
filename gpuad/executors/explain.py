"""What a compiled program does, in numbers and text, without running it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.executors.ordering import GEMM, REDUCTIONS, RUNNING
from gpuad.executors.passes import Limits, Pass, Unit
from gpuad.executors.rowcalls import RowCall, multiplications
from gpuad.executors.small import function_of
from gpuad.executors.steps import Step
from gpuad.ir.graph import Equation, Graph
from gpuad.plan.plan import SweepEquation


@dataclass(frozen=True)
class Explanation:
    """A plan and what it costs; printed by ``print(jit(f).explain(*args))``.

    Attributes
    ----------
    peak_bytes : int
        Memory at the fullest moment beside the arguments: results, intermediate arrays, scratch.
    bytes_moved, bytes_floor : int
        Bytes read from and written to arrays, without what lasts for a piece of rows and so stays
        in the cache; and the least that any program must move: each input that matters read
        once, each output written once.
    flops : int
        Scalar operations, every elementwise function counted as one.
    launches : int
        Sweeps and library calls. Views are none.
    sources : tuple of str
        The generated source of each sweep, and of each function of small operations.
    """

    text: str
    peak_bytes: int
    bytes_moved: int
    bytes_floor: int
    flops: int
    launches: int
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Run:
    """What is known of a run on certain inputs: its peak; the calls that make views; the passes
    that copy rows, with what they copy."""

    peak: int
    views: Collection[Equation]
    copied: Mapping[Any, Any]
    limits: Limits


Equations = Mapping[Any, Sequence[SweepEquation]]
"""Those of each sweep."""


COMPUTING = frozenset([GEMM, *REDUCTIONS, *RUNNING])


def explain(graph: Graph, steps: Sequence[Step], equations: Equations, run: Run) -> Explanation:
    """The account of a program in these steps."""
    lines: list[str] = []
    moved = launches = flops = 0
    sources: list[str] = []
    for step in steps:
        work = step.work
        if isinstance(work, Pass):
            lines += _pass_lines(work, equations, run)
            moved += _moved_by_pass(work, run)
            launches += len(work.sweeps)
            flops += sum([_flops_of_unit(s, equations) for s in work.sweeps])
            sources += [s.source.text for s in work.sweeps if s.source.text]
            continue
        view = work in run.views
        lines.append(f"{call_line(work)}, a view" if view else call_line(work))
        if not view:
            moved += moved_by_call(work)
            launches += 1
            flops += flops_of_call(work)
        function = function_of(work)
        sources += [function.text] if function is not None else []
    floor = least_bytes(graph)
    lines.append(totals_line(launches, moved, floor, flops, run.peak))
    text = "\n".join(lines)
    return Explanation(text, run.peak, moved, floor, flops, launches, tuple(sources))


def totals_line(launches: int, moved: int, floor: int, flops: int, peak: int) -> str:
    return (
        f"{launches} launches, {amount(moved)}B moved ({moved / max(floor, 1):.2f} x the least "
        f"possible, {amount(floor)}B), {amount(flops)}FLOP, peak {amount(peak)}B beside the "
        "arguments"
    )


def least_bytes(graph: Graph) -> int:
    """What any program must move: each input that matters read, each output written."""
    used = {x for e in graph.equations for x in e.operands} | set(graph.outputs)
    return _bytes(used.intersection(graph.inputs)) + sum(x.aval.nbytes for x in graph.outputs)


def _bytes(values: Iterable[Any]) -> int:
    return sum(x.aval.nbytes for x in set(values))


# Library calls


def call_line(e: Equation) -> str:
    operands = " ".join([str(x.aval) for x in e.operands])
    function = function_of(e)
    if function is None:
        return f"library call: {e.primitive} {operands}"
    return f"compiled function of {len(function.equations)} operations: {operands}"


def moved_by_call(e: Equation) -> int:
    return _bytes(e.operands) + sum(v.aval.nbytes for v in e.outputs)


def flops_of_call(e: Equation) -> int:
    function = function_of(e)
    if function is not None:
        return flops_of_sweep(function.equations)
    if e.primitive.name == GEMM:
        return 2 * multiplications(e)
    return max(x.aval.size for x in (*e.outputs, *e.operands))


def flops_of_sweep(equations: Sequence[SweepEquation]) -> int:
    """Of what computes: the rest moves elements."""
    computing = [s.equation for s in equations if s.axis is None or _computes(s.equation)]
    return sum(map(flops_of_call, computing))


def _computes(e: Equation) -> bool:
    return e.primitive.kind == "elementwise" or e.primitive.name in COMPUTING


# Passes


def _flops_of_unit(unit: Unit, equations: Equations) -> int:
    if isinstance(unit, RowCall):
        return flops_of_call(unit.equation)
    return flops_of_sweep(equations[unit])


def _pass_lines(work: Pass, equations: Equations, run: Run) -> list[str]:
    """A line for what runs together, and one for each sweep and call of it."""
    copied = run.copied[work]
    left = _bytes([a.var for a in (*work.writes, *work.sums)])
    read = _bytes([a.var for a in (*work.reads.values(), *work.free.values())])
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


def _moved_by_pass(work: Pass, run: Run) -> int:
    """In pieces, what several sweeps read is in the cache after the first."""
    if work.in_pieces(run.copied[work]):
        return _bytes(work.values)
    return sum(
        _bytes([a.var for a in (*s.source.reads, *s.source.writes, *s.source.sums)])
        for s in work.sweeps
    )


def amount(n: int) -> str:
    """A number with a decimal prefix: 1.5 M."""
    for prefix in ("", "k", "M", "G"):
        if n < 1000:
            return f"{n:.3g} {prefix}"
        n = n / 1000  # type: ignore[assignment]
    return f"{n:.3g} T"

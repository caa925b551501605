"""What a compiled program does, in numbers and text, without running it."""

from collections.abc import Iterable, Sequence
from typing import Any

from gpuad.executors.protocols import Explanation
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation, Graph
from gpuad.ir.primitive import Role
from gpuad.plan.plan import Call, FusedCall, SweepEquation

COMPUTING = (Role.ELEMENTWISE, Role.CONTRACTION, Role.REDUCTION, Role.CUMULATIVE)


class Account:
    """Lines and sums over the steps of a program, and over those of the graphs that it holds."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sources: dict[Any, str] = {}
        """The text of each sweep, kernel and fused call, once even if it runs in several places."""
        self.moved = self.flops = self.launches = 0

    def add(self, moved: int, flops: int, launches: int) -> None:
        self.moved += moved
        self.flops += flops
        self.launches += launches

    def add_call(self, e: Call, launches: int = 1) -> None:
        self.add(moved_by_call(e), flops_of_call(e), launches)

    def explanation(self, graph: Graph, peak: int) -> Explanation:
        """The account of a run of this graph with this peak memory."""
        floor, moved, flops = least_bytes(graph), self.moved, self.flops
        totals = totals_line(self.launches, moved, floor, flops, peak)
        text, sources = "\n".join([*self.lines, totals]), tuple(self.sources.values())
        return Explanation(text, peak, moved, floor, flops, self.launches, sources)


def totals_line(launches: int, moved: int, floor: int, flops: int, peak: int) -> str:
    return (
        f"{launches} launches, {amount(moved)}B moved ({moved / max(floor, 1):.2f} x the least "
        f"possible, {amount(floor)}B), {amount(flops)}FLOP, peak {amount(peak)}B beside the "
        "arguments"
    )


def least_bytes(graph: Graph) -> int:
    """What any program must move: each used input is read, each output written."""
    used = {x for e in graph.equations for x in e.operands} | set(graph.outputs)
    return bytes_of(used.intersection(graph.inputs)) + sum(x.aval.nbytes for x in graph.outputs)


def bytes_of(values: Iterable[Any]) -> int:
    """The bytes of these values, each counted once."""
    return sum(x.aval.nbytes for x in set(values))


# Library calls


def call_line(e: Call) -> str:
    operands = " ".join([str(x.aval) for x in e.operands])
    if isinstance(e, FusedCall):
        return f"compiled function of {len(e.equations)} operations: {operands}"
    return f"library call: {e.primitive} {operands}"


def held_line(e: Equation) -> str:
    """The line before those of the graphs that an equation holds."""
    return f"{e.primitive}, compiled: {' '.join([str(x.aval) for x in e.operands])}"


def moved_by_call(e: Call) -> int:
    return bytes_of(e.operands) + sum(v.aval.nbytes for v in e.outputs)


def flops_of_call(e: Call) -> int:
    if isinstance(e, FusedCall):
        return sum([flops_of_call(x) for x in e.equations if computes(x)])
    if e.primitive.role is Role.CONTRACTION:
        return 2 * contraction_of(e).multiplications
    return max(x.aval.size for x in (*e.outputs, *e.operands))


def flops_of_sweep(equations: Sequence[SweepEquation]) -> int:
    """The operations of equations that compute; others only move elements."""
    return sum(
        [flops_of_call(s.equation) for s in equations if s.axis is None or computes(s.equation)]
    )


def computes(e: Equation) -> bool:
    return e.primitive.role in COMPUTING


def amount(n: float) -> str:
    """A number with a decimal prefix: 1.5 M."""
    for prefix in ("", "k", "M", "G"):
        if n < 1000:
            return f"{n:.3g} {prefix}"
        n /= 1000
    return f"{n:.3g} T"

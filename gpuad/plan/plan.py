"""The plan: a graph as stages, each a few library calls and one sweep over rows.

A value that has the row axis is computed block by block inside a sweep; a sum over rows is
complete when the sweep ends, so what depends on it waits for the next stage.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.rows import ONE_ROW


@dataclass(frozen=True)
class Use:
    """How an equation of a sweep reads an operand.

    kind: "block" (made in this sweep), "rows" (an array in memory, read a block of rows at a time
    along `axis`), "free" (an array in memory, the same for all rows).
    """

    kind: str
    axis: int | None = None


@dataclass
class SweepEquation:
    """An equation inside a sweep, with the row axis of its results (None: summed over rows)."""

    equation: Equation
    uses: tuple[Use, ...]
    axis: int | None


@dataclass(eq=False)
class FusedCall:
    """Small operations on whole arrays that run as one call: of compiled straight-line code, or of
    the interpreter of packed arrays."""

    equations: list[Equation]
    operands: tuple[Var, ...]
    outputs: tuple[Var, ...]
    interpreted: bool = False


Call = Equation | FusedCall
"""Work on whole arrays."""


def in_one_row(e: Equation, made: Collection[Any] = ()) -> SweepEquation:
    """The equation in a sweep over one row, in which all axes are lanes; `made` are the values that
    the sweep makes itself."""
    uses = [Use("block" if x in made else "rows", ONE_ROW) for x in e.operands]
    return SweepEquation(e, tuple(uses), ONE_ROW)


@dataclass
class Stage:
    """Calls on whole arrays, run one by one; then one sweep, over `rows` rows (0: as many as the
    plan has)."""

    whole: list[Call] = field(default_factory=list)
    sweep: list[SweepEquation] = field(default_factory=list)
    rows: int = 0


@dataclass
class Plan:
    """A graph in stages.

    `rows` is the length of the row axis, 0 if there is none; `by_rows` has the calls on whole
    arrays that could be done row by row too, as equations of a sweep.
    """

    graph: Graph
    rows: int
    stages: list[Stage]
    by_rows: dict[Equation, SweepEquation] = field(default_factory=dict)

    @property
    def sweeps(self) -> int:
        return sum(1 for s in self.stages if s.sweep)


def final(plan: Plan) -> set[Var]:
    """The outputs of the graph that no call and no later sweep reads."""
    read = {x for stage in plan.stages for e in stage.whole for x in e.operands}
    for stage in plan.stages:
        for s in stage.sweep:
            pairs = zip(s.equation.operands, s.uses, strict=True)
            read |= {x for x, use in pairs if use.kind != "block"}
    return {x for x in plan.graph.outputs if type(x) is Var and x not in read}


def stored(plan: Plan) -> list[set[Var]]:
    """For each stage, the results of its sweep that must be whole in memory afterwards."""
    needed = {x for x in plan.graph.outputs if type(x) is Var}
    result: list[set[Var]] = []
    for stage in reversed(plan.stages):
        made = {s.equation.outputs[0] for s in stage.sweep}
        reduced = {s.equation.outputs[0] for s in stage.sweep if s.axis is None}
        result.append((made & needed) | reduced)
        for s in stage.sweep:
            for x, use in zip(s.equation.operands, s.uses, strict=True):
                if type(x) is Var and use.kind != "block":
                    needed.add(x)
        needed.update([x for e in stage.whole for x in e.operands if type(x) is Var])
    result.reverse()
    return result

"""Sums over rows that are computed with rows and lanes exchanged.

In a sweep over pairs (i, j) of a few values each, a sum over i for every j needs as many
accumulators as there are j. A sweep over j needs one: there what is summed is computed once more.
"""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.graph import Graph, Var
from gpuad.plan.axes import AxisClasses, RowAxis
from gpuad.plan.plan import Plan, SweepEquation
from gpuad.plan.roles import is_scatter_add
from gpuad.plan.staging import plan_over
from gpuad.plan.target import FittingTarget


def interchanged(
    sweep: Sequence[SweepEquation], rows: int, target: FittingTarget
) -> tuple[set[Var], Plan] | None:
    """The sums over rows that have lanes, and a plan for them with the lanes as rows.

    None if there are none, or if it would read the same large arrays twice.
    """
    lanes = max([max(v.aval.shape, default=1) for v in _sums(sweep)], default=1)
    if lanes <= target.row_values:
        return None
    sums = [v for v in _sums(sweep) if lanes in v.aval.shape]
    equations = [s.equation for s in needed(sweep, set(sums))]
    made = {v for e in equations for v in e.outputs}
    inputs = dict.fromkeys(
        [x for e in equations for x in e.operands if type(x) is Var and x not in made]
    )
    if any(x.aval.size > target.row_values * max(rows, lanes) for x in inputs):
        return None
    graph = Graph(tuple(inputs), tuple(equations), tuple(sums))
    classes = AxisClasses(graph)
    node = classes.find((sums[0], sums[0].aval.shape.index(lanes)))
    return set(sums), plan_over(graph, classes, RowAxis(node, lanes), target)


def _sums(sweep: Sequence[SweepEquation]) -> list[Var]:
    """Sums over all rows; one by places of a table has no lanes that could be rows."""
    return [
        s.equation.outputs[0] for s in sweep if s.axis is None and not is_scatter_add(s.equation)
    ]


def needed(sweep: Sequence[SweepEquation], wanted: set[Any]) -> list[SweepEquation]:
    """The equations of a sweep that are needed for these values, in order."""
    wanted, found = set(wanted), []
    for s in reversed(sweep):
        if s.equation.outputs[0] in wanted:
            found.append(s)
            pairs = zip(s.equation.operands, s.uses, strict=True)
            wanted.update([x for x, use in pairs if use.kind == "block"])
    return found[::-1]


def without_sums(
    sweep: Sequence[SweepEquation], sums: set[Var], kept: set[Var]
) -> list[SweepEquation]:
    """The sweep without these sums and what only they need."""
    return needed(sweep, kept - sums)

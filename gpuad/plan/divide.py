"""Sweeps divided where one function would take the compiler too long."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from gpuad.ir.graph import Var
from gpuad.plan.plan import Plan, Stage, SweepEquation, Use
from gpuad.plan.target import FusingTarget

Cost = Callable[[SweepEquation], float]
WIDEST = 8
"""A sweep that cannot be cut cheaply may cost so many times the limit."""


def divided(plan: Plan, target: FusingTarget) -> Plan:
    """The plan with every sweep that costs more than its limit divided into several.

    Values that are made before a cut and read after it are stored: sweeps are cut where these have
    the fewest bytes, and not where storing and reading them would take the compiler longer than
    half of the limit.
    """
    stages: list[Stage] = []
    for stage in plan.stages:
        limit = target.limit(stage.sweep)
        first, *rest = parts(stage.sweep, target.cost, limit, target.crossing_cost) or [[]]
        stages += [Stage(stage.whole, first), *[Stage([], part) for part in rest]]
    return replace(plan, stages=stages)


def parts(
    sweep: list[SweepEquation], cost: Cost, limit: float, crossing_cost: float = 0.0
) -> list[list[SweepEquation]]:
    """A sweep divided into parts, of which none costs more than the limit, unless it is one
    equation or cutting it would cost more than half of the limit: then a part may cost `WIDEST`
    limits."""
    until = [0.0, *accumulate(cost(s) for s in sweep)]
    if until[-1] <= limit:
        return [sweep] if sweep else []
    crossing, values = _crossing(sweep)
    found: list[list[SweepEquation]] = []
    start, width = 0, 1
    while until[-1] - until[start] > limit * width:
        cut = _best_cut(until, crossing, start, limit * width)
        if values[cut] * crossing_cost > limit / 2 and width < WIDEST:
            width *= 2
            continue
        found.append(_part(sweep[start:cut]))
        start, width = cut, 1
    return [*found, _part(sweep[start:])]


def _best_cut(until: Sequence[float], crossing: Sequence[int], start: int, limit: float) -> int:
    """Where the fewest bytes cross, not too near to the start."""
    cut = start + 1
    for k in range(start + 1, len(until) - 1):
        if until[k] - until[start] > limit:
            break
        if until[k] - until[start] <= limit / 2 or crossing[k] <= crossing[cut]:
            cut = k
    return cut


def _crossing(sweep: Sequence[SweepEquation]) -> tuple[list[int], list[int]]:
    """For each place between equations, what is made before it and read after it: how many bytes
    and how many values."""
    made, last = {}, {}
    for k, s in enumerate(sweep):
        made[s.equation.outputs[0]] = k
        last.update(dict.fromkeys(_block_operands(s), k))
    size, count = [0] * (len(sweep) + 1), [0] * (len(sweep) + 1)
    for v, k in last.items():
        size[made[v] + 1] += v.aval.nbytes
        size[k + 1] -= v.aval.nbytes
        count[made[v] + 1] += 1
        count[k + 1] -= 1
    return list(accumulate(size)), list(accumulate(count))


def _block_operands(s: SweepEquation) -> list[Var]:
    pairs = zip(s.equation.operands, s.uses, strict=True)
    return [x for x, use in pairs if type(x) is Var and use.kind == "block"]


def _part(equations: Sequence[SweepEquation]) -> list[SweepEquation]:
    """These equations as a sweep of their own, which reads from memory what it does not make."""
    made = {s.equation.outputs[0] for s in equations}

    def separate(s: SweepEquation) -> SweepEquation:
        pairs = zip(s.equation.operands, s.uses, strict=True)
        uses = [
            Use("rows", use.axis) if use.kind == "block" and x not in made else use
            for x, use in pairs
        ]
        return replace(s, uses=tuple(uses))

    return [separate(s) for s in equations]

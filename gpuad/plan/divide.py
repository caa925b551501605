"""Sweeps divided where one function would take the compiler too long."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from gpuad.ir.graph import Var
from gpuad.plan.plan import Plan, Stage, SweepEquation, Use
from gpuad.plan.target import Target

Cost = Callable[[SweepEquation], float]


def divided(plan: Plan, target: Target) -> Plan:
    """The plan with every sweep that costs more than its limit divided into several.

    Values that are made before a cut and read after it are stored: sweeps are cut where these have
    the fewest bytes.
    """
    stages: list[Stage] = []
    for stage in plan.stages:
        first, *rest = parts(stage.sweep, target.cost, target.limit(stage.sweep)) or [[]]
        stages += [Stage(stage.whole, first), *[Stage([], part) for part in rest]]
    return replace(plan, stages=stages)


def parts(sweep: list[SweepEquation], cost: Cost, limit: float) -> list[list[SweepEquation]]:
    """A sweep divided into parts, of which none costs more than the limit, unless it is one
    equation."""
    until = [0.0, *accumulate(cost(s) for s in sweep)]
    if until[-1] <= limit:
        return [sweep] if sweep else []
    crossing = _crossing_bytes(sweep)
    found: list[list[SweepEquation]] = []
    start = 0
    while until[-1] - until[start] > limit:
        cut = start + 1
        for k in range(start + 1, len(sweep)):
            if until[k] - until[start] > limit:
                break
            if until[k] - until[start] <= limit / 2 or crossing[k] <= crossing[cut]:
                cut = k
        found.append(_part(sweep[start:cut]))
        start = cut
    return [*found, _part(sweep[start:])]


def _crossing_bytes(sweep: Sequence[SweepEquation]) -> list[int]:
    """For each place between equations, the bytes of what is made before it and read after it."""
    made, last = {}, {}
    for k, s in enumerate(sweep):
        made[s.equation.outputs[0]] = k
        last.update(dict.fromkeys(_block_operands(s), k))
    change = [0] * (len(sweep) + 1)
    for v, k in last.items():
        change[made[v] + 1] += v.aval.nbytes
        change[k + 1] -= v.aval.nbytes
    return list(accumulate(change))


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

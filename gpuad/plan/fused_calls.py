"""Small work beside the sweeps: many equations on small arrays as one call.

A library call on a hundred values takes microseconds to begin and none to do. Runs of such
equations are written as a sweep over one row, which has all the axes of its values for lanes. Of
more than one such function would hold, and of values that would be too many arguments for it, the
interpreter of packed arrays does what it can.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gpuad.ir.graph import Equation, Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import Call, FusedCall, Plan, in_one_row
from gpuad.plan.roles import is_scatter_add, is_view
from gpuad.plan.target import FusingTarget

VALUES = 1 << 13
"""An array of at most so many elements is small."""
MOST = 3
"""So many functions of the largest cost are compiled: the rest is library calls."""
LEAST = 8
"""So many equations that are no views are worth a function."""
ARGUMENTS = 64
"""A compiled function has at most so many arguments: beyond, they take most of its time."""
WORTH = 4
"""The interpreter is called in the time of so many library calls, and a value is brought in that of
one by so many."""
VERY_SHORT = 64
"""Arrays of so many elements gain nothing from loops of their own, which take long to compile."""
CALLS = 16
"""So many library calls are a reason to have the interpreter."""

Joins = Callable[[Equation], bool]


def with_fused_calls(plan: Plan, target: FusingTarget) -> Plan:
    """The plan with runs of small equations on whole arrays as one call each."""

    def is_small(e: Equation) -> bool:
        return _is_small(e) and target.joins(e)

    return _compiled(_interpreted(plan, is_small, target), is_small, target)


def _compiled(plan: Plan, is_small: Joins, target: FusingTarget) -> Plan:
    """The plan with functions of straight-line code."""
    readers = _readers(plan)
    left = MOST * target.straight_limit
    stages = []
    for stage in plan.stages:
        whole: list[Call] = []
        for small, run in _runs(stage.whole, is_small, target):
            work, views = _trailing(run, readers) if small else (run, [])
            several = small and sum(not is_view(e) for e in work) >= LEAST
            cost = sum([target.cost(in_one_row(e)) for e in work]) if several else 0
            if (several and cost <= left) or _is_scatter(run[0], target):
                whole += [_fused(work, readers), *views]
                left -= cost
            else:
                whole += run
        stages.append(replace(stage, whole=whole))
    return replace(plan, stages=stages)


def _interpreted(plan: Plan, is_small: Joins, target: FusingTarget) -> Plan:
    """The plan with calls of the interpreter where that is better."""
    readers = _readers(plan)
    stages = []
    for stage in plan.stages:
        if _is_much(stage.whole, readers, is_small, target):
            stages.append(replace(stage, whole=_with_interpreter(stage.whole, readers, target)))
        else:
            stages.append(stage)
    return replace(plan, stages=stages)


def _is_much(
    whole: Sequence[Call], readers: dict[Any, set[int]], is_small: Joins, target: FusingTarget
) -> bool:
    """Whether the interpreter is better: all arrays are very short, or small equations would take
    more than one compiled function, many arguments, or many library calls between them."""
    values = [x for e in whole for x in (*e.operands, *e.outputs)]
    if max([x.aval.size for x in values], default=0) <= VERY_SHORT:
        return True
    cost = calls = 0.0
    for small, run in _runs(whole, is_small, target):
        work = sum(not is_view(e) for e in run)
        if small and work >= LEAST:
            cost += sum([target.cost(in_one_row(e)) for e in run])
            if sum(map(len, _ends(run, readers))) > ARGUMENTS:
                return True
        else:
            calls += sum(target.interprets(e) and not is_view(e) for e in run)
    return cost > target.straight_limit or calls >= CALLS


def _with_interpreter(
    whole: Sequence[Call], readers: dict[Any, set[int]], target: FusingTarget
) -> list[Call]:
    """The calls, with one for each run that the interpreter can do."""
    found: list[Call] = []
    for mine, run in _runs(whole, target.interprets):
        if mine and _is_worth(run, readers):
            found.append(_fused(run, readers, interpreted=True))
        else:
            found += run
    return found


def _is_worth(run: Sequence[Equation], readers: dict[Any, set[int]]) -> bool:
    """Whether the interpreter saves more library calls than it takes to bring values to it and
    back."""
    calls = sum(not is_view(e) for e in run)
    return calls >= WORTH + sum(map(len, _ends(run, readers))) // WORTH


def _readers(plan: Plan) -> dict[Any, set[int]]:
    """Which equations (by identity; 0: the results) read a value."""
    readers: dict[Any, set[int]] = {x: {0} for x in plan.graph.outputs}
    for stage in plan.stages:
        for e in (*stage.whole, *[s.equation for s in stage.sweep]):
            for x in e.operands:
                readers.setdefault(x, set()).add(id(e))
    return readers


def _runs(
    whole: Sequence[Call], joins: Joins, target: FusingTarget | None = None
) -> list[tuple[bool, list[Any]]]:
    """The calls in order, small ones together as far as what they need and the limit of what the
    target compiles as one function, if it is given, allow."""
    runs: list[tuple[bool, list[Any]]] = []
    run: list[Equation] = []
    made: set[Any] = set()
    total = 0.0
    for e in whole:
        small = isinstance(e, Equation) and joins(e)
        cost = target.cost(in_one_row(e)) if small and target is not None else 0  # type: ignore[arg-type]
        over = target is not None and total + cost > target.straight_limit
        if run and (over or (not small and made.intersection(e.operands))):
            runs.append((True, run))
            run, made, total = [], set(), 0
        if small:
            run.append(e)  # type: ignore[arg-type]
            made.update(e.outputs)
            total += cost
        else:
            # It needs nothing of the run, which can wait.
            runs.append((False, [e]))
    return [*runs, (True, run)] if run else runs


def _trailing(
    run: Sequence[Equation], readers: dict[Any, set[int]]
) -> tuple[list[Equation], list[Equation]]:
    """The run without the views that only others read, which cost nothing where they are; and
    these."""
    work, views = [], []
    inside: set[int] = set()
    for e in reversed(run):
        if is_view(e) and not readers.get(e.outputs[0], set()) & inside:
            views.append(e)
        else:
            work.append(e)
            inside.add(id(e))
    return work[::-1], views[::-1]


def _is_small(e: Equation) -> bool:
    if e.primitive.role is Role.CONTRACTION or e.params.get("batch") == 1:
        return False
    return all(x.aval.size <= VALUES for x in (*e.operands, *e.outputs))


def _is_scatter(e: Call, target: FusingTarget) -> bool:
    """Whether this is a scatter that a loop does, of any size: NumPy's takes ten times as long."""
    if not isinstance(e, Equation) or not is_scatter_add(e) or e.params["batch"]:
        return False
    values = (*e.operands, *e.outputs)
    known = all(target.has_dtype(x.aval.dtype) and x.aval.size for x in values)
    return known and e.outputs[0].aval.dtype.kind == "f"


def _ends(
    run: Sequence[Equation], readers: dict[Any, set[int]]
) -> tuple[tuple[Var, ...], tuple[Var, ...]]:
    """What equations need of others, and what others need of them."""
    mine = {id(e) for e in run}
    made = {v for e in run for v in e.outputs}
    results = [v for e in run for v in e.outputs if readers.get(v, mine) - mine]
    needed = [x for e in run for x in e.operands if type(x) is Var and x not in made]
    return tuple(dict.fromkeys(needed)), tuple(results)


def _fused(
    run: Sequence[Equation], readers: dict[Any, set[int]], interpreted: bool = False
) -> FusedCall:
    return FusedCall(list(run), *_ends(run, readers), interpreted)

"""Small work beside the sweeps: many equations on small arrays as one call.

A library call on a hundred values takes much longer to begin than to compute. Runs of such
equations are written as a sweep over one row, in which all axes are lanes. What is too much for one
such function, or has more operands and results than it can take as arguments, is left to the
interpreter of packed arrays where that is able to do it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gpuad.ir.graph import Equation, Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import Call, FusedCall, Plan, in_one_row
from gpuad.plan.roles import is_scatter_add, is_view
from gpuad.plan.target import FusingTarget

SMALL = 1 << 13
"""The most elements of a small array."""
MAX_FUNCTIONS = 3
"""How many functions of the largest cost are compiled; the rest is library calls."""
MIN_OPERATIONS = 8
"""The fewest equations, views not counted, that are worth a compiled function."""
MAX_ARGUMENTS = 64
"""The most arguments of a compiled function: more would take most of its time."""
INTERPRETER_CALL = 4
"""What a call of the interpreter costs, in library calls."""
VALUES_PER_CALL = 4
"""How many values are brought to the interpreter or back in the time of one library call."""
VERY_SHORT = 64
"""Arrays of at most so many elements gain nothing from compiled loops, which take long to
compile."""
MANY_CALLS = 16
"""From so many library calls on, the interpreter is better."""

Joins = Callable[[Equation], bool]


def with_fused_calls(plan: Plan, target: FusingTarget) -> Plan:
    """The plan with runs of small equations on whole arrays as one call each."""

    def is_small(e: Equation) -> bool:
        return _is_small(e) and target.joins(e)

    return _compiled(_interpreted(plan, is_small, target), is_small, target)


def _compiled(plan: Plan, is_small: Joins, target: FusingTarget) -> Plan:
    """The plan with runs of small equations as compiled functions of straight-line code."""
    readers = _readers(plan)
    left = MAX_FUNCTIONS * target.straight_limit
    stages = []
    for stage in plan.stages:
        whole: list[Call] = []
        for small, run in _runs(stage.whole, is_small, target):
            work, views = _trailing(run, readers) if small else (run, [])
            several = small and sum(not is_view(e) for e in work) >= MIN_OPERATIONS
            cost = sum([target.cost(in_one_row(e)) for e in work]) if several else 0
            if (several and cost <= left) or _is_compiled_scatter(run[0], target):
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
        if small and work >= MIN_OPERATIONS:
            cost += sum([target.cost(in_one_row(e)) for e in run])
            if sum(map(len, _inputs_and_results(run, readers))) > MAX_ARGUMENTS:
                return True
        else:
            calls += sum(target.interprets(e) and not is_view(e) for e in run)
    return cost > target.straight_limit or calls >= MANY_CALLS


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
    values = sum(map(len, _inputs_and_results(run, readers)))
    return calls >= INTERPRETER_CALL + values // VALUES_PER_CALL


def _readers(plan: Plan) -> dict[Any, set[int]]:
    """For each value the equations that read it, by their `id`; 0 stands for the graph's
    outputs."""
    readers: dict[Any, set[int]] = {x: {0} for x in plan.graph.outputs}
    for stage in plan.stages:
        for e in (*stage.whole, *[s.equation for s in stage.sweep]):
            for x in e.operands:
                readers.setdefault(x, set()).add(id(e))
    return readers


def _runs(
    whole: Sequence[Call], joins: Joins, target: FusingTarget | None = None
) -> list[tuple[bool, list[Any]]]:
    """The calls divided into runs of small ones (True) and single others (False).

    A call that needs nothing of an open run goes before it. With a target, a run ends where it
    would cost more to compile than the target's limit.
    """
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
            runs.append((False, [e]))
    return [*runs, (True, run)] if run else runs


def _trailing(
    run: Sequence[Equation], readers: dict[Any, set[int]]
) -> tuple[list[Equation], list[Equation]]:
    """The run without the views that nothing in it reads, which cost nothing outside; and these
    views."""
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
    # A gather with a table for each row is written for a row axis, which there is none of here.
    if e.primitive.role is Role.CONTRACTION or e.params.get("batch") == 1:
        return False
    return all(x.aval.size <= SMALL for x in (*e.operands, *e.outputs))


def _is_compiled_scatter(e: Call, target: FusingTarget) -> bool:
    """Whether this is a scatter-add that a compiled loop can do; of any size, since NumPy's takes
    ten times as long."""
    if not isinstance(e, Equation) or not is_scatter_add(e) or e.params["batch"]:
        return False
    values = (*e.operands, *e.outputs)
    known = all(target.has_dtype(x.aval.dtype) and x.aval.size for x in values)
    return known and e.outputs[0].aval.dtype.kind == "f"


def _inputs_and_results(
    run: Sequence[Equation], readers: dict[Any, set[int]]
) -> tuple[tuple[Var, ...], tuple[Var, ...]]:
    """The values that a run needs from outside, and its results that are needed outside."""
    mine = {id(e) for e in run}
    made = {v for e in run for v in e.outputs}
    results = [v for e in run for v in e.outputs if readers.get(v, mine) - mine]
    needed = [x for e in run for x in e.operands if type(x) is Var and x not in made]
    return tuple(dict.fromkeys(needed)), tuple(results)


def _fused(
    run: Sequence[Equation], readers: dict[Any, set[int]], interpreted: bool = False
) -> FusedCall:
    return FusedCall(list(run), *_inputs_and_results(run, readers), interpreted)

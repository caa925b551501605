"""Small work beside the sweeps: many equations on small arrays as one compiled function.

A library call on a hundred values takes microseconds to begin and none to do. Runs of such
equations are written as a sweep over one row, which has all the axes of its values for lanes. Of
more than one such function would hold, and of values that would be too many arguments for it, a
machine does what it can.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad.executors.assembly import can_assemble, in_one_row
from gpuad.executors.effort import LIMIT, STRAIGHT, effort
from gpuad.executors.machine import Machine
from gpuad.executors.machine_function import MachineFunction
from gpuad.executors.ordering import GEMM
from gpuad.executors.scratch import scratch_bytes
from gpuad.executors.source import SweepWriter
from gpuad.executors.sweep import TYPES, SweepSource
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation, Var
from gpuad.ir.primitive import Primitive
from gpuad.plan.plan import Plan, SweepEquation
from gpuad.plan.views import is_view

VALUES = 1 << 13
"""An array of at most so many elements is small."""
MOST = 3 * LIMIT * STRAIGHT
"""Beyond this effort it would take too long to compile: the rest is library calls."""
LEAST = 8
"""So many equations that are no views are worth a function."""
ARGUMENTS = 64
"""A compiled function has at most so many arguments: beyond, they take most of its time."""

WORTH = 4
"""A machine is called in the time of so many library calls, and a value is brought in that of one
by so many."""
VERY_SHORT = 64
"""Arrays of so many elements gain nothing from loops of their own, which take long to compile."""
CALLS = 16
"""So many library calls are a reason to have a machine."""

Joins = Callable[[Equation], bool]
Compile = Callable[[SweepSource, Sequence[SweepEquation]], Callable[..., Any]]


def with_small_functions(plan: Plan, joins: Joins, compiled: Compile) -> Plan:
    """The plan with runs of small equations as one equation each."""

    def is_small(e: Equation) -> bool:
        return _is_small(e) and joins(e)

    return _compiled(_by_machine(plan, is_small, joins), is_small, compiled)


def _compiled(plan: Plan, is_small: Joins, compiled: Compile) -> Plan:
    readers = _readers(plan)
    left = MOST
    stages = []
    for stage in plan.stages:
        whole: list[Equation] = []
        for small, run in _runs(stage.whole, is_small):
            work, views = _trailing(run, readers)
            several = small and sum(not is_view(e) for e in work) >= LEAST
            cost = sum(map(_cost, work)) if several else 0
            if (several and cost <= left) or _is_scatter(run[0]):
                whole += [_function(work, readers, compiled), *views]
                left -= cost
            else:
                whole += run
        stages.append(replace(stage, whole=whole))
    return replace(plan, stages=stages)


def _by_machine(plan: Plan, is_small: Joins, joins: Joins) -> Plan:
    """The plan with functions of one machine where that is better."""
    readers = _readers(plan)
    machine = _machine(plan)
    stages = []
    for stage in plan.stages:
        if _is_much(stage.whole, readers, is_small):
            whole = _with_machine(machine, stage.whole, readers, joins)
            stages.append(replace(stage, whole=whole))
        else:
            stages.append(stage)
    return replace(plan, stages=stages)


def _is_much(whole: Sequence[Equation], readers: dict[Any, set[int]], joins: Joins) -> bool:
    """Whether a machine is better: all arrays are very short, or small equations would take more
    than one compiled function, many arguments, or many library calls between them."""
    values = [x for e in whole for x in (*e.operands, *e.outputs)]
    if max([x.aval.size for x in values], default=0) <= VERY_SHORT:
        return True
    units = calls = 0
    for small, run in _runs(whole, joins):
        work = sum(not is_view(e) for e in run)
        if small and work >= LEAST:
            units += sum(map(_cost, run))
            if sum(map(len, _ends(run, readers))) > ARGUMENTS:
                return True
        else:
            calls += sum(can_assemble(e, joins) and not is_view(e) for e in run)
    return units > LIMIT * STRAIGHT or calls >= CALLS


def _machine(plan: Plan) -> Machine:
    """A machine whose functions are for float32 if there is that alone."""
    equations = [e for stage in plan.stages for e in stage.whole]
    dtypes = {x.aval.dtype.str[1:] for e in equations for x in (*e.operands, *e.outputs)}
    return Machine("f32" if "f4" in dtypes and "f8" not in dtypes else "f64")


def _with_machine(
    machine: Machine, whole: Sequence[Equation], readers: dict[Any, set[int]], joins: Joins
) -> list[Equation]:
    """The equations with a machine's function for those that it can do."""
    found: list[Equation] = []
    for mine, run in _runs(whole, lambda e: can_assemble(e, joins), None):
        if mine and _is_worth(run, readers):
            operands, results = _ends(run, readers)
            function = MachineFunction(machine, run, operands, results)
            found.append(_as_equation(run, function, operands, results))
        else:
            found += run
    return found


def _is_worth(run: Sequence[Equation], readers: dict[Any, set[int]]) -> bool:
    """Whether a machine saves more library calls than it takes to bring values to it and back."""
    calls = sum(not is_view(e) for e in run)
    return calls >= WORTH + sum(map(len, _ends(run, readers))) // WORTH


def _cost(e: Equation) -> int:
    return effort(in_one_row(e, ()))


def _readers(plan: Plan) -> dict[Any, set[int]]:
    """Which equations (by identity; 0: the results) read a value."""
    readers: dict[Any, set[int]] = {x: {0} for x in plan.graph.outputs}
    for stage in plan.stages:
        for e in (*stage.whole, *[s.equation for s in stage.sweep]):
            for x in e.operands:
                readers.setdefault(x, set()).add(id(e))
    return readers


def _runs(
    whole: Sequence[Equation], joins: Joins, limit: float | None = LIMIT * STRAIGHT
) -> list[tuple[bool, list[Equation]]]:
    """The equations in order, small ones together as far as what they need and the limit of their
    effort, if any, allow."""
    runs: list[tuple[bool, list[Equation]]] = []
    run: list[Equation] = []
    made: set[Any] = set()
    units = 0
    for e in whole:
        small = joins(e)
        cost = _cost(e) if small and limit is not None else 0
        over = limit is not None and units + cost > limit
        if run and (over or (not small and made.intersection(e.operands))):
            runs.append((True, run))
            run, made, units = [], set(), 0
        if small:
            run.append(e)
            made.update(e.outputs)
            units += cost
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
    if e.primitive.name == GEMM or e.params.get("batch") == 1:
        return False
    return all(x.aval.size <= VALUES for x in (*e.operands, *e.outputs))


def _is_scatter(e: Equation) -> bool:
    """Whether this is a scatter that a loop does, of any size: NumPy's takes ten times as long."""
    if e.primitive.name != "scatter_add" or e.params["batch"]:
        return False
    values = (*e.operands, *e.outputs)
    known = all(x.aval.dtype.str[1:] in TYPES and x.aval.size for x in values)
    return known and e.outputs[0].aval.dtype.kind == "f"


class _Writer(SweepWriter):
    """Writes a sweep over one row without loops over rows, which take half the time to compile."""

    def _block_rows(self) -> int:
        return 1

    def _function(self) -> str:
        head, *lines = super()._function().splitlines()
        text: list[str] = []
        dropped: list[int] = []
        for line in lines:
            indent = len(line) - len(line.lstrip())
            while dropped and indent <= dropped[-1]:
                dropped.pop()
            if _OVER_ROWS.match(line):
                dropped.append(indent)
            elif not _BLOCK.match(line):
                text.append(_at_row_0(line[4 * len(dropped) :]))
        return "\n".join([head, *text]) + "\n"


_OVER_ROWS = re.compile(r" *for (r in range\(n\)|b0 in range\(.*\)):$")
_BLOCK = re.compile(r" *(n = min|(\w+)b = \2\[\d+ \* b0:)")
_ROW = re.compile(r"\[(?:\d+ \* )?r( \+ )?")


def _at_row_0(line: str) -> str:
    line = _ROW.sub(lambda match: "[" if match[1] else "[0", line)
    line = re.sub(r"(range\(\d+) \* n\b", r"\1", line)
    return re.sub(r"\b([ao]\d+)b\b", r"\1", line)


def _function(run: Sequence[Equation], readers: dict[Any, set[int]], compiled: Compile) -> Equation:
    operands, results = _ends(run, readers)
    made = {v for e in run for v in e.outputs}
    sweep = [in_one_row(e, made) for e in run]
    return _as_equation(run, SmallFunction(sweep, results, operands, compiled), operands, results)


def _ends(
    run: Sequence[Equation], readers: dict[Any, set[int]]
) -> tuple[tuple[Var, ...], list[Var]]:
    """What equations need of others, and what others need of them."""
    mine = {id(e) for e in run}
    made = {v for e in run for v in e.outputs}
    results = [v for e in run for v in e.outputs if readers.get(v, mine) - mine]
    needed = [x for e in run for x in e.operands if type(x) is Var and x not in made]
    return tuple(dict.fromkeys(needed)), results


def _as_equation(
    run: Sequence[Equation], function: Any, operands: tuple[Var, ...], results: Sequence[Var]
) -> Equation:
    alone = len(run) == 1 and isinstance(function, SmallFunction)
    name = run[0].primitive.name if alone else f"function of {len(run)} operations"
    primitive = Primitive(
        name,
        "constant",
        infer=lambda *avals, **params: tuple([v.aval for v in results]),
        run=function,
        axes=_nowhere,
        batch=_nowhere,
        jvp=None,
        multiple=True,
    )
    return Equation(primitive, operands, {}, tuple(results), run[0].where)


def function_of(e: Equation) -> "SmallFunction | MachineFunction | None":
    """The compiled function that an equation stands for."""
    run = e.primitive.run
    return run if isinstance(run, SmallFunction | MachineFunction) else None


def _nowhere(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("a compiled function is for one plan only")


class SmallFunction:
    """The array function of a run of equations."""

    def __init__(
        self,
        sweep: Sequence[SweepEquation],
        results: Sequence[Var],
        operands: Sequence[Var],
        compiled: Compile,
    ):
        self.equations = sweep
        self._results = results
        self._compiled = compiled
        self.source = _Writer(sweep, set(results), planar=False).write()
        self.text = self.source.text
        self._order = [operands.index(a.var) for a in self.source.reads]
        written = [a.var for a in self.source.writes]
        self._places = [written.index(v) for v in results]
        self._avals: list[Aval] = [v.aval for v in written]

    @property
    def scratch_bytes(self) -> int:
        return scratch_bytes(self.source)

    @functools.cached_property
    def _call(self) -> Callable[..., Any]:
        return self._compiled(self.source, self.equations)

    def __call__(self, xp: Any, *arrays: Any) -> tuple[Any, ...]:
        flat = [_flat(arrays[k]) for k in self._order]
        outs = [np.empty(a.shape, a.dtype) for a in self._avals]
        self._call(*flat, *[x.reshape(-1) for x in outs])
        return tuple([outs[k] for k in self._places])


def _flat(x: Any) -> np.ndarray:
    x = np.asarray(x)
    flags = x.flags
    return (x if flags.c_contiguous and flags.aligned else x.copy("C")).reshape(-1)

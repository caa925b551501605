"""The steps of a compiled program, in order, with what is forgotten after each."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.executors.passes import Pass
from gpuad.executors.rowcalls import ALIASES
from gpuad.ir.graph import Equation, Graph, Var


@dataclass(frozen=True)
class Step:
    """A library call or a pass over the rows; `frees` are the values that nothing later reads."""

    work: Equation | Pass
    frees: list[Var]

    @property
    def values(self) -> set[Var]:
        """What the step reads and makes, apart from what lasts for a piece of rows only."""
        return touched(self.work)


def touched(work: Equation | Pass) -> set[Var]:
    if isinstance(work, Equation):
        return {x for x in (*work.operands, *work.outputs) if type(x) is Var}
    return work.values


def scheduled(
    graph: Graph,
    items: Sequence[Any],
    as_pass: Callable[[Any, Collection[Var]], Any] | None = None,
) -> list[Step]:
    """Steps from library calls and groups of sweeps; `as_pass` makes a group one step."""
    live = {x for x in graph.outputs if type(x) is Var}
    steps = []
    for item in reversed(items):
        work = item if as_pass is None or isinstance(item, Equation) else as_pass(item, live)
        values = touched(work)
        steps.append(Step(work, [x for x in values if x not in live]))
        live |= values
    return steps[::-1]


def roots(graph: Graph, steps: Sequence[Step]) -> dict[Var, Var]:
    """For each value of a program the one whose memory it may lie in: itself, if none."""
    found: dict[Var, Var] = {v: v for v in graph.inputs}
    for step in steps:
        work = step.work
        for v in step.values:
            found.setdefault(v, v)
        if isinstance(work, Equation) and work.primitive.name in ALIASES:
            x = work.operands[0]
            if type(x) is Var:
                found[work.outputs[0]] = found[x]
    return found

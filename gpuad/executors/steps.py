"""The steps of a compiled program, in order, with the values that are freed after each."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gpuad.codegen.argument import Argument
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.plan.plan import Call, FusedCall

Key = tuple[Var, str, int | None, tuple[int, ...] | None]
"""An array and how sweeps read or write it: the var, kind, axis and order of an `Argument`."""

PIECE_BYTES = 1 << 20
"""Bytes that a thread keeps for a piece of rows if memory is not limited; they fit in the cache."""


@dataclass(frozen=True)
class Limits:
    """How much memory a pass may take beside its results: bytes for a piece of rows on each thread,
    and how many threads (None: all)."""

    piece_bytes: int = PIECE_BYTES
    threads: int | None = None


Unit = TypeVar("Unit")
"""What an executor makes a pass of: a sweep, or a library call by rows."""


class Pass(Protocol):
    """Sweeps and library calls that run together over the rows."""

    @property
    def reads(self) -> Collection[Key]:
        """What is read by rows and not made here."""
        ...

    @property
    def free(self) -> Collection[Key]:
        """What is read as a whole."""
        ...

    @property
    def writes(self) -> Sequence[Argument]:
        """What is written row by row and kept as a whole."""
        ...

    @property
    def values(self) -> Collection[Var]:
        """All values that are read or kept as a whole, in a fixed order."""
        ...


@dataclass(frozen=True)
class Step:
    """A library call or a pass over the rows; `frees` are the values that nothing later reads."""

    work: Call | Pass
    frees: list[Var]

    @property
    def values(self) -> Collection[Var]:
        """What the step reads and makes."""
        return touched(self.work)


def is_call(work: Call | Pass) -> bool:
    """Whether the work of a step is a call on whole arrays."""
    return isinstance(work, Equation | FusedCall)


def touched(work: Call | Pass) -> Collection[Var]:
    """What a step reads and makes, in a fixed order, in which blocks of memory are assigned."""
    if isinstance(work, Equation | FusedCall):
        values = [x for x in (*work.operands, *work.outputs) if type(x) is Var]
        return dict.fromkeys(values)
    return work.values


def scheduled(
    graph: Graph,
    items: Sequence[Call | list[Unit]],
    as_pass: Callable[[list[Unit], Collection[Var]], Pass] | None = None,
) -> list[Step]:
    """Steps from library calls and groups of units; `as_pass` makes a group one step."""
    live = {x for x in graph.outputs if type(x) is Var}
    steps = []
    for item in reversed(items):
        work: Call | Pass
        if isinstance(item, list):
            assert as_pass is not None
            work = as_pass(item, live)
        else:
            work = item
        values = touched(work)
        steps.append(Step(work, [x for x in values if x not in live]))
        live.update(values)
    return steps[::-1]


def roots(graph: Graph, steps: Sequence[Step]) -> dict[Var, Var]:
    """For each value of a program the value in whose memory it may lie, which may be itself."""
    found: dict[Var, Var] = {v: v for v in graph.inputs}
    for step in steps:
        work = step.work
        for v in step.values:
            found.setdefault(v, v)
        if isinstance(work, Equation) and work.primitive.aliases:
            x = work.operands[0]
            if type(x) is Var:
                found[work.outputs[0]] = found[x]
    return found

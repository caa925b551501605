"""The memory of a program, known before it runs.

A program is followed step by step with the strides of its arrays and without their contents. What
counts is what is allocated beside the arguments: results, intermediate values, what a library call
needs for itself, and what a pass keeps for a piece of rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.errors import MemoryLimitError
from gpuad.executors.donation import NOTHING, Donation
from gpuad.executors.steps import Limits, Pass, Step, is_call, scheduled
from gpuad.executors.workspace import layout_of, of_call
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.plan.plan import Call


@dataclass(frozen=True)
class Conduct:
    """How a run goes about memory; `pooled`: also intermediate values come from a
    pool of blocks."""

    donation: Donation
    limits: Limits
    pooled: bool


class Ledger:
    """Bytes in use, and the most there were. What a pool of blocks keeps is in use: it keeps those
    of at least so many bytes."""

    def __init__(self, smallest_kept: int = 0) -> None:
        self.most = self._now = 0
        self._smallest_kept = smallest_kept
        self._kept: Counter[int] = Counter()

    def take(self, size: int, pooled: bool = False) -> None:
        if pooled and self._kept[size]:
            self._kept[size] -= 1
            return
        self._now += size
        self.most = max(self.most, self._now)

    def give_back(self, size: int, pooled: bool) -> None:
        if pooled and size >= self._smallest_kept:
            self._kept[size] += 1
        else:
            self._now -= size

    def passing(self, size: int) -> None:
        self.most = max(self.most, self._now + size)


class Following:
    """A program followed on arrays of which only shape, dtype and strides are looked at.

    An executor adds its own passes, and the calls that it makes in other ways.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[Any],
        conduct: Conduct,
        ledger: Ledger | None = None,
    ):
        self.graph = graph
        self.conduct = conduct
        self.env: dict[Any, Any] = {
            v: x if isinstance(x, np.ndarray) else layout_of(v.aval)
            for v, x in zip(graph.inputs, inputs, strict=True)
        }
        self.ledger = ledger or Ledger()
        self.views: set[Any] = set()
        """Calls that only made views."""
        self._inputs = set(graph.inputs)
        # In whose memory a value lies, and how many values lie in it.
        self._root: dict[Var, Var] = {v: v for v in graph.inputs}
        self._users: Counter[Var] = Counter(graph.inputs)
        self._taken: dict[Var, tuple[int, bool]] = {}

    def peak(self, steps: Sequence[Step]) -> int:
        for step in steps:
            if is_call(step.work):
                self._call(step.work)  # type: ignore[arg-type]
            else:
                self._pass(step.work)  # type: ignore[arg-type]
            for x in step.frees:
                self._forget(x)
        self._results()
        return self.ledger.most

    def _made(self, v: Var, made: Any, size: int, pooled: bool = False) -> None:
        self.env[v] = made
        self._root[v] = v
        self._users[v] += 1
        self._taken[v] = (size, pooled)
        self.ledger.take(size, pooled)

    def _forget(self, v: Var) -> None:
        root = self._root[v]
        self._users[root] -= 1
        del self.env[v]
        if not self._users[root] and root in self._taken:
            self._freed(root)

    def _freed(self, v: Var) -> None:
        self.ledger.give_back(*self._taken.pop(v))

    def _pass(self, work: Pass) -> None:
        raise AssertionError("this executor has no passes")

    def _call(self, e: Call) -> None:
        operands = self._operands(e)
        if isinstance(e, Equation) and e.primitive.aliases:
            view = _view(e, operands[0])
            if view is not None:
                self.views.add(e)
                self._shared(e.outputs[0], e.operands[0], view)
                return
        self.ledger.passing(sum(v.aval.nbytes for v in e.outputs) + self.temporaries(e, operands))
        for v in e.outputs:
            self._made(v, layout_of(v.aval), v.aval.nbytes)

    def _operands(self, e: Call) -> list[Any]:
        return [self.env[x] if type(x) is Var else x.value for x in e.operands]

    def temporaries(self, e: Any, operands: Sequence[Any]) -> int:
        """What a call needs for itself, at most."""
        return temporaries(e, operands)

    def _shared(self, v: Var, x: Any, view: Any) -> None:
        if type(x) is not Var:
            self._made(v, view, 0)
            return
        self.env[v] = view
        root = self._root[v] = self._root[x]
        self._users[root] += 1

    def _results(self) -> None:
        """Results that share memory are copied at the end."""
        seen = set(self._inputs)
        for x in self.graph.outputs:
            if type(x) is not Var:
                continue
            root = self._root[x]
            if root in seen or (x.aval.ndim and 0 in self.env[x].strides):
                self.ledger.take(x.aval.nbytes)
            seen.add(root)


def _view(e: Equation, x: Any) -> Any:
    """The result of a call if it is a view of the operand, else None."""
    try:
        return e.primitive.as_view(e.params)(x if isinstance(x, np.ndarray) else np.asarray(x))
    except ValueError:
        return None


def temporaries(e: Equation, operands: Sequence[Any]) -> int:
    """What NumPy needs for itself in a library call, at most."""
    graph = e.params.get("graph")
    if e.primitive.holds_graph and isinstance(graph, Graph):
        return reference_peak(graph, operands)
    return of_call(e, operands)


def reference_peak(graph: Graph, inputs: Sequence[Any]) -> int:
    """The same for the reference executor, which runs equation by equation."""
    conduct = Conduct(NOTHING, Limits(), pooled=False)
    return Following(graph, inputs, conduct).peak(scheduled(graph, graph.equations))


def check_reference(max_bytes: int, held: int, graph: Graph, inputs: Sequence[Any]) -> None:
    """Refuses a run of the reference executor, which takes all rows at once, beyond a budget."""
    key = ("reference peak", layout_key(inputs))
    peak = graph.derived.get(key)
    if peak is None:
        peak = graph.derived[key] = reference_peak(graph, inputs)
    if held + peak > max_bytes:
        raise MemoryLimitError(
            f"max_bytes={max_bytes}: operation by operation this takes {held + peak} bytes beside "
            f"the arguments. Give max_bytes={held + peak} or more, use compiled sweeps "
            "(executor='auto', with Numba installed), or call the function on fewer rows."
        )


def layout_key(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """What the memory of a run depends on, in its inputs."""
    return tuple(
        [(x.strides, x.flags.aligned) if isinstance(x, np.ndarray) else None for x in inputs]
    )


def first_within(
    max_bytes: int, conducts: Sequence[Conduct], peak: Callable[[Conduct], int], last: str
) -> Conduct:
    """The first conduct with a peak of at most `max_bytes`; `last` says what the last ones do."""
    peaks = []
    for conduct in conducts:
        peaks.append(peak(conduct))
        if peaks[-1] <= max_bytes:
            return conduct
    raise MemoryLimitError(
        f"max_bytes={max_bytes}: the plan takes {peaks[0]} bytes beside the arguments, and "
        f"{min(peaks)} {last}. Give max_bytes={min(peaks)} or more, or call the function on fewer "
        "rows."
    )

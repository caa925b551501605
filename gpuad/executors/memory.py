"""The memory of a program, known before it runs, and how to keep it under a limit.

A program is followed step by step with the strides of its arrays and without their contents. What
counts is what is allocated beside the arguments: results, intermediate values, what a library call
needs for itself, and what the threads keep for a piece of rows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gpuad.errors import MemoryLimitError
from gpuad.executors import buffers
from gpuad.executors.donation import NOTHING, Donation
from gpuad.executors.filling import filling
from gpuad.executors.passes import PIECE_BYTES, Limits, Pass
from gpuad.executors.rowcalls import ALIASES
from gpuad.executors.small import function_of
from gpuad.executors.steps import Step, scheduled
from gpuad.executors.sweep import inner
from gpuad.executors.temporaries import layout_of, of_call, strided
from gpuad.executors.workers import threads
from gpuad.ir.graph import Equation, Graph, Var


@dataclass(frozen=True)
class Conduct:
    """How a run goes about memory; `pooled`: also intermediate values come from `buffers`."""

    donation: Donation
    limits: Limits
    pooled: bool


class Ledger:
    """Bytes in use, and the most there were. What `buffers` keeps is in use."""

    def __init__(self) -> None:
        self.most = self._now = 0
        self._kept: Counter[int] = Counter()

    def take(self, size: int, pooled: bool = False) -> None:
        if pooled and self._kept[size]:
            self._kept[size] -= 1
            return
        self._now += size
        self.most = max(self.most, self._now)

    def give_back(self, size: int, pooled: bool) -> None:
        if pooled and size >= buffers.SMALLEST:
            self._kept[size] += 1
        else:
            self._now -= size

    def passing(self, size: int) -> None:
        self.most = max(self.most, self._now + size)


class Following:
    """A program followed on arrays of which only shape, dtype and strides are looked at."""

    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[Any],
        conduct: Conduct,
        blocks: Mapping[Var, int] | None = None,
    ):
        """`blocks`: the size of the block of the pool that a value lies in, if not its own."""
        self.graph = graph
        self._blocks = blocks or {}
        self.conduct = conduct
        self.env: dict[Any, Any] = {
            v: x if isinstance(x, np.ndarray) else layout_of(v.aval)
            for v, x in zip(graph.inputs, inputs, strict=True)
        }
        self.ledger = Ledger()
        self.views: set[Equation] = set()
        """Calls that only made views."""
        self.copied: dict[Any, Any] = {}
        """What each pass copies, piece by piece."""
        self._inputs = set(graph.inputs)
        # In whose memory a value lies, and how many values lie in it.
        self._root: dict[Var, Var] = {v: v for v in graph.inputs}
        self._users: Counter[Var] = Counter(graph.inputs)
        self._taken: dict[Var, tuple[int, bool]] = {}
        self._kept: list[int] = []
        """Scratch of each thread."""

    def peak(self, steps: Sequence[Step]) -> int:
        for step in steps:
            if isinstance(step.work, Equation):
                self._call(step.work)
            else:
                self._pass(step.work)
            for x in step.frees:
                self._forget(x)
        self._results()
        return self.ledger.most

    def _made(self, v: Var, made: Any, size: int, pooled: bool = False) -> None:
        self.env[v] = made
        self._root[v] = v
        self._users[v] += 1
        if pooled:
            size = max(size, self._blocks.get(v, 0))
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
        donation = self.conduct.donation
        copied = work.copied(self.env)
        copied += [k for k in donation.staged if k in work.reads and k not in copied]
        self.copied[work] = copied
        self._scratch(work.scratch_bytes, work.at_once(self.conduct.limits))
        extra = work.extra_bytes(self.env, copied, self.conduct.limits)
        for a in work.writes:
            shape = a.var.aval.shape
            made = layout_of(a.var.aval)
            if a.axis:
                rows_first = (shape[a.axis], *inner(shape, a.axis))
                made = np.moveaxis(strided(rows_first, a.var.aval.dtype), 0, a.axis)
            place = donation.placed.get(a.var)
            if place is None:
                self._made(a.var, made, a.var.aval.nbytes, self.conduct.pooled)
            elif place.block in self._inputs:
                self._made(a.var, made, 0)
            else:
                self._shared(a.var, place.block, made)
        for a in work.sums:
            self._made(a.var, layout_of(a.var.aval), a.var.aval.nbytes)
        self.ledger.passing(extra)

    def _scratch(self, size: int, threads: int) -> None:
        """Scratch on the first so many threads, which lasts and is used again."""
        kept = self._kept
        kept += [0] * (threads - len(kept))
        self.ledger.take(sum([max(0, size - x) for x in kept[:threads]]))
        kept[:threads] = [max(size, x) for x in kept[:threads]]

    def _call(self, e: Equation) -> None:
        operands = [self.env[x] if type(x) is Var else x.value for x in e.operands]
        if e.primitive.name in ALIASES:
            view = _view(e, operands[0])
            if view is not None:
                self.views.add(e)
                self._shared(e.outputs[0], e.operands[0], view)
                return
        function = function_of(e)
        if function is not None:
            self._scratch(function.scratch_bytes, 1)
        if self.conduct.pooled and filling(e) is not None:
            (v,) = e.outputs
            self._made(v, layout_of(v.aval), v.aval.nbytes, pooled=True)
            self.ledger.passing(temporaries(e, operands))
            return
        self.ledger.passing(sum(v.aval.nbytes for v in e.outputs) + temporaries(e, operands))
        for v in e.outputs:
            self._made(v, layout_of(v.aval), v.aval.nbytes)

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
    if not isinstance(x, np.ndarray):
        x = np.asarray(x)
    if e.primitive.name != "reshape":
        return e.primitive.implementation(np, e.params)(x)
    try:
        return np.reshape(x, e.outputs[0].aval.shape, copy=False)
    except ValueError:
        return None


def temporaries(e: Equation, operands: Sequence[Any]) -> int:
    """What NumPy, or the machine of a function, needs for itself in a library call, at most."""
    graph = e.params.get("graph")
    if e.primitive.holds_graph and isinstance(graph, Graph):
        return reference_peak(graph, operands)
    return of_call(e, operands) + getattr(e.primitive.run, "memory_bytes", 0)


def peak_bytes(graph: Graph, steps: Sequence[Step], inputs: Sequence[Any], conduct: Conduct) -> int:
    """Bytes beside the arguments at the fullest moment of a run on these inputs."""
    return Following(graph, inputs, conduct).peak(steps)


def reference_peak(graph: Graph, inputs: Sequence[Any]) -> int:
    """The same for the reference executor, which runs equation by equation."""
    steps = scheduled(graph, graph.equations)
    return peak_bytes(graph, steps, inputs, Conduct(NOTHING, Limits(), pooled=False))


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


def within(
    max_bytes: int,
    held: int,
    graph: Graph,
    steps: Sequence[Step],
    inputs: Sequence[Any],
    donations: Sequence[Donation],
) -> Conduct:
    """The fastest conduct with a peak of at most `max_bytes`, of which `held` are taken already.

    Raises
    ------
    MemoryLimitError
        If there is none.
    """
    conducts = [Conduct(d, limits, pooled=False) for d, limits in product(donations, _choices())]
    return first_within(
        max_bytes,
        conducts,
        lambda conduct: held + peak_bytes(graph, steps, inputs, conduct),
        "with the fewest rows at a time on one thread",
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


def _choices() -> Iterator[Limits]:
    """From the fastest on: shorter pieces, then fewer threads."""
    count = threads()
    while count:
        yield from [Limits(PIECE_BYTES >> k, count) for k in range(0, 22, 3)]
        count //= 2

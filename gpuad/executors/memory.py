"""The memory of a program, known before it runs.

A dry run follows its steps, on arrays with strides but without contents. It counts what is
allocated beside the arguments: results, intermediate values, the temporary arrays of library calls,
and what a pass keeps for a piece of rows.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gpuad.errors import MemoryLimitError
from gpuad.executors.donation import NOTHING, Donation
from gpuad.executors.steps import Limits, Pass, Step, is_call, scheduled
from gpuad.executors.workspace import layout_of, of_call, result_layout, strided
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import Call


@dataclass(frozen=True)
class MemoryStrategy:
    """How a run uses memory. `pooled`: intermediate values come from a pool of blocks, as results
    do; `reuse`: results may overwrite intermediate values."""

    donation: Donation
    limits: Limits
    pooled: bool
    reuse: bool = False


class Ledger:
    """Bytes in use, and their maximum so far.

    Blocks that a pool keeps for later count as in use; it keeps those of at least `smallest_kept`
    bytes, and gives the last of a size first. Of a block counts what has been written to: the rest
    has no pages yet.
    """

    def __init__(self, smallest_kept: int = 0) -> None:
        self.most = self.now = 0
        self._smallest_kept = smallest_kept
        self._kept: dict[int, list[int]] = defaultdict(list)

    def take(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)

    def give_back(self, size: int) -> None:
        self.now -= size

    def take_block(self, size: int, written: int) -> int:
        """Takes a block of the pool, to write so many bytes; returns those that count."""
        kept = self._kept[size]
        before = kept.pop() if kept else 0
        self.take(max(0, written - before))
        return max(before, written)

    def give_back_block(self, size: int, counting: int) -> None:
        if size >= self._smallest_kept:
            self._kept[size].append(counting)
        else:
            self.give_back(counting)

    def use_briefly(self, *sizes: int) -> None:
        """Arrays of these bytes that are taken together and given back at once."""
        self.most = max(self.most, self.now + sum(sizes))


class DryRun:
    """The steps of a program on arrays of which only shape, dtype and strides are used.

    An executor adds its own passes, and the calls that it makes in other ways.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Sequence[Any],
        strategy: MemoryStrategy,
        ledger: Ledger | None = None,
    ):
        self.graph = graph
        self.strategy = strategy
        self.env: dict[Any, Any] = {
            v: x if isinstance(x, np.ndarray) else layout_of(v.aval)
            for v, x in zip(graph.inputs, inputs, strict=True)
        }
        self.ledger = ledger or Ledger()
        self.views: set[Any] = set()
        """Calls that only made views."""
        self._inputs = set(graph.inputs)
        # The value in whose memory a value lies, and how many values lie in that memory.
        self._root: dict[Var, Var] = {v: v for v in graph.inputs}
        self._users: Counter[Var] = Counter(graph.inputs)
        # For each value with memory of its own, the bytes that count, and its block of the pool.
        self._taken: dict[Var, tuple[int, int | None]] = {}
        self.parts: dict[Equation, list[Any]] = {}
        """The dry runs of the graphs that an equation holds."""

    def peak(self, steps: Sequence[Step]) -> int:
        self._run_steps(steps)
        self._copy_results()
        return self.ledger.most

    def _run_steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if is_call(step.work):
                self._call(step.work)  # type: ignore[arg-type]
            else:
                self._pass(step.work)  # type: ignore[arg-type]
            for x in step.frees:
                self._forget(x)

    def _made(self, v: Var, made: Any, size: int, block: int | None = None) -> None:
        """Notes a value in memory of its own, or in a block of the pool with so many bytes."""
        self.env[v] = made
        self._root[v] = v
        self._users[v] += 1
        if block is None:
            self.ledger.take(size)
        else:
            size = self.ledger.take_block(block, size)
        self._taken[v] = size, block

    def _forget(self, v: Var) -> None:
        root = self._root[v]
        self._users[root] -= 1
        del self.env[v]
        if not self._users[root] and root in self._taken:
            self._freed(root)

    def _freed(self, v: Var) -> None:
        size, block = self._taken.pop(v)
        if block is None:
            self.ledger.give_back(size)
        else:
            self.ledger.give_back_block(block, size)

    def _pass(self, work: Pass) -> None:
        raise AssertionError("this executor has no passes")

    def _call(self, e: Call) -> None:
        operands = self._operands(e)
        if isinstance(e, Equation) and e.primitive.apply is not None:
            self._holding(e, operands)
            return
        if isinstance(e, Equation) and e.primitive.aliases:
            view = _view(e, operands[0])
            if view is not None:
                self.views.add(e)
                self._shared(e.outputs[0], e.operands[0], view)
                return
        if isinstance(e, Equation) and e.primitive.role is Role.IOTA:
            self._line(e)
            return
        results = [v.aval.nbytes for v in e.outputs]
        self.ledger.use_briefly(*results, self.temporaries(e, operands))
        for v in e.outputs:
            self._made(v, result_layout(e, v.aval, operands), v.aval.nbytes)

    def _line(self, e: Equation) -> None:
        """Counting along an axis: one line of numbers, repeated without memory of its own."""
        (v,) = e.outputs
        aval, axis = v.aval, e.params["axis"]
        line = strided((aval.shape[axis],), aval.dtype)
        self._made(v, np.broadcast_to(np.expand_dims(line, _others(aval.ndim, axis)), aval.shape),
                   line.nbytes)  # fmt: skip

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

    # Graphs that equations hold

    def _holding(self, e: Equation, operands: Sequence[Any]) -> None:
        """An equation that applies the graphs that it holds.

        If it applies them an unknown number of times, each graph is run once in addition to the
        results. This is enough for a loop too: a turn takes what the turn before has left.
        """
        if e.primitive.applies_once:
            ((part, steps),) = parts = self._parts(e, operands)
            part._run_steps(steps)
            self._adopt(e, part)
        else:
            for v in e.outputs:
                self._made(v, layout_of(v.aval), v.aval.nbytes)
            parts = self._parts(e, None)
            for part, steps in parts:
                part._run_steps(steps)
                part._free_all()
        self.parts[e] = [part for part, _ in parts]

    def _parts(
        self, e: Equation, operands: Sequence[Any] | None
    ) -> list[tuple["DryRun", Sequence[Step]]]:
        """For each graph that an equation holds, its dry run in the same ledger and its steps;
        without `operands`, on arrays in C order."""
        return [
            (DryRun(g, operands or layouts_of(g), PLAIN, self.ledger), scheduled(g, g.equations))
            for g in e.primitive.held_graphs(e.params)
        ]

    def _adopt(self, e: Equation, part: "DryRun") -> None:
        """Takes over the results of the graph that an equation holds, with their memory."""
        here: dict[Var, Any] = dict(zip(part.graph.inputs, e.operands, strict=False))
        for v, x in zip(e.outputs, part.graph.outputs, strict=True):
            if type(x) is not Var:
                self._shared(v, x, layout_of(x.aval))
                continue
            root = part._root[x]
            if root in here:
                self._shared(v, here[root], part.env[x])
            elif root not in part._taken:  # a constant of the program, of which a copy is given
                self._made(v, layout_of(v.aval), v.aval.nbytes)
            else:
                here[root] = v
                self.env[v] = part.env[x]
                self._root[v] = v
                self._users[v] += 1
                self._taken[v] = part._taken.pop(root)

    def _free_all(self) -> None:
        """Gives back all memory that is still taken."""
        for v in list(self._taken):
            self._freed(v)

    def _copy_results(self) -> None:
        """Takes memory for the copies of results that share memory, made at the end of a run."""
        seen = set(self._inputs)
        for x in self.graph.outputs:
            if type(x) is not Var:
                continue
            root = self._root[x]
            if root in seen or (x.aval.ndim and 0 in self.env[x].strides):
                self.ledger.take(x.aval.nbytes)
            seen.add(root)


def _others(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple([i for i in range(ndim) if i != axis])


def _view(e: Equation, x: Any) -> Any:
    """The result of a call if it is a view of the operand, else None."""
    try:
        return e.primitive.as_view(e.params)(x if isinstance(x, np.ndarray) else np.asarray(x))
    except ValueError:
        return None


def temporaries(e: Equation, operands: Sequence[Any]) -> int:
    """What NumPy needs for itself in a library call, at most."""
    graphs = e.primitive.held_graphs(e.params)
    if graphs:
        return sum([reference_peak(g, layouts_of(g)) for g in graphs])
    return of_call(e, operands)


def layouts_of(graph: Graph) -> list[Any]:
    """Inputs of a graph in C order, of which only the layout may be looked at."""
    return [layout_of(a) for a in graph.in_avals]


PLAIN = MemoryStrategy(NOTHING, Limits(), pooled=False)
"""The strategy of the reference executor."""


def reference_peak(graph: Graph, inputs: Sequence[Any]) -> int:
    """The peak memory of the reference executor, which runs equation by equation."""
    return DryRun(graph, inputs, PLAIN).peak(scheduled(graph, graph.equations))


def check_reference(max_bytes: int, held: int, graph: Graph, inputs: Sequence[Any]) -> None:
    """Refuses a run of the reference executor that takes more than `max_bytes`, of which `held` are
    taken already."""
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
    """The part of the inputs that the memory of a run depends on."""
    return tuple(
        [(x.strides, x.flags.aligned) if isinstance(x, np.ndarray) else None for x in inputs]
    )


NEGLIGIBLE = 1 << 20
"""So many bytes less are not worth computing values twice."""


class HasPeak(Protocol):
    def peak_bytes(self) -> int: ...


def with_least_memory(programs: Sequence[HasPeak]) -> int:
    """The position of the first of these equivalent programs with about the least peak memory.

    Each of them computes more than the one before it.
    """
    if len(programs) == 1:
        return 0
    peaks = [p.peak_bytes() for p in programs]
    return next(k for k, peak in enumerate(peaks) if peak <= min(peaks) + NEGLIGIBLE)


def first_within(
    max_bytes: int,
    strategies: Sequence[MemoryStrategy],
    peak: Callable[[MemoryStrategy], int],
    last: str,
) -> MemoryStrategy:
    """The first strategy with a peak of at most `max_bytes`.

    `last`, for the error message, says what the last strategies do.
    """
    peaks = []
    for strategy in strategies:
        peaks.append(peak(strategy))
        if peaks[-1] <= max_bytes:
            return strategy
    raise MemoryLimitError(
        f"max_bytes={max_bytes}: the plan takes {peaks[0]} bytes beside the arguments, and "
        f"{min(peaks)} {last}. Give max_bytes={min(peaks)} or more, or call the function on fewer "
        "rows."
    )

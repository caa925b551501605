"""The plan: a graph as stages, each a few library calls and one sweep over rows.

A value that has the row axis is computed block by block inside a sweep; a sum over rows is
complete when the sweep ends, so what depends on it waits for the next stage.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.plan.axes import Classes, RowAxis, choose_rows
from gpuad.plan.views import is_view, views_apart

AT_PLACES = ("gather", "scatter_add")
"""Primitives whose first operand is read or added to at places that others give."""


@dataclass(frozen=True)
class Use:
    """How an equation of a sweep reads an operand.

    kind: "block" (made in this sweep), "rows" (an array in memory, read a block of rows at a time
    along `axis`), "free" (an array in memory, the same for all rows).
    """

    kind: str
    axis: int | None = None


@dataclass
class SweepEquation:
    """An equation inside a sweep, with the row axis of its results (None: summed over rows)."""

    equation: Equation
    uses: tuple[Use, ...]
    axis: int | None


@dataclass
class Stage:
    """Equations on whole arrays, run one by one; then one sweep."""

    whole: list[Equation] = field(default_factory=list)
    sweep: list[SweepEquation] = field(default_factory=list)


@dataclass
class Plan:
    """A graph in stages. `rows` is the length of the row axis, 0 if nothing is swept; `by_rows` are
    the equations on whole arrays that act along it too, with their axes."""

    graph: Graph
    rows: int
    stages: list[Stage]
    by_rows: dict[Equation, SweepEquation] = field(default_factory=dict)

    @property
    def sweeps(self) -> int:
        return sum(1 for s in self.stages if s.sweep)


def make_plan(graph: Graph, joins: Callable[[Equation], bool]) -> Plan:
    """Divides a simplified graph into stages; `joins` says what a target can have in a sweep."""
    graph = views_apart(graph)
    classes = Classes(graph)
    chosen = choose_rows(graph, classes)
    if chosen is None:
        return Plan(graph, 0, [Stage(whole=list(graph.equations))])
    return plan_over(graph, classes, chosen, joins)


def plan_over(
    graph: Graph, classes: Classes, rows: RowAxis, joins: Callable[[Equation], bool]
) -> Plan:
    """The plan of a graph with this axis as its rows."""
    return _Staging(graph, classes, rows, joins).plan()


class _Staging:
    def __init__(
        self, graph: Graph, classes: Classes, rows: RowAxis, joins: Callable[[Equation], bool]
    ):
        self.graph = graph
        self.classes = classes
        self.rows = rows
        self.joins = joins
        self.root = classes.find(rows.node)
        self.stages: list[Stage] = []
        # In which stage a value is made in a sweep; from which stage on it is whole in memory.
        self.made: dict[Var, int] = {}
        self.whole_from: dict[Var, int] = dict.fromkeys(graph.inputs, 0)
        self.by_rows: dict[Equation, SweepEquation] = {}
        # Views made where they are read, and what they are made of stored, which is no larger.
        self.awaited: dict[Var, SweepEquation] = {}

    def plan(self) -> Plan:
        for i, e in enumerate(self.graph.equations):
            self._place(i, e)
        for x in self.graph.outputs:
            self._make(x)
        return Plan(self.graph, self.rows.rows, self.stages, self.by_rows)

    def _stage(self, k: int) -> Stage:
        while len(self.stages) <= k:
            self.stages.append(Stage())
        return self.stages[k]

    def _row_label(self, i: int, e: Equation) -> tuple[Any, int | None] | None:
        """The label of the row axis in this equation, and the axis of the result that has it."""
        axes = self.classes.axes[i]
        if len(e.outputs) != 1:
            return None
        (v,), (labels,) = e.outputs, axes.outputs
        for axis, label in enumerate(labels):
            if self.classes.find((v, axis)) == self.root:
                return None if label is None or not _by_rows(e, label) else (label, axis)
        for k, (x, operand_labels) in enumerate(zip(e.operands, axes.operands, strict=True)):
            if type(x) is Literal:
                continue
            for axis, label in enumerate(operand_labels):
                node = self.classes.node(i, k, x, axis)
                if axes.reduced.get(label) == "sum" and self.classes.find(node) == self.root:  # type: ignore[arg-type]
                    return label, None
        return None

    def _place(self, i: int, e: Equation) -> None:
        found = self._row_label(i, e)
        if found is None or not self.joins(e):
            for x in e.operands:
                self._make(x)
            k = max([self._complete(x) for x in e.operands if type(x) is Var], default=0)
            self._stage(k).whole.append(e)
            self.whole_from.update(dict.fromkeys(e.outputs, k))
            if found is not None:
                uses = [self._use(i, k, x, found[0]) for k, x in enumerate(e.operands)]
                self.by_rows[e] = SweepEquation(e, tuple(uses), found[1])
            return
        label, axis = found
        uses = [self._use(i, k, x, label) for k, x in enumerate(e.operands)]
        for x, use in zip(e.operands, uses, strict=True):
            if use.kind != "block":
                self._make(x)
        stage = max([self._known(x, use) for x, use in zip(e.operands, uses, strict=True)])
        s = SweepEquation(e, tuple(uses), axis)
        self.made[e.outputs[0]] = stage
        if is_view(e) and e.outputs[0].aval.size >= e.operands[0].aval.size:
            self.awaited[e.outputs[0]] = s
        else:
            self._sweep(s, stage)

    def _known(self, x: Any, use: Use) -> int:
        """The first stage whose sweep can use `x` in this way."""
        if type(x) is Literal:
            return 0
        return self.made[x] if use.kind == "block" else self._complete(x)

    def _sweep(self, s: SweepEquation, stage: int) -> None:
        """Puts an equation into the sweep of a stage, after the views that wait for it."""
        for x in s.equation.operands:
            self._make(x, stage)
        # What was made in an earlier sweep is read back from memory, by rows.
        pairs = zip(s.equation.operands, s.uses, strict=True)
        uses = tuple([self._settle(x, use, stage) for x, use in pairs])
        self._stage(stage).sweep.append(replace(s, uses=uses))
        self.made[s.equation.outputs[0]] = stage

    def _make(self, x: Any, stage: int | None = None) -> None:
        """Makes a view that waits to be read: in this stage, or as soon as it can be."""
        s = self.awaited.pop(x, None)
        if s is not None:
            self._sweep(s, self.made[x] if stage is None else stage)

    def _complete(self, x: Any) -> int:
        """The first stage whose sweep can read all of `x` from memory."""
        return self.whole_from[x] if x in self.whole_from else self.made[x] + 1

    def _use(self, i: int, k: int, x: Any, label: Any) -> Use:
        if type(x) is Literal:
            return Use("free")
        labels = self.classes.axes[i].operands[k]
        axis = labels.index(label) if label in labels else None
        if axis is None:
            return Use("free")
        if x in self.whole_from or (i, k) in self.classes.cut:
            return Use("rows", axis)
        if self.classes.find((x, axis)) != self.root:
            return Use("rows", axis)
        return Use("block", axis)

    def _settle(self, x: Any, use: Use, stage: int) -> Use:
        if use.kind == "block" and self.made[x] != stage:
            return Use("rows", use.axis)
        return use


def _by_rows(e: Equation, label: int) -> bool:
    """Whether the rows along this label are done apart: those of a table in which places are looked
    up are not, except where each row has a table of its own."""
    if e.primitive.name not in AT_PLACES:
        return True
    batch, ndim = e.params["batch"], e.operands[-1].aval.ndim
    if e.primitive.name == "gather" and not batch:
        return label < ndim
    return label < batch


def final(plan: Plan) -> set[Var]:
    """The outputs that nothing reads from memory."""
    read = {x for stage in plan.stages for e in stage.whole for x in e.operands}
    for stage in plan.stages:
        for s in stage.sweep:
            pairs = zip(s.equation.operands, s.uses, strict=True)
            read |= {x for x, use in pairs if use.kind != "block"}
    return {x for x in plan.graph.outputs if type(x) is Var and x not in read}


def stored(plan: Plan) -> list[set[Var]]:
    """For each stage, the results of its sweep that must be whole in memory afterwards."""
    needed = {x for x in plan.graph.outputs if type(x) is Var}
    result: list[set[Var]] = []
    for stage in reversed(plan.stages):
        made = {s.equation.outputs[0] for s in stage.sweep}
        reduced = {s.equation.outputs[0] for s in stage.sweep if s.axis is None}
        result.append((made & needed) | reduced)
        for s in stage.sweep:
            for x, use in zip(s.equation.operands, s.uses, strict=True):
                if type(x) is Var and use.kind != "block":
                    needed.add(x)
        needed.update([x for e in stage.whole for x in e.operands if type(x) is Var])
    result.reverse()
    return result

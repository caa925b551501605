"""A graph divided into stages: what has the row axis is computed in sweeps, in as few as can be."""

from dataclasses import replace
from typing import Any

from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.primitive import Role
from gpuad.plan.axes import Classes, RowAxis, choose_rows
from gpuad.plan.plan import Plan, Stage, SweepEquation, Use
from gpuad.plan.roles import is_indexed, is_view
from gpuad.plan.target import Target
from gpuad.plan.views import views_apart


def make_plan(graph: Graph, target: Target) -> Plan:
    """Divides a simplified graph into stages for a target."""
    graph = views_apart(graph)
    classes = Classes(graph)
    chosen = choose_rows(graph, classes)
    if chosen is None:
        return Plan(graph, 0, [Stage(whole=list(graph.equations))])
    return plan_over(graph, classes, chosen, target)


def plan_over(graph: Graph, classes: Classes, rows: RowAxis, target: Target) -> Plan:
    """The plan of a graph with this axis as its rows."""
    return _Staging(graph, classes, rows, target).plan()


class _Staging:
    def __init__(self, graph: Graph, classes: Classes, rows: RowAxis, target: Target):
        self.graph = graph
        self.classes = classes
        self.rows = rows
        self.joins = target.joins
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
        uses = tuple([self._read_back(x, use, stage) for x, use in pairs])
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

    def _read_back(self, x: Any, use: Use, stage: int) -> Use:
        if use.kind == "block" and self.made[x] != stage:
            return Use("rows", use.axis)
        return use


def _by_rows(e: Equation, label: int) -> bool:
    """Whether the rows along this label are done apart: those of a table in which places are looked
    up are not, except where each row has a table of its own."""
    if not is_indexed(e):
        return True
    batch, ndim = e.params["batch"], e.operands[-1].aval.ndim
    if e.primitive.role is Role.GATHER and not batch:
        return label < ndim
    return label < batch

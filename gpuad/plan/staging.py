"""A graph divided into stages: what has the row axis is computed in as few sweeps as possible."""

from dataclasses import replace
from typing import Any

from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.primitive import Role
from gpuad.plan.axes import AxisClasses, RowAxis, choose_rows
from gpuad.plan.plan import Plan, Stage, SweepEquation, Use
from gpuad.plan.roles import is_indexed, is_view
from gpuad.plan.target import Target
from gpuad.plan.views import views_apart


def make_plan(graph: Graph, target: Target) -> Plan:
    """Divides a simplified graph into stages for a target."""
    graph = views_apart(graph)
    classes = AxisClasses(graph)
    chosen = choose_rows(graph, classes, target.row_choice)
    if chosen is None:
        return Plan(graph, 0, [Stage(whole=list(graph.equations))])
    return plan_over(graph, classes, chosen, target)


def plan_over(graph: Graph, classes: AxisClasses, rows: RowAxis, target: Target) -> Plan:
    """The plan of a graph with this axis as its rows."""
    return _Staging(graph, classes, rows, target).plan()


class _Staging:
    def __init__(self, graph: Graph, classes: AxisClasses, rows: RowAxis, target: Target):
        self.graph = graph
        self.classes = classes
        self.rows = rows
        self.joins = target.joins
        self.root = classes.find(rows.node)
        self.stages: list[Stage] = []
        # The stage whose sweep makes a value, and the first stage in which it is whole in memory.
        self.made: dict[Var, int] = {}
        self.whole_from: dict[Var, int] = dict.fromkeys(graph.inputs, 0)
        self.by_rows: dict[Equation, SweepEquation] = {}
        # Views that are not placed yet: each is made in the sweep that reads it, so that a later
        # stage reads the operand from memory, which is there in any case or no larger.
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
        if found is None:
            self._place_call(e)
            return
        label, axis = found
        uses = tuple([self._use(i, k, x, label) for k, x in enumerate(e.operands)])
        s = SweepEquation(e, uses, axis)
        if self.joins(e):
            self._place_in_sweep(s)
        else:
            self._place_call(e)
            self.by_rows[e] = s

    def _place_call(self, e: Equation) -> None:
        for x in e.operands:
            self._make(x)
        stage = max([self._complete(x) for x in e.operands if type(x) is Var], default=0)
        self._stage(stage).whole.append(e)
        self.whole_from.update(dict.fromkeys(e.outputs, stage))

    def _place_in_sweep(self, s: SweepEquation) -> None:
        e, (v,) = s.equation, s.equation.outputs
        pairs = list(zip(e.operands, s.uses, strict=True))
        for x, use in pairs:
            if use.kind != "block":
                self._make(x)
        self.made[v] = stage = max([self._first_stage(x, use) for x, use in pairs])
        in_memory = s.uses[0].kind != "block"
        if is_view(e) and (in_memory or v.aval.size >= e.operands[0].aval.size):
            self.awaited[v] = s
        else:
            self._sweep(s, stage)

    def _first_stage(self, x: Any, use: Use) -> int:
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
        """Places `x` if it is an awaited view: in this stage, or in the first that can make it."""
        s = self.awaited.pop(x, None)
        if s is not None:
            self._sweep(s, self.made[x] if stage is None else stage)

    def _complete(self, x: Any) -> int:
        """The first stage that can read all of `x` from memory."""
        return self.whole_from[x] if x in self.whole_from else self.made[x] + 1

    def _use(self, i: int, k: int, x: Any, label: Any) -> Use:
        if type(x) is Literal:
            return Use("free")
        labels = self.classes.axes[i].operands[k]
        if label not in labels:
            return Use("free")
        axis = labels.index(label)
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
    """Whether an equation acts on each row along this label separately.

    Not along the axes of a table that indices point into, except where each row has its own table.
    """
    if not is_indexed(e):
        return True
    batch, ndim = e.params["batch"], e.operands[-1].aval.ndim
    if e.primitive.role is Role.GATHER and not batch:
        return label < ndim
    return label < batch

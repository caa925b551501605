"""Axes that mean the same thing, joined over a whole graph; and the choice of the row axis.

Every primitive says how the axes of its operands and results correspond. Union-find over these
labels joins the axes of a graph into classes. Each use of a graph input is joined separately, since
an array in memory can be read in any way. Two axes of one value are never joined: a use that would
join them is cut, which means that its operand must be complete in memory before it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.primitive import Axes

Node = tuple[Any, ...]


def equation_axes(e: Equation) -> Axes:
    """How the axes of operands and results of one equation correspond."""
    axes = e.primitive.axes_by_rows or e.primitive.axes
    return axes([x.aval for x in e.operands], [v.aval for v in e.outputs], **e.params)


class AxisClasses:
    """Classes of the axes of a graph's values: axes that correspond are in one class."""

    def __init__(self, graph: Graph):
        self._parent: dict[Node, Node] = {}
        self._axes_of: dict[Node, dict[Any, int]] = {}
        self._size: dict[Node, int] = {}
        self.cut: set[tuple[int, int]] = set()
        """Uses (equation, operand) that need the operand complete in memory."""
        self._inputs = set(graph.inputs)
        self.axes = [equation_axes(e) for e in graph.equations]
        for i, e in enumerate(graph.equations):
            self._join_equation(i, e)

    def node(self, i: int, k: int, x: Var, axis: int) -> Node:
        """An axis of operand k of equation i: of this use alone, if it is a graph input."""
        return (i, k, axis) if x in self._inputs else (x, axis)

    def find(self, node: Node) -> Node:
        """The representative of the class that an axis belongs to."""
        parent = self._parent
        if node not in parent:
            return node
        root = node
        while parent.get(root, root) != root:
            root = parent[root]
        while node != root:
            parent[node], node = root, parent.get(node, node)
        return root

    def size(self, node: Node) -> int:
        return self._size[self.find(node)]

    def _add(self, node: Node, value: Any, axis: int, size: int) -> None:
        if node not in self._parent:
            self._parent[node] = node
            self._axes_of[node] = {value: axis}
            self._size[node] = size

    def _join_equation(self, i: int, e: Equation) -> None:
        axes = self.axes[i]
        by_label: dict[Any, Node] = {}
        for v, labels in zip(e.outputs, axes.outputs, strict=True):
            for axis, label in enumerate(labels):
                self._add((v, axis), v, axis, v.aval.shape[axis])
                if label is not None:
                    self._join_labelled(by_label, label, (v, axis), None)
        for k, (x, labels) in enumerate(zip(e.operands, axes.operands, strict=True)):
            if type(x) is Literal:
                continue
            for axis, label in enumerate(labels):
                node = self.node(i, k, x, axis)
                if x in self._inputs:
                    self._add(node, (i, k), axis, x.aval.shape[axis])
                if label is not None:
                    self._join_labelled(by_label, label, node, (i, k))

    def _join_labelled(
        self, by_label: dict[Any, Node], label: Any, node: Node, use: tuple[int, int] | None
    ) -> None:
        other = by_label.setdefault(label, node)
        if other != node and not self.join(other, node) and use is not None:
            self.cut.add(use)

    def join(self, a: Node, b: Node) -> bool:
        """Joins two classes, unless some value has one axis in each."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return True
        if len(self._axes_of[a]) < len(self._axes_of[b]):
            a, b = b, a
        mine, other = self._axes_of[a], self._axes_of[b]
        if any(mine.get(v, axis) != axis for v, axis in other.items()):
            return False
        mine.update(other)
        del self._axes_of[b]
        self._parent[b] = a
        return True

    def members(self) -> Iterator[tuple[Node, dict[Any, int]]]:
        """Each class: its representative, and the values (or uses) with their axis in it."""
        yield from self._axes_of.items()


NEARLY_AS_GOOD = 0.9
"""A length along which there is this part of the most bytes counts as much as the best one."""


@dataclass(frozen=True)
class RowAxis:
    """The class chosen as rows, and how many there are."""

    node: Node
    rows: int


def choose_rows(graph: Graph, classes: AxisClasses) -> RowAxis | None:
    """The class of axes along which values are cut into blocks of rows.

    Classes of one length count together, since they are joined where they can be: work on the
    same arrays that has nothing else in common is done in one pass. The length with the most bytes
    along it is taken, or the longest of those with nearly as many. (A sum over rows has only the
    lanes; its few bytes are no reason to divide along these.) Of the classes of this length the
    first one has the most bytes, and stands furthest left among equals; the others are joined to it
    where they can be.
    """
    scored: dict[int, list[Any]] = {}
    along: dict[int, dict[Any, int]] = {}
    for node, members in classes.members():
        rows = classes.size(node)
        if rows < 2:
            continue
        total, position = 0, 0
        for value, axis in members.items():
            aval = value.aval if isinstance(value, Var) else _operand(graph, value).aval
            total += aval.nbytes
            position += axis
            along.setdefault(rows, {})[value] = aval.nbytes
        scored.setdefault(rows, []).append((total, -position / len(members), node))
    if not scored:
        return None
    totals = {rows: sum(values.values()) for rows, values in along.items()}
    rows = max(n for n, total in totals.items() if total >= NEARLY_AS_GOOD * max(totals.values()))
    found = sorted(scored[rows], key=lambda x: x[:2], reverse=True)
    best = found[0][2]
    for _, _, node in found[1:]:
        classes.join(best, node)
    return RowAxis(best, rows)


def _operand(graph: Graph, use: tuple[int, int]) -> Any:
    return graph.equations[use[0]].operands[use[1]]

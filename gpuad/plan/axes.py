"""Axes that mean the same thing, joined over a whole graph; and the choice of the row axis.

Every primitive says how the axes of its operands and results correspond. Union-find over these
labels joins the axes of a graph into classes. Each use of a graph input is joined separately, since
an array in memory can be read in any way. Two axes of one value are never joined: a use that would
join them is cut, which means that its operand must be complete in memory before it is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.ir.aval import Aval
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

    def summed(self, graph: Graph) -> set[Node]:
        """The classes along which values are added up, so that another axis is left."""
        found = set()
        for i, (e, axes) in enumerate(zip(graph.equations, self.axes, strict=True)):
            for k, (x, labels) in enumerate(zip(e.operands, axes.operands, strict=True)):
                if type(x) is Var and e.outputs[0].aval.ndim:
                    reduced = [a for a, label in enumerate(labels) if label in axes.reduced]
                    found.update([self.find(self.node(i, k, x, a)) for a in reduced])
        return found

    def crossed(self, graph: Graph) -> set[Node]:
        """Those of them along which something else than a sum combines values: no sweep over these
        rows can compute it."""
        found = set()
        for i, (e, axes) in enumerate(zip(graph.equations, self.axes, strict=True)):
            others = {label for label, combiner in axes.reduced.items() if combiner != "sum"}
            for k, (x, labels) in enumerate(zip(e.operands, axes.operands, strict=True)):
                if type(x) is Var and e.outputs[0].aval.ndim:
                    reduced = [a for a, label in enumerate(labels) if label in others]
                    found.update([self.find(self.node(i, k, x, a)) for a in reduced])
        return found

    def members(self) -> Iterator[tuple[Node, dict[Any, int]]]:
        """Each class: its representative, and the values (or uses) with their axis in it."""
        yield from self._axes_of.items()


NEARLY_AS_GOOD = 0.9
"""A length along which there is this part of the most bytes counts as much as the best one."""
AS_GOOD = 0.98
"""The same part for a class of axes of one length: what is repeated along the others is as much."""
COMPUTED = 8
"""A value is far larger than those in memory if it has so many times the bytes of any of them."""


@dataclass(frozen=True)
class RowLimits:
    """Rows that lie together in memory are better than more of them, if they are so `many` that
    there is enough to divide among threads, and no row of an array is longer than `longest` bytes:
    a few rows have to fit into what a thread works in."""

    many: int = 128
    longest: float = 1 << 16


@dataclass(frozen=True)
class RowChoice:
    """What the choice of rows depends on: the limits for rows that stay apart, for those of which
    something is combined along a longer axis (`reducing`), and for those that are `summed` up, so
    that each lane has a sum; and whether rows are as good if something else than a sum combines
    them (`crossed`)."""

    apart: RowLimits = RowLimits()
    reducing: RowLimits = RowLimits()
    summed: RowLimits = RowLimits()
    crossed: bool = True


@dataclass(frozen=True)
class RowAxis:
    """The class chosen as rows, and how many there are."""

    node: Node
    rows: int


def choose_rows(graph: Graph, classes: AxisClasses, choice: RowChoice) -> RowAxis | None:
    """The class of axes along which values are cut into blocks of rows.

    Classes of one length count together, since they are joined where they can be: work on the
    same arrays that has nothing else in common is done in one pass. A length with the most bytes
    along it is taken, or with nearly as many: the one that stands furthest left in large arguments
    and results, if it gives many rows; else the longest. (A sum over rows has only the lanes; its
    few bytes are no reason to divide along these.) Of the classes of this length it is likewise the
    one furthest left, but of pairs that are computed one along which nothing is added up, if there
    is one; the others are joined to it where they can be.
    """
    results = set(graph.outputs)
    summed, crossed = classes.summed(graph), classes.crossed(graph)
    found = [
        _Candidate(graph, results, (node, classes.size(node)), members, node in summed)
        for node, members in classes.members()
        if classes.size(node) > 1
    ]
    if not found:
        return None
    avoided = set() if choice.crossed else crossed
    best = _furthest_left(_of_one_length(found, choice, avoided))
    for c in found:
        if c.rows == best.rows and c is not best:
            classes.join(best.node, c.node)
    return RowAxis(best.node, best.rows)


class _Candidate:
    """A class of axes as rows: the bytes along it, by value; where it stands in these on average,
    and, weighted by bytes, in arguments and results, which lie in memory; and whether what is added
    up along it is computed, and far larger than these."""

    def __init__(
        self, graph: Graph, results: set[Any], axis: tuple[Node, int], members: dict[Any, int],
        summed: bool,
    ):  # fmt: skip
        self.node, self.rows = axis
        self.summed = summed
        self.bytes = {x: _aval(graph, x).nbytes for x in members}
        self.total = sum(self.bytes.values())
        self.position = sum(members.values()) / len(members)
        stored = [x for x in members if not isinstance(x, Var) or x in results]
        size = sum([self.bytes[x] for x in stored])
        self.depth = sum([self.bytes[x] * members[x] for x in stored]) / (size or 1)
        largest = max([self.bytes[x] for x in stored], default=1)
        self.lost = summed and max(self.bytes.values()) > COMPUTED * largest


def _of_one_length(
    found: Sequence[_Candidate], choice: RowChoice, avoided: set[Node]
) -> list[_Candidate]:
    """The classes of the length that is taken."""
    lengths: dict[int, list[_Candidate]] = {}
    for c in found:
        lengths.setdefault(c.rows, []).append(c)
    along = {n: {x: b for c in group for x, b in c.bytes.items()} for n, group in lengths.items()}
    totals = {n: sum(values.values()) for n, values in along.items()}
    good = [n for n, total in totals.items() if total >= NEARLY_AS_GOOD * max(totals.values())]
    crossed = {n: any(c.node in avoided for c in lengths[n]) for n in good}
    longest = max([n for n in good if any(c.summed for c in lengths[n])], default=0)
    limits = {n: _limits(lengths[n], longest, choice) for n in good}
    many = [n for n, x in limits.items() if n >= x.many and max(along[n].values()) <= n * x.longest]
    if not many:
        return lengths[max(good, key=lambda n: (not crossed[n], n))]
    return min(
        [lengths[n] for n in many],
        key=lambda group: (
            crossed[group[0].rows], _furthest_left(group).depth, -group[0].rows
        ),
    )  # fmt: skip


def _limits(group: Sequence[_Candidate], combined: int, choice: RowChoice) -> RowLimits:
    """The limits for these classes as rows; `combined` is the longest axis along which something is
    combined."""
    if any(c.summed for c in group):
        return choice.summed
    return choice.reducing if combined > group[0].rows else choice.apart


def _furthest_left(group: Sequence[_Candidate]) -> _Candidate:
    """Of the classes with as good as the most bytes, the one that stands furthest left."""
    most = max(c.total for c in group)
    good = [c for c in group if c.total >= AS_GOOD * most]
    return min(good, key=lambda c: (c.lost, c.depth, -c.total, c.position))


def _aval(graph: Graph, value: Any) -> Aval:
    """Of a value, or of a use of one: (equation, operand)."""
    if isinstance(value, Var):
        return value.aval
    equation, operand = value
    return graph.equations[equation].operands[operand].aval

"""Neighbouring axes that always go together, as one axis.

A kernel has one axis of rows and one of lanes. An array of more axes fits into it where some of
them are one run of memory in every value that has them: then they are one axis, and only the inputs
and the results of the graph have them apart, as views.
"""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import CATALOGUE, Role

SHORT = 32
"""Axes up to this size may be written out in a kernel; an array has at most one longer one besides
its rows."""
Bond = tuple[Var, int]
"""An axis of a value and the next one."""
APART: Any = "apart"
"""In place of a bond: one that does not hold."""


def join_axes(graph: Graph) -> Graph:
    """The graph with neighbouring axes joined that go together: those of its rows, if as many bytes
    are along axes of one length then; and others that are long."""
    groups = _Bonds(graph).groups()
    if not groups:
        return graph
    best, most = _most_along(graph)
    inside = {bond for group in groups for bond in group}
    joined = _joined(graph, inside)
    rows, along = _most_along(joined)
    long = [g for g in groups if all(n > SHORT for x, k in g for n in x.aval.shape[k : k + 2])]
    if along >= most:
        starts = _starts(graph, inside)
        chosen = [g for g in groups if g in long or any(_length(b, starts) == rows for b in g)]
    else:
        chosen = [g for g in long if all(best not in x.aval.shape[k : k + 2] for x, k in g)]
    return _joined(graph, {bond for group in chosen for bond in group}) if chosen else graph


def _length(bond: Bond, starts: dict[Var, list[int]]) -> int:
    """Of the axis that the two of a bond become part of."""
    x, k = bond
    first = max(j for j in starts[x] if j <= k)
    end = min([j for j in starts[x] if j > k], default=x.aval.ndim)
    return _size(x.aval.shape[first:end])


class _Bonds:
    """Which neighbouring axes go together, by union-find: what an equation does with the axes of a
    value it does with those of another."""

    def __init__(self, graph: Graph):
        self._parent: dict[Any, Any] = {}
        values = _values(graph)
        self._bonds = [(v, k) for v in values for k in range(v.aval.ndim - 1)]
        self._computed = {
            x
            for e in graph.equations
            if e.primitive.role is not Role.VIEW
            for x in (*e.operands, *e.outputs)
        }
        for e in graph.equations:
            self._equation(e)

    def groups(self) -> list[list[Bond]]:
        """The bonds that hold, in groups that hold together; not those of views alone."""
        found: dict[Any, list[Bond]] = {}
        apart = self._find(APART)
        for bond in self._bonds:
            root = self._find(bond)
            if root != apart:
                found.setdefault(root, []).append(bond)
        return [g for g in found.values() if any(x in self._computed for x, _ in g)]

    def _find(self, x: Any) -> Any:
        root = x
        while root in self._parent:
            root = self._parent[root]
        while x != root:
            self._parent[x], x = root, self._parent[x]
        return root

    def _join(self, x: Any, y: Any) -> None:
        """Two bonds that hold together."""
        x, y = self._find(x), self._find(y)
        if x != y:
            self._parent[x] = y

    def _equation(self, e: Equation) -> None:
        if e.primitive.name == "reshape":
            self._boundaries(e.operands[0], e.outputs[0])
            self._boundaries(e.outputs[0], e.operands[0])
            return
        places = _places(e)
        operands = [x for x in e.operands if type(x) is Var]
        if places is None:
            for x in (*operands, *e.outputs):
                for k in range(x.aval.ndim - 1):
                    self._join((x, k), APART)
            return
        (v,) = e.outputs
        for x in operands:
            for k in range(x.aval.ndim - 1):
                self._join((x, k), _in_result(v, places[k : k + 2], (x, k)))
        for k in range(v.aval.ndim - 1):
            a, b = [places.index(j) if j in places else None for j in (k, k + 1)]
            if (a is None) != (b is None) or (a is not None and b != a + 1):
                self._join((v, k), APART)

    def _boundaries(self, x: Any, v: Any) -> None:
        """What a reshape between `x` and `v` says of the bonds of `x`."""
        if type(x) is not Var or type(v) is not Var:
            return
        ends = [_size(v.aval.shape[: k + 1]) for k in range(v.aval.ndim - 1)]
        for k in range(x.aval.ndim - 1):
            end = _size(x.aval.shape[: k + 1])
            if 1 in x.aval.shape[k : k + 2] or ends.count(end) > 1:
                self._join((x, k), APART)
            elif end in ends:
                self._join((x, k), (v, ends.index(end)))


def _in_result(v: Var, places: Sequence[int | None], bond: Bond) -> Any:
    """The bond of the result for two axes that stand at these places in it."""
    first, second = places
    if first is None and second is None:
        return bond
    if first is None or second is None or second != first + 1:
        return APART
    return v, first


def _places(e: Equation) -> Sequence[int | None] | None:
    """Where in the result the axes of an operand stand, None for those that are combined; or None
    if neighbouring axes cannot be one in this equation."""
    shape = e.outputs[0].aval.shape
    if e.primitive.role is Role.ELEMENTWISE:
        return range(len(shape))
    if e.primitive.role is Role.REDUCTION and e.primitive.combiner:
        axes, ndim = e.params["axes"], e.operands[0].aval.ndim
        kept = [k for k in range(ndim) if k not in axes]
        return [kept.index(k) if k in kept else None for k in range(ndim)]
    if e.primitive.name != "broadcast":
        return None
    pairs = zip(e.operands[0].aval.shape, e.params["dims"], strict=True)
    return [d if n == shape[d] else -2 for n, d in pairs]  # no neighbour of any axis


def _values(graph: Graph) -> list[Var]:
    return [*graph.inputs, *[v for e in graph.equations for v in e.outputs]]


def _starts(graph: Graph, inside: set[Bond]) -> dict[Var, list[int]]:
    """For each value its axes that are not joined to the one before."""
    return {v: [k for k in range(v.aval.ndim) if (v, k - 1) not in inside] for v in _values(graph)}


def _joined(graph: Graph, inside: set[Bond]) -> Graph:
    """The graph with the two axes of each of these bonds as one."""
    starts = _starts(graph, inside)
    made: dict[Any, Any] = {}
    equations: list[Equation] = []
    for v in graph.inputs:
        made[v] = v
        if len(starts[v]) < v.aval.ndim:
            made[v] = Var(_aval(v, starts[v]))
            equations.append(_reshape(v, made[v]))
    equations += [_with_starts(e, starts, made) for e in graph.equations]
    outputs = []
    for x in graph.outputs:
        if type(x) is Var and made[x].aval.shape != x.aval.shape:
            v = Var(x.aval)
            equations.append(_reshape(made[x], v))
            x = v
        else:
            x = made.get(x, x)
        outputs.append(x)
    return Graph(graph.inputs, tuple(equations), tuple(outputs), graph.captured, graph.name)


def _with_starts(e: Equation, starts: dict[Var, list[int]], made: dict[Any, Any]) -> Equation:
    """An equation on values whose axes from each of `starts` on are one."""
    operands = tuple([made.get(x, x) for x in e.operands])
    for v in e.outputs:
        made[v] = v
        if len(starts[v]) < v.aval.ndim:
            made[v] = Var(_aval(v, starts[v]))
    outputs = tuple([made[v] for v in e.outputs])
    if operands == e.operands and outputs == e.outputs:
        return e
    params: dict[str, Any] = dict(e.params)
    x: Any = e.operands[0] if e.operands else None
    if e.primitive.role is Role.REDUCTION:
        kept = starts[x] if type(x) is Var else []
        params["axes"] = tuple([j for j, k in enumerate(kept) if k in params["axes"]])
    elif "dims" in params:
        kept = starts[x] if type(x) is Var else []
        dims = [starts[e.outputs[0]].index(params["dims"][k]) for k in kept]
        params = {"shape": outputs[0].aval.shape, "dims": tuple(dims)}
    elif "shape" in params:
        params["shape"] = outputs[0].aval.shape
    return Equation(e.primitive, operands, params, outputs, e.where)


def _aval(v: Var, starts: Sequence[int]) -> Aval:
    shape = v.aval.shape
    ends = [*starts[1:], len(shape)]
    sizes = [_size(shape[a:b]) for a, b in zip(starts, ends, strict=True)]
    return Aval(tuple(sizes), v.aval.dtype)


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _reshape(x: Var, v: Var) -> Equation:
    return Equation(CATALOGUE["reshape"], (x,), {"shape": v.aval.shape}, (v,), None)


def _most_along(graph: Graph) -> tuple[int, int]:
    """The length of axes along which there are most bytes, of several the longest; and the bytes of
    all that is computed, or read for it, along axes of this length."""
    found: dict[int, int] = {}
    for e in [e for e in graph.equations if e.primitive.role is not Role.VIEW]:
        for x in (*e.operands, *e.outputs):
            for n in set(x.aval.shape):
                found[n] = found.get(n, 0) + x.aval.nbytes
    n = max(found, key=lambda n: (found[n], n), default=0)
    return n, found.get(n, 0)

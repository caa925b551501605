"""Matrix products that share an operand, made as one: for X @ w and X @ v, a primal and its
tangent, X is read once.

The other operands are put side by side, and each result is a slice of the product. They have to be
inputs of the graph, as they are or transposed, so that no product can depend on another.
"""

from typing import Any

from gpuad.ir.build import Builder, building, current
from gpuad.ir.graph import Atom, Equation, Graph, Var
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.structure import concatenate, slice_axis

WIDEST = 1 << 6
"""The most rows or columns that the other operands have together: a wider product gains nothing."""
LARGER = 1 << 4
"""The shared operand is at least so many times as large as each of the others."""

Key = tuple[Atom, int, Any]
"""The shared operand, which of the two it is, and what is contracted."""


def stacked(graph: Graph) -> Graph:
    """The graph with products that share an operand as one."""
    stacks = _stacks(graph)
    if not stacks:
        return graph
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        found = _Stacking(graph, stacks, dict(zip(graph.inputs, inputs, strict=True)))
        return builder.graph([found.value(x) for x in graph.outputs], graph.captured)


def _stacks(graph: Graph) -> dict[Equation, tuple[Key, list[Equation]]]:
    """For each product that is stacked, its group."""
    given = set(graph.inputs)
    groups: dict[Key, list[Equation]] = {}
    for e in graph.equations:
        if e.primitive.name == "transpose" and e.operands[0] in given:
            given.update(e.outputs)
        key = _key(e, given)
        if key is not None:
            groups.setdefault(key, []).append(e)
    stacks = {}
    for key, group in groups.items():
        lines = sum([_lines(e, key) for e in group])
        if len(group) > 1 and lines <= WIDEST:
            stacks.update(dict.fromkeys(group, (key, group)))
    return stacks


def _key(e: Equation, given: set[Any]) -> Key | None:
    if e.primitive is not dot_general or any(x.aval.ndim != 2 for x in e.operands):
        return None
    contract = e.params["contract"]
    if e.params["batch"][0] or len(contract[0]) != 1:
        return None
    sizes = [x.aval.size for x in e.operands]
    side = 0 if sizes[0] > sizes[1] else 1
    other = e.operands[1 - side]
    if other not in given or other.aval.size * LARGER > sizes[side]:
        return None
    return e.operands[side], side, contract


def _free_axis(key: Key) -> int:
    """The axis of the other operand that is not contracted."""
    _, side, contract = key
    return 1 - int(contract[1 - side][0])


def _lines(e: Equation, key: Key) -> int:
    return int(e.operands[1 - key[1]].aval.shape[_free_axis(key)])


class _Stacking:
    """The values of a graph in the one being built."""

    def __init__(
        self,
        graph: Graph,
        stacks: dict[Equation, tuple[Key, list[Equation]]],
        env: dict[Any, Atom],
    ):
        self._stacks = stacks
        self._env = env
        self._made = {v: e for e in graph.equations for v in e.outputs}
        for e in graph.equations:
            self._record(e)

    def value(self, x: Atom) -> Atom:
        """What a value has become. Operands of later products in a group are recorded when
        needed."""
        if type(x) is not Var:
            return x
        if x not in self._env:
            self._record(self._made[x])
        return self._env[x]

    def _record(self, e: Equation) -> None:
        if e.outputs[0] in self._env:
            return
        if e in self._stacks:
            self._stack(*self._stacks[e])
            return
        current().where = e.where
        operands = tuple([self.value(x) for x in e.operands])
        result = current().add(e.primitive, operands, e.params)
        results = result if e.primitive.multiple else (result,)
        self._env.update(zip(e.outputs, results, strict=True))

    def _stack(self, key: Key, group: list[Equation]) -> None:
        shared, side, contract = key
        current().where = group[0].where
        others = [self.value(e.operands[1 - side]) for e in group]
        wide = concatenate(*others, axis=_free_axis(key))
        pair = [self.value(shared), wide]
        product = dot_general(*pair[:: 1 - 2 * side], contract=contract, batch=((), ()))
        start = 0
        for e in group:
            stop = start + _lines(e, key)
            self._env[e.outputs[0]] = slice_axis(product, 1 - side, start, stop)
            start = stop

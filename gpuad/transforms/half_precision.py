"""Half precision, computed with as float32: Graph → Graph, before a plan is made.

A value in float16 or bfloat16 is converted where it is computed with, and results are rounded where
they are stored. In between nothing is rounded: sums, products and cumulative operations add up in
float32 or better. What only moves elements moves them as they are stored, 2 bytes each. A
conversion from another dtype that the user wrote (`astype`) rounds.
"""

from collections.abc import Sequence
from typing import Any

from gpuad.ir.build import Builder, building, current
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.half import SINGLE, is_half
from gpuad.ir.single import MOVES, computes_in_single, has_half, wide_params
from gpuad.primitives import elementwise as ew


def in_single(graph: Graph) -> Graph:
    """The graph with the same inputs and outputs that computes in float32 what it has in half
    precision."""
    if not any(is_half(x.aval.dtype) for x in _values(graph)):
        return graph
    with building(Builder(graph.name)) as builder:
        return _Widening(graph, builder).graph()


def _values(graph: Graph) -> list[Atom]:
    made = [v for e in graph.equations for v in e.outputs]
    return [*graph.inputs, *made, *graph.outputs]


def cast_to_single(x: Atom) -> Atom:
    return x if x.aval.dtype == SINGLE else ew.cast(x, dtype=SINGLE)


class _Widening:
    """The values of a graph in the one being built: as they are stored, in float32, or both."""

    def __init__(self, graph: Graph, builder: Builder):
        self._graph = graph
        self._stored: dict[Any, Atom] = {}
        self._wide: dict[Any, Atom] = {}
        self._source: dict[Any, Atom] = {}
        """What a value in float32 was converted from, as it is stored."""
        self._stored |= {v: builder.input(v.aval) for v in graph.inputs}
        for e in graph.equations:
            builder.where = e.where
            self._record(e)

    def graph(self) -> Graph:
        outputs = [self.stored(x) for x in self._graph.outputs]
        builder: Any = current()
        return builder.graph(outputs, self._graph.captured)

    def stored(self, x: Atom) -> Atom:
        """A value in the dtype that it has in the graph."""
        if type(x) is Literal:
            return x
        if x not in self._stored:
            self._stored[x] = ew.narrow(self._wide[x], dtype=x.aval.dtype)
        return self._stored[x]

    def wide(self, x: Atom) -> Atom:
        """A value with float32 in place of half precision."""
        if not is_half(x.aval.dtype):
            return self.stored(x)
        if type(x) is Literal:
            return Literal(x.value.astype(SINGLE))
        if x not in self._wide:
            self._wide[x] = self._converted(self._stored[x])
        return self._wide[x]

    def _converted(self, x: Atom) -> Atom:
        """A stored value as float32."""
        result = ew.cast(x, dtype=SINGLE)
        self._source[result] = x
        return result

    def _record(self, e: Equation) -> None:
        if e.primitive.role in MOVES and self._moves_converted(e):
            return
        if not has_half(e):
            self._add(e, [self.stored(x) for x in e.operands], e.params, self._stored)
        elif e.primitive.converts:
            self._convert(e)
        elif e.primitive.role in MOVES and self._is_stored(e):
            self._add(e, [self.stored(x) for x in e.operands], e.params, self._stored)
        elif computes_in_single(e):
            operands = [self.wide(x) for x in e.operands]
            self._add(e, operands, wide_params(e.params), self._wide)
        else:
            self._add(e, [self.stored(x) for x in e.operands], e.params, self._stored)

    def _is_stored(self, e: Equation) -> bool:
        """Whether the operands in half precision are all there as they are stored."""
        return all(x in self._stored for x in e.operands if is_half(x.aval.dtype))

    def _moves_converted(self, e: Equation) -> bool:
        """Moves values in float32 before their conversion rather than after it, if there is one:
        half as many bytes, and nothing but what is moved is converted."""
        if e.primitive.multiple or e.outputs[0].aval.dtype != SINGLE:
            return False
        operands = [self.stored(x) for x in e.operands]
        if not all(x in self._source for x in operands if x.aval.dtype == SINGLE):
            return False
        sources = [self._source.get(x, x) for x in operands]
        if len({x.aval.dtype for x in sources if is_half(x.aval.dtype)}) != 1:
            return False
        moved = current().add(e.primitive, tuple(sources), e.params)
        self._stored[e.outputs[0]] = self._converted(moved)
        return True

    def _convert(self, e: Equation) -> None:
        (x,), (v,) = e.operands, e.outputs
        half = is_half(v.aval.dtype)
        if half and e.primitive is ew.narrow and x.aval.dtype == SINGLE:
            wide = self._wide[v] = self.stored(x)
            source = self._source.get(wide)
            if source is not None and source.aval.dtype == v.aval.dtype:
                self._stored[v] = source
        elif x.aval.dtype == v.aval.dtype and type(x) is Var:
            self._stored[v] = self.stored(x)
        elif half:
            # The user's own rounds, once; NumPy rounds integers to float32 first, too.
            wide = self.wide(x)
            once = wide.aval.dtype.kind == "f" and e.primitive is not ew.narrow
            wide = wide if once else cast_to_single(wide)
            self._stored[v] = ew.cast(wide, dtype=v.aval.dtype)
        elif v.aval.dtype == SINGLE:
            self._stored[v] = self.wide(x)
        else:
            self._stored[v] = ew.cast(self.wide(x), dtype=v.aval.dtype)

    def _add(
        self, e: Equation, operands: Sequence[Atom], params: Any, values: dict[Any, Atom]
    ) -> None:
        result = current().add(e.primitive, tuple(operands), params)
        results = result if e.primitive.multiple else (result,)
        for v, made in zip(e.outputs, results, strict=True):
            (values if is_half(v.aval.dtype) else self._stored)[v] = made

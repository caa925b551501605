"""What is known of the values of a graph without computing them: bounds, and where a value or a
derivative of it may be infinite or NaN."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.primitive import is_inexact
from gpuad.ir.ranges import UNKNOWN, WILD, Range, multiplied, number, squared


class Bounds:
    """The ranges of the values of a graph, from those of its inputs.

    Inputs are taken to be finite, unless the graph asks whether what comes from them is.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Range] | None = None):
        self.of: dict[Var, Range] = {}
        asked = _asked(graph)
        given = inputs or [UNKNOWN] * len(graph.inputs)
        for v, r in zip(graph.inputs, given, strict=True):
            self.of[v] = replace(r, wild=True) if v in asked else r
        made: dict[Var, Equation] = {}
        for e in graph.equations:
            for v, r in zip(e.outputs, self._results(e, made), strict=True):
                made[v] = e
                self.of[v] = _of_dtype(r, v.aval.dtype)
        self.outputs = [self(x) for x in graph.outputs]

    def __call__(self, x: Any) -> Range:
        return number(x.value) if type(x) is Literal else self.of[x]

    def wild(self, x: Any) -> bool:
        return self(x).wild

    def _results(self, e: Equation, made: dict[Var, Equation]) -> Sequence[Range]:
        operands = [self(x) for x in e.operands]
        if e.primitive.holds_graph:
            return self._held(e, operands)
        if e.primitive.name == "mul":
            return [self._product(e, made)]
        found = e.primitive.range(*operands, **e.params)
        if e.primitive.name == "select" and self._avoids_zero(e, made):
            found = replace(found, nonzero=True)
        return [found] * len(e.outputs)

    def _held(self, e: Equation, operands: Sequence[Range]) -> Sequence[Range]:
        """Of one graph that is applied. What runs another than it holds runs its transpose, which
        is infinite where the graph is."""
        held = e.primitive.held_graphs(e.params)
        alike = e.primitive.applies_once or e.primitive.apply is None
        if alike and len(held[0].inputs) == len(operands):
            outputs = Bounds(held[0], operands).outputs
            if len(outputs) == len(e.outputs):
                return outputs
        return [WILD] * len(e.outputs)

    def _product(self, e: Equation, made: dict[Var, Equation]) -> Range:
        """Of x·x and (c·x)·x no more than the square."""
        for x, y in (e.operands, e.operands[::-1]):
            if x is y:
                return squared(self(x))
            inner = made.get(x)  # type: ignore[arg-type]
            if inner is not None and inner.primitive.name == "mul":
                for c, z in (inner.operands, inner.operands[::-1]):
                    if type(c) is Literal and z is y:
                        return multiplied(number(c.value), squared(self(y)))
        return multiplied(self(e.operands[0]), self(e.operands[1]))

    def _avoids_zero(self, e: Equation, made: dict[Var, Equation]) -> bool:
        """Whether it is ``select(d == 0, something else, d)``."""
        c, x, y = e.operands
        test = made.get(c)  # type: ignore[arg-type]
        if test is None or test.primitive.name not in ("eq", "ne"):
            return False
        other, rest = (x, y) if test.primitive.name == "eq" else (y, x)
        zero = [type(z) is Literal and z.value == 0 for z in test.operands]
        return any(zero) and rest in test.operands and self(other).without_zero


def _of_dtype(r: Range, dtype: np.dtype) -> Range:
    """Complex values have no bounds, and integers are finite."""
    if dtype.kind == "c":
        return Range(nonzero=r.nonzero, wild=r.wild)
    return r if is_inexact(dtype) else replace(r, wild=False)


def _asked(graph: Graph) -> set[Var]:
    """The values from which comes what is asked whether it is finite; x == x is a way to ask."""
    found: set[Var] = set()
    for e in reversed(graph.equations):
        compared = e.primitive.name in ("eq", "ne") and e.operands[0] is e.operands[1]
        if compared or e.primitive.asks_finite or not found.isdisjoint(e.outputs):
            found.update([x for x in e.operands if type(x) is Var])
    return found


__all__ = ["Bounds"]

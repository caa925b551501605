"""The ranges (`ir.ranges`) of all values of a graph."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.primitive import is_inexact
from gpuad.ir.ranges import SINGULAR, UNKNOWN, Range, multiplied, number, squared


class Bounds:
    """The ranges of the values of a graph, from those of its inputs.

    Inputs are taken to be finite, unless the graph asks whether what comes from them is.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Range] | None = None):
        self.of: dict[Var, Range] = {}
        asked = _asked(graph)
        given = inputs or [UNKNOWN] * len(graph.inputs)
        for v, r in zip(graph.inputs, given, strict=True):
            self.of[v] = replace(r, singular=True) if v in asked else r
        made: dict[Var, Equation] = {}
        for e in graph.equations:
            for v, r in zip(e.outputs, self._results(e, made), strict=True):
                made[v] = e
                self.of[v] = _of_dtype(r, v.aval.dtype)
        self.outputs = [self(x) for x in graph.outputs]

    def __call__(self, x: Any) -> Range:
        return number(x.value) if type(x) is Literal else self.of[x]

    def singular(self, x: Any) -> bool:
        return self(x).singular

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
        graph, *_ = e.primitive.held_graphs(e.params)
        if e.primitive.applies_once:
            return Bounds(graph, operands).outputs
        if e.primitive.apply is None and len(graph.inputs) == len(operands):
            # It runs the transpose of the graph: that has other values, and is finite if this is.
            outputs = Bounds(graph, operands).outputs
            if len(outputs) == len(e.outputs):
                return [Range(singular=any(r.singular for r in outputs))] * len(outputs)
        return [SINGULAR] * len(e.outputs)

    def _product(self, e: Equation, made: dict[Var, Equation]) -> Range:
        """The range of a product; of x·x and (c·x)·x, that of a square."""
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
        return Range(nonzero=r.nonzero, singular=r.singular)
    return r if is_inexact(dtype) else replace(r, singular=False)


def _asked(graph: Graph) -> set[Var]:
    """The values that are asked whether they are finite, and all that these come from. x == x asks
    too."""
    found: set[Var] = set()
    for e in reversed(graph.equations):
        compared = e.primitive.name in ("eq", "ne") and e.operands[0] is e.operands[1]
        if compared or e.primitive.asks_finite or not found.isdisjoint(e.outputs):
            found.update([x for x in e.operands if type(x) is Var])
    return found


__all__ = ["Bounds"]

"""The Builder: the only way a graph grows. It infers shapes and shares equal equations."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var, Where
from gpuad.ir.recorder import building, current


class Builder:
    """Collects equations. Equal applications of a primitive are recorded once."""

    def __init__(self, name: str = "graph"):
        self.name = name
        self.inputs: list[Var] = []
        self.equations: list[Equation] = []
        self.where: Where | None = None
        self._shared: dict[tuple, Any] = {}

    def input(self, aval: Aval) -> Var:
        """A new input of the graph."""
        v = Var(aval)
        self.inputs.append(v)
        return v

    def add(self, primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> Any:
        """Records `primitive` of `operands`: its output Var, or a tuple if it has several.

        An elementwise operation of literals alone is computed at once, into a literal.
        """
        if operands and type(operands[0]) is Literal and primitive.kind == "elementwise":
            known = _folded(primitive, operands, params)
            if known is not None:
                return known
        key = _key(primitive, operands, params)
        found = self._shared.get(key)
        if found is not None:
            return found
        avals = primitive.infer(*[x.aval for x in operands], **params)
        if primitive.multiple:
            outputs = tuple([Var(a) for a in avals])
            result: Any = outputs
        else:
            result = Var(avals)
            outputs = (result,)
        self.equations.append(Equation(primitive, operands, params, outputs, self.where))
        self._shared[key] = result
        return result

    def shared(self, primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> bool:
        """Whether the same application has been recorded."""
        return _key(primitive, operands, params) in self._shared

    def graph(self, outputs: Sequence[Atom], captured: int = 0) -> Graph:
        """The finished graph, without the equations that no output needs."""
        return Graph(
            tuple(self.inputs),
            live_equations(self.equations, outputs),
            tuple(outputs),
            captured,
            self.name,
        )


def _key(primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> tuple:
    return (
        primitive,
        *[id(x) if type(x) is Var else x.key for x in operands],
        *params.items(),
    )


def _folded(primitive: Any, operands: tuple[Atom, ...], params: dict) -> Literal | None:
    """The result of an elementwise operation of literals; None if an operand is not a literal.

    A cast is recorded all the same: its result is not weak, and a literal is.
    """
    if primitive.converts or not all(type(x) is Literal for x in operands):
        return None
    primitive.infer(*[x.aval for x in operands], **params)
    with np.errstate(all="ignore"):
        value = primitive.implementation(np, params)(*[x.value for x in operands])  # type: ignore[union-attr]
    scalar: Any = np.asarray(value)[()]
    return Literal(scalar)


def live_equations(equations: Sequence[Equation], outputs: Sequence[Atom]) -> tuple[Equation, ...]:
    """The equations that the outputs depend on, in order."""
    needed = {x for x in outputs if type(x) is Var}
    kept = []
    for e in reversed(equations):
        if not needed.isdisjoint(e.outputs):
            kept.append(e)
            needed.update([x for x in e.operands if type(x) is Var])
    kept.reverse()
    return tuple(kept)


def inline(graph: Graph, values: Sequence[Atom]) -> list[Atom]:
    """Records the equations of `graph`, with `values` for its inputs, into the current builder."""
    builder = current()
    env: dict[Atom, Atom] = dict(zip(graph.inputs, values, strict=True))
    outer_where = builder.where
    for e in graph.equations:
        builder.where = e.where or outer_where
        operands = tuple([env[x] if type(x) is Var else x for x in e.operands])
        result = builder.add(e.primitive, operands, e.params)
        if e.primitive.multiple:
            env.update(zip(e.outputs, result, strict=True))
        else:
            env[e.outputs[0]] = result
    builder.where = outer_where
    return [env[x] if type(x) is Var else x for x in graph.outputs]


def literal(value: Any, dtype: Any) -> Literal:
    """The Literal of a scalar in this dtype."""
    return Literal(dtype.type(value))


__all__ = ["Builder", "building", "current", "inline", "literal", "live_equations"]

"""Simplification: Graph → Graph of the same meaning with less to do.

A small pass that rebuilds the graph, offering each equation to the rules of its primitive. A rule
sees the operands as they have become, and what produced them; it returns the value to use
instead, or None. Dead equations go and equal ones are shared by the Builder.

Rules keep values to the last bit, apart from the sign of a zero.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.build import Builder, building, inline
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.primitive import CATALOGUE, full
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast, inverse_permutation, reshape, transpose
from gpuad.transforms.calls import derived_forward
from gpuad.transforms.memo import memo

Rule = Callable[..., Atom | Sequence[Atom] | None]
RULES: dict[str, list[Rule]] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule ``f(made, *operands, **params)`` for these primitives.

    ``made(x)`` is the equation that `x` comes from, or None.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            RULES.setdefault(name, []).append(function)
        return function

    return register


@memo
def simplify(graph: Graph) -> Graph:
    """The graph, simplified."""
    with building(Rebuilding(graph.name, RULES)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        return builder.graph(inline(graph, inputs), graph.captured)


class Rebuilding(Builder):
    """A Builder that offers each application to the rules before it records it."""

    def __init__(self, name: str, rules: dict[str, list[Rule]]):
        super().__init__(name)
        self._rules = rules
        self._made: dict[Any, Equation] = {}
        self._seen = 0

    def made(self, x: Atom) -> Equation | None:
        """The equation that `x` comes from."""
        for e in self.equations[self._seen :]:
            self._made.update(dict.fromkeys(e.outputs, e))
        self._seen = len(self.equations)
        return self._made.get(x)

    def add(self, primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> Any:
        if primitive.kind == "elementwise":
            operands = self._with_literals(primitive, operands)
        for r in self._rules.get(primitive.name, ()):
            found = r(self.made, *operands, **params)
            if found is not None:
                return found
        return super().add(primitive, operands, params)

    def _with_literals(self, primitive: Any, operands: tuple[Atom, ...]) -> tuple[Atom, ...]:
        """A number repeated along axes stands as the number, beside an operand with axes."""
        plain = tuple([self._number(x) for x in operands])
        if any(type(x) is Var for x in plain[primitive.scalars_like :]):
            kept = [x for x in plain if type(x) is Var]
            if any(x.aval.shape == y.aval.shape for x in kept for y in operands if y.aval.shape):
                return plain
            if all(not y.aval.shape for y in operands):
                return plain
        return operands

    def _number(self, x: Atom) -> Atom:
        e = self.made(x)
        if e is not None and e.primitive is broadcast and type(e.operands[0]) is Literal:
            return e.operands[0]
        return x


def _is(x: Atom, number: float) -> bool:
    return type(x) is Literal and bool(x.value == number)


# Held graphs that need not be kept apart.


@rule("call", "custom_call")
def _inline_call(made: Any, *operands: Atom, graph: Graph, **params: Any) -> Sequence[Atom]:
    return tuple(inline(graph, operands))


@rule("transposed_call")
def _inline_transposed(
    made: Any, *operands: Atom, graph: Graph, residuals: int, of: str
) -> Sequence[Atom]:
    return tuple(inline(derived_forward(graph, residuals, of), operands))


@rule("stop_gradient", "positive")
def _identity(made: Any, x: Atom) -> Atom:
    return x


# Arithmetic.


@rule("mul")
def _multiply(made: Any, x: Atom, y: Atom) -> Atom | None:
    for a, b in ((x, y), (y, x)):
        if _is(a, 1.0) and type(b) is Var:
            return b
        if _is(a, -1.0) and type(b) is Var:
            return ew.neg(b)
    return None


@rule("mulz")
def _multiply_guarded(made: Any, x: Atom, y: Atom) -> Atom | None:
    if type(x) is Literal and np.isfinite(x.value):
        return ew.mul(x, y)
    if type(y) is Literal and y.value != 0:
        return ew.mul(x, y)
    return None


@rule("divz")
def _divide_guarded(made: Any, x: Atom, y: Atom) -> Atom | None:
    if any(type(z) is Literal and z.value != 0 and z.value == z.value for z in (x, y)):
        return ew.div(x, y)
    return None


@rule("div")
def _divide(made: Any, x: Atom, y: Atom) -> Atom | None:
    return x if _is(y, 1.0) and type(x) is Var else None


@rule("add")
def _plus(made: Any, x: Atom, y: Atom) -> Atom | None:
    for a, b in ((x, y), (y, x)):
        if _is(a, 0.0) and type(b) is Var:
            return b
        e = made(a)
        if e is not None and e.primitive is ew.neg:
            return ew.sub(b, e.operands[0])
    return None


@rule("sub")
def _minus(made: Any, x: Atom, y: Atom) -> Atom | None:
    if _is(y, 0.0) and type(x) is Var:
        return x
    e = made(y)
    if e is not None and e.primitive is ew.neg:
        return ew.add(x, e.operands[0])
    return None


@rule("neg")
def _negate(made: Any, x: Atom) -> Atom | None:
    e = made(x)
    return e.operands[0] if e is not None and e.primitive is ew.neg else None


@rule("integer_power")
def _power(made: Any, x: Atom, n: int) -> Atom | None:
    if n == 0:
        return full(x.aval, 1)
    if n == 1:
        return x
    if n == 2:
        return ew.square(x)
    if n == -1:
        return ew.div(1.0, x)
    return None


@rule("select")
def _choose(made: Any, c: Atom, x: Atom, y: Atom) -> Atom | None:
    return x if x is y and type(x) is Var else None


@rule("cast")
def _convert(made: Any, x: Atom, dtype: np.dtype) -> Atom | None:
    if type(x) is Literal:
        return Literal(dtype.type(x.value))
    return x if x.aval.dtype == dtype and not x.aval.weak else None


# Structure.


@rule("broadcast")
def _spread(made: Any, x: Atom, shape: tuple[int, ...], dims: tuple[int, ...]) -> Atom | None:
    if x.aval.shape == shape and dims == tuple(range(len(shape))):
        return x
    e = made(x)
    if e is None or e.primitive is not broadcast:
        return None
    inner = tuple([dims[d] for d in e.params["dims"]])
    return broadcast(e.operands[0], shape=shape, dims=inner)


@rule("reshape")
def _reshape_again(made: Any, x: Atom, shape: tuple[int, ...]) -> Atom | None:
    e = made(x)
    if e is not None and e.primitive is CATALOGUE["reshape"]:
        return reshape(e.operands[0], shape=shape)
    if e is not None and e.primitive is broadcast and type(e.operands[0]) is Literal:
        return broadcast(e.operands[0], shape=shape, dims=())
    return None


@rule("transpose")
def _transpose_again(made: Any, x: Atom, perm: tuple[int, ...]) -> Atom | None:
    e = made(x)
    if e is None:
        return None
    if e.primitive is CATALOGUE["transpose"]:
        inner = e.params["perm"]
        return transpose(e.operands[0], perm=tuple([inner[p] for p in perm]))
    if e.primitive is broadcast:
        position = inverse_permutation(perm)
        shape = tuple([x.aval.shape[p] for p in perm])
        return broadcast(
            e.operands[0], shape=shape, dims=tuple([position[d] for d in e.params["dims"]])
        ) if _ascending([position[d] for d in e.params["dims"]]) else None  # fmt: skip
    return None


def _ascending(dims: Sequence[int]) -> bool:
    return list(dims) == sorted(set(dims))


@rule("reduce_sum")
def _sum_again(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not axes:
        return x
    e = made(x)
    if e is not None and e.primitive is reduce_sum:
        left = [i for i in range(e.operands[0].aval.ndim) if i not in e.params["axes"]]
        both = (*e.params["axes"], *[left[i] for i in axes])
        return reduce_sum(e.operands[0], axes=tuple(sorted(both)))
    return None

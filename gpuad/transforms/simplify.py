"""Simplification: Graph → Graph of the same meaning with less to do.

The graph is built again by rules (see `transforms.rewrite`). Equations that nothing needs are left
out, and equal ones are shared, by the Builder.

Rules keep values to the last bit, apart from the sign of a zero and what is subnormal on the way.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.build import building, inline
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.primitive import CATALOGUE, full
from gpuad.primitives import elementwise as ew
from gpuad.primitives.elementwise import literal
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast, inverse_permutation, reshape, slice_, transpose
from gpuad.transforms.calls import derived_forward
from gpuad.transforms.memo import memo
from gpuad.transforms.rewrite import Rewriting, Rule

COMMUTATIVE = (ew.add, ew.mul)
RULES: dict[str, list[Rule]] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a `Rule` for these primitives."""

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


class Rebuilding(Rewriting):
    """A `Rewriting` that also computes on values before they are repeated rather than after, and
    shares sums and products in either order."""

    def add(self, primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> Any:
        if primitive.kind == "elementwise":
            operands = self._with_literals(primitive, operands)
            narrow = self._before_repeating(primitive, operands, params)
            if narrow is not None:
                return narrow
            if primitive in COMMUTATIVE and self.shared(primitive, operands[::-1], params):
                operands = operands[::-1]
        return super().add(primitive, operands, params)

    def _before_repeating(self, primitive: Any, operands: Any, params: Any) -> Atom | None:
        """An operation on values that are repeated along the same axes, done before that."""
        sources = [self.made(x) for x in operands if type(x) is Var]
        if not sources or not all(repeats(e) for e in sources):
            return None
        shape = sources[0].params["shape"]  # type: ignore[union-attr]
        kept = sorted({d for e in sources for d in e.params["dims"]})  # type: ignore[union-attr]
        if len(kept) == len(shape):
            return None
        small = tuple([shape[d] for d in kept])
        narrow = []
        for x in operands:
            if type(x) is Var:
                e = self.made(x)
                dims = tuple([kept.index(d) for d in e.params["dims"]])  # type: ignore[union-attr]
                x = broadcast(e.operands[0], shape=small, dims=dims)  # type: ignore[union-attr]
            narrow.append(x)
        return broadcast(self.add(primitive, tuple(narrow), params), shape=shape, dims=tuple(kept))

    def _with_literals(self, primitive: Any, operands: tuple[Atom, ...]) -> tuple[Atom, ...]:
        """The operands with a repeated number as the number itself, if another operand has the
        shape."""
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


def repeats(e: Equation | None) -> bool:
    """Whether an equation repeats a variable along new axes only."""
    if e is None or e.primitive is not broadcast or type(e.operands[0]) is Literal:
        return False
    shape, source = e.params["shape"], e.operands[0].aval.shape
    return all(n == shape[d] for n, d in zip(source, e.params["dims"], strict=True))


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
        if type(a) is Literal and b.aval.dtype.kind == "f":
            scaled = _scaled(made, a.value, b)
            if scaled is not None:
                return scaled
    return None


def _scaled(made: Any, number: Any, x: Atom) -> Atom | None:
    """A number times `x`, if that is another number times what `x` comes from, to the last bit:
    one of the numbers changes only sign and exponent."""
    e = made(x)
    if e is not None and e.primitive is ew.neg:
        return ew.mul(literal(-number, x.aval.dtype), e.operands[0])
    if e is None or e.primitive is not ew.mul:
        return None
    for a, b in (e.operands, e.operands[::-1]):
        if type(a) is Literal and type(b) is Var:
            with np.errstate(all="ignore"):
                both = literal(number * a.value, x.aval.dtype)
                within = np.divide(1, a.value)
            normal = np.finfo(x.aval.dtype).tiny <= np.abs(both.value) < np.inf
            # A larger factor within could overflow where both together do not.
            if normal and (_doubles(number) or _doubles(within)):
                return ew.mul(both, b)
    return None


def _doubles(number: Any) -> bool:
    """Whether it is a power of two, 1 or larger, or the negative of one."""
    return bool(abs(number) >= 1 and math.frexp(abs(number))[0] == 0.5)


@rule("div")
def _divide(made: Any, x: Atom, y: Atom) -> Atom | None:
    return x if _is(y, 1.0) and type(x) is Var else None


def _doubled(made: Any, x: Atom, y: Atom, sign: int) -> Atom | None:
    """x + y or x - y (`sign` -1), if both are the same number times the same value."""
    parts: list[tuple[Any, Atom]] = []
    for e in (made(x), made(y)):
        if e is None or e.primitive is not ew.mul or type(e.operands[0]) is not Literal:
            return None
        parts.append((e.operands[0].value, e.operands[1]))
    (a, v), (b, w) = parts
    if v is not w or v.aval.dtype.kind != "f" or a != sign * b:
        return None
    with np.errstate(all="ignore"):
        both = literal(2 * a, v.aval.dtype)
    return ew.mul(both, v) if np.isfinite(both.value) else None


@rule("add")
def _plus(made: Any, x: Atom, y: Atom) -> Atom | None:
    if x is y and type(x) is Var and x.aval.dtype.kind == "f":
        return ew.mul(2.0, x)
    for a, b in ((x, y), (y, x)):
        if _is(a, 0.0) and type(b) is Var:
            return b
        positive = _negated(made, a)
        if positive is not None:
            return ew.sub(b, positive)
    return _doubled(made, x, y, 1)


def _negated(made: Any, x: Atom) -> Atom | None:
    """The value that `x` is the negative of, if it is known as one, repeated or not."""
    e = made(x)
    if e is None or e.primitive not in (ew.neg, broadcast):
        return None
    if e.primitive is ew.neg:
        return e.operands[0]
    source = _negated(made, e.operands[0])
    return None if source is None else broadcast(source, **e.params)


@rule("sub")
def _minus(made: Any, x: Atom, y: Atom) -> Atom | None:
    if _is(y, 0.0) and type(x) is Var:
        return x
    positive = _negated(made, y)
    return _doubled(made, x, y, -1) if positive is None else ew.add(x, positive)


@rule("neg")
def _negate(made: Any, x: Atom) -> Atom | None:
    e = made(x)
    if e is not None and e.primitive is ew.neg:
        return e.operands[0]
    return _scaled(made, -1, x) if x.aval.dtype.kind == "f" else None


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
        with np.errstate(all="ignore"):
            return Literal(ew.cast.implementation(np, {"dtype": dtype})(x.value))
    return x if x.aval.dtype == dtype and not x.aval.weak else None


# Structure.


@rule("broadcast")
def _spread(made: Any, x: Atom, shape: tuple[int, ...], dims: tuple[int, ...]) -> Atom | None:
    if x.aval.shape == shape and dims == tuple(range(len(shape))):
        return x
    kept = [k for k, n in enumerate(x.aval.shape) if n == shape[dims[k]]]
    if len(kept) < x.aval.ndim:
        # Axes of size 1 that are repeated need not be there.
        source = reshape(x, shape=tuple([x.aval.shape[k] for k in kept]))
        return broadcast(source, shape=shape, dims=tuple([dims[k] for k in kept]))
    e = made(x)
    if e is None or e.primitive is not broadcast:
        return None
    inner = tuple([dims[d] for d in e.params["dims"]])
    return broadcast(e.operands[0], shape=shape, dims=inner)


@rule("reshape")
def _reshape_again(made: Any, x: Atom, shape: tuple[int, ...]) -> Atom | None:
    if x.aval.shape == shape:
        return x
    e = made(x)
    if e is not None and e.primitive is CATALOGUE["reshape"]:
        return reshape(e.operands[0], shape=shape)
    if e is None or e.primitive is not broadcast:
        return None
    if type(e.operands[0]) is Literal:
        return broadcast(e.operands[0], shape=shape, dims=())
    place = same_axes(x.aval.shape, shape)
    if place is None or not repeats(e):
        return None
    kept = [d for d in e.params["dims"] if d in place]
    source = reshape(e.operands[0], shape=tuple([x.aval.shape[d] for d in kept]))
    return broadcast(source, shape=shape, dims=tuple([place[d] for d in kept]))


def same_axes(before: tuple[int, ...], after: tuple[int, ...]) -> dict[int, int] | None:
    """The new number of each axis, in a reshape that only adds and drops axes of size 1; else
    None."""
    old = [i for i, n in enumerate(before) if n != 1]
    new = [i for i, n in enumerate(after) if n != 1]
    if [before[i] for i in old] != [after[i] for i in new]:
        return None
    return dict(zip(old, new, strict=True))


@rule("slice")
def _slice_repeated(made: Any, x: Atom, starts: Any, stops: Any, steps: Any) -> Atom | None:
    e = made(x)
    if not repeats(e):
        return None
    dims = e.params["dims"]
    place = [tuple([p[d] for d in dims]) for p in (starts, stops, steps)]
    lengths = [len(range(*axis)) for axis in zip(starts, stops, steps, strict=True)]
    return broadcast(slice_(e.operands[0], *place), shape=tuple(lengths), dims=dims)


@rule("transpose")
def _transpose_again(made: Any, x: Atom, perm: tuple[int, ...]) -> Atom | None:
    e = made(x)
    if perm == tuple(range(len(perm))):
        return x
    if e is None:
        return None
    if e.primitive is CATALOGUE["transpose"]:
        inner = e.params["perm"]
        return transpose(e.operands[0], perm=tuple([inner[p] for p in perm]))
    if e.primitive is broadcast:
        position = inverse_permutation(perm)
        dims = [position[d] for d in e.params["dims"]]
        order = tuple(sorted(range(len(dims)), key=dims.__getitem__))
        source = e.operands[0] if len(dims) < 2 else transpose(e.operands[0], perm=order)
        shape = tuple([x.aval.shape[p] for p in perm])
        return broadcast(source, shape=shape, dims=tuple(sorted(dims)))
    return None


@rule("dot_general")
def _product_of_repeated(made: Any, x: Atom, y: Atom, contract: Any, batch: Any) -> Atom | None:
    """A product whose operand is repeated along a free axis is itself repeated."""
    for k, z in enumerate((x, y)):
        e = made(z)
        if not repeats(e):
            continue
        taken = (*contract[k], *batch[k])
        gone = [a for a in range(z.aval.ndim) if a not in (*taken, *e.params["dims"])]
        if gone:
            left = [a for a in range(z.aval.ndim) if a not in gone]
            narrow = broadcast(
                e.operands[0],
                shape=tuple([z.aval.shape[a] for a in left]),
                dims=tuple([left.index(d) for d in e.params["dims"]]),
            )
            return _repeated_product((x, y), k, narrow, gone, contract, batch)
    return None


def _repeated_product(
    operands: Any, k: int, narrow: Atom, gone: Sequence[int], contract: Any, batch: Any
) -> Atom:
    """The product with `narrow`, which is operand k without its free axes `gone`, repeated along
    these."""
    z = operands[k]
    free = [a for a in range(z.aval.ndim) if a not in (*contract[k], *batch[k])]
    position = len(batch[0])
    if k == 1:
        position += operands[0].aval.ndim - len(contract[0]) - len(batch[0])
    lost = {position + free.index(a): z.aval.shape[a] for a in gone}
    small = [narrow if i == k else x for i, x in enumerate(operands)]
    left = [a for a in range(z.aval.ndim) if a not in gone]
    moved = [
        tuple(
            [tuple([left.index(a) for a in side]) if i == k else side for i, side in enumerate(p)]
        )
        for p in (contract, batch)
    ]
    product = CATALOGUE["dot_general"](*small, contract=moved[0], batch=moved[1])
    shape = list(product.aval.shape)
    for a in sorted(lost):
        shape.insert(a, lost[a])
    dims = [a for a in range(len(shape)) if a not in lost]
    return broadcast(product, shape=tuple(shape), dims=tuple(dims))


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

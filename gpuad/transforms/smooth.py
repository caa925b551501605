"""Functions that are smooth although a part of them has a kink, rewritten before differentiation.

|x|², √s², a norm squared and hypot(x, y)⁴ are smooth where |x|, √s and the norm are not. If they
were differentiated one operation after the other, the result would be zero times infinity. So even
powers of roots become powers of what is under the root, also behind operations that only move
elements; even functions of |x|, such as cos|x|, become functions of x; and the root of a sum of
squares, which is a norm, gets the slope of a norm, which is zero at zero.

Values change by no more than the rounding of the root.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gpuad.ir.build import building, inline
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.primitive import Role
from gpuad.primitives import elementwise as ew
from gpuad.primitives import special, trigonometric
from gpuad.primitives.reduction import reduce_sum
from gpuad.transforms.memo import memo
from gpuad.transforms.rewrite import Rewriting, Rule

ROOTS = ("sqrt", "abs", "hypot", "reduce_norm", "root_of_squares")
MOVING = (Role.VIEW, Role.GATHER)
MAX_TERMS = 64
"""How many equations are looked at to find whether a value is a sum of squares."""


@memo
def smooth(graph: Graph) -> Graph:
    """The graph, with even powers of roots and norms written as smooth functions."""
    if not _has_roots(graph):
        return graph
    with building(Rewriting(graph.name, RULES)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        return builder.graph(inline(graph, inputs), graph.captured)


def _has_roots(graph: Graph) -> bool:
    return any(
        e.primitive.name in ROOTS or (e.primitive.name == "call" and _has_roots(e.params["graph"]))
        for e in graph.equations
    )


Made = Callable[[Atom], Equation | None]


def _squared(made: Made, x: Atom) -> Atom | None:
    """x², if it is smooth and `x` is not."""
    e = made(x)
    if e is None:
        return None
    name, operands = e.primitive.name, e.operands
    if e.primitive.role in MOVING and type(operands[0]) is Var:
        inner = _squared(made, operands[0])
        return None if inner is None else e.primitive(inner, *operands[1:], **e.params)
    if x.aval.dtype.kind != "f":
        return None
    if name in ("neg", "pad", "concatenate", "mul", "div"):
        return _squared_parts(made, e)
    if name == "abs":
        return _modulus_squared(operands[0])
    if name == "sqrt":
        return ew.nonnegative(operands[0])
    if name == "root_of_squares":
        return operands[0]
    if name == "hypot":
        return ew.add(*[ew.square(y) for y in operands])
    if name == "reduce_norm":
        return reduce_sum(ew.square(operands[0]), **e.params)
    return None


def _squared_parts(made: Made, e: Equation) -> Atom | None:
    """The square of −n, c·n, n/c and of roots put side by side, where a part n is a root."""
    found = [None if type(x) is Literal else _squared(made, x) for x in e.operands]
    if all(f is None for f in found):
        return None
    squares = [ew.square(x) if f is None else f for x, f in zip(e.operands, found, strict=True)]
    return squares[0] if e.primitive is ew.neg else e.primitive(*squares, **e.params)


def _modulus_squared(x: Atom) -> Atom:
    if x.aval.dtype.kind == "c":
        return ew.add(ew.square(ew.real(x)), ew.square(ew.imag(x)))
    return ew.square(x)


def _square(made: Made, x: Atom) -> Atom | None:
    return _squared(made, x)


def _product(made: Made, x: Atom, y: Atom) -> Atom | None:
    if x is y:
        return _squared(made, x)
    for a, b in ((x, y), (y, x)):  # (c n) n
        e = made(a)
        if e is not None and e.primitive is ew.mul and b in e.operands:
            squared = _squared(made, b)
            if squared is not None:
                c = e.operands[1 if e.operands[0] is b else 0]
                return ew.mul(c, squared)
    return None


def _dot(made: Made, x: Atom, y: Atom, contract: Any, batch: Any) -> Atom | None:
    """n · n of a vector of roots."""
    if x is not y or contract != ((0,), (0,)) or x.aval.ndim != 1:
        return None
    squared = _squared(made, x)
    return None if squared is None else reduce_sum(squared, axes=(0,))


def _whole_power(made: Made, x: Atom, n: int) -> Atom | None:
    if n < 2:
        return None
    inner = _squared(made, x)
    if inner is None:
        return None
    half = inner if n // 2 == 1 else ew.integer_power(inner, n=n // 2)
    return half if n % 2 == 0 else ew.mul(half, x)


def _power(made: Made, x: Atom, y: Atom) -> Atom | None:
    if type(y) is not Literal or y.aval.dtype.kind != "f" or y.value not in (2, 4, 6, 8):
        return None
    return _whole_power(made, x, int(y.value))


# Even functions of an absolute value


def _unsigned(made: Made, x: Atom) -> Atom | None:
    """A smooth value of which each element is that of x or of -x, if `x` is made of |y| for real
    y."""
    e = made(x)
    if e is None or x.aval.dtype.kind != "f":
        return None
    name, operands = e.primitive.name, e.operands
    if name == "abs":
        return operands[0] if operands[0].aval.dtype.kind == "f" else None
    if name == "neg":
        return _unsigned(made, operands[0])
    if e.primitive.role in MOVING:
        inner = _unsigned(made, operands[0])
        return None if inner is None else e.primitive(inner, *operands[1:], **e.params)
    if name in ("mul", "div"):
        found = [_unsigned(made, y) for y in operands]
        if any(f is not None for f in found):
            return e.primitive(
                *[y if f is None else f for y, f in zip(operands, found, strict=True)]
            )
    return None


def _even(function: Any) -> Callable[[Made, Atom], Atom | None]:
    def rule(made: Made, x: Atom) -> Atom | None:
        unsigned = _unsigned(made, x)
        return None if unsigned is None else function(unsigned)

    return rule


def _sinc(made: Made, x: Atom, n: int) -> Atom | None:
    return None if n % 2 else _even(partial(special.sinc, n=n))(made, x)


# The root of a sum of squares


def _root(made: Made, x: Atom) -> Atom | None:
    real = x.aval.dtype.kind == "f"
    return ew.root_of_squares(x) if real and _is_sum_of_squares(made, x) else None


def _is_sum_of_squares(made: Made, x: Atom) -> bool:
    """Whether it is made as a sum of squares, with factors above zero."""
    todo, seen = [x], 0
    while todo:
        seen += 1
        e = made(todo.pop())
        if e is None or seen > MAX_TERMS:
            return False
        name, operands = e.primitive.name, e.operands
        if e.primitive.role in MOVING or name == "reduce_sum":
            todo.append(operands[0])
        elif name == "add" or name == "concatenate":
            todo.extend(operands)
        elif name in ("mul", "div") and _is_positive(operands[1]):
            todo.append(operands[0])
        elif name == "mul" and _is_positive(operands[0]):
            todo.append(operands[1])
        elif not (
            name == "square"
            or (name == "mul" and operands[0] is operands[1])
            or (name == "dot_general" and _is_dot_with_itself(e))
            or (name == "integer_power" and e.params["n"] == 2)
        ):
            return False
    return True


def _is_positive(x: Atom) -> bool:
    return type(x) is Literal and x.value.real > 0


def _is_dot_with_itself(e: Equation) -> bool:
    (x, y), contract, batch = e.operands, e.params["contract"], e.params["batch"]
    same = x is y and contract[0] == contract[1] and batch[0] == batch[1]
    return same and len(contract[0]) + len(batch[0]) == x.aval.ndim


def _unrounded(made: Made, x: Atom, dtype: np.dtype) -> Atom | None:
    """A value as float32 that was computed so, before it was rounded to half precision."""
    e = made(x)
    if e is None or e.primitive is not ew.narrow or e.operands[0].aval.dtype != dtype:
        return None
    return e.operands[0]


def _written_out(made: Made, *operands: Atom, graph: Graph) -> Any:
    return tuple(inline(graph, operands))


RULES: dict[str, list[Rule]] = {
    "call": [_written_out],
    "cast": [_unrounded],
    "square": [_square],
    "mul": [_product],
    "dot_general": [_dot],
    "integer_power": [_whole_power],
    "power": [_power],
    "sqrt": [_root],
    "cos": [_even(trigonometric.cos)],
    "cosh": [_even(trigonometric.cosh)],
    "sinc": [_sinc],
}

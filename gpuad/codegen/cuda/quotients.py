"""Quotients in float32 as lines of a CUDA kernel, where those by one number share its reciprocal.

A division is a dozen machine instructions with a branch. A reciprocal is ten at most, and then each
quotient two or three (`kernels/cuda_math.py`). Those quotients are exact where that is a number. A
power of two by y, that quotient by y again and so on need less: one product with 1/y each, which is
three to six instructions.
"""

import math
from collections.abc import Sequence
from typing import Any

from gpuad.codegen.cuda.inlining import inlined
from gpuad.codegen.cuda.names import Names
from gpuad.kernels import cuda_math


def quotient(scope: Names, x: str, y: str) -> str:
    """The name of x/y. From the second quotient by a number on they share its reciprocal; from the
    first one, if that needs no scaling."""
    text = f"({x} / {y})"
    if not y.isidentifier() or scope.recalled(text):
        return scope.named(text)
    key = f"1 / {y}"
    parts = scope.recalled(key)
    if parts is None and (found := _by_inverse(scope, x, y)):
        scope.remember(text, found)
        return found
    if parts is None and _reciprocal(scope, y) is cuda_math.plain_reciprocal:
        parts = _parts(scope, y, cuda_math.plain_reciprocal)
        scope.remember(key, parts)
    if parts is None:
        name = scope.named(text)
        scope.remember(key, (scope, name, x))
        return name
    if isinstance(parts, tuple):
        owner, first, other = parts
        parts = _shared(owner, first, other, y)
        owner.remember(key, parts)
    name = scope.named(_by_parts(scope, x, parts))
    scope.remember(text, name)
    return name


def _by_inverse(scope: Names, x: str, y: str) -> str | None:
    """The name of x/y as a product with 1/y, if x is a power of two or such a product, and y in a
    range in which that is right; else None."""
    again = scope.recalled(f"{x} by {y}") is not None
    number = scope.number(x) or 0.0
    if not again and abs(math.frexp(number)[0]) != 0.5:
        return None
    size, root_of = float(cuda_math.LARGE), scope.recalled(f"root {y}")
    if root_of is not None:
        if not scope.within(root_of, 1 / size, math.inf):
            return None
        function, given = cuda_math.inverse_of_root, [y, root_of]
    elif not (scope.within(y, 1 / size, math.inf) or scope.within(y, -math.inf, -1 / size)):
        return None
    elif scope.within(y, -size, size):
        function, given = cuda_math.inverse, [y]
    elif abs(number) <= 1:  # 1/y may be subnormal: so is x/y then
        function, given = cuda_math.inverse_of_large, [y]
    else:
        return None
    inverse = scope.named(inlined(scope, function, given, "f32"))
    name = inverse if number == 1 else scope.product(scope.named(x), inverse)
    scope.remember(f"{name} by {y}", True)
    return name


def _shared(scope: Names, first: str, x: str, y: str) -> list[str]:
    """Puts the reciprocal of y before the line of the first quotient by it, and in that line."""
    place = scope.lines.index(f"{first} = ({x} / {y})")
    before = scope.apart()
    parts = _parts(before, y, _reciprocal(scope, y))
    line = f"{first} = {_by_parts(before, x, parts)}"
    scope.lines[place : place + 1] = [*before.lines, line]
    return parts


def _parts(scope: Names, y: str, function: Any) -> list[str]:
    return [scope.named(p) for p in inlined(scope, function, [y], "f32")]


def _by_parts(scope: Names, x: str, parts: Sequence[str]) -> str:
    """The expression of x/y by the parts of the reciprocal of y."""
    function = cuda_math.quotient if len(parts) == 3 else cuda_math.plain_quotient
    return str(inlined(scope, function, [x, *parts], "f32"))


def _reciprocal(scope: Names, y: str) -> Any:
    """The function that gives the reciprocal of a name: it need not scale a root."""
    size = float(cuda_math.LARGE)
    above, below = scope.within(y, 1 / size, math.inf), scope.within(y, -math.inf, -1 / size)
    if is_root(scope, y) or ((above or below) and scope.within(y, -size, size)):
        return cuda_math.plain_reciprocal
    return cuda_math.reciprocal_of_large if above or below else cuda_math.reciprocal


def mark_root(scope: Names, name: str, x: str) -> None:
    """Remembers that a name is the square root of x."""
    scope.remember(f"root {name}", x)


def is_root(scope: Names, name: str) -> bool:
    return scope.recalled(f"root {name}") is not None

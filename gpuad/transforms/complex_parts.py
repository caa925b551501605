"""Complex values as their real and imaginary parts, in operations of real numbers.

Compiled sweeps compute on real numbers. Complex arrithmetic is written out in them here; a complex
array enters as a real one with one more axis of two (`primitives.complex_pairs`), which shares its
memory, and one that is needed whole is put together in the same way. What has no rule here is done
on whole complex arrays, by the library.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.ir.aval import real_dtype
from gpuad.ir.graph import Atom, Literal, Var
from gpuad.ir.primitive import CATALOGUE, Primitive, Role
from gpuad.primitives import elementwise as ew
from gpuad.primitives.complex_pairs import as_pairs, from_pairs
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.structure import broadcast, concatenate, expand, reshape, slice_
from gpuad.transforms.rewrite import Rule
from gpuad.transforms.simplify import Rebuilding
from gpuad.transforms.written_products import written_product

Parts = tuple[Any, Any]
"""The real and the imaginary part: Vars, or Literals for the same number everywhere."""


class OnParts(Rebuilding):
    """A `Rebuilding` that computes on the parts of complex values where it can.

    Attributes
    ----------
    computed
        The values that were computed as parts, which stand for those until they are asked for as
        arrays; and these arrays.
    """

    def __init__(self, name: str, rules: dict[str, list[Rule]]):
        super().__init__(name, rules)
        self._parts: dict[Atom, Parts] = {}
        self.computed: dict[Atom, Atom | None] = {}

    def add(self, primitive: Primitive, operands: tuple[Atom, ...], params: dict[str, Any]) -> Any:
        if primitive is ew.square or _is_complex(primitive, operands, params):
            found = self._on_parts(primitive, operands, params)
            if found is not None:
                return found
        return super().add(primitive, tuple([self.whole(x) for x in operands]), params)

    def _on_parts(self, primitive: Primitive, operands: Any, params: dict[str, Any]) -> Any:
        rule = RULES.get(primitive.name)
        if rule is None and primitive.role in BY_PARTS and not primitive.multiple:
            if any(x in self.computed for x in operands) and _is_by_parts(primitive):
                rule = _each_part
        if rule is None:
            return None
        found = rule(self, primitive, operands, params)
        if found is None:
            return None
        v = Var(primitive.infer(*[x.aval for x in operands], **params))
        return self._placed(v, found) if type(found) is tuple else _wide(found, v)

    def _placed(self, v: Var, parts: Parts) -> Var:
        """A stand-in for the value of these parts, which is made if something asks for it whole."""
        self._parts[v] = parts
        self.computed[v] = None
        return v

    def whole(self, x: Atom) -> Atom:
        """A value as an array that the library takes."""
        if x not in self.computed:
            return x
        found = self.computed[x]
        if found is None:
            n = x.aval.ndim
            sides = [expand(_wide(p, x), (n,)) for p in self._parts[x]]
            found = self.computed[x] = from_pairs(concatenate(*sides, axis=n))
        return found

    def parts(self, x: Atom) -> Parts:
        """The parts of a complex value."""
        if type(x) is Literal:
            return Literal(x.value.real), Literal(x.value.imag)
        if x not in self._parts:
            self._parts[x] = self._entered(x)
        return self._parts[x]

    def _entered(self, x: Atom) -> Parts:
        """The parts of an array. A view of one is made of its parts, where a sweep can read through
        it."""
        e = self.made(x)
        if e is not None and e.primitive.role is Role.VIEW:
            (y,) = e.operands
            first, second = [_wide(p, y) for p in self.parts(y)]
            return e.primitive(first, **e.params), e.primitive(second, **e.params)
        pairs = as_pairs(x)
        return _of_pairs(pairs, 0), _of_pairs(pairs, 1)


def _is_complex(primitive: Primitive, operands: Any, params: dict[str, Any]) -> bool:
    """Whether an operation is of complex values that are no numbers of the graph."""
    if not any(type(x) is Var for x in operands):
        return False
    if primitive is ew.cast and params["dtype"].kind == "c":
        return True
    return primitive is ew.make_complex or any(x.aval.dtype.kind == "c" for x in operands)


def _of_pairs(pairs: Any, k: int) -> Any:
    shape = pairs.aval.shape[:-1]
    return reshape(slice_(pairs, (*[0] * len(shape), k), (*shape, k + 1)), shape=shape)


def _wide(part: Any, x: Atom) -> Any:
    """A part of `x` that may be a number, as an array of its shape."""
    same = part.aval.shape == x.aval.shape
    return part if same else broadcast(part, shape=x.aval.shape, dims=())


# Operations that do to each part what they do to the whole


BY_PARTS = (Role.VIEW, Role.COPY, Role.GATHER, Role.UPDATE, Role.REDUCTION, Role.SCATTER)


def _is_by_parts(primitive: Primitive) -> bool:
    return primitive.combiner in ("", "sum", "set")


def _each_part(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Parts:
    sides = [
        [_wide(p, x) for p in made.parts(x)] if x.aval.dtype.kind == "c" else [x, x]
        for x in operands
    ]
    first, second = [primitive(*side, **params) for side in zip(*sides, strict=True)]
    return first, second


# Arithmetic


def _multiply(x: Parts, y: Parts) -> Parts:
    (a, b), (c, d) = x, y
    return ew.sub(ew.mul(a, c), ew.mul(b, d)), ew.add(ew.mul(a, d), ew.mul(b, c))


def _divide(x: Parts, y: Parts) -> Parts:
    """R. L. Smith, *Algorithm 116: complex division*, 1962, as NumPy has it."""
    (a, b), (c, d) = x, y
    by_real = ew.ge(ew.abs_(c), ew.abs_(d))
    large, small = _choose(by_real, c, d), _choose(by_real, d, c)
    ratio = ew.div(small, large)
    scale = ew.div(1.0, ew.add(large, ew.mul(small, ratio)))
    first = _choose(by_real, ew.add(a, ew.mul(b, ratio)), ew.add(ew.mul(a, ratio), b))
    second = _choose(by_real, ew.sub(b, ew.mul(a, ratio)), ew.sub(ew.mul(b, ratio), a))
    zero, size = ew.eq(large, 0.0), ew.abs_(c)
    return (
        _choose(zero, ew.div(a, size), ew.mul(first, scale)),
        _choose(zero, ew.div(b, size), ew.mul(second, scale)),
    )


def _choose(condition: Any, x: Any, y: Any) -> Any:
    if type(condition) is Literal:
        return x if condition.value else y
    if type(x) is Literal and type(y) is Literal and x.key == y.key:
        return x
    return ew.select(condition, x, y)


def _size(x: Parts) -> Any:
    return CATALOGUE["hypot"](*x)


def _divide_or_zero(x: Parts, y: Parts) -> Parts:
    c, d = y
    zero = ew.bit_and(ew.eq(c, 0.0), ew.eq(d, 0.0))
    first, second = _divide(x, y)
    return _choose(zero, _zero(c), first), _choose(zero, _zero(c), second)


def _zero(x: Any) -> Literal:
    return Literal(x.aval.dtype.type(0))


def _unit(x: Parts) -> Parts:
    """x / |x|, and 0 at 0; see the primitive for infinite values."""
    size = _size(x)
    infinite = ew.eq(size, np.inf)
    parts = [
        _choose(infinite, ew.copysign(ew.cast(ew.eq(ew.abs_(p), np.inf), dtype=p.aval.dtype), p), p)
        for p in x
    ]
    size = _choose(infinite, CATALOGUE["hypot"](*parts), size)
    zero = ew.eq(size, 0.0)
    first, second = [_choose(zero, _zero(p), ew.div(p, size)) for p in parts]
    return first, second


def _exponential(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Parts:
    """exp(a) (cos b + i sin b). exp(a) is the square of exp(a/2), which overflows for no a where
    the result does not."""
    a, b = made.parts(*operands)
    turned = [CATALOGUE[turn](b) for turn in ("cos", "sin")]
    if _vanishes(made, a, b):
        return turned[0], turned[1]
    root = ew.exp(ew.mul(0.5, a))
    nothing, is_real = ew.eq(root, 0.0), ew.eq(b, 0.0)
    first, second = [_choose(nothing, _zero(a), ew.mul(ew.mul(root, t), root)) for t in turned]
    return _choose(is_real, ew.mul(root, root), first), _choose(is_real, b, second)


def _vanishes(made: OnParts, a: Any, b: Any) -> bool:
    """Whether `a` is zero wherever `b` is finite: 0 x beside a multiple of x, as in 1j * x."""
    if type(a) is Literal:
        return not a.value
    e = made.made(a)
    if e is None or e.primitive is not ew.mul:
        return False
    return any(
        type(x) is Literal and not x.value and _is_multiple(made, b, y)
        for x, y in (e.operands, e.operands[::-1])
    )


def _is_multiple(made: OnParts, b: Any, x: Any) -> bool:
    """Whether `b` is `x`, up to factors and sign."""
    e = made.made(b)
    if b is x or e is None or e.primitive not in (ew.mul, ew.neg):
        return b is x
    return any(_is_multiple(made, y, x) for y in e.operands)


def _square(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Any:
    """Of a complex value; and of the size of one, without its root."""
    (x,) = operands
    if x.aval.dtype.kind == "c":
        return _multiply(made.parts(x), made.parts(x))
    e = made.made(x)
    if e is None or e.primitive is not CATALOGUE["hypot"]:
        return None
    return ew.add(*[ew.square(p) for p in e.operands])


def _cast(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Any:
    (x,), dtype = operands, params["dtype"]
    if x.aval.dtype.kind != "c":
        part = ew.cast(x, dtype=real_dtype(dtype))
        return part, _zero(part)
    a, b = made.parts(x)
    if dtype.kind == "b":
        return ew.bit_or(ew.cast(a, dtype=dtype), ew.cast(b, dtype=dtype))
    part = real_dtype(dtype)
    a = ew.cast(a, dtype=part)
    return (a, ew.cast(b, dtype=part)) if dtype.kind == "c" else a


def _select(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Any:
    c, *pair = operands
    if pair[0].aval.dtype.kind != "c":
        return None
    (a, b), (p, q) = map(made.parts, pair)
    return _choose(c, a, p), _choose(c, b, q)


def _product(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Any:
    """A matrix product that is written out, as four real ones."""
    x, y = operands
    if not any(z in made.computed for z in operands) or written_product(x, y, **params) is None:
        return None
    (a, b), (c, d) = [[_wide(p, z) for p in made.parts(z)] for z in operands]

    def product(x: Any, y: Any) -> Any:
        return dot_general(x, y, **params)

    return (
        ew.sub(product(a, c), product(b, d)),
        ew.add(product(a, d), product(b, c)),
    )


def _linear_rule(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Parts:
    first, second = [primitive(*side) for side in zip(*map(made.parts, operands), strict=True)]
    return first, second


def _power(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Parts | None:
    x, n = made.parts(*operands), params["n"]
    square = _multiply(x, x)
    if n == 3:
        return _multiply(square, x)
    return _multiply(square, square) if n == 4 else None


def _of_parts(function: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of an operation that is a function of its operands' parts."""

    def rule(made: OnParts, primitive: Primitive, operands: Any, params: Any) -> Any:
        return function(*map(made.parts, operands), **params)

    return rule


def _joined(join: Any, test: Any) -> Callable[..., Any]:
    """The rule of a test of both parts."""

    def of_parts(*xs: Parts) -> Any:
        return join(*[test(*side) for side in zip(*xs, strict=True)])

    return _of_parts(of_parts)


RULES: dict[str, Callable[..., Any]] = {
    "neg": _linear_rule,
    "add": _linear_rule,
    "sub": _linear_rule,
    "conj": _of_parts(lambda x: (x[0], ew.neg(x[1]))),
    "real": _of_parts(lambda x: x[0]),
    "imag": _of_parts(lambda x: x[1]),
    "make_complex": lambda made, primitive, operands, params: operands,
    "mul": _of_parts(_multiply),
    "div": _of_parts(_divide),
    "div_or_zero": _of_parts(_divide_or_zero),
    "square": _square,
    "integer_power": _power,
    "abs": _of_parts(_size),
    "unit": _of_parts(_unit),
    "exp": _exponential,
    "cast": _cast,
    "select": _select,
    "eq": _joined(ew.bit_and, ew.eq),
    "ne": _joined(ew.bit_or, ew.ne),
    "isnan": _joined(ew.bit_or, ew.isnan),
    "isinf": _joined(ew.bit_or, ew.isinf),
    "isfinite": _joined(ew.bit_and, ew.isfinite),
    "dot_general": _product,
}
"""How the parts of a result come from those of the operands; None where it is not done so."""

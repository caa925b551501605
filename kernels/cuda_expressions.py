"""Expressions of a CUDA kernel's text as instructions: values and operators.

What they mean is what they mean to Numba: integers are of 64 bits, but for what `i32` and `i16`
make and what is read from arrays of such; numbers of Python are weak. Sums and products of integers
that are known to be small are computed in 32 bits: that is one instruction instead of two or more.
"""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from .emitting_expressions import check, unsupported

BOOLEAN = ir.IntType(1)
KINDS: dict[str, Any] = {
    "b1": BOOLEAN, "u8": ir.IntType(8), "i16": ir.IntType(16), "i32": ir.IntType(32),
    "i64": ir.IntType(64), "f32": ir.FloatType(), "f64": ir.DoubleType(),
}  # fmt: skip
"""The types of values."""
STORED = {"b1": "u8", "f16": "i16", "bf16": "i16"}
"""Kinds of arrays whose elements are of another kind of values."""
SIZES = {"u8": 1, "i16": 2, "i32": 4, "i64": 8, "f32": 4, "f64": 8}
GLOBAL, SHARED = 1, 3
"""Address spaces."""
THREADS, BLOCKS = 1024, (1 << 31) - 1
"""Threads of a block and blocks of a grid, at most."""
STORED_RANGES = {"i16": (-(1 << 15), (1 << 15) - 1), "u8": (0, (1 << 8) - 1)}
"""The least and the largest value of types that are only stored."""


@dataclass(frozen=True)
class Value:
    """A value; of an integer the least and the largest number that it can be (None: not known)."""

    kind: str
    value: Any
    low: int | None = None
    high: int | None = None
    number: float | int | None = None
    """The Python number that it stands for: it takes the type of what it is computed with."""


@dataclass(frozen=True)
class Slot:
    """The place on the stack of a name that is given a value more than once."""

    kind: str
    place: Any


@dataclass(frozen=True)
class Array:
    """The elements of an array of this kind, from a pointer on."""

    kind: str
    data: Any


def known(kind: str, number: float | int) -> Value:
    """A number of this type."""
    if kind[0] == "f":
        return Value(kind, ir.Constant(KINDS[kind], float(number)))
    number = int(number)
    return Value(kind, ir.Constant(KINDS[kind], number), number, number)


def weak(number: float | int) -> Value:
    """A number of Python."""
    made = known("f64" if isinstance(number, float) else "i64", number)
    return Value(made.kind, made.value, made.low, made.high, number)


_FLOATS: dict[type, str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_INTEGERS: dict[type, str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_",
    ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "ashr", ast.FloorDiv: "sdiv", ast.Mod: "srem",
}  # fmt: skip
_RANGES: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.RShift: operator.rshift, ast.LShift: operator.lshift,
}  # fmt: skip
_COMPARE: dict[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip


class Expressions:
    """Emits the instructions of expressions where a builder stands.

    `scopes` has what names mean, the innermost block last.
    """

    def __init__(self, builder: Any):
        self.builder = builder
        self.scopes: list[dict[str, Any]] = [{}]

    def expression(self, node: ast.expr) -> Any:
        """The value of an expression; of a tuple a list of values."""
        emit = getattr(self, f"_{type(node).__name__.lower()}", None)
        if emit is None:
            raise unsupported(node)
        return emit(node)

    def _constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, bool):
            return Value("b1", ir.Constant(BOOLEAN, node.value))
        if not isinstance(node.value, int | float):
            raise unsupported(node)
        return weak(node.value)

    def _tuple(self, node: ast.Tuple) -> list[Value]:
        return [self.expression(x) for x in node.elts]

    def _name(self, node: ast.Name) -> Any:
        for scope in reversed(self.scopes):
            if node.id in scope:
                x = scope[node.id]
                if isinstance(x, Slot):
                    return Value(x.kind, self.builder.load(x.place))
                return x
        if node.id in ("inf", "nan"):
            return weak(float(node.id))
        raise unsupported(node)

    def _attribute(self, node: ast.Attribute) -> Value:
        place = ast.unparse(node)
        registers = {
            "cuda.threadIdx.x": ("tid", THREADS - 1),
            "cuda.blockIdx.x": ("ctaid", BLOCKS - 1),
            "cuda.blockDim.x": ("ntid", THREADS),
            "cuda.gridDim.x": ("nctaid", BLOCKS),
        }
        if place not in registers:
            raise unsupported(node)
        name, high = registers[place]
        value = self.intrinsic(f"llvm.nvvm.read.ptx.sreg.{name}.x", KINDS["i32"], [])
        return Value("i32", value, 0, high)

    # Operators

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        x = self.expression(node.operand)
        match node.op:
            case ast.Not():
                return Value("b1", self.builder.not_(self.cast(x, "b1").value))
            case ast.USub() if x.number is not None:
                return weak(-x.number)
            case ast.USub() if x.kind[0] == "f":
                return Value(x.kind, self.builder.fsub(known(x.kind, -0.0).value, x.value))
            case ast.USub():
                return self.computed(ast.Sub, known(x.kind, 0), x)
            case ast.Invert() if x.kind == "b1":
                return Value("b1", self.builder.not_(x.value))
            case ast.Invert():
                return Value(x.kind, self.builder.not_(x.value))
        raise unsupported(node)

    def _binop(self, node: ast.BinOp) -> Value:
        x, y = self.expression(node.left), self.expression(node.right)
        return self.computed(type(node.op), x, y)

    def computed(self, op: type, x: Value, y: Value) -> Value:
        """The result of an arithmetic operator."""
        kind = self._common(x, y, op)
        if kind[0] == "f":
            check(op in _FLOATS, f"{op.__name__} of numbers that are no integers")
            values = [self.cast(v, kind).value for v in (x, y)]
            return Value(kind, getattr(self.builder, _FLOATS[op])(*values))
        check(op in _INTEGERS, f"{op.__name__} of integers")
        if kind == "b1":
            values = [self.cast(v, kind).value for v in (x, y)]
            return Value(kind, getattr(self.builder, _INTEGERS[op])(*values))
        return self._integer(op, x, y)

    def _integer(self, op: type, x: Value, y: Value) -> Value:
        low, high = _range(op, x, y)
        small = all(is_small(*r) for r in ((low, high), (x.low, x.high), (y.low, y.high)))
        kind = "i32" if small else "i64"
        if op in (ast.FloorDiv, ast.Mod):
            return self._floored(op, kind, x, y, (low, high))
        if op is ast.Mult and low == high and low is not None:
            return known(kind, low)
        a, b = (self.cast(v, kind).value for v in (x, y))
        return Value(kind, getattr(self.builder, _INTEGERS[op])(a, b), low, high)

    def _floored(self, op: type, kind: str, x: Value, y: Value, bounds: Any) -> Value:
        """Division and remainder of numbers that are not negative by others that are positive."""
        check((x.low or 0) >= 0 and (y.low or 0) >= 0, "division of negative integers")
        a, b = (self.cast(v, kind).value for v in (x, y))
        build = self.builder.udiv if op is ast.FloorDiv else self.builder.urem
        return Value(kind, build(a, b), *bounds)

    def _common(self, x: Value, y: Value, op: type) -> str:
        """The type in which two values are computed with each other."""
        kinds = [v.kind for v in (x, y) if v.number is None] or [x.kind, y.kind]
        for kind in ("f64", "f32"):
            if kind in kinds:
                return kind
        if op is ast.Div or any(isinstance(v.number, float) for v in (x, y)):
            return "f64"
        bits = op in (ast.BitAnd, ast.BitOr, ast.BitXor) or op in _COMPARE
        return "b1" if bits and x.kind == y.kind == "b1" else "i64"

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.expression(x) for x in (node.left, *node.comparators)]
        links = zip(node.ops, values, values[1:], strict=False)
        first, *others = [self._compared(op, x, y) for op, x, y in links]
        for x in others:
            first = Value("b1", self.builder.and_(first.value, x.value))
        return first

    def _compared(self, op: ast.cmpop, x: Value, y: Value) -> Value:
        kind, sign = self._common(x, y, type(op)), _COMPARE[type(op)]
        if kind == "i64" and is_small(x.low, x.high) and is_small(y.low, y.high):
            kind = "i32"
        a, b = (self.cast(v, kind).value for v in (x, y))
        if kind[0] != "f":
            order = self.builder.icmp_unsigned if kind == "b1" else self.builder.icmp_signed
            return Value("b1", order(sign, a, b))
        ordered = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered
        return Value("b1", ordered(sign, a, b))

    def _boolop(self, node: ast.BoolOp) -> Value:
        first, *others = [self.cast(self.expression(x), "b1").value for x in node.values]
        for x in others:
            both = isinstance(node.op, ast.And)
            first = self.builder.and_(first, x) if both else self.builder.or_(first, x)
        return Value("b1", first)

    def _ifexp(self, node: ast.IfExp) -> Value:
        condition = self.cast(self.expression(node.test), "b1")
        if any(isinstance(x, ast.Subscript) for x in ast.walk(node)):
            return self._one_of(condition, node)
        return self.selected(condition, self.expression(node.body), self.expression(node.orelse))

    def _one_of(self, condition: Value, node: ast.IfExp) -> Value:
        """One of two values, of which the other one may be an element that does not exist."""
        then, other, after = [self.builder.append_basic_block(x) for x in ("one", "or", "both")]
        self.builder.cbranch(condition.value, then, other)
        found = []
        for block, x in ((then, node.body), (other, node.orelse)):
            self.builder.position_at_end(block)
            found.append((self.expression(x), self.builder.block))
        (x, _), (y, _) = found
        kind = self._common(x, y, ast.IfExp) if x.kind != y.kind else x.kind
        incoming = []
        for value, block in found:
            self.builder.position_at_end(block)
            incoming.append((self.cast(value, kind).value, block))
            self.builder.branch(after)
        self.builder.position_at_end(after)
        return self.joined(kind, incoming, union(x, y))

    def joined(self, kind: str, incoming: Sequence[tuple[Any, Any]], bounds: Any) -> Value:
        """The value that comes from one of several blocks, at the beginning of the next one."""
        made = self.builder.phi(KINDS[kind])
        for value, block in incoming:
            made.add_incoming(value, block)
        return Value(kind, made, *bounds)

    def selected(self, condition: Value, x: Value, y: Value) -> Value:
        """One of two values."""
        kind = self._common(x, y, ast.IfExp) if x.kind != y.kind else x.kind
        if kind == "i64" and is_small(x.low, x.high) and is_small(y.low, y.high):
            kind = "i32"
        a, b = (self.cast(v, kind).value for v in (x, y))
        value = self.builder.select(condition.value, a, b)
        return Value(kind, value, *union(x, y))

    # Conversions

    def cast(self, x: Value, kind: str) -> Value:
        """The value in another type."""
        if x.number is not None:
            return self._number_as(x.number, kind)
        if x.kind == kind:
            return x
        target, build = KINDS[kind], self.builder
        if kind == "b1":
            zero = known(x.kind, 0).value
            unequal = build.fcmp_unordered if x.kind[0] == "f" else build.icmp_signed
            return Value(kind, unequal("!=", x.value, zero))
        if x.kind[0] == "f" and kind[0] == "f":
            wider = build.fpext if kind == "f64" else build.fptrunc
            return Value(kind, wider(x.value, target))
        if x.kind[0] == "f":
            return Value(kind, build.fptosi(x.value, target))
        unsigned = x.kind in ("b1", "u8")
        if kind[0] == "f":
            return Value(kind, (build.uitofp if unsigned else build.sitofp)(x.value, target))
        if target.width < KINDS[x.kind].width:
            fits = x.low is not None and x.high is not None
            fits = fits and -(1 << target.width - 1) <= x.low and x.high < 1 << target.width - 1
            return Value(kind, build.trunc(x.value, target), *((x.low, x.high) if fits else ()))
        unsigned = unsigned or (x.low is not None and x.low >= 0)
        bounds = (0, 1) if x.kind == "b1" else (x.low, x.high)
        return Value(kind, (build.zext if unsigned else build.sext)(x.value, target), *bounds)

    def _number_as(self, number: float | int, kind: str) -> Value:
        if kind == "b1":
            return Value(kind, ir.Constant(BOOLEAN, bool(number)))
        if kind == "f32" and math.isfinite(number):
            # Rounded once, as NumPy does it; llvmlite writes the digits of a float64.
            return known(kind, float(np.float32(number)))
        return known(kind, number)

    # Memory

    def _subscript(self, node: ast.Subscript) -> Value:
        array, place = self.element(node)
        x = Value(array.kind, self.builder.load(place, align=SIZES[array.kind]))
        return Value(x.kind, x.value, *STORED_RANGES.get(x.kind, ()))

    def element(self, node: ast.Subscript) -> tuple[Array, Any]:
        """The array of an element, and the element's address."""
        array = self.expression(node.value)
        check(isinstance(array, Array), f"{ast.unparse(node.value)} is no array")
        return array, self.address(array, node.slice)

    def address(self, array: Array, index: ast.expr) -> Any:
        """The place of an element. Constants of an index are added last: so they are part of the
        instruction that loads or stores."""
        index, offset = _apart(index)
        place = self.builder.gep(array.data, [self.cast(self.expression(index), "i64").value])
        return self.builder.gep(place, [known("i64", offset).value]) if offset else place

    def intrinsic(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        """A call of a function of LLVM, NVVM or libdevice."""
        module = self.builder.module
        function = module.globals.get(name)
        if function is None:
            kinds = [x.type for x in arguments]
            function = ir.Function(module, ir.FunctionType(result, kinds), name)
        return self.builder.call(function, arguments)


def _apart(node: ast.expr) -> tuple[ast.expr, int]:
    """An integer as a sum of an expression and a constant."""
    match node:
        case ast.Constant(value=int(number)):
            return ast.Constant(0), number
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            (x, a), (y, b) = _apart(left), _apart(right)
            sums = [z for z in (x, y) if not isinstance(z, ast.Constant)]
            return (sums[0] if len(sums) == 1 else ast.BinOp(x, ast.Add(), y)), a + b
    return node, 0


def is_small(low: int | None, high: int | None) -> bool:
    """Whether numbers in this range have 32 bits."""
    return low is not None and high is not None and low >= -(1 << 31) and high < 1 << 31


def of_both(best: Callable[[int, int], int], x: int | None, y: int | None) -> int | None:
    return None if x is None or y is None else best(x, y)


def union(x: Value, y: Value) -> tuple[int | None, int | None]:
    """The range of what is one of two integers."""
    return of_both(min, x.low, y.low), of_both(max, x.high, y.high)


def _range(op: type, x: Value, y: Value) -> tuple[int | None, int | None]:
    """The least and the largest number that an operator can give."""
    ends = [x.low, x.high, y.low, y.high]
    if op is ast.BitAnd:
        masks = [v.high for v in (x, y) if v.low is not None and v.low >= 0 and v.high is not None]
        return (0, min(masks)) if masks else (None, None)
    if any(end is None for end in ends) or op not in _RANGES:
        return None, None
    if op is ast.Mod or (op is ast.FloorDiv and (y.low or 0) <= 0):
        return None, None
    if op in (ast.LShift, ast.RShift) and not 0 <= (y.low or 0) <= (y.high or 0) < 32:
        return None, None
    found = [_RANGES[op](a, b) for a in (x.low, x.high) for b in (y.low, y.high)]  # type: ignore[arg-type]
    return min(found), max(found)

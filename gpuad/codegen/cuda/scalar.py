"""The scalar text of primitives as lines of a CUDA kernel.

Kernels have no functions of their own: a device function would need a driver to be compiled. So the
text of a primitive is divided into assignments, one for each function call and each operator,
with typed numbers and functions named by dtype. What is equal in a row is computed once.
"""

import ast
import functools
import math
import re
from collections import ChainMap
from collections.abc import Callable, Sequence
from typing import Any

from gpuad.codegen.argument import kind_of, text_of
from gpuad.codegen.cuda.inlining import inlined, vecmath_function
from gpuad.ir.graph import Equation, Literal
from gpuad.ir.ranges import UNKNOWN, Range, number, squared
from gpuad.ir.scalar_text import FUNCTIONS
from gpuad.ir.single import has_half
from gpuad.kernels import cuda_math
from gpuad.kernels.cuda_functions import BFLOAT16, HALF, INLINED, LIBDEVICE, WRITTEN_OUT

_BINARY = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_COMPARE = {ast.Eq: "==", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}

_NUMBER = re.compile(r"(f\d\d)\(([^()]*)\)")
_SCALED = re.compile(r"\((f\d\d)\(([^()]*)\) \* (v\d+)\)")


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@functools.cache
def functions_in(text: str) -> frozenset[str]:
    """The functions that a scalar text calls."""
    calls = [n for n in ast.walk(_parsed(text)) if isinstance(n, ast.Call)]
    return frozenset([ast.unparse(n.func) for n in calls])


@functools.cache
def _writable(text: str) -> bool:
    """Whether a kernel can have every arithmetic operator of a scalar text."""
    nodes = [n for n in ast.walk(_parsed(text)) if isinstance(n, ast.BinOp)]
    return all(type(n.op) in _BINARY for n in nodes)


def has_scalar(e: Equation) -> bool:
    """Whether a kernel can compute an element of this elementwise equation."""
    if has_half(e):
        return True  # a conversion, see `has_form`
    text = e.primitive.scalar_text(e.params)
    functions = functions_in(text)
    kinds = {x.aval.dtype.kind for x in e.operands}
    if not _writable(text) or "c" in kinds or "u" in kinds:
        return False
    if "i" in kinds:
        return all(FUNCTIONS[name].integers for name in functions)
    return functions <= {*LIBDEVICE, *WRITTEN_OUT, *INLINED, "where", "cast"}


class Scope:
    """The lines of one loop body, and the names of what they compute.

    Loads come before the other lines, so that many of them are in flight, unless lines are kept
    `in_order`. What the `outer` scope has computed has a name here too.
    """

    def __init__(
        self, fresh: Callable[[], str], outer: "Scope | None" = None, in_order: bool = False
    ):
        self.loads: list[str] = []
        self.lines: list[str] = []
        self._in_order = in_order
        self._fresh = fresh
        self._known: ChainMap[str, Any] = ChainMap() if outer is None else outer._known.new_child()
        self._made: ChainMap[str, str] = ChainMap() if outer is None else outer._made.new_child()
        self._ranges: ChainMap[str, Range]
        self._ranges = ChainMap() if outer is None else outer._ranges.new_child()

    def inner(self) -> "Scope":
        """The scope of a branch here."""
        return Scope(self._fresh, self, in_order=True)

    def recalled(self, key: str) -> Any:
        """What has been remembered under a key that is no expression; None if nothing is."""
        return self._known.get(key)

    def remember(self, key: str, value: Any) -> None:
        self._known[key] = value

    def element(self, e: Equation, operands: Sequence[str]) -> str:
        """The name of one element of an equation whose operands have these names."""
        text = text_of(e)
        kind = kind_of(e.operands[e.primitive.scalars_like])
        result = kind_of(e.outputs[0])
        names = dict(zip(("x", "y", "z"), operands, strict=False))
        value = self._value(_parsed(text), names, kind, result)
        # For Numba the sum of two int32 is an int64.
        name = self.named(f"{result}({value})" if result[0] == "i" else value)
        if result == "f32":
            self._ranges.setdefault(name, self._range_of(e, operands))
        return name

    def _range_of(self, e: Equation, operands: Sequence[str]) -> Range:
        """What is known of the result of an equation."""
        ranges = [
            number(x.value) if type(x) is Literal else self._ranges.get(name, UNKNOWN)
            for x, name in zip(e.operands, operands, strict=True)
        ]
        if e.primitive.name == "mul" and operands[0] == operands[1]:
            return squared(ranges[0])
        return e.primitive.range(*ranges, **e.params)

    def named(self, expression: str) -> str:
        """A name for the value of an expression."""
        return self._name(expression, self.lines)

    def loaded(self, expression: str) -> str:
        """A name for an element of an array."""
        return self._name(expression, self.lines if self._in_order else self.loads)

    def variable(self, expression: str) -> str:
        """A new name with this value, which may be assigned again."""
        name = self._fresh()
        self.lines.append(f"{name} = {expression}")
        return name

    def _name(self, expression: str, lines: list[str]) -> str:
        if expression.isidentifier():
            return expression
        found = self._known.get(expression)
        if found is None:
            found = self._known[expression] = self._fresh()
            self._made[found] = expression
            lines.append(f"{found} = {expression}")
        return str(found)

    def _negated(self, x: str) -> str:
        made = self._made.get(x, x)
        return made[2:-1] if re.fullmatch(r"\(-v\d+\)", made) else f"(-{x})"

    def _magnitude(self, x: str, kind: str) -> str:
        """|x|, of a name, which may be that of a magnitude, or of another number with a sign."""
        made = self._made.get(x, x)
        while re.fullmatch(r"\(-v\d+\)", made):
            x = made[2:-1]
            made = self._made.get(x, x)
        function = f"absolute_{kind}("
        return x if made.startswith(function) else self.named(f"{function}{x})")

    def _product(self, x: str, y: str) -> str:
        """x·y; of a number and a product with another one, if one is a power of two, with one."""
        first, second = _NUMBER.fullmatch(x), _SCALED.fullmatch(self._made.get(y, y))
        if first and second and first[1] == second[1]:
            a, b = float(first[2]), float(second[2])
            if a and b and 0.5 in (abs(math.frexp(a)[0]), abs(math.frexp(b)[0])):
                return second[3] if a * b == 1 else self.named(f"({first[1]}({a * b!r}) * {second[3]})")
        return self.named(f"({x} * {y})")

    def _quotient(self, x: str, y: str) -> str:
        """x/y in float32. From the second quotient by a number on they share its reciprocal; from
        the first one, if that needs no scaling."""
        text = f"({x} / {y})"
        if not y.isidentifier() or text in self._known:
            return self.named(text)
        key = f"1 / {y}"
        parts = self.recalled(key)
        if parts is None and self._reciprocal_of(y) is cuda_math.plain_reciprocal:
            parts = [self.named(p) for p in inlined(self, cuda_math.plain_reciprocal, [y], "f32")]
            self.remember(key, parts)
        if parts is None:
            name = self.named(text)
            self.remember(key, (self, name, x))
            return name
        if isinstance(parts, tuple):
            scope, name, other = parts
            parts = scope._shared_reciprocal(name, other, y)
            scope.remember(key, parts)
        self._known[text] = self.named(_by_parts(self, x, parts))
        return str(self._known[text])

    def _shared_reciprocal(self, name: str, x: str, y: str) -> list[str]:
        """Puts the reciprocal of y before the line of the first quotient by it, and in that line."""
        place = self.lines.index(f"{name} = ({x} / {y})")
        before = Scope(self._fresh)
        parts = [before.named(p) for p in inlined(before, self._reciprocal_of(y), [y], "f32")]
        value = _by_parts(before, x, parts)
        self.lines[place : place + 1] = [*before.lines, f"{name} = {value}"]
        return parts

    def _reciprocal_of(self, y: str) -> Any:
        """The function that gives the reciprocal of a name: it need not scale a root."""
        size, root = cuda_math.LARGE, self.recalled(f"root {y}")
        if root or self.within(y, 1 / size, size) or self.within(y, -size, -1 / size):
            return cuda_math.plain_reciprocal
        large = self.within(y, 1 / size, math.inf) or self.within(y, -math.inf, -1 / size)
        return cuda_math.reciprocal_of_large if large else cuda_math.reciprocal

    def within(self, x: str, low: float, high: float) -> bool:
        """Whether all that a name may be, apart from NaN, is from `low` to `high`."""
        r = self._ranges.get(x, UNKNOWN)
        return bool(low <= r.low and r.high <= high)

    def _value(self, node: ast.expr, names: dict[str, str], kind: str, result: str) -> str:
        def value(n: ast.expr) -> str:
            return self._value(n, names, kind, result)

        match node:
            case ast.Constant(value=number):
                return f"{kind}({number!r})"
            case ast.Name(id=("inf" | "nan") as word):
                return f"{kind}({word})"
            case ast.Name(id=word):
                return names[word]
            case ast.UnaryOp(op=ast.USub(), operand=x):
                return self._negated(value(x))
            case ast.UnaryOp(op=ast.Invert(), operand=x):
                return f"(not {value(x)})" if kind == "b1" else f"(~{value(x)})"
            case ast.UnaryOp(operand=x):
                return value(x)
            case ast.BinOp(left=x, op=ast.Div(), right=y) if kind == "f32":
                return self._quotient(value(x), value(y))
            case ast.BinOp(left=x, op=ast.Mult(), right=y) if kind[0] == "f":
                return self._product(value(x), value(y))
            case ast.BinOp(left=x, op=op, right=y):
                return self.named(f"({value(x)} {_BINARY[type(op)]} {value(y)})")
            case ast.Compare(left=x, ops=[ast.NotEq()], comparators=[y]):
                return unequal(value(x), value(y))
            case ast.Compare(left=x, ops=[ast.Lt()], comparators=[y]) if (
                value(y) == "f32(0.0)" and self.within(value(x), 0, math.inf)
            ):
                return "False"
            case ast.Compare(left=x, ops=[op], comparators=[y]):
                return f"({value(x)} {_COMPARE[type(op)]} {value(y)})"
            case ast.Call(func=ast.Name(id=function), args=arguments):
                return self.call(function, [value(a) for a in arguments], kind, result)
        raise AssertionError(f"no scalar text: {ast.unparse(node)}")

    def call(self, function: str, arguments: list[Any], kind: str, result: str) -> str:
        """The name of what a function of texts gives for arguments of these names."""
        if function == "cast":
            (x,) = arguments
            return unequal(x, "0") if result == "b1" else f"{result}({x})"
        if function == "where":
            condition, x, y = arguments
            if condition == "False":
                return str(self.named(y))
            return self.named(f"({x} if {condition} else {y})")
        arguments = [self.named(a) for a in arguments]
        if function in cuda_math.FUNCTIONS and kind == "f32":
            text = inlined(self, self._function(function, *arguments), arguments, kind)
            if function == "sqrt":
                self.remember(f"root {self.named(text)}", True)
            return str(text)
        if function in WRITTEN_OUT:
            names = dict(zip(("x", "y", "z"), arguments, strict=False))
            return self._value(_parsed(WRITTEN_OUT[function]), names, kind, result)
        if function in HALF:
            (x,) = arguments
            return self._bfloat16(function, x) if function in BFLOAT16 else f"{function}({x})"
        if function == "absolute":
            return self._magnitude(arguments[0], kind)
        if function in INLINED:
            return str(inlined(self, vecmath_function(function, kind), arguments, kind))
        return self.named(f"{function}_{kind}({', '.join(arguments)})")

    def _function(self, name: str, x: str) -> Any:
        """The function of this name, for a name with the range of x."""
        large = name == "sqrt" and self.within(x, 1 / cuda_math.LARGE, math.inf)
        return cuda_math.sqrt_of_large if large else cuda_math.FUNCTIONS[name]

    def _bfloat16(self, function: str, x: str) -> str:
        """bfloat16 is the upper half of a float32. What is added carries into it where it rounds
        up, to even."""
        if function == "from_bf16":
            return f"bits_as_f32(i32(i32({x}) << 16))"
        bits = self.named(f"f32_as_bits({x})")
        odd = self.named(f"(({bits} >> 16) & 1)")
        quiet = f"i16(({bits} >> 16) | 64)"
        return f"({quiet} if {unequal(x, x)} else i16(({bits} + {odd} + 32767) >> 16))"


def _by_parts(scope: Scope, x: str, parts: Sequence[str]) -> str:
    """The expression of x/y by the parts of the reciprocal of y."""
    function = cuda_math.quotient if len(parts) == 3 else cuda_math.plain_quotient
    return str(inlined(scope, function, [x, *parts], "f32"))


def extreme(combiner: str, x: str, y: str) -> str:
    """The expression of the maximum or minimum of two names, which is NaN if one of them is."""
    sign = ">=" if combiner == "max" else "<="
    return f"{x} if ({x} {sign} {y}) | {unequal(x, x)} else {y}"


def unequal(x: str, y: str) -> str:
    """The expression of x != y. That operator itself is False for NaN in numba-cuda-mlir 0.6.0."""
    return f"(not ({x} == {y}))"

"""The scalar text of primitives as lines of a CUDA kernel.

Kernels have no functions of their own: a device function would need a driver to be compiled. So the
text of a primitive is divided into assignments, one for each function call and each operator,
with typed numbers and functions named by dtype. What is equal in a row is computed once.
"""

import ast
import functools
import math
from collections.abc import Sequence
from typing import Any

from gpuad.codegen.argument import kind_of, text_of
from gpuad.codegen.cuda.inlining import inlined, vecmath_function
from gpuad.codegen.cuda.names import Names
from gpuad.codegen.cuda.quotients import mark_root, quotient
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


class Scope(Names):
    """The lines of one loop body, from the texts of primitives."""

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
            self.ranges.setdefault(name, self._range_of(e, operands))
        return name

    def _range_of(self, e: Equation, operands: Sequence[str]) -> Range:
        """What is known of the result of an equation."""
        ranges = [
            number(x.value) if type(x) is Literal else self.ranges.get(name, UNKNOWN)
            for x, name in zip(e.operands, operands, strict=True)
        ]
        if text_of(e) == "x * y" and operands[0] == operands[1]:
            return squared(ranges[0])
        return e.primitive.range(*ranges, **e.params)

    def _value(self, node: ast.expr, names: dict[str, str], kind: str, result: str) -> str:
        def value(n: ast.expr) -> str:
            return self._value(n, names, kind, result)

        match node:
            case ast.Constant(value=int(number)) if kind[0] == "f":
                return f"{kind}({float(number)!r})"
            case ast.Constant(value=number):
                return f"{kind}({number!r})"
            case ast.Name(id=("inf" | "nan") as word):
                return f"{kind}({word})"
            case ast.Name(id=word):
                return names[word]
            case ast.UnaryOp(op=ast.USub(), operand=x):
                return self.negated(value(x))
            case ast.UnaryOp(op=ast.Invert(), operand=x):
                return f"(not {value(x)})" if kind == "b1" else f"(~{value(x)})"
            case ast.UnaryOp(operand=x):
                return value(x)
            case ast.BinOp(left=x, op=ast.Div(), right=y) if kind == "f32":
                return quotient(self, value(x), value(y))
            case ast.BinOp(left=x, op=ast.Mult(), right=y) if kind[0] == "f":
                return self.product(value(x), value(y))
            case ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=y) if self.recalled(
                f"1 - {value(y)}"
            ):
                return str(self.recalled(f"1 - {value(y)}"))
            case ast.BinOp(left=x, op=ast.Add(), right=y) if kind in ("f32", "f64"):
                return self.added(value(x), value(y), kind)
            case ast.BinOp(left=x, op=op, right=y):
                return self.named(f"({value(x)} {_BINARY[type(op)]} {value(y)})")
            case ast.Compare(left=x, ops=[ast.NotEq()], comparators=[y]):
                return unequal(value(x), value(y))
            case ast.Compare(left=x, ops=[ast.Lt()], comparators=[y]) if value(
                y
            ) == "f32(0.0)" and self.within(value(x), 0, math.inf):
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
            if kind[0] == "f" and result[0] == "i":
                return self._whole(self.named(x), kind, int(result[1:]))
            return unequal(x, "0") if result == "b1" else f"{result}({x})"
        if function == "where":
            condition, x, y = arguments
            if condition == "False":
                return str(self.named(y))
            return self.named(f"({x} if {condition} else {y})")
        arguments = [self.named(a) for a in arguments]
        negative = cuda_math.OF_NEGATIVE.get(function) if kind == "f32" else None
        if negative and self.never_positive(*arguments):
            given = inlined(self, negative, arguments, kind)
            smaller, larger = [self.named(x) for x in given]
            self.remember(f"1 - {smaller}", larger)
            return str(smaller)
        positive = cuda_math.OF_POSITIVE.get(function) if kind == "f32" else None
        if positive and self.within(arguments[0], 0, math.inf):
            return str(inlined(self, positive, arguments, kind))
        if function in cuda_math.FUNCTIONS and kind == "f32":
            text = inlined(self, self._function(function, *arguments), arguments, kind)
            if function in cuda_math.ROOTS:
                mark_root(self, self.named(text), *arguments)
            return str(text)
        if function in cuda_math.FUNCTIONS_F64 and kind == "f64":
            return str(inlined(self, cuda_math.FUNCTIONS_F64[function], arguments, kind))
        if function in WRITTEN_OUT:
            names = dict(zip(("x", "y", "z"), arguments, strict=False))
            return self._value(_parsed(WRITTEN_OUT[function]), names, kind, result)
        if function in HALF:
            (x,) = arguments
            return self._bfloat16(function, x) if function in BFLOAT16 else f"{function}({x})"
        if function == "absolute":
            return self.magnitude(arguments[0], kind)
        if function in INLINED:
            return str(inlined(self, vecmath_function(function, kind), arguments, kind))
        return self.named(f"{function}_{kind}({', '.join(arguments)})")

    def _whole(self, x: str, kind: str, bits: int) -> str:
        """A float as an integer: outside the range of integers the smallest one, as on the CPU."""
        inside = f"({self.magnitude(x, kind)} < {kind}({2.0 ** (bits - 1)!r}))"
        least = f"i{bits}(-{2 ** (bits - 1) - 1} - 1)"
        return self.named(f"(i{bits}({x}) if {inside} else {least})")

    def _function(self, name: str, x: str) -> Any:
        """The function of this name, for a name with the range of x."""
        if name in cuda_math.OF_LARGE and self.within(x, 1 / cuda_math.LARGE, math.inf):
            return cuda_math.OF_LARGE[name]
        if name in cuda_math.OF_SMALL and self.within(x, -math.pi / 4, math.pi / 4):
            return cuda_math.OF_SMALL[name]
        return cuda_math.FUNCTIONS[name]

    def _bfloat16(self, function: str, x: str) -> str:
        """bfloat16 is the upper half of a float32. What is added carries into it where it rounds
        up, to even."""
        if function == "from_bf16":
            return f"bits_as_f32(i32(i32({x}) << 16))"
        bits = self.named(f"f32_as_bits({x})")
        odd = self.named(f"(({bits} >> 16) & 1)")
        quiet = f"i16(({bits} >> 16) | 64)"
        return f"({quiet} if {unequal(x, x)} else i16(({bits} + {odd} + 32767) >> 16))"


def extreme(combiner: str, x: str, y: str) -> str:
    """The expression of the maximum or minimum of two names, which is NaN if one of them is."""
    sign = ">=" if combiner == "max" else "<="
    return f"{x} if ({x} {sign} {y}) | {unequal(x, x)} else {y}"


def unequal(x: str, y: str) -> str:
    """The expression of x != y. That operator itself is False for NaN in numba-cuda-mlir 0.6.0."""
    return f"(not ({x} == {y}))"

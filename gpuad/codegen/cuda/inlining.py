"""Functions of vecmath and cuda_math as lines of a CUDA kernel, from their source.

They are straight-line code: assignments, operators, and calls of each other, of the instructions
that they are written in, and of elementary functions. A branch is a call of `rarely_in_f64`.
"""

import ast
import functools
import inspect
import textwrap
from typing import Any

import numpy as np

from gpuad.kernels import cuda_instructions
from gpuad.kernels.cuda_functions import APPROXIMATIONS, LIBDEVICE, WRITTEN_OUT

OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&",
    ast.Eq: "==", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
AS_CALLED = frozenset([*LIBDEVICE, *WRITTEN_OUT, *APPROXIMATIONS, "where"])
"""What a kernel calls by its name, though vecmath has it too."""


def vecmath_function(name: str, kind: str) -> Any:
    """vecmath's function of this name for a type of numbers."""
    from gpuad.kernels import vecmath

    return vecmath.FUNCTIONS[name].fast(np.float32 if kind == "f32" else np.float64)


@functools.cache
def _source(function: Any) -> tuple[ast.FunctionDef, dict[str, Any]]:
    """The source of a compiled function, and what the names in it mean that it does not make."""
    python = getattr(function, "py_func", function)
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(python))).body
    assert isinstance(tree, ast.FunctionDef)
    seen = inspect.getclosurevars(python)
    return tree, {**seen.globals, **seen.nonlocals}


def inlined(scope: Any, function: Any, arguments: list[Any], kind: str) -> Any:
    """What a function gives for arguments of these names, as an expression: a list of them if it is
    a tuple. An argument may also be the coefficients of a polynomial. `scope` is the kernel's."""
    tree, outer = _source(function)
    names: dict[str, Any] = dict(zip([a.arg for a in tree.args.args], arguments, strict=True))

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Name(id=name):
                return names[name] if name in names else number(outer[name])
            case ast.Tuple(elts=elements):
                return [value(x) for x in elements]
            case ast.UnaryOp(op=ast.USub(), operand=x):
                return f"(-{value(x)})"
            case ast.BinOp(left=x, op=op, right=y):
                return scope.named(f"({value(x)} {OPERATORS[type(op)]} {value(y)})")
            case ast.Compare(left=x, ops=[op], comparators=[y]):
                return f"({value(x)} {OPERATORS[type(op)]} {value(y)})"
            case ast.Call(func=ast.Name(id="horner"), args=[x, coefficients]):
                return polynomial(value(x), value(coefficients))
            case ast.Call(func=ast.Name(id="bit_is_clear"), args=[x, ast.Constant(value=int(k))]):
                return has_clear_bit(scope, named(value(x)), k)
            case ast.Call(func=ast.Name(id="power_near"), args=[x]):
                return power_near(scope, named(value(x)))
            case ast.Call(func=ast.Name(id="rarely_in_f64"), args=[x, bound, rare, usual]):
                function, limit = outer[ast.unparse(rare)], float(outer[ast.unparse(bound)])
                return rarely(scope, named(value(x)), limit, function, value(usual))
            case ast.Call(func=ast.Name(id=name), args=given):
                values = [value(x) for x in given]
                if name == "root":
                    return scope.named(f"sqrt_f64({named(values[0])})")
                if name in AS_CALLED:
                    return scope.call(name, values, kind, kind)
                return inlined(scope, outer[name], list(map(named, values)), kind)
        raise AssertionError(f"a kernel has no way to say {ast.unparse(node)!r}")

    def number(x: Any) -> Any:
        return x if isinstance(x, tuple) else f"{kind}({float(x)!r})"

    def named(x: Any) -> Any:
        return x if isinstance(x, tuple) else scope.named(x)

    def polynomial(x: str, coefficients: Any) -> str:
        *lower, total = [number(c) for c in coefficients]
        for c in reversed(lower):
            total = scope.call("fma", [total, x, c], kind, kind)
        return total

    for s in tree.body:
        match s:
            case ast.Expr():
                continue
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=x):
                made = zip(targets, value(x), strict=True)
                names.update({ast.unparse(t): scope.named(v) for t, v in made})
            case ast.Assign(targets=[ast.Name(id=target)], value=x):
                names[target] = scope.named(value(x))
            case ast.Return(value=ast.expr() as x):
                return value(x)
            case _:
                raise AssertionError(f"a kernel has no way to say {ast.unparse(s)!r}")
    raise AssertionError(f"{tree.name} gives nothing")


def has_clear_bit(scope: Any, x: str, k: int) -> str:
    """The condition that bit k of a float32, which is not negative, is 0. With the sign, which is 0
    as well, it is one instruction: of a bit alone LLVM makes a number that has to be compared."""
    bits = scope.named(f"f32_as_bits({x})")
    return f"(({bits} & {(1 << k) - (1 << 31)}) == 0)"


def power_near(scope: Any, x: str) -> list[str]:
    """Names for what `cuda_instructions.power_near` gives for a name."""
    bits = scope.named(f"f32_as_bits({x})")
    power = -cuda_instructions.ONE_POWER
    below = scope.named(f"(i32({cuda_instructions.BELOW} - {bits}) & {power})")
    scale = f"bits_as_f32(i32({below} + {cuda_instructions.FOUR_BITS}))"
    return [scope.named(scale), scope.named(f"f32({below})")]


def rarely(scope: Any, x: str, bound: float, function: Any, usual: list[str]) -> list[str]:
    """Names that have the usual values, or for |x| > bound, after a branch, what a function gives
    for x, all of it computed in float64. For infinities both give NaN."""
    if scope.within_or_infinite(x, bound):
        return usual
    key = f"{function.__name__}({x})"
    found: list[str] | None = scope.recalled(key)
    if found is None:
        found = [scope.variable(v) for v in usual]
        inside = scope.inner()
        values = inlined(inside, function, [inside.named(f"f64({x})")], "f64")
        lines = [*inside.lines, *[f"{v} = f32({w})" for v, w in zip(found, values, strict=True)]]
        condition = f"({scope.call('absolute', [x], 'f32', 'f32')} > f32({bound!r}))"
        scope.lines += [f"if {condition}:", *[f"    {line}" for line in lines]]
        scope.remember(key, found)
    return found

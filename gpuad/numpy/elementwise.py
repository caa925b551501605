"""Elementwise functions: arithmetic, comparison, logic, bits, rounding, powers, exponentials,
trigonometric and hyperbolic functions, and their inverses.

Each has the meaning, the dtypes and the broadcasting of the NumPy function of its name, and takes
``out=``, ``dtype=`` and ``casting=``.
"""

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Literal
from gpuad.numpy._arguments import alias
from gpuad.numpy._ufuncs import Elementwise, elementwise
from gpuad.primitives import elementwise as ew
from gpuad.primitives import special as sp
from gpuad.primitives import trigonometric as trig
from gpuad.tracing.registry import CUPY


def _ufunc(like: Any, function: Callable[..., Any], doc: str, **methods: str) -> Elementwise:
    """The function that answers for a NumPy ufunc, and for CuPy's of the same name."""
    name = like.__name__
    return elementwise(name, function, like, like, doc=doc, cupy=f"cupy_{name}", **methods)


def _by_kind(otherwise: Callable[..., Any], **by_kind: Callable[..., Any]) -> Callable[..., Any]:
    """A choice by the kind of the operands' dtype (b, i, u, f, c)."""
    return lambda *operands: by_kind.get(operands[0].aval.dtype.kind, otherwise)(*operands)


def _same(x: Any) -> Any:
    return x


# Arithmetic


def _sign_of_complex(x: Any) -> Any:
    return ew.unit(x)


def _whole_reciprocal(x: Any) -> Any:
    """1 / x cut to an integer, and for 0 what NumPy makes of infinity on this machine."""
    unit = ew.eq(x, 1)
    if x.aval.dtype.kind == "i":
        unit = ew.bit_or(unit, ew.eq(x, -1))
    with np.errstate(all="ignore"):
        of_zero = np.reciprocal(np.zeros(1, x.aval.dtype))[0].item()
    others = ew.select(ew.eq(x, 0), of_zero, ew.mul(x, 0)) if of_zero else 0
    return ew.select(unit, x, others)


_LARGEST_WHOLE_POWER = 1024


def _power(x: Any, y: Any) -> Any:
    """x**y, through whole powers, the square and the square root where y is written so."""
    if x.aval.dtype.kind in "iu":
        if type(y) is Literal and y.value.item() < 0:
            raise ArgumentError(
                "Integers to negative integer powers are not allowed. "
                "Write x.astype(float) ** n, or 1 / x ** -n."
            )
        return ew.power_of_integer(x, y)
    if type(y) is not Literal or type(x) is Literal:
        return ew.power(x, y)
    n: Any = y.value
    if n == 0.5 and not x.aval.weak:
        return ew.sqrt(x)
    whole = n.imag == 0 and n.real == np.rint(n.real)
    if not whole or builtins.abs(n) > _LARGEST_WHOLE_POWER:
        return ew.power(x, y)
    n = int(n.real)
    if n == 2:
        return ew.square(x)
    return x if n == 1 else ew.integer_power(x, n=n)


def _heaviside(x: Any, at_zero: Any) -> Any:
    positive_part = ew.as_weight(ew.gt(x, 0.0), x)
    step = ew.select(ew.eq(x, 0.0), at_zero, positive_part)
    return ew.select(ew.is_nan(x), x, step)


def _ldexp(x: Any, i: Any) -> Any:
    # In two steps: 2**i alone may overflow where x * 2**i does not.
    half = ew.floor_divide(i, 2)
    for part in (half, ew.sub(i, half)):
        power_of_two = (
            Literal(x.aval.dtype.type(part.value))
            if type(part) is Literal
            else ew.cast(part, dtype=x.aval.dtype)
        )
        x = ew.mul(x, ew.exp2(power_of_two))
    return x


def times_power_of_two(x: Any, exponent: Any) -> Any:
    """x * 2**exponent for a whole number, given as a float, without overflow on the way."""
    half = ew.floor(ew.mul(0.5, exponent))
    return ew.mul(ew.mul(x, ew.exp2(half)), ew.exp2(ew.sub(exponent, half)))


def _spacing(x: Any) -> Any:
    size = ew.abs_(x)
    gap = ew.sub(ew.nextafter(size, math.inf), size)
    # NumPy gives it the sign of x, but for half precision.
    return gap if x.aval.dtype == np.float16 else ew.copysign(gap, x)


_BITS = ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F))


def _bitwise_count(x: Any) -> Any:
    """The bits of |x| that are 1: sums of neighbours, of pairs and of fours, then of the bytes."""
    if x.aval.dtype.kind == "i":
        x = ew.abs_(ew.cast(x, dtype=np.dtype(np.int64)))
    x = ew.cast(x, dtype=np.dtype(np.uint64))
    for shift, mask in _BITS:
        x = ew.add(ew.bit_and(x, mask), ew.bit_and(ew.shift_right(x, shift), mask))
    for shift in (8, 16, 32):
        x = ew.add(x, ew.shift_right(x, shift))
    return ew.cast(ew.bit_and(x, 0x7F), dtype=np.dtype(np.uint8))


add = _ufunc(np.add, _by_kind(ew.add, b=ew.bit_or), "x + y.", reduce="sum", accumulate="cumsum")
subtract = _ufunc(np.subtract, ew.sub, "x - y.", reduce="_subtract_reduce")
multiply = _ufunc(
    np.multiply, _by_kind(ew.mul, b=ew.bit_and), "x * y.", reduce="prod", accumulate="cumprod"
)
divide = _ufunc(np.divide, ew.div, "x / y.", reduce="_divide_reduce")
CUPY["cupy_true_divide"] = CUPY.pop("cupy_divide")
floor_divide = _ufunc(np.floor_divide, ew.floor_divide, "The largest whole number below x / y.")
remainder = _ufunc(np.remainder, ew.remainder, "x - floor(x / y) * y; the sign is y's.")
fmod = _ufunc(np.fmod, ew.fmod, "x - trunc(x / y) * y; the sign is x's.")
negative = _ufunc(np.negative, ew.neg, "-x.")
positive = _ufunc(np.positive, _same, "+x.")
reciprocal = _ufunc(
    np.reciprocal,
    _by_kind(lambda x: ew.div(1.0, x), i=_whole_reciprocal, u=_whole_reciprocal),
    "1 / x.",
)
absolute = _ufunc(
    np.absolute, _by_kind(ew.abs_, b=_same, u=_same), "|x|; its derivative at 0 is 0."
)
fabs = _ufunc(np.fabs, ew.abs_, "|x| of real numbers, as floats.")
sign = _ufunc(np.sign, _by_kind(ew.sign, c=_sign_of_complex), "-1, 0 or 1; x / |x| if complex.")
copysign = _ufunc(np.copysign, ew.copysign, "|x| with the sign of y.")
heaviside = _ufunc(np.heaviside, _heaviside, "0 below zero, 1 above, and the second operand at 0.")
power = _ufunc(np.power, _power, "x ** y; exact at 0 for whole numbers y that are written out.")
float_power = _ufunc(np.float_power, _power, "x ** y in float64 or complex128.")
square = _ufunc(np.square, ew.square, "x * x.")
sqrt = _ufunc(np.sqrt, ew.sqrt, "The square root of x; its derivative at 0 is infinite.")
cbrt = _ufunc(np.cbrt, ew.cbrt, "The cube root of x; its derivative at 0 is infinite.")
hypot = _ufunc(np.hypot, trig.hypot, "sqrt(x² + y²) without overflow; its gradient at (0, 0) is 0.",
               reduce="_hypot_reduce")  # fmt: skip
gcd = _ufunc(np.gcd, ew.gcd, "The greatest common divisor.")
lcm = _ufunc(np.lcm, ew.lcm, "The least common multiple.")
ldexp = _ufunc(np.ldexp, _ldexp, "x * 2**i.")
spacing = _ufunc(np.spacing, _spacing, "The distance from x to the next float away from 0.")
nextafter = _ufunc(np.nextafter, ew.nextafter, "The next float after x in the direction of y.")

# Comparison


def _comparing(primitive: Any, x_is_negative: bool, y_is_negative: bool) -> Callable[..., Any]:
    """A comparison, and what it gives where a negative int64 meets a uint64."""

    def function(x: Any, y: Any) -> Any:
        if x.aval.dtype == y.aval.dtype:
            return primitive(x, y)
        unsigned = np.dtype(np.uint64)
        signed, known = (x, x_is_negative) if x.aval.dtype.kind == "i" else (y, y_is_negative)
        compared = primitive(ew.cast(x, dtype=unsigned), ew.cast(y, dtype=unsigned))
        return ew.select(ew.lt(signed, 0), known, compared)

    return function


equal = _ufunc(np.equal, _comparing(ew.eq, False, False), "x == y.")
not_equal = _ufunc(np.not_equal, _comparing(ew.ne, True, True), "x != y.")
less = _ufunc(np.less, _comparing(ew.lt, True, False), "x < y.")
less_equal = _ufunc(np.less_equal, _comparing(ew.le, True, False), "x <= y.")
greater = _ufunc(np.greater, _comparing(ew.gt, False, True), "x > y.")
greater_equal = _ufunc(np.greater_equal, _comparing(ew.ge, False, True), "x >= y.")
maximum = _ufunc(
    np.maximum, ew.maximum, "The larger; NaN if either is. A tie splits the derivative evenly.",
    reduce="max", accumulate="cummax",
)  # fmt: skip
minimum = _ufunc(
    np.minimum, ew.minimum, "The smaller; NaN if either is. A tie splits the derivative evenly.",
    reduce="min", accumulate="cummin",
)  # fmt: skip
fmax = _ufunc(np.fmax, ew.fmax, "The larger; NaN if both are.", reduce="nanmax")
fmin = _ufunc(np.fmin, ew.fmin, "The smaller; NaN if both are.", reduce="nanmin")


def _never(x: Any) -> Any:
    return ew.ne(x, x)


def _always(x: Any) -> Any:
    return ew.eq(x, x)


isnan = _ufunc(np.isnan, _by_kind(_never, f=ew.isnan, c=ew.isnan), "Whether x is NaN.")
isinf = _ufunc(np.isinf, _by_kind(_never, f=ew.isinf, c=ew.isinf), "Whether x is infinite.")
isfinite = _ufunc(
    np.isfinite, _by_kind(_always, f=ew.isfinite, c=ew.isfinite), "Whether x is finite."
)
signbit = _ufunc(np.signbit, ew.signbit, "Whether x is below zero or -0.0.")

# Logic and bits


def _truth(x: Any) -> Any:
    return x if x.aval.dtype.kind == "b" else ew.ne(x, 0)


def _logical(primitive: Any) -> Callable[..., Any]:
    return lambda *operands: primitive(*[_truth(x) for x in operands])


logical_and = _ufunc(np.logical_and, _logical(ew.bit_and), "x and y, as truth.", reduce="all")
logical_or = _ufunc(np.logical_or, _logical(ew.bit_or), "x or y, as truth.", reduce="any")
logical_xor = _ufunc(
    np.logical_xor, _logical(ew.bit_xor), "Either x or y, as truth.", reduce="_odd_reduce"
)
logical_not = _ufunc(np.logical_not, _logical(ew.invert), "not x, as truth.")
bitwise_and = _ufunc(np.bitwise_and, ew.bit_and, "x & y.", reduce="_and_reduce")
bitwise_or = _ufunc(np.bitwise_or, ew.bit_or, "x | y.", reduce="_or_reduce")
bitwise_xor = _ufunc(np.bitwise_xor, ew.bit_xor, "x ^ y.")
invert = _ufunc(np.invert, ew.invert, "~x.")
bitwise_count = _ufunc(np.bitwise_count, _bitwise_count, "How many bits of |x| are 1.")
left_shift = _ufunc(np.left_shift, ew.shift_left, "x << y.")
right_shift = _ufunc(np.right_shift, ew.shift_right, "x >> y.")

# Rounding


def _rounding(primitive: Any) -> Callable[..., Any]:
    return _by_kind(_same, f=primitive, c=primitive)


def _rint_of_complex(x: Any) -> Any:
    return ew.make_complex(ew.rint(ew.real(x)), ew.rint(ew.imag(x)))


floor = _ufunc(np.floor, _rounding(ew.floor), "The largest whole number not above x.")
ceil = _ufunc(np.ceil, _rounding(ew.ceil), "The smallest whole number not below x.")
trunc = _ufunc(np.trunc, _rounding(ew.trunc), "x without its fractional part.")
fix = elementwise(
    "fix",
    _rounding(ew.trunc),
    np.trunc,
    np.fix,
    doc="x rounded towards zero, as `trunc`.",
    cupy="cupy_fix",
)
rint = _ufunc(
    np.rint,
    _by_kind(ew.rint, c=_rint_of_complex),
    "The nearest whole number; halves to the even one.",
)

# Exponentials and logarithms
exp = _ufunc(np.exp, ew.exp, "e**x.")
exp2 = _ufunc(np.exp2, ew.exp2, "2**x.")
expm1 = _ufunc(np.expm1, ew.expm1, "e**x - 1 without cancellation.")
log = _ufunc(np.log, ew.log, "The natural logarithm.")
log2 = _ufunc(np.log2, ew.log2, "The logarithm to base 2.")
log10 = _ufunc(np.log10, ew.log10, "The logarithm to base 10.")
log1p = _ufunc(np.log1p, ew.log1p, "log(1 + x) without cancellation.")
logaddexp = _ufunc(
    np.logaddexp,
    ew.logaddexp,
    "log(e**x + e**y) without overflow.",
    reduce="logsumexp",
    accumulate="cumlogsumexp",
)
logaddexp2 = _ufunc(np.logaddexp2, ew.logaddexp2, "log2(2**x + 2**y) without overflow.")

# Trigonometric and hyperbolic functions
sin = _ufunc(np.sin, trig.sin, "The sine.")
cos = _ufunc(np.cos, trig.cos, "The cosine.")
tan = _ufunc(np.tan, trig.tan, "The tangent.")
sinh = _ufunc(np.sinh, trig.sinh, "The hyperbolic sine.")
cosh = _ufunc(np.cosh, trig.cosh, "The hyperbolic cosine.")
tanh = _ufunc(np.tanh, trig.tanh, "The hyperbolic tangent.")
arcsin = _ufunc(np.arcsin, trig.arcsin, "The inverse sine.")
arccos = _ufunc(np.arccos, trig.arccos, "The inverse cosine.")
arctan = _ufunc(np.arctan, trig.arctan, "The inverse tangent.")
arctan2 = _ufunc(np.arctan2, trig.arctan2, "The angle of the point (y, x); its gradient at 0 is 0.")
arcsinh = _ufunc(np.arcsinh, trig.arcsinh, "The inverse hyperbolic sine.")
arccosh = _ufunc(np.arccosh, trig.arccosh, "The inverse hyperbolic cosine.")
arctanh = _ufunc(np.arctanh, trig.arctanh, "The inverse hyperbolic tangent.")
deg2rad = _ufunc(np.deg2rad, lambda x: ew.mul(x, math.pi / 180), "Degrees in radians.")
rad2deg = _ufunc(np.rad2deg, lambda x: ew.mul(x, 180 / math.pi), "Radians in degrees.")
radians = _ufunc(np.radians, lambda x: ew.mul(x, math.pi / 180), "Degrees in radians.")
degrees = _ufunc(np.degrees, lambda x: ew.mul(x, 180 / math.pi), "Radians in degrees.")
sinc = elementwise(
    "sinc", lambda x: sp.sinc(x, n=0), np.exp, np.sinc,
    doc="sin(πx) / (πx), and 1 at 0; exact there to every order.", cupy="cupy_sinc",
)  # fmt: skip

# Complex numbers
conjugate = _ufunc(np.conjugate, _by_kind(_same, c=ew.conj), "x with its imaginary part negated.")
for _name in ("cupy_radians", "cupy_degrees"):  # CuPy's are deg2rad and rad2deg
    del CUPY[_name]

# Second names, most of them the array API's
abs = alias("abs", absolute)
acos = alias("acos", arccos)
acosh = alias("acosh", arccosh)
asin = alias("asin", arcsin)
asinh = alias("asinh", arcsinh)
atan = alias("atan", arctan)
atan2 = alias("atan2", arctan2)
atanh = alias("atanh", arctanh)
bitwise_invert = alias("bitwise_invert", invert)
bitwise_left_shift = alias("bitwise_left_shift", left_shift)
bitwise_not = alias("bitwise_not", invert)
bitwise_right_shift = alias("bitwise_right_shift", right_shift)
conj = alias("conj", conjugate)
mod = alias("mod", remainder)
pow = alias("pow", power)
true_divide = alias("true_divide", divide)

__all__ = [
    "abs", "absolute", "acos", "acosh", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_count",
    "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "cbrt", "ceil", "conj", "conjugate", "copysign", "cos", "cosh", "deg2rad",
    "degrees", "divide", "equal", "exp", "exp2", "expm1", "fabs", "fix", "float_power", "floor",
    "floor_divide", "fmax", "fmin", "fmod", "gcd", "greater", "greater_equal", "heaviside", "hypot",
    "invert", "isfinite", "isinf", "isnan", "lcm", "ldexp", "left_shift", "less", "less_equal",
    "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2", "logical_and", "logical_not",
    "logical_or", "logical_xor", "maximum", "minimum", "mod", "multiply", "negative", "nextafter",
    "not_equal", "positive", "pow", "power", "rad2deg", "radians", "reciprocal", "remainder",
    "right_shift", "rint", "sign", "signbit", "sin", "sinc", "sinh", "spacing", "sqrt", "square",
    "subtract", "tan", "tanh", "true_divide", "trunc",
]  # fmt: skip

"""The instructions vecmath is written in: a few LLVM operations each, without calls or branches.

The rounding tricks (`nearest`, `scaled`, `split`) avoid conversions between 64-bit integers and
floats, which AVX2 lacks. The error-free sums and products are those of Dekker (1971) and Knuth.
"""

import math
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import numba_parts as parts


@dataclass(frozen=True)
class Format:
    """A floating-point type and the numbers that follow from it."""

    name: str
    real: type
    integer: type
    fraction_bits: int
    bias: int

    @property
    def tiny(self):
        """Below it f(x) = x + O(x²) or O(x³) rounds to x."""
        return self.real(2.0 ** -(self.fraction_bits + 2))

    @property
    def infinity(self):
        return self.real(np.inf)

    @property
    def nan(self):
        return self.real(np.nan)

    @property
    def smallest_normal(self):
        return self.real(2.0 ** (1 - self.bias))

    def reals(self, values):
        """A tuple of numbers in this format."""
        return tuple(self.real(value) for value in values)

    def pair(self, high, low, bits=None):
        """`high + low`, given in float64, as two numbers, the first cut to `bits` bits."""
        bits = bits or self.fraction_bits + 1
        unit = 2.0 ** (math.frexp(high)[1] - bits)
        first = round(high / unit) * unit
        return self.real(first), self.real((high - first) + low)


F32 = Format("f32", np.float32, np.int32, 23, 127)
F64 = Format("f64", np.float64, np.int64, 52, 1023)
_FORMATS = {types.float32: F32, types.float64: F64, types.int32: F32, types.int64: F64}
_REAL = {"f32": types.float32, "f64": types.float64}
_INTEGER = {"f32": types.int32, "f64": types.int64}


def _llvm(name):
    """An intrinsic of LLVM whose operand and result have one floating-point type."""

    def operation(typing, x):
        def build(context, builder, signature, arguments):
            function = builder.module.declare_intrinsic(f"llvm.{name}", [arguments[0].type])
            return builder.call(function, arguments)

        return (x(x), build) if isinstance(x, types.Float) else None

    operation.__name__ = operation.__qualname__ = name
    return intrinsic(operation)


absolute, sqrt = _llvm("fabs"), _llvm("sqrt")
floor, ceil, trunc, rint = map(_llvm, ("floor", "ceil", "trunc", "rint"))


@intrinsic
def copysign(typing, x, y):
    """|x| with the sign of y."""
    form = _FORMATS[x]

    def build(context, builder, signature, arguments):
        integer = context.get_value_type(_INTEGER[form.name])
        x, y = (builder.bitcast(argument, integer) for argument in arguments)
        sign = integer(-1 << (integer.width - 1))
        result = builder.or_(builder.and_(x, builder.not_(sign)), builder.and_(y, sign))
        return builder.bitcast(result, arguments[0].type)

    return x(x, x), build


@intrinsic
def fma(typing, x, y, z):
    """x·y + z rounded once."""

    def build(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return x(x, x, x), build


@intrinsic
def horner(typing, x, coefficients):
    """Σ c_k x^k by fused multiply-adds, lowest power first in the tuple.

    Loops are bound by throughput: taking even and odd powers apart, for a shorter chain, gains at
    most 7 %.
    """

    def build(context, builder, signature, arguments):
        argument, packed = arguments
        *lower, total = parts.elements(builder, packed)
        for coefficient in reversed(lower):
            total = builder.fma(total, argument, coefficient)
        return total

    return x(x, coefficients), build


@intrinsic
def where(typing, condition, x, y):
    """x where the condition holds, else y; both are evaluated."""
    common = parts.unified(typing, x, y)
    if common is None or not isinstance(condition, types.Boolean):
        return None

    def build(context, builder, signature, arguments):
        return builder.select(*arguments)

    return common(types.boolean, common, common), build


@intrinsic
def is_odd(typing, i):
    """Whether the integer i is odd."""

    def build(context, builder, signature, arguments):
        (i,) = arguments
        return builder.trunc(i, ir.IntType(1))

    return types.boolean(i), build


@intrinsic
def nearest(typing, x, inverse):
    """n, a float, and i, an integer: both x·inverse rounded to nearest; |n| < 2^(fraction_bits-2).

    Adding 1.5·2^fraction_bits leaves the integer in the low bits of the sum.
    """
    form = _FORMATS[x]

    def build(context, builder, signature, arguments):
        x, inverse = arguments
        integer = context.get_value_type(_INTEGER[form.name])
        magic = x.type(1.5 * 2.0**form.fraction_bits)
        shifted = builder.fma(x, inverse, magic)
        n = builder.fsub(shifted, magic)
        i = builder.sub(builder.bitcast(shifted, integer), builder.bitcast(magic, integer))
        return parts.made_tuple(context, builder, signature.return_type, [n, i])

    return types.Tuple([x, _INTEGER[form.name]])(x, x), build


@intrinsic
def power_of_two(typing, i):
    """2^i for an integer i in the normal range; any value outside it."""
    form = _FORMATS[i]

    def build(context, builder, signature, arguments):
        (i,) = arguments
        exponent = builder.shl(builder.add(i, i.type(form.bias)), i.type(form.fraction_bits))
        return builder.bitcast(exponent, context.get_value_type(_REAL[form.name]))

    return _REAL[form.name](i), build


@intrinsic
def scaled(typing, x, i):
    """x·2^i, rounded once into the subnormals: two factors, each a normal power of two."""
    form = _FORMATS[x]

    def build(context, builder, signature, arguments):
        x, i = arguments
        shift = i.type(form.fraction_bits)
        biased = builder.add(i, i.type(2 * form.bias))
        half = builder.lshr(biased, i.type(1))
        other = builder.sub(biased, half)
        for exponent in (half, other):
            x = builder.fmul(x, builder.bitcast(builder.shl(exponent, shift), x.type))
        return x

    return x(x, _INTEGER[form.name]), build


@intrinsic
def split(typing, x):
    """m in [√½, √2) and k, floats, and k again as an integer: x = m·2^k, x positive and normal."""
    form = _FORMATS[x]

    def build(context, builder, signature, arguments):
        (x,) = arguments
        integer = context.get_value_type(_INTEGER[form.name])
        low = int(np.sqrt(form.real(0.5)).view(form.integer))
        one = form.bias << form.fraction_bits
        fraction = (1 << form.fraction_bits) - 1
        moved = builder.add(builder.bitcast(x, integer), integer(one - low))
        m = builder.add(builder.and_(moved, integer(fraction)), integer(low))
        biased = builder.lshr(moved, integer(form.fraction_bits))
        unit = (form.bias + form.fraction_bits) << form.fraction_bits
        k = builder.bitcast(builder.or_(biased, integer(unit)), x.type)
        k = builder.fsub(k, x.type(2.0**form.fraction_bits + form.bias))
        i = builder.sub(biased, integer(form.bias))
        m = builder.bitcast(m, x.type)
        return parts.made_tuple(context, builder, signature.return_type, [m, k, i])

    return types.Tuple([x, x, _INTEGER[form.name]])(x), build


@intrinsic
def fast_two_sum(typing, a, b):
    """a + b rounded, and the error, where |a| ≥ |b| or a = 0 (Dekker)."""

    def build(context, builder, signature, arguments):
        a, b = arguments
        total = builder.fadd(a, b)
        error = builder.fadd(builder.fsub(a, total), b)
        return parts.made_tuple(context, builder, signature.return_type, [total, error])

    return types.UniTuple(a, 2)(a, a), build


@intrinsic
def two_sum(typing, a, b):
    """a + b rounded, and the error (Knuth)."""

    def build(context, builder, signature, arguments):
        a, b = arguments
        total = builder.fadd(a, b)
        b_part = builder.fsub(total, a)
        a_part = builder.fsub(total, b_part)
        error = builder.fadd(builder.fsub(a, a_part), builder.fsub(b, b_part))
        return parts.made_tuple(context, builder, signature.return_type, [total, error])

    return types.UniTuple(a, 2)(a, a), build


@intrinsic
def two_product(typing, a, b):
    """a·b rounded, and the error."""

    def build(context, builder, signature, arguments):
        a, b = arguments
        product = builder.fmul(a, b)
        error = builder.fma(a, b, builder.fneg(product))
        return parts.made_tuple(context, builder, signature.return_type, [product, error])

    return types.UniTuple(a, 2)(a, a), build


@intrinsic
def quotient(typing, a, a_low, b, b_low):
    """(a + a_low) / (b + b_low) as a rounded quotient and its correction: one division."""

    def build(context, builder, signature, arguments):
        a, a_low, b, b_low = arguments
        inverse = builder.fdiv(b.type(1.0), b)
        q = builder.fmul(a, inverse)
        rest = builder.fma(builder.fneg(q), b, a)
        rest_low = builder.fma(builder.fneg(q), b_low, a_low)
        correction = builder.fmul(inverse, builder.fadd(rest, rest_low))
        return parts.made_tuple(context, builder, signature.return_type, [q, correction])

    return types.UniTuple(a, 2)(a, a, a, a), build

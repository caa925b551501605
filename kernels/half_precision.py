"""Half precision on the CPU: float16 and bfloat16 as they are stored, and as float32.

A stored number is an int16 with its bits. Processors that convert float16 themselves (x86 with
F16C, 64-bit Arm) do so in vectors; for others the bits are moved by integer arithmetic, which LLVM
vectorises too. bfloat16 is the upper half of a float32. Rounding is to the nearest, ties to even.
"""

import platform

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .numba_parts import vectorisable

SIGN, LARGEST = 0x8000, 0x7FFF
"""The bit of the sign of a stored number, and the others."""


def _converts() -> bool:
    """Whether the processor that is compiled for converts float16."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return False
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(llvm.get_host_cpu_features().get("f16c", False))


def _bits(name, source, target):
    """The same bits as a value of another type."""

    def as_bits(typing, x):
        def build(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), build

    as_bits.__name__ = as_bits.__qualname__ = name
    return intrinsic(as_bits)


_as_float = _bits("_as_float", types.int32, types.float32)
_as_int = _bits("_as_int", types.float32, types.int32)


@intrinsic
def _unsigned(typing, x):
    """The 16 bits of an int16 as an int32 that is not negative."""

    def build(context, builder, signature, arguments):
        return builder.zext(arguments[0], ir.IntType(32))

    return types.int32(types.int16), build


@intrinsic
def _low_half(typing, x):
    """The lower 16 bits of an int32."""

    def build(context, builder, signature, arguments):
        return builder.trunc(arguments[0], ir.IntType(16))

    return types.int16(types.int32), build


@intrinsic
def _extended(typing, x):
    def build(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), build


@intrinsic
def _truncated(typing, x):
    def build(context, builder, signature, arguments):
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), build


@intrinsic
def _choice(typing, condition, x, y):
    def build(context, builder, signature, arguments):
        return builder.select(*arguments)

    return types.int32(types.boolean, types.int32, types.int32), build


@vectorisable
def from_float16_bits(x):
    """float16 as float32: the exponent is moved by a product, which also makes subnormals right."""
    i = numba.int32(_unsigned(x))
    magnitude = numba.int32((i & numba.int32(LARGEST)) << numba.int32(13))
    scaled = _as_int(_as_float(magnitude) * numba.float32(2.0**112))
    # Infinity and NaN.
    special = numba.int32(scaled | numba.int32(0x7F800000))
    bits = _choice(magnitude >= numba.int32(0x0F800000), special, scaled)
    return _as_float(numba.int32(bits | ((i & numba.int32(SIGN)) << numba.int32(16))))


@vectorisable
def to_float16_bits(x):
    """float32 as float16. A sum whose last bit is that of the result rounds subnormal results; for
    others the half of the last bit is added to the bits."""
    i = _as_int(x)
    sign = numba.int32((i >> numba.int32(16)) & numba.int32(SIGN))
    magnitude = numba.int32(i & numba.int32(0x7FFFFFFF))
    small = numba.int32(
        _as_int(_as_float(magnitude) + numba.float32(0.5)) - numba.int32(0x3F000000)
    )
    odd = numba.int32((magnitude >> numba.int32(13)) & numba.int32(1))
    moved = numba.int32(magnitude - numba.int32(0x38000000) + numba.int32(0xFFF) + odd)
    normal = numba.int32(moved >> numba.int32(13))
    bits = _choice(magnitude < numba.int32(0x38800000), small, normal)
    bits = _choice(magnitude >= numba.int32(0x477FF000), numba.int32(0x7C00), bits)
    quiet = numba.int32(0x7E00 | ((magnitude >> numba.int32(13)) & numba.int32(0x1FF)))
    bits = _choice(magnitude > numba.int32(0x7F800000), quiet, bits)
    return _low_half(numba.int32(bits | sign))


@intrinsic
def from_bf16(typing, x):
    """bfloat16 as float32."""

    def build(context, builder, signature, arguments):
        integer = ir.IntType(32)
        bits = builder.shl(builder.zext(arguments[0], integer), integer(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.int16), build


@intrinsic
def to_bf16(typing, x):
    """float32 as bfloat16. What is added carries into the upper half where it rounds up."""

    def build(context, builder, signature, arguments):
        integer = ir.IntType(32)
        bits = builder.bitcast(arguments[0], integer)
        high = builder.lshr(bits, integer(16))
        odd = builder.and_(high, integer(1))
        rounded = builder.lshr(builder.add(builder.add(bits, odd), integer(0x7FFF)), integer(16))
        quiet = builder.or_(high, integer(0x40))
        nan = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        return builder.trunc(builder.select(nan, quiet, rounded), ir.IntType(16))

    return types.int16(types.float32), build


from_f16 = _extended if _converts() else from_float16_bits
to_f16 = _truncated if _converts() else to_float16_bits

NAMES = {
    "f16": np.int16,
    "bf16": np.int16,
    "from_f16": from_f16,
    "to_f16": to_f16,
    "from_bf16": from_bf16,
    "to_bf16": to_bf16,
}
"""Globals for generated text, the types of stored numbers among them. Functions of float32 have a
second name, for texts whose functions are those of float64."""
NAMES |= {f"{name}_f32": NAMES[name] for name in ("to_f16", "to_bf16")}

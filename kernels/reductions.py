"""Reductions inside sweeps that LLVM vectorises without fast-math elsewhere.

A floating-point sum may not be reordered, and a maximum that passes NaN on is no vector reduction:
`radd` is the one addition that may be reordered, and extrema are taken of integers that are ordered
as the numbers are (a NaN above all).
"""

from numba import types
from numba.extending import intrinsic

from .numba_parts import vectorisable
from .vecmath_instructions import absolute, where

_ORDERED = {types.float32: types.int32, types.float64: types.int64}


@intrinsic
def radd(typing, a, b):
    """a + b, free to be reordered with other `radd`s."""

    def build(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=("reassoc", "nsz"))

    return (a(a, a), build) if isinstance(a, types.Float) else None


@intrinsic
def _order_of_bits(typing, x):
    """An integer ordered as x is: the bits, with the magnitude of negative numbers inverted."""
    integer = _ORDERED[x]

    def build(context, builder, signature, arguments):
        target = context.get_value_type(integer)
        bits = builder.bitcast(arguments[0], target)
        sign = builder.ashr(bits, target(target.width - 1))
        return builder.xor(bits, builder.and_(sign, target((1 << (target.width - 1)) - 1)))

    return integer(x), build


@intrinsic
def value_of(typing, key):
    """The number whose `order_of` is `key`."""
    real = next(r for r, i in _ORDERED.items() if i == key)

    def build(context, builder, signature, arguments):
        (bits,) = arguments
        sign = builder.ashr(bits, bits.type(bits.type.width - 1))
        mask = bits.type((1 << (bits.type.width - 1)) - 1)
        bits = builder.xor(bits, builder.and_(sign, mask))
        return builder.bitcast(bits, context.get_value_type(real))

    return real(key), build


@vectorisable
def order_of(x):
    """An integer ordered as x is, with every NaN above +inf."""
    return _order_of_bits(where(x == x, x, absolute(x)))


class Outside(Exception):
    """A function of a sweep is given what only its slow form is right for."""


NAMES = {
    "Outside": Outside,
    "radd": radd,
    "order_of": order_of,
    "value_of": value_of,
}
"""Globals for generated text."""

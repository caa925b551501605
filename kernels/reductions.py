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


def _inverted_if_negative(builder, bits):
    """Bits with all but the sign inverted where the sign is set; twice, it changes nothing."""
    sign_place = bits.type.width - 1
    sign = builder.ashr(bits, bits.type(sign_place))
    return builder.xor(bits, builder.and_(sign, bits.type((1 << sign_place) - 1)))


@intrinsic
def _order_of_bits(typing, x):
    """An integer ordered as x is: the bits, with the magnitude of negative numbers inverted."""
    integer = _ORDERED[x]

    def build(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], context.get_value_type(integer))
        return _inverted_if_negative(builder, bits)

    return integer(x), build


@intrinsic
def value_of(typing, key):
    """The number whose `order_of` is `key`."""
    real = next(r for r, i in _ORDERED.items() if i == key)

    def build(context, builder, signature, arguments):
        bits = _inverted_if_negative(builder, arguments[0])
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

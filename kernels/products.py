"""Matrix products inside compiled code, by the BLAS that SciPy brings."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import numba_parts as parts
from .numba_parts import only_called, vectorisable

SMALL = 10**6
"""Multiplications up to which OpenBLAS multiplies matrices as they lie, where it can; beyond, it
packs them first, which for the short ones of a block takes up to half of the time."""
FEW = 1 << 4
"""Lines at a time, at least."""
ADDED = 1 << 6
"""Lines whose products BLAS adds up at a time: each element takes them one by one, and 64 equal
ones lose 1e-6 in float32, 2,048 lose 1e-5."""
LEAST_MIDDLING, MOST_MIDDLING = 1 << 8, 1 << 10
"""Values of a result for which that is too short: a call takes as long as 60 lines. They have four
times as many (2 % of a softmax regression's time, not 8)."""
_KINDS = {types.float32: "s", types.float64: "d", types.complex64: "c", types.complex128: "z"}
_ANY = ir.IntType(8).as_pointer()


def _stored(context, builder, kind, number):
    """The place of a number."""
    value = parts.constant(context, builder, kind, number)
    place = parts.place_for(builder, value.type)
    builder.store(value, place)
    return builder.bitcast(place, _ANY)


@intrinsic
def tile_product(typing, x, y, out, starts, strides, turned, sizes, more):
    """out = x @ y, or `more` of it, out += x @ y, for matrices inside flat arrays, of shapes (n, k)
    and (k, m): where each starts, how far apart its lines are, whether x and y lie transposed, and
    (n, k, m)."""

    def build(context, builder, signature, arguments):
        flat = zip(signature.args[:3], arguments[:3], strict=True)
        starts, strides, turned, sizes = (
            parts.elements(builder, value) for value in arguments[3:7]
        )
        data = []
        for (kind, array), start in zip(flat, starts, strict=True):
            first, _ = parts.data_and_count(context, builder, kind, array)
            data.append(builder.bitcast(builder.gep(first, [start]), _ANY))
        n, k, m = sizes
        letter = ir.IntType(8)
        how = [builder.select(t, letter(ord("t")), letter(ord("n"))) for t in turned]
        one, zero = (_stored(context, builder, x.dtype, number) for number in (1, 0))
        kind = letter(ord(_KINDS[x.dtype]))
        # In the order of Fortran this is out.T = y.T @ x.T.
        given = [kind, how[1], how[0], m, n, k, one, data[1], strides[1], data[0], strides[0]]
        given += [builder.select(arguments[7], one, zero), data[2], strides[2]]
        return parts.matrix_product(builder, given)

    return types.int32(x, y, out, starts, strides, turned, sizes, more), build


@only_called
def _lines(n, others):
    """Lines to multiply at a time, by so many values each."""
    most = SMALL // others
    if n <= most or most < FEW:
        return n
    even = -(-n // -(-n // most))
    return -(-even // FEW) * FEW


@only_called
def _added(values):
    """Lines that are added up at a time, for a result of so many values."""
    if values < LEAST_MIDDLING or values > MOST_MIDDLING:
        return ADDED
    return 4 * ADDED


@vectorisable
def product(x, y, out, n, k, m):
    """out = x @ y, of shapes (n, k) and (k, m), in the first elements of flat arrays."""
    step = _lines(n, k * m)
    for lo in range(0, n, step):
        sizes = (min(step, n - lo), k, m)
        tile_product(x, y, out, (lo * k, 0, lo * m), (k, m, m), (False, False), sizes, False)


@vectorisable
def row_product(x, y, out, n, k, m):
    """out = x.T @ y, of shapes (n, k) and (n, m), in the first elements of flat arrays."""
    step = min(_added(k * m), _lines(n, k * m))
    for lo in range(0, n, step):
        sizes = (k, min(step, n - lo), m)
        tile_product(x, y, out, (lo * k, lo * m, 0), (k, m, m), (True, False), sizes, lo > 0)


NAMES = {"product": product, "row_product": row_product, "tile_product": tile_product}
"""Globals for generated text."""

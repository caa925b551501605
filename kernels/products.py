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
"""Lines at a time, at least, of which they are a multiple."""
ADDED = 1 << 6
"""Lines whose products BLAS adds up at a time: it adds them one by one to each element, and 64
equal ones lose 1e-6 in float32, 2,048 lose 1e-5."""
LEAST_MIDDLING, MOST_MIDDLING = 1 << 8, 1 << 10
"""A result of so many values takes four times as many lines at a time: a call costs as much as 60
lines of it (8 % of the time of a softmax regression with `ADDED` lines, 2 % with four times as
many)."""
_KINDS = {types.float32: "s", types.float64: "d", types.complex64: "c", types.complex128: "z"}
_ANY = ir.IntType(8).as_pointer()


def _pointer_to(context, builder, kind, number):
    """A pointer to a number on the stack."""
    value = parts.constant(context, builder, kind, number)
    place = parts.place_for(builder, value.type)
    builder.store(value, place)
    return builder.bitcast(place, _ANY)


@intrinsic
def tile_product(typing, x, y, out, starts, strides, transposed, sizes, accumulate):
    """out = x @ y, or out += x @ y to `accumulate`, for matrices inside flat arrays, of shapes
    (n, k) and (k, m).

    `starts` and `strides` say where each of the three starts and how far apart its lines are,
    `transposed` whether x and y lie transposed; `sizes` are (n, k, m).
    """

    def build(context, builder, signature, arguments):
        flat = zip(signature.args[:3], arguments[:3], strict=True)
        starts, strides, transposed, sizes = (
            parts.elements(builder, value) for value in arguments[3:7]
        )
        data = []
        for (kind, array), start in zip(flat, starts, strict=True):
            first, _ = parts.data_and_count(context, builder, kind, array)
            data.append(builder.bitcast(builder.gep(first, [start]), _ANY))
        n, k, m = sizes
        letter = ir.IntType(8)
        trans = [builder.select(t, letter(ord("t")), letter(ord("n"))) for t in transposed]
        one, zero = (_pointer_to(context, builder, x.dtype, number) for number in (1, 0))
        kind = letter(ord(_KINDS[x.dtype]))
        # In the order of Fortran this is out.T = y.T @ x.T.
        given = [kind, trans[1], trans[0], m, n, k, one, data[1], strides[1], data[0], strides[0]]
        given += [builder.select(arguments[7], one, zero), data[2], strides[2]]
        return parts.matrix_product(builder, given)

    return types.int32(x, y, out, starts, strides, transposed, sizes, accumulate), build


@only_called
def _lines(n, values):
    """Of n lines, how many to multiply at a time; each is multiplied by so many values."""
    most = SMALL // values
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

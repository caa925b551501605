"""Copying to memory past the cache: non-temporal stores do not read the lines they fill."""

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import numba_parts as parts

LINE = 64
"""Bytes of a cache line, which a store fills whole."""


@intrinsic
def _address(typing, array):
    def build(context, builder, signature, arguments):
        data, _ = parts.data_and_count(context, builder, array, arguments[0])
        return builder.ptrtoint(data, context.get_value_type(types.int64))

    return types.int64(array), build


@intrinsic
def _store_line(typing, target, i, source):
    """target[i : i + n] = source[i : i + n]: n elements are a line, of target an aligned one."""

    def build(context, builder, signature, arguments):
        size = parts.stored_size(context, target.dtype)
        element = parts.stored_type(context, target.dtype)
        line = ir.VectorType(element, LINE // size).as_pointer()
        places = []
        for kind, value in ((source, arguments[2]), (target, arguments[0])):
            data, _ = parts.data_and_count(context, builder, kind, value)
            places.append(builder.bitcast(builder.gep(data, [arguments[1]]), line))
        store = builder.store(builder.load(places[0], align=size), places[1], align=LINE)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return parts.nothing(context)

    return types.void(target, types.int64, source), build


@intrinsic
def fence(typing):
    """Orders non-temporal stores before all that follows."""

    def build(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return parts.nothing(context)

    return types.void(), build


@numba.njit(nogil=True, error_model="numpy", boundscheck=False)
def stream(source, target):
    """target[:] = source, past the cache; both of one length. `fence` after the last."""
    n, size = source.size, source.itemsize
    head = min(n, -_address(target) % LINE // size)
    whole = head + (n - head) * size // LINE * LINE // size
    for i in range(head):
        target[i] = source[i]
    for i in range(head, whole, LINE // size):
        _store_line(target, i, source)
    for i in range(whole, n):
        target[i] = source[i]


NAMES = {"fence": fence, "stream": stream}
"""Globals for generated text."""

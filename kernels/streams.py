"""Copying to memory past the cache: non-temporal stores do not read the lines they fill."""

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LINE = 64
"""Bytes of a cache line, which a store fills whole."""


@intrinsic
def _address(typing, array):
    def build(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.int64))

    return types.int64(array), build


@intrinsic
def _store_line(typing, target, i, source):
    """target[i : i + n] = source[i : i + n]: n elements are a line, of target an aligned one."""

    def build(context, builder, signature, arguments):
        element = context.get_data_type(target.dtype)
        size = context.get_abi_sizeof(element)
        line = ir.VectorType(element, LINE // size).as_pointer()
        places = []
        for kind, value in ((source, arguments[2]), (target, arguments[0])):
            x = context.make_array(kind)(context, builder, value)
            place = cgutils.get_item_pointer(context, builder, kind, x, [arguments[1]])
            places.append(builder.bitcast(place, line))
        store = builder.store(builder.load(places[0], align=size), places[1], align=LINE)
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
        return context.get_dummy_value()

    return types.void(target, types.int64, source), build


@intrinsic
def fence(typing):
    """Orders non-temporal stores before all that follows."""

    def build(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

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

"""Places in arrays: indices, and rows added to tables in the order of the rows."""

import numba
from numba import types
from numba.extending import intrinsic


@intrinsic
def at(typing, i):
    """The index i, which is not negative, as an unsigned one.

    Numba asks of a signed index whether it counts from the end. LLVM then does not see that the
    elements of a loop are neighbours, and gathers them one by one: a sum of two planar blocks took
    46 ms and takes 4.
    """

    def build(context, builder, signature, arguments):
        return arguments[0]

    return types.uint64(types.int64), build


@numba.njit(nogil=True, error_model="numpy", boundscheck=False)
def add_at_places(places, updates, table, n, count, size, stride):
    """table[size·places[k·stride + r] + l] += updates[(k·size + l)·stride + r] for each row r, each
    of its `count` places k and each of the `size` lanes l of a place."""
    for r in range(n):
        for k in range(count):
            start = size * max(places[k * stride + r], 0)
            for l in range(size):
                table[start + l] += updates[(k * size + l) * stride + r]


NAMES = {"add_at_places": add_at_places, "at": at}
"""Globals for generated text."""

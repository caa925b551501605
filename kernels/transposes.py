"""Blocks of rows to lane-major scratch and back, in square tiles transposed in registers.

LLVM vectorises a loop over rows of up to 8 interleaved lanes; with more it falls back to single
elements. A tile is as many rows as lanes: vectors are loaded, shuffled log2(size) times in pairs
(Eklundh 1972) and stored.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import numba_parts as parts
from .numba_parts import vectorisable


def _vector(builder, data, offset, size, element):
    """A pointer to `size` elements from `offset` on."""
    pointer = builder.gep(data, [offset])
    return builder.bitcast(pointer, ir.VectorType(element, size).as_pointer())


def _transposed(builder, rows):
    size = len(rows)
    step = size // 2
    while step:
        low = [j if not j & step else size + j - step for j in range(size)]
        high = [j + step if not j & step else size + j for j in range(size)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), size), m) for m in (low, high)]
        for i in range(size):
            if not i & step:
                pair = rows[i], rows[i + step]
                rows[i], rows[i + step] = [builder.shuffle_vector(*pair, m) for m in masks]
        step //= 2
    return rows


def _tile(size):
    @intrinsic
    def tile(typing, source, start, step, target, place, stride):
        """Row i of a square tile from source[start + i·step:], transposed, to
        target[place + i·stride:]."""

        def build(context, builder, signature, arguments):
            x, start, step, y, place, stride = arguments
            x, _ = parts.data_and_count(context, builder, source, x)
            y, _ = parts.data_and_count(context, builder, target, y)
            element = parts.stored_type(context, source.dtype)
            bytes_ = parts.stored_size(context, source.dtype)

            def at(base, by, i):
                return builder.add(base, builder.mul(by, by.type(i)))

            rows = [
                builder.load(_vector(builder, x, at(start, step, i), size, element), align=bytes_)
                for i in range(size)
            ]
            for i, row in enumerate(_transposed(builder, rows)):
                pointer = _vector(builder, y, at(place, stride, i), size, element)
                builder.store(row, pointer, align=bytes_)
            return parts.nothing(context)

        return types.void(source, types.int64, types.int64, target, types.int64, types.int64), build

    return tile


def _copies(size):
    tile = _tile(size)

    @vectorisable
    def rows_to_lanes(source, target, n, lanes, stride):
        """target[l·stride + r] = source[lanes·r + l]; at least `size` lanes."""
        whole = n - n % size
        for r in range(0, whole, size):
            for k in range(0, lanes, size):
                l = min(k, lanes - size)
                tile(source, lanes * r + l, lanes, target, l * stride + r, stride)
        for r in range(whole, n):
            for l in range(lanes):
                target[l * stride + r] = source[lanes * r + l]

    @vectorisable
    def lanes_to_rows(source, target, n, lanes, stride):
        """target[lanes·r + l] = source[l·stride + r]; at least `size` lanes."""
        whole = n - n % size
        for r in range(0, whole, size):
            for k in range(0, lanes, size):
                l = min(k, lanes - size)
                tile(source, l * stride + r, stride, target, lanes * r + l, lanes)
        for r in range(whole, n):
            for l in range(lanes):
                target[lanes * r + l] = source[l * stride + r]

    return rows_to_lanes, lanes_to_rows


NAMES = {}
"""Globals for generated text: for each size of tile, `rows_to_lanes` and `lanes_to_rows`."""
for _size in (4, 8):
    NAMES[f"rows_to_lanes{_size}"], NAMES[f"lanes_to_rows{_size}"] = _copies(_size)

"""Rearranging: diagonals and triangles, rolling and repeating, deleting and inserting."""

import math
import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom
from gpuad.ir.primitive import zeros
from gpuad.numpy._access import fit, in_dtype
from gpuad.numpy._arguments import refuse, shape_of
from gpuad.numpy._dispatch import broadcast_to_shape, implements, normalize_axis
from gpuad.numpy.indexing import take
from gpuad.primitives import elementwise as ew
from gpuad.primitives.indexing import gather, scatter_add
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import (
    broadcast,
    concatenate,
    move_axis,
    reshape,
    slice_axis,
    transpose,
)  # fmt: skip
from gpuad.tracing import Tracer
from gpuad.tracing.advice import FOR_SIZES
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

# Triangles and diagonals


def _triangle(m: Any, k: int, lower: bool, name: str) -> Any:
    k = operator.index(k)
    if not shape_of(m):
        raise ArgumentError(f"{name}: the array has no axes; give a matrix.")

    def record(x: Atom) -> Atom:
        if x.aval.ndim == 1:
            x = broadcast_to_shape(x, (x.aval.size, x.aval.size))
        shape = x.aval.shape[-2:]
        inside = ew.le(iota(shape, axis=1), ew.add(iota(shape, axis=0), k if lower else k - 1))
        inside = broadcast_to_shape(inside, x.aval.shape)
        return ew.select(inside, x, 0) if lower else ew.select(inside, 0, x)

    return apply(record, m)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """The lower triangle of matrices: zero above the k-th diagonal."""
    return _triangle(m, k, True, "tril")


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """The upper triangle of matrices: zero below the k-th diagonal."""
    return _triangle(m, k, False, "triu")


def _diagonal_indices(rows: int, columns: int, offset: int) -> tuple[Any, Any] | None:
    """Row and column indices, recorded, of a diagonal; None if it is empty."""
    first_row, first_column = max(0, -offset), max(0, offset)
    length = min(rows - first_row, columns - first_column)
    if length <= 0:
        return None
    along = iota((length,))
    return ew.add(along, first_row), ew.add(along, first_column)


@implements(np.diagonal, view=True)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of the matrices on two axes, as the last axis."""
    ndim = len(shape_of(a))
    if ndim < 2:
        raise ArgumentError(f"diagonal: the array has {ndim} axes; give at least two.")
    axis1, axis2 = (normalize_axis(i, ndim, "diagonal") for i in (axis1, axis2))
    if axis1 == axis2:
        raise ArgumentError("diagonal: axis1 and axis2 name one axis; name two.")
    rest = [i for i in range(ndim) if i not in (axis1, axis2)]
    offset = operator.index(offset)

    def record(x: Atom) -> Atom:
        x = transpose(x, perm=(axis1, axis2, *rest))
        rows, columns = x.aval.shape[:2]
        indices = _diagonal_indices(rows, columns, offset)
        if indices is None:
            return zeros_of((*x.aval.shape[2:], 0), x)
        return move_axis(gather(x, *indices, batch=0), 0, ndim - 2)

    return apply(record, a)


def zeros_of(shape: tuple[int, ...], like: Atom) -> Atom:
    return zeros(Aval(shape, like.aval.dtype))


def _matrix_of_diagonal(x: Atom, k: int) -> Atom:
    n = x.aval.size + abs(k)
    indices = _diagonal_indices(n, n, k)
    empty = zeros_of((n, n), x)
    return empty if indices is None else scatter_add(empty, x, *indices, batch=0)


@implements(np.diag, view="inner")
def diag(v: Any, k: int = 0) -> Any:
    """The matrix with a given k-th diagonal, or the k-th diagonal of a matrix."""
    ndim = len(shape_of(v))
    if ndim == 2:
        return diagonal(v, k)
    if ndim != 1:
        raise ArgumentError(f"diag: the array has {ndim} axes; give one or two.")
    return apply(lambda x: _matrix_of_diagonal(x, operator.index(k)), v)


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix whose k-th diagonal is the flattened array."""
    k = operator.index(k)
    return apply(lambda x: _matrix_of_diagonal(reshape(x, shape=(x.aval.size,)), k), v)


# Rolling and repeating


def _rolled(x: Atom, shift: int, axis: int) -> Atom:
    n = x.aval.shape[axis]
    shift = shift % n if n else 0
    if not shift:
        return x
    parts = slice_axis(x, axis, n - shift, n), slice_axis(x, axis, 0, n - shift)
    return concatenate(*parts, axis=axis)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """The elements moved along axes, those pushed over the end coming in at the start."""
    shape = shape_of(a)
    shifts = [int(s) for s in (shift if isinstance(shift, tuple | list) else (shift,))]
    if axis is None:
        flat = apply(lambda x: reshape(x, shape=(math.prod(shape),)), a)
        return apply(lambda x: reshape(_rolled(x, sum(shifts), 0), shape=shape), flat)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    axes = [normalize_axis(i, len(shape), "roll") for i in axes]
    pairs = np.broadcast(shifts, axes)
    if pairs.ndim > 1:
        raise ArgumentError("roll: shift and axis are integers or tuples of integers.")

    def record(x: Atom) -> Atom:
        for s, i in pairs:
            x = _rolled(x, int(s), int(i))
        return x

    return apply(record, a)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None, total_repeat_length: Any = None) -> Any:
    """Each element (slice along an axis) repeated a known number of times."""
    refuse("repeat", total_repeat_length=total_repeat_length)
    if isinstance(repeats, Tracer):
        repeats = repeats._value(FOR_SIZES)
    counts = np.asarray(repeats)
    if axis is None:
        a, axis = OPERATIONS["ravel"](a), 0
    axis = normalize_axis(axis, len(shape_of(a)), "repeat")
    if counts.size != 1:
        return take(a, np.repeat(np.arange(shape_of(a)[axis]), counts), axis=axis)
    count = operator.index(counts.reshape(())[()])
    if count < 0:
        raise ArgumentError(f"repeat: repeats is {count}; it may not be negative.")

    def record(x: Atom) -> Atom:
        before, n, after = x.aval.shape[:axis], x.aval.shape[axis], x.aval.shape[axis + 1 :]
        dims = tuple([i + (i > axis) for i in range(x.aval.ndim)])
        x = broadcast(x, shape=(*before, n, count, *after), dims=dims)
        return reshape(x, shape=(*before, n * count, *after))

    return apply(record, a)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """The array beside itself, a number of times along each axis."""
    counts = list(reps) if isinstance(reps, tuple | list | np.ndarray) else [reps]
    counts = [operator.index(n) for n in counts]
    ndim = max(len(counts), len(shape_of(A)))
    counts = [1] * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - len(shape_of(A))) + tuple(shape_of(A))
    spread = tuple([m for pair in zip(counts, shape, strict=True) for m in pair])

    def record(x: Atom) -> Atom:
        x = reshape(x, shape=shape)
        x = broadcast(x, shape=spread, dims=tuple(range(1, 2 * ndim, 2)))
        return reshape(x, shape=tuple([n * m for n, m in zip(counts, shape, strict=True)]))

    return apply(record, A)


# Deleting and inserting at known places


def _known(obj: Any) -> Any:
    return obj._value() if isinstance(obj, Tracer) else obj


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """The array without the slices at known places along an axis (of the flattened array)."""
    n = math.prod(shape_of(arr)) if axis is None else shape_of(arr)[axis]
    return take(arr, np.delete(np.arange(n), _known(obj)), axis=axis)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The array with slices inserted before known places along an axis (of the flattened array)."""
    obj = _known(obj)
    if axis is None:
        arr, axis = OPERATIONS["ravel"](arr), 0
    ndim = len(shape_of(arr))
    axis = normalize_axis(axis, ndim, "insert")
    n = shape_of(arr)[axis]
    count = _count(obj, n)

    def record(x: Atom, u: Atom) -> Atom:
        u = in_dtype(u, x.aval.dtype)
        u = reshape(u, shape=(1,) * (ndim - u.aval.ndim) + u.aval.shape)
        if not isinstance(obj, slice) and np.ndim(obj) == 0:
            u = move_axis(u, 0, axis)
        # Before one place any number of slices can be inserted.
        new = u.aval.shape[axis] if count == 1 else count
        u = fit(u, (*x.aval.shape[:axis], new, *x.aval.shape[axis + 1 :]))
        return concatenate(x, u, axis=axis)

    joined = apply(record, arr, values)
    order = np.insert(np.arange(n), obj, np.arange(n, joined.shape[axis]))
    return take(joined, order, axis=axis)


def _count(obj: Any, n: int) -> int:
    """How many places `obj` names on an axis of length n."""
    if isinstance(obj, slice):
        return len(range(*obj.indices(n)))
    places = np.asarray(obj)
    return int(places.sum()) if places.dtype.kind == "b" else places.size


__all__ = [
    "delete", "diag", "diagflat", "diagonal", "insert", "repeat", "roll", "tile", "tril", "triu",
]  # fmt: skip

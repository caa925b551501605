"""Indices as arrays: flat and by axis, of triangles and diagonals, of open grids."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, BadIndexError, UnknownValueError
from gpuad.numpy._arguments import shape_of, static_shape
from gpuad.numpy._dispatch import aval_of, implements, stacked
from gpuad.numpy._keys import integers
from gpuad.numpy.indexing import within
from gpuad.numpy.searching import known
from gpuad.tracing import Tracer
from gpuad.tracing.registry import OPERATIONS


def _check_within(index: Any, n: int, name: str) -> None:
    """Raises an error for an index out of range, if the value is known here."""
    try:
        value = known(index, name)
    except UnknownValueError:
        return
    if value.size and not (value.min() >= 0 and value.max() < n):
        bad = value.min() if value.min() < 0 else value.max()
        raise BadIndexError(f"{name}: index {bad} is out of range for a size of {n}.")


def _check_order(order: str, name: str) -> None:
    if order not in ("C", "F"):
        raise ArgumentError(f"{name}: order={order!r}; give 'C' or 'F'.")


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """The flat indices of elements that are given by one array of integers for each axis.

    Traced indices must be in range, which is checked where their values are known.
    """
    _check_order(order, "ravel_multi_index")
    shape = static_shape(dims)
    parts = [multi_index[i] for i in range(len(multi_index))]
    modes = [mode] * len(shape) if isinstance(mode, str) else list(mode)
    if not len(parts) == len(shape) == len(modes):
        raise ArgumentError(
            f"ravel_multi_index: {len(parts)} arrays of indices, {len(shape)} sizes and "
            f"{len(modes)} modes; give one of each for every axis."
        )
    flat: Any = 0
    axes = range(len(shape)) if order == "C" else reversed(range(len(shape)))
    for axis in axes:
        index = integers(parts[axis], "ravel_multi_index")
        if modes[axis] == "raise":
            _check_within(index, shape[axis], "ravel_multi_index")
        index = within(index, shape[axis], modes[axis], "ravel_multi_index")
        flat = flat * shape[axis] + OPERATIONS["astype"](index, np.int64)
    return flat


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """For each axis the indices of elements that are given by flat indices.

    Traced indices must be in range, which is checked where their values are known.
    """
    _check_order(order, "unravel_index")
    sizes = static_shape(shape)
    flat = OPERATIONS["astype"](integers(indices, "unravel_index"), np.int64)
    _check_within(flat, math.prod(sizes), "unravel_index")
    found = []
    for n in sizes if order == "F" else reversed(sizes):
        flat, index = OPERATIONS["divmod"](flat, n)
        found.append(index)
    return tuple(found if order == "F" else found[::-1])


@implements(np.ix_)
def ix_(*args: Any) -> tuple[Any, ...]:
    """The index arrays of an open grid, from one vector of integers or booleans for each axis."""
    grids = []
    for axis, given in enumerate(args):
        index = stacked(given)
        index = index if isinstance(index, Tracer) else np.asarray(index)
        if index.ndim != 1:
            raise ArgumentError(f"ix_: an index has shape {index.shape}; give vectors.")
        if aval_of(index).dtype.kind == "b":
            (index,) = OPERATIONS["nonzero"](index)
        index = index if index.size else index.astype(np.intp)
        grids.append(index.reshape(tuple([-1 if i == axis else 1 for i in range(len(args))])))
    return tuple(grids)


# What only the shape says


def _matrix(arr: Any, name: str) -> Sequence[int]:
    shape = shape_of(arr)
    if len(shape) != 2:
        raise ArgumentError(f"{name}: an array of shape {shape}; give a matrix.")
    return shape


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """The indices of the lower triangle of a matrix, as plain arrays."""
    rows, columns = _matrix(arr, "tril_indices_from")
    return np.tril_indices(rows, k, columns)


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """The indices of the upper triangle of a matrix, as plain arrays."""
    rows, columns = _matrix(arr, "triu_indices_from")
    return np.triu_indices(rows, k, columns)


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """The indices of the main diagonal of an array whose axes have one length, as plain arrays."""
    shape = shape_of(arr)
    if len(shape) < 2 or len(set(shape)) > 1:
        raise ArgumentError(
            f"diag_indices_from: shape {shape}; give two or more axes, all of one length."
        )
    return np.diag_indices(shape[0], len(shape))


__all__ = [
    "diag_indices_from", "ix_", "ravel_multi_index", "tril_indices_from", "triu_indices_from",
    "unravel_index",
]  # fmt: skip

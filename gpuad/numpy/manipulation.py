"""Manipulation: shapes, order of axes, flipping."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom
from gpuad.ir.primitive import zeros
from gpuad.numpy._arguments import alias, existing, shape_of, static_shape
from gpuad.numpy._dispatch import (
    broadcast_to_shape,
    implements,
    normalize_axes,
    normalize_axis,
)
from gpuad.primitives import structure
from gpuad.tracing.record import apply

shape = implements(np.shape, name="shape")(shape_of)


@implements(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return len(shape_of(a))


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    """The number of elements, all or along axes."""
    found = shape_of(a)
    return math.prod([found[i] for i in normalize_axes(axis, len(found), "size")])


# Shapes


def _completed(shape: tuple[int, ...], of: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the entry -1 worked out."""
    size, known = math.prod(of), math.prod([n for n in shape if n != -1])
    if shape.count(-1) == 1 and known and size % known == 0:
        shape = tuple([size // known if n == -1 else n for n in shape])
    if min(shape, default=0) < 0 or math.prod(shape) != size:
        raise ArgumentError(
            f"reshape: an array of shape {of} has {size} elements and cannot have shape {shape}; "
            "give sizes whose product is that number (one of them may be -1)."
        )
    return shape


@implements(np.reshape, view=True)
def reshape(a: Any, *sizes: Any, shape: Any = None, order: str = "C", copy: Any = None) -> Any:
    """The elements of `a` in another shape, of which one size may be -1; order "C" or "F"."""
    if sizes and isinstance(sizes[-1], str):
        *sizes, order = sizes  # type: ignore[assignment]
    if sizes or shape is None:
        shape = sizes[0] if len(sizes) == 1 else sizes
    new = _completed(static_shape(shape), shape_of(a))
    if order == "F":
        return _reversed(reshape(_reversed(a), new[::-1]))
    _check_read_order(order, "reshape")
    return apply(lambda v: structure.reshape(v, new), a)


def _check_read_order(order: str, name: str) -> None:
    if order != "C":
        raise UnsupportedError(
            f"{name}(order={order!r}) depends on the memory layout, which a traced array does not "
            "have; use order='C' or 'F'."
        )


def _reversed(a: Any) -> Any:
    return apply(lambda v: structure.transpose(v, tuple(range(v.aval.ndim))[::-1]), a)


@implements(np.ravel, view=True)
def ravel(a: Any, order: str = "C") -> Any:
    """The elements of `a` along one axis."""
    return reshape(a, (math.prod(shape_of(a)),), order=order)


@implements(np.squeeze, view="inner")
def squeeze(a: Any, axis: Any = None) -> Any:
    """`a` without its axes of size 1 (or those of them named by `axis`)."""
    shape = shape_of(a)
    if axis is None:
        return reshape(a, tuple([n for n in shape if n != 1]))
    axes = normalize_axes(axis, len(shape), "squeeze")
    for i in axes:
        if shape[i] != 1:
            raise ArgumentError(
                f"squeeze: axis {i} of shape {shape} has size {shape[i]}, not 1; name only axes "
                "of size 1, or index the axis (x[:, 0])."
            )
    return reshape(a, tuple([n for i, n in enumerate(shape) if i not in axes]))


@implements(np.expand_dims, view=True)
def expand_dims(a: Any, axis: Any) -> Any:
    """`a` with new axes of size 1 at these places of the result."""
    count = len(axis) if isinstance(axis, tuple | list) else 1
    axes = normalize_axes(axis, len(shape_of(a)) + count, "expand_dims")
    return apply(lambda v: structure.expand(v, axes), a)


@implements(np.broadcast_to, view=True)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """`array` repeated along new axes and axes of size 1."""
    new = static_shape(shape)
    old = shape_of(array)
    fits = len(old) <= len(new) and all(
        n in (1, m) for n, m in zip(old[::-1], new[::-1], strict=False)
    )
    if not fits:
        raise ArgumentError(
            f"broadcast_to: an array of shape {old} cannot be repeated to shape {new}; insert axes "
            "of size 1 with x[:, None] or reshape first."
        )
    return apply(lambda v: broadcast_to_shape(v, new), array)


@implements(np.broadcast_arrays, view="inner")
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """The arrays, each repeated to their common shape."""
    try:
        shape = np.broadcast_shapes(*[shape_of(x) for x in args])
    except ValueError:
        raise ArgumentError(
            f"broadcast_arrays: shapes {', '.join([str(shape_of(x)) for x in args])} do not "
            "broadcast together; insert axes with x[:, None] or reshape."
        ) from None
    return tuple([broadcast_to(x, shape) for x in args])


def _at_least(ndim: int, name: str, numpy_function: Any, new: Callable[[int], Any]) -> Any:
    def function(*arys: Any) -> Any:
        missing = [new(len(shape_of(x))) if len(shape_of(x)) < ndim else () for x in arys]
        results = [
            expand_dims(x, axes) if axes else x for x, axes in zip(arys, missing, strict=True)
        ]
        return results[0] if len(results) == 1 else tuple(results)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Each array with axes of size 1 added until it has {ndim}."
    return implements(numpy_function, view="inner")(function)


atleast_1d = _at_least(1, "atleast_1d", np.atleast_1d, lambda n: (0,))
atleast_2d = _at_least(2, "atleast_2d", np.atleast_2d, lambda n: tuple(range(2 - n)))
atleast_3d = _at_least(3, "atleast_3d", np.atleast_3d, lambda n: ((0, 1, 2), (0, 2), (2,))[n])


# Order of axes


@implements(np.transpose, view=True)
def transpose(a: Any, *order: Any, axes: Any = None) -> Any:
    """`a` with its axes in another order, reversed if none is given."""
    if order:
        axes = order[0] if len(order) == 1 else order
    if axes is None:
        return _reversed(a)
    perm = tuple([normalize_axis(i, len(shape_of(a)), "transpose") for i in static_shape(axes)])
    if sorted(perm) != list(range(len(shape_of(a)))):
        raise ArgumentError(
            f"transpose: axes {axes} do not name each axis of shape {shape_of(a)} once; "
            "give a permutation of the axes."
        )
    return apply(lambda v: structure.transpose(v, perm), a)


permute_dims = alias("permute_dims", transpose)


@implements(*existing("matrix_transpose"), np.linalg.matrix_transpose, view="inner")
def matrix_transpose(x: Any) -> Any:
    """`x` with its last two axes exchanged."""
    if len(shape_of(x)) < 2:
        raise ArgumentError(
            f"matrix_transpose: an array of shape {shape_of(x)} is no matrix; "
            "give two or more axes."
        )
    return swapaxes(x, -1, -2)


alias("linalg.matrix_transpose", matrix_transpose)


@implements(np.swapaxes, view=True)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`a` with two axes exchanged."""
    i, j = [normalize_axis(k, len(shape_of(a)), "swapaxes") for k in (axis1, axis2)]
    perm = list(range(len(shape_of(a))))
    perm[i], perm[j] = j, i
    return apply(lambda v: structure.transpose(v, tuple(perm)), a)


@implements(np.moveaxis, view=True)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """`a` with axes moved to other places, the others in their order."""
    ndim = len(shape_of(a))
    sources, places = [
        [normalize_axis(i, ndim, "moveaxis") for i in static_shape(axes)]
        for axes in (source, destination)
    ]
    if not len(set(sources)) == len(sources) == len(places) == len(set(places)):
        raise ArgumentError(
            f"moveaxis: source {source} and destination {destination} must name as many axes, each "
            "once."
        )
    perm = [i for i in range(ndim) if i not in sources]
    for place, i in sorted(zip(places, sources, strict=True)):
        perm.insert(place, i)
    return apply(lambda v: structure.transpose(v, tuple(perm)), a)


@implements(np.rollaxis, view="inner")
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """`a` with one axis moved to stand before the place `start`."""
    ndim = len(shape_of(a))
    axis = normalize_axis(axis, ndim, "rollaxis")
    start = normalize_axis(start, ndim + 1, "rollaxis") if start >= 0 else start % ndim
    return moveaxis(a, axis, start - (axis < start))


# Flipping


@implements(np.flip, view=True)
def flip(m: Any, axis: Any = None) -> Any:
    """`m` with the order of its elements reversed along axes (all, if none is given)."""
    axes = normalize_axes(axis, len(shape_of(m)), "flip")
    return apply(lambda v: structure.flip(v, axes=axes) if axes else v, m)


@implements(np.flipud, view="inner")
def flipud(m: Any) -> Any:
    """`m` reversed along its first axis."""
    return flip(m, 0)


@implements(np.fliplr, view="inner")
def fliplr(m: Any) -> Any:
    """`m` reversed along its second axis."""
    return flip(m, 1)


@implements(np.rot90, view="inner")
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """`m` turned by k quarters of a circle, from the first of two axes towards the second."""
    i, j = [normalize_axis(axis, len(shape_of(m)), "rot90") for axis in axes]
    if i == j:
        raise ArgumentError(f"rot90: axes {tuple(axes)} are one axis; name two.")
    turned = flip(m, [(), j, (i, j), i][k % 4])
    return swapaxes(turned, i, j) if k % 2 else turned


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """The elements of `a` in another shape, repeated from the start as often as needed."""
    new = static_shape(new_shape)
    size, wanted = math.prod(shape_of(a)), math.prod(new)
    if min(new, default=0) < 0:
        raise ArgumentError(f"resize: new_shape {new} has a negative size; give sizes from 0.")
    if not size or not wanted:
        return apply(lambda v: zeros(Aval(new, v.aval.dtype)), a)

    def record(v: Atom) -> Atom:
        flat = structure.reshape(v, (size,))
        whole, rest = divmod(wanted, size)
        rows = structure.reshape(broadcast_to_shape(flat, (whole, size)), (whole * size,))
        return structure.reshape(
            structure.concatenate(rows, structure.slice_axis(flat, 0, 0, rest), axis=0), new
        )

    return apply(record, a)


__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "expand_dims",
    "flip", "fliplr", "flipud", "matrix_transpose", "moveaxis", "ndim", "permute_dims",
    "ravel", "reshape", "resize", "rollaxis", "rot90", "shape", "size", "squeeze", "swapaxes",
    "transpose",
]  # fmt: skip

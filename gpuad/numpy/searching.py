"""Searching functions: where, extremes by index, insertion points, indices of true elements."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnknownValueError
from gpuad.numpy._arguments import into, shape_of
from gpuad.numpy._dispatch import (
    broadcast_to_shape,
    broadcast_together,
    cast_to,
    implements,
    normalize_axes,
    normalize_axis,
)
from gpuad.primitives import elementwise as ew
from gpuad.primitives import reduction, sorting
from gpuad.primitives.declare import BOOL
from gpuad.primitives.structure import expand, reshape
from gpuad.tracing import Tracer, namespace_of
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

_WEAK = {"b": True, "i": 1, "u": 1, "f": 1.0, "c": 1j}


def common_dtype(*operands: Any) -> np.dtype:
    """The dtype that NumPy gives operands together, Python scalars being weak."""
    keys = [_WEAK[x.aval.dtype.kind] if x.aval.weak else x.aval.dtype for x in operands]
    return np.result_type(*keys)


@implements(np.where, cupy="cupy_where")
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """`x` where the condition holds, else `y`; of the condition alone, the indices of true ones.

    Only the chosen branch passes its derivative on, even if the other one is not finite.
    """
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise ArgumentError("where takes the condition alone, or with both x and y.")
    return apply(_where, condition, x, y)


def _where(condition: Any, x: Any, y: Any) -> Any:
    dtype = common_dtype(x, y)
    if condition.aval.dtype != BOOL:
        condition = ew.ne(condition, 0)
    operands = (condition, cast_to(x, dtype), cast_to(y, dtype))
    condition, x, y = broadcast_together(operands, "where")
    if x.aval.weak and y.aval.weak and condition.aval.shape:
        # An array of numbers is no longer weak.
        x = broadcast_to_shape(x, condition.aval.shape)
    return ew.select(condition, x, y)


# Extremes by index


def _arg_extreme(a: Any, axis: Any, out: Any, keepdims: bool, primitive: Any) -> Any:
    def on_vars(x: Any) -> Any:
        flat = axis is None
        ndim = x.aval.ndim
        line = reshape(x, shape=(x.aval.size,)) if flat else x
        along = 0 if flat else normalize_axis(axis, ndim, primitive.name)
        if not line.aval.shape[along]:
            raise ArgumentError(
                f"{primitive.name}: shape {x.aval.shape} has no elements along axis {axis}."
            )
        found = primitive(line, axis=along)
        return expand(found, tuple(range(ndim)) if flat else (along,)) if keepdims else found

    return into(apply(on_vars, a), out)


@implements(np.argmax, cupy="cupy_argmax")
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False,
           dtype: Any = None) -> Any:  # fmt: skip
    """The index of the first largest element, as `numpy.argmax` (`dtype` is CuPy's)."""
    return _in_dtype(_arg_extreme(a, axis, out, bool(keepdims), reduction.argmax), dtype)


@implements(np.argmin, cupy="cupy_argmin")
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False,
           dtype: Any = None) -> Any:  # fmt: skip
    """The index of the first smallest element, as `numpy.argmin` (`dtype` is CuPy's)."""
    return _in_dtype(_arg_extreme(a, axis, out, bool(keepdims), reduction.argmin), dtype)


def _in_dtype(x: Any, dtype: Any) -> Any:
    return x if dtype is None else apply(lambda v: cast_to(v, np.dtype(dtype)), x)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The number of elements that are not zero, as `numpy.count_nonzero`."""

    def on_vars(x: Any) -> Any:
        axes = normalize_axes(axis, x.aval.ndim, "count_nonzero")
        truth = x if x.aval.dtype == BOOL else ew.ne(x, 0)
        found = reduction.reduce_sum(cast_to(truth, reduction.INDEX), axes=axes)
        return expand(found, axes) if keepdims else found

    return apply(on_vars, a)


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """Where to insert `v` into the sorted `a`, as `numpy.searchsorted`."""
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side={side!r}; give 'left' or 'right'.")

    def on_vars(a: Any, v: Any, *order: Any) -> Any:
        if a.aval.ndim != 1:
            raise ArgumentError(
                f"searchsorted: a has {a.aval.ndim} axes; give one sorted axis (use vmap for more)."
            )
        line = sorting.permute_along(a, *order, axis=0) if order else a
        return sorting.searchsorted(line, v, side=side, batch=0)

    return apply(on_vars, a, v) if sorter is None else apply(on_vars, a, v, sorter)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The bin that each element falls into, as `numpy.digitize`; bins rise or fall."""
    if len(shape_of(bins)) != 1:
        raise ArgumentError(f"digitize: bins have shape {shape_of(bins)}; give a vector.")
    # NumPy's edges on the right are searched for from the left.
    side = "left" if right else "right"
    n = shape_of(bins)[0]
    if isinstance(bins, Tracer):
        if n < 2:
            return searchsorted(bins, x, side)
        falls = OPERATIONS["less"](bins[-1], bins[0])
        found = searchsorted(where(falls, bins[::-1], bins), x, side)
        return where(falls, n - found, found)
    bins = bins if hasattr(bins, "dtype") else np.asarray(bins)
    namespace_of(bins).digitize(namespace_of(bins).empty(0), bins)  # checks that they rise or fall
    if n and bins[-1] < bins[0]:
        return n - searchsorted(bins[::-1], x, side)
    return searchsorted(bins, x, side)


# Results whose shape depends on values: computed at once where the values are known.


def known(a: Any, name: str) -> Any:
    """The concrete value of `a`, for a function whose result has a shape that depends on it."""
    if not isinstance(a, Tracer):
        return a
    try:
        return a._value()
    except UnknownValueError as error:
        raise UnknownValueError(
            f"{name} gives a result whose shape depends on values, and under a transform such as "
            "jit or vmap only shapes are known. Write np.where(condition, x, y) with three "
            "arguments, count_nonzero or a sum over a mask; or find the indices outside and pass "
            "them in."
        ) from error


@implements(np.nonzero)
def nonzero(a: Any) -> Any:
    """The indices of the elements that are not zero: plain arrays, where the values are known."""
    value = known(a, "nonzero")
    return namespace_of(value).nonzero(value)


@implements(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """The flat indices of the elements that are not zero: a plain array."""
    value = known(a, "flatnonzero")
    return namespace_of(value).flatnonzero(value)


@implements(np.argwhere)
def argwhere(a: Any) -> Any:
    """The indices of the elements that are not zero, a row for each: a plain array."""
    value = known(a, "argwhere")
    return namespace_of(value).argwhere(value)


@implements(np.trim_zeros, view="inner")
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """`filt` without the zeros at its ends, front and back, where the values are known."""
    if trim.lower() not in ("fb", "bf", "f", "b"):
        raise ArgumentError(f"trim_zeros: trim={trim!r}; give 'fb', 'f' or 'b'.")
    value = known(filt, "trim_zeros")
    axes = normalize_axes(axis, value.ndim, "trim_zeros")
    places = namespace_of(value).nonzero(value)
    key = [slice(None)] * value.ndim
    for i in axes:
        found = places[i]
        first, last = (int(found.min()), int(found.max()) + 1) if found.size else (0, 0)
        from_front, from_back = "f" in trim.lower() or not found.size, "b" in trim.lower()
        key[i] = slice(first if from_front else None, last if from_back or not found.size else None)
    return filt[tuple(key)]


__all__ = [
    "argmax", "argmin", "argwhere", "count_nonzero", "digitize", "flatnonzero", "nonzero",
    "searchsorted", "trim_zeros", "where",
]  # fmt: skip

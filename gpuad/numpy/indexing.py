"""Reading by index: keys on Tracers, take and its kin, windows."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._access import counted, getitem
from gpuad.numpy._arguments import into, promote, shape_of
from gpuad.numpy._dispatch import (
    broadcast_to_shape,
    broadcast_together,
    cast_to,
    implements,
    normalize_axis,
)
from gpuad.numpy._keys import in_bounds, integers, known_mask
from gpuad.primitives import elementwise as ew
from gpuad.primitives import indexing, windows
from gpuad.primitives.structure import concatenate, move_axis, reshape
from gpuad.tracing import Tracer, namespace_of
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

OPERATIONS["_getitem"] = getitem


# take and its kin


def within(indices: Any, n: int, mode: str, name: str) -> Any:
    """Indices as `mode` reads them; "raise" leaves them, to be checked where they are used."""
    if mode == "raise":
        return indices
    if mode not in ("wrap", "clip"):
        raise ArgumentError(f"{name}: mode is {mode!r}; use 'raise', 'wrap' or 'clip'.")
    if not isinstance(indices, Tracer):
        return indices % n if mode == "wrap" else indices.clip(0, n - 1)
    if mode == "wrap":
        return apply(lambda i: ew.remainder(i, n), indices)
    return apply(lambda i: ew.clip(i, 0, n - 1), indices)


def _flat(x: Any) -> Any:
    return apply(lambda v: reshape(v, shape=(v.aval.size,)), x)


@implements(np.take)
def take(
    a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise"
) -> Any:
    """The elements of `a` at `indices` along an axis (of the flattened array, by default).

    Examples
    --------
    >>> import numpy as np, gpuad as ad, gpuad.numpy as gnp
    >>> i = np.array([0, 2, 2])
    >>> ad.grad(lambda x: gnp.take(x, i).sum())(np.zeros(3))
    array([1., 0., 2.])
    """
    if axis is None:
        a, axis = (_flat(a) if isinstance(a, Tracer) else np.ravel(a)), 0
    axis = normalize_axis(axis, len(shape_of(a)), "take")
    indices = within(integers(indices, "take"), shape_of(a)[axis], mode, "take")
    return into(getitem(a, (*(slice(None),) * axis, indices)), out)


def along(x: Atom, i: Atom, axis: int, name: str) -> tuple[Atom, Atom, tuple[int, ...]]:
    """`x` and `i` with `axis` last and the others of one shape, which comes third."""
    if i.aval.ndim != x.aval.ndim:
        raise ArgumentError(
            f"{name}: the array has {x.aval.ndim} axes and indices {i.aval.ndim}; give indices "
            "with the same number of axes."
        )
    x, i = move_axis(x, axis, x.aval.ndim - 1), move_axis(i, axis, i.aval.ndim - 1)
    try:
        shape = np.broadcast_shapes(x.aval.shape[:-1], i.aval.shape[:-1])
    except ValueError:
        raise ArgumentError(
            f"{name}: indices of shape {i.aval.shape} do not broadcast against an array of shape "
            f"{x.aval.shape} (axis {axis} moved to the end)."
        ) from None
    return (
        broadcast_to_shape(x, (*shape, x.aval.shape[-1])),
        broadcast_to_shape(i, (*shape, i.aval.shape[-1])),
        shape,
    )


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """The elements of `arr` at `indices` along an axis, the other axes aligned.

    Examples
    --------
    >>> import numpy as np, gpuad as ad, gpuad.numpy as gnp
    >>> best = lambda x: gnp.take_along_axis(x, x.argmax(axis=1)[:, None], axis=1).sum()
    >>> ad.grad(best)(np.array([[1.0, 3.0], [5.0, 2.0]]))
    array([[0., 1.],
           [1., 0.]])
    """
    if axis is None:
        arr, axis = _flat(arr) if isinstance(arr, Tracer) else np.ravel(arr), 0
    axis = normalize_axis(axis, len(shape_of(arr)), "take_along_axis")
    n = shape_of(arr)[axis]
    indices = in_bounds(integers(indices, "take_along_axis"), n, axis)

    def record(x: Atom, i: Atom) -> Atom:
        x, i, shape = along(x, counted(i, indices, n), axis, "take_along_axis")
        return move_axis(indexing.gather(x, i, batch=len(shape)), len(shape), axis)

    return apply(record, arr, indices)


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """For each element the one of the choices that the integer `a` names."""
    count = len(choices)
    indices = within(integers(a, "choose"), count, mode, "choose")
    if mode == "raise":
        indices = in_bounds(indices, count, 0)

    def record(i: Atom, *values: Atom) -> Atom:
        operands = (cast_to(i, indexing.INT), *promote(values))
        i, *choice = broadcast_together(operands, "choose")
        shape = i.aval.shape
        rows = [reshape(broadcast_to_shape(v, shape), shape=(*shape, 1)) for v in choice]
        return indexing.gather(concatenate(*rows, axis=len(shape)), i, batch=len(shape))

    return into(apply(record, indices, *choices), out)


def _true_places(condition: Any) -> Any:
    value = known_mask(condition)
    return namespace_of(value).flatnonzero(value)


@implements(np.compress)
def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    """The slices along an axis (elements of the flattened array) where a known condition holds."""
    return take(a, _true_places(condition), axis=axis, out=out)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The elements of `arr`, flattened, where a known condition holds."""
    return take(arr, _true_places(condition))


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each element the choice whose condition is the first that holds, else the default."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ArgumentError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices; give one choice "
            "for each condition, and at least one."
        )
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        if not hasattr(condition, "dtype"):
            condition = np.asarray(condition)
        if condition.dtype.kind != "b":
            raise ArgumentError(
                f"select: a condition has dtype {condition.dtype}; give booleans, such as x > 0."
            )
        result = OPERATIONS["where"](condition, choice, result)
    return result


# Windows


def checked_starts(x: Any, starts: Any, sizes: Any, name: str) -> list[Any]:
    shape = shape_of(x)
    starts = list(starts) if isinstance(starts, list | tuple) else [starts]
    if not len(starts) == len(sizes) == len(shape):
        raise ArgumentError(
            f"{name}: x has {len(shape)} axes, and there are {len(starts)} starts and {len(sizes)} "
            "sizes; give one of each for every axis."
        )
    if any(not 0 <= size <= n for size, n in zip(sizes, shape, strict=True)):
        raise ArgumentError(
            f"{name}: a window of sizes {tuple(sizes)} does not fit into an array of shape "
            f"{shape}; give sizes no larger than the axes."
        )
    return starts


def int_scalar(i: Atom) -> Atom:
    if i.aval.shape or i.aval.dtype.kind not in "iu":
        raise ArgumentError(
            f"starts: an integer without axes is expected for each axis, got {i.aval}."
        )
    return cast_to(i, indexing.INT)


@implements()
def dynamic_slice(x: Any, starts: Any, sizes: Any) -> Any:
    """The window of `x` of these sizes that begins at `starts`, which may be traced integers.

    `starts` and `sizes` have an integer for each axis; a window that would reach over the edge is
    moved inside.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.dynamic_slice(np.arange(5.0), [3], [3])
    array([2., 3., 4.])
    """
    sizes = tuple([int(n) for n in sizes])
    starts = checked_starts(x, starts, sizes, "dynamic_slice")
    return apply(
        lambda v, *at: windows.dynamic_slice(v, *map(int_scalar, at), sizes=sizes), x, *starts
    )


__all__ = ["choose", "compress", "dynamic_slice", "extract", "select", "take", "take_along_axis"]

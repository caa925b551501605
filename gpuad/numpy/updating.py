"""Updates: in place (the Tracer gets a new value), and as functions that return a new array."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._access import ADD, MAX, MIN, MUL, SET, counted, fit, in_dtype, update
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import broadcast_to_shape, implements, normalize_axis
from gpuad.numpy._keys import in_bounds, integers, known_mask
from gpuad.numpy.indexing import along, checked_starts, int_scalar, within
from gpuad.primitives import elementwise as ew
from gpuad.primitives import indexing, windows
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import move_axis, reshape
from gpuad.tracing import Tracer, namespace_of
from gpuad.tracing.operators import ArrayLike, updatable
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

OPERATIONS["_setitem"] = lambda x, key, value: update(x, key, value, SET)


class _Places:
    """``x.at``: takes the key."""

    __slots__ = ("_x",)

    def __init__(self, x: Any):
        self._x = x

    def __getitem__(self, key: Any) -> "_Updates":
        return _Updates(self._x, key)


class _Updates:
    """``x.at[key]``: updates that return a new array."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any):
        self._x = x
        self._key = key

    def get(self) -> Any:
        return self._x[self._key]

    def set(self, value: Any) -> Any:
        return update(self._x, self._key, value, SET)

    def add(self, value: Any) -> Any:
        return update(self._x, self._key, value, ADD)

    def mul(self, value: Any) -> Any:
        return update(self._x, self._key, value, MUL)

    multiply = mul

    def min(self, value: Any) -> Any:
        return update(self._x, self._key, value, MIN)

    def max(self, value: Any) -> Any:
        return update(self._x, self._key, value, MAX)


OPERATIONS["_places"] = _Places


@implements()
def scatter_set(x: Any, key: Any, value: Any) -> Any:
    """`x` with `value` in the place of ``x[key]``, as a new array; of duplicates the last wins.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.scatter_set(np.zeros(3), np.array([0, 0]), np.array([1.0, 2.0]))
    array([2., 0., 0.])
    """
    return update(x, key, value, SET)


@implements()
def scatter_add(x: Any, key: Any, value: Any) -> Any:
    """`x` with `value` added to ``x[key]``, as a new array; duplicates add up.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.scatter_add(np.zeros(3), np.array([0, 0, 2]), np.array([1.0, 2.0, 5.0]))
    array([3., 0., 5.])
    """
    return update(x, key, value, ADD)


@implements()
def scatter_mul(x: Any, key: Any, value: Any) -> Any:
    """`x` with ``x[key]`` multiplied by `value`, as a new array; duplicates multiply.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.scatter_mul(np.ones(3), np.array([0, 0, 2]), np.array([2.0, 3.0, 5.0]))
    array([6., 1., 5.])
    """
    return update(x, key, value, MUL)


@implements()
def scatter_min(x: Any, key: Any, value: Any) -> Any:
    """`x` with the minimum of ``x[key]`` and `value`, as a new array; ties share the derivative.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.scatter_min(np.ones(3), np.array([0, 0, 2]), np.array([2.0, -3.0, 5.0]))
    array([-3.,  1.,  1.])
    """
    return update(x, key, value, MIN)


@implements()
def scatter_max(x: Any, key: Any, value: Any) -> Any:
    """`x` with the maximum of ``x[key]`` and `value`, as a new array; ties share the derivative.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.scatter_max(np.ones(3), np.array([0, 0, 2]), np.array([2.0, -3.0, 5.0]))
    array([2., 1., 5.])
    """
    return update(x, key, value, MAX)


_AT = {
    np.add: (ADD, None),
    np.subtract: (ADD, "negative"),
    np.multiply: (MUL, None),
    np.minimum: (MIN, None),
    np.maximum: (MAX, None),
}


def ufunc_at(ufunc: Any, target: Any, key: Any, *value: Any) -> None:
    """``ufunc.at(target, key, value)``: the target gets a new value."""
    if ufunc not in _AT or len(value) != 1:
        known = ", ".join([f"{f.__name__}.at" for f in _AT])
        raise UnsupportedError(
            f"{ufunc.__name__}.at cannot be recorded; there are {known}. If no place comes twice, "
            f"write x[i] = {ufunc.__name__}(x[i], v)."
        )
    combine, before = _AT[ufunc]
    (v,) = value
    target = updatable(target)
    target._rebind(update(target, key, OPERATIONS[before](v) if before else v, combine))


OPERATIONS["_at"] = ufunc_at


@implements()
def dynamic_update_slice(x: Any, u: Any, starts: Any) -> Any:
    """`x` with `u` in the place of the window that begins at `starts`; see `dynamic_slice`.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.dynamic_update_slice(np.zeros(5), np.array([1.0, 2.0]), [4])
    array([0., 0., 0., 1., 2.])
    """
    starts = checked_starts(x, starts, shape_of(u), "dynamic_update_slice")

    def record(v: Atom, w: Atom, *at: Atom) -> Atom:
        w = in_dtype(w, v.aval.dtype)
        return windows.dynamic_update_slice(v, w, *map(int_scalar, at))

    return apply(record, x, u, *starts)


# put and its kin


def _cycled(u: Atom, count: int) -> Atom:
    """The elements of `u`, repeated until there are `count`."""
    size = u.aval.size
    u = reshape(u, shape=(size,))
    if size == count:
        return u
    if size == 1:
        return broadcast_to_shape(u, (count,))
    return indexing.gather(u, ew.remainder(iota((count,)), size), batch=0)


def _put(target: ArrayLike, indices: Any, values: Any, unique: bool) -> None:
    """Stores values, repeated as needed, at indices into the flattened target."""
    if not np.size(indices) or 0 in shape_of(values):
        return
    n = target.size
    indices = in_bounds(indices, n, 0)

    def record(x: Atom, u: Atom, i: Atom) -> Atom:
        count = i.aval.size
        i = reshape(counted(i, indices, n), shape=(count,))
        u = _cycled(in_dtype(u, x.aval.dtype), count)
        flat = indexing.scatter_set(reshape(x, shape=(n,)), u, i, batch=0, unique=unique)
        return reshape(flat, shape=x.aval.shape)

    target._rebind(apply(record, target, values, indices))


@implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Stores values at indices into the flattened array, in place: the Tracer gets a new value."""
    target = updatable(a)
    _put(target, within(integers(ind, "put"), target.size, mode, "put"), v, unique=False)


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """Stores the first values, repeated as needed, where the mask holds, in place."""
    target = updatable(arr)
    mask = known_mask(mask)
    _put(target, namespace_of(mask).flatnonzero(mask), vals, unique=True)


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """``a.flat[n] = values[n % size]`` where the mask holds, in place."""

    def record(x: Atom, m: Atom, u: Atom) -> Atom:
        u = _cycled(in_dtype(u, x.aval.dtype), x.aval.size)
        return ew.select(m, reshape(u, shape=x.aval.shape), x)

    target = updatable(a)
    target._rebind(apply(record, target, _shaped_mask(mask, target, "putmask"), values))


def _shaped_mask(mask: Any, target: ArrayLike, name: str) -> Any:
    mask = mask if isinstance(mask, Tracer) else np.asarray(mask)
    if mask.shape != target.shape or mask.dtype.kind != "b":
        raise ArgumentError(
            f"{name}: mask is {mask.dtype}{list(mask.shape)} and the array has shape "
            f"{target.shape}; give booleans of that shape."
        )
    return mask


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Stores an array, repeated as needed, in place: the Tracer gets a new value."""

    def record(x: Atom, u: Atom, m: Atom) -> Atom:
        u = fit(in_dtype(u, x.aval.dtype), x.aval.shape)
        return u if where is True else ew.select(broadcast_to_shape(m, x.aval.shape), u, x)

    target = updatable(dst)
    target._rebind(apply(record, target, src, where))


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """Stores values at indices along an axis, in place: the Tracer gets a new value."""
    target = updatable(arr)
    if axis is None:
        return _put(target, integers(indices, "put_along_axis"), values, unique=False)
    axis = normalize_axis(axis, target.ndim, "put_along_axis")
    indices = in_bounds(integers(indices, "put_along_axis"), target.shape[axis], axis)

    def record(x: Atom, u: Atom, i: Atom) -> Atom:
        moved, i, shape = along(x, counted(i, indices, x.aval.shape[axis]), axis, "put_along_axis")
        if moved.aval.shape[:-1] != shape or moved.aval.size != x.aval.size:
            raise ArgumentError(
                f"put_along_axis: indices of shape {indices.shape} reach beyond an array of shape "
                f"{x.aval.shape}; give indices no larger than the array along the other axes."
            )
        places = list(i.aval.shape)
        places.insert(axis, places.pop())
        u = move_axis(fit(in_dtype(u, x.aval.dtype), tuple(places)), axis, x.aval.ndim - 1)
        out = indexing.scatter_set(moved, u, i, batch=x.aval.ndim - 1, unique=False)
        return move_axis(out, x.aval.ndim - 1, axis)

    target._rebind(apply(record, target, values, indices))


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Stores values, repeated as needed, on the main diagonal, in place."""
    target = updatable(a)
    shape = target.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ArgumentError(
            f"fill_diagonal: the array has shape {shape}; it takes matrices, and arrays of more "
            "axes if all have one length."
        )
    step = sum(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    end = shape[1] * shape[1] if len(shape) == 2 and not wrap else target.size
    _put(target, np.arange(0, min(end, target.size), step), val, unique=True)


__all__ = [
    "copyto", "dynamic_update_slice", "fill_diagonal", "place", "put", "put_along_axis", "putmask",
    "scatter_add", "scatter_max", "scatter_min", "scatter_mul", "scatter_set",
]  # fmt: skip

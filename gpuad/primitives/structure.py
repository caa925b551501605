"""Structure primitives: they move elements and never combine them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import CATALOGUE, Axes
from gpuad.ir.ranges import Range, union
from gpuad.ir.rows import inner, order_of_axes, without_axis
from gpuad.primitives.declare import Role, linear

# Rules for one row (`Primitive.in_row`). They give the axes of the operand's row that are left
# (None: all), and the parameters for the row.

InRow = tuple[tuple[int, ...] | None, dict[str, Any]]


def in_row_of_axes(params: dict[str, Any], from_axis: int | None, axis: int | None) -> InRow:
    """Of an operation over `axes` of its operand."""
    return None, {"axes": without_axis(params["axes"], from_axis)}


def in_row_of_axis(params: dict[str, Any], from_axis: int | None, axis: int | None) -> InRow:
    """Of an operation along one `axis`."""
    return None, {"axis": without_axis((params["axis"],), axis)[0]}


def _in_row_along(params: dict[str, Any], from_axis: int | None, axis: int | None) -> InRow:
    """Of an operation whose parameters have a number for each axis."""
    return None, {k: inner(p, axis) for k, p in params.items()}


# broadcast: axis i of the operand becomes axis dims[i] of the result.

_FRESH = 1000
"""Labels from here on correspond to no other axis: they are of axes of size 1 that are
stretched."""


def _broadcast_array(xp: Any, x: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    if xp is np:
        x = np.asarray(x)
        if x.flags.c_contiguous and x.size:
            return _stretched(x, shape, dims)
    x = _of_namespace(xp, x)
    if len(dims) != len(shape):
        full = [1] * len(shape)
        for d, n in zip(dims, x.shape, strict=True):
            full[d] = n
        x = x.reshape(full)
    return xp.broadcast_to(x, shape)


def _of_namespace(xp: Any, x: Any) -> Any:
    """A NumPy number as an array of CuPy. It is filled by a kernel; asarray would copy from the
    host."""
    return xp.full((), x, x.dtype) if isinstance(x, np.generic) and xp is not np else x


def _stretched(x: np.ndarray, shape: tuple[int, ...], dims: tuple[int, ...]) -> np.ndarray:
    """The same view as np.broadcast_to makes, in a sixth of the time."""
    strides = [0] * len(shape)
    for d, n, stride in zip(dims, x.shape, x.strides, strict=True):
        if n == shape[d]:
            strides[d] = stride
    view = np.ndarray(shape, x.dtype, x, 0, strides)
    view.flags.writeable = False
    return view


def reshaped(x: Aval, shape: tuple[int, ...]) -> Aval:
    """The aval with another shape. Only a value without axes can have a weak dtype."""
    return Aval(shape, x.dtype, x.weak and not shape)


def _broadcast_transpose(ct: Any, x: Aval, shape: Any, dims: tuple[int, ...]) -> Any:
    stretched = [d for d, n in zip(dims, x.shape, strict=True) if n != shape[d]]
    new = [d for d in range(len(shape)) if d not in dims]
    return reshape(_sum(ct, (*new, *stretched)), shape=x.shape)


def _sum(x: Any, axes: Sequence[int]) -> Any:
    return CATALOGUE["reduce_sum"](x, axes=tuple(sorted(axes))) if axes else x


def _broadcast_axes(operands: Any, outputs: Any, shape: Any, dims: Any) -> Axes:
    x = operands[0]
    labels = [d if n == shape[d] else _FRESH + d for d, n in zip(dims, x.shape, strict=True)]
    return Axes((tuple(labels),), (tuple(range(len(shape))),))


def _broadcast_in_row(params: dict[str, Any], from_axis: int | None, axis: int | None) -> InRow:
    """An axis of size 1 that is repeated along the rows is not left."""
    dims = inner(params["dims"], from_axis)
    kept = tuple([k for k, d in enumerate(dims) if d != axis])
    return kept, {"shape": inner(params["shape"], axis), "dims": without_axis(dims, axis)}


def _with_length(params: dict[str, Any], axis: int, n: int) -> dict[str, Any]:
    shape = params["shape"]
    return {**params, "shape": (*shape[:axis], n, *shape[axis + 1 :])}


broadcast = linear(
    "broadcast",
    moves=True,
    infer=lambda x, shape, dims: reshaped(x, shape),
    run=_broadcast_array,
    axes=_broadcast_axes,
    transpose=_broadcast_transpose,
    lift=lambda size, shape, dims: {
        "shape": (size, *shape),
        "dims": (0, *[d + 1 for d in dims]),
    },
    role=Role.VIEW,
    in_row=_broadcast_in_row,
    resized=_with_length,
)


# reshape


def _reshape_axes(operands: Any, outputs: Any, shape: Any) -> Axes:
    """Axes that keep their size and their place in memory order keep their label."""
    old, new = operands[0].shape, shape
    labels_old: list[int | None] = [None] * len(old)
    labels_new: list[int | None] = [None] * len(new)
    i = j = 0
    before_old = before_new = 1
    while i < len(old) and j < len(new):
        if before_old == before_new and old[i] == new[j]:
            labels_old[i] = labels_new[j] = j
            before_old, before_new = before_old * old[i], before_new * new[j]
            i, j = i + 1, j + 1
        elif before_old * old[i] <= before_new * new[j]:
            before_old *= old[i]
            i += 1
        else:
            before_new *= new[j]
            j += 1
    return Axes((tuple(labels_old),), (tuple(labels_new),))


def _reshape_in_row(params: dict[str, Any], from_axis: int | None, axis: int | None) -> InRow:
    return None, {"shape": inner(params["shape"], axis)}


_reshape = linear(
    "reshape",
    moves=True,
    infer=lambda x, shape: reshaped(x, shape),
    run=lambda xp, x, shape: _of_namespace(xp, x).reshape(shape),
    axes=_reshape_axes,
    transpose=lambda ct, x, shape: reshape(ct, shape=x.shape),
    lift=lambda size, shape: {"shape": (size, *shape)},
    role=Role.VIEW,
    in_row=_reshape_in_row,
    view=lambda x, shape: np.reshape(x, shape, copy=False),
    resized=_with_length,
)


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` with a new shape; nothing recorded if it has it already."""
    return x if x.aval.shape == shape else _reshape(x, shape=shape)


def expand(x: Any, axes: Sequence[int]) -> Any:
    """`x` with axes of size 1 in these places of the result."""
    sizes = iter(x.aval.shape)
    ndim = x.aval.ndim + len(axes)
    return reshape(x, shape=tuple([1 if i in axes else next(sizes) for i in range(ndim)]))


# transpose: axis i of the result is axis perm[i] of the operand.


def inverse_permutation(perm: Sequence[int]) -> tuple[int, ...]:
    inverse = [0] * len(perm)
    for i, p in enumerate(perm):
        inverse[p] = i
    return tuple(inverse)


def _transpose_in_row(params: dict[str, Any], from_axis: int | None, axis: int | None) -> InRow:
    perm = [p for p in params["perm"] if p != from_axis]
    return None, {"perm": without_axis(perm, from_axis)}


_transpose = linear(
    "transpose",
    moves=True,
    infer=lambda x, perm: x.with_shape(tuple([x.shape[p] for p in perm])),
    run=lambda xp, x, perm: x.transpose(perm),
    axes=lambda operands, outputs, perm: Axes((tuple(range(len(perm))),), (perm,)),
    transpose=lambda ct, x, perm: transpose(ct, perm=inverse_permutation(perm)),
    lift=lambda size, perm: {"perm": (0, *[p + 1 for p in perm])},
    role=Role.VIEW,
    in_row=_transpose_in_row,
)


def transpose(x: Any, perm: tuple[int, ...]) -> Any:
    """`x` with its axes permuted; nothing recorded for the identity."""
    return x if perm == tuple(range(len(perm))) else _transpose(x, perm=perm)


def move_axis(x: Any, source: int, destination: int) -> Any:
    """`x` with one axis moved."""
    perm = [i for i in range(x.aval.ndim) if i != source]
    perm.insert(destination, source)
    return transpose(x, perm=tuple(perm))


# slice and pad are each other's transposes.


def _slice_length(start: int, stop: int, step: int) -> int:
    return max(0, -(-(stop - start) // step))


def _slice_infer(x: Aval, starts: Any, stops: Any, steps: Any) -> Aval:
    return x.with_shape(tuple(map(_slice_length, starts, stops, steps)))


def _slice_array(xp: Any, x: Any, starts: Any, stops: Any, steps: Any) -> Any:
    return x[tuple(map(slice, starts, stops, steps))]


def _slice_transpose(ct: Any, x: Aval, starts: Any, stops: Any, steps: Any) -> Any:
    high = [
        n - (start + (m - 1) * step + 1 if m else start)
        for n, m, start, step in zip(x.shape, ct.aval.shape, starts, steps, strict=True)
    ]
    return pad(ct, low=starts, high=tuple(high), step=steps)


def _kept_axes(operands: Any, outputs: Any) -> Axes:
    """Axes whose size does not change are independent, the others opaque."""
    old = outputs[0].shape
    labels = [i if n == old[i] else None for i, n in enumerate(operands[0].shape)]
    return Axes((tuple(labels),), (tuple(labels),))


def _slice_resized(params: dict[str, Any], axis: int, n: int) -> dict[str, Any]:
    stops = params["stops"]
    return {**params, "stops": (*stops[:axis], n, *stops[axis + 1 :])}


_slice = linear(
    "slice",
    moves=True,
    infer=_slice_infer,
    run=_slice_array,
    axes=lambda operands, outputs, starts, stops, steps: _kept_axes(operands, outputs),
    transpose=_slice_transpose,
    lift=lambda size, starts, stops, steps: {
        "starts": (0, *starts),
        "stops": (size, *stops),
        "steps": (1, *steps),
    },
    role=Role.VIEW,
    in_row=_in_row_along,
    resized=_slice_resized,
)


def slice_(
    x: Any, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...] | None = None
) -> Any:
    """``x[start:stop:step]`` along every axis, for steps above zero."""
    steps = steps or (1,) * len(starts)
    if stops == x.aval.shape and not any(starts) and all(s == 1 for s in steps):
        return x
    return _slice(x, starts=starts, stops=stops, steps=steps)


def slice_axis(x: Any, axis: int, start: int, stop: int) -> Any:
    """``x[..., start:stop, ...]`` along one axis."""
    shape = x.aval.shape
    starts = [0] * len(shape)
    stops = list(shape)
    starts[axis], stops[axis] = start, stop
    return slice_(x, tuple(starts), tuple(stops))


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements with index2 - index1 = offset; their axis comes last.

    The two axes are joined, and every (n + 1)-th element is taken: a view in NumPy.
    """
    m, n = x.aval.shape[axis1], x.aval.shape[axis2]
    others = [i for i in range(x.aval.ndim) if i not in (axis1, axis2)]
    lead = tuple([x.aval.shape[i] for i in others])
    flat = reshape(transpose(x, perm=(*others, axis1, axis2)), shape=(*lead, m * n))
    start = offset if offset >= 0 else -offset * n
    count = max(0, min(m, n - offset) if offset >= 0 else min(m + offset, n))
    starts = (*(0,) * len(lead), start if count else 0)
    stops = (*lead, start + (count - 1) * (n + 1) + 1 if count else 0)
    return slice_(flat, starts, stops, (*(1,) * len(lead), n + 1))


def _padded_length(n: int, low: int, high: int, step: int) -> int:
    return low + high + ((n - 1) * step + 1 if n else 0)


def _pad_infer(x: Aval, low: Any, high: Any, step: Any) -> Aval:
    return x.with_shape(tuple(map(_padded_length, x.shape, low, high, step)))


def _pad_array(xp: Any, x: Any, low: Any, high: Any, step: Any) -> Any:
    shape = [*map(_padded_length, x.shape, low, high, step)]
    order = order_of_axes(x)
    out = xp.zeros([shape[k] for k in order], x.dtype).transpose(np.argsort(order).tolist())
    out[_padded_slices(x.shape, low, step)] = x
    return out


def _padded_slices(shape: Any, low: Any, step: Any) -> tuple[slice, ...]:
    return tuple(
        [
            slice(a, a + (n - 1) * s + 1 if n else a, s)
            for n, a, s in zip(shape, low, step, strict=True)
        ]
    )


def _pad_transpose(ct: Any, x: Aval, low: Any, high: Any, step: Any) -> Any:
    slices = _padded_slices(x.shape, low, step)
    return slice_(
        ct,
        tuple([s.start for s in slices]),
        tuple([s.stop for s in slices]),
        tuple([s.step for s in slices]),
    )


def _pad_parts(shapes: Any, low: Any, high: Any, step: Any) -> list[tuple[slice, ...]]:
    return [_padded_slices(shapes[0], low, step)]


# Zeros before, after and (step - 1 of them) between the elements along each axis.
pad = linear(
    "pad",
    moves=True,
    range=lambda x, low, high, step: union(x, Range(0, 0)),
    infer=_pad_infer,
    run=_pad_array,
    axes=lambda operands, outputs, low, high, step: _kept_axes(operands, outputs),
    transpose=_pad_transpose,
    lift=lambda size, low, high, step: {
        "low": (0, *low),
        "high": (0, *high),
        "step": (1, *step),
    },
    role=Role.COPY,
    in_row=_in_row_along,
    parts=_pad_parts,
    workspace=0.0,
)


# concatenate


def _concatenate_infer(*xs: Aval, axis: int) -> Aval:
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    return Aval(tuple(shape), xs[0].dtype)


def _concatenate_transpose(ct: Any, *xs: Any, axis: int) -> Any:
    cts, start = [], 0
    for x in xs:
        aval = x if isinstance(x, Aval) else x.aval
        stop = start + aval.shape[axis]
        cts.append(slice_axis(ct, axis, start, stop) if isinstance(x, Aval) else None)
        start = stop
    return tuple(cts)


def _concatenate_axes(operands: Any, outputs: Any, axis: int) -> Axes:
    labels = tuple([None if i == axis else i for i in range(outputs[0].ndim)])
    return Axes((labels,) * len(operands), (labels,))


def _concatenate_parts(shapes: Any, axis: int) -> list[tuple[slice, ...]]:
    parts, start = [], 0
    for shape in shapes:
        stop = start + shape[axis]
        parts.append(
            tuple([slice(start, stop) if k == axis else slice(0, n) for k, n in enumerate(shape)])
        )
        start = stop
    return parts


concatenate = linear(
    "concatenate",
    moves=True,
    range=lambda *xs, axis: union(*xs),
    infer=_concatenate_infer,
    run=lambda xp, *xs, axis: xp.concatenate(xs, axis),
    axes=_concatenate_axes,
    transpose=_concatenate_transpose,
    lift=lambda size, axis: {"axis": axis + 1},
    role=Role.COPY,
    in_row=in_row_of_axis,
    parts=_concatenate_parts,
    workspace=0.0,
)


# flip

_ALL, _BACKWARDS = slice(None), slice(None, None, -1)


def _flip_axes(operands: Any, outputs: Any, axes: tuple[int, ...]) -> Axes:
    labels = tuple([None if i in axes else i for i in range(outputs[0].ndim)])
    return Axes((labels,), (labels,))


flip = linear(
    "flip",
    moves=True,
    infer=lambda x, axes: x,
    run=lambda xp, x, axes: x[tuple([_BACKWARDS if i in axes else _ALL for i in range(x.ndim)])],
    axes=_flip_axes,
    transpose=lambda ct, x, axes: flip(ct, axes=axes),
    lift=lambda size, axes: {"axes": tuple([a + 1 for a in axes])},
    role=Role.VIEW,
    in_row=in_row_of_axes,
)

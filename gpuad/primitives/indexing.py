"""Indexing primitives: `gather` reads at places given by index arrays, the scatters write there.

Shapes, with B batch axes, N indexed axes, R the rest and I the axes of the indices::

    x: (B..., N..., R...)    each index: (B..., I...)    gathered or written: (B..., I..., R...)

Indices are int64 and not negative (negative ones in a user's key are wrapped while recording). If
one is out of range, NumPy raises when the graph runs; on a GPU nothing is checked, and the result
is undefined, as CuPy's is, but no memory outside of the arrays is reached: another row is read, and
an update is dropped or added to another row.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.errors import GraphError
from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import CATALOGUE, Axes, zeros
from gpuad.ir.ranges import union
from gpuad.primitives.declare import Role, differentiable, linear, with_leading_axis
from gpuad.primitives.elementwise import (
    add,
    as_weight,
    bit_or,
    div,
    eq,
    is_nan,
    keep,
    maximum,
    mul,
    select,
)
from gpuad.primitives.sorting import argsort
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import broadcast, flip, move_axis, pad, reshape, slice_axis
from gpuad.primitives.summing import RUN, WIDE

INT = np.dtype(np.int64)
AT_ONCE = 1 << 16
"""Updates that are converted to double precision at a time."""


def aval_of(x: Any) -> Aval:
    return x if isinstance(x, Aval) else x.aval


def _read_shape(name: str, x: Aval, indices: Sequence[Aval], batch: int) -> tuple[int, ...]:
    """The shape (B..., I..., R...), after checking the indices."""
    shape = indices[0].shape
    if any(i.shape != shape or i.dtype != INT for i in indices) or shape[:batch] != x.shape[:batch]:
        raise GraphError(
            f"{name}: indices {list(indices)} of {x} with {batch} batch axes; give int64 indices "
            "of one shape, whose first axes are the batch axes"
        )
    return shape + x.shape[batch + len(indices) :]


# gather


def _gather_array(xp: Any, x: Any, *indices: Any, batch: int) -> Any:
    if batch == 0 and len(indices) == 1 and x.flags.c_contiguous:
        return x.take(indices[0], 0)
    return x[(*_batch_indices(xp, x.shape, np.ndim(indices[0]), batch), *indices)]


def _batch_indices(xp: Any, shape: Sequence[int], ndim: int, batch: int) -> list[Any]:
    """An index array for each batch axis, which picks every position along it once."""
    return [
        xp.arange(shape[d]).reshape([-1 if i == d else 1 for i in range(ndim)])
        for d in range(batch)
    ]


def _gather_axes(operands: Any, outputs: Any, batch: int) -> Axes:
    indices = operands[1:]
    first = indices[0].ndim
    of_x = (*range(batch), *(None,) * len(indices), *range(first, outputs[0].ndim))
    of_index = tuple(range(first))
    return Axes((of_x, *[of_index] * len(indices)), (tuple(range(outputs[0].ndim)),))


def _gather_batch(size: int, operands: Any, mapped: Sequence[bool], params: dict) -> Any:
    x, *indices = operands
    batch, ndim = params["batch"], indices[0].aval.ndim
    if not any(mapped[1:]):
        # The new axis is one more of the rest: the indices need not be repeated.
        x = move_axis(x, 0, batch + len(indices))
        return move_axis(gather(x, *indices, batch=batch), ndim, 0), True
    indices = [with_leading_axis(size, i, on) for i, on in zip(indices, mapped[1:], strict=True)]
    if batch == 0 and not mapped[0]:
        return gather(x, *indices, batch=0), True
    x = with_leading_axis(size, x, mapped[0])
    return gather(x, *indices, batch=batch + 1), True


gather = linear(
    "gather",
    moves=True,
    infer=lambda x, *indices, batch: x.with_shape(_read_shape("gather", x, indices, batch)),
    run=_gather_array,
    axes=_gather_axes,
    transpose=lambda ct, x, *indices, batch: (
        scatter_add(zeros(x), ct, *indices, batch=batch), *[None] * len(indices)
    ),
    batch=_gather_batch,
    operands=1,
    role=Role.GATHER,
)  # fmt: skip


# The scatters: x with u combined into it. Updates of one place are combined in their order.


def _scatter_infer(name: str) -> Callable[..., Aval]:
    def infer(x: Aval, u: Aval, *indices: Aval, batch: int, **params: Any) -> Aval:
        if u.shape != _read_shape(name, x, indices, batch) or u.dtype != x.dtype:
            raise GraphError(f"{name}: updates {u} do not fit into {x}; broadcast and cast first")
        return x.with_dtype(x.dtype)

    return infer


def _scatter_axes(operands: Any, outputs: Any, batch: int, **params: Any) -> Axes:
    x, _, *indices = operands
    of_x = (*range(batch), *(None,) * len(indices), *range(batch + len(indices), x.ndim))
    opaque = (None,) * (indices[0].ndim - batch)
    of_u = (*range(batch), *opaque, *range(batch + len(indices), x.ndim))
    of_index = (*range(batch), *opaque)
    return Axes((of_x, of_u, *[of_index] * len(indices)), (of_x,))


def _scatter_batch(name: str) -> Callable[..., Any]:
    def batch(size: int, operands: Any, mapped: Sequence[bool], params: dict) -> Any:
        lead, ndim = params["batch"] + len(operands) - 2, operands[2].aval.ndim
        pairs = list(zip(operands, mapped, strict=True))
        x, u = [with_leading_axis(size, o, on) for o, on in pairs[:2]]
        if not any(mapped[2:]):
            x, u = move_axis(x, 0, lead), move_axis(u, 0, ndim)
            return move_axis(CATALOGUE[name](x, u, *operands[2:], **params), lead, 0), True
        indices = [with_leading_axis(size, o, on) for o, on in pairs[2:]]
        params = {**params, "batch": params["batch"] + 1}
        return CATALOGUE[name](x, u, *indices, **params), True

    return batch


def _places(xp: Any, shape: Sequence[int], indices: Sequence[Any], batch: int) -> Any:
    """The indices as one flat index array, into the batch and indexed axes merged into one axis."""
    if xp is np:
        for axis, i in enumerate(indices, batch):
            _check_bounds(i, axis, shape[axis])
    parts = [*_batch_indices(xp, shape, np.ndim(indices[0]), batch), *indices]
    flat = parts[0]
    for part, n in zip(parts[1:], shape[1:], strict=False):
        flat = flat * n + part
    return xp.ravel(flat)


def _check_bounds(index: Any, axis: int, n: int) -> None:
    if np.size(index) and (np.min(index) < 0 or np.max(index) >= n):
        bad = np.min(index) if np.min(index) < 0 else np.max(index)
        raise IndexError(f"index {bad} is out of bounds for axis {axis} with size {n}")


def _scatter_array(combine: str | None) -> Callable[..., Any]:
    def run(xp: Any, x: Any, u: Any, *indices: Any, batch: int, **params: Any) -> Any:
        lead = batch + len(indices)
        count, rest = math.prod(x.shape[:lead]), math.prod(x.shape[lead:])
        places = _places(xp, x.shape, indices, batch)
        u = u.reshape(len(places), rest)
        if xp is not np:
            return _combine_sorted(xp, combine, x.reshape(count, rest), u, places).reshape(x.shape)
        if combine == "add" and x.dtype in WIDE and len(places) >= RUN * count:
            return _added_wide(x, u, places)
        out = x.copy()
        if combine is None:
            out.reshape(count, rest)[places] = u
        else:
            getattr(np, combine).at(out.reshape(-1), _elements(places, rest), u.ravel())
        return out

    return run


def _elements(places: Any, rest: int) -> Any:
    """The places of all elements of rows: ufunc.at is five times as fast with these as with
    rows."""
    return places if rest == 1 else (places[:, None] * rest + np.arange(rest)).ravel()


def _added_wide(x: Any, u: Any, places: Any) -> Any:
    """Updates added in double precision, for many in each place; in parts, which need less
    memory."""
    out = x.astype(WIDE[x.dtype], "C")
    step = max(1, AT_ONCE // max(1, u.shape[1]))
    for lo in range(0, len(places), step):
        part = u[lo : lo + step]
        each = _elements(places[lo : lo + step], part.shape[1])
        np.add.at(out.reshape(-1), each, part.ravel().astype(out.dtype))
    return out.astype(x.dtype)


def _scatter_workspace(combine: str | None) -> Callable[..., int]:
    def workspace(e: Equation, operands: Sequence[Any]) -> int:
        """Flat indices while they are computed, and copies of what is not in C order.
        `ufunc.at` takes indices of the elements of rows, which it buffers; sums of many updates are
        in double precision."""
        x, u, index = [v.aval for v in e.operands[:3]]
        parts = e.params["batch"] + len(e.operands) - 2
        size = INT.itemsize * index.size * min(parts, 3) if parts > 1 else 0
        taken = [np.asarray(y) for y in (operands[1:3] if parts == 1 else operands[1:2])]
        size += sum([y.nbytes for y in taken if not y.flags.c_contiguous])
        if combine is None:
            return size
        of_elements = u.size + index.size if u.size > index.size else 0
        size += INT.itemsize * (of_elements + np.getbufsize())
        if x.dtype in WIDE:
            size += x.size * np.dtype(WIDE[x.dtype]).itemsize
        return size

    return workspace


def _order(xp: Any, places: Any) -> Any:
    """The stable order along the last axis (CuPy's argsort is always stable)."""
    return np.argsort(places, -1, kind="stable") if xp is np else xp.argsort(places, -1)


def _combine_sorted(xp: Any, combine: str | None, x: Any, u: Any, places: Any) -> Any:
    """Rows `u` combined into the rows of `x`: sort by place, then combine neighbours of one place
    at distances 1, 2, 4, ... The order is fixed, nothing is atomic, nothing waits for the host."""
    operation = getattr(xp, combine) if combine else lambda earlier, later: later
    if not len(places) or not len(x):
        return x.copy()
    order = _order(xp, places)
    places, u = places[order], u[order]
    step = 1
    while step < len(places):
        same = (places[step:] == places[:-step])[:, None]
        joined = xp.where(same, operation(u[:-step], u[step:]), u[step:])
        u = xp.concatenate([u[:step], joined])
        step *= 2
    every = xp.arange(len(x))
    last = xp.maximum(xp.searchsorted(places, every, side="right") - 1, 0)
    return xp.where((places[last] == every)[:, None], operation(x, u[last]), x)


def _scatter_add_transpose(ct: Any, x: Any, u: Any, *indices: Any, batch: int) -> Any:
    return (
        ct if isinstance(x, Aval) else None,
        gather(ct, *indices, batch=batch) if isinstance(u, Aval) else None,
        *[None] * len(indices),
    )


def _scatter_add_axes(operands: Any, outputs: Any, batch: int) -> Axes:
    """Without batch axes it is a sum over the axes of the indices, added to what there was."""
    axes = _scatter_axes(operands, outputs, batch)
    if batch:
        return axes
    x, u, *indices = axes.operands
    first = 1 + max([k for k in u if k is not None], default=0)
    labels = tuple(range(first, first + len(indices[0])))
    of_u = (*labels, *u[len(labels) :])
    return Axes((x, of_u, *[labels] * len(indices)), axes.outputs, dict.fromkeys(labels, "sum"))


scatter_add = linear(
    "scatter_add",
    infer=_scatter_infer("scatter_add"),
    run=_scatter_array("add"),
    axes=_scatter_axes,
    axes_by_rows=_scatter_add_axes,
    transpose=_scatter_add_transpose,
    batch=_scatter_batch("scatter_add"),
    operands=2,
    shows_nan=True,
    role=Role.SCATTER,
    combiner="sum",
    workspace=_scatter_workspace("add"),
)


# scatter_set: of several updates of one place the last wins, in value and derivative. `unique` says
# that no place has several.


def _is_last_of_place(x: Aval, indices: Sequence[Any], batch: int) -> Any:
    """Whether each update is the last one of its place."""
    shape = indices[0].aval.shape
    number = reshape(iota((math.prod(shape[batch:]),)), shape=shape[batch:])
    number = broadcast(number, shape=shape, dims=tuple(range(batch, len(shape))))
    base = zeros(Aval(x.shape[: batch + len(indices)], INT))
    last = scatter_set(base, number, *indices, batch=batch, unique=False)
    return eq(gather(last, *indices, batch=batch), number)


def _scatter_set_transpose(ct: Any, x: Any, u: Any, *indices: Any, batch: int, unique: bool) -> Any:
    x_bar = u_bar = None
    if isinstance(x, Aval):
        nothing = zeros(aval_of(u))
        x_bar = scatter_set(ct, nothing, *indices, batch=batch, unique=unique)
    if isinstance(u, Aval):
        u_bar = gather(ct, *indices, batch=batch)
        if not unique:
            wins = _is_last_of_place(aval_of(x), indices, batch)
            wins = broadcast(wins, shape=u.shape, dims=tuple(range(wins.aval.ndim)))
            u_bar = keep(wins, u_bar)
    return (x_bar, u_bar, *[None] * len(indices))


scatter_set = linear(
    "scatter_set",
    moves=True,
    range=lambda x, u, *indices, **params: union(x, u),
    infer=_scatter_infer("scatter_set"),
    run=_scatter_array(None),
    axes=_scatter_axes,
    transpose=_scatter_set_transpose,
    batch=_scatter_batch("scatter_set"),
    operands=2,
    role=Role.SCATTER,
    combiner="set",
    workspace=_scatter_workspace(None),
)


# scatter_mul: the derivative by one update is the product of all other factors of its place. It is
# computed without division, from the products before and after it among the sorted updates.


def _flat_places(x: Aval, indices: Sequence[Any], batch: int) -> Any:
    """`_places`, as operations of a graph."""
    shape = indices[0].aval.shape
    parts = [*[iota(shape, axis=d) for d in range(batch)], *indices]
    flat = parts[0]
    for part, n in zip(parts[1:], x.shape[1:], strict=False):
        flat = add(mul(flat, n), part)
    return reshape(flat, shape=(math.prod(shape),))


def _later(x: Any, step: int) -> Any:
    """`x` moved by `step` towards the end of its first axis, zeros coming in."""
    rest = (0,) * (x.aval.ndim - 1)
    moved = slice_axis(x, 0, 0, x.aval.shape[0] - step)
    return pad(moved, low=(step, *rest), high=(0, *rest), step=(1, *[1 for _ in rest]))


def _product_before(u: Any, places: Any) -> Any:
    """For each row of `u` the product of the rows before it that have the same place."""

    def before(x: Any, step: int) -> Any:
        # Places count from one, so that the zeros coming in are no place.
        same = eq(_later(places, step), places)
        same = broadcast(same, shape=u.aval.shape, dims=(0,))
        return select(same, _later(x, step), 1.0)

    count, step = u.aval.shape[0], 1
    product = before(u, 1)
    while step < count:
        product = mul(product, before(product, step))
        step *= 2
    return product


def _product_of_others(x: Aval, u: Any, indices: Sequence[Any], batch: int) -> Any:
    """For each update the product of the other updates of its place."""
    if u.aval.size == 0:
        return u
    places = _flat_places(x, indices, batch)
    count = places.aval.shape[0]
    rows = reshape(u, shape=(count, *u.aval.shape[indices[0].aval.ndim :]))
    order = argsort(places, axis=0)
    places = add(gather(places, order, batch=0), 1)
    rows = gather(rows, order, batch=0)
    after = _product_before(flip(rows, axes=(0,)), flip(places, axes=(0,)))
    others = mul(_product_before(rows, places), flip(after, axes=(0,)))
    return reshape(gather(others, argsort(order, axis=0), batch=0), shape=u.aval.shape)


def _scatter_mul_jvp(primals: Any, tangents: Any, out: Any, batch: int) -> Any:
    x, u, *indices = primals
    x_dot, u_dot = tangents[:2]
    total = None if x_dot is None else scatter_mul(x_dot, u, *indices, batch=batch)
    if u_dot is None:
        return total
    others = _product_of_others(x.aval, u, indices, batch)
    partial = mul(gather(x, *indices, batch=batch), others)
    base = zeros(x.aval) if total is None else total
    return scatter_add(base, mul(partial, u_dot), *indices, batch=batch)


def _scatter_mul_transpose(ct: Any, x: Any, u: Any, *indices: Any, batch: int) -> Any:
    linear_in_x = isinstance(x, Aval) and not isinstance(u, Aval)
    x_bar = scatter_mul(ct, u, *indices, batch=batch) if linear_in_x else None
    return (x_bar, None, *[None] * len(indices))


scatter_mul = differentiable(
    "scatter_mul",
    infer=_scatter_infer("scatter_mul"),
    run=_scatter_array("multiply"),
    axes=_scatter_axes,
    jvp=_scatter_mul_jvp,
    transpose=_scatter_mul_transpose,
    batch=_scatter_batch("scatter_mul"),
    role=Role.SCATTER,
    combiner="prod",
    workspace=_scatter_workspace("multiply"),
)


# scatter_max, scatter_min: all that attain the result share its derivative equally.


def _attains(x: Any, out: Any) -> Any:
    return as_weight(bit_or(eq(x, out), is_nan(x)), out)


def _extreme_jvp(primals: Any, tangents: Any, out: Any, batch: int) -> Any:
    x, u, *indices = primals
    mine, theirs = _attains(x, out), _attains(u, gather(out, *indices, batch=batch))
    shares = [
        zeros(o.aval) if t is None else mul(weight, t)
        for o, weight, t in zip((x, u), (mine, theirs), tangents[:2], strict=True)
    ]
    count = scatter_add(mine, theirs, *indices, batch=batch)
    return div(scatter_add(*shares, *indices, batch=batch), maximum(count, 1.0))


def _extreme(name: str, combine: str) -> Any:
    return differentiable(
        name,
        role=Role.SCATTER,
        combiner=combine[:3],
        workspace=_scatter_workspace(combine),
        infer=_scatter_infer(name),
        run=_scatter_array(combine),
        axes=_scatter_axes,
        jvp=_extreme_jvp,
        batch=_scatter_batch(name),
    )


scatter_max = _extreme("scatter_max", "maximum")
scatter_min = _extreme("scatter_min", "minimum")

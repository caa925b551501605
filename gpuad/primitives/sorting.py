"""Sorting along one axis, and searching in what is sorted."""

from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.ir.ranges import same
from gpuad.primitives.cumulative import along_axis, shift_axis
from gpuad.primitives.declare import Role, constant, differentiable, linear, with_leading_axis

INDEX = np.dtype(np.intp)


def _stable(xp: Any) -> dict[str, str]:
    """CuPy always sorts stably, and not every version takes `kind`."""
    return {"kind": "stable"} if xp is np else {}


SORT_BYTES = 40
"""What CuPy takes for each element that it sorts: copies of it and its row, and room to merge."""


def _sort_gpu_workspace(operands: Any, outputs: Any, axis: int) -> int:
    return SORT_BYTES * operands[0].size


argsort = constant(
    "argsort",
    infer=lambda x, axis: Aval(x.shape, INDEX),
    run=lambda xp, x, axis: xp.argsort(x, axis=axis, **_stable(xp)),
    axes=along_axis,
    lift=shift_axis,
    role=Role.SORT,
    gpu_workspace=_sort_gpu_workspace,
)

# permute_along: x[perm] along one axis, where `perm` is a permutation on every line along it. Its
# transpose is the inverse permutation, so no scattered addition is needed.
permute_along = linear(
    "permute_along",
    moves=True,
    infer=lambda x, perm, axis: x,
    run=lambda xp, x, perm, axis: xp.take_along_axis(x, perm, axis),
    axes=along_axis,
    transpose=lambda ct, x, perm, axis: (
        permute_along(ct, argsort(perm, axis=axis), axis=axis),
        None,
    ),
    lift=shift_axis,
    operands=1,
)

sort = differentiable(
    "sort",
    range=same,
    infer=lambda x, axis: x,
    run=lambda xp, x, axis: xp.sort(x, axis=axis, **_stable(xp)),
    axes=along_axis,
    jvp=lambda primals, tangents, out, axis: permute_along(
        tangents[0], argsort(primals[0], axis=axis), axis=axis
    ),
    lift=shift_axis,
    role=Role.SORT,
    gpu_workspace=_sort_gpu_workspace,
)

# searchsorted: where to insert `v` into the lines of `a` that are sorted along its last axis. The
# first `batch` axes of both go together.


def _searchsorted_array(xp: Any, a: Any, v: Any, side: str, batch: int) -> Any:
    v = xp.asarray(v)
    if not batch:
        return xp.searchsorted(a, v, side)
    rows, queries = a.reshape((-1, a.shape[-1])), v.reshape((-1, *v.shape[batch:]))
    if not len(rows):
        return xp.zeros(v.shape, INDEX)
    found = [xp.searchsorted(row, query, side) for row, query in zip(rows, queries, strict=True)]
    return xp.stack(found).reshape(v.shape)


def _searchsorted_batch(size: int, operands: Any, mapped: Any, params: dict) -> Any:
    a, v = operands
    if not mapped[0] and not params["batch"]:
        return searchsorted(a, v, **params), True
    a, v = with_leading_axis(size, a, mapped[0]), with_leading_axis(size, v, mapped[1])
    return searchsorted(a, v, side=params["side"], batch=params["batch"] + 1), True


def _searchsorted_axes(operands: Any, outputs: Any, side: str, batch: int) -> Axes:
    labels = tuple(range(outputs[0].ndim))
    return Axes(((*labels[:batch], None), labels), (labels,))


searchsorted = constant(
    "searchsorted",
    infer=lambda a, v, side, batch: Aval(v.shape, INDEX),
    run=_searchsorted_array,
    axes=_searchsorted_axes,
    batch=_searchsorted_batch,
    workspace=12.0,
)

"""Windows: writing a slice into an array, and slices whose starts are computed."""

from collections.abc import Sequence
from typing import Any

from gpuad.errors import GraphError
from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes, zeros
from gpuad.ir.ranges import union
from gpuad.primitives.declare import Role, linear
from gpuad.primitives.elementwise import add, clip
from gpuad.primitives.indexing import aval_of, gather, scatter_set
from gpuad.primitives.sources import iota
from gpuad.primitives.structure import broadcast, inverse_permutation, slice_, transpose

# slice_set: x with u in the place of x[start:stop:step].


def _slice_set_infer(x: Aval, u: Aval, starts: Any, stops: Any, steps: Any) -> Aval:
    place = tuple([max(0, -(-(b - a) // s)) for a, b, s in zip(starts, stops, steps, strict=True)])
    if u.shape != place or u.dtype != x.dtype:
        raise GraphError(f"slice_set: {u} does not fit into the place {place} of {x}")
    return x.with_dtype(x.dtype)


def _slice_set_array(xp: Any, x: Any, u: Any, starts: Any, stops: Any, steps: Any) -> Any:
    out = x.copy()
    out[tuple(map(slice, starts, stops, steps))] = u
    return out


def _slice_set_axes(operands: Any, outputs: Any, **params: Any) -> Axes:
    x, u = operands
    whole = [n == m for n, m in zip(x.shape, u.shape, strict=True)]
    labels = tuple([i if on else None for i, on in enumerate(whole)])
    return Axes((labels, labels), (labels,))


def _slice_set_transpose(ct: Any, x: Any, u: Any, **place: Any) -> Any:
    return (
        slice_set(ct, zeros(aval_of(u)), **place) if isinstance(x, Aval) else None,
        slice_(ct, **place) if isinstance(u, Aval) else None,
    )


_slice_set = linear(
    "slice_set",
    moves=True,
    range=lambda x, u, **place: union(x, u),
    infer=_slice_set_infer,
    run=_slice_set_array,
    axes=_slice_set_axes,
    transpose=_slice_set_transpose,
    lift=lambda size, starts, stops, steps: {
        "starts": (0, *starts),
        "stops": (size, *stops),
        "steps": (1, *steps),
    },
    role=Role.UPDATE,
)


def slice_set(x: Any, u: Any, starts: Any, stops: Any, steps: Any) -> Any:
    """`x` with `u` in the place of ``x[start:stop:step]``; `u` itself if that is all of `x`."""
    if u.aval.shape == x.aval.shape:
        return u
    return _slice_set(x, u, starts=starts, stops=stops, steps=steps)


# Slices whose starts are computed. These are made of other primitives.


def _window(x: Aval, starts: Sequence[Any], sizes: Sequence[int]) -> tuple[Any, list[Any]]:
    """A permutation with the axes that are cut in front, and indices of the window along them.

    A start is clamped so that the window lies inside.
    """
    cut = [i for i, (n, size) in enumerate(zip(x.shape, sizes, strict=True)) if n != size]
    shape = tuple([sizes[i] for i in cut])
    indices = []
    for place, i in enumerate(cut):
        start = clip(starts[i], 0, x.shape[i] - sizes[i])
        indices.append(add(broadcast(start, shape=shape, dims=()), iota(shape, axis=place)))
    return (*cut, *[i for i in range(x.ndim) if i not in cut]), indices


def dynamic_slice(x: Any, *starts: Any, sizes: tuple[int, ...]) -> Any:
    """The window of `x` of these sizes at int64 scalars `starts`. If part of it would lie outside,
    it is moved inside."""
    perm, indices = _window(x.aval, starts, sizes)
    if not indices:
        return x
    window = gather(transpose(x, perm=perm), *indices, batch=0)
    return transpose(window, perm=inverse_permutation(perm))


def dynamic_update_slice(x: Any, u: Any, *starts: Any) -> Any:
    """`x` with `u` in the place of the window that `dynamic_slice` would read."""
    perm, indices = _window(x.aval, starts, u.aval.shape)
    if not indices:
        return u
    front, updates = transpose(x, perm=perm), transpose(u, perm=perm)
    result = scatter_set(front, updates, *indices, batch=0, unique=True)
    return transpose(result, perm=inverse_permutation(perm))

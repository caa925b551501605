"""Lowering: operations written out in the simpler ones that compiled sweeps are made of.

A matrix product with a vector becomes a multiplication and a sum, which share their loop with what
is around them; softmax and its kin become extrema, exponentials and sums over lanes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.build import building, inline
from gpuad.ir.graph import Atom, Graph
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import count, reduce_max, reduce_sum, spread
from gpuad.primitives.structure import broadcast, transpose
from gpuad.transforms.collapse import collapse
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import Rebuilding, Rule, simplify
from gpuad.transforms.stacking import stacked

SMALL_PRODUCT = 64
"""Matrix products with at most so many multiplications for each row are written out."""


@memo
def lower(graph: Graph) -> Graph:
    """The graph, simplified, in the operations of compiled sweeps."""
    graph = simplify(collapse(simplify(graph)))
    with building(Rebuilding(graph.name, RULES)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        graph = builder.graph(inline(graph, inputs), graph.captured)
    return stacked(simplify(graph))


def _size(sizes: Sequence[int]) -> int:
    return int(np.prod(sizes, dtype=np.int64))


def _dot_general(made: Any, x: Atom, y: Atom, contract: Any, batch: Any) -> Atom | None:
    if x.aval.dtype.kind != "f":
        return None
    (cx, cy), (bx, by) = contract, batch
    fx = [i for i in range(x.aval.ndim) if i not in cx and i not in bx]
    fy = [i for i in range(y.aval.ndim) if i not in cy and i not in by]
    free_x = _size([x.aval.shape[i] for i in fx])
    free_y = _size([y.aval.shape[i] for i in fy])
    shared = _size([x.aval.shape[i] for i in cx])
    vector = min(free_x, free_y) == 1 and not bx
    if not (vector or not cx or (bx and free_x * free_y * shared <= SMALL_PRODUCT)):
        return None
    # Axes of the product: batch, free of x, free of y, contracted.
    shape = [x.aval.shape[i] for i in (*bx, *fx)]
    shape += [y.aval.shape[i] for i in fy] + [x.aval.shape[i] for i in cx]
    nb, nx, ny = len(bx), len(fx), len(fy)
    place_x = {i: k for k, i in enumerate((*bx, *fx))}
    place_x |= {i: nb + nx + ny + k for k, i in enumerate(cx)}
    place_y = {i: k for k, i in enumerate(by)} | {i: nb + nx + k for k, i in enumerate(fy)}
    place_y |= {i: nb + nx + ny + k for k, i in enumerate(cy)}
    wide_x, wide_y = _placed(x, place_x, shape), _placed(y, place_y, shape)
    return reduce_sum(ew.mul(wide_x, wide_y), axes=tuple(range(nb + nx + ny, len(shape))))


def _placed(x: Atom, place: dict[int, int], shape: Sequence[int]) -> Atom:
    """`x` with axis i at place[i] of this shape, repeated along the others."""
    order = tuple(sorted(place, key=place.__getitem__))
    dims = tuple([place[i] for i in order])
    return broadcast(transpose(x, perm=order), shape=tuple(shape), dims=dims)


def _exponentials(x: Atom, axes: tuple[int, ...]) -> tuple[Atom, Atom, Atom]:
    """exp(x - top), 0 where x is -inf and 1 at the top; where it is at the top; and the top."""
    top = reduce_max(x, axes=axes)
    at_top = ew.eq(x, spread(top, x.aval, axes))
    # inf - inf at the top of a row is replaced below; -inf there has all weights zero.
    base = ew.maximum(top, -float(np.finfo(x.aval.dtype).max))
    e = ew.exp(ew.sub(x, spread(base, x.aval, axes)))
    return e, at_top, top


def _softmax(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not count(x.aval.shape, axes):
        return None
    e, at_top, top = _exponentials(x, axes)
    one = ew.as_weight(ew.ne(top, -np.inf), x)
    e = ew.select(at_top, spread(one, x.aval, axes), e)
    total = reduce_sum(e, axes=axes)
    total = ew.select(ew.eq(total, 0.0), 1.0, total)
    return ew.div(e, spread(total, x.aval, axes))


def _log_sum(x: Atom, axes: tuple[int, ...]) -> tuple[Atom, Atom]:
    """log(Σ exp(x - top)), the elements at the top counted apart; and the top."""
    e, at_top, top = _exponentials(x, axes)
    ties = reduce_sum(ew.cast(at_top, dtype=x.aval.dtype), axes=axes)
    rest = reduce_sum(ew.select(at_top, 0.0, e), axes=axes)
    some = ew.maximum(ties, 1.0)
    return ew.add(ew.log1p(ew.div(rest, some)), ew.log(some)), top


def _logsumexp(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not count(x.aval.shape, axes):
        return None
    log_sum, top = _log_sum(x, axes)
    return ew.add(log_sum, top)


def _log_softmax(made: Any, x: Atom, axes: tuple[int, ...]) -> Atom | None:
    if not count(x.aval.shape, axes):
        return None
    log_sum, top = _log_sum(x, axes)
    return ew.sub(ew.sub(x, spread(top, x.aval, axes)), spread(log_sum, x.aval, axes))


RULES: dict[str, list[Rule]] = {
    "dot_general": [_dot_general],
    "softmax": [_softmax],
    "reduce_logsumexp": [_logsumexp],
    "log_softmax": [_log_softmax],
}

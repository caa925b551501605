"""Matrix products as elementwise products and sums, which share their loop with what is around
them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.ir.graph import Atom
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast, transpose

SMALL_PRODUCT = 64
"""Matrix products in batches with at most so many multiplications each are written out."""


def _size(sizes: Sequence[int]) -> int:
    return int(np.prod(sizes, dtype=np.int64))


@dataclass(frozen=True)
class WrittenProduct:
    """A matrix product as an elementwise product and a sum over its last axes.

    The elementwise product has this `shape`: batch axes, free axes of x, of y, contracted axes (the
    last `summed`). `places` says where the axes of each operand stand among these.
    """

    places: tuple[dict[int, int], dict[int, int]]
    shape: tuple[int, ...]
    summed: int

    def wide(self, x: Atom, operand: int) -> Atom:
        return _placed(x, self.places[operand], self.shape)

    def sum(self, x: Atom) -> Atom:
        n = len(self.shape)
        return reduce_sum(x, axes=tuple(range(n - self.summed, n)))


def written_product(x: Atom, y: Atom, contract: Any, batch: Any) -> WrittenProduct | None:
    """How a matrix product is written out: one with a vector, one that sums nothing, or small ones
    in batches. None for all others."""
    (cx, cy), (bx, by) = contract, batch
    fx = [i for i in range(x.aval.ndim) if i not in cx and i not in bx]
    fy = [i for i in range(y.aval.ndim) if i not in cy and i not in by]
    free_x = _size([x.aval.shape[i] for i in fx])
    free_y = _size([y.aval.shape[i] for i in fy])
    shared = _size([x.aval.shape[i] for i in cx])
    vector = min(free_x, free_y) == 1 and not bx
    if not (vector or not cx or (bx and free_x * free_y * shared <= SMALL_PRODUCT)):
        return None
    shape = [x.aval.shape[i] for i in (*bx, *fx)]
    shape += [y.aval.shape[i] for i in fy] + [x.aval.shape[i] for i in cx]
    nb, nx, ny = len(bx), len(fx), len(fy)
    place_x = {i: k for k, i in enumerate((*bx, *fx))}
    place_x |= {i: nb + nx + ny + k for k, i in enumerate(cx)}
    place_y = {i: k for k, i in enumerate(by)} | {i: nb + nx + k for k, i in enumerate(fy)}
    place_y |= {i: nb + nx + ny + k for k, i in enumerate(cy)}
    return WrittenProduct((place_x, place_y), tuple(shape), len(cx))


def _placed(x: Atom, place: dict[int, int], shape: Sequence[int]) -> Atom:
    """`x` with axis i at place[i] of this shape, repeated along the others."""
    order = tuple(sorted(place, key=place.__getitem__))
    dims = tuple([place[i] for i in order])
    return broadcast(transpose(x, perm=order), shape=tuple(shape), dims=dims)

"""Arrays taken apart into cells: the values of a small array at each place, over a batch.

An array of shape (*batch, n, n) is n² cells, values of the shape of the batch. Operations that only
rearrange an array rearrange its cells, and cost nothing.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Atom, Literal, Var
from gpuad.primitives import elementwise as ew
from gpuad.primitives.structure import broadcast, concatenate, expand, reshape, slice_

MOST_CELLS = 64
"""The most cells of an array; and the most products in a matrix product of cells."""

Cells = Any
"""An array of objects: the cells, with ones in place of the sizes of the batch."""


def fits(a: Aval, batch: tuple[int, ...]) -> bool:
    if not a.shape:
        return True
    return a.shape[: len(batch)] == batch and 0 < math.prod(a.shape[len(batch) :]) <= MOST_CELLS


def as_objects(values: Any, shape: tuple[int, ...]) -> Cells:
    """The values as an array of objects: Vars and Literals, which NumPy must not look into."""
    flat = list(values.flat) if isinstance(values, np.ndarray) else list(values)
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(shape)


def taken_apart(x: Any, batch: tuple[int, ...]) -> Cells:
    n = len(batch)
    inner, none = x.aval.shape[n:], (0,) * n
    if not inner:
        return as_objects([x], (1,) * n)
    places = itertools.product(*map(range, inner))
    values = [
        reshape(slice_(x, (*none, *p), (*batch, *[i + 1 for i in p])), shape=batch) for p in places
    ]
    return as_objects(values, (*(1,) * n, *inner))


def put_together(cells: Cells, aval: Aval, batch: tuple[int, ...]) -> Any:
    n = len(batch)
    wide = [broadcast(x, shape=batch, dims=()) if not x.aval.shape else x for x in cells.flat]
    if aval.ndim == n:
        return wide[0]
    line = concatenate(*[expand(x, (n,)) for x in wide], axis=n)
    return reshape(line, shape=aval.shape)


class Step:
    """An operation that is made on cells."""

    def __init__(
        self, builder: Any, primitive: Any, params: dict[str, Any], batch: tuple[int, ...]
    ):
        self.builder = builder
        self.primitive = primitive
        self.params = params
        self.batch = batch

    def cells(self, x: Atom) -> Cells:
        return self.builder.cells(x, self.batch)

    def matrix(self, x: Atom) -> list[list[Any]]:
        """The cells of matrices as rows of a list, to be changed."""
        cells = self.cells(x)
        return cells.reshape(cells.shape[-2:]).tolist()

    def over_batch(self, x: Any) -> Any:
        """A value without axes that is no literal, as the cast of one is, repeated."""
        alone = type(x) is Var and not x.aval.shape
        return broadcast(x, shape=self.batch, dims=()) if alone else x

    def refused(self, bad: Any, x: Any) -> Any:
        """`x`, NaN where NumPy would raise an error."""
        self.builder.refuse(bad, x.aval.dtype)
        return ew.select(bad, float("nan"), x)


# Operations around the factorisations, by what they do with elements


def elementwise(step: Step, *operands: Atom) -> Cells:
    cells = np.broadcast_arrays(*[step.cells(x) for x in operands])
    values = [
        step.over_batch(step.primitive(*xs, **step.params))
        for xs in zip(*[c.flat for c in cells], strict=True)
    ]
    return as_objects(values, cells[0].shape)


def rearranged(step: Step, *operands: Atom) -> Cells | None:
    """A view or a copy: NumPy's own function, on the array of cells."""
    n, params = len(step.batch), step.params
    avals = [x.aval for x in operands]
    out = step.primitive.infer(*avals, **params)
    axes = step.primitive.axes(avals, [out], **params)
    lead = axes.outputs[0][:n]
    if None in lead or any(labels[:n] != lead for labels in axes.operands):
        return None
    for axis in range(n):
        params = step.primitive.resized(params, axis, 1)
    found = step.primitive.run(np, *[step.cells(x) for x in operands], **params)
    zero = Literal(out.dtype.type(0))
    return np.array([zero if type(x) is int else x for x in found.flat], object)


def contracted(step: Step, x: Atom, y: Atom) -> Cells | None:
    contract, batch = step.params["contract"], step.params["batch"]
    n = len(step.batch)
    if step.primitive.name != "dot_general" or batch != (tuple(range(n)),) * 2:
        return None
    free = [
        [i for i in range(n, v.aval.ndim) if i not in c]
        for v, c in zip((x, y), contract, strict=True)
    ]
    left, right = [
        step.cells(v).transpose((*range(n), *f, *c)).reshape((_size(v, f), -1))
        for v, f, c in zip((x, y), free, contract, strict=True)
    ]
    if len(left) * len(right) * left.shape[1] > MOST_CELLS:
        return None
    return as_objects([_inner(p, q) for p in left for q in right], (len(left), len(right)))


def _size(x: Atom, axes: Sequence[int]) -> int:
    return math.prod([x.aval.shape[i] for i in axes])


def _inner(xs: Any, ys: Any) -> Any:
    return functools.reduce(ew.add, [ew.mul(x, y) for x, y in zip(xs, ys, strict=True)])


def summed(step: Step, x: Atom) -> Cells | None:
    axes, n = step.params["axes"], len(step.batch)
    if step.primitive.name != "reduce_sum" or any(a < n for a in axes):
        return None
    kept = [i for i in range(x.aval.ndim) if i not in axes]
    lines = step.cells(x).transpose((*kept, *axes)).reshape((_size(x, kept[n:]), -1))
    return as_objects([functools.reduce(ew.add, line) for line in lines], (len(lines),))

"""Contractions of rows in a kernel: which elements of a row are multiplied with each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.codegen.cuda.cells import Cells, Unsuitable, held_shape
from gpuad.codegen.cuda.layout import Layout
from gpuad.ir.contraction import Axes, contraction_of
from gpuad.ir.rows import inner, without_axis
from gpuad.plan.plan import SweepEquation

Pairs = list[tuple[Any, Any]]
"""Names of the elements that are multiplied with each other and summed up."""


@dataclass(frozen=True)
class RowProduct:
    """A contraction of one row of its operands: their axes without the axis of rows, those that are
    summed over, those that are common, and the others, which the result has one after another."""

    contract: tuple[Axes, Axes]
    batch: tuple[Axes, Axes]
    free: tuple[Axes, Axes]
    shape: tuple[int, ...]
    """Of one row of the result."""

    def sums_over(self, long: Sequence[int], operand: int) -> bool:
        """Whether it sums over an axis of lanes of an operand."""
        return any(k in self.contract[operand] for k in long)


def row_product(s: SweepEquation) -> RowProduct:
    """The contraction of an equation of a sweep, for one row."""
    whole = contraction_of(s.equation)
    axes = [use.axis for use in s.uses]

    def of_row(pair: tuple[Axes, Axes]) -> tuple[Axes, Axes]:
        x, y = [without_axis(a, axis) for a, axis in zip(pair, axes, strict=True)]
        return x, y

    (v,) = s.equation.outputs
    shape = inner(v.aval.shape, s.axis)
    return RowProduct(of_row(whole.contract), of_row(whole.batch), of_row(whole.free), shape)


def multiplied(product: RowProduct, x: Cells, y: Cells, layout: Layout) -> np.ndarray:
    """For each element of the result that a thread holds the names of the factors of its terms."""
    _check_lanes(product, x, y, layout)
    (xc, yc), (xb, yb), (xf, yf) = product.contract, product.batch, product.free
    out = np.empty(held_shape(product.shape, layout), object)
    common, summed = [x.names.shape[k] for k in xb], [x.names.shape[k] for k in xc]
    first, second = [x.names.shape[k] for k in xf], [y.names.shape[k] for k in yf]
    for place in np.ndindex(*common, *first, *second):
        b, f = place[: len(common)], place[len(common) : len(common) + len(first)]
        g = place[len(common) + len(first) :]
        terms: Pairs = []
        for c in np.ndindex(*summed):
            left = dict(zip((*xb, *xf, *xc), (*b, *f, *c), strict=True))
            right = dict(zip((*yb, *yf, *yc), (*b, *g, *c), strict=True))
            terms.append(
                (
                    x.names[tuple([left[k] for k in range(x.names.ndim)])],
                    y.names[tuple([right[k] for k in range(y.names.ndim)])],
                )
            )
        out[place] = terms
    return out


def _check_lanes(product: RowProduct, x: Cells, y: Cells, layout: Layout) -> None:
    """Refuses what multiplies lanes with other lanes.

    Raises
    ------
    Unsuitable
        If lanes of one operand do not belong to those of the other one.
    """
    long = [layout.long_axes(cells.shape) for cells in (x, y)]
    if not all(long):
        return
    (i,), (j,) = long
    pairs = [
        *zip(*product.contract, strict=True),
        *zip(*product.batch, strict=True),
    ]
    if (i, j) not in pairs:
        raise Unsuitable("lanes are multiplied with other lanes")

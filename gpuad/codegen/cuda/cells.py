"""The elements of a row as names in a kernel's text.

`Cells` are the names of the elements that a thread holds, in an array with the axes of the row,
where the axis of lanes has length 1. An element of the array is a tuple of names, one for each lane
that the thread holds, or a single name where all lanes have the same value. A value in memory is a
`View` instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.structure import moved_names, row_params
from gpuad.codegen.views import View, contiguous, ordered
from gpuad.ir.rows import inner
from gpuad.plan.axes import equation_axes
from gpuad.plan.plan import SweepEquation


class Unsuitable(Exception):
    """This layout cannot hold the sweep."""


@dataclass
class Cells:
    """The names of the elements of a row, and the shape of the row.

    own: "" if every thread of a group has the same row. Else each thread has a row of its own of
    those that the group works on (see `row_batches`), and this is the type of the values.
    """

    names: np.ndarray
    shape: tuple[int, ...]
    own: str = ""


def held_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """The shape of the array of names of a row: its lanes count as one."""
    return tuple([1 if n > layout.short else n for n in shape])


def memory_view(
    base: str, shape: tuple[int, ...], axis: int | None, order: tuple[int, ...] | None = None
) -> View:
    """A row of an array whose axes lie in this order (None: in C order), along this axis of rows;
    all of it where that is None."""
    strides = contiguous(shape) if order is None else ordered(shape, order)
    if axis is None:
        return View(base, shape, strides, 0)
    return View(base, inner(shape, axis), inner(strides, axis), strides[axis])


def index_text(view: View, row: str, place: tuple[int, ...], lane: str, long: int | None) -> str:
    """The index of an element, as source text: in this row, at this place along the short axes, in
    this lane. `long` is the axis of lanes."""
    offset, terms = view.offset, []
    for k, (i, stride) in enumerate(zip(place, view.strides, strict=True)):
        if k == long:
            if stride:
                terms.append(lane if stride == 1 else f"{lane} * {stride}")
        else:
            offset += i * stride
    if view.row:
        terms.insert(0, row if view.row == 1 else f"{row} * {view.row}")
    if offset or not terms:
        terms.append(str(offset))
    return " + ".join(terms)


def moved_cells(operands: list[Cells], s: SweepEquation, layout: Layout) -> Cells:
    """The names after a structure operation: the same names in other places."""
    if not keeps_lanes(operands, s, layout):
        raise Unsuitable("elements move between lanes")
    primitive, (out,) = s.equation.primitive, s.equation.outputs
    shape = inner(out.aval.shape, s.axis)
    kept, params = row_params(s)
    for k in layout.long_axes(shape):
        params = primitive.resized(params, k, 1)
    first, *others = [x.names for x in operands]
    if kept is not None:
        first = first.reshape([first.shape[k] for k in kept])
    zero = f"{kind_of(out)}(0)"
    held = held_shape(shape, layout)
    own = next((x.own for x in operands if x.own), "")
    return Cells(moved_names([first, *others], primitive, params, held, zero), shape, own)


def keeps_lanes(operands: Sequence[Cells | View], s: SweepEquation, layout: Layout) -> bool:
    """Whether a structure primitive leaves every element in its lane."""
    operand_labels, out_labels = _row_labels(s)
    out_shape = inner(s.equation.outputs[0].aval.shape, s.axis)
    kept = set()
    for x, labels in zip(operands, operand_labels, strict=True):
        for k in layout.long_axes(x.shape):
            label = labels[k]
            if label is None or label not in out_labels:
                return False
            axis = out_labels.index(label)
            if out_shape[axis] != x.shape[k]:
                return False
            kept.add(axis)
    new = set(layout.long_axes(out_shape)) - kept
    # A new axis with a label is one along which a value is repeated.
    return all(out_labels[k] is not None for k in new)


def _row_labels(s: SweepEquation) -> tuple[list[Any], Any]:
    """The labels of the axes of each operand and of the result, without those of the rows."""
    axes = equation_axes(s.equation)
    operands = [inner(labels, use.axis) for labels, use in zip(axes.operands, s.uses, strict=True)]
    return operands, inner(axes.outputs[0], s.axis)

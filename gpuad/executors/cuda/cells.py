"""Rows of values as names in a kernel's text.

A `Cells` has a name for every element of a row that a thread holds: the short axes of the row are
written out, its lanes have the length 1, and an element is a tuple of names, one for each lane of
the thread, or a single name if it is the same for all lanes. A value in memory is a `View`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.executors.cuda.layout import Layout
from gpuad.executors.sweep import inner, kind_of, without_axis
from gpuad.executors.views import View, contiguous
from gpuad.plan.axes import equation_axes
from gpuad.plan.plan import SweepEquation


class Unsuitable(Exception):
    """This layout cannot hold the sweep."""


@dataclass
class Cells:
    """The names of a row's elements, and the shape of the row."""

    names: np.ndarray
    shape: tuple[int, ...]


def held_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """The shape of a row with its lanes as one."""
    return tuple([1 if n > layout.short else n for n in shape])


def memory_view(base: str, shape: tuple[int, ...], axis: int | None) -> View:
    """A row of a C-ordered array."""
    strides = contiguous(shape)
    if axis is None:
        return View(base, shape, strides, 0)
    return View(base, inner(shape, axis), inner(strides, axis), strides[axis])


def index_text(view: View, row: str, place: tuple[int, ...], lane: str, long: int | None) -> str:
    """The index of an element: at this place of the short axes, in this lane."""
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


def moved_view(view: View, s: SweepEquation) -> View | None:
    """A view after a structure primitive; None where elements would have to move."""
    e, axis, from_axis = s.equation, s.axis, s.uses[0].axis
    p, name = e.params, e.primitive.name
    if name == "broadcast":
        dims = inner(p["dims"], from_axis)
        view = view.keep([k for k, d in enumerate(dims) if d != axis])
        dims = tuple([d for d in dims if d != axis])
        return view.broadcast(inner(p["shape"], axis), without_axis(dims, axis))
    if name == "reshape":
        return view.reshape(inner(e.outputs[0].aval.shape, axis))
    if name == "transpose":
        return view.transpose(without_axis([q for q in p["perm"] if q != from_axis], from_axis))
    if name == "flip":
        return view.flip(without_axis(p["axes"], axis))
    if name == "slice":
        return view.slice(*[inner(p[k], axis) for k in ("starts", "stops", "steps")])
    return None


def moved_cells(operands: list[Cells], s: SweepEquation, layout: Layout) -> Cells:
    """The names after a structure primitive: the same names in other places."""
    e, axis, from_axis = s.equation, s.axis, s.uses[0].axis
    p, name = e.params, e.primitive.name
    shape = inner(e.outputs[0].aval.shape, axis)
    held = held_shape(shape, layout)
    if not keeps_lanes(operands, s, layout):
        raise Unsuitable("elements move between lanes")
    x = operands[0].names
    if name == "broadcast":
        dims = inner(p["dims"], from_axis) if x.ndim else ()
        kept = [k for k, d in enumerate(dims) if d != axis]
        sizes = [1] * len(held)
        places = without_axis([d for d in dims if d != axis], axis)
        for k, d in zip(kept, places, strict=True):
            sizes[d] = x.shape[k]
        return Cells(np.broadcast_to(x.reshape(sizes), held), shape)
    if name == "reshape":
        return Cells(x.reshape(held), shape)
    if name == "transpose":
        perm = without_axis([q for q in p["perm"] if q != from_axis], from_axis)
        return Cells(x.transpose(perm), shape)
    if name == "flip":
        return Cells(np.flip(x, without_axis(p["axes"], axis)), shape)
    if name == "slice":
        bounds = zip(*[inner(p[k], axis) for k in ("starts", "stops", "steps")], strict=True)
        long = layout.long_axes(shape)
        chosen: list[Any] = [slice(None) if k in long else slice(*b) for k, b in enumerate(bounds)]
        return Cells(x[(*chosen, ...)], shape)
    if name == "concatenate":
        parts = [c.names for c in operands]
        return Cells(np.concatenate(parts, without_axis((p["axis"],), axis)[0]), shape)
    out = np.full(held, f"{kind_of(e.outputs[0])}(0)", object)
    low, step = inner(p["low"], axis), inner(p["step"], axis)
    strided = zip(low, x.shape, step, strict=True)
    _assign(out[tuple([slice(a, a + (n - 1) * c + 1, c) for a, n, c in strided])], x)
    return Cells(out, shape)


def _assign(target: np.ndarray, source: np.ndarray) -> None:
    """Element by element: an element may be a tuple, which NumPy would take apart."""
    for i in np.ndindex(*source.shape):
        target[i] = source[i]


def keeps_lanes(operands: Sequence[Cells | View], s: SweepEquation, layout: Layout) -> bool:
    """Whether a structure primitive leaves every element in its lane."""
    axes = _inner_axes(s)
    (out_labels,) = axes[1]
    out_shape = inner(s.equation.outputs[0].aval.shape, s.axis)
    carried = set()
    for x, labels in zip(operands, axes[0], strict=True):
        for k in layout.long_axes(x.shape):
            label = labels[k]
            to = out_labels.index(label) if label is not None and label in out_labels else None
            if to is None or out_shape[to] != x.shape[k]:
                return False
            carried.add(to)
    made = set(layout.long_axes(out_shape)) - carried
    return not made or s.equation.primitive.name == "broadcast"


def _inner_axes(s: SweepEquation) -> tuple[Any, Any]:
    """The labels of an equation's axes, without those of the rows."""
    axes = equation_axes(s.equation)
    operands = [inner(labels, use.axis) for labels, use in zip(axes.operands, s.uses, strict=True)]
    return operands, [inner(axes.outputs[0], s.axis)]

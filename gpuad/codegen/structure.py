"""Operations that move elements, inside a sweep: what they do to one row of their operands.

Both targets have two forms of a value: a `View` of memory, and an array of source names. An
operation is applied to either by its own array function, with the parameters for one row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.views import View
from gpuad.ir.primitive import Primitive, Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation


def row_shape(s: SweepEquation) -> tuple[int, ...]:
    """The shape of one row of the result."""
    return inner(s.equation.outputs[0].aval.shape, s.axis)


def row_params(s: SweepEquation) -> tuple[tuple[int, ...] | None, dict[str, Any]]:
    """The axes of the first operand's row that are left (None: all), and a row's parameters."""
    return s.equation.primitive.in_row(s.equation.params, s.uses[0].axis, s.axis)


def moved_view(view: View, s: SweepEquation) -> View | None:
    """A view after a structure operation; None where elements would have to move."""
    if s.equation.primitive.role is not Role.VIEW:
        return None
    kept, params = row_params(s)
    view = view if kept is None else view.keep(kept)
    return view.through(s.equation.primitive.as_view(params))


def moved_names(
    operands: Sequence[np.ndarray],
    primitive: Primitive,
    params: dict[str, Any],
    shape: Sequence[int],
    zero: Any,
) -> np.ndarray:
    """An array of names of this shape after a structure operation: those of the operands, moved,
    and `zero` where there is nothing of an operand."""
    if primitive.role is Role.VIEW:
        x = operands[0]
        indices = primitive.implementation(np, params)(np.arange(x.size).reshape(x.shape))
        return x.reshape(-1)[indices.reshape(-1)].reshape(indices.shape)
    assert primitive.parts is not None
    parts = primitive.parts([x.shape for x in operands], **params)
    out = np.full(shape, zero, object)
    for x, part in zip(operands, parts, strict=True):
        assign(out[part], x)
    return out


def assign(target: np.ndarray, source: np.ndarray) -> None:
    """Element by element: an element may be a tuple, which NumPy would take apart."""
    for i in np.ndindex(*source.shape):
        target[i] = source[i]


def parts_of(s: SweepEquation) -> list[tuple[slice, ...]]:
    """Where in a row of a copy the rows of its operands lie."""
    _, params = row_params(s)
    pairs = zip(s.equation.operands, s.uses, strict=True)
    shapes = [inner(x.aval.shape, use.axis) for x, use in pairs]
    parts = s.equation.primitive.parts
    assert parts is not None
    return parts(shapes, **params)


def covers(s: SweepEquation) -> bool:
    """Whether the operands of a copy are all of its result: else there are zeros between them."""
    return sum([x.aval.size for x in s.equation.operands]) == s.equation.outputs[0].aval.size

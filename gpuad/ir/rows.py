"""One row of a value: its shape without the row axis, and how its axes are numbered then."""

from collections.abc import Sequence
from typing import Any

ONE_ROW = -1
"""Stands in place of a row axis where the whole array is one row, the only one of its sweep."""


def inner(shape: Sequence[Any], axis: int | None) -> tuple[Any, ...]:
    """The shape (or anything per axis) of one row: all axes but the row axis."""
    return tuple(shape) if axis is None or axis == ONE_ROW else (*shape[:axis], *shape[axis + 1 :])


def without_axis(axes: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """Axis numbers after the row axis is taken out."""
    no_axis = axis is None or axis == ONE_ROW
    return tuple([a if no_axis else a - (a > axis) for a in axes if a != axis])  # type: ignore[operator]


def order_of_axes(x: Any) -> list[int]:
    """The axes of an array as they lie in memory, as NumPy's order "K" has them: C order, if the
    array is in that or repeats elements."""
    if x.flags.c_contiguous or 0 in x.strides:
        return list(range(x.ndim))
    return sorted(range(x.ndim), key=lambda k: -abs(x.strides[k]))

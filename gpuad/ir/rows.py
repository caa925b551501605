"""One row of a value: its shape and the numbers of its axes without the row axis."""

from collections.abc import Sequence
from typing import Any

ONE = -1
"""In place of the row axis: the whole array is the one row of a sweep."""


def inner(shape: Sequence[Any], axis: int | None) -> tuple[Any, ...]:
    """The shape (or anything per axis) of one row: all axes but the row axis."""
    return tuple(shape) if axis is None or axis == ONE else (*shape[:axis], *shape[axis + 1 :])


def without_axis(axes: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """Axis numbers after the row axis is taken out."""
    no_axis = axis is None or axis == ONE
    return tuple([a if no_axis else a - (a > axis) for a in axes if a != axis])  # type: ignore[operator]

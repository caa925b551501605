"""Joining and splitting of arrays."""

import itertools
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import alias, existing, into, promote, shape_of
from gpuad.numpy._dispatch import implements, leaves_of, normalize_axis, stacked
from gpuad.numpy.manipulation import atleast_1d, atleast_2d, atleast_3d, ndim, ravel, reshape
from gpuad.primitives import structure
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


@implements(np.concatenate)
def concatenate(
    arrays: Any, axis: int | None = 0, out: Any = None, *, dtype: Any = None,
    casting: str = "same_kind",
) -> Any:  # fmt: skip
    """The arrays one after the other along an axis (all flattened, for axis None)."""
    arrays = list(arrays)
    if not arrays:
        raise ArgumentError("concatenate: no arrays are given; give at least one.")
    if axis is None:
        arrays, axis = [ravel(x) for x in arrays], 0
    shapes = [shape_of(x) for x in arrays]
    axis = normalize_axis(axis, len(shapes[0]), "concatenate")
    if len({(*s[:axis], *s[axis + 1 :]) for s in shapes}) > 1 or len({len(s) for s in shapes}) > 1:
        raise ArgumentError(
            f"concatenate: shapes {', '.join(map(str, shapes))} differ elsewhere than along axis "
            f"{axis}; reshape or broadcast them first."
        )

    def record(*values: Atom) -> Atom:
        return structure.concatenate(*promote(values, dtype, casting), axis=axis)

    return into(apply(record, *arrays), out)


concat = alias("concat", concatenate)


@implements(np.stack)
def stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """The arrays, all of one shape, side by side along a new axis."""
    arrays = list(arrays)
    shapes = {shape_of(x) for x in arrays}
    if len(shapes) != 1:
        raise ArgumentError(
            f"stack: the arrays have shapes {sorted(shapes)}; give one or more of the same shape."
        )
    axis = normalize_axis(axis, len(shapes.pop()) + 1, "stack")

    def record(*values: Atom) -> Atom:
        expanded = [structure.expand(v, (axis,)) for v in promote(values, dtype, casting)]
        return structure.concatenate(*expanded, axis=axis)

    return into(apply(record, *arrays), out)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """The arrays as rows, along the first axis."""
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype, casting=casting)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """The arrays along the second axis, or the first if they have one."""
    arrays = [atleast_1d(x) for x in tup]
    return concatenate(arrays, int(ndim(arrays[0]) > 1), dtype=dtype, casting=casting)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """The arrays along the third axis."""
    return concatenate([atleast_3d(x) for x in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """The arrays as columns of a matrix."""
    columns = [reshape(x, (-1, 1)) if ndim(x) < 2 else x for x in tup]
    return concatenate(columns, 1)


def _depth(blocks: Any) -> int:
    if not isinstance(blocks, list):
        return 0
    depths = {_depth(b) for b in blocks}
    if len(depths) != 1:
        raise ArgumentError(
            "block: lists must be nested equally deep everywhere, and none be empty; "
            f"got depths {sorted(depths)}."
        )
    return 1 + depths.pop()


@implements(np.block)
def block(arrays: Any) -> Any:
    """An array put together from nested lists of blocks, the innermost along the last axis."""
    depth = _depth(arrays)
    leaves = leaves_of([arrays])
    most = max([depth, *[ndim(x) for x in leaves]])

    def join(blocks: Any, depth: int) -> Any:
        if depth == 0:
            return reshape(blocks, ((1,) * (most - ndim(blocks)) + shape_of(blocks)))
        return concatenate([join(b, depth - 1) for b in blocks], -depth)

    return join(arrays, depth)


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` after `arr` along an axis (both flattened, for axis None)."""
    return concatenate([arr, values], axis)


# By subscripts


class _Joined:
    """``r_[...]`` and ``c_[...]``: what stands in the subscript, one after the other."""

    def __init__(self, axis: int, ndmin: int, place: int):
        self._defaults = axis, ndmin, place

    def __getitem__(self, key: Any) -> Any:
        axis, ndmin, place = self._defaults
        items = key if isinstance(key, tuple) else (key,)
        if items and isinstance(items[0], str):
            axis, ndmin, place = _directive(items[0], self._defaults)
            items = items[1:]
        parts = [_entry(item, ndmin, place) for item in items]
        weak = [type(x) if type(x) in (bool, int, float, complex) else y.dtype
                for x, y in zip(items, parts, strict=True)]  # fmt: skip
        dtype = np.result_type(*[t(0) if isinstance(t, type) else t for t in weak])
        return concatenate(parts, axis, dtype=dtype, casting="unsafe")

    def __len__(self) -> int:
        return 0


def _directive(text: str, defaults: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        numbers = [int(n) for n in text.split(",")]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3:
        raise ArgumentError(
            f"r_[{text!r}, ...]: write the axis, the least number of axes and the place of new "
            "ones, as in '0,2,1'; for matrices use vstack and reshape."
        )
    return (*numbers, *defaults[len(numbers) :])  # type: ignore[return-value]


def _entry(item: Any, ndmin: int, place: int) -> Any:
    """One entry of a subscript as an array with at least `ndmin` axes."""
    if isinstance(item, slice):
        start, step = 0 if item.start is None else item.start, item.step
        if isinstance(step, complex | np.complexfloating):
            x = OPERATIONS["linspace"](start, item.stop, int(np.abs(step)))
        else:
            x = OPERATIONS["arange"](start, item.stop, 1 if step is None else step)
    else:
        x = stacked(item)
        x = x if hasattr(x, "dtype") else np.asarray(x)
    missing = ndmin - ndim(x)
    if missing <= 0:
        return x
    old = ndim(x)
    at = place + missing + 1 if place < 0 else place
    at = at if not isinstance(item, slice) or place != -1 else missing
    return reshape(x, (*(1,) * at, *shape_of(x), *(1,) * (ndmin - old - at)))


r_ = _Joined(0, 1, -1)
c_ = _Joined(-1, 2, 0)
alias("r_", r_)  # type: ignore[type-var]
alias("c_", c_)  # type: ignore[type-var]

# Splitting


@implements(np.array_split, view="inner")
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Pieces of `ary` along an axis: cut at indices, or into sections of about the same size."""
    axis = normalize_axis(axis, ndim(ary), "array_split")
    n = shape_of(ary)[axis]
    if np.ndim(indices_or_sections):
        cuts = [0, *[int(i) for i in indices_or_sections], n]
    else:
        sections = int(indices_or_sections)
        if sections < 1:
            raise ArgumentError(f"array_split: {sections} sections; give one or more.")
        size, more = divmod(n, sections)
        cuts = [i * size + min(i, more) for i in range(sections + 1)]
    return [ary[(*(slice(None),) * axis, slice(*cut))] for cut in itertools.pairwise(cuts)]


@implements(np.split, view="inner")
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Pieces of `ary` along an axis: cut at indices, or into a number of equal sections."""
    n = shape_of(ary)[normalize_axis(axis, ndim(ary), "split")]
    if not np.ndim(indices_or_sections) and n % int(indices_or_sections):
        raise ArgumentError(
            f"split: an axis of size {n} cannot be cut into {indices_or_sections} equal sections; "
            "use array_split, or give the indices to cut at."
        )
    return array_split(ary, indices_or_sections, axis)


def _split_along(least: int, name: str, numpy_function: Any, axis: int) -> Any:
    def function(ary: Any, indices_or_sections: Any) -> list[Any]:
        if ndim(ary) < least:
            raise ArgumentError(
                f"{name}: an array of shape {shape_of(ary)} has fewer than {least} axes; "
                "use split with the axis."
            )
        return split(ary, indices_or_sections, axis if ndim(ary) > 1 else 0)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Pieces of an array of {least} or more axes along axis {axis}."
    return implements(numpy_function, view="inner")(function)


vsplit = _split_along(2, "vsplit", np.vsplit, 0)
hsplit = _split_along(1, "hsplit", np.hsplit, 1)
dsplit = _split_along(3, "dsplit", np.dsplit, 2)


@implements(*existing("unstack"), view="inner")
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """The arrays that stand side by side along an axis."""
    axis = normalize_axis(axis, ndim(x), "unstack")
    return tuple([x[(*(slice(None),) * axis, i)] for i in range(shape_of(x)[axis])])


__all__ = [
    "append", "array_split", "block", "c_", "column_stack", "concat", "concatenate", "dsplit",
    "dstack", "hsplit", "hstack", "r_", "split", "stack", "unstack", "vsplit", "vstack",
]  # fmt: skip

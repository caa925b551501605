"""Padding: `pad` in all of NumPy's modes, along one axis after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom, Literal
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import (
    aval_of,
    broadcast_to_shape,
    cast_to,
    implements,
    normalize_axis,
    stacked,
)
from gpuad.primitives import elementwise as ew
from gpuad.primitives import structure
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

Around = Callable[[Any, int, int, int], Any]
"""``(array, axis, before, after)``: the array with so many elements more along an axis."""

_OPTIONS = {
    "constant": "constant_values",
    "linear_ramp": "end_values",
    **dict.fromkeys(("maximum", "mean", "median", "minimum"), "stat_length"),
    **dict.fromkeys(("reflect", "symmetric"), "reflect_type"),
    **dict.fromkeys(("edge", "empty", "wrap"), ""),
}
"""The modes, and the argument that goes with each."""


@implements(np.pad)
def pad(
    array: Any, pad_width: Any, mode: Any = "constant", *, constant_values: Any = None,
    end_values: Any = None, stat_length: Any = None, reflect_type: Any = None,
) -> Any:  # fmt: skip
    """`array` with more elements before and after along each axis, as `numpy.pad`.

    Constants and end values may be traced. The elements of mode "empty" are zero.
    """
    given = {
        "constant_values": constant_values,
        "end_values": end_values,
        "stat_length": stat_length,
        "reflect_type": reflect_type,
    }
    _check_mode(mode, given)
    shape = shape_of(array)
    widths = _each_axis(pad_width, shape, "pad_width")
    option = given.get(_OPTIONS[mode])
    around = _MODES[mode](option, shape, mode)
    for axis, (before, after) in enumerate(widths):
        if before or after:
            array = around(array, axis, before, after)
    return apply(lambda v: v, array) if isinstance(array, Tracer) else array


def _check_mode(mode: Any, given: dict[str, Any]) -> None:
    if callable(mode):
        raise UnsupportedError(
            "pad(mode=function) writes into a plain array, and cannot be recorded; use a mode that "
            "has a name, or concatenate what is to stand around the array."
        )
    if mode not in _OPTIONS:
        names = ", ".join(map(repr, _OPTIONS))
        raise ArgumentError(f"pad: mode {mode!r} is not there; use one of {names}.")
    for name, value in given.items():
        if value is not None and name != _OPTIONS[mode]:
            own = _OPTIONS[mode] or "no argument of its own"
            raise ArgumentError(f"pad: mode {mode!r} has no {name}; it takes {own}.")


def _each_axis(given: Any, shape: tuple[int, ...], name: str) -> list[tuple[Any, Any]]:
    """A (before, after) pair for each axis, from a number, a pair, a pair for each or a dict."""
    if isinstance(given, dict):
        pairs = dict.fromkeys(range(len(shape)), (0, 0))
        for axis, width in given.items():
            pair = tuple(width) if isinstance(width, tuple | list) else (width, width)
            pairs[normalize_axis(axis, len(shape), "pad")] = pair
        given = list(pairs.values())
    try:
        rows = np.broadcast_to(np.asarray(given), (len(shape), 2)).tolist()
    except ValueError:
        rows = []
    if len(rows) != len(shape) or (name != "values" and not _are_widths(rows, name)):
        raise ArgumentError(
            f"pad: {name} {given!r} does not fit an array of shape {shape}; give one number, one "
            "(before, after), or one such pair for each axis (widths are ints from 0)."
        )
    return [(before, after) for before, after in rows]


def _are_widths(rows: list[Any], name: str) -> bool:
    lengths = [n for row in rows for n in row if not (n is None and name == "stat_length")]
    return all(isinstance(n, int) and n >= 0 for n in lengths)


def _values(given: Any, shape: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """As `_each_axis`, of values that may be traced."""
    given = stacked(given)
    if not isinstance(given, Tracer):
        return _each_axis(0 if given is None else given, shape, "values")
    if not given.shape:
        return [(given, given)] * len(shape)
    rows = OPERATIONS["broadcast_to"](given, (len(shape), 2))
    return [(rows[i, 0], rows[i, 1]) for i in range(len(shape))]


def _joined(axis: int, *parts: Any) -> Any:
    def record(*values: Atom) -> Atom:
        dtype = values[1].aval.dtype
        return structure.concatenate(*[cast_to(v, dtype) for v in values], axis=axis)

    return apply(record, *parts)


def _elements(a: Any, axis: int, start: int, stop: int) -> Any:
    return a[(*(slice(None),) * axis, slice(start, stop))]


def _repeated(x: Any, axis: int, n: int) -> Any:
    shape = list(shape_of(x))
    shape[axis] = n
    return OPERATIONS["broadcast_to"](x, tuple(shape))


# Constants, and ramps that lead to them


def _constant(option: Any, shape: tuple[int, ...], mode: str) -> Around:
    sides = _values(option, shape)

    def around(array: Any, axis: int, before: int, after: int) -> Any:
        record = lambda v, *values: _with_constants(v, axis, (before, after), values)  # noqa: E731
        return apply(record, array, *sides[axis])

    return around


def _with_constants(v: Atom, axis: int, width: tuple[int, int], values: Sequence[Atom]) -> Atom:
    if all(type(value) is Literal and not value.value for value in values):
        low, high = [[n if i == axis else 0 for i in range(v.aval.ndim)] for n in width]
        return structure.pad(v, low=tuple(low), high=tuple(high), step=(1,) * v.aval.ndim)
    around = []
    for n, value in zip(width, values, strict=True):
        size = [n if i == axis else m for i, m in enumerate(v.aval.shape)]
        around.append(structure.broadcast(cast_to(value, v.aval.dtype), shape=tuple(size), dims=()))
    return structure.concatenate(around[0], v, around[1], axis=axis)


def _linear_ramp(option: Any, shape: tuple[int, ...], mode: str) -> Around:
    sides = _values(option, shape)
    linspace = OPERATIONS["linspace"]

    def around(array: Any, axis: int, before: int, after: int) -> Any:
        n = _nonempty(array, axis, mode)
        dtype = aval_of(array).dtype
        first, last = [OPERATIONS["take"](array, i, axis=axis) for i in (0, n - 1)]
        low, high = sides[axis]
        left = linspace(low, first, before, endpoint=False, dtype=dtype, axis=axis)
        right = linspace(high, last, after, endpoint=False, dtype=dtype, axis=axis)
        return _joined(axis, left, array, OPERATIONS["flip"](right, axis))

    return around


def _nonempty(array: Any, axis: int, mode: str) -> int:
    n = shape_of(array)[axis]
    if not n:
        raise ArgumentError(
            f"pad: axis {axis} is empty, and mode {mode!r} has nothing to repeat; "
            "use mode 'constant'."
        )
    return n


# Statistics of what is near the edge

_STATISTICS = {"maximum": "max", "mean": "mean", "median": "median", "minimum": "min"}


def _statistic(option: Any, shape: tuple[int, ...], mode: str) -> Around:
    lengths = _each_axis(option, shape, "stat_length")
    function = OPERATIONS[_STATISTICS[mode]]

    def around(array: Any, axis: int, before: int, after: int) -> Any:
        n = _nonempty(array, axis, mode)
        whole = aval_of(array).dtype.kind in "iu"

        def side(start: int, stop: int) -> Any:
            if start == stop:
                raise ArgumentError("pad: a stat_length of 0 leaves no value; give 1 or more.")
            found = function(_elements(array, axis, start, stop), axis=axis, keepdims=True)
            return OPERATIONS["round"](found) if whole and mode in ("mean", "median") else found

        left, right = [n if k is None else min(k, n) for k in lengths[axis]]
        first = side(0, left)
        last = first if left == right == n else side(n - right, n)
        return _joined(axis, _repeated(first, axis, before), array, _repeated(last, axis, after))

    return around


# Repetitions and mirror images


def _mirrored(option: Any, shape: tuple[int, ...], mode: str) -> Around:
    if option not in (None, "even", "odd"):
        raise ArgumentError(f"pad: reflect_type is {option!r}; give 'even' or 'odd'.")

    def around(array: Any, axis: int, before: int, after: int) -> Any:
        n = _nonempty(array, axis, mode)
        if option == "odd" and not (mode == "reflect" and n == 1):
            return apply(lambda v: _odd_image(v, axis, before, after, mode == "reflect"), array)
        indices = np.pad(np.arange(n), (before, after), mode)  # type: ignore[call-overload]
        return apply(lambda v: _gathered(v, axis, indices), array)

    return around


def _odd_image(v: Atom, axis: int, before: int, after: int, inside: bool) -> Atom:
    """Mirror images less twice the edge, grown from both edges until they are long enough. With
    mirrors that stand `inside`, in the elements at the edges, these are not repeated."""
    period = v.aval.shape[axis] - inside
    while before or after:
        n = v.aval.shape[axis]
        most = (n - inside) // period * period
        left, right = min(most, before), min(most, after)
        low = structure.slice_axis(v, axis, int(inside), inside + left)
        high = structure.slice_axis(v, axis, n - inside - right, n - inside)
        first, last = [structure.slice_axis(v, axis, i, i + 1) for i in (0, n - 1)]
        v = structure.concatenate(_opposite(low, first, axis), v, _opposite(high, last, axis),
                                  axis=axis)  # fmt: skip
        before, after = before - left, after - right
    return v


def _opposite(chunk: Atom, edge: Atom, axis: int) -> Atom:
    twice = broadcast_to_shape(ew.mul(2, edge), chunk.aval.shape)
    return ew.sub(twice, structure.flip(chunk, axes=(axis,)))


def _gathered(v: Atom, axis: int, indices: Any) -> Atom:
    runs = _runs(indices.tolist())
    return structure.concatenate(*[_run(v, axis, *run) for run in runs], axis=axis)


def _runs(indices: list[int]) -> Iterator[tuple[int, int, int]]:
    """The indices as (first, step, count) with step 1, -1 or 0."""
    start = 0
    while start < len(indices):
        end = start + 1
        step = indices[end] - indices[start] if end < len(indices) else 1
        if step in (1, -1, 0):
            while end < len(indices) and indices[end] - indices[end - 1] == step:
                end += 1
        yield indices[start], step, end - start
        start = end


def _run(v: Atom, axis: int, first: int, step: int, count: int) -> Atom:
    if step == 0:
        element = structure.slice_axis(v, axis, first, first + 1)
        shape = tuple([count if i == axis else n for i, n in enumerate(v.aval.shape)])
        return broadcast_to_shape(element, shape)
    if step == 1 or count == 1:
        return structure.slice_axis(v, axis, first, first + count)
    return structure.flip(structure.slice_axis(v, axis, first - count + 1, first + 1), axes=(axis,))


_MODES: dict[str, Callable[[Any, tuple[int, ...], str], Around]] = {
    "constant": _constant,
    "empty": _constant,
    "linear_ramp": _linear_ramp,
    **dict.fromkeys(_STATISTICS, _statistic),
    **dict.fromkeys(("edge", "reflect", "symmetric", "wrap"), _mirrored),
}

__all__ = ["pad"]

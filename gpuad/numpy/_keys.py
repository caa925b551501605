"""NumPy's keys: what ``x[key]`` reads, as slices, new axes and index arrays.

A key is taken apart once, against the shape of the array, into a `Key`, which
`gpuad.numpy._access` then records.
"""

from collections.abc import Callable, Sequence
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from gpuad.errors import BadIndexError, UnknownValueError
from gpuad.tracing import Tracer, is_array, namespace_of
from gpuad.tracing.operators import ArrayLike
from gpuad.tracing.registry import OPERATIONS


class Index:
    """An array of integers in a key, concrete or traced."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array


class Mask:
    """An array of booleans in a key, concrete or traced."""

    __slots__ = ("array", "ndim")

    def __init__(self, array: Any):
        self.array = array
        self.ndim = array.ndim


def items_of(key: Any) -> Sequence[Any]:
    """The parts of a key: ints, slices, None, ..., `Index` and `Mask`."""
    items = key if type(key) is tuple else (key,)
    for item in items:
        if type(item) not in _BASIC:
            return [x if type(x) in _BASIC else _classified(x) for x in items]
    return items


def _classified(item: Any) -> Any:
    if isinstance(item, list | tuple):
        item = _array_of(item)
    elif isinstance(item, bool | np.bool):
        item = np.asarray(item)
    elif isinstance(item, np.integer) or _is_integer(item):
        return int(item)
    if not isinstance(item, Tracer) and not is_array(item):
        if isinstance(item, ArrayLike):
            item._check_array()
        raise BadIndexError(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or "
            f"boolean arrays are valid indices, not {type(item).__name__} ({item!r:.40})"
        )
    if item.dtype.kind == "b":
        return Mask(item)
    if item.dtype.kind not in "iu":
        raise BadIndexError(
            f"arrays used as indices must be of integer (or boolean) type, not {item.dtype}; "
            "convert with .astype(int)"
        )
    return Index(item)


def integers(indices: Any, name: str) -> Any:
    """Indices given as an argument, as an array or Tracer of integers."""
    array = _array_of(indices) if isinstance(indices, list | tuple) else indices
    array = array if isinstance(array, Tracer) or is_array(array) else np.asarray(array)
    if array.dtype.kind not in "iu":
        raise BadIndexError(
            f"{name}: indices must be of integer type, not {array.dtype}; "
            "convert with .astype(int); for a mask write x[mask], or np.where(mask, x, 0) if x is "
            "a plain array."
        )
    return array


def _is_integer(item: Any) -> bool:
    """A NumPy array of no axes is an integer; other libraries' need not be brought to the host."""
    return isinstance(item, np.ndarray) and not item.ndim and item.dtype.kind in "iu"


def _array_of(item: Any) -> Any:
    if any(isinstance(x, Tracer) for x in item):
        return OPERATIONS["stack"](list(item))
    array = np.asarray(item)
    return array if array.size else array.astype(np.int64)


class Key:
    """A key taken apart: ``x[starts:stops:steps]``, flipped, reshaped, then read by index arrays.

    Attributes
    ----------
    starts, stops, steps
        The part of each axis that is used; an integer is a slice of one.
    lengths, flips
        The shape of that part, and the axes with a negative step.
    shape
        The shape without the axes of integers and with new ones.
    gathered, indices
        The axes of `shape` that index arrays go along, and these arrays.
    place
        Where the axes of the index arrays stand in the result.
    unique
        Whether no place can be read twice.
    """

    __slots__ = (
        "flips", "gathered", "indices", "lengths", "place", "shape", "starts", "steps", "stops",
        "unique",
    )  # fmt: skip

    def __init__(self, walk: "_Walk"):
        self.starts = tuple(walk.starts)
        self.stops = tuple(walk.stops)
        self.steps = tuple(walk.steps)
        self.lengths = tuple(walk.lengths)
        self.flips = tuple(walk.flips)
        self.shape = tuple(walk.out)
        self.gathered = tuple(walk.gathered)
        self.indices = walk.indices
        self.place = 0 if walk.fancy_ended == 2 else walk.place
        self.unique = not walk.repeats

    @property
    def rest(self) -> tuple[int, ...]:
        """The shape without the gathered axes."""
        return tuple([n for i, n in enumerate(self.shape) if i not in self.gathered])


class _Walk:
    """The state of taking a key apart, from its first item to its last."""

    def __init__(self, shape: tuple[int, ...]):
        self.full = shape
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.steps: list[int] = []
        self.lengths: list[int] = []
        self.flips: list[int] = []
        self.out: list[int] = []
        self.gathered: list[int] = []
        self.indices: list[Any] = []
        self.place = -1
        self.fancy_ended = 0
        self.repeats = False

    def fancy(self) -> None:
        """Integers and arrays that stand together put their axes where the first stands."""
        if self.place < 0:
            self.place = len(self.out) - len(self.gathered)
        elif self.fancy_ended == 1:
            self.fancy_ended = 2

    def plain(self) -> None:
        if self.place >= 0 and not self.fancy_ended:
            self.fancy_ended = 1

    def axis(self, start: int, stop: int, step: int, length: int) -> None:
        self.starts.append(start)
        self.stops.append(stop)
        self.steps.append(step)
        self.lengths.append(length)

    def whole(self) -> int:
        n = self.full[len(self.starts)]
        self.axis(0, n, 1, n)
        self.out.append(n)
        return n

    def integer(self, i: int, fill: int) -> None:
        axis = len(self.starts)
        n = self.full[axis]
        if not -n <= i < n:
            raise BadIndexError(f"index {i} is out of bounds for axis {axis} with size {n}")
        self.fancy()
        i %= n
        self.axis(i, i + 1, 1, 1)

    def slice(self, s: slice, fill: int) -> None:
        self.plain()
        try:
            start, stop, step = s.indices(self.full[len(self.starts)])
        except UnknownValueError:
            raise UnknownValueError(
                "a slice bound is a traced value that is not known here, so neither is the shape "
                "of the slice. For a window of fixed size at a traced place write "
                "gpuad.numpy.dynamic_slice(x, starts, sizes)."
            ) from None
        length = max(0, -(-(stop - start) // step))
        if not length:
            start = stop = 0
            step = 1
        elif step < 0:
            self.flips.append(len(self.starts))
            start, stop, step = start + (length - 1) * step, start + 1, -step
        self.axis(start, stop, step, length)
        self.out.append(length)

    def new(self, item: None, fill: int) -> None:
        self.plain()
        self.out.append(1)

    def ellipsis(self, item: EllipsisType, fill: int) -> None:
        self.plain()
        for _ in range(fill):
            self.whole()

    def index(self, item: Index, fill: int) -> None:
        self.fancy()
        self.repeats = True
        self.gather(in_bounds(item.array, self.full[len(self.starts)], len(self.starts)))

    def gather(self, array: Any) -> None:
        self.gathered.append(len(self.out))
        self.indices.append(array)
        self.whole()

    def mask(self, item: Mask, fill: int) -> None:
        self.fancy()
        mask = known_mask(item.array)
        if not item.ndim:
            # True is a new axis of size one, False one of size zero.
            self.gathered.append(len(self.out))
            self.indices.append(np.zeros(int(bool(mask)), np.int64))
            self.out.append(1)
            return
        first = len(self.starts)
        check_mask(mask.shape, self.full[first : first + item.ndim], first)
        for array in namespace_of(mask).nonzero(mask):
            self.gather(array)


def check_mask(mask: tuple[int, ...], shape: tuple[int, ...], first: int) -> None:
    for axis, (m, n) in enumerate(zip(mask, shape, strict=True), first):
        if m != n:
            raise BadIndexError(
                f"boolean index did not match indexed array along axis {axis}; size of axis is {n} "
                f"but size of corresponding boolean axis is {m}"
            )


def known_mask(mask: Any) -> Any:
    """The value of a mask, which says how many elements there are."""
    if not isinstance(mask, Tracer):
        return mask
    try:
        return mask._value()
    except UnknownValueError:
        raise unknown_count("this use of a traced boolean mask") from None


def unknown_count(what: str) -> UnknownValueError:
    """The error for what needs to know how many elements a mask selects."""
    return UnknownValueError(
        f"{what} needs to know how many elements the mask selects, and its value is not known here "
        "(under jit or vmap). Elementwise functions and full reductions (sum, mean, max) of "
        "x[mask] work, and so do y[mask] = g(x[mask]) by the same mask and y[mask] = v with one v "
        "for all places. Otherwise keep the shape: write np.where(mask, x, 0) to read, "
        "np.where(mask, v, x) to update."
    )


def in_bounds(array: Any, n: int, axis: int) -> Any:
    """Concrete indices as int64, checked and not negative; traced ones as they are.

    CuPy does not check (it would wait for the GPU); its indices wrap around.
    """
    if isinstance(array, Tracer):
        return array
    if namespace_of(array) is not np:
        return (array % max(n, 1)).astype(np.int64)
    if array.size:
        low, high = array.min(), array.max()
        if low < -n or high >= n:
            bad = low if low < -n else high
            raise BadIndexError(f"index {bad} is out of bounds for axis {axis} with size {n}")
        if low < 0:
            array = np.where(array < 0, array + n, array)
    return np.asarray(array, np.int64)


_BASIC: dict[type, Callable[..., None]] = {
    int: _Walk.integer,
    slice: _Walk.slice,
    NoneType: _Walk.new,
    EllipsisType: _Walk.ellipsis,
}
_VISIT: dict[type, Callable[..., None]] = {**_BASIC, Index: _Walk.index, Mask: _Walk.mask}


def fill_of(items: Sequence[Any], ndim: int) -> tuple[Sequence[Any], int]:
    """The items, one of which is an ellipsis, and how many axes it stands for."""
    used = dots = 0
    for item in items:
        if item is Ellipsis:
            dots += 1
        elif type(item) is Mask:
            used += item.ndim
        elif item is not None:
            used += 1
    if dots > 1:
        raise BadIndexError("an index can only have a single ellipsis ('...')")
    if used > ndim:
        raise BadIndexError(
            f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed"
        )
    return (items if dots else (*items, Ellipsis)), ndim - used


def parse(items: Sequence[Any], shape: tuple[int, ...]) -> Key:
    """A key, given as `items_of` it, against the shape of an array."""
    items, fill = fill_of(items, len(shape))
    walk = _Walk(shape)
    for item in items:
        _VISIT[type(item)](walk, item, fill)
    return Key(walk)

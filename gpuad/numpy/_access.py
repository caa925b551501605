"""Reading and updating ``x[key]``, recorded: what a `Key` means on Vars, and on arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, BadIndexError, DTypeError
from gpuad.ir.graph import Atom
from gpuad.ir.half import widened
from gpuad.ir.primitive import is_inexact
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import broadcast_to_shape, cast_to
from gpuad.numpy._keys import Key, Mask, check_mask, fill_of, items_of, parse, unknown_count
from gpuad.numpy._selected import Selected, check_same, selected, unknown_mask
from gpuad.primitives import elementwise as ew
from gpuad.primitives import indexing
from gpuad.primitives.elementwise import add, bit_and, ge, lt, select
from gpuad.primitives.indexing import INT, gather
from gpuad.primitives.structure import (
    broadcast,
    flip,
    inverse_permutation,
    reshape,
    slice_,
    transpose,
)
from gpuad.primitives.windows import slice_set
from gpuad.tracing import Tracer
from gpuad.tracing.advice import dtype_text
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


def view(x: Atom, key: Key) -> Atom:
    """``x[key]`` but for the index arrays."""
    part = slice_(x, key.starts, key.stops, key.steps)
    if key.flips:
        part = flip(part, axes=key.flips)
    return reshape(part, shape=key.shape)


def unview(x: Atom, part: Atom, key: Key) -> Atom:
    """`x` with `part` in the place of ``view(x, key)``."""
    part = reshape(part, shape=key.lengths)
    if key.flips:
        part = flip(part, axes=key.flips)
    return slice_set(x, part, key.starts, key.stops, key.steps)


def _front(key: Key) -> tuple[int, ...]:
    """The permutation that brings the gathered axes to the front."""
    others = [i for i in range(len(key.shape)) if i not in key.gathered]
    return (*key.gathered, *others)


def _placing(key: Key, ndim: int) -> tuple[int, ...]:
    """The permutation from (axes of the indices, rest) to NumPy's order."""
    place = key.place
    whole = ndim + len(key.shape) - len(key.gathered)
    return (*range(ndim, ndim + place), *range(ndim), *range(ndim + place, whole))


def _index_operands(key: Key, indices: Sequence[Atom]) -> list[Atom]:
    """The indices in one shape."""
    shapes = [i.aval.shape for i in indices]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise BadIndexError(
            "shape mismatch: indexing arrays could not be broadcast together with shapes "
            + " ".join(map(str, shapes))
        ) from None
    result = []
    for axis, given, i in zip(key.gathered, key.indices, indices, strict=True):
        i = counted(i, given, key.shape[axis])
        result.append(broadcast_to_shape(i, shape))
    return result


def counted(i: Atom, given: Any, n: int) -> Atom:
    """Indices as int64, those of a traced array counted from the start of an axis of size n.

    What is out of range stays so, for NumPy to find.
    """
    i = cast_to(i, INT)
    if not isinstance(given, Tracer):
        return i
    return select(bit_and(lt(i, 0), ge(i, -n)), add(i, n), i)


def read(x: Atom, key: Key, indices: Sequence[Atom]) -> Atom:
    """``x[key]`` with index arrays."""
    front = transpose(view(x, key), perm=_front(key))
    operands = _index_operands(key, indices)
    result = gather(front, *operands, batch=0)
    return transpose(result, perm=_placing(key, operands[0].aval.ndim))


def write(x: Atom, u: Atom, key: Key, indices: Sequence[Atom], scatter: Any) -> Atom:
    """`x` with `u` combined by `scatter` into ``x[key]``, with index arrays."""
    part = view(x, key)
    front = transpose(part, perm=_front(key))
    operands = _index_operands(key, indices)
    shape = operands[0].aval.shape
    placing = _placing(key, len(shape))
    read_shape = (*shape, *key.rest)
    u = fit(u, tuple([read_shape[p] for p in placing]))
    u = transpose(u, perm=inverse_permutation(placing))
    result = scatter(front, u, *operands)
    return unview(x, transpose(result, perm=inverse_permutation(_front(key))), key)


def fit(u: Atom, shape: tuple[int, ...]) -> Atom:
    """`u` repeated to the shape of the place that it is written to."""
    extra = u.aval.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in u.aval.shape[:extra]):
        u = reshape(u, shape=u.aval.shape[extra:])
    try:
        if np.broadcast_shapes(u.aval.shape, shape) == shape:
            return broadcast_to_shape(u, shape)
    except ValueError:
        pass
    raise ArgumentError(
        f"could not broadcast input array from shape {u.aval.shape} into shape {shape}; "
        "give a value of the shape that the key selects."
    )


# x[key]


def getitem(x: Any, key: Any) -> Any:
    """``x[key]`` of a Tracer, or of an array by a key with Tracers in it."""
    items = items_of(key)
    if unknown_mask(items):
        return _selected(x, items)
    parsed = parse(items, x.shape)
    if parsed.indices:
        return apply(lambda v, *indices: read(v, parsed, indices), x, *parsed.indices)
    result = apply(lambda v: view(v, parsed), x)
    return result._mark_view_of(x, (None,) if key is None else key)


def _selected(x: Any, items: Sequence[Any]) -> Any:
    """``x[key]`` by a mask whose value is not known."""
    found = _selection(items, x.shape)
    if found is None or found.first:
        raise unknown_count("this key with a traced boolean mask that is not its first array")
    return selected(apply(lambda v: view(v, found.key), x), found.mask)


# x[key] = v and its kin


class Combine:
    """A way to bring values into places: for whole arrays, and by index arrays."""

    def __init__(self, name: str, whole: Callable[..., Atom], places: Callable[..., Atom]):
        self.name = name
        self.whole = whole
        self.places = places

    def scatter(self, key: Key) -> Callable[..., Atom]:
        if self.name == "set":
            return lambda *operands: self.places(*operands, batch=0, unique=key.unique)
        return lambda *operands: self.places(*operands, batch=0)


SET = Combine("set", lambda x, u: u, indexing.scatter_set)
ADD = Combine("add", ew.add, indexing.scatter_add)
MUL = Combine("mul", ew.mul, indexing.scatter_mul)
MIN = Combine("min", ew.minimum, indexing.scatter_min)
MAX = Combine("max", ew.maximum, indexing.scatter_max)


def update(x: Any, key: Any, value: Any, combine: Combine) -> Any:
    """`x` with `value` combined into ``x[key]``, as a new array of the dtype of `x`."""
    if isinstance(value, list | tuple):
        traced = any(isinstance(v, Tracer) for v in value)
        value = OPERATIONS["stack"](list(value)) if traced else np.asarray(value)
    shape, items = shape_of(x), items_of(key)
    found = _selection(items, shape)
    if isinstance(value, Selected):
        if found is None or found.first:
            value._check_array("an update by x[mask] elsewhere than at its mask")
        value = _laid_out(value, found)
        return apply(_recorded_selection(found, combine), x, value, found.mask)
    if found is not None and found.takes(shape_of(value)):
        return apply(_recorded_selection(found, combine), x, value, found.mask)
    parsed = parse(items, shape)
    return apply(_recorded_update(parsed, combine), x, value, *parsed.indices)


def _recorded_update(key: Key, combine: Combine) -> Callable[..., Atom]:
    def record(x: Atom, u: Atom, *indices: Atom) -> Atom:
        u = in_dtype(u, x.aval.dtype)
        if indices:
            return write(x, u, key, indices, combine.scatter(key))
        old = view(x, key)
        return unview(x, combine.whole(old, fit(u, old.aval.shape)), key)

    return record


def in_dtype(u: Atom, dtype: np.dtype) -> Atom:
    """`u` in the dtype of the array that it is stored in, if that keeps its derivative."""
    rank = "biufc".find
    source = u.aval.dtype
    if is_inexact(source) and rank(widened(source).kind) > rank(widened(dtype).kind):
        raise DTypeError(
            f"a value of dtype {source} cannot be stored in an array of dtype {dtype} without "
            f"losing its derivative; convert the array first with .astype({dtype_text(source)})."
        )
    return cast_to(u, dtype)


# A mask and one value for all its places make a selection: nothing is asked of the mask's value.


@dataclass(frozen=True)
class Selection:
    """The key with slices in place of the mask, whose axes in its view begin at `first`."""

    key: Key
    mask: Any
    first: int

    @property
    def rest(self) -> tuple[int, ...]:
        return self.key.shape[self.first + self.mask.ndim :]

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a value of this shape is the same for all places of the mask."""
        extra = max(0, len(shape) - len(self.rest))
        return not shape or (not self.first and all(n == 1 for n in shape[:extra]))


def _selection(items: Sequence[Any], shape: tuple[int, ...]) -> Selection | None:
    """The selection that a key with a mask, and no other arrays, stands for."""
    advanced = [item for item in items if type(item) not in (int, slice, NoneType, EllipsisType)]
    if len(advanced) != 1 or type(advanced[0]) is not Mask or not advanced[0].ndim:
        return None
    mask = advanced[0]
    items, fill = fill_of(items, len(shape))
    at = next(i for i, item in enumerate(items) if item is mask)
    before = [type(item) for item in items[:at]]
    first = sum(fill if t is EllipsisType else t is not int for t in before)
    axis = sum(fill if t is EllipsisType else t is not NoneType for t in before)
    check_mask(mask.array.shape, shape[axis : axis + mask.ndim], axis)
    slices = [slice(None)] * mask.ndim
    return Selection(parse([*items[:at], *slices, *items[at + 1 :]], shape), mask.array, first)


def _laid_out(value: Selected, found: Selection) -> Any:
    """What the same mask selects elsewhere, in the shape of the view that it is stored into."""
    mask = found.mask
    check_same([value.mask, OPERATIONS["reshape"](mask, (mask.size,))])
    if value.ndim != 1 + len(found.rest):
        value._check_array("an update by x[mask] of other axes")
    return OPERATIONS["reshape"](value.whole, (*mask.shape, *value.whole.shape[1:]))


def _recorded_selection(selected: Selection, combine: Combine) -> Callable[..., Atom]:
    key = selected.key
    dims = tuple(range(selected.first, selected.first + selected.mask.ndim))

    def record(x: Atom, u: Atom, mask: Atom) -> Atom:
        old = view(x, key)
        u = in_dtype(u, x.aval.dtype)
        u = fit(u, old.aval.shape if u.aval.ndim == old.aval.ndim else selected.rest)
        u = broadcast_to_shape(u, old.aval.shape)
        mask = broadcast(mask, shape=old.aval.shape, dims=dims)
        return unview(x, select(mask, combine.whole(old, u), old), key)

    return record

"""Set functions. Where the shape of a result depends on values, these must be known: under ``jit``
and ``vmap`` such functions are refused."""

from typing import Any, NamedTuple

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import cast_to, implements
from gpuad.numpy.searching import common_dtype, known
from gpuad.numpy.sorting import unique
from gpuad.primitives import elementwise as ew
from gpuad.primitives import sorting
from gpuad.primitives.declare import BOOL, zeros
from gpuad.primitives.indexing import gather
from gpuad.primitives.structure import broadcast, reshape, slice_axis
from gpuad.tracing import namespace_of
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Any
    inverse_indices: Any


@implements(np.unique_all)
def unique_all(x: Any) -> UniqueAll:
    """The unique elements, the index of the first of each, the way back, and how many of each."""
    return UniqueAll(*unique(x, True, True, True, equal_nan=False))


@implements(np.unique_counts)
def unique_counts(x: Any) -> UniqueCounts:
    """The unique elements and how many of each."""
    return UniqueCounts(*unique(x, return_counts=True, equal_nan=False))


@implements(np.unique_inverse)
def unique_inverse(x: Any) -> UniqueInverse:
    """The unique elements, and for each element of `x` its place among them."""
    return UniqueInverse(*unique(x, return_inverse=True, equal_nan=False))


@implements(np.unique_values)
def unique_values(x: Any) -> Any:
    """The unique elements; of equal ones the first has the derivative."""
    return unique(x, equal_nan=False)


# Membership

_FEW = 8
"""Up to so many elements are compared one by one, which fuses into sweeps."""


@implements(np.isin)
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
         kind: Any = None) -> Any:  # fmt: skip
    """Whether each element is among the test elements."""
    if kind not in (None, "sort", "table"):
        raise ArgumentError(f"isin: kind={kind!r}; give None, 'sort' or 'table'.")
    found = apply(_is_among, element, test_elements)
    return OPERATIONS["logical_not"](found) if invert else found


def _is_among(x: Atom, tests: Atom) -> Atom:
    dtype = common_dtype(x, tests)
    x, tests = cast_to(x, dtype), reshape(cast_to(tests, dtype), shape=(tests.aval.size,))
    n = tests.aval.size
    if n <= _FEW or dtype.kind == "c":
        result = zeros(x.aval.with_dtype(BOOL))
        for i in range(n):
            one = reshape(slice_axis(tests, 0, i, i + 1), shape=())
            one = broadcast(one, shape=x.aval.shape, dims=())
            result = ew.bit_or(result, ew.eq(x, one))
        return result
    tests = sorting.sort(tests, axis=0)
    places = ew.minimum(sorting.searchsorted(tests, x, side="left", batch=0), n - 1)
    return ew.eq(gather(tests, places, batch=0), x)


# Sets of known values, whose elements are taken from the traced arrays


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """The sorted elements that are in either array."""
    return unique(OPERATIONS["concatenate"]([ar1, ar2], axis=None))


def _elements(ar: Any, assume_unique: bool) -> tuple[Any, Any]:
    """The elements, sorted without repetitions unless they are assumed to be, and their places."""
    if not assume_unique:
        elements, first = unique(ar, return_index=True)
        return elements, first
    flat = OPERATIONS["ravel"](ar)
    return flat, np.arange(shape_of(flat)[0])


@implements(np.intersect1d)
def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """The sorted elements that are in both arrays; those of the first have the derivative."""
    (x, of_x), (y, of_y) = _elements(ar1, assume_unique), _elements(ar2, assume_unique)
    values = known(x, "intersect1d"), known(y, "intersect1d")
    xp = namespace_of(values[0])
    _, i, j = xp.intersect1d(*values, assume_unique=True, return_indices=True)
    elements = OPERATIONS["take"](x, i)
    return (elements, of_x[i], of_y[j]) if return_indices else elements


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The elements of the first array that are not in the second."""
    x, _ = _elements(ar1, assume_unique)
    value, other = known(x, "setdiff1d"), known(ar2, "setdiff1d")
    return OPERATIONS["compress"](namespace_of(value).isin(value, other, invert=True), x)


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The sorted elements that are in one of the arrays, but not in both."""
    x, y = [_elements(ar, assume_unique)[0] for ar in (ar1, ar2)]
    joined = OPERATIONS["sort"](OPERATIONS["concatenate"]([x, y], axis=None))
    value = known(joined, "setxor1d")
    xp = namespace_of(value)
    differs = xp.concatenate([xp.ones(1, bool), value[1:] != value[:-1], xp.ones(1, bool)])
    return joined if not value.size else OPERATIONS["compress"](differs[1:] & differs[:-1], joined)


__all__ = [
    "intersect1d", "isin", "setdiff1d", "setxor1d", "union1d", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
]  # fmt: skip

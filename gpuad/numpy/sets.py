"""The array API's set functions. The shapes of their results depend on values, so these must be
known: under ``jit`` and ``vmap`` they are refused."""

from typing import Any, NamedTuple

import numpy as np

from gpuad.numpy._dispatch import implements
from gpuad.numpy.sorting import unique


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


__all__ = ["unique_all", "unique_counts", "unique_inverse", "unique_values"]

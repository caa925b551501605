"""Sorting functions, and the unique elements."""

import math
import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import alias, shape_of
from gpuad.numpy._dispatch import implements, normalize_axis
from gpuad.numpy.cumulative import along
from gpuad.numpy.searching import known
from gpuad.primitives import sorting
from gpuad.tracing import namespace_of
from gpuad.tracing.registry import OPERATIONS


def _check_order(order: Any, name: str) -> None:
    if order is not None:
        raise UnsupportedError(
            f"{name}(order=...) is for arrays with fields, which cannot be recorded; "
            "sort one array by the argsort of another."
        )


@implements(np.sort, name="sort")
def _sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *,
          stable: Any = None) -> Any:  # fmt: skip
    _check_order(order, "sort")
    _check_kind(kind, "sort")
    return along(a, axis, "sort", lambda x, axis: sorting.sort(x, axis=axis))


@implements(np.argsort, name="argsort")
def _argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *,
             stable: Any = None) -> Any:  # fmt: skip
    _check_order(order, "argsort")
    _check_kind(kind, "argsort")
    return along(a, axis, "argsort", lambda x, axis: sorting.argsort(x, axis=axis))


_KINDS = {"q": "quicksort", "h": "heapsort", "m": "mergesort", "s": "stable"}


def _check_kind(kind: Any, name: str) -> None:
    """As NumPy, which reads the first letter; all sort the same here, and stably."""
    if kind is not None and (not isinstance(kind, str) or kind[:1].lower() not in _KINDS):
        names = ", ".join(map(repr, _KINDS.values()))
        raise ArgumentError(f"{name}: kind={kind!r}; choose one of {names}.")


def _options(**options: Any) -> dict[str, Any]:
    return {k: v for k, v in options.items() if v is not None}


def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
         descending: bool = False) -> Any:  # fmt: skip
    """A sorted copy along an axis, as `numpy.sort`; of traced arrays always stable."""
    if not descending:
        return _sort(a, axis, **_options(kind=kind, order=order, stable=stable))
    # Ties keep their order: sort the reversed line, and read it from its end.
    flip = OPERATIONS["flip"]
    back = _sort(flip(a, axis), axis, **_options(kind=kind or "stable", order=order))
    return flip(back, axis)


def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
            descending: bool = False) -> Any:  # fmt: skip
    """The indices that sort along an axis, as `numpy.argsort`; of traced arrays always stable."""
    if not descending:
        return _argsort(a, axis, **_options(kind=kind, order=order, stable=stable))
    flip, shape = OPERATIONS["flip"], shape_of(a)
    back = _argsort(flip(a, axis), axis, **_options(kind=kind or "stable", order=order))
    last = (math.prod(shape) if axis is None else shape[axis]) - 1
    return OPERATIONS["subtract"](last, flip(back, axis))


alias("sort", sort)
alias("argsort", argsort)


def _check_places(kth: Any, n: int, name: str) -> None:
    for k in np.atleast_1d(np.asarray(kth)).ravel():
        if not -n <= operator.index(k) < n:
            raise ArgumentError(f"{name}: kth={k} is out of range for {n} elements.")


def _length_along(a: Any, axis: Any, name: str) -> int:
    shape = shape_of(a)
    return math.prod(shape) if axis is None else shape[normalize_axis(axis, len(shape), name)]


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect",
              order: Any = None) -> Any:  # fmt: skip
    """A copy with the kth smallest elements in their places; of traced arrays all are sorted."""
    _check_order(order, "partition")
    _check_places(kth, _length_along(a, axis, "partition"), "partition")
    return _sort(a, axis)


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect",
                 order: Any = None) -> Any:  # fmt: skip
    """The indices of `partition`; of traced arrays those that sort."""
    _check_order(order, "argpartition")
    _check_places(kth, _length_along(a, axis, "argpartition"), "argpartition")
    return _argsort(a, axis)


@implements(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """A sorted copy along the last axis, as complex numbers."""
    found = _sort(a)
    dtype = found.dtype
    if dtype.kind == "c":
        return found
    small = dtype.kind in "iu" and dtype.itemsize <= 2
    return OPERATIONS["astype"](found, np.complex64 if small else np.complex128)


@implements(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Any:
    """The indices that sort by the last of the keys, and where it is equal by those before it."""
    keys = [keys[i] for i in range(len(keys))]
    if not keys:
        raise ArgumentError("lexsort: no keys are given; give one or more.")
    order = _argsort(keys[0], axis, stable=True)
    for key in keys[1:]:
        sorted_so_far = OPERATIONS["take_along_axis"](key, order, axis)
        later = _argsort(sorted_so_far, axis, stable=True)
        order = OPERATIONS["take_along_axis"](order, later, axis)
    return order


# Unique elements: found where the values are known, taken from the traced array.


@implements(np.unique)
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False,
           return_counts: bool = False, axis: Any = None, *, equal_nan: bool = True,
           sorted: bool = True) -> Any:  # fmt: skip
    """The sorted unique elements, as `numpy.unique`; of equal ones the first has the derivative."""
    value = known(ar, "unique")
    found = namespace_of(value).unique(
        value, True, return_inverse, return_counts, axis=axis, equal_nan=equal_nan
    )
    first = found[1]
    source = OPERATIONS["ravel"](ar) if axis is None else ar
    elements = OPERATIONS["take"](source, first, axis=0 if axis is None else axis)
    rest = found[1:] if return_index else found[2:]
    return (elements, *rest) if rest else elements


__all__ = [
    "argpartition", "argsort", "lexsort", "partition", "sort", "sort_complex", "unique",
]  # fmt: skip

"""Sorting functions, and what is read off sorted values: medians, quantiles, unique elements."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import alias, into, refused, shape_of
from gpuad.numpy._dispatch import cast_to, implements, normalize_axes
from gpuad.numpy.cumulative import along
from gpuad.numpy.searching import known
from gpuad.numpy.statistics import mean_dtype
from gpuad.primitives import elementwise as ew
from gpuad.primitives import sorting
from gpuad.primitives.reduction import merged
from gpuad.primitives.structure import expand, reshape, slice_axis
from gpuad.tracing import Tracer, namespace_of
from gpuad.tracing.record import apply
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

_UNDEFINED = "leaves an order that is not defined, and cannot be recorded; write {}."
partition = refused(np.partition, _UNDEFINED.format("sort"))
argpartition = refused(np.argpartition, _UNDEFINED.format("argsort"))


# Medians and quantiles


def _sorted_lines(a: Any, axes: tuple[int, ...]) -> Any:
    """The reduced axes merged into the last one, sorted; NaN throughout a line that has any."""
    x = merged(cast_to(a, mean_dtype(a.aval.dtype)), axes)
    if x.aval.dtype.kind == "c":
        raise UnsupportedError("quantiles of complex values are not defined; take abs or real.")
    return sorting.sort(x, axis=x.aval.ndim - 1)


def _element(lines: Any, i: int) -> Any:
    last = lines.aval.ndim - 1
    return reshape(slice_axis(lines, last, i, i + 1), shape=lines.aval.shape[:-1])


def _or_nan(lines: Any, value: Any) -> Any:
    """`value`, or the NaN that was sorted to the end."""
    end = _element(lines, lines.aval.shape[-1] - 1)
    return ew.select(ew.is_nan(end), end, value)


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
           keepdims: bool = False) -> Any:  # fmt: skip
    """The median over axes, as `numpy.median`."""

    def on_vars(x: Any) -> Any:
        axes = normalize_axes(axis, x.aval.ndim, "median")
        lines = _sorted_lines(x, axes)
        n = _length(lines, "median")
        middle = _element(lines, n // 2)
        if n % 2 == 0:
            middle = ew.mul(0.5, ew.add(_element(lines, n // 2 - 1), middle))
        found = _or_nan(lines, middle)
        return expand(found, axes) if keepdims else found

    return into(apply(on_vars, a), out)


def _length(lines: Any, name: str) -> int:
    n = lines.aval.shape[-1]
    if not n:
        raise ArgumentError(f"{name}: no elements along the axis, and no elements have no {name}.")
    return n


# Methods that interpolate: where q falls among n sorted elements is n q + alpha + q (1 - alpha -
# beta) - 1 (Hyndman and Fan 1996).
_PLACES = {
    "linear": (1.0, 1.0),
    "weibull": (0.0, 0.0),
    "hazen": (0.5, 0.5),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
    "interpolated_inverted_cdf": (0.0, 1.0),
}
_ROUNDED: dict[str, Callable[[float], tuple[float, float]]] = {
    "lower": lambda place: (math.floor(place), 0.0),
    "higher": lambda place: (math.ceil(place), 0.0),
    "nearest": lambda place: (float(np.rint(place)), 0.0),
    "midpoint": lambda place: (math.floor(place), 0.5 if place % 1 else 0.0),
}


@functools.cache
def _place(q: float, n: int, method: str) -> tuple[int, float]:
    """The element below the quantile and the fraction of the way to the next."""
    if method in _ROUNDED:
        below, fraction = _ROUNDED[method](q * (n - 1))
    else:
        alpha, beta = _PLACES[method]
        place = n * q + (alpha + q * (1 - alpha - beta)) - 1
        place = min(max(place, 0.0), float(n - 1))
        below, fraction = math.floor(place), place % 1
    return int(below), float(fraction)


def _quantile_of(lines: Any, q: float, method: str) -> Any:
    below, fraction = _place(q, _length(lines, "quantile"), method)
    low = _element(lines, below)
    if not fraction:
        return _or_nan(lines, low)
    high = _element(lines, below + 1)
    step = ew.sub(high, low)
    # From the nearer end, as NumPy does, so that equal elements give themselves.
    if fraction < 0.5:
        return _or_nan(lines, ew.add(low, ew.mul(fraction, step)))
    return _or_nan(lines, ew.sub(high, ew.mul(1.0 - fraction, step)))


@implements(np.quantile)
def quantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
             method: str = "linear", keepdims: bool = False, *,
             weights: Any = None) -> Any:  # fmt: skip
    """Quantiles over axes, as `numpy.quantile`, for known `q`."""
    if weights is not None:
        raise UnsupportedError("quantile(weights=...) is not recorded; sort and sum the weights.")
    if method not in _PLACES and method not in _ROUNDED:
        raise UnsupportedError(
            f"quantile(method={method!r}) is not recorded; give one of "
            f"{', '.join([*_PLACES, *_ROUNDED])}."
        )
    if isinstance(q, Tracer):
        raise UnsupportedError(
            "quantile with a traced q is not recorded; give q as a number or a plain array."
        )
    q = np.asarray(q, dtype=float)
    if not ((q >= 0) & (q <= 1)).all():
        raise ArgumentError(f"quantile: q={q}; give values from 0 to 1 (0 to 100 for percentile).")

    def on_vars(x: Any) -> Any:
        axes = normalize_axes(axis, x.aval.ndim, "quantile")
        lines = _sorted_lines(x, axes)
        found = [_quantile_of(lines, float(p), method) for p in q.ravel()]
        return [expand(v, axes) if keepdims else v for v in found]

    found = apply(on_vars, a)
    if not q.ndim:
        return into(found[0], out)
    stacked = OPERATIONS["stack"](found)
    return into(OPERATIONS["reshape"](stacked, (*q.shape, *found[0].shape)), out)


@implements(np.percentile)
def percentile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
               method: str = "linear", keepdims: bool = False, *,
             weights: Any = None) -> Any:  # fmt: skip
    """Percentiles over axes, as `numpy.percentile`, for known `q`."""
    if not isinstance(q, Tracer):
        q = np.true_divide(q, 100)
    return quantile(a, q, axis, out, overwrite_input, method, keepdims, weights=weights)


# Unique elements: found where the values are known, taken from the traced array.


@implements(np.unique)
def unique(ar: Any, return_index: bool = False, return_inverse: bool = False,
           return_counts: bool = False, axis: Any = None, **kwargs: Any) -> Any:  # fmt: skip
    """The sorted unique elements, as `numpy.unique`; of equal ones the first has the derivative."""
    value = known(ar, "unique")
    found = namespace_of(value).unique(
        value, True, return_inverse, return_counts, axis=axis, **kwargs
    )
    first = found[1]
    source = OPERATIONS["ravel"](ar) if axis is None else ar
    elements = OPERATIONS["take"](source, first, axis=0 if axis is None else axis)
    rest = found[1:] if return_index else found[2:]
    return (elements, *rest) if rest else elements


__all__ = [
    "argpartition", "argsort", "median", "partition", "percentile", "quantile", "sort", "unique",
]  # fmt: skip

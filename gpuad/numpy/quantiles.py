"""Medians, quantiles and percentiles, also without NaN, with weights, and at traced places."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import into, shape_of
from gpuad.numpy._dispatch import aval_of, cast_to, implements, normalize_axes, stacked
from gpuad.numpy.statistics import aligned_weights, mean_dtype
from gpuad.primitives import elementwise as ew
from gpuad.primitives import sorting
from gpuad.primitives.cumulative import cumsum
from gpuad.primitives.indexing import gather
from gpuad.primitives.reduction import merged, reduce_sum
from gpuad.primitives.sources import stop_gradient
from gpuad.primitives.structure import broadcast, expand, reshape, slice_axis
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

# Where a quantile falls among n sorted elements, with the share of the next element where it falls
# between two (Hyndman and Fan, Sample quantiles in statistical packages, 1996). The functions are
# of numbers or of traced arrays.

Place = Callable[[Any, Any], tuple[Any, Any]]
"""``(n, q)``: the place, counted from 0, and the share."""


def _between(alpha: float, beta: float) -> Place:
    def place(n: Any, q: Any) -> tuple[Any, Any]:
        if alpha == beta == 1:
            at = (n - 1) * q
        else:
            at = n * q + (alpha + q * (1 - alpha - beta)) - 1
        return at, at - np.floor(at)

    return place


def _rounded(rounding: Callable[[Any], Any]) -> Place:
    return lambda n, q: (rounding((n - 1) * q), 0.0)


def _midpoint(n: Any, q: Any) -> tuple[Any, Any]:
    at = (n - 1) * q
    return np.floor(at), np.where(np.ceil(at) == np.floor(at), 0.0, 0.5)


def _averaged(n: Any, q: Any) -> tuple[Any, Any]:
    at = n * q - 1
    return np.floor(at), np.where(at == np.floor(at), 0.5, 1.0)


def _closest(n: Any, q: Any) -> tuple[Any, Any]:
    at = n * q - 1.5
    down = (at == np.floor(at)) & (np.floor(at) % 2 == 1)
    return np.where(down, np.floor(at), np.floor(at) + 1), 0.0


_METHODS: dict[str, Place] = {
    "linear": _between(1.0, 1.0),
    "weibull": _between(0.0, 0.0),
    "hazen": _between(0.5, 0.5),
    "median_unbiased": _between(1 / 3, 1 / 3),
    "normal_unbiased": _between(3 / 8, 3 / 8),
    "interpolated_inverted_cdf": _between(0.0, 1.0),
    "midpoint": _midpoint,
    "averaged_inverted_cdf": _averaged,
    "lower": _rounded(np.floor),
    "higher": _rounded(np.ceil),
    "nearest": _rounded(np.rint),
    "inverted_cdf": lambda n, q: (np.ceil(n * q - 1), 0.0),
    "closest_observation": _closest,
}
_OF_ELEMENTS = ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")
"""The methods whose results are elements, of any dtype."""

_DOUBLE = np.dtype(np.float64)

# Lines of sorted elements


def _refuse_complex(dtype: np.dtype) -> None:
    if dtype.kind == "c":
        raise UnsupportedError("quantiles of complex values are not defined; take abs or real.")


def _sorted_lines(x: Atom, axes: tuple[int, ...], elements: bool) -> Atom:
    """The reduced axes merged into the last one, sorted, NaN at the end."""
    _refuse_complex(x.aval.dtype)
    x = merged(x if elements else cast_to(x, mean_dtype(x.aval.dtype)), axes)
    return sorting.sort(x, axis=x.aval.ndim - 1)


def _length(lines: Atom, name: str) -> int:
    n = lines.aval.shape[-1]
    if not n:
        raise ArgumentError(f"{name}: no elements along the axis, and no elements have no {name}.")
    return n


def _element(lines: Atom, i: int) -> Atom:
    last = lines.aval.ndim - 1
    return reshape(slice_axis(lines, last, i, i + 1), shape=lines.aval.shape[:-1])


def _or_nan(lines: Atom, value: Atom) -> Atom:
    """`value`, or the NaN that was sorted to the end."""
    if lines.aval.dtype.kind != "f":
        return value
    end = cast_to(_element(lines, lines.aval.shape[-1] - 1), value.aval.dtype)
    end = end if end.aval.shape == value.aval.shape else _repeated(end, value)
    return ew.select(ew.is_nan(end), end, value)


def _repeated(end: Atom, value: Atom) -> Atom:
    return broadcast(end, shape=value.aval.shape, dims=tuple(range(end.aval.ndim)))


def _count(lines: Atom, dtype: np.dtype) -> Atom:
    """How many elements of each line are not NaN, as floats."""
    missing = ew.isnan(lines) if lines.aval.dtype.kind == "f" else ew.ne(lines, lines)
    present = ew.cast(ew.invert(missing), dtype=np.dtype(np.int64))
    total = reduce_sum(present, axes=(lines.aval.ndim - 1,))
    return ew.cast(total, dtype=dtype)


def _lerp(low: Atom, high: Atom, share: Atom) -> Atom:
    """From the nearer end, as NumPy does, so that equal elements give themselves."""
    step = ew.sub(high, low)
    from_high = ew.sub(high, ew.mul(ew.sub(1.0, share), step))
    return ew.select(ew.ge(share, 0.5), from_high, ew.add(low, ew.mul(share, step)))


@functools.lru_cache(maxsize=None, typed=True)
def _known_place(n: int, q: Any, method: str) -> tuple[int, int, float]:
    """The elements below and above, and the share of that above."""
    at, share = _METHODS[method](n, q)
    low = int(min(max(np.floor(at), 0.0), n - 1))
    high = 0 if at < 0 else min(low + 1, n - 1)
    return low, high, float(share)


def _at_known(lines: Atom, q: Any, method: str, dtype: np.dtype) -> Atom:
    """The quantile q of each line, for known q, if NaN counts."""
    low, high, share = _known_place(_length(lines, "quantile"), q, method)
    if not share or low == high:
        return _or_nan(lines, cast_to(_element(lines, low), dtype))
    below, above = [cast_to(_element(lines, i), dtype) for i in (low, high)]
    step = ew.sub(above, below)
    if share < 0.5:
        return _or_nan(lines, ew.add(below, ew.mul(share, step)))
    return _or_nan(lines, ew.sub(above, ew.mul(1.0 - share, step)))


def _at_traced(lines: Any, n: Any, q: Any, method: str, dtype: np.dtype) -> Any:
    """The quantiles q, a vector, of each line with n elements, in a new last axis."""
    at, share = _METHODS[method](n, q)
    last = np.maximum(np.floor(n) - 1, 0)
    low = np.clip(np.floor(at), 0.0, last)
    high = np.where(at < 0, 0.0, np.minimum(low + 1, last))
    shape = (*lines.shape[:-1], q.size)

    def record(x: Atom, *operands: Atom) -> Atom:
        low, high, share = [_last_axes(v, shape) for v in operands]
        batch = len(shape) - 1
        places = [ew.cast(v, dtype=np.dtype(np.int64)) for v in (low, high)]
        below, above = [cast_to(gather(x, i, batch=batch), dtype) for i in places]
        if method in _OF_ELEMENTS:
            return below
        return _lerp(below, above, cast_to(share, dtype))

    return apply(record, lines, low, high, share)


def _last_axes(v: Atom, shape: tuple[int, ...]) -> Atom:
    """`v` repeated to `shape`, its axes aligned to the right."""
    return broadcast(v, shape=shape, dims=tuple(range(len(shape) - v.aval.ndim, len(shape))))


# Medians


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
           keepdims: bool = False) -> Any:  # fmt: skip
    """The median over axes, as `numpy.median`."""

    def on_vars(x: Atom) -> Atom:
        axes = normalize_axes(axis, x.aval.ndim, "median")
        lines = _sorted_lines(x, axes, False)
        n = _length(lines, "median")
        middle = _element(lines, n // 2)
        if n % 2 == 0:
            middle = ew.mul(0.5, ew.add(_element(lines, n // 2 - 1), middle))
        found = _or_nan(lines, middle)
        return expand(found, axes) if keepdims else found

    return into(apply(on_vars, a), out)


@implements(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
              keepdims: Any = False) -> Any:  # fmt: skip
    """The median of what is not NaN, as `numpy.nanmedian`; NaN if there is nothing."""

    def on_vars(x: Atom) -> Atom:
        axes = normalize_axes(axis, x.aval.ndim, "nanmedian")
        lines = _sorted_lines(x, axes, False)
        _length(lines, "nanmedian")
        last = lines.aval.ndim - 1
        at = ew.mul(0.5, ew.sub(expand(_count(lines, _DOUBLE), (last,)), 1.0))
        whole = ew.floor(at)
        low, high = [
            gather(lines, ew.cast(ew.maximum(i, 0.0), dtype=np.dtype(np.int64)), batch=last)
            for i in (whole, ew.ceil(at))
        ]
        found = ew.select(ew.eq(whole, at), low, ew.mul(0.5, ew.add(low, high)))
        found = reshape(found, shape=found.aval.shape[:-1])
        return expand(found, axes) if keepdims is True or keepdims == 1 else found

    return into(apply(on_vars, a), out)


# Quantiles


@implements(np.quantile)
def quantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
             method: str = "linear", keepdims: bool = False, *,
             weights: Any = None) -> Any:  # fmt: skip
    """Quantiles over axes, as `numpy.quantile`; differentiable by `a` and, where `method`
    interpolates, by `q`."""
    return into(_quantiles(a, q, axis, method, keepdims, weights, False), out)


@implements(np.nanquantile)
def nanquantile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
                method: str = "linear", keepdims: Any = False, *,
                weights: Any = None) -> Any:  # fmt: skip
    """Quantiles of what is not NaN, as `numpy.nanquantile`; NaN if there is nothing."""
    return into(_quantiles(a, q, axis, method, keepdims, weights, True), out)


@implements(np.percentile)
def percentile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
               method: str = "linear", keepdims: bool = False, *,
               weights: Any = None) -> Any:  # fmt: skip
    """Percentiles over axes, as `numpy.percentile`: the quantiles ``q / 100``."""
    return into(_quantiles(a, _hundredth(q), axis, method, keepdims, weights, False), out)


@implements(np.nanpercentile)
def nanpercentile(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
                  method: str = "linear", keepdims: Any = False, *,
                  weights: Any = None) -> Any:  # fmt: skip
    """Percentiles of what is not NaN, as `numpy.nanpercentile`; NaN if there is nothing."""
    return into(_quantiles(a, _hundredth(q), axis, method, keepdims, weights, True), out)


def _hundredth(q: Any) -> Any:
    q = stacked(q)
    return OPERATIONS["divide"](q, 100) if isinstance(q, Tracer) else _divided(q)


def _divided(q: Any) -> Any:
    return q / 100 if isinstance(q, int | float) else np.true_divide(q, 100)


def _quantiles(a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any,
               without_nan: bool) -> Any:  # fmt: skip
    if method not in _METHODS:
        raise ArgumentError(f"quantile: method={method!r}; give one of {', '.join(_METHODS)}.")
    if weights is not None and method != "inverted_cdf":
        raise ArgumentError(
            f"quantile: weights go with method='inverted_cdf' only, not with {method!r}."
        )
    _refuse_complex(aval_of(a).dtype)
    q = stacked(q)
    dtype = _result_dtype(aval_of(a).dtype, q, method)
    axes = normalize_axes(axis, len(shape_of(a)), "quantile")
    if isinstance(q, Tracer):
        if q.dtype.kind == "c":
            raise UnsupportedError("quantile: q is complex; give real numbers from 0 to 1.")
    else:
        q = np.asarray(q)
        q = q if q.dtype.kind == "f" else q.astype(float)
        if not ((q >= 0) & (q <= 1)).all():
            raise ArgumentError(
                f"quantile: q={q}; give values from 0 to 1 (0 to 100 for percentile)."
            )
    keep = keepdims is True or keepdims == 1
    if weights is not None:
        found = _weighted(a, weights, q, axis, without_nan)
    elif isinstance(q, Tracer) or without_nan:
        found = _of_traced(a, q, axes, method, dtype, without_nan)
    else:
        lines = lambda x: _sorted_lines(x, axes, dtype == x.aval.dtype)  # noqa: E731
        each = lambda x: [_at_known(x, p, method, dtype) for p in q.ravel()]  # noqa: E731
        rows = apply(lambda x: each(lines(x)), a)
        found = OPERATIONS["stack"](rows, -1) if q.size else None
    return _shaped(found, a, q.shape, axes, keep, dtype)


def _result_dtype(dtype: np.dtype, q: Any, method: str) -> np.dtype:
    weak = type(q) in (int, float)
    of_q = np.dtype(type(q)) if weak else aval_of(q).dtype
    if method in _OF_ELEMENTS or (method == "linear" and of_q.kind in "iub"):
        return dtype
    if weak or dtype.kind == "b":
        return np.result_type(mean_dtype(dtype), 1.0 if weak else of_q)
    return np.result_type(dtype, of_q if of_q.kind == "f" else float)


def _shaped(found: Any, a: Any, of_q: tuple[int, ...], axes: Any, keep: bool, dtype: Any) -> Any:
    """The quantiles with the axes of q first, from those with one axis for q, the last."""
    shape = shape_of(a)
    rest = tuple([n for i, n in enumerate(shape) if i not in axes])
    if keep:
        rest = tuple([1 if i in axes else n for i, n in enumerate(shape)])
    if found is None:
        return OPERATIONS["zeros"]((*of_q, *rest), dtype)
    return OPERATIONS["reshape"](OPERATIONS["moveaxis"](found, -1, 0), (*of_q, *rest))


def _of_traced(a: Any, q: Any, axes: Any, method: str, dtype: np.dtype, without_nan: bool) -> Any:
    """The quantiles along a last axis, where the places depend on what is traced."""
    lines = apply(lambda x, _: _sorted_lines(x, axes, dtype == x.aval.dtype), a, q)
    n: Any = shape_of(lines)[-1]
    if not n:
        raise ArgumentError("quantile: no elements along the axis, and none have no quantile.")
    q = OPERATIONS["reshape"](q, (-1,))
    q = q if q.dtype.kind == "f" else OPERATIONS["astype"](q, np.float64)
    if without_nan:
        n = apply(lambda x: expand(_count(x, q.dtype), (x.aval.ndim - 1,)), lines)
        # An empty line gives its first element, which is NaN.
        return _at_traced(lines, n, q, method, dtype)
    found = _at_traced(lines, n, q, method, dtype)
    return apply(lambda x, v: _or_nan(x, v), lines, found)


# Weights: the element at which the sum of the weights so far reaches the share q of all


def _weighted(a: Any, weights: Any, q: Any, axis: Any, without_nan: bool) -> Any:
    shape = shape_of(a)
    weights = OPERATIONS["broadcast_to"](aligned_weights(weights, shape, axis, "quantile"), shape)
    axes = normalize_axes(axis, len(shape), "quantile")
    q = OPERATIONS["reshape"](q, (-1,))

    def record(x: Atom, w: Atom, q: Atom) -> Atom:
        x, w = merged(x, axes), merged(w, axes)
        last = x.aval.ndim - 1
        _length(x, "quantile")
        order = sorting.argsort(x, axis=last)
        x = sorting.permute_along(x, order, axis=last)
        w = stop_gradient(cast_to(sorting.permute_along(w, order, axis=last), _DOUBLE))
        if without_nan and x.aval.dtype.kind == "f":
            w = ew.select(ew.isnan(x), 0.0, w)
        places = _reached(w, stop_gradient(cast_to(q, _DOUBLE)))
        found = gather(x, places, batch=last)
        if x.aval.dtype.kind != "f":
            return found
        # NumPy refuses weights that are all zero, infinite or NaN.
        total = reduce_sum(w, axes=(last,))
        weighed = ew.bit_and(ew.gt(total, 0.0), ew.lt(total, np.inf))
        found = ew.select(_repeated(weighed, found), found, np.nan)
        return found if without_nan else _or_nan(x, found)

    return apply(record, a, weights, q)


def _reached(w: Atom, q: Atom) -> Atom:
    """For each line and each q the first place where the share of the weights reaches q."""
    lead, (n,), (k,) = w.aval.shape[:-1], w.aval.shape[-1:], q.aval.shape
    sums = cumsum(w, axis=len(lead))
    total = slice_axis(sums, len(lead), n - 1, n)
    share = ew.div(sums, broadcast(total, shape=sums.aval.shape, dims=tuple(range(sums.aval.ndim))))
    # What has no weight is not the quantile 0.
    share = ew.select(ew.eq(share, 0.0), -1.0, share)
    queries = broadcast(q, shape=(*lead, k), dims=(len(lead),))
    found = sorting.searchsorted(share, queries, side="left", batch=len(lead))
    return ew.minimum(found, n - 1)


__all__ = [
    "median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile",
]  # fmt: skip

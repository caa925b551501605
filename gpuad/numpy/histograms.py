"""Histograms: counts have no derivative, and sums of weights have one by the weights."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnknownValueError, UnsupportedError
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import implements, leaves_of
from gpuad.numpy.searching import known
from gpuad.tracing import innermost, namespace_of
from gpuad.tracing.registry import OPERATIONS


@implements(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Any, Any]:
    """The sums of traced `weights` over bins of plain samples, and the edges of the bins.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> samples = np.array([0.1, 0.2, 0.9])
    >>> ad.jacfwd(lambda w: np.histogram(samples, 2, (0, 1), weights=w)[0])(np.ones(3))
    array([[1., 1., 0.],
           [0., 0., 1.]])
    """
    _check_plain("histogram", a, bins, range)
    if isinstance(bins, str):
        raise ArgumentError(
            f"histogram: bins={bins!r} chooses bins for samples without weights; give their number "
            "or their edges."
        )
    samples = np.asarray(a).ravel()
    edges = np.histogram_bin_edges(samples, bins, range)
    total = _sums([samples], [edges], weights)
    return (_per_width(total, [edges]) if density else total), edges


@implements(np.histogramdd)
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Any, Any]:
    """The sums of traced `weights` over bins of plain samples in several dimensions."""
    _check_plain("histogramdd", sample, bins, range)
    edges = np.histogramdd(sample, bins, range)[1]
    columns = sample.T if hasattr(sample, "shape") else [np.asarray(x) for x in sample]
    total = _sums(list(np.atleast_2d(columns)), edges, weights)
    return (_per_width(total, edges) if density else total), edges


@implements(np.histogram2d)
def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: bool | None = None,
    weights: Any = None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The sums of traced `weights` over bins of plain samples in two dimensions."""
    _check_plain("histogram2d", x, y, bins, range)
    edges = np.histogram2d(x, y, bins, range)[1:]
    total = _sums([np.asarray(x), np.asarray(y)], edges, weights)
    return (_per_width(total, edges) if density else total), *edges


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of bins: a number of them at equal distances between the extremes of `a`, or
    between the ends of `range`."""
    if isinstance(bins, str):
        raise UnsupportedError(
            f"histogram_bin_edges(bins={bins!r}) chooses a number of bins from values, and cannot "
            "be recorded; give the number of bins, or call it on np.asarray(ad.stop_gradient(a))."
        )
    if shape_of(bins):
        return OPERATIONS["asarray"](bins)
    if range is None and not math.prod(shape_of(a)):
        range = (0, 1)
    low, high = (OPERATIONS["min"](a), OPERATIONS["max"](a)) if range is None else range
    dtype = np.result_type(*[x.dtype if hasattr(x, "dtype") else x for x in (low, high, a)])
    dtype = np.result_type(dtype, float) if dtype.kind in "biu" else dtype
    same = OPERATIONS["multiply"](0.5, OPERATIONS["equal"](low, high))
    low, high = OPERATIONS["subtract"](low, same), OPERATIONS["add"](high, same)
    return OPERATIONS["linspace"](low, high, bins + 1, dtype=dtype)


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """The sums of `weights`, or the counts, for each of the integers from 0 to the largest of `x`,
    whose values must be known: the length of the result depends on them."""
    try:
        places = known(x, "bincount")
    except UnknownValueError as error:
        raise UnknownValueError(
            "bincount gives a result whose length depends on values, which are not known here. "
            "Write gpuad.numpy.scatter_add(gpuad.numpy.zeros(length), x, weights) with the length."
        ) from error
    places = places if hasattr(places, "dtype") else np.asarray(places)
    if places.ndim != 1 or places.dtype.kind not in "iu" or (places < 0).any():
        raise ArgumentError("bincount takes integers of at least 0, along one axis.")
    if weights is None:
        return namespace_of(places).bincount(places, minlength=minlength)
    length = max(int(places.max(initial=-1)) + 1, minlength)
    return _scattered(places, length, OPERATIONS["astype"](weights, np.float64))


def _check_plain(name: str, *others: Any) -> None:
    if innermost(leaves_of(others)) is not None:
        raise UnsupportedError(
            f"{name} counts elements, and counts have no derivative; call it on values outside of "
            "the transform, through gpuad.external inside of one, or use a smooth kernel density. "
            "Its weights have derivatives: give the samples as plain arrays, or as "
            "np.asarray(ad.stop_gradient(x))."
        )


def _sums(columns: Sequence[Any], edges: Sequence[Any], weights: Any) -> Any:
    """The sum of the weights in each cell, in the shape of the cells."""
    shape = tuple([len(e) - 1 for e in edges])
    cells = [_cells(x, e) for x, e in zip(columns, edges, strict=True)]
    inside = np.all([(c >= 0) & (c < n) for c, n in zip(cells, shape, strict=True)], axis=0)
    flat = np.ravel_multi_index([np.where(inside, c, 0) for c in cells], shape)
    size = int(np.prod(shape))
    total = _scattered(np.where(inside, flat, size), size + 1, OPERATIONS["ravel"](weights))
    return OPERATIONS["reshape"](total[:size], shape)


def _cells(x: Any, edges: Any) -> Any:
    """The bin of each sample; the last one has both its edges."""
    found = np.searchsorted(edges, x, side="right") - 1
    return np.where(x == edges[-1], len(edges) - 2, found)


def _scattered(places: Any, length: int, weights: Any) -> Any:
    if shape_of(weights) != places.shape:
        raise ArgumentError(
            f"weights have shape {shape_of(weights)} and the samples {places.shape}; give one "
            "weight for each sample."
        )
    zeros = namespace_of(places).zeros(length, weights.dtype)
    return OPERATIONS["scatter_add"](zeros, places, weights)


def _per_width(total: Any, edges: Sequence[Any]) -> Any:
    """The density: its integral over all cells is 1."""
    volumes: Any = 1.0
    for e in edges:
        volumes = np.multiply.outer(volumes, np.diff(e))
    return total / volumes / total.sum()


__all__ = ["bincount", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]

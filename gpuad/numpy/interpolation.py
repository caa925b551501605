"""Interpolation of samples by straight lines."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import aval_of, cast_to, implements
from gpuad.primitives import elementwise as ew
from gpuad.primitives import sorting
from gpuad.primitives.indexing import gather
from gpuad.primitives.structure import broadcast, concatenate, reshape, slice_axis
from gpuad.tracing.record import apply


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """The values at `x` of the line through the points (xp, fp), as `numpy.interp`.

    Differentiable by all arguments. At a point its slope by `x` is that of the line to the right,
    at the last point that of the line before it; beyond the points it is 0.
    """
    shapes = shape_of(xp), shape_of(fp)
    if len(shapes[0]) != 1 or shapes[0] != shapes[1] or not shapes[0][0]:
        raise ArgumentError(
            f"interp: xp has shape {shapes[0]} and fp {shapes[1]}; give two vectors of one length, "
            "not empty."
        )
    for name, value in (("x", x), ("xp", xp)):
        if aval_of(value).dtype.kind == "c":
            raise UnsupportedError(f"interp: {name} is complex; only fp may be.")
    if period is not None:
        return apply(_periodic, x, xp, fp, period)
    given = [v for v in (left, right) if v is not None]

    def record(x: Atom, xp: Atom, fp: Atom, *ends: Atom) -> Atom:
        rest = iter(ends)
        low, high = [None if v is None else next(rest) for v in (left, right)]
        return _interpolated(_double(x), _double(xp), _values(fp), low, high)

    return apply(record, x, xp, fp, *given)


def _double(x: Atom) -> Atom:
    return cast_to(x, np.dtype(np.float64))


def _values(fp: Atom) -> Atom:
    return cast_to(fp, np.dtype(np.complex128 if fp.aval.dtype.kind == "c" else np.float64))


def _interpolated(x: Atom, xp: Atom, fp: Atom, low: Atom | None, high: Atom | None) -> Atom:
    n, shape = xp.aval.size, x.aval.shape
    start = ew.sub(sorting.searchsorted(xp, x, side="right", batch=0), 1)
    start = ew.clip(start, 0, n - 1)
    points, levels = gather(xp, start, batch=0), gather(fp, start, batch=0)
    line = levels
    if n > 1:
        slope = gather(_slopes(xp, fp), start, batch=0)
        line = ew.add(levels, _rise(slope, ew.sub(x, points)))
    first, last = [broadcast(_element(xp, i), shape=shape, dims=()) for i in (0, n - 1)]
    below, above = [
        broadcast(cast_to(_element(fp, i) if v is None else v, fp.aval.dtype), shape=shape, dims=())
        for i, v in ((0, low), (n - 1, high))
    ]
    return ew.select(ew.lt(x, first), below, ew.select(ew.gt(x, last), above, line))


def _element(v: Atom, i: int) -> Atom:
    return reshape(slice_axis(v, 0, i, i + 1), shape=())


def _slopes(xp: Atom, fp: Atom) -> Atom:
    """The slope after each point; after the last one, that before it. None where points meet."""
    n = xp.aval.size
    steps, rises = [ew.sub(slice_axis(v, 0, 1, n), slice_axis(v, 0, 0, n - 1)) for v in (xp, fp)]
    met = ew.eq(steps, 0.0)
    steps = cast_to(ew.select(met, 1.0, steps), fp.aval.dtype)
    slopes = ew.select(met, 0.0, ew.div(rises, steps))
    return concatenate(slopes, slice_axis(slopes, 0, n - 2, n - 1), axis=0)


def _rise(slope: Atom, run: Atom) -> Atom:
    """slope · run, and 0 in a point itself beside an infinite value."""
    finite = ew.lt(ew.abs_(slope), np.inf)
    slope = ew.select(ew.bit_or(finite, ew.ne(run, 0.0)), slope, 0.0)
    return ew.mul(slope, cast_to(run, slope.aval.dtype))


def _periodic(x: Atom, xp: Atom, fp: Atom, period: Atom) -> Atom:
    """The points moved into one period and sorted, with one more from the period on either side."""
    x, xp, fp, period = _double(x), _double(xp), _values(fp), ew.abs_(_double(period))
    n = xp.aval.size
    x, xp = [ew.remainder(v, broadcast(period, shape=v.aval.shape, dims=())) for v in (x, xp)]
    order = sorting.argsort(xp, axis=0)
    xp, fp = [sorting.permute_along(v, order, axis=0) for v in (xp, fp)]
    period = reshape(period, shape=(1,))
    before = ew.sub(slice_axis(xp, 0, n - 1, n), period)
    after = ew.add(slice_axis(xp, 0, 0, 1), period)
    fp = concatenate(slice_axis(fp, 0, n - 1, n), fp, slice_axis(fp, 0, 0, 1), axis=0)
    return _interpolated(x, concatenate(before, xp, after, axis=0), fp, None, None)


__all__ = ["interp"]

"""Differences along an axis, and what is made of them: slopes, integrals, unwrapped phases."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import check_casting, existing, shape_of
from gpuad.numpy._dispatch import aval_of, cast_to, implements, normalize_axes, normalize_axis
from gpuad.numpy.cumulative import along
from gpuad.numpy.statistics import given, in_dtype, ndim_of
from gpuad.primitives import cumulative as cum
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import BOOL
from gpuad.primitives.structure import broadcast, concatenate, slice_axis
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


def _difference(x: Any, axis: int) -> Any:
    n = x.aval.shape[axis]
    later, earlier = slice_axis(x, axis, min(1, n), n), slice_axis(x, axis, 0, max(0, n - 1))
    return ew.ne(later, earlier) if x.aval.dtype == BOOL else ew.sub(later, earlier)


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th difference along an axis, as `numpy.diff`."""
    if n < 0:
        raise ArgumentError(f"diff: n={n}; give a number of differences, 0 or more.")
    if n == 0:
        return a
    along_axis = normalize_axis(axis, ndim_of(a), "diff")
    a = _extended(a, prepend, append, along_axis)
    for _ in range(n):
        a = along(a, along_axis, "diff", _difference)
    return a


def _extended(a: Any, before: Any, after: Any, axis: int) -> Any:
    """`a` with further elements before and after it along `axis`; numbers are repeated."""
    if not given(before) and not given(after):
        return a
    shape = list(shape_of(a))
    shape[axis] = 1
    parts = [
        x if ndim_of(x) else OPERATIONS["broadcast_to"](x, tuple(shape))
        for x in (before, a, after)
        if given(x)
    ]
    return OPERATIONS["concatenate"](parts, axis=axis)


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of the flattened array, with what is to stand around them."""
    middle = along(ary, None, "ediff1d", _difference)
    for x in (to_begin, to_end):
        if x is not None:
            check_casting(aval_of(x).dtype, aval_of(ary).dtype, "same_kind")
    parts = [
        OPERATIONS["astype"](OPERATIONS["ravel"](x), middle.dtype)
        for x in (to_begin, middle, to_end)
        if x is not None
    ]
    return OPERATIONS["concatenate"](parts) if len(parts) > 1 else middle


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The slope along each axis, as `numpy.gradient`: differences over two steps inside, one-sided
    ones at the ends. Spacings are numbers, or the coordinates along an axis."""
    axes = normalize_axes(axis, ndim_of(f), "gradient")
    if isinstance(axis, tuple | list):
        axes = tuple([normalize_axis(i, ndim_of(f), "gradient") for i in axis])
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order={edge_order}; give 1 or 2.")
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(
            f"gradient: {len(varargs)} spacings and {len(axes)} axes; give none, one, or one for "
            "each axis."
        )
    found = [_slope(f, h, i, edge_order) for h, i in zip(spacings, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slope(f: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    n = shape_of(f)[axis]
    if n < edge_order + 1:
        raise ArgumentError(
            f"gradient: {n} elements along axis {axis}; give at least {edge_order + 1}."
        )
    if not ndim_of(spacing):
        return _even_slope(f, spacing, axis, edge_order)
    if shape_of(spacing) != (n,):
        raise ArgumentError(
            f"gradient: coordinates of shape {shape_of(spacing)} along axis {axis}, which has "
            f"{n} elements; give one coordinate for each element, or one number."
        )
    steps = diff(spacing)
    if not isinstance(spacing, Tracer) and (steps == steps[0]).all():
        return _even_slope(f, steps[0], axis, edge_order)
    return apply(lambda x, h: _uneven_slope(_inexact(x), h, axis, edge_order), f, steps)


def _inexact(x: Atom) -> Atom:
    return in_dtype(x, None, lambda d: d if d.kind in "fc" else np.dtype(float))


def _even_slope(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    n = shape_of(f)[axis]

    def rule(x: Atom, h: Atom) -> Atom:
        x = _inexact(x)

        def at(start: int, stop: int) -> Atom:
            return slice_axis(x, axis, start, stop)

        def end(a: int, b: int, c: int) -> Atom:
            near, mid = at(a, a + 1), at(b, b + 1)
            if edge_order == 1:
                return ew.sub(mid, near)
            far = at(c, c + 1)
            return ew.sub(ew.sub(ew.mul(2.0, mid), ew.mul(1.5, near)), ew.mul(0.5, far))

        inside = ew.mul(0.5, ew.sub(at(2, n), at(0, n - 2)))
        last = ew.neg(end(n - 1, n - 2, n - 3))
        rises = concatenate(end(0, 1, 2), inside, last, axis=axis)
        h = broadcast(cast_to(h, x.aval.dtype), shape=rises.aval.shape, dims=())
        return ew.div(rises, h)

    return apply(rule, f, h)


def _uneven_slope(x: Atom, h: Atom, axis: int, edge_order: int) -> Atom:
    """The derivative of the parabola through three neighbours, of the line through the two at an
    end for order 1: with the steps h and k before and after an element, ((f[+1] - f) h / k +
    (f - f[-1]) k / h) / (h + k)."""
    n = x.aval.shape[axis]
    h = cast_to(h, x.aval.dtype)
    rises = ew.sub(slice_axis(x, axis, 1, n), slice_axis(x, axis, 0, n - 1))
    shape = rises.aval.shape
    slopes = ew.div(rises, broadcast(h, shape=shape, dims=(axis,)))

    def between(start: int, stop: int) -> tuple[Atom, Atom, Atom, Atom]:
        """Slopes and steps before and after the elements from `start` + 1."""
        size = tuple([stop - start if i == axis else m for i, m in enumerate(shape)])
        steps = [
            broadcast(slice_axis(h, 0, start + i, stop + i), shape=size, dims=(axis,))
            for i in (0, 1)
        ]
        parts = [slice_axis(slopes, axis, start + i, stop + i) for i in (0, 1)]
        return (*parts, *steps)

    before, after, h1, h2 = between(0, n - 2)
    inside = ew.div(ew.add(ew.mul(after, h1), ew.mul(before, h2)), ew.add(h1, h2))
    if edge_order == 1:
        first, last = slice_axis(slopes, axis, 0, 1), slice_axis(slopes, axis, n - 2, n - 1)
        return concatenate(first, inside, last, axis=axis)
    near, far, h1, h2 = between(0, 1)
    first = ew.add(near, ew.mul(ew.sub(near, far), ew.div(h1, ew.add(h1, h2))))
    far, near, h2, h1 = between(n - 3, n - 2)
    last = ew.add(near, ew.mul(ew.sub(near, far), ew.div(h1, ew.add(h1, h2))))
    return concatenate(first, inside, last, axis=axis)


@implements(*existing("trapezoid"))
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral by the trapezoidal rule, as `numpy.trapezoid`."""
    axis = normalize_axis(axis, ndim_of(y), "trapezoid")
    width = dx if x is None else _widths(x, ndim_of(y), axis)
    key = [slice(None)] * ndim_of(y)
    key[axis] = slice(1, None)
    later = y[tuple(key)]
    key[axis] = slice(None, -1)
    twice = OPERATIONS["multiply"](width, OPERATIONS["add"](later, y[tuple(key)]))
    return OPERATIONS["sum"](OPERATIONS["divide"](twice, 2.0), axis)


def _widths(x: Any, ndim: int, axis: int) -> Any:
    if ndim_of(x) != 1:
        return diff(x, axis=axis)
    shape = [1] * ndim
    shape[axis] = -1
    return OPERATIONS["reshape"](diff(x), tuple(shape))


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """`p` with multiples of the period added, so that no step is longer than half a period."""
    axis = normalize_axis(axis, ndim_of(p), "unwrap")
    given_period = period

    def record(x: Atom, period: Atom, *limit: Atom) -> Atom:
        step = _difference(x, axis)
        kinds = [np.result_type(v.aval.dtype) for v in (step, period)]
        weak = period.aval.weak or type(given_period) in (int, float)
        dtype = np.result_type(kinds[0], given_period if weak else kinds[1])
        x, step, period = [cast_to(v, dtype) for v in (x, step, period)]
        whole = dtype.kind in "iu"
        half = ew.floor_divide(period, 2) if whole else ew.div(period, 2.0)
        shape = step.aval.shape
        period, half = [broadcast(v, shape=shape, dims=()) for v in (period, half)]
        rest = ew.sub(ew.remainder(ew.add(step, half), period), half)
        at_low = ew.bit_and(ew.eq(rest, ew.neg(half)), ew.gt(step, 0))
        if whole:
            at_low = ew.bit_and(at_low, ew.eq(ew.mul(half, 2), period))
        rest = ew.select(at_low, ew.add(rest, period), rest)
        short = ew.lt(ew.abs_(step), _discontinuity(limit, half, step))
        turns = ew.select(short, 0, ew.sub(rest, step))
        first, n = slice_axis(x, axis, 0, 1), x.aval.shape[axis]
        after = ew.add(slice_axis(x, axis, min(1, n), n), cum.cumsum(turns, axis=axis))
        return concatenate(first, after, axis=axis) if n else x

    return apply(record, p, period, *([] if discont is None else [discont]))


def _discontinuity(limit: tuple[Atom, ...], half: Atom, step: Atom) -> Atom:
    """The step from which periods are added, by default half a period."""
    if not limit:
        return half
    return broadcast(cast_to(limit[0], step.aval.dtype), shape=step.aval.shape, dims=())


__all__ = ["diff", "ediff1d", "gradient", "trapezoid", "unwrap"]

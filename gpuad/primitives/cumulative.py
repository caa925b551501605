"""Cumulative operations along one axis, and the linear recurrence that their derivatives need."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Axes, full
from gpuad.ir.ranges import same
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import Role, differentiable, linear
from gpuad.primitives.structure import concatenate, flip, in_row_of_axis, slice_axis


def along_axis(operands: Any, outputs: Any, axis: int, **params: Any) -> Axes:
    """Every axis is independent apart from the one that the operation works along."""
    labels = tuple([None if i == axis else i for i in range(outputs[0].ndim)])
    return Axes((labels,) * len(operands), (labels,) * len(outputs))


def shift_axis(size: int, axis: int) -> dict:
    return {"axis": axis + 1}


def shifted(x: Any, axis: int, fill: float) -> Any:
    """`x` moved on by one along `axis`, with `fill` in the first place."""
    n = x.aval.shape[axis]
    if n == 0:
        return x
    first = list(x.aval.shape)
    first[axis] = 1
    front = full(Aval(tuple(first), x.aval.dtype), fill)
    return concatenate(front, slice_axis(x, axis, 0, n - 1), axis=axis)


cumsum = linear(
    "cumsum",
    infer=lambda x, axis: x,
    run=lambda xp, x, axis: xp.cumsum(x, axis=axis, dtype=x.dtype),
    axes=along_axis,
    transpose=lambda ct, x, axis: flip(cumsum(flip(ct, axes=(axis,)), axis=axis), axes=(axis,)),
    lift=shift_axis,
    shows_nan=True,
    role=Role.CUMULATIVE,
    step="x + y",
    in_row=in_row_of_axis,
)

# linear_recurrence: y[k] = a[k] y[k-1] + b[k] with y[-1] = 0, where a zero in `a` forgets what came
# before, infinite or not. Computed by doubling: log2(n) passes over whole arrays.


def _zero_safe(xp: Any, x: Any, y: Any) -> Any:
    return xp.where((x == 0) | (y == 0), x.dtype.type(0), x * y)


def _recurrence_array(xp: Any, a: Any, b: Any, axis: int) -> Any:
    a, b = xp.moveaxis(a, axis, 0), xp.moveaxis(b, axis, 0)
    step, n = 1, b.shape[0]
    while step < n:
        carried = xp.where(a[step:] == 0, a.dtype.type(0), a[step:] * b[:-step])
        b = xp.concatenate((b[:step], b[step:] + carried))
        a = xp.concatenate((a[:step], _zero_safe(xp, a[step:], a[:-step])))
        step *= 2
    return xp.moveaxis(b, 0, axis)


def _recurrence_jvp(primals: Any, tangents: Any, out: Any, axis: int) -> Any:
    (a, _), (a_dot, b_dot) = primals, tangents
    if a_dot is not None:
        source = ew.mul(a_dot, shifted(out, axis, 0.0))
        b_dot = source if b_dot is None else ew.add(b_dot, source)
    return linear_recurrence(a, b_dot, axis=axis)


def _recurrence_transpose(ct: Any, a: Any, b: Any, axis: int) -> Any:
    """c[k] = ct[k] + a[k+1] c[k+1]: the same recurrence from the other end."""
    if not isinstance(a, Var):
        return None, None
    onward = shifted(flip(a, axes=(axis,)), axis, 0.0)
    back = linear_recurrence(onward, flip(ct, axes=(axis,)), axis=axis)
    return None, flip(back, axes=(axis,))


linear_recurrence = differentiable(
    "linear_recurrence",
    infer=lambda a, b, axis: b,
    run=_recurrence_array,
    axes=along_axis,
    jvp=_recurrence_jvp,
    transpose=_recurrence_transpose,
    lift=shift_axis,
    role=Role.CUMULATIVE,
    step="z + where(y == 0, 0, y * x)",
    in_row=in_row_of_axis,
    workspace=4.0,
)


# cumprod


def _cumprod_jvp(primals: Any, tangents: Any, out: Any, axis: int) -> Any:
    source = ew.mul(tangents[0], shifted(out, axis, 1.0))
    return linear_recurrence(primals[0], source, axis=axis)


cumprod = differentiable(
    "cumprod",
    infer=lambda x, axis: x,
    run=lambda xp, x, axis: xp.cumprod(x, axis=axis, dtype=x.dtype),
    axes=along_axis,
    jvp=_cumprod_jvp,
    lift=shift_axis,
    role=Role.CUMULATIVE,
    step="x * y",
    in_row=in_row_of_axis,
)


# cummax, cummin: the mean of the tangents at the elements so far that equal the extreme so far.


def _accumulate(ufunc: str) -> Callable[..., Any]:
    """``ufunc.accumulate``; CuPy has it for add and multiply only."""

    def run(xp: Any, x: Any, axis: int) -> Any:
        function = getattr(xp, ufunc)
        if xp is np:
            return function.accumulate(x, axis=axis)
        x = xp.moveaxis(x, axis, 0)
        step = 1
        while step < x.shape[0]:
            x = xp.concatenate((x[:step], function(x[step:], x[:-step])))
            step *= 2
        return xp.moveaxis(x, 0, axis)

    return run


def _extreme_jvp(primals: Any, tangents: Any, out: Any, axis: int) -> Any:
    (x,), (x_dot,) = primals, tangents
    previous = shifted(out, axis, 0.0)
    unchanged = ew.bit_or(ew.eq(out, previous), ew.bit_and(ew.is_nan(out), ew.is_nan(previous)))
    run_on = ew.as_weight(unchanged, out)
    extreme = ew.bit_or(ew.eq(x, out), ew.is_nan(x))
    total = linear_recurrence(run_on, ew.keep(extreme, x_dot), axis=axis)
    ties = linear_recurrence(run_on, ew.as_weight(extreme, out), axis=axis)
    return ew.div(total, ew.maximum(ties, 1.0))


cummax = differentiable(
    "cummax",
    range=same,
    infer=lambda x, axis: x,
    run=_accumulate("maximum"),
    axes=along_axis,
    jvp=_extreme_jvp,
    lift=shift_axis,
    role=Role.CUMULATIVE,
    step="maximum(x, y)",
    in_row=in_row_of_axis,
)
cummin = differentiable(
    "cummin",
    range=same,
    infer=lambda x, axis: x,
    run=_accumulate("minimum"),
    axes=along_axis,
    jvp=_extreme_jvp,
    lift=shift_axis,
    role=Role.CUMULATIVE,
    step="minimum(x, y)",
    in_row=in_row_of_axis,
)


# cumlogsumexp: y[k] = logaddexp(y[k-1], x[k]), so dy[k] = s(y[k-1] - x[k]) dy[k-1] + s(x[k] -
# y[k-1]) dx[k] with the sigmoid s; among several +inf each counts the same, among -inf none.


def _cumlogsumexp_jvp(primals: Any, tangents: Any, out: Any, axis: int) -> Any:
    (x,) = primals
    previous = shifted(out, axis, -np.inf)
    infinite = ew.bit_or(ew.eq(ew.abs_(previous), np.inf), ew.eq(ew.abs_(x), np.inf))
    difference = ew.select(infinite, 0.0, ew.sub(previous, x))
    before, now = _infinite_shares(x, previous, axis)
    of_previous = ew.select(infinite, before, ew.sigmoid(difference))
    of_x = ew.select(infinite, now, ew.sigmoid(ew.neg(difference)))
    return linear_recurrence(of_previous, ew.keep(of_x, ew.mul(tangents[0], of_x)), axis=axis)


def _infinite_shares(x: Any, previous: Any, axis: int) -> tuple[Any, Any]:
    """The weights of `previous` and of `x` in the derivative, where one of them is infinite."""
    is_top = ew.as_weight(ew.eq(x, np.inf), x)
    tops = cumsum(is_top, axis=axis)
    some = ew.select(ew.eq(tops, 0.0), 1.0, tops)
    share = ew.div(is_top, some)
    nothing_before, nothing_now = ew.eq(previous, -np.inf), ew.eq(x, -np.inf)
    no_top = ew.eq(tops, 0.0)
    before = ew.select(no_top, ew.as_weight(ew.invert(nothing_before), x), ew.sub(1.0, share))
    now = ew.select(no_top, ew.as_weight(ew.invert(nothing_now), x), share)
    return before, now


cumlogsumexp = differentiable(
    "cumlogsumexp",
    infer=lambda x, axis: x,
    run=_accumulate("logaddexp"),
    axes=along_axis,
    jvp=_cumlogsumexp_jvp,
    lift=shift_axis,
)

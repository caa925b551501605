"""Reductions over axes: sum, prod, max, min, any, all, argmax, argmin, logsumexp, and softmax."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval
from gpuad.ir.primitive import Axes
from gpuad.ir.ranges import Range, function, same
from gpuad.primitives import elementwise as ew
from gpuad.primitives.cumulative import cumprod, shifted
from gpuad.primitives.declare import BOOL, Role, constant, differentiable, linear
from gpuad.primitives.structure import broadcast, flip, in_row_of_axes, reshape, transpose
from gpuad.primitives.summing import add_reduce

INDEX = np.dtype(np.intp)


def without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that is left after reducing over `axes`."""
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def reduced_axes(combiner: str) -> Callable[..., Axes]:
    def axes_of(operands: Any, outputs: Any, axes: tuple[int, ...], **params: Any) -> Axes:
        labels = tuple(range(operands[0].ndim))
        kept = tuple([i for i in labels if i not in axes])
        return Axes((labels,), (kept,), dict.fromkeys(axes, combiner))

    return axes_of


def shift_axes(size: int, axes: tuple[int, ...]) -> dict:
    return {"axes": tuple([a + 1 for a in axes])}


def spread(x: Any, like: Aval, axes: tuple[int, ...]) -> Any:
    """A reduced value repeated along the axes that were reduced."""
    kept = tuple([i for i in range(like.ndim) if i not in axes])
    return broadcast(x, shape=like.shape, dims=kept)


def count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """How many elements are reduced into one."""
    n = 1
    for a in axes:
        n *= shape[a]
    return n


def _infer(x: Aval, axes: tuple[int, ...]) -> Aval:
    return Aval(without(x.shape, axes), x.dtype, x.weak)


def _sum_range(x: Range, axes: tuple[int, ...]) -> Range:
    return Range(
        0.0 if x.low >= 0 else -np.inf, 0.0 if x.high <= 0 else np.inf, singular=x.singular
    )


reduce_sum = linear(
    "reduce_sum",
    range=_sum_range,
    infer=_infer,
    run=add_reduce,
    axes=reduced_axes("sum"),
    transpose=lambda ct, x, axes: spread(ct, x, axes),
    lift=shift_axes,
    shows_nan=True,
    role=Role.REDUCTION,
    in_row=in_row_of_axes,
    combiner="sum",
)

# norm: the root of a sum of squares, and its slope x / |x|, the unit vector along x. Both are zero
# at zero, where the derivatives of the slope are not finite.


def _norm_array(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return xp.sqrt(add_reduce(xp, x * x, axes))


def _unit_array(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    size = xp.expand_dims(_norm_array(xp, x, axes), axes)
    return xp.where(size, x / size, x.dtype.type(0))


def _across(unit: Any, t: Any, axes: tuple[int, ...]) -> Any:
    """What is left of `t` without its part along a unit vector."""
    along = reduce_sum(ew.mul(unit, t), axes=axes)
    return ew.sub(t, ew.mul(unit, spread(along, t.aval, axes)))


def _unit_vector_jvp(primals: Any, tangents: Any, out: Any, axes: tuple[int, ...]) -> Any:
    # The part along x is taken out twice: after once, what is left of a tangent almost along x
    # is the rounding error of the difference.
    across = _across(out, _across(out, tangents[0], axes), axes)
    return ew.div(across, spread(reduce_norm(primals[0], axes=axes), across.aval, axes))


def _kept_axes(operands: Any, outputs: Any, axes: tuple[int, ...]) -> Axes:
    labels = tuple([None if i in axes else i for i in range(operands[0].ndim)])
    return Axes((labels,), (labels,))


unit_vector = differentiable(
    "unit_vector",
    infer=lambda x, axes: x,
    run=_unit_array,
    axes=_kept_axes,
    jvp=_unit_vector_jvp,
    lift=shift_axes,
    range=function((-1.0, 1.0), lambda x, axes: x.without_zero),
    workspace=2.5,
)
reduce_norm = differentiable(
    "reduce_norm",
    infer=_infer,
    run=_norm_array,
    axes=reduced_axes("norm"),
    jvp=lambda primals, tangents, out, axes: reduce_sum(
        ew.mul(unit_vector(primals[0], axes=axes), tangents[0]), axes=axes
    ),
    lift=shift_axes,
    range=function((0.0, np.inf), lambda x, axes: x.without_zero),
    workspace=1.05,
)

# prod: the derivative by an element is the product of those before it and those after it, without
# a division, so that it is exact beside zeros.


def merged(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` with the axes that are reduced merged into one, the last."""
    kept = tuple([i for i in range(x.aval.ndim) if i not in axes])
    shape = without(x.aval.shape, axes)
    moved = transpose(x, perm=(*kept, *axes))
    return reshape(moved, shape=(*shape, count(x.aval.shape, axes)))


def _prod_jvp(primals: Any, tangents: Any, out: Any, axes: tuple[int, ...]) -> Any:
    x, x_dot = merged(primals[0], axes), merged(tangents[0], axes)
    last = x.aval.ndim - 1
    before = shifted(cumprod(x, axis=last), last, 1.0)
    reverse = flip(x, axes=(last,))
    after = flip(shifted(cumprod(reverse, axis=last), last, 1.0), axes=(last,))
    return reduce_sum(ew.mul(ew.mul(before, after), x_dot), axes=(last,))


reduce_prod = differentiable(
    "reduce_prod",
    infer=_infer,
    run=lambda xp, x, axes: xp.prod(x, axis=axes, dtype=x.dtype),
    axes=reduced_axes("prod"),
    jvp=_prod_jvp,
    lift=shift_axes,
)

# max, min: the mean of the tangents at the extreme elements.


def extreme_mask(x: Any, out: Any, axes: tuple[int, ...]) -> Any:
    """Where `x` attains its extreme `out`; if that is NaN, where `x` is NaN."""
    return ew.bit_or(ew.eq(x, spread(out, x.aval, axes)), ew.is_nan(x))


def _mean_where(mask: Any, t: Any, axes: tuple[int, ...]) -> Any:
    chosen = reduce_sum(ew.keep(mask, t), axes=axes)
    return ew.div(chosen, ew.maximum(reduce_sum(ew.as_weight(mask, t), axes=axes), 1.0))


def _extreme_jvp(primals: Any, tangents: Any, out: Any, axes: tuple[int, ...]) -> Any:
    return _mean_where(extreme_mask(primals[0], out, axes), tangents[0], axes)


reduce_max = differentiable(
    "reduce_max",
    range=same,
    infer=_infer,
    run=lambda xp, x, axes: xp.max(x, axis=axes),
    axes=reduced_axes("max"),
    jvp=_extreme_jvp,
    lift=shift_axes,
    role=Role.REDUCTION,
    in_row=in_row_of_axes,
    combiner="max",
)
reduce_min = differentiable(
    "reduce_min",
    range=same,
    infer=_infer,
    run=lambda xp, x, axes: xp.min(x, axis=axes),
    axes=reduced_axes("min"),
    jvp=_extreme_jvp,
    lift=shift_axes,
    role=Role.REDUCTION,
    in_row=in_row_of_axes,
    combiner="min",
)

# any, all: of booleans.
reduce_any = constant(
    "reduce_any",
    infer=lambda x, axes: Aval(without(x.shape, axes), BOOL),
    run=lambda xp, x, axes: xp.any(x, axis=axes),
    axes=reduced_axes("any"),
    lift=shift_axes,
)
reduce_all = constant(
    "reduce_all",
    infer=lambda x, axes: Aval(without(x.shape, axes), BOOL),
    run=lambda xp, x, axes: xp.all(x, axis=axes),
    axes=reduced_axes("all"),
    lift=shift_axes,
)

# kept_any: a mark (see `keep`) that is not zero where one of those reduced is.


def _kept_any_array(xp: Any, m: Any, axes: tuple[int, ...]) -> Any:
    return xp.any(m != 0, axis=axes).astype(m.dtype)


kept_any = differentiable(
    "kept_any",
    infer=_infer,
    run=_kept_any_array,
    axes=reduced_axes("max"),
    jvp=lambda primals, tangents, out, axes: kept_any(tangents[0], axes=axes),
    lift=shift_axes,
    marks=1,
)

# argmax, argmin: the first extreme element along one axis.


def _arg_axes(operands: Any, outputs: Any, axis: int) -> Axes:
    labels = [None if i == axis else i for i in range(operands[0].ndim)]
    return Axes((tuple(labels),), (tuple([i for i in labels if i is not None]),))


argmax = constant(
    "argmax",
    infer=lambda x, axis: Aval(without(x.shape, (axis,)), INDEX),
    run=lambda xp, x, axis: xp.argmax(x, axis=axis),
    axes=_arg_axes,
    lift=lambda size, axis: {"axis": axis + 1},
)
argmin = constant(
    "argmin",
    infer=lambda x, axis: Aval(without(x.shape, (axis,)), INDEX),
    run=lambda xp, x, axis: xp.argmin(x, axis=axis),
    axes=_arg_axes,
    lift=lambda size, axis: {"axis": axis + 1},
)

# logsumexp, softmax, log_softmax. The largest elements are counted apart from the others, whose
# sum then goes through log1p: small sums keep their digits.


def _exponentials(xp: Any, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """exp(x - top), which is 1 at the top; where `x` is at its top; and the top, its maximum."""
    top = xp.max(x, axis=axes, keepdims=True) if count(x.shape, axes) else x.dtype.type(-np.inf)
    at_top = (x == top) & (top > -np.inf)
    base = xp.where(xp.isinf(top), x.dtype.type(0), top)
    # Where the top is +inf, only the elements at the top count.
    below = xp.where(top == np.inf, x.dtype.type(0), xp.exp(xp.minimum(x - base, x.dtype.type(0))))
    return xp.where(at_top, x.dtype.type(1), below), at_top, top


def _log_sum(xp: Any, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """log(sum(exp(x - top))) and the top, with the reduced axes kept."""
    e, at_top, top = _exponentials(xp, x, axes)
    ties = xp.sum(at_top, axis=axes, keepdims=True, dtype=x.dtype)
    rest = _kept_sum(xp, xp.where(at_top, x.dtype.type(0), e), axes)
    some = xp.where(ties == 0, x.dtype.type(1), ties)
    return xp.log1p(rest / some) + xp.log(some), top


def _kept_sum(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    return xp.expand_dims(add_reduce(xp, x, axes), axes)


def _logsumexp_array(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    log_sum, top = _log_sum(xp, x, axes)
    return xp.reshape(log_sum + top, without(x.shape, axes))


def _softmax_array(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    e = _exponentials(xp, x, axes)[0]
    total = _kept_sum(xp, e, axes)
    return e / xp.where(total == 0, x.dtype.type(1), total)


def _log_softmax_array(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    log_sum, top = _log_sum(xp, x, axes)
    return (x - top) - log_sum


def _weighted(weights: Any, t: Any, axes: tuple[int, ...]) -> Any:
    return reduce_sum(ew.mul(t, weights), axes=axes)


def _centred(weights: Any, t: Any, axes: tuple[int, ...]) -> Any:
    """The tangent less its weighted mean.

    Tangents are taken relative to that of an element with more than half of the weight first, if
    there is one. This changes nothing in exact arithmetic; without it 1 - p would lose its digits
    where one weight p is nearly 1.
    """
    if not count(t.aval.shape, axes):
        return t
    heaviest = reduce_sum(ew.keep(ew.gt(weights, 0.5), t), axes=axes)
    relative = ew.sub(t, spread(heaviest, t.aval, axes))
    return ew.sub(relative, spread(_weighted(weights, relative, axes), t.aval, axes))


def _softmax_jvp(primals: Any, tangents: Any, out: Any, axes: tuple[int, ...]) -> Any:
    return ew.mul(_centred(out, tangents[0], axes), out)


def _log_softmax_jvp(primals: Any, tangents: Any, out: Any, axes: tuple[int, ...]) -> Any:
    (x,) = primals
    return _centred(softmax(x, axes=axes), tangents[0], axes)


softmax = differentiable(
    "softmax",
    range=function((0.0, 1.0)),
    weight=True,
    infer=lambda x, axes: x,
    run=_softmax_array,
    axes=_kept_axes,
    jvp=_softmax_jvp,
    lift=shift_axes,
    workspace=2.5,
)
log_softmax = differentiable(
    "log_softmax",
    infer=lambda x, axes: x,
    run=_log_softmax_array,
    axes=_kept_axes,
    jvp=_log_softmax_jvp,
    lift=shift_axes,
    workspace=3.0,
)
reduce_logsumexp = differentiable(
    "reduce_logsumexp",
    range=function(lambda x, axes: (x.low, np.inf)),
    infer=_infer,
    run=_logsumexp_array,
    axes=reduced_axes("logsumexp"),
    jvp=lambda primals, tangents, out, axes: _weighted(
        softmax(primals[0], axes=axes), tangents[0], axes
    ),
    lift=shift_axes,
    workspace=7.0,
)

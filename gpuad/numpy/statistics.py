"""Statistical functions: sums, products, extremes, means and what is made of them."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import alias, into, shape_of
from gpuad.numpy._dispatch import aval_of, cast_to, implements, normalize_axes, normalize_axis
from gpuad.numpy.searching import where as select
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import BOOL
from gpuad.primitives.reduction import (
    count,
    reduce_all,
    reduce_any,
    reduce_max,
    reduce_min,
    reduce_prod,
    reduce_sum,
    spread,
)
from gpuad.primitives.structure import expand
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import CUPY, OPERATIONS

Axes = tuple[int, ...]
Rule = Callable[[Any, Axes], Any]


def ndim_of(a: Any) -> int:
    """How many axes an argument has."""
    return len(shape_of(a))


def given(x: Any) -> bool:
    """Whether an optional argument was given (NumPy's own placeholder counts as not)."""
    return x is not None and x is not np._NoValue


def reduced_axes(axis: Any, ndim: int, name: str) -> Axes:
    """The axes to reduce; NumPy reduces a number along axis 0 or -1, too."""
    return () if not ndim and axis in (0, -1) else normalize_axes(axis, ndim, name)


def reduce(a: Any, axis: Any, keepdims: Any, name: str, rule: Rule) -> Any:
    """``rule(x, axes)`` of the Var of `a`, its axes kept as ones if asked for."""

    def on_vars(x: Any) -> Any:
        axes = reduced_axes(axis, x.aval.ndim, name)
        out = rule(x, axes)
        return expand(out, axes) if keepdims is True or keepdims == 1 else out

    return apply(on_vars, a)


def masked(a: Any, where: Any, fill: Any) -> Any:
    """`a` with `fill` wherever the ``where=`` argument does not hold."""
    return select(where, a, fill) if given(where) and where is not True else a


@functools.cache
def summed_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a NumPy sum of this dtype: small integers and booleans are widened."""
    return np.add.reduce(np.empty(0, dtype)).dtype


@functools.cache
def mean_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a NumPy mean of this dtype."""
    return dtype if dtype.kind in "fc" else np.dtype(float)


def in_dtype(x: Atom, dtype: Any, default: Callable[[np.dtype], np.dtype]) -> Atom:
    """`x` in the dtype asked for, or in NumPy's choice for its own."""
    return cast_to(x, default(x.aval.dtype) if dtype is None else np.dtype(dtype))


def initial_in(initial: Any, dtype: np.dtype) -> Any:
    """The ``initial=`` argument in the dtype of the result, as NumPy takes it."""
    if isinstance(initial, Tracer):
        return OPERATIONS["astype"](initial, dtype)
    return dtype.type(initial)


# Sums and products


@implements(np.sum, cupy="cupy_sum")
def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
        initial: Any = None, where: Any = True) -> Any:  # fmt: skip
    """The sum over axes, as `numpy.sum`."""
    if given(initial):
        total = sum(a, axis, dtype, None, keepdims, where=where)
        return into(OPERATIONS["add"](total, initial_in(initial, total.dtype)), out)

    def rule(x: Any, axes: Axes) -> Any:
        return reduce_sum(in_dtype(x, dtype, summed_dtype), axes=axes)

    return into(reduce(masked(a, where, 0), axis, keepdims, "sum", rule), out)


@implements(np.prod, cupy="cupy_prod")
def prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
         initial: Any = None, where: Any = True) -> Any:  # fmt: skip
    """The product over axes, as `numpy.prod`. Its derivatives are exact beside zeros."""
    if given(initial):
        product = prod(a, axis, dtype, None, keepdims, where=where)
        return into(OPERATIONS["multiply"](product, initial_in(initial, product.dtype)), out)

    def rule(x: Any, axes: Axes) -> Any:
        return reduce_prod(in_dtype(x, dtype, summed_dtype), axes=axes)

    return into(reduce(masked(a, where, 1), axis, keepdims, "prod", rule), out)


# Extremes


def _extreme_rule(primitive: Any, name: str) -> Rule:
    def rule(x: Any, axes: Axes) -> Any:
        if not count(x.aval.shape, axes):
            raise ArgumentError(
                f"{name}: shape {x.aval.shape} has no elements along {axes}, and no elements have "
                f"no {name}imum; give initial=."
            )
        return primitive(x, axes=axes)

    return rule


def _extreme(a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any,
             primitive: Any, name: str) -> Any:  # fmt: skip
    if not given(initial):
        if given(where) and where is not True:
            raise ArgumentError(
                f"{name}: where= may leave no element, which has no {name}imum; give initial= too."
            )
        return into(reduce(a, axis, keepdims, name, _extreme_rule(primitive, name)), out)
    initial = initial_in(initial, aval_of(a).dtype)
    a = masked(a, where, initial)
    axes = reduced_axes(axis, ndim_of(a), name)
    if count(shape_of(a), axes):
        found = OPERATIONS[name](a, axis, None, keepdims)
    else:
        found = OPERATIONS["full_like"](sum(a, axis, None, None, keepdims), initial)
    return into(OPERATIONS[f"{name}imum"](found, initial), out)


@implements(np.max, np.amax, cupy="cupy_max")
def max(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None,
        where: Any = True) -> Any:  # fmt: skip
    """The largest element over axes, as `numpy.max`; the derivative is split evenly at ties."""
    return _extreme(a, axis, out, keepdims, initial, where, reduce_max, "max")


@implements(np.min, np.amin, cupy="cupy_min")
def min(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None,
        where: Any = True) -> Any:  # fmt: skip
    """The smallest element over axes, as `numpy.min`; the derivative is split evenly at ties."""
    return _extreme(a, axis, out, keepdims, initial, where, reduce_min, "min")


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """The largest element less the smallest, as `numpy.ptp`."""
    largest, smallest = max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims)
    return into(OPERATIONS["subtract"](largest, smallest), out)


# Truth


def _truth(x: Any) -> Any:
    return x if x.aval.dtype == BOOL else ew.ne(x, 0)


@implements(np.any, cupy="cupy_any")
def any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False,
        where: Any = True) -> Any:  # fmt: skip
    """Whether any element over the axes is true, as `numpy.any`."""
    a = masked(a, where, False)
    rule: Rule = lambda x, axes: reduce_any(_truth(x), axes=axes)  # noqa: E731
    return into(reduce(a, axis, keepdims, "any", rule), out)


@implements(np.all, cupy="cupy_all")
def all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False,
        where: Any = True) -> Any:  # fmt: skip
    """Whether all elements over the axes are true, as `numpy.all`."""
    a = masked(a, where, True)
    rule: Rule = lambda x, axes: reduce_all(_truth(x), axes=axes)  # noqa: E731
    return into(reduce(a, axis, keepdims, "all", rule), out)


# Means and variances


def mean_of(x: Any, axes: Axes) -> Any:
    """The mean of a Var; float16 is summed in float32, as NumPy does."""
    dtype = x.aval.dtype
    wide = cast_to(x, np.dtype(np.float32)) if dtype == np.float16 else x
    total = reduce_sum(wide, axes=axes)
    return cast_to(ew.div(total, float(count(x.aval.shape, axes))), dtype)


@implements(np.mean, cupy="cupy_mean")
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
         *, where: Any = True) -> Any:  # fmt: skip
    """The mean over axes, as `numpy.mean`."""
    if given(where) and where is not True:
        total = sum(in_mean_dtype(a, dtype), axis, None, None, keepdims, where=where)
        return into(OPERATIONS["divide"](total, _count_where(a, where, axis, keepdims)), out)

    def rule(x: Any, axes: Axes) -> Any:
        return mean_of(in_dtype(x, dtype, mean_dtype), axes)

    return into(reduce(a, axis, keepdims, "mean", rule), out)


def in_mean_dtype(a: Any, dtype: Any = None) -> Any:
    """`a` in the dtype of its mean."""
    return OPERATIONS["astype"](a, dtype or mean_dtype(np.result_type(a.dtype)))


def _count_where(a: Any, where: Any, axis: Any, keepdims: Any) -> Any:
    """How many elements take part, in the dtype of the mean of `a`."""
    shape = np.broadcast_shapes(shape_of(a), shape_of(where))
    real = np.empty(0, mean_dtype(np.result_type(a.dtype))).real.dtype
    ones = select(OPERATIONS["broadcast_to"](where, shape), real.type(1), real.type(0))
    return sum(ones, axis, None, None, keepdims)


def squared_modulus(x: Any) -> Any:
    """|x|² as a real Var, smooth at zero for complex values too."""
    if ew.is_complex(x):
        return ew.add(ew.square(ew.real(x)), ew.square(ew.imag(x)))
    return ew.square(x)


def _variance(x: Any, axes: Axes, ddof: float) -> Any:
    dtype = x.aval.dtype
    x = cast_to(x, np.dtype(np.float32)) if dtype == np.float16 else x
    n = count(x.aval.shape, axes)
    centred = ew.sub(x, spread(mean_of(x, axes), x.aval, axes))
    total = reduce_sum(squared_modulus(centred), axes=axes)
    result = ew.div(total, float(n - ddof) if n > ddof else 0.0)
    return cast_to(result, np.empty(0, dtype).real.dtype)


def check_spread(a: Any, dtype: Any, name: str) -> None:
    """Refuses a real dtype for complex values, of which NumPy makes the mean real, but not them."""
    if dtype is not None and aval_of(a).dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise UnsupportedError(
            f"{name}(dtype={np.dtype(dtype)}) of complex values is not recorded; leave dtype out, "
            f"or write {name}(x.real)."
        )


def _degrees(ddof: Any, correction: Any) -> Any:
    if not given(correction):
        return ddof
    if ddof != 0:
        raise ArgumentError("ddof and correction are the same quantity; give one of them.")
    return correction


def _spread_about(a: Any, mean: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any,
                  where: Any) -> Any:  # fmt: skip
    """The variance of those elements that take part, about their mean or the one that is given."""
    chosen = given(where) and where is not True
    centre = mean if given(mean) else OPERATIONS["mean"](a, axis, dtype, None, True, where=where)
    squares = apply(squared_modulus, OPERATIONS["subtract"](in_mean_dtype(a, dtype), centre))
    total = sum(squares, axis, None, None, keepdims, where=where)
    if chosen:
        n = OPERATIONS["maximum"](_count_where(a, where, axis, keepdims) - ddof, 0)
    else:
        n = float(np.maximum(count(shape_of(a), normalize_axes(axis, ndim_of(a), "var")) - ddof, 0))
    return OPERATIONS["divide"](total, n)


def _var_or_std(a: Any, axis: Any, dtype: Any, out: Any, ddof: Any, keepdims: Any, where: Any,
                mean: Any, name: str, finish: Callable[[Any], Any]) -> Any:  # fmt: skip
    check_spread(a, dtype, name)
    if given(mean) or (given(where) and where is not True):
        spread_out = _spread_about(a, mean, axis, dtype, ddof, keepdims, where)
        return into(apply(finish, spread_out), out)

    def rule(x: Any, axes: Axes) -> Any:
        return finish(_variance(in_dtype(x, dtype, mean_dtype), axes, ddof))

    return into(reduce(a, axis, keepdims, name, rule), out)


@implements(np.var)
def var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = False, *, where: Any = True, mean: Any = None,
        correction: Any = None) -> Any:  # fmt: skip
    """The variance over axes, as `numpy.var`: of complex values the mean of |x - mean|²."""
    ddof = _degrees(ddof, correction)
    return _var_or_std(a, axis, dtype, out, ddof, keepdims, where, mean, "var", lambda v: v)


@implements(np.std)
def std(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = False, *, where: Any = True, mean: Any = None,
        correction: Any = None) -> Any:  # fmt: skip
    """The standard deviation over axes, as `numpy.std`; its derivative is 0 at zero variance."""
    ddof = _degrees(ddof, correction)
    return _var_or_std(a, axis, dtype, out, ddof, keepdims, where, mean, "std", ew.root_of_squares)


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *,
            keepdims: Any = False) -> Any:  # fmt: skip
    """The weighted mean over axes, as `numpy.average`."""
    divide, multiply = OPERATIONS["divide"], OPERATIONS["multiply"]
    if not given(weights):
        result = mean(a, axis, keepdims=keepdims)
        n = count(shape_of(a), normalize_axes(axis, ndim_of(a), "average"))
        return (result, np.full(shape_of(result), n, result.dtype)) if returned else result
    weights = aligned_weights(weights, shape_of(a), axis, "average")
    dtype = np.result_type(mean_dtype(aval_of(a).dtype), aval_of(weights).dtype)
    weights = OPERATIONS["astype"](weights, dtype)
    total = sum(OPERATIONS["broadcast_to"](weights, shape_of(a)), axis, keepdims=keepdims)
    result = divide(sum(multiply(a, weights), axis, keepdims=keepdims), total)
    return (result, total) if returned else result


def aligned_weights(weights: Any, shape: tuple[int, ...], axis: Any, name: str) -> Any:
    """Weights in a shape that broadcasts with `shape`, given in it or for its reduced axes."""
    if shape_of(weights) == shape:
        return weights
    axes = [normalize_axis(i, len(shape), name) for i in _as_tuple(axis)]
    if axis is None or shape_of(weights) != tuple([shape[i] for i in axes]):
        raise ArgumentError(
            f"{name}: weights has shape {shape_of(weights)} and a has {shape}, reduced over "
            f"axis={axis}; give weights of the shape of a, or of its reduced axes."
        )
    full = [n if i in axes else 1 for i, n in enumerate(shape)]
    weights = OPERATIONS["transpose"](weights, np.argsort(axes).tolist())
    return OPERATIONS["reshape"](weights, tuple(full))


def _as_tuple(axis: Any) -> tuple[Any, ...]:
    if axis is None:
        return ()
    return tuple(axis) if isinstance(axis, tuple | list) else (axis,)


amax = alias("amax", max)
amin = alias("amin", min)
CUPY.update(cupy_sum_with_dtype=sum, cupy_prod_with_dtype=prod, cupy_mean_empty=mean)

__all__ = [
    "all", "amax", "amin", "any", "average", "max", "mean", "min", "prod", "ptp",
    "std", "sum", "var",
]  # fmt: skip

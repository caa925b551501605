"""Statistics that leave NaN out: its derivative is zero there."""

from typing import Any

import numpy as np

from gpuad.numpy import statistics as st
from gpuad.numpy._arguments import into
from gpuad.numpy._dispatch import aval_of, broadcast_to_shape, cast_to, implements, normalize_axes
from gpuad.numpy.cumulative import cumprod, cumsum
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import reduce_all, reduce_max, reduce_min, reduce_sum, spread
from gpuad.primitives.structure import expand
from gpuad.tracing.record import apply
from gpuad.tracing.registry import CUPY, OPERATIONS


def _filled(a: Any, fill: float) -> Any:
    """`a` with `fill` for NaN."""

    def on_vars(x: Any) -> Any:
        return ew.select(ew.isnan(x), fill, x) if x.aval.dtype.kind in "fc" else x

    return apply(on_vars, a)


def _present(x: Any) -> Any:
    """1 where `x` is a number and 0 where it is NaN, real."""
    real = ew.real(x) if ew.is_complex(x) else x
    return ew.select(ew.isnan(x), 0.0, ew.as_weight(ew.eq(real, real), real))


@implements(np.nansum, cupy="cupy_nansum")
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
           initial: Any = None, where: Any = True) -> Any:  # fmt: skip
    """The sum of what is not NaN, as `numpy.nansum`."""
    return st.sum(_filled(a, 0.0), axis, dtype, out, keepdims, initial, where)


@implements(np.nanprod, cupy="cupy_nanprod")
def nanprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
            initial: Any = None, where: Any = True) -> Any:  # fmt: skip
    """The product of what is not NaN, as `numpy.nanprod`."""
    return st.prod(_filled(a, 1.0), axis, dtype, out, keepdims, initial, where)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """The sums so far of what is not NaN, as `numpy.nancumsum`."""
    return cumsum(_filled(a, 0.0), axis, dtype, out)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """The products so far of what is not NaN, as `numpy.nancumprod`."""
    return cumprod(_filled(a, 1.0), axis, dtype, out)


def _nan_extreme(a: Any, axis: Any, out: Any, keepdims: Any, primitive: Any, name: str,
                 bound: float) -> Any:  # fmt: skip
    plain = st._extreme_rule(primitive, name)

    def rule(x: Any, axes: tuple[int, ...]) -> Any:
        if x.aval.dtype.kind not in "fc":
            return plain(x, axes)
        found = plain(ew.select(ew.isnan(x), bound, x), axes)
        return ew.select(reduce_all(ew.isnan(x), axes=axes), np.nan, found)

    return into(st.reduce(a, axis, keepdims, f"nan{name}", rule), out)


@implements(np.nanmax, cupy="cupy_nanmax")
def nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None,
           where: Any = True) -> Any:  # fmt: skip
    """The largest element that is not NaN, as `numpy.nanmax`; NaN if there is none."""
    if st.given(initial):
        return st.max(_filled(a, -np.inf), axis, out, keepdims, initial, where)
    return _nan_extreme(_masked(a, where), axis, out, keepdims, reduce_max, "max", -np.inf)


@implements(np.nanmin, cupy="cupy_nanmin")
def nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None,
           where: Any = True) -> Any:  # fmt: skip
    """The smallest element that is not NaN, as `numpy.nanmin`; NaN if there is none."""
    if st.given(initial):
        return st.min(_filled(a, np.inf), axis, out, keepdims, initial, where)
    return _nan_extreme(_masked(a, where), axis, out, keepdims, reduce_min, "min", np.inf)


def _nan_arg_extreme(a: Any, axis: Any, out: Any, keepdims: Any, bound: float, name: str) -> Any:
    function = OPERATIONS[name]
    found = function(_filled(a, bound), axis, keepdims=bool(st.given(keepdims) and keepdims))
    if aval_of(a).dtype.kind in "fc":
        missing = st.all(OPERATIONS["isnan"](a), axis, keepdims=keepdims)
        found = OPERATIONS["where"](missing, -1, found)
    return into(found, out)


@implements(np.nanargmax)
def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    """The index of the first largest element that is not NaN; -1 if there is none."""
    return _nan_arg_extreme(a, axis, out, keepdims, -np.inf, "argmax")


@implements(np.nanargmin)
def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    """The index of the first smallest element that is not NaN; -1 if there is none."""
    return _nan_arg_extreme(a, axis, out, keepdims, np.inf, "argmin")


# Means and variances


def _nan_mean(x: Any, axes: tuple[int, ...]) -> Any:
    total = reduce_sum(ew.select(ew.isnan(x), 0.0, x), axes=axes)
    number = reduce_sum(_present(x), axes=axes)
    return ew.div(total, cast_to(number, x.aval.dtype))


@implements(np.nanmean, cupy="cupy_nanmean")
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
            *, where: Any = True) -> Any:  # fmt: skip
    """The mean of what is not NaN, as `numpy.nanmean`."""

    def rule(x: Any, axes: tuple[int, ...]) -> Any:
        return _nan_mean(st.in_dtype(x, dtype, st.mean_dtype), axes)

    return into(st.reduce(_masked(a, where), axis, keepdims, "nanmean", rule), out)


def _masked(a: Any, where: Any) -> Any:
    """`a` with NaN where the ``where=`` argument does not hold."""
    if not st.given(where) or where is True:
        return a
    return st.masked(st.in_mean_dtype(a), where, np.nan)


def _nan_variance(x: Any, axes: tuple[int, ...], ddof: float, centre: Any = None) -> Any:
    missing = ew.isnan(x)
    if centre is None:
        centre = spread(_nan_mean(x, axes), x.aval, axes)
    centred = ew.sub(x, centre)
    squares = st.squared_modulus(ew.select(missing, 0.0, centred))
    degrees = ew.sub(reduce_sum(_present(x), axes=axes), float(ddof))
    enough = ew.gt(degrees, 0.0)
    total = reduce_sum(squares, axes=axes)
    return ew.select(enough, ew.div(total, ew.select(enough, degrees, 1.0)), np.nan)


def _nan_spread(a: Any, axis: Any, dtype: Any, out: Any, ddof: Any, keepdims: Any, where: Any,
                mean: Any, name: str, finish: Any) -> Any:  # fmt: skip
    st.check_spread(a, dtype, name)
    if aval_of(a).dtype.kind in "iub":
        function = OPERATIONS[name.removeprefix("nan")]
        return function(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean)
    if st.given(mean):
        return into(_about(_masked(a, where), mean, axis, dtype, ddof, keepdims, name, finish), out)

    def rule(x: Any, axes: tuple[int, ...]) -> Any:
        return finish(_nan_variance(st.in_dtype(x, dtype, st.mean_dtype), axes, ddof))

    return into(st.reduce(_masked(a, where), axis, keepdims, name, rule), out)


def _about(a: Any, mean: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, name: str,
           finish: Any) -> Any:  # fmt: skip
    """The spread about a mean that is given."""

    def on_vars(x: Any, centre: Any) -> Any:
        x = st.in_dtype(x, dtype, st.mean_dtype)
        axes = normalize_axes(axis, x.aval.ndim, name)
        centre = broadcast_to_shape(cast_to(centre, x.aval.dtype), x.aval.shape)
        found = finish(_nan_variance(x, axes, ddof, centre))
        return expand(found, axes) if st.given(keepdims) and keepdims else found

    return apply(on_vars, a, mean)


@implements(np.nanvar)
def nanvar(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
           keepdims: Any = False, *, where: Any = True, mean: Any = None,
           correction: Any = None) -> Any:  # fmt: skip
    """The variance of what is not NaN, as `numpy.nanvar`; NaN if too little is left."""
    ddof = st._degrees(ddof, correction)
    return _nan_spread(a, axis, dtype, out, ddof, keepdims, where, mean, "nanvar",
                       lambda v: v)  # fmt: skip


@implements(np.nanstd)
def nanstd(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
           keepdims: Any = False, *, where: Any = True, mean: Any = None,
           correction: Any = None) -> Any:  # fmt: skip
    """The standard deviation of what is not NaN; its derivative is 0 at zero variance."""
    ddof = st._degrees(ddof, correction)
    return _nan_spread(a, axis, dtype, out, ddof, keepdims, where, mean, "nanstd",
                       ew.root_of_squares)  # fmt: skip


for _suffix in ("_with_dtype", "_complex_dtype"):
    CUPY[f"cupy_nansum{_suffix}"], CUPY[f"cupy_nanprod{_suffix}"] = nansum, nanprod

__all__ = [
    "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod",
    "nanstd", "nansum", "nanvar",
]  # fmt: skip

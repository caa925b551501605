"""Cumulative functions, differences and integrals along an axis."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import alias, existing, into, shape_of
from gpuad.numpy._dispatch import implements, normalize_axes, normalize_axis
from gpuad.numpy.statistics import given, in_dtype, ndim_of, summed_dtype
from gpuad.primitives import cumulative as cum
from gpuad.primitives import elementwise as ew
from gpuad.primitives.declare import BOOL
from gpuad.primitives.structure import concatenate, reshape, slice_axis
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


def along(a: Any, axis: Any, name: str, rule: Callable[[Any, int], Any]) -> Any:
    """``rule(x, axis)`` of the Var of `a`; with axis None of `a` flattened."""

    def on_vars(x: Any) -> Any:
        if axis is None:
            return rule(reshape(x, shape=(x.aval.size,)), 0)
        return rule(x, normalize_axis(axis, x.aval.ndim, name))

    return apply(on_vars, a)


def _summing(primitive: Any, dtype: Any) -> Callable[[Any, int], Any]:
    return lambda x, axis: primitive(in_dtype(x, dtype, summed_dtype), axis=axis)


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """The sums of the elements so far, as `numpy.cumsum`."""
    return into(along(a, axis, "cumsum", _summing(cum.cumsum, dtype)), out)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """The products of the elements so far; derivatives are exact at and after zeros."""
    return into(along(a, axis, "cumprod", _summing(cum.cumprod, dtype)), out)


def _one_axis(x: Any, axis: Any, name: str) -> int:
    if axis is None and ndim_of(x) != 1:
        raise ArgumentError(f"{name}: an array with {ndim_of(x)} axes; give axis=.")
    return normalize_axis(0 if axis is None else axis, ndim_of(x), name)


def _with_initial(result: Any, axis: int, start: float, wanted: bool) -> Any:
    if not wanted:
        return result
    shape = list(shape_of(result))
    shape[axis] = 1
    first = np.full(shape, start, result.dtype)
    return OPERATIONS["concatenate"]([first, result], axis=axis)


@implements(*existing("cumulative_sum"))
def cumulative_sum(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None,
                   include_initial: bool = False) -> Any:  # fmt: skip
    """The sums of the elements so far, as the array API's ``cumulative_sum``."""
    axis = _one_axis(x, axis, "cumulative_sum")
    return into(_with_initial(cumsum(x, axis, dtype), axis, 0, include_initial), out)


@implements(*existing("cumulative_prod"))
def cumulative_prod(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None,
                    include_initial: bool = False) -> Any:  # fmt: skip
    """The products of the elements so far, as the array API's ``cumulative_prod``."""
    axis = _one_axis(x, axis, "cumulative_prod")
    return into(_with_initial(cumprod(x, axis, dtype), axis, 1, include_initial), out)


@implements()
def cummax(a: Any, axis: Any = None) -> Any:
    """The largest element so far, y_i = max(x_0, ..., x_i), as ``np.maximum.accumulate``.

    Along an axis, or of all elements in order if it is None; shape and dtype stay. Elements that
    are the largest so far together share the derivative equally.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.cummax(np.array([1.0, 3.0, 2.0, 4.0]))
    array([1., 3., 3., 4.])
    """
    return along(a, axis, "cummax", lambda x, axis: cum.cummax(x, axis=axis))


@implements()
def cummin(a: Any, axis: Any = None) -> Any:
    """The smallest element so far, y_i = min(x_0, ..., x_i), as ``np.minimum.accumulate``.

    Along an axis, or of all elements in order if it is None; shape and dtype stay. Elements that
    are the smallest so far together share the derivative equally.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.cummin(np.array([3.0, 1.0, 2.0, 0.0]))
    array([3., 1., 1., 0.])
    """
    return along(a, axis, "cummin", lambda x, axis: cum.cummin(x, axis=axis))


def real_floats(x: Any, name: str) -> Any:
    """`x` as real floats: integers become float64, complex values are refused."""
    if x.aval.dtype.kind == "c":
        raise UnsupportedError(
            f"{name} of complex values is not recorded; write it with exp, log and sums."
        )
    return in_dtype(x, None, lambda d: d if d.kind == "f" else np.dtype(float))


@implements()
def cumlogsumexp(a: Any, axis: Any = None) -> Any:
    """log(cumsum(exp(a))) without overflow, as ``np.logaddexp.accumulate``.

    Along an axis, or of all elements in order if it is None; integers become float64, complex
    values raise `UnsupportedError`.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.cumlogsumexp(np.array([1000.0, 1000.0])))
    [1000.         1000.69314718]
    """
    name = "cumlogsumexp"
    return along(a, axis, name, lambda x, axis: cum.cumlogsumexp(real_floats(x, name), axis=axis))


logcumsumexp = alias("logcumsumexp", cumlogsumexp)

# Differences


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
    parts = [
        OPERATIONS["astype"](OPERATIONS["ravel"](x), middle.dtype)
        for x in (to_begin, middle, to_end)
        if x is not None
    ]
    return OPERATIONS["concatenate"](parts) if len(parts) > 1 else middle


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Central differences with a constant spacing for each axis, as `numpy.gradient`."""
    axes = normalize_axes(axis, ndim_of(f), "gradient")
    if isinstance(axis, tuple | list):
        axes = tuple([normalize_axis(i, ndim_of(f), "gradient") for i in axis])
    spacings = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(spacings) != len(axes) or [h for h in spacings if ndim_of(h)]:
        raise UnsupportedError(
            f"gradient takes one spacing, or one for each of the {len(axes)} axes, each a number; "
            "for uneven coordinates divide np.diff(f) by np.diff(x)."
        )
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order={edge_order}; give 1 or 2.")
    found = [_central(f, h, i, edge_order) for h, i in zip(spacings, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _central(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    """Differences over two steps inside, one-sided ones of the given order at the ends."""
    n = shape_of(f)[axis]
    if n < edge_order + 1:
        raise ArgumentError(
            f"gradient: {n} elements along axis {axis}; give at least {edge_order + 1}."
        )

    def rule(x: Any) -> Any:
        x = in_dtype(x, None, lambda d: d if d.kind in "fc" else np.dtype(float))

        def at(start: int, stop: int) -> Any:
            return slice_axis(x, axis, start, stop)

        def end(a: int, b: int, c: int) -> Any:
            near, mid = at(a, a + 1), at(b, b + 1)
            if edge_order == 1:
                return ew.sub(mid, near)
            far = at(c, c + 1)
            return ew.sub(ew.sub(ew.mul(2.0, mid), ew.mul(1.5, near)), ew.mul(0.5, far))

        inside = ew.mul(0.5, ew.sub(at(2, n), at(0, n - 2)))
        last = ew.neg(end(n - 1, n - 2, n - 3))
        return concatenate(end(0, 1, 2), inside, last, axis=axis)

    return OPERATIONS["divide"](apply(rule, f), h)


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


__all__ = [
    "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum",
    "diff", "ediff1d", "gradient", "logcumsumexp", "trapezoid",
]  # fmt: skip

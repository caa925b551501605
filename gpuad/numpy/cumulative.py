"""Cumulative functions along an axis."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import alias, existing, into, shape_of
from gpuad.numpy._dispatch import implements, normalize_axis
from gpuad.numpy.statistics import in_dtype, ndim_of, summed_dtype
from gpuad.primitives import cumulative as cum
from gpuad.primitives.structure import reshape
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

__all__ = [
    "cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum",
    "logcumsumexp",
]  # fmt: skip

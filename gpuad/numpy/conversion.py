"""Arrays from lists, copies and casts."""

import warnings
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.half import is_bfloat16
from gpuad.numpy._arguments import (
    alias,
    check_casting,
    check_layout,
    existing,
    refuse,
)
from gpuad.numpy._dispatch import aval_of, cast_to, implements, stacked
from gpuad.numpy.creation import default_namespace
from gpuad.numpy.manipulation import atleast_1d, ravel, reshape
from gpuad.numpy.searching import known
from gpuad.primitives import elementwise as ew
from gpuad.tracing import Tracer, is_array, namespace_of_all
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """An array of its own with the contents of `a`."""
    check_layout(order, "copy")
    return apply(lambda v: v, a)


@implements()
def flatten(a: Any, order: str = "C") -> Any:
    """A copy of `a` with one axis, of shape ``(a.size,)``, in the order of its elements.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.flatten(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 2., 3., 4.])
    """
    return copy(ravel(a, order))


@implements(*existing("astype"))
def astype(
    x: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
    copy: bool = True, *, device: Any = None,
) -> Any:  # fmt: skip
    """`x` in another dtype. To integers and booleans the derivative is a stated zero."""
    check_layout(order, "astype")
    refuse("astype", device=device)
    source, target = aval_of(x).dtype, np.dtype(dtype)
    if target.kind not in "biufc" and not is_bfloat16(target):
        raise ArgumentError(
            f"astype: dtype {target} has no numbers; gpuad works on booleans, integers, floats and "
            "complex numbers."
        )
    check_casting(source, target, casting)
    if source.kind == "c" and target.kind not in "bc":
        warnings.warn(
            f"casting from {source} to {target} leaves the imaginary part out; "
            "write x.real if that is meant.",
            np.exceptions.ComplexWarning,
            stacklevel=4,
        )
    if source == target and not copy:
        return x
    # A weak value that is cast is weak no longer, whatever its dtype.
    return apply(lambda v: ew.cast(v, dtype=target) if v.aval.weak else cast_to(v, target), x)


def array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", subok: bool = False,
    ndmin: int = 0, ndmax: int = 0, like: Any = None,
) -> Any:  # fmt: skip
    """An array of nested lists, in which traced values may stand.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> from gpuad.numpy.conversion import array
    >>> ad.jacfwd(lambda x: array([x[0] * x[1], 3.0]))(np.array([2.0, 5.0]))
    array([[5., 2.],
           [0., 0.]])
    """
    refuse("array", like=like, ndmax=ndmax or None)
    found = stacked(object)
    if not isinstance(found, Tracer):
        xp = namespace_of_all([found]) if is_array(found) else default_namespace()
        return xp.array(found, dtype=dtype, copy=copy, order=order, ndmin=ndmin)
    check_layout(order, "array")
    missing = ndmin - found.ndim
    found = reshape(found, (*(1,) * missing, *found.shape)) if missing > 0 else found
    found = found if dtype is None else astype(found, dtype)
    return apply(lambda v: v, found) if copy else found


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None,
            device: Any = None, like: Any = None) -> Any:  # fmt: skip
    """`a` itself if it is an array of this dtype, else an array of nested lists or a cast."""
    refuse("asarray", device=device, like=like)
    found = stacked(a)
    if isinstance(found, Tracer) and not copy and dtype in (None, found.dtype):
        return found
    return array(found, dtype, copy=copy, order=order or "K")


def ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    """`asarray` with at least one axis, its elements row by row: a copy if they are not."""
    return atleast_1d(_contiguous(a, dtype, like, "C"))


def _contiguous(a: Any, dtype: Any, like: Any, order: str) -> Any:
    found = asarray(a, dtype, like=like)
    if not isinstance(found, Tracer):
        return namespace_of_all([found]).asarray(found, order=order)
    if found is not a:
        return found
    return _by_rows(found, order) if order == "C" else _by_columns(found, order)


@implements(name="ascontiguousarray", view=True)
def _by_rows(x: Any, order: str) -> Any:
    return apply(lambda v: v, x)


@implements(name="asfortranarray", view=True)
def _by_columns(x: Any, order: str) -> Any:
    return apply(lambda v: v, x)


alias("array", array)
alias("asarray", asarray)
alias("ascontiguousarray", ascontiguousarray)
asanyarray = alias("asanyarray", asarray)


def asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
    """`asarray`, its elements column by column: a copy if they are not."""
    return _contiguous(a, dtype, like, "F")


alias("asfortranarray", asfortranarray)


@implements(np.real_if_close, view="inner")
def real_if_close(a: Any, tol: float = 100) -> Any:
    """The real part, if all imaginary parts are about zero; for known values, which decide."""
    if aval_of(a).dtype.kind != "c":
        return a
    value = known(a, "real_if_close")
    limit = tol * np.finfo(value.dtype).eps if tol > 1 else tol
    return OPERATIONS["real"](a) if (abs(value.imag) < limit).all() else a


@implements(np.common_type)
def common_type(*arrays: Any) -> Any:
    """The type of floats, or of complex numbers, that holds all arrays' values."""
    return np.common_type(*[np.empty(0, aval_of(x).dtype) for x in arrays])


__all__ = [
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "asfortranarray",
    "astype",
    "common_type",
    "copy",
    "flatten",
    "real_if_close",
]  # fmt: skip

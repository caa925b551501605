"""``ufunc.reduce`` where there is no reduction of that kind, ``ufunc.reduceat``, and windows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import refuse, shape_of, static_shape
from gpuad.numpy._dispatch import implements, normalize_axes, normalize_axis
from gpuad.numpy.searching import known
from gpuad.tracing.registry import OPERATIONS


def _first_and_rest(a: Any, axis: Any, name: str) -> tuple[int, Any, Any]:
    """The axis, the first slice along it and the others."""
    axes = normalize_axes(axis, len(shape_of(a)), name)
    if len(axes) != 1:
        raise ArgumentError(f"{name}.reduce: axis={axis}; the order matters, so give one axis.")
    if not shape_of(a)[axes[0]]:
        raise ArgumentError(
            f"{name}.reduce: no elements along axis {axis}, and none have no value."
        )
    before = (slice(None),) * axes[0]
    return axes[0], a[(*before, slice(0, 1))], a[(*before, slice(1, None))]


def _by_inverse(name: str, total: str) -> Callable[..., Any]:
    """``a[0] - a[1] - ...`` by a sum, ``a[0] / a[1] / ...`` by a product; with `initial` in front,
    and then perhaps only `where` a mask is true."""

    def reduce(a: Any, axis: Any = 0, keepdims: bool = False, dtype: Any = None,
               initial: Any = None, where: Any = None) -> Any:  # fmt: skip
        if where is not None and initial is None:
            raise ArgumentError(f"{name}.reduce(where=...) starts with no element; give initial.")
        dtype = dtype or getattr(np, name).resolve_dtypes((a.dtype, a.dtype, None))[-1]
        a = OPERATIONS["astype"](a, dtype)
        axis, first, rest = _first_and_rest(a, axis, name)
        if initial is not None:
            first, rest = initial, a
        options = {} if where is None else {"where": where}
        others = OPERATIONS[total](rest, axis=axis, keepdims=True, dtype=dtype, **options)
        result = OPERATIONS[name](first, others)
        return result if keepdims else OPERATIONS["squeeze"](result, axis)

    return reduce


def _hypot(a: Any, axis: Any = 0, keepdims: bool = False, **options: Any) -> Any:
    refuse("hypot.reduce", **options)
    if a.dtype.kind == "c":
        raise UnsupportedError("hypot.reduce of complex values is not defined; take abs(x).")
    return OPERATIONS["linalg.vector_norm"](a, axis=axis, keepdims=keepdims)


def _of_booleans(name: str, function: str) -> Callable[..., Any]:
    def reduce(a: Any, axis: Any = 0, keepdims: bool = False, **options: Any) -> Any:
        if a.dtype.kind != "b":
            raise UnsupportedError(
                f"{name}.reduce of {a.dtype} cannot be recorded, of booleans it can; write it as a "
                "loop over the slices."
            )
        return OPERATIONS[function](a, axis=axis, keepdims=keepdims, **options)

    return reduce


def _odd(a: Any, axis: Any = 0, keepdims: bool = False, **options: Any) -> Any:
    count = OPERATIONS["count_nonzero"](a, axis=axis, keepdims=keepdims, **options)
    return OPERATIONS["equal"](OPERATIONS["remainder"](count, 2), 1)


OPERATIONS.update(
    _subtract_reduce=_by_inverse("subtract", "sum"),
    _divide_reduce=_by_inverse("divide", "prod"),
    _hypot_reduce=_hypot,
    _and_reduce=_of_booleans("bitwise_and", "all"),
    _or_reduce=_of_booleans("bitwise_or", "any"),
    _odd_reduce=_odd,
)

_SCATTERED = {
    "add": ("scatter_add", "zeros_like"),
    "multiply": ("scatter_mul", "ones_like"),
    "maximum": ("scatter_max", ""),
    "minimum": ("scatter_min", ""),
}


def reduceat(name: str, array: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """``ufunc.reduceat``: of each of the pieces that begin at known indices."""
    if name not in _SCATTERED:
        raise UnsupportedError(
            f"{name}.reduceat cannot be recorded; there are {', '.join(_SCATTERED)}. Write "
            "the reduction of each piece, array[i:j]."
        )
    array = array if dtype is None else OPERATIONS["astype"](array, dtype)
    axis = normalize_axis(axis, len(shape_of(array)), f"{name}.reduceat")
    n = shape_of(array)[axis]
    starts = [int(i) for i in np.asarray(known(indices, f"{name}.reduceat")).ravel()]
    if [i for i in starts if not 0 <= i < n]:
        raise ArgumentError(f"{name}.reduceat: indices {starts} of an axis of {n} elements.")
    if name in ("maximum", "minimum") and array.dtype.kind == "c":
        raise UnsupportedError(f"{name}.reduceat of complex values; take the real part or abs(x).")
    ends = [*starts[1:], n]
    pieces = [range(i, max(j, i + 1)) for i, j in zip(starts, ends, strict=True)]
    lines = OPERATIONS["moveaxis"](array, axis, 0)
    lines = _summed(lines) if name in ("add", "multiply") else lines
    first = OPERATIONS["take"](lines, np.array(starts, int), axis=0)
    scatter, start = _SCATTERED[name]
    places = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    rows = OPERATIONS["take"](lines, np.array([i for p in pieces for i in p], int), axis=0)
    into = OPERATIONS[start](first) if start else _excluded(first, name)
    return OPERATIONS["moveaxis"](OPERATIONS[scatter](into, places, rows), 0, axis)


def _summed(lines: Any) -> Any:
    """In the dtype of a sum: small integers and booleans are widened."""
    return OPERATIONS["astype"](lines, np.add.reduce(np.empty(0, lines.dtype)).dtype)


def _excluded(first: Any, name: str) -> Any:
    """What is no extreme, so that the first of a piece does not share its derivative twice."""
    kind = first.dtype.kind
    if kind == "b":
        worst: Any = name == "minimum"
    elif kind == "f":
        worst = -np.inf if name == "maximum" else np.inf
    else:
        limits = np.iinfo(first.dtype)
        worst = limits.min if name == "maximum" else limits.max
    return OPERATIONS["full_like"](first, worst)


OPERATIONS["_reduceat"] = reduceat


@implements(np.lib.stride_tricks.sliding_window_view, view=True)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """All windows of a shape, in further axes at the end: NumPy's function of
    `numpy.lib.stride_tricks`. It sees updates of `x`, but has as many elements as the windows have
    together.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> from numpy.lib.stride_tricks import sliding_window_view
    >>> ad.grad(lambda x: (sliding_window_view(x, 2).sum(1) ** 2).sum())(np.arange(4.0))
    array([ 2.,  8., 16., 10.])
    >>> import gpuad.numpy as gnp
    >>> gnp.sliding_window_view(np.arange(4), 3)
    array([[0, 1, 2],
           [1, 2, 3]])
    """
    if writeable:
        raise UnsupportedError(
            "sliding_window_view(writeable=True) cannot be recorded; leave writeable "
            "out, and update the array itself."
        )
    window, ndim = static_shape(window_shape), len(shape_of(x))
    axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple([normalize_axis(i, ndim, "sliding_window_view") for i in axes])
    if len(axes) != len(window):
        raise ArgumentError(
            f"sliding_window_view: {len(window)} sizes of windows and {len(axes)} axes; give one "
            "size for each axis."
        )
    for i, size in zip(axes, window, strict=True):
        count = shape_of(x)[i] - size + 1
        if size < 0 or count < 1:
            raise ArgumentError(
                f"sliding_window_view: windows of {size} along axis {i}, which has "
                f"{shape_of(x)[i]} elements; give sizes from 0 to that."
            )
        windows = np.arange(count)[:, None] + np.arange(size)
        x = OPERATIONS["moveaxis"](OPERATIONS["take"](x, windows, axis=i), i + 1, -1)
    return x


__all__ = ["sliding_window_view"]

"""Creation of arrays.

While a function is being traced they are recorded, so that traced values can be stored into them;
otherwise they are made on the device of an array among the arguments, or on the default device.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.info import array_module
from gpuad.ir.graph import Atom
from gpuad.ir.primitive import full as filled
from gpuad.numpy._arguments import alias, check_layout, refuse, shape_of, static_shape
from gpuad.numpy._dispatch import (
    F,
    aval_of,
    broadcast_to_shape,
    cast_to,
    implements,
    leaves_of,
)
from gpuad.numpy._ufuncs import dtype_key
from gpuad.numpy.joining import stack
from gpuad.numpy.manipulation import broadcast_arrays, expand_dims, moveaxis, reshape
from gpuad.primitives import elementwise as ew
from gpuad.primitives import sources, structure
from gpuad.tracing import Tracer, innermost, is_array, namespace_of_all
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS
from gpuad.tracing.trace import innermost_open
from gpuad.tracing.views import ROWS


@functools.cache
def default_namespace() -> Any:
    """CuPy where it is installed and a GPU can be used, else NumPy; asked for once."""
    return array_module()


def _creates(*numpy_functions: Any, view: bool | str = False) -> Callable[[F], F]:
    """Has the function record while something is traced, and CuPy's or NumPy's answer otherwise."""

    def decorate(function: F) -> F:
        name = function.__name__
        with_tracer = implements(*numpy_functions, view=view)(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            found = list(leaves_of((*args, *kwargs.values())))
            ours = any(hasattr(type(x), "_gpuad_function") for x in found)
            if ours or innermost(found) is not None:
                return with_tracer(*args, **kwargs)
            if innermost_open() is not None:
                return function(*args, **kwargs)
            given = any(is_array(x) for x in found)
            xp = namespace_of_all(found) if given else default_namespace()
            return getattr(xp, name)(*args, **kwargs)

        OPERATIONS[name] = call
        return call  # type: ignore[return-value]

    return decorate


def _record(function: Callable[..., Any], *args: Any) -> Any:
    return apply(function, *args, trace=innermost_open())


def _as_array(v: Atom) -> Atom:
    """`v` with a dtype that is not weak, as arrays have."""
    return ew.cast(v, dtype=v.aval.dtype) if v.aval.weak else v


# Filled with one value


@_creates()
def full(
    shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C", *, device: Any = None,
    like: Any = None,
) -> Any:  # fmt: skip
    """An array filled with a number, or with an array repeated."""
    check_layout(order, "full")
    refuse("full", device=device, like=like)
    new = static_shape(shape)
    if type(fill_value) is int and dtype is not None and np.dtype(dtype).kind in "fc":
        fill_value = float(fill_value)

    def record(value: Atom) -> Atom:
        value = cast_to(value, value.aval.dtype if dtype is None else np.dtype(dtype))
        return _as_array(broadcast_to_shape(value, new))

    return _by_rows(_record(record, fill_value), order == "C")


def _by_rows(x: Any, known: bool = True) -> Any:
    """`x`, of which it is known that its elements lie row by row."""
    if known:
        x._layout = ROWS
    return x


@_creates()
def zeros(shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None,
          like: Any = None) -> Any:  # fmt: skip
    """An array of zeros."""
    return full(shape, 0, np.dtype(dtype), order, device=device, like=like)


@_creates()
def ones(shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None,
         like: Any = None) -> Any:  # fmt: skip
    """An array of ones."""
    return full(shape, 1, np.dtype(dtype), order, device=device, like=like)


@_creates()
def empty(shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None,
          like: Any = None) -> Any:  # fmt: skip
    """An array to be written into; of zeros while a function is traced."""
    return full(shape, 0, np.dtype(dtype), order, device=device, like=like)


@_creates(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True,
    shape: Any = None, *, device: Any = None,
) -> Any:  # fmt: skip
    """An array of the shape and dtype of `a`, filled with a number or an array repeated."""
    dtype = aval_of(a).dtype if dtype is None else dtype
    order = "C" if order in ("K", "A") and _lies_by_rows(a) else order
    return full(shape_of(a) if shape is None else shape, fill_value, dtype, order, device=device)


def _lies_by_rows(a: Any) -> bool:
    flags = getattr(a, "flags", None) if not isinstance(a, Tracer) else None
    return a._layout == ROWS if isinstance(a, Tracer) else flags is None or flags.c_contiguous


@_creates(np.zeros_like)
def zeros_like(a: Any, /, dtype: Any = None, order: Any = "K", subok: bool = True,
               shape: Any = None, *, device: Any = None) -> Any:  # fmt: skip
    """Zeros of the shape and dtype of `a`. Traced values can be stored into them.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> def f(x):
    ...     y = np.zeros_like(x)
    ...     y[1:] = x[1:] ** 2
    ...     return y.sum()
    >>> ad.grad(f)(np.array([1.0, 2.0, 3.0]))
    array([0., 4., 6.])
    """
    return full_like(a, 0, dtype, order, subok, shape, device=device)


@_creates(np.ones_like)
def ones_like(a: Any, /, dtype: Any = None, order: Any = "K", subok: bool = True,
              shape: Any = None, *, device: Any = None) -> Any:  # fmt: skip
    """Ones of the shape and dtype of `a`."""
    return full_like(a, 1, dtype, order, subok, shape, device=device)


@_creates(np.empty_like)
def empty_like(a: Any, /, dtype: Any = None, order: Any = "K", subok: bool = True,
               shape: Any = None, *, device: Any = None) -> Any:  # fmt: skip
    """An array of the shape and dtype of `a` to be written into; of zeros while traced."""
    return full_like(a, 0, dtype, order, subok, shape, device=device)


# Ranges


def _line(first: Any, step: Any, n: int, dtype: np.dtype) -> Atom:
    """first, first + step, ..."""
    line: Atom = sources.iota((n,), 0, dtype)
    line = line if step == 1 else ew.mul(line, step)
    return line if first == 0 else ew.add(line, first)


@_creates()
def arange(
    start: Any = None, stop: Any = None, step: Any = None, dtype: Any = None, *,
    device: Any = None, like: Any = None,
) -> Any:  # fmt: skip
    """Numbers from `start` (0) up to, but not with, `stop`, at a distance `step` (1)."""
    refuse("arange", device=device, like=like)
    start, stop, step = [_static_number(x) for x in (start, stop, step)]
    line = np.arange(0 if start is None else start, stop, step, dtype=dtype)
    n, dtype = line.size, line.dtype
    if n < 2:
        return full((n,), line[0] if n else 0, dtype)
    if dtype.kind not in "iuf":
        return _record(_as_array, line)
    return _record(lambda: _line(line[0], line[1] - line[0], n, dtype))


def _static_number(x: Any) -> Any:
    if not isinstance(x, Tracer):
        return x
    if x.dtype.kind not in "iu":
        raise UnsupportedError(
            "arange of a traced float has a length that depends on its value; use linspace with a "
            "number of points, or start + step * arange(n)."
        )
    return operator.index(x)


@_creates(np.linspace)
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    """`num` numbers at equal distances from `start` to `stop`, differentiable by both.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda b: np.linspace(0.0, b, 5).sum())(1.0)
    np.float64(2.5)
    """
    refuse("linspace", device=device)
    num = operator.index(num)
    if num < 0:
        raise ArgumentError(f"linspace: num is {num}; give a number of points from 0.")
    intervals = num - 1 if endpoint else num
    line, step = _record(lambda a, b: _spaced(a, b, num, intervals, endpoint), start, stop)
    if dtype is not None:
        line = _in_dtype(line, np.dtype(dtype))
    line = moveaxis(line, 0, axis) if axis else line
    return (line, step) if retstep else line


def _promoted_as(v: Atom) -> Any:
    """What stands for `v` in `numpy.result_type`: a number for a Python number."""
    key = dtype_key(v)
    return key() if isinstance(key, type) else key


def _spaced(a: Atom, b: Atom, num: int, intervals: int, endpoint: bool) -> tuple[Atom, Atom]:
    """The points, along a new first axis, and the distance between them."""
    dtype = np.result_type(*[_promoted_as(v) for v in (a, b)], 1.0)
    shape = np.broadcast_shapes(a.aval.shape, b.aval.shape)
    a, b = [broadcast_to_shape(_as_array(cast_to(v, dtype)), shape) for v in (a, b)]
    whole = (num, *shape)
    span = ew.sub(b, a)
    step = ew.div(span, float(intervals)) if intervals > 0 else ew.mul(span, np.nan)
    index = sources.iota(whole, 0, np.finfo(dtype).dtype)
    first, last, each = [
        broadcast_to_shape(v, whole) for v in (a, b, step if intervals > 0 else span)
    ]
    line = ew.add(ew.mul(cast_to(index, dtype), each), first)
    if endpoint and num > 1:
        line = ew.select(ew.eq(index, float(intervals)), last, line)
    return line, step


def _in_dtype(x: Any, dtype: np.dtype) -> Any:
    """`x` in this dtype; to integers, rounded down as NumPy's ranges are."""
    floors = dtype.kind in "iu" and x.dtype.kind == "f"
    return apply(lambda v: cast_to(ew.floor(v) if floors else v, dtype), x)


@_creates(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    """Powers of `base` with exponents at equal distances."""
    if shape_of(base):
        ndim = len(np.broadcast_shapes(*[shape_of(x) for x in (start, stop, base)]))
        start, stop, base = [
            reshape(x, (*(1,) * (ndim - len(shape_of(x))), *shape_of(x)))
            for x in (start, stop, base)
        ]
        base = expand_dims(base, axis)
    line = OPERATIONS["power"](base, linspace(start, stop, num, endpoint, axis=axis))
    return line if dtype is None else _in_dtype(line, np.dtype(dtype))


@_creates(np.geomspace)
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """`num` numbers from `start` to `stop`, each the same multiple of the one before."""
    num = operator.index(num)
    intervals = num - 1 if endpoint else num

    def record(a: Atom, b: Atom) -> Atom:
        dtype = np.result_type(a.aval.dtype, b.aval.dtype, float)
        shape = np.broadcast_shapes(a.aval.shape, b.aval.shape)
        a, b = [broadcast_to_shape(_as_array(cast_to(v, dtype)), shape) for v in (a, b)]
        # Turned so that the first is positive: only then is the logarithm of the other unique.
        unit = (ew.unit if dtype.kind == "c" else ew.sign)(a)
        low, high = cast_to(ew.log(ew.abs_(a)), dtype), ew.log(ew.div(b, unit))
        exponents, _ = _spaced(low, high, num, intervals, endpoint)
        index = sources.iota((num, *shape), 0)
        first, last, unit = [broadcast_to_shape(v, (num, *shape)) for v in (a, b, unit)]
        line = ew.select(ew.eq(index, 0), first, ew.mul(unit, ew.exp(exponents)))
        at_end = ew.eq(index, intervals)
        return ew.select(at_end, last, line) if endpoint and num > 1 else line

    line = _record(record, start, stop)
    line = line if dtype is None else _in_dtype(line, np.dtype(dtype))
    return moveaxis(line, 0, axis) if axis else line


# Matrices


@_creates()
def eye(N: Any, M: Any = None, k: int = 0, dtype: Any = float, order: Any = "C", *,
        device: Any = None, like: Any = None) -> Any:  # fmt: skip
    """An N x M matrix (N x N) with ones on the k-th diagonal."""
    check_layout(order, "eye")
    refuse("eye", device=device, like=like)
    return _compared(ew.eq, N, M, k, dtype)


@_creates()
def identity(n: Any, dtype: Any = None, *, like: Any = None) -> Any:
    """The n x n identity matrix."""
    refuse("identity", like=like)
    return _compared(ew.eq, n, n, 0, dtype)


@_creates()
def tri(N: Any, M: Any = None, k: int = 0, dtype: Any = float, *, like: Any = None) -> Any:
    """An N x M matrix (N x N) with ones on and below the k-th diagonal."""
    refuse("tri", like=like)
    return _compared(ew.ge, N, M, k, dtype)


def _compared(compare: Any, n: Any, m: Any, k: int, dtype: Any) -> Any:
    """Where row + k compares with column, as numbers."""
    shape = static_shape((n, n if m is None else m))

    def record() -> Atom:
        rows, columns = sources.iota(shape, 0), sources.iota(shape, 1)
        return cast_to(compare(ew.add(rows, operator.index(k)), columns), np.dtype(dtype))

    return _by_rows(_record(record))


@_creates(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector as the columns of a matrix, falling (or rising) from left to right."""
    if len(shape_of(x)) != 1:
        raise ArgumentError(f"vander: x has shape {shape_of(x)}; give a vector.")
    n = shape_of(x)[0] if N is None else operator.index(N)

    def record(v: Atom) -> Atom:
        v = cast_to(v, np.result_type(v.aval.dtype, int))
        powers = [filled(v.aval, 1), v]
        while len(powers) < n:
            powers.append(ew.mul(powers[-1], v))
        columns = [structure.expand(p, (1,)) for p in powers[: max(n, 1)]]
        matrix = structure.concatenate(*(columns if increasing else columns[::-1]), axis=1)
        return matrix if n else structure.slice_axis(matrix, 1, 0, 0)

    return _record(record, x)


# Grids


@_creates(np.meshgrid, view="inner")
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """The coordinates of the points of a grid, from those along each axis."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is {indexing!r}; give 'xy' or 'ij'.")
    places = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        places[:2] = [1, 0]
    grids = [
        reshape(x, tuple([-1 if i == place else 1 for i in range(len(xi))]))
        for x, place in zip(xi, places, strict=True)
    ]
    grids = grids if sparse else list(broadcast_arrays(*grids))
    return tuple([apply(lambda v: v, x) if copy and isinstance(x, Tracer) else x for x in grids])


@_creates()
def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """The indices of a grid, one array for each axis (stacked, unless `sparse`)."""
    shape = static_shape(dimensions)

    def along(axis: int) -> Any:
        own = tuple([n if i == axis else 1 for i, n in enumerate(shape)]) if sparse else shape
        return _record(lambda: sources.iota(own, axis, np.dtype(dtype)))

    lines = [along(axis) for axis in range(len(shape))]
    return tuple(lines) if sparse else stack(lines)


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = float,
                 **kwargs: Any) -> Any:  # fmt: skip
    """`function` of the indices of a grid of this shape."""
    return function(*indices(shape, dtype=dtype), **kwargs)


alias("fromfunction", fromfunction)

__all__ = [
    "arange", "empty", "empty_like", "eye", "fromfunction", "full", "full_like", "geomspace",
    "identity", "indices", "linspace", "logspace", "meshgrid", "ones", "ones_like", "tri", "vander",
    "zeros", "zeros_like",
]  # fmt: skip

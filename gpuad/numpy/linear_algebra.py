"""Linear algebra: norms, powers and chains of matrix products."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import into, promote, shape_of
from gpuad.numpy._dispatch import (
    broadcast_together,
    cast_to,
    implements,
    normalize_axes,
    normalize_axis,
)
from gpuad.numpy._einsum import Labels, contract, contraction_path
from gpuad.numpy._matrices import identity_like
from gpuad.numpy.contraction import last_axis, matmul_of, outer
from gpuad.primitives import elementwise as ew
from gpuad.primitives import structure
from gpuad.primitives.linalg.solving import inverse
from gpuad.primitives.linalg.spectral import singular_values
from gpuad.primitives.reduction import reduce_max, reduce_min, reduce_norm, reduce_sum, spread
from gpuad.primitives.sources import stop_gradient
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

Axes = tuple[int, ...]


def _inexact(v: Atom) -> Atom:
    return v if v.aval.dtype.kind in "fc" else cast_to(v, np.dtype(float))


def _euclidean(v: Atom, axes: Axes) -> Atom:
    """The root of the sum of squares; its derivative at zero is zero."""
    if v.aval.dtype.kind == "c":
        squares = ew.add(ew.square(ew.real(v)), ew.square(ew.imag(v)))
        return ew.root_of_squares(reduce_sum(squares, axes=axes))
    return reduce_norm(v, axes=axes)


def _power_norm(v: Atom, p: float, axes: Axes) -> Atom:
    """(Σ |v|ᵖ)^(1/p), with a derivative of zero at zero."""
    total = reduce_sum(ew.power(ew.abs_(v), p), axes=axes)
    return ew.power(total, 1 / p) if p < 0 else ew.root_of_powers(total, p=p)


def _vector_norm_of(v: Atom, order: Any, axes: Axes, name: str) -> Atom:
    if not isinstance(order, int | float):
        raise ArgumentError(
            f"{name}: ord {order!r} is no norm of vectors; give a number or np.inf (or two axes, "
            "for a norm of matrices)."
        )
    if order == 2:
        return _euclidean(v, axes)
    if order == 0:
        count = ew.cast(ew.ne(v, 0), dtype=np.empty(0, v.aval.dtype).real.dtype)
        return reduce_sum(count, axes=axes)
    if order == 1:
        return reduce_sum(ew.abs_(v), axes=axes)
    if math.isinf(order):
        return _extreme(ew.abs_(v), order, axes, name)
    return _power_norm(v, float(order), axes)


def _extreme(v: Atom, order: float, axes: Axes, name: str) -> Atom:
    if any(v.aval.shape[axis] == 0 for axis in axes):
        if order > 0:
            return reduce_sum(v, axes=axes)  # zeros, as NumPy's
        raise ArgumentError(
            f"{name}: the smallest of no elements (shape {v.aval.shape}, axes {axes}) does not "
            "exist; give an array that is not empty."
        )
    return (reduce_max if order > 0 else reduce_min)(v, axes=axes)


def _matrix_norm_of(v: Atom, order: Any, axes: Sequence[int], name: str) -> Atom:
    rows, columns = axes
    if order in (None, "fro", "f"):
        return _euclidean(v, tuple(axes))
    if order in (2, -2, "nuc"):
        return _by_singular_values(v, order, axes, name)
    if order not in (1, -1, np.inf, -np.inf):
        raise ArgumentError(
            f"{name}: ord {order!r} is no norm of matrices; give 'fro', 'nuc', 1, -1, 2, -2, "
            "np.inf or -np.inf."
        )
    summed, other = (rows, columns) if abs(order) == 1 else (columns, rows)
    sums = reduce_sum(ew.abs_(v), axes=(summed,))
    return _extreme(sums, order, (other - (summed < other),), name)


def _by_singular_values(v: Atom, order: Any, axes: Sequence[int], name: str) -> Atom:
    """The sum of the singular values, or the largest or smallest; those that are zero up to
    rounding move nothing in the sum, which has its smallest subgradient there."""
    others = [i for i in range(v.aval.ndim) if i not in axes]
    s = singular_values(structure.transpose(v, perm=(*others, *axes)))
    last = s.aval.ndim - 1
    if order != "nuc":
        return _extreme(s, order, (last,), name)
    if not s.aval.shape[last]:
        return reduce_sum(s, axes=(last,))
    largest = spread(reduce_max(stop_gradient(s), axes=(last,)), s.aval, (last,))
    zero = ew.le(
        s, ew.mul(largest, max(v.aval.shape[i] for i in axes) * np.finfo(s.aval.dtype).eps)
    )
    return reduce_sum(ew.select(zero, stop_gradient(s), s), axes=(last,))


def _with_axes(result: Atom, axes: Axes, keepdims: bool) -> Atom:
    return structure.expand(result, axes) if keepdims else result


@implements(np.linalg.norm, name="linalg.norm")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (along one axis) or of matrices (two axes); of all elements by default.

    At zero the Euclidean and the Frobenius norm have the gradient 0 and a second derivative that is
    not finite; their even powers are smooth: ``norm(x)**2`` has the Hessian 2·I there.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(np.linalg.norm)(np.array([3.0, 4.0]))
    array([0.6, 0.8])
    >>> ad.grad(np.linalg.norm)(np.zeros(2))
    array([0., 0.])
    """
    ndim = len(shape_of(x))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    named = range(ndim) if axis is None else given
    axes = [normalize_axis(i, ndim, "norm") for i in named]
    over_all = axis is None and ord is None
    if not over_all and len(normalize_axes(tuple(axes), ndim, "norm")) not in (1, 2):
        raise ArgumentError(
            f"norm: {len(axes)} axes; give one axis for vectors or two for matrices."
        )

    def record(v: Atom) -> Atom:
        v = _inexact(v)
        if over_all or (ord is None and len(axes) == 1):
            result = _euclidean(v, tuple(axes))
        elif len(axes) == 1:
            result = _vector_norm_of(v, ord, tuple(axes), "norm")
        else:
            result = _matrix_norm_of(v, ord, axes, "norm")
        return _with_axes(result, tuple(axes), keepdims)

    return apply(record, x)


@implements(np.linalg.vector_norm, name="linalg.vector_norm")
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors along axes (of all elements, if none is given)."""
    axes = normalize_axes(axis, len(shape_of(x)), "vector_norm")
    return apply(
        lambda v: _with_axes(
            _vector_norm_of(_inexact(v), ord, axes, "vector_norm"), axes, keepdims
        ),
        x,
    )


@implements(np.linalg.matrix_norm, name="linalg.matrix_norm")
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices, along the last two axes."""
    if len(shape_of(x)) < 2:
        raise ArgumentError(f"matrix_norm: shape {shape_of(x)} is no matrix; give two axes.")
    return norm(x, ord, (-2, -1), keepdims)


@implements(np.linalg.multi_dot, name="linalg.multi_dot")
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """The product of several matrices, in the order that costs least; the ends may be vectors."""
    arrays = list(arrays)
    shapes = [shape_of(x) for x in arrays]
    last = len(arrays) - 1
    fits = [len(s) == 2 or (len(s) == 1 and i in (0, last)) for i, s in enumerate(shapes)]
    if len(arrays) < 2 or not all(fits):
        raise ArgumentError(
            f"multi_dot: shapes {', '.join(map(str, shapes))}; give two or more matrices (the "
            "first and the last may be vectors)."
        )
    for x, y in itertools.pairwise(shapes):
        if x[-1] != y[0]:
            raise ArgumentError(
                f"multi_dot: shapes {x} and {y} follow each other and do not match; transpose one."
            )
    terms: list[Labels] = [(i, i + 1) for i in range(len(arrays))]
    terms[0] = terms[0][2 - len(shapes[0]) :]
    terms[-1] = terms[-1][: len(shapes[-1])]
    output = (*terms[0][: len(shapes[0]) - 1], *terms[-1][1:])
    text = ",".join(["".join([chr(ord("a") + i) for i in term]) for term in terms])
    path = contraction_path(
        f"{text}->{''.join([chr(ord('a') + i) for i in output])}", tuple(shapes), None
    )
    return into(apply(lambda *vs: contract(promote(vs), terms, output, path), *arrays), out)


@implements(np.linalg.matrix_power, name="linalg.matrix_power", view="inner")
def matrix_power(a: Any, n: Any) -> Any:
    """The n-th power of square matrices, by repeated squaring; of the inverse, if n is negative."""
    n = operator.index(n)
    shape = shape_of(a)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ArgumentError(f"matrix_power: shape {shape} is no square matrix; give one.")
    if n == 1:
        return a  # itself, as NumPy's
    return _power_of(a, n)


@implements(name="_power_of")
def _power_of(a: Any, n: int) -> Any:
    if n < 0:
        return apply(lambda v: _power(inverse(_inexact(v)), -n), a)
    return apply(lambda v: identity_like(v) if n == 0 else _power(v, n), a)


def _power(v: Atom, n: int) -> Atom:
    if n == 1:
        return v
    half = _power(v, n // 2)
    square = matmul_of(half, half)
    return matmul_of(square, v) if n % 2 else square


# Diagonals, cross and outer products of vectors


@implements(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """The sum along a diagonal of two axes."""
    ndim = len(shape_of(a))
    if ndim < 2 or len(normalize_axes((axis1, axis2), ndim, "trace")) != 2:
        raise ArgumentError(f"trace: an array of shape {shape_of(a)} is no matrix; give two axes.")
    i, j = [normalize_axis(axis, ndim, "trace") for axis in (axis1, axis2)]

    def record(v: Atom) -> Atom:
        # Small integers are summed as the platform's, as in np.sum.
        summed = np.add.reduce(np.empty(0, v.aval.dtype)).dtype
        v = cast_to(v, summed if dtype is None else np.dtype(dtype))
        diagonal = structure.diagonal(v, operator.index(offset), i, j)
        return reduce_sum(diagonal, axes=(ndim - 2,))

    return into(apply(record, a), out)


@implements(np.linalg.trace, name="linalg.trace")
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum along a diagonal of the last two axes."""
    return trace(x, offset, -2, -1, dtype)


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross products of vectors of three components."""
    if axis is not None:
        axisa = axisb = axisc = axis

    def record(x: Atom, y: Atom) -> Atom:
        x, y = promote([x, y])
        x, y = last_axis(x, axisa, "cross"), last_axis(y, axisb, "cross")
        if x.aval.shape[-1:] != (3,) or y.aval.shape[-1:] != (3,):
            raise ArgumentError(
                f"cross: vectors of {x.aval.shape[-1]} and {y.aval.shape[-1]} components; give "
                "three (of two, write a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])."
            )
        x, y = broadcast_together((x, y), "cross")
        product = ew.sub(ew.mul(_turned(x, 1), _turned(y, 2)), ew.mul(_turned(x, 2), _turned(y, 1)))
        last = product.aval.ndim - 1
        return structure.move_axis(product, last, normalize_axis(axisc, last + 1, "cross"))

    return apply(record, a, b)


def _turned(v: Atom, n: int) -> Atom:
    """The last axis moved round by n places."""
    last, size = v.aval.ndim - 1, v.aval.shape[-1]
    parts = [structure.slice_axis(v, last, n, size), structure.slice_axis(v, last, 0, n)]
    return structure.concatenate(*parts, axis=last)


@implements(np.linalg.cross, name="linalg.cross")
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross products of vectors of three components along an axis."""
    return cross(x1, x2, axis=axis)


@implements(np.linalg.outer, name="linalg.outer")
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """The product of every element of a vector with every element of another."""
    if len(shape_of(x1)) != 1 or len(shape_of(x2)) != 1:
        raise ArgumentError(
            f"linalg.outer: shapes {shape_of(x1)} and {shape_of(x2)}; give two vectors."
        )
    return outer(x1, x2)


@implements(np.linalg.diagonal, name="linalg.diagonal", view="inner")
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """A diagonal of the last two axes."""
    return OPERATIONS["diagonal"](x, offset, -2, -1)


__all__ = ["cross", "trace"]

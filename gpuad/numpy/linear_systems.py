"""Linear systems: solving them, inverses, determinants, least squares."""

import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import aval_of, broadcast_to_shape, implements
from gpuad.numpy._matrices import (
    as_columns,
    factors,
    identity_like,
    matched,
    matrix,
    number,
    square,
    together,
    unmatched,
)
from gpuad.primitives import elementwise as ew
from gpuad.primitives.linalg.determinant import determinant, log_determinant
from gpuad.primitives.linalg.factorization import hermitian
from gpuad.primitives.linalg.matrices import product
from gpuad.primitives.linalg.solving import factored_solve, inverse, pseudo_inverse
from gpuad.primitives.linalg.spectral import rank, singular_values
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.sources import stop_gradient
from gpuad.primitives.structure import reshape, slice_axis
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


def inverse_if_any(v: Atom) -> Atom:
    """The inverses of square matrices; what dividing by zero gives for those that have none."""
    (v,) = together([v], "inv")
    v = square(v, "inv")
    packed, _, perm = factors(v)
    one = identity_like(v)
    return factored_solve(v, packed, perm, one, kind="lu", transposed=False, refusing=False)


def solve_of(a: Atom, b: Atom, name: str) -> Atom:
    """x with a x = b; one right-hand side if `b` has one axis."""
    a, b = together([a, b], name)
    a = square(a, name)
    if not b.aval.ndim:
        raise ArgumentError(f"{name}: the right-hand side is a number; give a vector or a matrix.")
    sides = as_columns(b)
    matrices, columns, size = matched(a, sides, name)
    packed, _, perm = factors(matrices)
    x = factored_solve(matrices, packed, perm, columns, kind="lu", transposed=False, refusing=True)
    x = unmatched(x, size, sides.aval.shape)
    return reshape(x, shape=x.aval.shape[:-1]) if b.aval.ndim == 1 else x


@implements(np.linalg.solve, name="linalg.solve")
def solve(a: Any, b: Any) -> Any:
    """x with ``a @ x = b``, for square matrices `a` (..., n, n) and `b` (n,) or (..., n, k).

    `a` is factored once; x' = a⁻¹ (b' - a' x) is solved with the same factors, and so is every
    derivative of it. A singular matrix raises `numpy.linalg.LinAlgError` on the CPU.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> A = np.array([[2.0, 0.0], [0.0, 4.0]])
    >>> ad.grad(lambda b: np.linalg.solve(A, b).sum())(np.ones(2))
    array([0.5 , 0.25])
    """
    return apply(lambda x, y: solve_of(x, y, "solve"), a, b)


@implements(np.linalg.inv, name="linalg.inv")
def inv(a: Any) -> Any:
    """The inverses of square matrices; (a⁻¹)' = -a⁻¹ a' a⁻¹."""
    return apply(lambda v: inverse(square(v, "inv")), a)


@implements(np.linalg.det, name="linalg.det")
def det(a: Any) -> Any:
    """The determinants of square matrices.

    A determinant is a polynomial of the elements: its derivatives are right where the matrix is
    singular, too. Where it may overflow, take `slogdet`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> print(ad.grad(np.linalg.det)(np.array([[1.0, 2.0], [2.0, 4.0]])))
    [[ 4. -2.]
     [-2.  1.]]
    """

    def record(v: Atom) -> Atom:
        v = square(v, "det")
        packed, pivots, _ = factors(v)
        return determinant(v, packed, pivots)

    return apply(record, a)


@implements(np.linalg.slogdet, name="linalg.slogdet")
def slogdet(a: Any) -> Any:
    """The sign and the logarithm of the absolute value of determinants; (log|det a|)' =
    Re tr(a⁻¹ a')."""

    def record(v: Atom) -> tuple[Atom, Atom]:
        v = square(v, "slogdet")
        return tuple(log_determinant(v, *factors(v)))

    return SlogdetResult(*apply(record, a))


def pinv_of(v: Atom, rcond: float, is_hermitian: bool, name: str) -> Atom:
    v = matrix(v, name)
    if not v.aval.size:
        return reshape(v, shape=(*v.aval.shape[:-2], v.aval.shape[-1], v.aval.shape[-2]))
    v = square(v, name) if is_hermitian else v
    return pseudo_inverse(hermitian(v) if is_hermitian else v, rcond=rcond, hermitian=is_hermitian)


_NOT_GIVEN: Any = np._NoValue


@implements(np.linalg.pinv, name="linalg.pinv")
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _NOT_GIVEN) -> Any:
    """The Moore-Penrose pseudo-inverses of matrices.

    Singular values up to `rcond` (`rtol`) times the largest count as zero. The derivative (Golub
    and Pereyra, 1973) is that among matrices of the same rank.
    """
    if rcond is not None and rtol is not _NOT_GIVEN:
        raise ArgumentError("pinv: rcond and rtol are the same; give one of them.")
    if rcond is None and rtol is None:
        rcond = max(shape_of(a)[-2:], default=1) * np.finfo(_lapack_dtype(a)).eps
    elif rcond is None:
        rcond = 1e-15 if rtol is _NOT_GIVEN else rtol
    limit = number(rcond, "pinv", "rcond")
    return apply(lambda v: pinv_of(v, limit, bool(hermitian), "pinv"), a)


def _lapack_dtype(a: Any) -> np.dtype:
    dtype = aval_of(a).dtype
    return dtype if dtype.kind in "fc" else np.dtype(float)


@implements(np.linalg.lstsq, name="linalg.lstsq")
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The solution of least squares of ``a @ x = b``, its residuals, the rank, the singular values.

    The solution is that of the smallest norm, a⁺ b. Residuals are given where there are more
    equations than unknowns. The rank is an integer and has no derivative.
    """
    m, n = _system(a, b)
    eps = np.finfo(_lapack_dtype(a)).eps
    limit = max(m, n) * eps if rcond is None else number(rcond, "lstsq", "rcond")
    limit = eps if limit < 0 else limit

    def record(x: Atom, y: Atom) -> tuple[Atom, ...]:
        x, y = together([x, y], "lstsq")
        sides = as_columns(y)
        found = product(pinv_of(x, limit, False, "lstsq"), sides)
        found = ew.add(found, _nan_unless_finite(x, found))
        rest = ew.abs_(ew.sub(sides, product(x, found)))
        squares = reduce_sum(ew.square(rest), axes=(0,))
        s = singular_values(x)
        if y.aval.ndim == 1:
            found = reshape(found, shape=(n,))
        return (
            found,
            slice_axis(squares, 0, 0, squares.aval.size if m > n else 0),
            ew.cast(rank(s, limit), dtype=np.dtype(np.int32)),
            s,
        )

    return apply(record, a, b)


def _nan_unless_finite(x: Atom, like: Atom) -> Atom:
    """Zeros, or NaNs if an element of `x` is not finite: its pseudo-inverse would be zero."""
    zero = reduce_sum(ew.mul(stop_gradient(x), 0.0), axes=tuple(range(x.aval.ndim)))
    return broadcast_to_shape(zero, like.aval.shape)


def _system(a: Any, b: Any) -> tuple[int, int]:
    shape, sides = shape_of(a), shape_of(b)
    if len(shape) != 2 or len(sides) not in (1, 2) or sides[0] != shape[0]:
        raise ArgumentError(
            f"lstsq: shapes {shape} and {sides}; give one matrix (m, n) and right-hand sides (m,) "
            "or (m, k), or map over a batch with ad.vmap."
        )
    return shape


@implements(np.linalg.tensorsolve, name="linalg.tensorsolve")
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """x with ``tensordot(a, x, x.ndim) = b``."""
    if axes is not None:
        order = [i for i in range(len(shape_of(a))) if i not in axes] + list(axes)
        a = OPERATIONS["transpose"](a, order)
    shape, sides = shape_of(a), shape_of(b)
    unknown = shape[len(sides) :]
    count = int(np.prod(unknown))
    if count != int(np.prod(sides)) or count * count != int(np.prod(shape)):
        raise ArgumentError(
            f"tensorsolve: shapes {shape} and {sides} make no square system; the product of the "
            "first axes of a must be that of the last."
        )
    reshaped = OPERATIONS["reshape"]
    x = solve(reshaped(a, (count, count)), reshaped(b, (count,)))
    return reshaped(x, unknown)


@implements(np.linalg.tensorinv, name="linalg.tensorinv")
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of `a` as a map of its last axes to its first `ind` ones."""
    ind = operator.index(ind)
    shape = shape_of(a)
    rows, columns = shape[:ind], shape[ind:]
    if ind <= 0 or np.prod(rows) != np.prod(columns):
        raise ArgumentError(
            f"tensorinv: shape {shape} and ind={ind}; the product of the first ind axes must be "
            "that of the others."
        )
    count = int(np.prod(rows))
    flat = OPERATIONS["reshape"](a, (count, count))
    return OPERATIONS["reshape"](inv(flat), (*columns, *rows))


__all__: list[str] = []

"""Linear systems and factored matrices, as in `scipy.linalg`.

What only permits or checks (``overwrite_a``, ``check_finite``, ``lapack_driver``) is taken and
changes nothing for traced arrays.
"""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.aval import real_dtype
from gpuad.ir.graph import Atom
from gpuad.numpy import linear_systems
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import aval_of, implements, stacked
from gpuad.numpy._matrices import (
    as_columns,
    factors,
    hermitian_of,
    matched,
    matrix,
    number,
    square,
    together,
    unmatched,
)
from gpuad.primitives import elementwise as ew
from gpuad.primitives.linalg.factorization import cholesky, permutation, permuted
from gpuad.primitives.linalg.factorization import lu as lu_of
from gpuad.primitives.linalg.matrices import (
    adjoint,
    along_columns,
    conjugate,
    diagonal,
    lower_triangle,
    on_diagonal,
    upper_triangle,
    where_places,
)
from gpuad.primitives.linalg.solving import factored_solve, triangular_solve
from gpuad.primitives.linalg.spectral import rank, singular_values
from gpuad.primitives.sorting import argsort
from gpuad.primitives.sources import iota, stop_gradient
from gpuad.primitives.structure import broadcast, reshape, slice_axis
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

_STRUCTURES = {
    "diagonal": "diagonal", "pos": "pos", "positive definite": "pos", "sym": "sym",
    "symmetric": "sym", "her": "her", "hermitian": "her", "gen": "gen", "general": "gen",
    "upper triangular": "upper", "lower triangular": "lower", "tridiagonal": "tridiagonal",
    "banded": "gen",
}  # fmt: skip


def _columns(solution: Any, b: Atom, size: int) -> Atom:
    """The solutions in the shape of the right-hand sides `b`."""
    x = unmatched(solution, size, as_columns(b).aval.shape)
    return reshape(x, shape=x.aval.shape[:-1]) if b.aval.ndim == 1 else x


@implements(name="scipy.linalg.solve")
def solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, assume_a: Any = None, transposed: bool = False,
) -> Any:  # fmt: skip
    """x with ``a @ x = b``, as `scipy.linalg.solve`: factored once, for the value and derivatives.

    ``assume_a="pos"`` takes Cholesky's factorisation, and its gradient by `a` is Hermitian. Of a
    diagonal, triangular or tridiagonal matrix the elements beside the structure are not read. A
    singular matrix raises `numpy.linalg.LinAlgError` on the CPU, but for a zero on the diagonal of
    a diagonal one, which gives what dividing by it does.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> K = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> ad.grad(lambda y: y @ ad.scipy.linalg.solve(K, y, assume_a="pos"))(np.array([3.0, 0.0]))
    array([ 4., -2.])
    """
    structure = _STRUCTURES.get(assume_a or "gen")
    if structure is None:
        raise ArgumentError(
            f"solve: assume_a={assume_a!r} is none of {', '.join(map(repr, _STRUCTURES))}."
        )

    def record(v: Atom, sides: Atom) -> Atom:
        v, sides = together([v, sides], "solve")
        v, y, size = matched(square(v, "solve"), as_columns(sides), "solve")
        return _columns(_solved(v, y, structure, lower, transposed), sides, size)

    return apply(record, a, b)


def _solved(a: Atom, b: Atom, structure: str, lower: bool, transposed: bool) -> Atom:
    if structure == "diagonal":
        return ew.div(b, along_columns(diagonal(a), b))
    if structure in ("upper", "lower"):
        is_lower = structure == "lower"
        return triangular_solve(a, b, lower=is_lower, transposed=transposed, unit=False)
    if structure == "sym" and a.aval.dtype.kind == "c":
        raise UnsupportedError(
            "solve(assume_a='sym') of a complex matrix is not recorded; write assume_a='gen' for "
            "a symmetric one, or 'her' for a Hermitian one."
        )
    if structure == "tridiagonal":
        a = ew.inside(where_places(a.aval, _are_neighbours), a)
    elif structure != "gen":
        a = hermitian_of(a, lower, "solve")
    if structure == "pos":
        factor = cholesky(stop_gradient(a))
        none = iota(a.aval.shape[:-1], a.aval.ndim - 2)
        return factored_solve(
            a, factor, none, b, kind="cholesky", transposed=transposed, refusing=True
        )
    packed, _, perm = factors(a)
    return factored_solve(a, packed, perm, b, kind="lu", transposed=transposed, refusing=True)


def _are_neighbours(i: Atom, j: Atom) -> Atom:
    return ew.le(ew.abs_(ew.sub(i, j)), 1)


@implements(name="scipy.linalg.solve_triangular")
def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    """x with ``a @ x = b`` for a triangular `a`, of which only that triangle is read.

    A zero on the diagonal raises `numpy.linalg.LinAlgError` on the CPU.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> L = np.array([[2.0, 0.0], [1.0, 1.0]])
    >>> def f(b):
    ...     return ad.scipy.linalg.solve_triangular(L, b, lower=True).sum()
    >>> ad.grad(f)(np.ones(2))
    array([0., 1.])
    """
    kind = {0: "N", 1: "T", 2: "C"}.get(trans, trans)
    if kind not in ("N", "T", "C"):
        raise ArgumentError(f"solve_triangular: trans={trans!r}; give 0, 1, 2, 'N', 'T' or 'C'.")

    def record(v: Atom, sides: Atom) -> Atom:
        v, sides = together([v, sides], "solve_triangular")
        v = square(v, "solve_triangular")
        v, y, size = matched(v, as_columns(sides), "solve_triangular")
        v = conjugate(v) if kind == "C" else v
        params = {"lower": bool(lower), "transposed": kind != "N", "unit": bool(unit_diagonal)}
        return _columns(triangular_solve(v, y, **params), sides, size)

    return apply(record, a, b)


# Cholesky


@implements(name="scipy.linalg.cholesky")
def cholesky_(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """The upper triangular U with ``U.conj().T @ U = a``, or with `lower` L = U.conj().T."""
    return apply(lambda v: _cholesky(v, lower, "cholesky"), a)


def _cholesky(v: Atom, lower: bool, name: str) -> Atom:
    factor = cholesky(hermitian_of(v, lower, name))
    return factor if lower else adjoint(factor)


@implements(name="scipy.linalg.cho_factor")
def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """Cholesky's factor for `cho_solve`, and whether it is the lower one; zero beside it.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> def quadratic(K):
    ...     return ad.scipy.linalg.cho_solve(ad.scipy.linalg.cho_factor(K), np.ones(2)).sum()
    >>> ad.grad(quadratic)(2 * np.eye(2))
    array([[-0.25, -0.25],
           [-0.25, -0.25]])
    """
    return apply(lambda v: _cholesky(v, lower, "cho_factor"), a), bool(lower)


@implements(name="scipy.linalg.cho_solve")
def cho_solve(
    c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """x with ``a @ x = b``, from what `cho_factor` gives for `a`."""
    factor, lower = c_and_lower
    factor = stacked(factor)

    def record(c: Atom, sides: Atom) -> Atom:
        c, sides = together([c, sides], "cho_solve")
        c, y, size = matched(square(c, "cho_solve"), as_columns(sides), "cho_solve")
        params = {"lower": bool(lower), "unit": False}
        first, last = (c, conjugate(c)) if lower else (conjugate(c), c)
        y = triangular_solve(first, y, transposed=not lower, **params)
        return _columns(triangular_solve(last, y, transposed=bool(lower), **params), sides, size)

    return apply(record, factor, b)


# LU


@implements(name="scipy.linalg.lu_factor")
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """L and U of a matrix in one array, and the interchanges of rows, for `lu_solve`."""
    return apply(lambda v: tuple(lu_of(matrix(v, "lu_factor"))[:2]), a)


@implements(name="scipy.linalg.lu_solve")
def lu_solve(
    lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """x with ``a @ x = b`` (with `trans` 1 or 2, that of ``a.T`` or ``a.conj().T``), from what
    `lu_factor` gives for `a`."""
    packed, pivots = map(stacked, lu_and_piv)
    if trans not in (0, 1, 2):
        raise ArgumentError(f"lu_solve: trans={trans!r}; give 0, 1 or 2.")

    def record(v: Atom, p: Atom, sides: Atom) -> Atom:
        v, sides = together([v, sides], "lu_solve")
        v, y, size = matched(square(v, "lu_solve"), as_columns(sides), "lu_solve")
        perm = permutation(p, rows=v.aval.shape[-1])
        v = conjugate(v) if trans == 2 else v
        return _columns(_lu_solved(v, perm, y, trans != 0), sides, size)

    return apply(record, packed, pivots, b)


def _lu_solved(packed: Atom, perm: Atom, b: Atom, transposed: bool) -> Atom:
    steps = [{"lower": True, "unit": True}, {"lower": False, "unit": False}]
    if transposed:
        for step in reversed(steps):
            b = triangular_solve(packed, b, transposed=True, **step)
        return permuted(b, argsort(perm, axis=perm.aval.ndim - 1))
    b = permuted(b, perm)
    for step in steps:
        b = triangular_solve(packed, b, transposed=False, **step)
    return b


@implements(name="scipy.linalg.lu")
def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True,
    p_indices: bool = False,
) -> Any:  # fmt: skip
    """The permutation P, L with ones on its diagonal, and U, ``P @ L @ U = a``."""

    def record(v: Atom) -> tuple[Atom, ...]:
        packed, _, perm = lu_of(matrix(v, "lu"))
        m, n = packed.aval.shape[-2:]
        last, k = packed.aval.ndim - 1, min(m, n)
        below = lower_triangle(slice_axis(packed, last, 0, k), strict=True)
        lower = on_diagonal(below, 1.0, below)
        upper = upper_triangle(slice_axis(packed, last - 1, 0, k))
        back = argsort(perm, axis=perm.aval.ndim - 1)
        if permute_l:
            return permuted(lower, back), upper
        if p_indices:
            return ew.cast(back, dtype=np.dtype(np.int32)), lower, upper
        shape = (*perm.aval.shape, m)
        source = broadcast(back, shape=shape, dims=tuple(range(len(shape) - 1)))
        moved = ew.eq(source, iota(shape, len(shape) - 1))
        return ew.cast(moved, dtype=real_dtype(packed.aval.dtype)), lower, upper

    return apply(record, a)


# Inverses, determinants, least squares


@implements(name="scipy.linalg.inv")
def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True, assume_a: Any = None,
        lower: bool = False) -> Any:  # fmt: skip
    """The inverses of square matrices."""
    if assume_a not in (None, "gen", "general"):
        raise UnsupportedError(f"inv(assume_a={assume_a!r}) is not recorded; leave assume_a out.")
    return linear_systems.inv(a)


@implements(name="scipy.linalg.det")
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinants of square matrices, with derivatives at singular ones, too; in double
    precision, as SciPy's."""
    found = linear_systems.det(a)
    return OPERATIONS["astype"](found, np.result_type(found.dtype, np.float64))


@implements(name="scipy.linalg.pinv")
def pinv(a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False,
         check_finite: bool = True) -> Any:  # fmt: skip
    """The pseudo-inverses of matrices; singular values up to `rtol` times the largest are zero."""
    if atol is not None and number(atol, "pinv", "atol"):
        raise UnsupportedError(
            "pinv(atol=...) is not recorded; give rtol, relative to the largest."
        )
    dtype = aval_of(a).dtype
    eps = np.finfo(dtype if dtype.kind in "fc" else float).eps
    limit = max(shape_of(a)[-2:], default=1) * eps if rtol is None else number(rtol, "pinv", "rtol")
    found = linear_systems.pinv(a, limit)
    if not return_rank:
        return found
    return found, apply(lambda v: rank(singular_values(matrix(v, "pinv")), limit), a)


@implements(name="scipy.linalg.lstsq")
def lstsq(
    a: Any, b: Any, cond: Any = None, overwrite_a: bool = False, overwrite_b: bool = False,
    check_finite: bool = True, lapack_driver: Any = None,
) -> Any:  # fmt: skip
    """The solution of least squares, its residuals, the rank and the singular values."""
    x, residuals, found, values = linear_systems.lstsq(a, b, -1 if cond is None else cond)
    if len(shape_of(b)) == 1 and shape_of(residuals)[0]:
        residuals = residuals[0]
    return x, residuals, OPERATIONS["astype"](found, np.int64), values

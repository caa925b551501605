"""Values of matrix factorisations: LAPACK through NumPy and SciPy, or CuPy's libraries.

NumPy has no LU factorisation and no triangular solve, and SciPy's take one matrix at a time. So
large matrices go one by one, and many small ones all together, column by column.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gpuad.errors import UnsupportedError

SMALL = 16
"""Up to so many rows, batches of matrices are eliminated all together."""


def together(shape: Sequence[int]) -> bool:
    """Whether the matrices are small and many."""
    return shape[-1] <= SMALL and math.prod(shape[:-2]) > 8


BATCH_BYTES = 1 << 19
"""About so many bytes of matrices are taken at a time where many arrays are made beside them."""


def at_a_time(shape: Sequence[int], itemsize: int) -> tuple[int, int]:
    """An axis of a batch and how many indices of it are taken at a time, for one index of the axes
    before it."""
    axis, last = 0, len(shape) - 3
    while axis < last and itemsize * math.prod(shape[axis + 1 :]) > BATCH_BYTES:
        axis += 1
    size = itemsize * math.prod(shape[axis + 1 :])
    return axis, max(1, min(shape[axis], BATCH_BYTES // max(size, 1)))


def batches(shape: Sequence[int], itemsize: int) -> Iterator[tuple[Any, ...]]:
    """Indices of the parts of a batch of matrices that are taken one after another."""
    axis, count = at_a_time(shape, itemsize)
    for i in np.ndindex(*shape[:axis]):
        for start in range(0, shape[axis], count):
            yield *i, slice(start, start + count)


def scipy_linalg(xp: Any) -> Any:
    """`scipy.linalg`, or CuPy's."""
    if xp is np:
        import scipy.linalg

        return scipy.linalg
    import cupyx.scipy.linalg

    return cupyx.scipy.linalg


def of_scipy(xp: Any, name: str) -> Callable[..., Any]:
    """A function of `scipy.linalg`, which CuPy may not have."""
    found = getattr(scipy_linalg(xp), name, None)
    if found is None:
        raise UnsupportedError(
            f"scipy.linalg.{name} is not there for CuPy arrays; call it on the host through "
            f"gpuad.external, or on NumPy arrays (cupy.asnumpy)."
        )
    return found


def each(function: Callable[..., Any], lead: tuple[int, ...], *arrays: Any) -> None:
    """Calls a function of matrices for each index of the leading axes."""
    for i in np.ndindex(lead):
        function(*[x[i] for x in arrays])


# Triangular systems


def solve_triangular(
    xp: Any, a: Any, b: Any, lower: bool = True, transposed: bool = False, unit: bool = False
) -> Any:
    """x with a x = b, or aᵀ x = b, from one triangle of `a`."""
    if not b.size:
        return xp.zeros(b.shape, b.dtype)
    if xp is np and not unit:
        _refuse_singular(a)
    return substituted(xp, a, b, lower, transposed, unit)


def _refuse_singular(a: np.ndarray) -> None:
    zero = np.einsum("...ii->...i", a) == 0
    if zero.any():
        k = int(np.argwhere(zero)[0][-1])
        raise np.linalg.LinAlgError(
            f"singular matrix: element {k} of the diagonal of the triangular matrix is 0"
        )


def substituted(
    xp: Any, a: Any, b: Any, lower: bool = True, transposed: bool = False, unit: bool = False
) -> Any:
    """The solution of triangular systems. A zero on the diagonal gives what dividing by it does."""
    if xp is not np:
        trans = int(transposed)
        solve = scipy_linalg(xp).solve_triangular
        return solve(a, b, trans=trans, lower=lower, unit_diagonal=unit)
    out = b.copy(order="C")
    substitute(a, out, lower, transposed, unit)
    return out


def substitute(
    a: Any, x: Any, lower: bool = True, transposed: bool = False, unit: bool = False,
    conjugated: bool = False,
) -> None:  # fmt: skip
    """Solves triangular systems in place, for right-hand sides in C order; `conjugated`: with the
    conjugate of the matrices that are `transposed`."""
    if together(a.shape):
        a = a.swapaxes(-1, -2) if transposed else a
        _substitute_together(a.conj() if conjugated else a, x, lower ^ transposed, unit)
        return
    from scipy.linalg import blas

    (trsm,) = blas.get_blas_funcs(("trsm",), (a, x))

    def one(a: Any, x: Any) -> None:
        # BLAS works by columns: a x = b is xᵀ aᵀ = bᵀ there, solved from the right and in place.
        by_rows = a.flags.c_contiguous
        turned = transposed ^ (not by_rows)
        if conjugated and not turned:  # BLAS has no conjugate that is not transposed
            a = a.conj()
        trsm(1.0, a.T if by_rows else a, x.T, side=1, lower=lower ^ by_rows, diag=unit,
             trans_a=2 if conjugated and turned else turned, overwrite_b=True)  # fmt: skip

    with np.errstate(all="ignore"):
        each(one, a.shape[:-2], a, x)


def _substitute_together(a: Any, x: Any, lower: bool, unit: bool) -> None:
    n = a.shape[-1]
    rows = range(n) if lower else range(n - 1, -1, -1)
    with np.errstate(all="ignore"):
        for i in rows:
            known = slice(0, i) if lower else slice(i + 1, n)
            x[..., i, :] -= np.einsum("...k,...kj->...j", a[..., i, known], x[..., known, :])
            if not unit:
                x[..., i, :] /= a[..., i, i, None]


# LU with partial pivoting


def lu(xp: Any, a: Any) -> tuple[Any, Any, Any]:
    """L below the diagonal and U from it on, pivots as in LAPACK (from 0), and the permutation p
    with a[p] = L U."""
    m, n = a.shape[-2:]
    packed = xp.array(a, order="C")
    pivots = xp.zeros((*a.shape[:-2], min(m, n)), np.int32)
    if packed.size:
        if together(packed.shape):
            _eliminate_together(xp, packed, pivots)
        elif xp is np:
            _eliminate_each(packed, pivots)
        else:
            each(_eliminate_on_gpu, a.shape[:-2], packed, pivots)
    return packed, pivots, permutation(xp, pivots, m)


def _eliminate_each(packed: Any, pivots: Any) -> None:
    from scipy.linalg import lapack

    (getrf,) = lapack.get_lapack_funcs(("getrf",), (packed,))

    def one(x: Any, p: Any) -> None:
        if x.shape[0] != x.shape[1]:
            x[...], p[...], _ = getrf(x)
            return
        transpose_in_place(x)  # LAPACK works by columns
        _, p[...], _ = getrf(x.T, overwrite_a=True)
        transpose_in_place(x)

    each(one, packed.shape[:-2], packed, pivots)


BLOCK = 64
"""Rows of a square of elements that are moved at once, so that they stay in the cache."""


def transpose_in_place(x: Any) -> None:
    """Transposes a square matrix without another: 3 ms for 2000 × 2000."""
    n = len(x)
    for i in range(0, n, BLOCK):
        rows = slice(i, i + BLOCK)
        x[rows, rows] = x[rows, rows].T.copy()
        for j in range(i + BLOCK, n, BLOCK):
            across = slice(j, j + BLOCK)
            kept = x[rows, across].T.copy()
            x[rows, across] = x[across, rows].T
            x[across, rows] = kept


def mirror_in_place(x: Any) -> None:
    """Makes matrices Hermitian, from their lower triangles."""
    n = x.shape[-1]
    for i in range(0, n, BLOCK):
        rows, after = slice(i, i + BLOCK), slice(i + BLOCK, n)
        square = x[..., rows, rows]
        across = np.tril(square, -1).swapaxes(-1, -2)
        square[...] = np.tril(square)
        square += across.conj()
        x[..., rows, after] = x[..., after, rows].swapaxes(-1, -2)
        if x.dtype.kind == "c":
            np.conjugate(x[..., rows, after], out=x[..., rows, after])
    make_diagonal_real(np, x)


def make_diagonal_real(xp: Any, x: Any) -> None:
    """As it is in a Hermitian matrix: LAPACK does not read the imaginary part either."""
    if x.dtype.kind == "c":
        i = xp.arange(x.shape[-1])
        x[..., i, i] = x[..., i, i].real


def _eliminate_on_gpu(x: Any, p: Any) -> None:
    import warnings

    import cupy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a zero pivot is found by what follows
        x[...], p[...] = scipy_linalg(cupy).lu_factor(x, check_finite=False)


def _eliminate_together(xp: Any, packed: Any, pivots: Any) -> None:
    m, n = packed.shape[-2:]
    x, pivots = packed.reshape((-1, m, n)), pivots.reshape((-1, min(m, n)))
    each_one = xp.arange(len(x))
    for k in range(min(m, n)):
        p = xp.argmax(_magnitude(x[:, k:, k]), axis=-1) + k
        pivots[:, k] = p
        rows = x[each_one, p]
        x[each_one, p] = x[:, k]
        x[:, k] = rows
        pivot = x[:, k, k]
        with np.errstate(all="ignore"):
            x[:, k + 1 :, k] /= xp.where(pivot == 0, x.dtype.type(1), pivot)[:, None]
            x[:, k + 1 :, k + 1 :] -= x[:, k + 1 :, k, None] * x[:, k, None, k + 1 :]


def _magnitude(x: Any) -> Any:
    """What LAPACK compares to choose a pivot: |re| + |im|."""
    return abs(x.real) + abs(x.imag) if x.dtype.kind == "c" else abs(x)


def permutation(xp: Any, pivots: Any, m: int) -> Any:
    """The order of rows that interchanges with the pivots, one after the other, make."""
    flat = pivots.reshape((math.prod(pivots.shape[:-1]), pivots.shape[-1]))
    perm = xp.empty((len(flat), m), np.int64)
    perm[...] = xp.arange(m)
    each_one = xp.arange(len(flat))
    for k in range(flat.shape[1]):
        p = flat[:, k]
        other = perm[each_one, p]
        perm[each_one, p] = perm[:, k]
        perm[:, k] = other
    return perm.reshape((*pivots.shape[:-1], m))


def solve_lu(xp: Any, packed: Any, perm: Any, b: Any, transposed: bool = False) -> Any:
    """x with a x = b, or aᵀ x = b, from the LU factorisation of `a`."""
    if not b.size:
        return xp.zeros(b.shape, b.dtype)
    if xp is np:
        return _solve_lu_in_place(packed, perm, b, transposed)
    if transposed:
        y = substituted(xp, packed, b, lower=False, transposed=True)
        y = substituted(xp, packed, y, transposed=True, unit=True)
        return _rows(xp, y, xp.argsort(perm, axis=-1))
    y = substituted(xp, packed, _rows(xp, b, perm), unit=True)
    return substituted(xp, packed, y, lower=False)


def _solve_lu_in_place(packed: Any, perm: Any, b: Any, transposed: bool) -> Any:
    if transposed:
        x = b.copy(order="C")
        substitute(packed, x, lower=False, transposed=True)
        substitute(packed, x, transposed=True, unit=True)
        return _rows(np, x, np.argsort(perm, axis=-1))
    x = _rows(np, b, perm)
    x = x if x.flags.c_contiguous else x.copy(order="C")
    substitute(packed, x, unit=True)
    substitute(packed, x, lower=False)
    return x


def solve_cholesky(xp: Any, factor: Any, b: Any, transposed: bool) -> Any:
    """x with L Lᴴ x = b; or, `transposed`, with its conjugate in place of the matrix."""
    conjugated = factor.dtype.kind == "c"
    turned = transposed and conjugated
    if xp is np:
        x = np.array(b, order="C")
        if turned:
            np.conjugate(x, out=x)
        substitute(factor, x)
        substitute(factor, x, transposed=True, conjugated=conjugated)
        return np.conjugate(x, out=x) if turned else x
    y = substituted(xp, factor, b.conj() if turned else b)
    x = substituted(xp, factor.conj() if conjugated else factor, y, transposed=True)
    return x.conj() if turned else x


def _rows(xp: Any, x: Any, perm: Any) -> Any:
    return xp.take_along_axis(x, xp.broadcast_to(perm[..., None], x.shape), axis=-2)


def refuse_singular_lu(packed: np.ndarray) -> None:
    """Raises the error of NumPy's solve, if a pivot is zero."""
    if (np.einsum("...ii->...i", packed) == 0).any():
        raise np.linalg.LinAlgError("Singular matrix")

"""The memory that linear algebra takes beside its operands and results.

On the CPU: NumPy copies one matrix of a batch after another into arrays for LAPACK, with room for
its result and LAPACK's own work. It computes in double precision whatever it is given, and converts
whole batches there and back. LAPACK's arrays are counted as its documentation states them (dgeev,
dgesdd, dsyevd and their complex forms), blocks of columns left out. `tracemalloc` does not see
them: resident memory does (``python -m benchmarks.matrix_memory``).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from gpuad.ir.aval import Aval
from gpuad.ir.graph import Equation
from gpuad.primitives.linalg import arrays

Workspace = Callable[[Equation, Sequence[Any]], int]
TALL = 11 / 6
"""Matrices with so many times more rows than columns (or columns than rows) are reduced by QR
before their singular values are computed (dgesdd), which takes more room."""
COLUMNS = 100
"""For how many columns, about, LAPACK's work for eigenvectors has room (dtrevc3)."""


def one_matrix(a: Aval) -> int:
    return math.prod(a.shape[-2:]) * a.dtype.itemsize


def columns(e: Equation, operands: Sequence[Any]) -> int:
    """Arrays of one number for each row of the matrices."""
    a = e.operands[0].aval
    return 8 * a.nbytes // max(a.shape[-1], 1)


def log_determinant(e: Equation, operands: Sequence[Any]) -> int:
    """Diagonals: their elements' sizes and signs, while these are made."""
    return (6 if _is_complex(e) else 7) * columns(e, operands) // 16


def in_numpy(elements: Callable[[Equation], float]) -> Workspace:
    """What a function of `numpy.linalg` takes, whose arrays for LAPACK have so many elements."""

    def workspace(e: Equation, operands: Sequence[Any]) -> int:
        a = e.operands[0].aval
        made = sum([_double(v.aval) for v in e.outputs])
        return copied(a) + made + int(elements(e) * _itemsize(a)) - _results(e)

    return workspace


def _itemsize(a: Aval) -> int:
    return 16 if a.dtype.kind == "c" else 8


def _double(a: Aval) -> int:
    """Bytes in double precision."""
    return a.size * _itemsize(a)


def copied(a: Aval) -> int:
    """Bytes of the copy in double precision of a value in single precision."""
    return _double(a) if a.nbytes < _double(a) else 0


def _count(a: Aval) -> int:
    """How many matrices there are."""
    return math.prod(a.shape[:-2])


def _results(e: Equation) -> int:
    return sum([v.aval.nbytes for v in e.outputs])


def _shape(e: Equation) -> tuple[int, int, int]:
    m, n = e.operands[0].aval.shape[-2:]
    return m, n, min(m, n)


def square(times: float, extra_columns: int = 0) -> Callable[[Equation], float]:
    """So many matrices like the operand, and columns."""

    def elements(e: Equation) -> float:
        m, n, _ = _shape(e)
        return times * m * n + extra_columns * n

    return elements


def _is_complex(e: Equation) -> bool:
    return e.operands[0].aval.dtype.kind == "c"


def eig_elements(e: Equation) -> float:
    """The matrix and its vectors; of a real one the real and the complex vectors."""
    n = e.operands[0].aval.shape[-1]
    return (2 if _is_complex(e) else 4) * n * n + COLUMNS * n


def eigvals_elements(e: Equation) -> float:
    """The matrix, and real eigenvalues that are made complex again."""
    return square(1.0, 40)(e) + 2 * e.outputs[0].aval.size


def svd_elements(e: Equation) -> float:
    return _svd_elements(e.operands[0].aval)


def _svd_elements(a: Aval) -> float:
    """The matrix, u, vh, and work for a bidiagonal matrix: 3 k² numbers, 5 k² real ones beside
    complex vectors; for tall matrices about half of another k² is used."""
    m, n = a.shape[-2:]
    k = min(m, n)
    tall = max(m, n) >= TALL * k
    work = (3.5 if tall else 2.5) if a.dtype.kind == "c" else (3.5 if tall else 3.0)
    return m * n + (m + n) * k + work * k * k


def svd_total(a: Aval) -> int:
    """A singular value decomposition with all that it takes, in double precision."""
    m, n = a.shape[-2:]
    vectors = _count(a) * (m + n) * min(m, n)
    return copied(a) + int((vectors + _svd_elements(a)) * _itemsize(a))


def eigh_total(e: Equation) -> int:
    a = e.operands[0].aval
    return copied(a) + _double(a) + int(square(3.0)(e) * _itemsize(a))


def pseudo_inverse(e: Equation, operands: Sequence[Any]) -> int:
    """That of the decomposition, or its vectors and their multiples afterwards; and the conjugate
    of complex matrices."""
    a = e.operands[0].aval
    total = eigh_total(e) if e.params["hermitian"] else svd_total(a)
    m, n, k = _shape(e)
    after = _count(a) * ((2 * m + n) * k + 6 * k) * a.dtype.itemsize + _results(e)
    return max(total, after) + _conjugate(e) - _results(e)


def _conjugate(e: Equation) -> int:
    a = e.operands[0].aval
    return a.nbytes if a.dtype.kind == "c" else 0


def qr(e: Equation, operands: Sequence[Any]) -> int:
    """A copy of the operand, Q, and those of one matrix for LAPACK; or R beside the first two."""
    a, (q, r) = e.operands[0].aval, [v.aval for v in e.outputs]
    m, n, k = _shape(e)
    factoring = _double(a) + _double(q) + (m * n + m * k) * _itemsize(a)
    masked = _double(a) + _double(q) + _double(r) + k * n + (q.nbytes if copied(a) else 0)
    return max(factoring, masked) + 3 * _count(a) * k * _itemsize(a) - _results(e)


def cofactors(times: int) -> Workspace:
    """What as many matrices take as are taken at a time: so many arrays like these, or a singular
    value decomposition, beside their results and copies of those that are close to singular. With
    several directions the arrays are complex, and there are more."""

    def workspace(e: Equation, operands: Sequence[Any]) -> int:
        more = max(0, len(operands) - 2)
        a = _at_a_time(e.operands[0].aval)
        factor = 2 if more and a.dtype.kind != "c" else 1
        beside = (1 + len(operands)) * a.nbytes if _count(a) > 1 else 0
        made = max(svd_total(a) + beside, (times + 4 * more) * a.nbytes)
        result = a.nbytes if e.operands[0].aval.ndim > 2 else 0
        return result + factor * (made + 16 * _count(a) * a.dtype.itemsize)

    return workspace


def _at_a_time(a: Aval) -> Aval:
    """The matrices of a batch that are taken at a time."""
    if a.ndim == 2 or not a.size:
        return a
    axis, count = arrays.at_a_time(a.shape, a.dtype.itemsize)
    return a.with_shape((count, *a.shape[axis + 1 :]))


def _indices(a: Aval) -> int:
    """Python's, which count matrices that are taken one by one."""
    return 40 * _count(a)


def expm(e: Equation, operands: Sequence[Any]) -> int:
    """Seven arrays like one matrix for SciPy, with directions of blocks; those of all matrices,
    put together from blocks, and their exponentials."""
    a = e.operands[0].aval
    blocks = 4 ** (len(operands) - 1)
    return _indices(a) + blocks * 6 * one_matrix(a) + (2 * blocks * a.nbytes if blocks > 1 else 0)


def sqrtm(e: Equation, operands: Sequence[Any]) -> int:
    """What SciPy takes for one matrix: a copy, its Schur form, and work."""
    a = e.operands[0].aval
    return _indices(a) + (2 if _is_complex(e) else 3) * one_matrix(a)


def sylvester(e: Equation, operands: Sequence[Any]) -> int:
    """What SciPy takes for one pair of matrices: of each its Schur form and vectors, and twice that
    while they are made; three arrays like a result; and conjugates of complex matrices."""
    a, b, q = [one_matrix(x.aval) for x in e.operands]
    of_b, conjugate = (5, max(a, b)) if _is_complex(e) else (4, 0)
    most = max(4 * a, 2 * a + of_b * b, 2 * a + 2 * b + 3 * q + conjugate)
    return _indices(e.outputs[0].aval) + most


# Substitution


def substitution(e: Equation, operands: Sequence[Any]) -> int:
    """A copy of one matrix for BLAS, if it is not in the order of rows or columns; single rows of
    the right-hand sides, where small matrices go together."""
    a = operands[-2] if e.primitive.name == "triangular_solve" else operands[1]
    b = e.outputs[0].aval
    rows = 4 * b.nbytes // max(b.shape[-2], 1)
    return rows + (0 if is_ordered(a) else one_matrix(e.operands[0].aval))


def is_ordered(a: Any) -> bool:
    """Whether each matrix of an array is in the order of its rows or of its columns."""
    one = a[(0,) * (a.ndim - 2)] if a.size else a
    return bool(one.flags.c_contiguous or one.flags.f_contiguous)


def factored(e: Equation, operands: Sequence[Any]) -> int:
    """That of substitution; the order of rows, and rows that are put back into it; the conjugate
    of factors, where small matrices go together."""
    a = e.operands[0].aval
    if e.params["kind"] == "cholesky":
        conjugate = arrays.together(a.shape) and _is_complex(e)
        return substitution(e, operands) + (a.nbytes if conjugate else 0)
    order = 8 * _count(a) * a.shape[-1]
    back = order + e.outputs[0].aval.nbytes if e.params["transposed"] else 0
    return substitution(e, operands) + order + back


# LU, and matrices that are made Hermitian


def lu(e: Equation, operands: Sequence[Any]) -> int:
    """A copy of one matrix for LAPACK that is not square; one row of all matrices, or what is
    subtracted from them, where small ones go together."""
    a = e.operands[0].aval
    m, n = a.shape[-2:]
    if arrays.together(a.shape):
        return a.nbytes + columns(e, operands)
    return (one_matrix(a) if m != n else 0) + columns(e, operands) // 8


def mirrored(e: Equation, operands: Sequence[Any]) -> int:
    """Squares of elements of each matrix."""
    a = e.operands[0].aval
    n = max(a.shape[-1], 1)
    return (3 if _is_complex(e) else 2) * a.nbytes * min(n, arrays.BLOCK) ** 2 // n**2

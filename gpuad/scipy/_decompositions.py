"""Decompositions of matrices, as in `scipy.linalg`."""

import operator
from typing import Any

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy import eigenvalues, factorizations, linear_algebra
from gpuad.numpy._arguments import refuse, shape_of
from gpuad.numpy._dispatch import implements
from gpuad.numpy._matrices import hermitian_of, in_one_batch, masking, square, together
from gpuad.numpy.linear_systems import solve_of
from gpuad.primitives.linalg import spectral
from gpuad.primitives.linalg.factorization import cholesky
from gpuad.primitives.linalg.matrices import adjoint
from gpuad.primitives.linalg.solving import solve_lower, triangular_solve
from gpuad.primitives.structure import slice_axis
from gpuad.tracing.record import apply


@implements(name="scipy.linalg.qr")
def qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full",
    pivoting: bool = False, check_finite: bool = True,
) -> Any:  # fmt: skip
    """Q and R with ``Q @ R = a``; with mode "r" only R, in a tuple.

    A traced matrix with more rows than columns needs ``mode="economic"``.
    """
    shape = shape_of(a)
    if pivoting:
        raise UnsupportedError("qr(pivoting=True) is not recorded; permute the columns yourself.")
    if mode not in ("full", "r", "economic", "raw"):
        raise ArgumentError(f"qr: mode {mode!r}; give 'full', 'r' or 'economic'.")
    if mode == "raw" or (mode != "economic" and len(shape) > 1 and shape[-2] > shape[-1]):
        raise UnsupportedError(
            f"qr(mode={mode!r}) of a traced array of shape {shape} has columns that are not "
            "determined by it; write mode='economic'."
        )
    found = factorizations.qr(a)
    return (found[1],) if mode == "r" else tuple(found)


@implements(name="scipy.linalg.eigh", own=("degenerate",))
def eigh(
    a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False,
    overwrite_a: bool = False, overwrite_b: bool = False, type: int = 1,
    check_finite: bool = True, subset_by_index: Any = None, subset_by_value: Any = None,
    driver: Any = None, degenerate: str = "nan",
) -> Any:  # fmt: skip
    """Eigenvalues and vectors of Hermitian matrices, or of ``a @ v = w b @ v`` with a positive
    definite `b`.

    `degenerate` as in `gpuad.numpy.linalg.eigh`.
    """
    refuse("eigh", subset_by_value=subset_by_value)
    if type != 1:
        raise UnsupportedError(f"eigh(type={type}) is not recorded; write it as one of type 1.")
    mask = masking(degenerate, "eigh")

    def record(v: Atom, *others: Atom) -> Any:
        w, vectors = _eigh(v, others, lower, eigvals_only, mask)
        if subset_by_index is not None:
            low, high = _checked_subset(subset_by_index, w.aval.shape[-1])
            w = slice_axis(w, w.aval.ndim - 1, low, high + 1)
            if vectors is not None:
                vectors = slice_axis(vectors, vectors.aval.ndim - 1, low, high + 1)
        return w if vectors is None else (w, vectors)

    return apply(record, *([a] if b is None else [a, b]))


def _checked_subset(indices: Any, n: int) -> tuple[int, int]:
    low, high = [operator.index(i) for i in indices]
    if not 0 <= low <= high < n:
        raise ArgumentError(
            f"eigh: subset_by_index={tuple(indices)} of {n} eigenvalues; give the first and the "
            f"last, 0 <= first <= last <= {n - 1}."
        )
    return low, high


def _eigh(a: Atom, others: Any, lower: bool, values_only: bool, mask: bool) -> Any:
    a, *others = together([a, *others], "eigh")
    a = hermitian_of(a, lower, "eigh")
    factor = None
    if others:
        b = hermitian_of(others[0], lower, "eigh")
        if a.aval.shape[-1] != b.aval.shape[-1]:
            raise ArgumentError(
                f"eigh: matrices of shapes {a.aval.shape} and {b.aval.shape}; give two of one size."
            )
        a, b = in_one_batch([a, b], "eigh")
        factor = cholesky(b)
        a = solve_lower(factor, adjoint(solve_lower(factor, a)))
    if values_only:
        return spectral.eigvalsh(a), None
    w, v = spectral.eigh(a, mask=mask, any_sign=False)
    if factor is not None:
        v = triangular_solve(adjoint(factor), v, lower=False, transposed=False, unit=False)
    return w, v


@implements(name="scipy.linalg.eigvalsh")
def eigvalsh(
    a: Any, b: Any = None, *, lower: bool = True, overwrite_a: bool = False,
    overwrite_b: bool = False, type: int = 1, check_finite: bool = True,
    subset_by_index: Any = None, subset_by_value: Any = None, driver: Any = None,
) -> Any:  # fmt: skip
    """The eigenvalues of Hermitian matrices, or of ``a @ v = w b @ v``, ascending."""
    return eigh(
        a, b, lower=lower, eigvals_only=True, type=type, subset_by_index=subset_by_index,
        subset_by_value=subset_by_value,
    )  # fmt: skip


@implements(name="scipy.linalg.eig", own=("degenerate",))
def eig(
    a: Any, b: Any = None, left: bool = False, right: bool = True, overwrite_a: bool = False,
    overwrite_b: bool = False, check_finite: bool = True, homogeneous_eigvals: bool = False,
    degenerate: str = "nan",
) -> Any:  # fmt: skip
    """The eigenvalues and right eigenvectors of square matrices, complex for every traced array."""
    if left or homogeneous_eigvals:
        name = "left" if left else "homogeneous_eigvals"
        raise UnsupportedError(
            f"eig({name}=True) is not recorded; left vectors are those of a.conj().T."
        )
    mask = masking(degenerate, "eig")

    def record(v: Atom, *others: Atom) -> Any:
        v = square(solve_of(others[0], v, "eig") if others else v, "eig")
        return tuple(spectral.eig(v, mask=mask)) if right else spectral.eigvals(v)

    return apply(record, *([a] if b is None else [a, b]))


@implements(name="scipy.linalg.eigvals")
def eigvals(
    a: Any, b: Any = None, overwrite_a: bool = False, check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Any:  # fmt: skip
    """The eigenvalues of square matrices, complex for every traced array."""
    return eig(a, b, right=False, homogeneous_eigvals=homogeneous_eigvals)


@implements(name="scipy.linalg.svd", own=("degenerate",))
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False,
    check_finite: bool = True, lapack_driver: str = "gesdd", *, degenerate: str = "nan",
) -> Any:  # fmt: skip
    """The singular value decomposition, ``a = u @ diag(s) @ vh``, as `gpuad.numpy.linalg.svd`."""
    found = eigenvalues.svd(a, full_matrices, compute_uv, degenerate=degenerate)
    return tuple(found) if compute_uv else found


@implements(name="scipy.linalg.svdvals")
def svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The singular values of matrices, descending."""
    return eigenvalues.svdvals(a)


@implements(name="scipy.linalg.norm")
def norm(
    a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True
) -> Any:
    """The norm of vectors or matrices, as `gpuad.numpy.linalg.norm`."""
    return linear_algebra.norm(a, ord, axis, keepdims)

"""Eigenvalues and singular values, and what is computed from them."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import aval_of, implements
from gpuad.numpy._matrices import hermitian_of, is_lower, masking, matrix, number, square
from gpuad.numpy.linear_systems import inverse_if_any
from gpuad.primitives import elementwise as ew
from gpuad.primitives.linalg import spectral
from gpuad.primitives.structure import reshape, slice_axis
from gpuad.tracing.record import apply
from gpuad.tracing.registry import OPERATIONS

EighResult: Any = type(np.linalg.eigh(np.eye(1)))
EigResult: Any = type(np.linalg.eig(np.eye(1)))
SVDResult: Any = type(np.linalg.svd(np.eye(1)))


@implements(np.linalg.eigh, name="linalg.eigh", own=("degenerate",))
def eigh(a: Any, UPLO: str = "L", *, degenerate: str = "nan") -> Any:
    """The eigenvalues, ascending, and the eigenvectors of Hermitian matrices, from one triangle.

    Their derivatives are vᴴ a' v and Σ_j v_j (v_jᴴ a' v_i) / (w_i - w_j). Eigenvectors of equal
    eigenvalues are not determined, and a derivative through them is NaN, unless `degenerate` is
    "mask": then the terms of eigenvalues that differ by less than 4 n ε times the largest are left
    out, as is right for functions of the spaces that such vectors span, a projector onto all of
    them for example. It is wrong for ``v @ diag(g(w)) @ v.T``: its derivative inside of such a
    space, g'(w), is left out too. Derivatives through eigenvalues alone are finite.

    Examples
    --------
    >>> import numpy as np, gpuad as ad, gpuad.numpy as gnp
    >>> ad.grad(lambda a: np.linalg.eigh(a)[0][1])(np.diag([1.0, 3.0]))
    array([[0., 0.],
           [0., 1.]])
    >>> def projector(a):
    ...     _, v = gnp.linalg.eigh(a, degenerate="mask")
    ...     return (v[:, :2] @ v[:, :2].T)[0, 2]
    >>> ad.grad(projector)(np.diag([1.0, 1.0, 2.0]))
    array([[ 0. ,  0. , -0.5],
           [ 0. ,  0. ,  0. ],
           [-0.5,  0. ,  0. ]])
    """
    lower, mask = is_lower(UPLO, "eigh"), masking(degenerate, "eigh")

    def record(v: Atom) -> tuple[Atom, ...]:
        return tuple(spectral.eigh(hermitian_of(v, lower, "eigh"), mask=mask, any_sign=False))

    return EighResult(*apply(record, a))


@implements(np.linalg.eigvalsh, name="linalg.eigvalsh")
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of Hermitian matrices, ascending, from one triangle; w' = vᴴ a' v."""
    lower = is_lower(UPLO, "eigvalsh")
    return apply(lambda v: spectral.eigvalsh(hermitian_of(v, lower, "eigvalsh")), a)


@implements(np.linalg.eig, name="linalg.eig", own=("degenerate",))
def eig(a: Any, *, degenerate: str = "nan") -> Any:
    """The eigenvalues and eigenvectors of square matrices, complex for every traced array.

    The vectors have length 1 and a real largest component, and so have their derivatives. Those of
    equal eigenvalues as in `eigh`.
    """
    mask = masking(degenerate, "eig")
    return EigResult(*apply(lambda v: tuple(spectral.eig(square(v, "eig"), mask=mask)), a))


@implements(np.linalg.eigvals, name="linalg.eigvals")
def eigvals(a: Any) -> Any:
    """The eigenvalues of square matrices, complex for every traced array; w' = diag(v⁻¹ a' v)."""
    return apply(lambda v: spectral.eigvals(square(v, "eigvals")), a)


@implements(np.linalg.svd, name="linalg.svd", own=("degenerate",))
def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    *,
    degenerate: str = "nan",
) -> Any:
    """The singular value decomposition, ``a = u @ diag(s) @ vh``.

    The derivative is that of Townsend (2016). Vectors of equal singular values, and those beside
    zero ones of matrices that are not square, are treated as those of equal eigenvalues in `eigh`.
    Matrices that are not square need ``full_matrices=False``: the other vectors are not determined.
    """
    shape = shape_of(a)
    if not compute_uv:
        return svdvals(_lower_read(a, hermitian))
    if full_matrices and len(shape) > 1 and shape[-1] != shape[-2]:
        raise UnsupportedError(
            f"svd(full_matrices=True) of a traced array of shape {shape} has vectors that are not "
            "determined by it; write full_matrices=False."
        )
    mask = masking(degenerate, "svd")

    def record(v: Atom) -> tuple[Atom, ...]:
        v = hermitian_of(v, True, "svd") if hermitian else matrix(v, "svd")
        return tuple(spectral.svd(v, mask=mask))

    return SVDResult(*apply(record, a))


def _lower_read(a: Any, hermitian: bool) -> Any:
    return apply(lambda v: hermitian_of(v, True, "svd"), a) if hermitian else a


@implements(np.linalg.svdvals, name="linalg.svdvals")
def svdvals(x: Any, /) -> Any:
    """The singular values of matrices, descending; s' = Re uᴴ a' v."""
    return apply(lambda v: spectral.singular_values(matrix(v, "svdvals")), x)


def _limit(given: Any, like: Any, name: str) -> float:
    dtype = aval_of(like).dtype
    eps = np.finfo(dtype if dtype.kind in "fc" else float).eps
    if given is None:
        return float(max(shape_of(like)[-2:], default=1) * eps)
    return number(given, name, "rtol")


@implements(np.linalg.matrix_rank, name="linalg.matrix_rank")
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The number of singular values above `rtol` times the largest, or above `tol`.

    An integer: its derivative is zero.
    """
    if tol is not None and rtol is not None:
        raise ArgumentError("matrix_rank: tol and rtol; give one of them.")
    if len(shape_of(A)) < 2:
        return OPERATIONS["astype"](OPERATIONS["any"](A != 0), np.intp)
    s = svdvals(_lower_read(A, hermitian))
    if tol is not None:
        above = OPERATIONS["greater"](s, OPERATIONS["expand_dims"](OPERATIONS["asarray"](tol), -1))
        return OPERATIONS["sum"](above, -1)
    limit = _limit(rtol, A, "matrix_rank")
    return apply(lambda v: spectral.rank(v, limit), s)


@implements(np.linalg.cond, name="linalg.cond")
def cond(x: Any, p: Any = None) -> Any:
    """The condition numbers of matrices in the norm `p`: ‖x‖ ‖x⁻¹‖, from singular values for 2.

    That of a singular matrix is infinite.
    """
    if 0 in shape_of(x)[-2:]:
        raise ArgumentError(
            f"cond: a matrix of shape {shape_of(x)} has no condition number; give one that is not "
            "empty."
        )
    if p in (None, 2, -2):
        found = apply(lambda v: _singular_ratio(v, p), x)
    else:
        norm = OPERATIONS["linalg.norm"]
        found = norm(x, p, (-2, -1)) * norm(apply(inverse_if_any, x), p, (-2, -1))
    where, isnan = OPERATIONS["where"], OPERATIONS["isnan"]
    unknown = OPERATIONS["any"](isnan(x), axis=(-2, -1))
    return where(OPERATIONS["logical_and"](isnan(found), ~unknown), np.inf, found)


def _singular_ratio(v: Atom, p: Any) -> Atom:
    """The largest singular value by the smallest, or the other way round."""
    s = spectral.singular_values(matrix(v, "cond"))
    last, n = s.aval.ndim - 1, s.aval.shape[-1]
    ends = [slice_axis(s, last, i, i + 1) for i in (0, n - 1)]
    ends = [reshape(e, shape=e.aval.shape[:-1]) for e in ends]
    return ew.div(*(ends if p != -2 else ends[::-1]))


__all__: list[str] = []

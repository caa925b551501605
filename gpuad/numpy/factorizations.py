"""Matrix factorisations: Cholesky and QR."""

from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy._dispatch import implements
from gpuad.numpy._matrices import hermitian_of, matrix
from gpuad.primitives.linalg.factorization import cholesky as cholesky_of
from gpuad.primitives.linalg.factorization import qr as qr_of
from gpuad.primitives.linalg.matrices import adjoint
from gpuad.tracing.record import apply

QRResult: Any = type(np.linalg.qr(np.eye(1)))


@implements(np.linalg.cholesky, name="linalg.cholesky")
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with ``L @ L.conj().T = a``, or with `upper` its conjugate transpose.

    `a` are Hermitian positive definite matrices, of which one triangle is read. The gradient by `a`
    is Hermitian; L' = L Φ(L⁻¹ a' L⁻ᴴ), where Φ takes the lower triangle and half of the diagonal. A
    matrix that is not positive definite raises `numpy.linalg.LinAlgError` on the CPU, and gives NaN
    on a GPU.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda a: np.linalg.cholesky(a).sum())(4 * np.eye(2))
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """

    def record(v: Atom) -> Atom:
        factor = cholesky_of(hermitian_of(v, not upper, "cholesky"))
        return adjoint(factor) if upper else factor

    return apply(record, a)


@implements(np.linalg.qr, name="linalg.qr")
def qr(a: Any, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and an upper triangular R, ``Q @ R = a``; with mode "r" only R.

    The derivative (Walter and others, 2012) exists where the first min(m, n) columns of `a` are
    linearly independent; elsewhere it is not finite.
    """
    if mode in ("raw", "complete"):
        raise UnsupportedError(
            f"qr(mode={mode!r}) of a traced array has columns that are not determined by it; "
            "write mode='reduced'."
        )
    if mode not in ("reduced", "r"):
        raise ArgumentError(f"qr: mode {mode!r}; give 'reduced' or 'r'.")
    q, r = apply(lambda v: tuple(qr_of(matrix(v, "qr"))), a)
    return r if mode == "r" else QRResult(q, r)


__all__: list[str] = []

"""Linear algebra under the names of `scipy.linalg`."""

from typing import TYPE_CHECKING

from gpuad.numpy._missing import only
from gpuad.scipy._decompositions import eig, eigh, eigvals, eigvalsh, norm, qr, svd, svdvals
from gpuad.scipy._matrix_functions import (
    block_diag,
    circulant,
    expm,
    expm_frechet,
    hankel,
    solve_continuous_lyapunov,
    solve_sylvester,
    sqrtm,
    toeplitz,
)
from gpuad.scipy._solving import (
    cho_factor,
    cho_solve,
    det,
    inv,
    lstsq,
    lu,
    lu_factor,
    lu_solve,
    pinv,
    solve,
    solve_triangular,
)
from gpuad.scipy._solving import cholesky_ as cholesky

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "det", "eig",
    "eigh", "eigvals", "eigvalsh", "expm", "expm_frechet", "hankel", "inv", "lstsq", "lu",
    "lu_factor", "lu_solve", "norm", "pinv", "qr", "solve", "solve_continuous_lyapunov",
    "solve_sylvester", "solve_triangular", "sqrtm", "svd", "svdvals", "toeplitz",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)

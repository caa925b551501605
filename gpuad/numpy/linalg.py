"""Linear algebra under the names of `numpy.linalg`."""

from typing import TYPE_CHECKING

from gpuad.numpy._missing import only
from gpuad.numpy.contraction import matmul, tensordot, vecdot
from gpuad.numpy.eigenvalues import (
    cond,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    matrix_rank,
    svd,
    svdvals,
)
from gpuad.numpy.factorizations import cholesky, qr
from gpuad.numpy.linear_algebra import linalg_cross as cross
from gpuad.numpy.linear_algebra import linalg_diagonal as diagonal
from gpuad.numpy.linear_algebra import linalg_outer as outer
from gpuad.numpy.linear_algebra import linalg_trace as trace
from gpuad.numpy.linear_algebra import matrix_norm, matrix_power, multi_dot, norm, vector_norm
from gpuad.numpy.linear_systems import det, inv, lstsq, pinv, slogdet, solve, tensorinv, tensorsolve
from gpuad.numpy.manipulation import matrix_transpose

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals",
    "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet", "solve", "svd",
    "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)

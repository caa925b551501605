"""The memory that CuPy's linear algebra takes on a GPU beside operands and results.

Counted is what CuPy allocates itself (`cupy.linalg`, `cupyx.scipy.linalg`): copies that cuSOLVER
and cuBLAS overwrite, and pointers to the matrices of a batch; and what our own functions add to it.
The buffers of cuSOLVER have a size that only its `*_bufferSize` functions tell, on a device: they
are not counted.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from gpuad.ir.aval import Aval

POINTER = 8
Avals = Sequence[Aval]


def one_matrix(a: Aval) -> int:
    return math.prod(a.shape[-2:]) * a.dtype.itemsize


def _count(a: Aval) -> int:
    return math.prod(a.shape[:-2])


def copies(times: int) -> Callable[..., int]:
    """So many arrays like the first operand, pivots, and two pointers for each matrix."""

    def workspace(operands: Avals, outputs: Avals, **params: Any) -> int:
        a = operands[0]
        return times * a.nbytes + _count(a) * (4 * a.shape[-1] + 2 * POINTER)

    return workspace


def matrices(times: int) -> Callable[..., int]:
    """So many arrays like one matrix, where CuPy takes one after another."""

    def workspace(operands: Avals, outputs: Avals, **params: Any) -> int:
        return times * one_matrix(operands[0])

    return workspace


def substitution(operands: Avals, outputs: Avals, **params: Any) -> int:
    """A single matrix in the order of columns; pointers to those of a batch, and to their
    right-hand sides."""
    a = operands[0]
    return one_matrix(a) if a.ndim == 2 else 2 * POINTER * _count(a)


def factored(operands: Avals, outputs: Avals, **params: Any) -> int:
    """That of substitution, right-hand sides between its two steps and rows in another order; the
    conjugate of complex factors."""
    conjugate = params["kind"] == "cholesky" and operands[0].dtype.kind == "c"
    extra = operands[0].nbytes if conjugate else 0
    return substitution(operands, outputs) + 2 * outputs[0].nbytes + extra


def eig(operands: Avals, outputs: Avals, **params: Any) -> int:
    """Transposed copies before and after, the real vectors of one matrix, complex ones in the order
    of rows."""
    a = operands[0]
    return 2 * a.nbytes + one_matrix(a) + sum([v.nbytes for v in outputs])


def svd(operands: Avals, outputs: Avals, **params: Any) -> int:
    """A copy, and the conjugate of vectors."""
    return operands[0].nbytes + outputs[-1].nbytes


def expm(operands: Avals, outputs: Avals, **params: Any) -> int:
    """The blocks and their exponential, and eight arrays like one matrix of blocks."""
    blocks: int = 4 ** (len(operands) - 1)
    return blocks * (2 * operands[0].nbytes + 8 * one_matrix(operands[0]))

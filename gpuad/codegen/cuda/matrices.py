"""Which contractions of a row a kernel does with a matrix in shared memory (see `tiles`)."""

import math

from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role

LARGEST = 64
"""Rows and columns of a matrix, at most."""
SMALLEST = 9
"""With fewer, the matrix is written out."""
STREAMS = 8
"""Rows of x, side by side, that one matrix multiplies, at most: what a row has along its short
axes."""


def multiplies_lanes(e: Equation) -> bool:
    """Whether this is a product of rows, which are many, with a small matrix."""
    if e.primitive.role is not Role.CONTRACTION or e.outputs[0].aval.dtype.kind != "f":
        return False
    x = contraction_of(e)
    for shape, contract, free, others in (
        (x.y, x.contract[1], x.free[1], [x.x[k] for k in x.free[0]]),
        (x.x, x.contract[0], x.free[0], [x.y[k] for k in x.free[1]]),
    ):
        if len(contract) != 1 or len(free) != 1 or x.batch[0] or not others:
            continue
        sizes = shape[contract[0]], shape[free[0]]
        few = math.prod(others) // max(others) <= STREAMS
        if all(SMALLEST <= n <= LARGEST for n in sizes) and few and max(others) > LARGEST:
            return True
    return False

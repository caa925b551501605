"""Library calls that write into given memory: matrix products, ufuncs of NumPy, and what says so
itself."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.executors.native import result_pool
from gpuad.executors.native.tiled_gemm import matrix_product
from gpuad.ir.graph import Equation

OutFunction = Callable[[Sequence[Any], np.ndarray, int], Any]
"""A function of operands, the array for the result, and the most threads to use."""


def out_function(e: Equation) -> OutFunction | None:
    """The function that computes an equation on whole arrays into given memory.

    None if there is none, or if the result is too small for the pool of results.
    """
    product = matrix_product(e)
    if product is not None:
        return lambda operands, out, most: product(operands[0], operands[1], most, out)
    if e.primitive.multiple or e.outputs[0].aval.nbytes < result_pool.SMALLEST:
        return None
    function, into = ufunc_of(e), e.primitive.into
    if function is not None:
        return lambda operands, out, most: function(*operands, out=out)
    if into is not None:
        return lambda operands, out, most: into(*operands, out, most, **e.params)
    return None


def ufunc_of(e: Equation) -> np.ufunc | None:
    """The function of NumPy that an equation is, if it is one."""
    found = getattr(np, e.primitive.run) if isinstance(e.primitive.run, str) else None
    return found if isinstance(found, np.ufunc) and found.nout == 1 and not e.params else None

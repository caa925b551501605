"""What NumPy takes for itself in a library call, and arrays of which only the layout counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.executors.matrices import MatrixProduct
from gpuad.ir.graph import Equation

TEMPORARIES = {
    "sinc": 16.0,
    "reduce_logsumexp": 7.0,
    "searchsorted": 12.0,
    "dot_kept": 6.0,
    "unit": 7.0,
    "reduce_norm": 1.05,
    "power_of_log": 5.0,
    "gaussian": 4.0,
    "unit_vector": 2.5,
    "sech_square": 3.0,
    "log_softmax": 3.0,
    "sigmoid": 2.0,
    "softmax": 2.5,
    "linear_recurrence": 4.0,
    "scatter_add": 2.0,
    "scatter_mul": 2.0,
    "scatter_max": 2.0,
    "scatter_min": 2.0,
    "share": 1.5,
    "convolve": 1.5,
}
"""By the largest of the operands and results."""

IN_RUNS = 1 << 10
"""Products of no more values, in single precision, are made in runs (`gpuad.primitives.summing`),
whose results take up to a quarter of the operands."""


def of_call(e: Equation, operands: Sequence[Any]) -> int:
    """Bytes of temporary arrays in a call of NumPy, at most, for operands laid out like these."""
    primitive = e.primitive
    sizes = [x.aval.nbytes for x in (*e.operands, *e.outputs)]
    if primitive.name == "dot_general":
        return _of_product(e, operands)
    if primitive.name in TEMPORARIES:
        return int(TEMPORARIES[primitive.name] * max(sizes))
    return 0 if isinstance(primitive.run, str) else max(sizes)


def _of_product(e: Equation, operands: Sequence[Any]) -> int:
    """Copies of the operands as matrices that BLAS can take, and the products of runs."""
    contracted = e.params["contract"][0]
    if not contracted:
        return sum(x.aval.nbytes for x in e.operands)
    pairs = zip(operands, MatrixProduct(e).forms, strict=True)
    copies = sum(x.nbytes for x, form in pairs if not _lies_as(x, *form))
    result = e.outputs[0].aval
    if result.dtype.char not in "fF" or result.size > IN_RUNS:
        return copies
    return copies + sum(x.aval.nbytes for x in e.operands) // 4


def _lies_as(x: np.ndarray, order: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether the array, its axes in this order and shape, is dense matrices as it lies."""
    try:
        matrices = np.reshape(x.transpose(order), shape, copy=False)
    except ValueError:
        return False
    either = (matrices, matrices.swapaxes(1, 2))
    return x.flags.aligned and any(m.flags.c_contiguous for m in either)


def layout_of(aval: Any) -> np.ndarray:
    """An array in C order of which only the layout may be looked at."""
    return strided(aval.shape, aval.dtype)


def strided(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An array of this shape, in C order, without memory: its elements must not be looked at."""
    strides = [dtype.itemsize] * len(shape)
    for k in range(len(shape) - 1, 0, -1):
        strides[k - 1] = strides[k] * shape[k]
    base = np.empty(1, dtype)
    return np.lib.stride_tricks.as_strided(base, tuple(shape), strides)

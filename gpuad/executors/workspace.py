"""The temporary memory of library calls, and arrays that have a layout but no contents."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.graph import Equation


def of_call(e: Equation, operands: Sequence[Any]) -> int:
    """Bytes of temporary arrays in a call of NumPy, at most, for operands laid out like these."""
    workspace = e.primitive.workspace
    if callable(workspace):
        return workspace(e, operands)
    return int(workspace * max([x.aval.nbytes for x in (*e.operands, *e.outputs)]))


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

"""The temporary memory of library calls, and arrays that have a layout but no contents."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.graph import Equation
from gpuad.ir.half import is_half
from gpuad.ir.single import runs_in_single


def of_call(e: Equation, operands: Sequence[Any]) -> int:
    """Bytes of temporary arrays in a call of NumPy, at most, for operands laid out like these."""
    workspace, values = e.primitive.workspace, (*e.operands, *e.outputs)
    own = workspace(e, operands) if callable(workspace) else 0
    if not callable(workspace):
        own = int(workspace * max([x.aval.nbytes for x in values]))
    if not runs_in_single(e):
        return own
    return 2 * own + sum([2 * x.aval.nbytes for x in values if is_half(x.aval.dtype)])


def layout_of(aval: Any) -> np.ndarray:
    """An array in C order of which only the layout may be looked at."""
    return strided(aval.shape, aval.dtype)


def result_layout(e: Any, aval: Any, operands: Sequence[Any]) -> np.ndarray:
    """The layout of a call's result. A ufunc keeps the order of the axes of its operands, where
    none of these is in C order; others give C order."""
    whole = [x for x in operands if isinstance(x, np.ndarray) and x.shape == aval.shape]
    is_ufunc = isinstance(e, Equation) and isinstance(e.primitive.run, str)
    if not is_ufunc or not whole or any(_in_c_order(x) for x in whole):
        return layout_of(aval)
    order = sorted(range(aval.ndim), key=lambda axis: -abs(whole[0].strides[axis]))
    made = strided([aval.shape[axis] for axis in order], aval.dtype)
    return made.transpose([order.index(axis) for axis in range(aval.ndim)])


def _in_c_order(x: np.ndarray) -> bool:
    """Whether a ufunc makes its result in C order for an operand: if some strides are zero, too."""
    return bool(x.flags.c_contiguous or 0 in x.strides)


def strided(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An array of this shape, in C order, without memory: its elements must not be looked at."""
    strides = [dtype.itemsize] * len(shape)
    for k in range(len(shape) - 1, 0, -1):
        strides[k - 1] = strides[k] * shape[k]
    base = np.empty(1, dtype)
    return np.lib.stride_tricks.as_strided(base, tuple(shape), strides)


def is_dense(x: np.ndarray) -> bool:
    """Whether compiled code can read an array as it is: in C order, and aligned."""
    flags = x.flags
    return flags.c_contiguous and flags.aligned

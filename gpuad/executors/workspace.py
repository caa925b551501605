"""The temporary memory of library calls, and arrays that have a layout but no contents."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.ir.graph import Equation
from gpuad.ir.half import is_half
from gpuad.ir.primitive import Role
from gpuad.ir.rows import order_of_axes
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
    """The layout of a call's result."""
    order = result_order(e, aval.ndim, operands)
    if order is None:
        return layout_of(aval)
    made = strided([aval.shape[axis] for axis in order], aval.dtype)
    return made.transpose(np.argsort(order))


def result_order(e: Any, ndim: int, operands: Sequence[Any]) -> list[int] | None:
    """The axes of a call's result as they lie in memory; None for C order. Elementwise operations
    but for conversions, and copies, keep the order of their operands, if that is the same for
    all."""
    if not isinstance(e, Equation) or e.primitive.converts:
        return None
    if e.primitive.kind != "elementwise" and e.primitive.role is not Role.COPY:
        return None
    arrays = [x for x in operands if isinstance(x, np.ndarray) and x.ndim == ndim]
    if not arrays or any(x.flags.c_contiguous for x in arrays):
        return None
    first, *others = [order_of_axes(x) for x in arrays]
    return first if all(order == first for order in others) else None


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

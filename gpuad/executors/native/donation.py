"""Donated arrays of NumPy: which of them can be taken, and arrays in their memory."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from gpuad.executors.donation import holds_alone
from gpuad.executors.native import result_pool

ALIGNMENT = 8
"""Of the memory of any result, in bytes: an input of a smaller type may lie anywhere."""


def can_take(x: Any, others: Iterable[Any]) -> bool:
    """Whether the memory of an array can be used: all of it is its own or of an array that nobody
    else holds, aligned for any dtype, and it can be written."""
    if type(x) is not np.ndarray or not x.ndim:
        return False
    flags = x.flags
    return (
        bool(flags.writeable and flags.c_contiguous)
        and x.__array_interface__["data"][0] % ALIGNMENT == 0
        and result_pool.owner(x).nbytes == x.nbytes
        and holds_alone(x)
        and not any(isinstance(y, np.ndarray) and np.may_share_memory(x, y) for y in others)
    )


def in_memory_of(block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of this shape at the beginning of another's memory."""
    size = int(np.prod(shape)) * dtype.itemsize
    return result_pool.placed(block.reshape(-1).view(np.uint8)[:size], shape, dtype)

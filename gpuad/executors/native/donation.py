"""Donated NumPy arrays: whether their memory can be used."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from gpuad.executors.donation import holds_alone
from gpuad.executors.native import result_pool

ALIGNMENT = 8
"""In bytes, of the memory of every result; an input of a smaller dtype may be aligned less."""


def can_take(x: Any, others: Iterable[Any]) -> bool:
    """Whether the memory of an array can be used for results.

    It must be writable, in C order and aligned for any dtype. The array must own it, or be the only
    view of the array that does, and use all of it. None of `others` may share it.
    """
    if type(x) is not np.ndarray or not x.ndim:
        return False
    flags = x.flags
    return (
        bool(flags.writeable and flags.c_contiguous)
        and x.__array_interface__["data"][0] % ALIGNMENT == 0
        and _is_all_of_its_memory(x)
        and holds_alone(x)
        and not any(isinstance(y, np.ndarray) and np.may_share_memory(x, y) for y in others)
    )


def _is_all_of_its_memory(x: np.ndarray) -> bool:
    owner = result_pool.owner(x)
    return owner is not None and owner.nbytes == x.nbytes

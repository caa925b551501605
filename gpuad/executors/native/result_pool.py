"""A pool of memory for large results.

The pages of a fresh array are mapped one by one when it is first written, which can take longer
than computing what is written. A large result is therefore made in a block that an earlier result
had. It is an ordinary `numpy.ndarray` whose base gives the block back when no view of it is left.
"""

import os
import threading
from collections import deque
from typing import Any

import numpy as np

from gpuad.executors.environment import number_set

SMALLEST = 1 << 18
"""Results below so many bytes come from NumPy, whose allocator reuses them itself."""
ALIGNMENT = 64
"""Of a block, in bytes: a cache line, and the widest vector."""
LIMIT = 1 << 30
"""Bytes kept at most for later results, if GPUAD_KEEP_BYTES does not say another number."""


class _Block(np.ndarray):
    """Memory of the pool.

    NumPy gives a new array not the base it is made with but the base of that, where this has the
    type of the new array. A result keeps its `_Lease` since the base of that is of this class.
    """


class _Pool:
    """Free blocks by size. A block can be given back at any moment, by the garbage collector: it is
    appended to `_returned`, and sorted in by the next `take`."""

    def __init__(self) -> None:
        self._returned: deque[np.ndarray] = deque()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[np.ndarray]] = {}
        self._kept = 0

    def give_back(self, block: np.ndarray) -> None:
        self._returned.append(block)

    def take(self, size: int) -> np.ndarray:
        """A block of so many bytes, aligned."""
        with self._lock:
            if self._returned:
                self._collect()
            blocks = self._free.get(size)
            if blocks:
                return self._taken(size, blocks)
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        return memory[start : start + size].view(_Block)

    def _taken(self, size: int, blocks: list[np.ndarray]) -> np.ndarray:
        self._kept -= size
        if len(blocks) == 1:
            del self._free[size]
        return blocks.pop()

    def _collect(self) -> None:
        """Sorts in the blocks given back; over the limit, drops those of sizes longest unused."""
        while self._returned:
            block = self._returned.popleft()
            size = len(block)
            blocks = self._free.pop(size, [])  # a size used again moves to the end
            blocks.append(block)
            self._free[size] = blocks
            self._kept += size
        most = limit()
        while self._kept > most:
            size, blocks = next(iter(self._free.items()))
            self._taken(size, blocks)

    def release(self) -> None:
        with self._lock:
            self._returned.clear()
            self._free.clear()
            self._kept = 0


def limit() -> int:
    """Bytes kept at most: GPUAD_KEEP_BYTES, else 1 GiB.

    Raises
    ------
    ArgumentError
        If GPUAD_KEEP_BYTES is not a number of bytes.
    """
    given = number_set("GPUAD_KEEP_BYTES", "bytes")
    return LIMIT if given is None else given


_pool = _Pool()


class _Lease(np.ndarray):
    """The base of a result: it holds a block for as long as the result or a view of it lives."""

    def __del__(self, give_back: Any = _pool.give_back) -> None:
        if type(self.base) is _Block:  # a view of a lease is a _Lease too, with that as its base
            give_back(self.base)


class _Place(np.ndarray):
    """The base of a result in donated memory. It is a view of another of its class, for NumPy to
    keep it (see `_Block`)."""


def empty(shape: tuple[int, ...], dtype: np.dtype, block: int = 0) -> np.ndarray:
    """An array that is not initialised; a large one in memory of the pool, in a block of at least
    `block` bytes."""
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _pool.take(max(size, block)).view(_Lease))


def placed(x: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array at the beginning of another's memory, with a base that no other array has.

    `x` is in C order. If it was made like this itself, or is a view of such an array, the new one
    does not refer to it: arrays that are donated in turn are no chain.
    """
    base = x.base
    while type(base) is np.ndarray:
        base = base.base
    if isinstance(base, _Place) and _same_memory(base, x):
        memory: Any = base.base
    else:
        memory = x.reshape(-1).view(np.uint8).view(_Place)
    size = int(np.prod(shape)) * dtype.itemsize
    return np.ndarray(shape, dtype, memory[:size].view(_Place))


def _same_memory(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two arrays in C order have all of their memory in common."""
    (a, _), (b, _) = [z.__array_interface__["data"] for z in (x, y)]
    return a == b and x.nbytes == y.nbytes


def owner(x: np.ndarray) -> np.ndarray | None:
    """The array whose memory an array is or lies in; None if it is not an array's."""
    while isinstance(x.base, np.ndarray) and type(x) is not _Lease:
        x = x.base
    return x if x.flags.owndata or type(x) is _Lease else None


def release() -> None:
    """Gives the memory kept for later results back to the system."""
    _pool.release()

"""Memory of large results, used again.

The pages of a fresh array are mapped one by one as it is first written, which can take longer than
computing what is written. A large result therefore comes from blocks that earlier results left.
It is an ordinary `numpy.ndarray` whose base gives the block back when no view of it is left.
"""

import os
import threading
from collections import deque
from typing import Any

import numpy as np

SMALLEST = 1 << 18
"""Results below so many bytes come from NumPy, whose allocator reuses them itself."""
ALIGNMENT = 64
"""Of a block, in bytes: a cache line, and the widest vector."""
LIMIT = 1 << 30
"""Bytes kept at most for later results, if GPUAD_KEEP_BYTES does not say another number."""


class _Block(np.ndarray):
    """Memory of the pool. NumPy passes over bases of its own type: a result keeps its `_Lease`
    since that is no `numpy.ndarray` proper, and neither is what that is a view of."""


class _Pool:
    """Blocks by size. Those given back are only noted, since that can happen at any moment."""

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
        """Sorts in what was given back; over the limit, what was longest unused goes."""
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
    """Bytes kept at most: GPUAD_KEEP_BYTES, else 1 GiB."""
    given = os.environ.get("GPUAD_KEEP_BYTES")
    return LIMIT if given is None else int(given)


_pool = _Pool()


class _Lease(np.ndarray):
    """The base of a result: it holds a block for as long as the result or a view of it lives."""

    def __del__(self, give_back: Any = _pool.give_back) -> None:
        if type(self.base) is _Block:  # and not a view that somebody has made of this one
            give_back(self.base)


class _Place(np.ndarray):
    """The base of a result in donated memory, twice, so that NumPy does not pass over it."""


def empty(shape: tuple[int, ...], dtype: np.dtype, block: int = 0) -> np.ndarray:
    """An array that is not initialised; a large one in memory that was in use before, in a block
    of at least so many bytes."""
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _pool.take(max(size, block)).view(_Lease))


def placed(memory: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in the memory of another. Its base is of it alone, whoever holds the other one."""
    return np.ndarray(shape, dtype, memory.view(_Place).view(_Place))


def owner(x: np.ndarray) -> np.ndarray:
    """The array whose memory an array is or lies in."""
    while isinstance(x.base, np.ndarray) and type(x) is not _Lease:
        x = x.base
    return x


def release() -> None:
    """Gives the memory kept for later results back to the system."""
    _pool.release()

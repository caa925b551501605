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


class _Pool:
    """Blocks by size. Those given back are only noted, since that can happen at any moment."""

    def __init__(self) -> None:
        self._returned: deque[np.ndarray] = deque()
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[np.ndarray]] = {}

    def give_back(self, block: np.ndarray) -> None:
        self._returned.append(block)

    def take(self, size: int) -> np.ndarray:
        """A block of so many bytes."""
        with self._lock:
            self._collect()
            blocks = self._free.pop(size, None)
            if blocks:
                block = blocks.pop()
                if blocks:
                    self._free[size] = blocks
                return block
        return np.empty(size + ALIGNMENT, np.uint8)

    def _collect(self) -> None:
        """Sorts in what was given back; over the limit, what was longest unused goes."""
        while self._returned:
            block = self._returned.popleft()
            size = block.size - ALIGNMENT
            # A size used again moves to the end.
            self._free[size] = [*self._free.pop(size, []), block]
        kept = sum(size * len(blocks) for size, blocks in self._free.items())
        for size in list(self._free):
            while kept > limit() and size in self._free:
                self._free[size].pop()
                kept -= size
                if not self._free[size]:
                    del self._free[size]

    def release(self) -> None:
        with self._lock:
            self._returned.clear()
            self._free.clear()


def limit() -> int:
    """Bytes kept at most: GPUAD_KEEP_BYTES, else 1 GiB."""
    given = os.environ.get("GPUAD_KEEP_BYTES")
    return LIMIT if given is None else int(given)


_pool = _Pool()


class _Lease:
    """The base of a result: it holds a block for as long as the result or a view of it lives."""

    __slots__ = ("__array_interface__", "_block")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, size: int):
        self._block = _pool.take(size)
        start = self._block.__array_interface__["data"][0]
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (start + -start % ALIGNMENT, False),
        }

    def __del__(self, give_back: Any = _pool.give_back) -> None:
        give_back(self._block)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array that is not initialised; a large one in memory that was in use before."""
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size < SMALLEST:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(shape, dtype, size))


def release() -> None:
    """Gives the memory kept for later results back to the system."""
    _pool.release()

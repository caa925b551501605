"""Scratch of sweeps: memory of a thread, which all sweeps that it runs use in turn.

It is kept, since fresh pages would be mapped again at every call, and is as large as the largest
sweep so far needs.
"""

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import SweepSource

LINE = 64
"""Bytes of a cache line."""
TYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "b1": np.bool_}
TYPES |= {"f16": np.int16, "bf16": np.int16}


class Arena(threading.local):
    """The memory of each thread, and the holders of views of it."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self._holders: weakref.WeakSet[Any] = weakref.WeakSet()

    def arrays(self, holder: Any, places: Sequence[tuple[str, int]]) -> list[np.ndarray]:
        """Arrays of these types and sizes, one after the other and aligned.

        They become the attribute `arrays` of the holder, which is set to None when the memory has
        to grow.
        """
        needed = LINE + sum(_span(*p) for p in places)
        if len(self._memory) < needed:
            self.release()  # before more is taken
            self._memory = np.empty(needed, np.uint8)
        self._holders.add(holder)
        start = -self._memory.__array_interface__["data"][0] % LINE
        holder.arrays = []
        for kind, size in places:
            dtype = np.dtype(TYPES[kind])
            holder.arrays.append(self._memory[start : start + size * dtype.itemsize].view(dtype))
            start += _span(kind, size)
        return holder.arrays

    def release(self) -> None:
        """Gives the memory of this thread back."""
        for holder in self._holders:
            holder.arrays = None
        self._holders.clear()
        self._memory = np.empty(0, np.uint8)


arena = Arena()


class Scratch:
    """The scratch of one sweep."""

    def __init__(self, source: SweepSource):
        self._places = tuple(source.scratch.values())
        self._found = threading.local()

    def __call__(self) -> list[np.ndarray]:
        """The arrays, in the memory of the calling thread."""
        found = getattr(self._found, "arrays", None)
        return arena.arrays(self._found, self._places) if found is None else found


def scratch_bytes(source: SweepSource) -> int:
    """What a thread keeps for a sweep."""
    places = source.scratch.values()
    return LINE + sum(_span(*p) for p in places) if places else 0


def _span(kind: str, size: int) -> int:
    """Bytes from one scratch array to the next: an odd number of cache lines, so that elements at
    the same index of arrays whose sizes are powers of two are not in one set of the cache."""
    lines = -(-size * np.dtype(TYPES[kind]).itemsize // LINE)
    return (lines + 1 + lines % 2) * LINE

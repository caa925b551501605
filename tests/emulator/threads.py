"""Sets of threads that run an instruction together."""

from functools import cached_property

import numpy as np


class Active:
    """Threads of a chunk, by their slots: each warp has 32, each block of threads whole warps.

    full: all slots of the chunk, whose registers are whole arrays.
    """

    def __init__(self, slots: np.ndarray, full: bool):
        self.slots, self.full, self.n = slots, full, len(slots)
        self.warps = slots >> 5
        self.edges = self.warps[1:] != self.warps[:-1]
        """Where the next thread is of another warp."""
        self.warp_count = int(np.count_nonzero(self.edges)) + 1
        self._ideal: dict[int, int] = {}

    @cached_property
    def starts(self) -> np.ndarray:
        """The first thread of each warp."""
        return np.concatenate([[0], np.flatnonzero(self.edges) + 1])

    @cached_property
    def counts(self) -> np.ndarray:
        """The threads of each warp."""
        return np.diff(np.append(self.starts, self.n))

    @cached_property
    def lane(self) -> np.ndarray:
        return (self.slots & 31).astype(np.uint32)

    def ideal(self, size: int) -> int:
        """Sectors that accesses of so many bytes take at least."""
        if size not in self._ideal:
            self._ideal[size] = int((-(-self.counts * size // 32)).sum())
        return self._ideal[size]

    def kept(self, keep: np.ndarray) -> "Active":
        return Active(self.slots[keep], False)

    def spread(self, x: np.ndarray) -> np.ndarray:
        """One value for each thread."""
        return np.broadcast_to(x, self.slots.shape)

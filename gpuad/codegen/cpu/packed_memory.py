"""Where the values of a program of the interpreter lie in its packed memory."""

from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from gpuad.codegen.views import size_of

FEW = 8
"""Up to so many addresses are looked at one by one, and up to so many runs are few."""
FOREVER = 1 << 60
"""So many users has what is never given back."""


class Memory:
    """Blocks in one array of one type, used again when nothing lies in them any longer."""

    def __init__(self) -> None:
        self.size = 0
        self.constants: dict[tuple[bytes, int], int] = {}
        """Where lanes lie that always have these values, or all this one."""
        self._block_of = np.empty(64, np.int64)
        """The block of each address. A block is used again for its own size only, so it stays."""
        self._users: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}

    def block(self, size: int, users: int = 1) -> int:
        """The start of a block that nothing lies in."""
        free = self._free.get(size)
        if free:
            start = free.pop()
        else:
            start = self._extend(size)
            self._sizes[start] = size
        self._users[start] = users
        return start

    def _extend(self, size: int) -> int:
        """The start of a new block at the end of the array."""
        start, self.size = self.size, self.size + size
        if self.size > len(self._block_of):
            self._block_of = np.resize(self._block_of, 2 * self.size)
        self._block_of[start : self.size] = start
        return start

    def constant(self, values: Any, size: int) -> int:
        """The start of lanes that always have these values, or all this one."""
        key = (values.tobytes(), size)
        if key not in self.constants:
            # Never a block that was used before: it is filled once, before the first run.
            self.constants[key] = start = self._extend(size)
            self._users[start] = FOREVER
        return self.constants[key]

    def hold(self, blocks: Iterable[int]) -> None:
        for start in blocks:
            self._users[start] += 1

    def release(self, blocks: Iterable[int]) -> None:
        for start in blocks:
            self._users[start] -= 1
            if not self._users[start]:
                self._free.setdefault(self._sizes[start], []).append(start)

    def blocks(self, addresses: Any) -> Collection[int]:
        """The starts of the blocks that these addresses are in."""
        if addresses.size < FEW:
            return {int(self._block_of[a]) for a in addresses.ravel().tolist()}
        return np.unique(self._block_of[addresses]).tolist()


class Lanes:
    """A value: its elements one after the other from `start`, or else at `addresses`."""

    __slots__ = ("_addresses", "blocks", "kind", "shape", "start")

    def __init__(
        self,
        kind: str,
        shape: tuple[int, ...],
        start: int | None,
        blocks: Iterable[int],
        addresses: Any = None,
    ):
        self.kind = kind
        self.shape = shape
        self.start = start
        self.blocks = blocks
        self._addresses = addresses

    @property
    def addresses(self) -> Any:
        """The address of each element, as an array of the value's shape."""
        if self.start is None:
            return self._addresses
        if not self.shape:
            return np.array(self.start)
        size = size_of(self.shape)
        return np.arange(self.start, self.start + size).reshape(self.shape)


Run = tuple[int, int, int]
"""Of addresses: the first index, the index after the last, and the step between them, 0 or 1."""


def runs_of(addresses: Any) -> list[Run] | None:
    """Addresses as runs: in a run all are the same, or each is one more than that before it. None
    if there are many runs."""
    steps = np.diff(addresses)
    known = (steps == 0) | (steps == 1)
    turns = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    if np.count_nonzero(~known) + len(turns) > 3 * max(FEW, len(addresses) // 8):
        return None
    found = []
    ends = [*turns.tolist(), len(steps)]
    i, count = 0, len(addresses)
    while i < count:
        j, step = i + 1, 1
        if j < count and known[i]:
            step = int(steps[i])
            j = ends[bisect_right(ends, i)] + 1
        found.append((i, j, step))
        i = j
    return found

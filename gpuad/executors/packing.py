"""Where the values of a machine's program lie in its packed memory."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.executors.views import size_of

FOREVER = 1 << 60
"""So many users has what is never given back."""


class Memory:
    """Blocks in one array of one type, used again when nothing lies in them any longer."""

    def __init__(self) -> None:
        self.block_of: list[int] = []
        """For each place, where its block starts. A block used again has the same size."""
        self.constants: dict[tuple[bytes, int], int] = {}
        self._users: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}

    @property
    def size(self) -> int:
        return len(self.block_of)

    def block(self, size: int, users: int = 1) -> int:
        """The start of a block that nothing lies in."""
        free = self._free.get(size)
        if free:
            start = free.pop()
        else:
            start = len(self.block_of)
            self.block_of += [start] * size
            self._sizes[start] = size
        self._users[start] = users
        return start

    def constant(self, number: np.generic, size: int) -> int:
        """The start of lanes that always have this value."""
        key = (number.tobytes(), size)
        if key not in self.constants:
            self.constants[key] = self._new_constant(size)
        return self.constants[key]

    def _new_constant(self, size: int) -> int:
        # Never one that was used before: it is filled once, before the first run.
        start = len(self.block_of)
        self.block_of += [start] * size
        self._users[start] = FOREVER
        return start

    def hold(self, blocks: Iterable[int]) -> None:
        for start in blocks:
            self._users[start] += 1

    def release(self, blocks: Iterable[int]) -> None:
        for start in blocks:
            self._users[start] -= 1
            if not self._users[start]:
                self._free.setdefault(self._sizes[start], []).append(start)

    def blocks(self, places: Any) -> set[int]:
        """The blocks that these places are in."""
        return {self.block_of[p] for p in places.ravel().tolist()}


class Lanes:
    """A value: its elements one after the other from `start`, or else at `places`."""

    __slots__ = ("blocks", "kind", "shape", "start", "_places")

    def __init__(
        self,
        kind: str,
        shape: tuple[int, ...],
        start: int | None,
        blocks: Iterable[int],
        places: Any = None,
    ):
        self.kind = kind
        self.shape = shape
        self.start = start
        self.blocks = blocks
        self._places = places

    @property
    def places(self) -> Any:
        """The place of each element, as an array of the value's shape."""
        if self.start is None:
            return self._places
        if not self.shape:
            return np.array(self.start)
        size = size_of(self.shape)
        return np.arange(self.start, self.start + size).reshape(self.shape)


def segments(places: Sequence[int]) -> list[tuple[int, int, int]]:
    """Places as runs, in which each is the last one or the next: first and last index, step."""
    found = []
    i, count = 0, len(places)
    while i < count:
        j, step = i + 1, 1
        if j < count and places[j] - places[i] in (0, 1):
            step = places[j] - places[i]
            while j < count and places[j] - places[j - 1] == step:
                j += 1
        found.append((i, j, step))
        i = j
    return found

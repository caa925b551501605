"""Races: two threads at one place, one of them writing, with nothing that orders them.

A barrier of a block orders its threads, one of a warp (bar.warp.sync) those of the warp; shuffles
order no memory. That is PTX's memory model without fences and atomics, and what compute-sanitizer's
racecheck looks for in shared memory.
"""

from dataclasses import dataclass

import numpy as np

GRAIN = 4
"""Bytes that are looked at as one, where nothing smaller is written."""
ONE, WITHIN, ACROSS = 1, 2, 3
"""Who has read: one thread, several of a warp, several warps."""


@dataclass
class Moment:
    """Threads at an access: their numbers in the grid, and by how many barriers they have come."""

    thread: np.ndarray
    slots: int
    """Of a block of threads."""
    epoch: int
    """Barriers of the block."""
    clock: np.ndarray
    """Barriers of the block and of the warp."""

    def follows(self, other: np.ndarray, epoch: np.ndarray, clock: np.ndarray) -> np.ndarray:
        """Whether a barrier lies between what another thread did and this."""
        block = (other // self.slots == self.thread // self.slots) & (epoch < self.epoch)
        return block | ((other >> 5 == self.thread >> 5) & (clock < self.clock))


class Shadow:
    """For each place in memory who has written and read it last."""

    def __init__(self, size: int):
        self.grain = GRAIN
        n = -(-size // GRAIN)
        self.writer, self.reader = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
        self.written_epoch, self.written_clock = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self.read_epoch, self.read_clock = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self.readers = np.zeros(n, np.int8)

    def touch(self, place: np.ndarray, size: int, now: Moment, store: bool) -> list[tuple]:
        """Notes an access of so many bytes; what is wrong with it: (for which threads, with which
        other ones, whether across warps, what)."""
        if size < self.grain:
            for name, array in vars(self).items():
                if isinstance(array, np.ndarray):
                    setattr(self, name, np.repeat(array, self.grain // size))
            self.grain = size
        found = []
        for k in range(size // self.grain):
            at = place // self.grain + k
            found += self._store(at, now) if store else self._load(at, now)
        return [(which, *rest) for which, *rest in found if which.any()]

    def _load(self, at: np.ndarray, now: Moment) -> list[tuple]:
        wrong = self._after_write(at, now, "read after write")
        reader, epoch = self.reader[at], self.read_epoch[at]
        level = self.readers[at]
        # What one warp has read is ordered by a barrier of that warp, what several have is not.
        clock = np.where(level == ACROSS, now.clock, self.read_clock[at])
        others = (reader >= 0) & ~now.follows(reader, epoch, clock)
        apart = np.where(reader >> 5 == now.thread >> 5, WITHIN, ACROSS)
        joined = np.where(reader == now.thread, level, np.maximum(apart, level))
        self.reader[at] = now.thread
        self.readers[at] = np.where(others, joined, ONE)
        self.read_epoch[at], self.read_clock[at] = now.epoch, now.clock
        last = self.reader[at]
        again = last != now.thread  # read by several threads in one instruction
        if again.any():
            apart = np.where(last >> 5 == now.thread >> 5, WITHIN, ACROSS).astype(np.int8)
            np.maximum.at(self.readers, at[again], apart[again])
        return [wrong]

    def _store(self, at: np.ndarray, now: Moment) -> list[tuple]:
        wrong = self._after_write(at, now, "write after write")
        reader, level = self.reader[at], self.readers[at]
        clock = np.where(level == ACROSS, now.clock, self.read_clock[at])
        others = (reader >= 0) & ((reader != now.thread) | (level > ONE))
        others &= ~now.follows(reader, self.read_epoch[at], clock)
        across = (level == ACROSS) | (reader >> 5 != now.thread >> 5)
        self.writer[at] = now.thread
        self.written_epoch[at], self.written_clock[at] = now.epoch, now.clock
        last = self.writer[at]
        at_once = last != now.thread
        return [
            wrong,
            (others, reader, across, "write after read"),
            (at_once, last, last >> 5 != now.thread >> 5, "write after write"),
        ]

    def _after_write(self, at: np.ndarray, now: Moment, what: str) -> tuple:
        writer = self.writer[at]
        others = (writer >= 0) & (writer != now.thread)
        others &= ~now.follows(writer, self.written_epoch[at], self.written_clock[at])
        return others, writer, writer >> 5 != now.thread >> 5, what

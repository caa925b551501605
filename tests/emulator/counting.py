"""What accesses cost: sectors of global memory, turns of the banks of shared memory."""

import numpy as np

from emulator.report import Access
from emulator.threads import Active

SECTOR = 5
"""log2 of the bytes that are moved at least."""
TABLE = 1 << 12
"""Sectors of an array that is small enough for a table of blocks and sectors."""
PLACE = 36
"""Bits of a sector's or word's number where it is put together with a warp's."""


class Traffic:
    """The sectors of an array in one launch."""

    def __init__(self, start: int, end: int):
        self.first = start >> SECTOR
        n = ((end + 31) >> SECTOR) - self.first
        self.read, self.written = np.zeros(n, bool), np.zeros(n, bool)
        self.stores = self.block_reads = 0
        self._last = np.full(n, -1, np.int64)
        self._table: np.ndarray | None = None

    def count(
        self, m: Access, A: Active, address: np.ndarray, store: bool, numbers: np.ndarray,
        block_of: np.ndarray,
    ) -> None:  # fmt: skip
        """An access, in blocks of threads with these numbers, of which a slot has the place."""
        m.ideal += A.ideal(m.size)
        warps, sectors = self._sectors(A, address)
        m.sectors += len(sectors)
        if store:
            self.written[sectors] = True
            self.stores += len(sectors)
            return
        self.read[sectors] |= ~self.written[sectors]
        block = block_of[warps << 5]
        if len(self.read) <= TABLE:
            if self._table is None:
                self._table = np.zeros((len(numbers), len(self.read)), bool)
            self._table[block, sectors] = True
            return
        new = self._last[sectors] != numbers[block]
        key = (numbers[block][new] << PLACE) | sectors[new]
        distinct = (key[1:] > key[:-1]).all()
        self.block_reads += len(key) if distinct else len(np.unique(key))
        self._last[sectors] = numbers[block]

    def next_blocks(self) -> None:
        """Other blocks of threads follow."""
        if self._table is not None:
            self.block_reads += int(np.count_nonzero(self._table))
            self._table = None

    def _sectors(self, A: Active, address: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each warp with each of its sectors, once."""
        if address.ndim == 0:
            sector = (int(address) >> SECTOR) - self.first
            return A.warps[A.starts], np.full(A.warp_count, sector)
        sector = (address >> np.uint64(SECTOR)).astype(np.int64) - self.first
        key = (A.warps << PLACE) | sector
        if (key[1:] < key[:-1]).any():
            key = np.sort(key)
        key = key[np.append(True, key[1:] != key[:-1])]
        return key >> PLACE, key & ((1 << PLACE) - 1)


def count_banks(m: Access, A: Active, place: np.ndarray) -> None:
    """In each turn the threads of a group reach one word of each bank. A group is a warp, half of
    one for 8 bytes and a quarter for 16; words are as wide as the access, and 128 bytes of them are
    in different banks."""
    size = max(4, m.size)
    shift, lanes = {4: (2, 5), 8: (3, 4), 16: (4, 3)}[size]
    banks = 128 // size
    group, word = A.slots >> lanes, A.spread(place) >> shift
    edges = group[1:] != group[:-1]
    groups = int(np.count_nonzero(edges)) + 1
    m.groups += groups
    steps = (word[1:] - word[:-1])[~edges]
    if not len(steps) or ((steps == steps[0]).all() and (steps[0] == 0 or steps[0] & 1)):
        m.waves += groups  # one word, or an odd distance: a bank for each
        return
    first = np.unique((group << PLACE) | word)
    key = (first >> PLACE) * banks + (first & (banks - 1))
    count = np.bincount(key - int(key.min()) // banks * banks)
    count = np.append(count, np.zeros(-len(count) % banks, count.dtype)).reshape(-1, banks)
    m.waves += int(count.max(1).sum())

"""The memories of a launch: arrays of the host, and what a block or a thread has of its own.

Every access must lie in one array, on a multiple of its size. New memory has all bits set; a value
like that was never written.
"""

import bisect
import ctypes
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from emulator.counting import Traffic, count_banks
from emulator.races import Shadow
from emulator.report import Access
from emulator.syntax import Variable
from emulator.threads import Active

RED_ZONE = 1024
"""Bytes behind each shared array that belong to none."""
Values = tuple[np.ndarray, ...]


class Region:
    """A run of bytes of the host that stands for an array of the device."""

    def __init__(self, start: int, size: int, name: str = "", constant: bool = False):
        self.start, self.end, self.name, self.constant = start, start + size, name, constant
        self._views: dict[object, np.ndarray] = {}

    @cached_property
    def _bytes(self) -> np.ndarray:
        size = self.end - self.start
        return np.frombuffer((ctypes.c_uint8 * size).from_address(self.start), np.uint8)

    def view(self, dtype: object) -> np.ndarray:
        if dtype not in self._views:
            item = np.dtype(dtype).itemsize
            self._views[dtype] = self._bytes[: len(self._bytes) // item * item].view(dtype)
        return self._views[dtype]


class MemoryMap:
    """The regions that exist."""

    def __init__(self, regions: Iterable[Region] = ()):
        self.regions = sorted(regions, key=lambda r: r.start)
        self.starts = [r.start for r in self.regions]

    def find(self, address: int) -> Region | None:
        k = bisect.bisect_right(self.starts, address) - 1
        return self.regions[k] if k >= 0 and address < self.regions[k].end else None

    def add_array(self, array: np.ndarray, name: str = "", constant: bool = False) -> Region:
        assert array.flags.c_contiguous
        region = Region(array.ctypes.data, array.nbytes, name, constant)
        self.__init__([*self.regions, region])
        return region

    def near(self, address: int) -> str:
        """Words about the array before an address."""
        k = bisect.bisect_right(self.starts, address) - 1
        if k < 0:
            return ""
        r = self.regions[k]
        return f", {address - r.end} bytes past the end of {r.name or 'an array'}"


def bad(A: Active, condition: np.ndarray) -> int | None:
    """The first thread for which it holds."""
    return int(np.flatnonzero(A.spread(condition))[0]) if np.any(condition) else None


def moved(memory: np.ndarray, place: np.ndarray, parts: int, values: Values | None) -> list:
    """Reads, or writes, elements that follow one another."""
    if values is None:
        return [memory[place + k] for k in range(parts)]
    for k, v in enumerate(values):
        to = place + k
        memory[np.broadcast_to(to, v.shape) if v.ndim > to.ndim else to] = v
    return []


class GlobalMemory:
    def __init__(self, machine, regions: MemoryMap, tracked: set[Region]):
        self.machine, self.map = machine, regions
        self.traffic: dict[Region, Traffic] = {}
        self.shadows = {r: Shadow(r.end - r.start) for r in tracked}
        """Of what the kernel may write to."""

    def access(self, A: Active, m: Access, address, kind, parts: int, values) -> list:
        low, high = int(address.min()), int(address.max())
        region = self.map.find(low)
        if region is None or high + m.size > region.end:
            return self._in_several(A, m, address, kind, parts, values)
        machine = self.machine
        k = bad(A, address & np.uint64(m.size - 1) != 0)
        if k is not None:
            machine.refuse(A, m, k, "misaligned access", address)
        if values is not None and region.constant:
            machine.refuse(A, m, 0, "write to a constant", address)
        if region not in self.traffic:
            self.traffic[region] = Traffic(region.start, region.end)
        self.traffic[region].count(
            m, A, address, values is not None, machine.blocks, machine.block_of
        )
        place = (address - np.uint64(region.start)).astype(np.int64)
        if machine.races and region in self.shadows:
            self._race(A, m, region, place, values is not None)
        out = moved(region.view(kind), place // np.dtype(kind).itemsize, parts, values)
        if not region.constant:
            for v in out:
                self._unwritten(A, m, region, v)
        return out

    def _in_several(self, A: Active, m: Access, address, kind, parts: int, values) -> list:
        """Threads that reach into different arrays, or outside of all."""
        address = A.spread(address)
        starts = np.array(self.map.starts, np.uint64)
        ends = np.array([0, *[r.end for r in self.map.regions]], np.uint64)
        which = np.searchsorted(starts, address, "right")
        k = bad(A, address + np.uint64(m.size) > ends[which])
        if k is not None:
            what = f"{'read' if values is None else 'write'} outside of all arrays"
            self.machine.refuse(A, m, k, what + self.map.near(int(address[k])), address)
        out = [np.empty(A.n, kind) for _ in range(0 if values else parts)]
        for number in np.unique(which):
            keep = which == number
            some = values and tuple([A.spread(v)[keep] for v in values])
            got = self.access(A.kept(keep), m, address[keep], kind, parts, some)
            for o, g in zip(out, got, strict=True):
                o[keep] = g
        return out

    def _race(self, A: Active, m: Access, region: Region, place, store: bool) -> None:
        slots = self.machine.slots
        found = self.shadows[region].touch(A.spread(place), m.size, self.machine.now(A), store)
        for which, others, _, what in found:
            k = int(np.flatnonzero(which)[0])
            text = f"{what}, with block {others[k] // slots}, thread {others[k] % slots}"
            self.machine.found("race in global memory", A, m, which, text)

    def _unwritten(self, A: Active, m: Access, region: Region, v: np.ndarray) -> None:
        bits = np.asarray(v).view(f"u{v.dtype.itemsize}")
        never = bits == np.iinfo(bits.dtype).max
        if never.any():
            perhaps = v.dtype.kind in "iu" and v.dtype.itemsize > 1
            kind = f"memory that was {'perhaps ' if perhaps else ''}never written"
            self.machine.found(kind, A, m, A.spread(never), region.name)

    def next_blocks(self) -> None:
        for t in self.traffic.values():
            t.next_blocks()


class SharedMemory:
    """Of the blocks of a chunk, one after the other."""

    def __init__(self, machine, arrays: list[Variable], blocks: int):
        self.machine = machine
        self.symbols, self.size = placed(arrays, RED_ZONE)
        self.bytes = np.full(blocks * self.size, 0xFF, np.uint8)
        self.shadow = Shadow(len(self.bytes))
        self.allowed = np.zeros(self.size, bool)
        for v in arrays:
            start = int(self.symbols[v.name])
            self.allowed[start : start + v.size] = True

    def access(self, A: Active, m: Access, address, kind, parts: int, values) -> list:
        place = A.spread(address).astype(np.int64)
        k = bad(A, (place < 0) | (place + m.size > self.size))
        if k is None:
            k = bad(A, ~(self.allowed[place] & self.allowed[place + m.size - 1]))
        if k is not None:
            self.machine.refuse(A, m, k, "access outside of the shared arrays", address)
        k = bad(A, place & (m.size - 1) != 0)
        if k is not None:
            self.machine.refuse(A, m, k, "misaligned access", address)
        count_banks(m, A, place)
        place = place + self.machine.block_of[A.slots] * self.size
        if values is None:
            never = self.shadow.writer[place // self.shadow.grain] < 0
            if never.any():
                self.machine.found("shared memory that was never written", A, m, never)
        if self.machine.races:
            self._race(A, m, place, values is not None)
        return moved(self.bytes.view(kind), place // np.dtype(kind).itemsize, parts, values)

    def _race(self, A: Active, m: Access, place: np.ndarray, store: bool) -> None:
        slots = self.machine.slots
        found = self.shadow.touch(place, m.size, self.machine.now(A), store)
        for which, others, across, what in found:
            kinds = (
                (which & across, "race in shared memory"),
                (which & ~across, "race within a warp"),
            )
            for chosen, kind in kinds:
                if chosen.any():
                    other = others[np.flatnonzero(chosen)[0]] % slots
                    self.machine.found(kind, A, m, chosen, f"{what}, with thread {other}")


class LocalMemory:
    """Of each thread of a chunk."""

    def __init__(self, machine, arrays: list[Variable], threads: int):
        self.machine = machine
        self.symbols, self.size = placed(arrays, 0)
        self.bytes = np.full(threads * self.size, 0xFF, np.uint8)

    def access(self, A: Active, m: Access, address, kind, parts: int, values) -> list:
        place = A.spread(address).astype(np.int64)
        k = bad(A, (place < 0) | (place + m.size > self.size) | (place & (m.size - 1) != 0))
        if k is not None:
            self.machine.refuse(A, m, k, "access outside of local memory, or misaligned", address)
        place = (A.slots * self.size + place) // np.dtype(kind).itemsize
        return moved(self.bytes.view(kind), place, parts, values)


def placed(arrays: list[Variable], apart: int) -> tuple[dict[str, np.uint64], int]:
    """Where each array begins, and where the last one ends."""
    symbols, end = {}, 0
    for v in arrays:
        align = max(v.align, 16)
        symbols[v.name] = np.uint64(-(-end // align) * align)
        end = -(-(int(symbols[v.name]) + v.size + apart) // 16) * 16
    return symbols, end

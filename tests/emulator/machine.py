"""The machine that runs a generated kernel: threads, memory, barriers, and what is counted.

Blocks of threads are run in chunks; all threads of a chunk that stand at the smallest basic block
are run together, so threads of a warp come together again as soon as the code lets them. Every
access is checked (see `Fault` and `Finding`) and counted (see `Report`).
"""

from __future__ import annotations

import bisect
import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from emulator.generate import Code

CHUNK = 1 << 14
"""Threads that are run together, about: their registers stay in the cache."""
SMALL = 1 << 12
"""Sectors of a region that is small enough for a table of blocks and sectors."""
RED_ZONE = 1024
"""Bytes between shared arrays that belong to none of them."""
WAITS, EXITED = 1 << 30, (1 << 30) + 1
u32, u64 = np.uint32, np.uint64


class Fault(Exception):
    """An access that the hardware would refuse, or that leaves its array."""


@dataclass
class Finding:
    """Something that is wrong or suspicious, once for each instruction; `count` says how often."""

    kind: str
    line: int
    text: str
    example: str
    count: int = 0


class Region:
    """A run of bytes of the host that stands for an array of the device."""

    def __init__(self, start: int, size: int, name: str = "", poison: bool = True):
        self.start, self.end, self.name, self.poison = start, start + size, name, poison
        self.readonly = False
        self._bytes: np.ndarray | None = None
        self._views: dict[object, np.ndarray] = {}
        self.fresh()

    def fresh(self) -> None:
        """Nothing has been touched in this launch."""
        self.rd = self.wr = self.last = None
        self.tracked = self.stored = False
        self.touched: np.ndarray | None = None
        self.shadow: dict[str, np.ndarray] = {}
        self.requests_read = self.requests_written = self.l2_read = 0

    def view(self, dtype: object) -> np.ndarray:
        found = self._views.get(dtype)
        if found is None:
            if self._bytes is None:
                size = self.end - self.start
                memory = (ctypes.c_uint8 * size).from_address(self.start)
                self._bytes = np.frombuffer(memory, np.uint8)
            item = np.dtype(dtype).itemsize
            whole = len(self._bytes) // item * item
            found = self._views[dtype] = self._bytes[:whole].view(dtype)
        return found

    @property
    def base_sector(self) -> int:
        return self.start >> 5

    def flags(self) -> None:
        if self.rd is None:
            n = ((self.end + 31) >> 5) - self.base_sector
            self.rd, self.wr = np.zeros(n, bool), np.zeros(n, bool)
            self.last = None if n <= SMALL else np.full(n, -1, np.int32)


class MemoryMap:
    """The regions that exist."""

    def __init__(self, regions: Iterable[Region] = ()):
        self.regions = sorted(regions, key=lambda r: r.start)
        self.starts = [r.start for r in self.regions]

    def add(self, region: Region) -> None:
        k = bisect.bisect(self.starts, region.start)
        self.starts.insert(k, region.start)
        self.regions.insert(k, region)

    def find(self, address: int) -> Region | None:
        k = bisect.bisect_right(self.starts, address) - 1
        if k >= 0 and address < self.regions[k].end:
            return self.regions[k]
        return None

    def add_array(self, array: np.ndarray, name: str = "", poison: bool = True) -> Region:
        assert array.flags.c_contiguous
        region = Region(array.ctypes.data, array.nbytes, name, poison)
        self.add(region)
        return region


class Active:
    """A set of threads of a chunk, by their slots (each warp has 32, each block whole warps)."""

    def __init__(self, slots: np.ndarray, full: bool):
        self.slots, self.full, self.n = slots, full, len(slots)
        self.idx = slots
        self.w = slots >> 5
        self.change = self.w[1:] != self.w[:-1]
        self.nw = int(np.count_nonzero(self.change)) + 1 if self.n else 0
        self._counts: np.ndarray | None = None
        self._starts: np.ndarray | None = None
        self._ideal: dict[int, int] = {}
        self._lane: np.ndarray | None = None

    @property
    def starts(self) -> np.ndarray:
        if self._starts is None:
            self._starts = np.concatenate([[0], np.flatnonzero(self.change) + 1])
        return self._starts

    @property
    def counts(self) -> np.ndarray:
        """Active lanes of each warp that has any."""
        if self._counts is None:
            self._counts = np.diff(np.append(self.starts, self.n))
        return self._counts

    @property
    def lane(self) -> np.ndarray:
        if self._lane is None:
            self._lane = (self.slots & 31).astype(u32)
        return self._lane

    def ideal(self, size: int) -> int:
        """Sectors that accesses of so many bytes take at least."""
        if size not in self._ideal:
            self._ideal[size] = int((-(-self.counts * size // 32)).sum())
        return self._ideal[size]


@dataclass
class Access:
    """What a memory instruction has done in a launch."""

    line: int
    text: str
    space: str
    store: bool
    size: int
    block: int
    warps: int = 0
    lanes: int = 0
    sectors: int = 0
    ideal: int = 0
    waves: int = 0
    groups: int = 0


@dataclass
class Report:
    """A launch: how often what was run, and what was found."""

    name: str
    grid: int
    threads: int
    block_threads: np.ndarray
    block_warps: np.ndarray
    block_runs: np.ndarray
    accesses: list[Access]
    findings: dict[tuple[str, int], Finding] = field(default_factory=dict)
    dram_read: int = 0
    dram_written: int = 0
    l2_read: int = 0
    l2_written: int = 0
    l1_sectors: int = 0
    barriers: int = 0
    regions: list[tuple] = field(default_factory=list)
    sampled: float = 1.0
    """The part of the blocks that was run."""


class Machine:
    """One launch."""

    NEXT, EXIT = -1, EXITED
    SHARED_WINDOW, LOCAL_WINDOW = u64(1 << 56), u64(1 << 57)

    def __init__(
        self,
        code: Code,
        grid: int,
        threads: int,
        arguments: Sequence[int],
        memory: MemoryMap,
        races: bool = True,
        chunk: int = CHUNK,
    ):
        self.code, self.grid, self.threads = code, grid, threads
        self.memory, self.races = memory, races
        self.slots = -(-threads // 32) * 32
        self.chunk = max(1, chunk // self.slots)
        self.arguments = {}
        for (name, t), value in zip(code.entry.params, arguments, strict=True):
            self.arguments[name] = _argument(value, t)
        self._variables()
        n = len(code.functions)
        self.report = Report(
            code.entry.name, grid, threads, np.zeros(n, np.int64), np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            [Access(m.line, m.text, m.space, m.store, m.size, m.block) for m in code.memory],
        )  # fmt: skip
        self._used: dict[int, Region] = {}
        for r in memory.regions:
            r.fresh()
        for name in code.written_params:
            region = memory.find(int(self.arguments[name]))
            if region is not None:
                region.tracked = True

    def _variables(self) -> None:
        self.symbols: dict[str, np.uint64] = {}
        shared = local = 0
        tables = []
        for v in self.code.entry.variables.values():
            if v.space == "shared":
                shared = -(-shared // max(v.align, 16)) * max(v.align, 16)
                self.symbols[v.name] = u64(shared)
                tables.append((shared, v.size))
                shared += -(-v.size // 128) * 128 + RED_ZONE
            elif v.space == "local":
                local = -(-local // max(v.align, 16)) * max(v.align, 16)
                self.symbols[v.name] = u64(local)
                local += v.size
            else:
                data = np.zeros(v.size + 64, np.uint8)
                skip = -data.ctypes.data % 64
                place = data[skip : skip + v.size]
                if v.data:
                    place[:] = np.frombuffer(v.data, np.uint8)
                region = self.memory.add_array(place, v.name, poison=False)
                region.readonly, region.keep = True, data
                self.symbols[v.name] = u64(region.start)
        self.shared_bytes = -(-shared // 16) * 16
        self.local_bytes = -(-local // 16) * 16
        self.allowed = np.zeros(self.shared_bytes + 16, bool)
        for start, size in tables:
            self.allowed[start : start + size] = True

    # Running

    def run(self, blocks: Sequence[int] | None = None) -> Report:
        """Runs all blocks, or only those given."""
        every = list(range(self.grid)) if blocks is None else list(blocks)
        self.report.sampled = len(every) / self.grid
        with np.errstate(all="ignore"):
            for k in range(0, len(every), self.chunk):
                self._chunk(np.array(every[k : k + self.chunk]))
        self._close()
        return self.report

    def _chunk(self, blocks: np.ndarray) -> None:
        self.blocks, nb = blocks, len(blocks)
        T = self.T = nb * self.slots
        slots = np.arange(T)
        self.registers: dict[str, object] = {}
        self.owned: set[str] = set()
        self.everything = Active(slots, True)
        self.block_of = slots // self.slots
        tid = (slots % self.slots).astype(u32)
        self.specials = {
            "tid.x": tid, "ntid.x": u32(self.threads), "nctaid.x": u32(self.grid),
            "ctaid.x": blocks.astype(u32)[self.block_of], "laneid": tid & u32(31),
            "warpid": tid >> u32(5), "clock64": u64(0), "clock": u32(0),
        }  # fmt: skip
        for axis in "yz":
            self.specials |= {f"tid.{axis}": u32(0), f"ctaid.{axis}": u32(0)}
            self.specials |= {f"ntid.{axis}": u32(1), f"nctaid.{axis}": u32(1)}
        self.shared = np.full(nb * self.shared_bytes, 0xFF, np.uint8)
        words = len(self.shared) // 4
        self.sw = np.full(words, -1, np.int32)  # last writer
        self.se = np.full(words, -1, np.int32)  # in which epoch
        self.ss = np.zeros(words, np.int32)  # after how many barriers of its warp
        self.rw = np.full(words, -1, np.int32)  # last reader
        self.re = np.full(words, -1, np.int32)
        self.rm = np.zeros(words, np.int8)  # 1: several threads of a warp; 2: several warps
        self.warp_syncs = np.zeros(T // 32, np.int32)
        self.local = np.full(T * self.local_bytes, 0xFF, np.uint8)
        self.epoch = 0
        self._new_small_tables()
        self.pcs = np.zeros(T, np.int32)
        self.resume = np.zeros(T, np.int32)
        converged, current = self.threads == self.slots, 0
        if not converged:
            self.pcs[tid >= self.threads] = EXITED
        functions, report = self.code.functions, self.report
        counts = report.block_threads, report.block_warps, report.block_runs
        while True:
            if converged:
                A, b = self.everything, current
            else:
                b = int(self.pcs.min())
                if b == WAITS:
                    self._release()
                    continue
                if b == EXITED:
                    break
                slots = np.flatnonzero(self.pcs == b)
                A = self.everything if len(slots) == T else Active(slots, False)
            counts[0][b] += A.n
            counts[1][b] += A.nw
            counts[2][b] += 1
            self.block = b
            result = functions[b](self, A)
            if result is None:  # the threads have gone different ways
                converged = False
                continue
            following = b + 1 if result == -1 else result
            if A.full:
                if following >= WAITS:
                    if following == EXITED:
                        break
                    converged = False
                    self.pcs[:] = following
                else:
                    converged, current = True, following
            else:
                self.pcs[A.idx] = following
        self._close_small_tables()

    def branch(self, A: Active, p: object, target: int) -> int | None:
        if p.ndim == 0:
            return target if p else -1
        if p.all():
            return target
        if not p.any():
            return -1
        ways = np.where(p, np.int32(target), np.int32(self.block + 1))
        if A.full:
            self.pcs[:] = ways
        else:
            self.pcs[A.idx] = ways
        return None

    def barrier(self, A: Active, line: int, number: int) -> int:
        if A.full:
            self.epoch += 1
            self.report.barriers += len(self.blocks)
            return -1
        self.resume[A.idx] = self.block + 1
        self.barrier_line = line
        return WAITS

    def _release(self) -> None:
        waiting = self.pcs == WAITS
        places = np.where(waiting, self.resume, -1).reshape(len(self.blocks), -1)
        low = np.where(places < 0, WAITS, places).min(1)
        if (low != WAITS).any() and (places.max(1)[low != WAITS] != low[low != WAITS]).any():
            k = int(np.flatnonzero((low != WAITS) & (places.max(1) != low))[0])
            self.found("barrier at different places", self.barrier_line, "bar.sync", None, k)
        real = (np.arange(self.slots) < self.threads)[None, :]
        some = (waiting.reshape(places.shape)).any(1)
        left = ((~waiting).reshape(places.shape) & real).any(1)
        if (some & left).any():
            k = int(np.flatnonzero(some & left)[0])
            self.found("barrier that some threads never reach", self.barrier_line, "bar.sync", None, k)
        self.report.barriers += int(some.sum())
        self.pcs[waiting] = self.resume[waiting]
        self.epoch += 1

    def warp_barrier(self, A: Active, line: int, mask: object) -> None:
        if A.full:
            self.warp_syncs += 1
            return
        self._lanes_there(A, line, mask, "bar.warp.sync")
        self.warp_syncs[A.w[A.starts]] += 1

    def trap(self, A: Active, line: int) -> int:
        raise Fault(f"{self._where(line, int(A.slots[0]))}: trap")

    # Registers and operands

    def get(self, r: str, A: Active) -> object:
        v = self.registers.get(r)
        if v is None:
            return _ZERO[self.code.entry.registers[r]]
        if A.full:
            self.owned.discard(r)
            return v
        return v if v.ndim == 0 else v[A.idx]

    def put(self, r: str, A: Active, v: object) -> None:
        if A.full:
            self.registers[r] = v
            self.owned.discard(r)
            return
        old = self.registers.get(r)
        if old is None or old.ndim == 0:
            base = np.zeros(self.T, v.dtype)
            if old is not None:
                base[:] = old
        elif r in self.owned:
            base = old
        else:
            base = old.copy()
        base[A.idx] = v
        self.registers[r] = base
        self.owned.add(r)

    def special(self, name: str, A: Active) -> object:
        v = self.specials.get(name)
        if v is None:
            raise Fault(f"special register {name}")
        return v if v.ndim == 0 or A.full else v[A.idx]

    def symbol(self, name: str) -> np.uint64:
        return self.symbols[name]

    def parameter(self, name: str, offset: int, kind: object) -> object:
        assert not offset
        return np.asarray(self.arguments[name]).view(kind)[()]

    # Messages

    def _where(self, line: int, slot: int) -> str:
        block = int(self.blocks[slot // self.slots])
        return f"{self.code.entry.name}, line {line}, block {block}, thread {slot % self.slots}"

    def found(
        self, kind: str, line: int, text: str, slot: int | None, block: int = 0, count: int = 1,
        more: str = "",
    ) -> None:  # fmt: skip
        finding = self.report.findings.get((kind, line))
        if finding is None:
            where = (
                self._where(line, slot) if slot is not None
                else f"{self.code.entry.name}, line {line}, block {int(self.blocks[block])}"
            )  # fmt: skip
            example = where + (f": {more}" if more else "")
            finding = self.report.findings[kind, line] = Finding(kind, line, text, example)
        finding.count += count

    # Warps

    def shuffle(
        self, A: Active, line: int, mode: str, a: object, b: object, c: object, mask: object
    ) -> tuple:
        lane = A.lane
        own, clamp, segments = b & u32(31), c & u32(31), (c >> u32(8)) & u32(31)
        low = lane & segments
        high = low | (clamp & ~segments)
        if mode == "bfly":
            j = lane ^ own
            inside = j <= high
        elif mode == "idx":
            j = low | (own & ~segments)
            inside = j <= high
        elif mode == "down":
            j = lane + own
            inside = j <= high
        else:
            j = lane - own
            inside = j.view(np.int32) >= high.view(np.int32)
        j = np.where(inside, j, lane)
        source = (A.slots & ~31) | j.astype(np.int64)
        if A.full:
            return (a if a.ndim == 0 else a[source]), inside
        self._lanes_there(A, line, mask, "shfl.sync")
        values, there = np.zeros(self.T, u32), np.zeros(self.T, bool)
        values[A.idx], there[A.idx] = a, True
        ok = there[source]
        if not ok.all():
            k = int(np.flatnonzero(~ok)[0])
            self.found(
                "shuffle from a lane that is not there", line, "shfl.sync", int(A.slots[k]),
                count=int((~ok).sum()),
            )  # fmt: skip
        return values[source], inside

    def _ballot(self, A: Active, p: object) -> np.ndarray:
        bits = np.where(p, u64(1), u64(0)) << A.lane.astype(u64)
        return np.add.reduceat(np.broadcast_to(bits, A.slots.shape), A.starts).astype(u32)

    def _lanes_there(self, A: Active, line: int, mask: object, what: str) -> None:
        """All lanes of the mask must come to the instruction together."""
        if mask is None:
            return
        have = self._ballot(A, np.bool_(True))
        want = mask if mask.ndim == 0 else mask[A.starts]
        missing = want & ~have
        if np.any(missing):
            k = int(np.flatnonzero(missing)[0])
            slot = int(A.slots[A.starts[k]])
            self.found(
                f"{what} without lanes of its mask", line, what, slot,
                count=int((missing != 0).sum()), more=f"missing lanes {int(missing[k]):#010x}",
            )  # fmt: skip

    def vote(self, A: Active, line: int, mode: str, p: object, mask: object) -> object:
        if not A.full and mask is not None:
            self._lanes_there(A, line, mask, "vote.sync")
        got, every = self._ballot(A, p), self._ballot(A, np.bool_(True))
        found = {
            "ballot": got, "all": got == every, "any": got != 0,
            "uni": (got == every) | (got == 0),
        }[mode]  # fmt: skip
        return np.repeat(found, A.counts)

    # Memory

    def load(
        self, A: Active, number: int, address: object, kind: object, parts: int, mask: object
    ) -> object:
        if mask is not None:
            return self._masked_load(A, number, address, kind, parts, mask)
        return self._access(A, number, address, kind, parts, None)

    def store(
        self, A: Active, number: int, address: object, values: tuple, kind: object, mask: object
    ) -> None:
        if mask is not None:
            keep = np.broadcast_to(mask, A.slots.shape)
            if not keep.any():
                return
            values = tuple([v if v.ndim == 0 else v[keep] for v in values])
            address = address if address.ndim == 0 else address[keep]
            A = Active(A.slots[keep], False)
        self._access(A, number, address, kind, len(values), values)

    def _masked_load(self, A, number, address, kind, parts, mask) -> object:
        keep = np.broadcast_to(mask, A.slots.shape)
        out = [np.zeros(A.n, kind) for _ in range(parts)]
        if keep.any():
            place = address if address.ndim == 0 else address[keep]
            sub = Active(A.slots[keep], False)
            got = self._access(sub, number, place, kind, parts, None)
            for o, g in zip(out, got if parts > 1 else [got], strict=True):
                o[keep] = g
        return out if parts > 1 else out[0]

    def _access(self, A, number, address, kind, parts, values) -> object:
        m = self.report.accesses[number]
        m.warps += A.nw
        m.lanes += A.n
        space = m.space
        if space == "generic":
            low = int(address.min())
            if low >= int(self.LOCAL_WINDOW):
                space, address = "local", address - self.LOCAL_WINDOW
            elif low >= int(self.SHARED_WINDOW):
                space, address = "shared", address - self.SHARED_WINDOW
        if space == "shared":
            return self._shared(A, m, address, kind, parts, values)
        if space == "local":
            return self._local(A, m, address, kind, parts, values)
        return self._global(A, m, address, kind, parts, values)

    def _refuse(self, A, m, address, bad, what: str) -> None:
        k = int(np.flatnonzero(np.broadcast_to(bad, A.slots.shape))[0])
        place = int(address if address.ndim == 0 else address[k])
        near = ""
        if m.space in ("global", "generic"):
            j = bisect.bisect_right(self.memory.starts, place) - 1
            if j >= 0:
                r = self.memory.regions[j]
                near = f", {place - r.end} bytes past the end of {r.name or 'an array'} of {r.end - r.start}"
            if j + 1 < len(self.memory.regions):
                r = self.memory.regions[j + 1]
                near += f", {r.start - place} bytes before {r.name or 'an array'}"
        raise Fault(
            f"{self._where(m.line, int(A.slots[k]))}: {what} of {m.size} bytes at {place:#x}{near}: "
            f"{m.text}"
        )

    def _local(self, A, m, address, kind, parts, values) -> object:
        size = np.dtype(kind).itemsize
        off = address.astype(np.int64)
        bad = (off < 0) | (off + size * parts > self.local_bytes)
        if np.any(bad):
            self._refuse(A, m, address, bad, "local access outside")
        if np.any(off % size):
            self._refuse(A, m, address, off % size != 0, "misaligned access")
        place = (A.slots * self.local_bytes + off) // size
        memory = self.local.view(kind)
        if values is None:
            out = [memory[place + k] for k in range(parts)]
            return out if parts > 1 else out[0]
        for k, v in enumerate(values):
            memory[place + k] = v
        return None

    def _shared(self, A, m, address, kind, parts, values) -> object:
        item = np.dtype(kind).itemsize
        size = item * parts
        off = address.astype(np.int64)
        bad = (off < 0) | (off + size > self.shared_bytes)
        if not np.any(bad):
            bad = ~(self.allowed[off] & self.allowed[off + size - 1])
        if np.any(bad):
            self._refuse(A, m, address, bad, "shared access outside of an array")
        if np.any(off & (size - 1)):
            self._refuse(A, m, address, (off & (size - 1)) != 0, "misaligned access")
        self._banks(A, m, off, size)
        base = self.block_of[A.slots] * self.shared_bytes + off
        if self.races:
            for k in range(max(1, size // 4)):
                self._shared_race(A, m, (base >> 2) + k, values is not None)
        memory, place = self.shared.view(kind), base // item
        if values is None:
            out = [memory[place + k] for k in range(parts)]
            return out if parts > 1 else out[0]
        for k, v in enumerate(values):
            memory[place + k] = v
        return None

    def _banks(self, A, m, off, size) -> None:
        """Wavefronts: in each the threads of a group (a warp for 4 bytes, half of one for 8, a
        quarter for 16) reach one word of each bank."""
        wide = max(4, size)
        shift, lanes = {4: (2, 5), 8: (3, 4), 16: (4, 3)}[wide]
        if off.ndim == 0:
            groups = A.nw if lanes == 5 else len(np.unique(A.slots >> lanes))
            m.groups += groups
            m.waves += groups
            return
        group, unit = A.slots >> lanes, off >> shift
        edge = group[1:] != group[:-1]
        groups = int(np.count_nonzero(edge)) + 1
        m.groups += groups
        d = unit[1:] - unit[:-1]
        inner = d[~edge] if edge.any() else d
        if not len(inner) or (inner == inner[0]).all() and (inner[0] == 0 or inner[0] & 1):
            m.waves += groups
            return
        banks = 128 // wide
        first = np.unique((group << 24) | unit)
        key = (first >> 24) * banks + (first & (banks - 1))
        low = int(key.min()) // banks * banks
        count = np.bincount(key - low)
        count = np.append(count, np.zeros(-len(count) % banks, count.dtype)).reshape(-1, banks)
        m.waves += int(count.max(1).sum())

    def _shared_race(self, A, m, words, store: bool) -> None:
        slots, E = A.slots.astype(np.int32), self.epoch
        writer = self.sw[words]
        if not store:
            never = writer < 0
            if never.any():
                k = int(np.flatnonzero(never)[0])
                self.found("shared memory that was never written", m.line, m.text,
                           int(slots[k]), count=int(never.sum()))  # fmt: skip
        other = (self.se[words] == E) & (writer != slots)
        if other.any():
            self._race(m, slots, writer, words, other, "read after write" if not store else "write after write")
        if store:
            reader, multi = self.rw[words], self.rm[words]
            other = (self.re[words] == E) & ((reader != slots) | (multi > 0))
            if other.any():
                across = np.where(multi == 2, -2, reader)
                self._race(m, slots, across, words, other, "write after read")
            self.sw[words], self.se[words] = slots, E
            self.ss[words] = self.warp_syncs[slots >> 5]
            twice = self.sw[words] != slots
            if twice.any():
                self._race(m, slots, self.sw[words], words, twice, "write after write")
            return
        again = self.re[words] == E
        reader = self.rw[words]
        multi = np.where(again, self.rm[words], 0)
        differ = again & (reader != slots)
        multi = np.where(differ, np.maximum(multi, np.where(reader >> 5 != slots >> 5, 2, 1)), multi)
        self.rw[words], self.re[words], self.rm[words] = slots, E, multi.astype(np.int8)
        seen = self.rw[words]
        if (seen != slots).any():
            level = np.where(seen >> 5 != slots >> 5, 2, 1).astype(np.int8)
            differ = seen != slots
            self.rm[words[differ]] = np.maximum(self.rm[words[differ]], level[differ])

    def _race(self, m, slots, others, words, which, what: str) -> None:
        """Across warps it is a race; within one only if no barrier of the warp was between."""
        same = (others >> 5) == (slots >> 5)
        inside = which & same & (self.ss[words] == self.warp_syncs[slots >> 5])
        across = which & ~same
        for chosen, kind in ((across, "race in shared memory"), (inside, "race within a warp")):
            if chosen.any():
                k = int(np.flatnonzero(chosen)[0])
                partner = int(others[k])
                text = f"{what}, with thread {partner % self.slots}" if partner >= 0 else what
                self.found(kind, m.line, m.text, int(slots[k]), count=int(chosen.sum()), more=text)

    def _global(self, A, m, address, kind, parts, values) -> object:
        item = np.dtype(kind).itemsize
        size = item * parts
        one = address.ndim == 0
        low, high = (int(address),) * 2 if one else (int(address.min()), int(address.max()))
        region = self.memory.find(low)
        if region is None or high + size > region.end:
            return self._several(A, m, address, kind, parts, values)
        if (low | high) & (size - 1) or (not one and (address & u64(size - 1)).any()):
            self._refuse(A, m, address, (address & u64(size - 1)) != 0, "misaligned access")
        if values is not None and region.readonly:
            self._refuse(A, m, address, np.ones(A.n, bool), "write to a constant")
        self._used.setdefault(region.start, region)
        self._sectors(A, m, region, address, size, values is not None)
        place = (address - u64(region.start)).astype(np.int64)
        if region.tracked and self.races:
            self._global_race(A, m, region, place, size, values is not None)
        memory = region.view(kind)
        place = place >> (item.bit_length() - 1)
        if values is None:
            out = [memory[place + k] if k else memory[place] for k in range(parts)]
            if region.poison:
                for v in out:
                    self._poison(A, m, region, v)
            return out if parts > 1 else out[0]
        region.stored = True
        for k, v in enumerate(values):
            memory[place + k] = v
        return None

    def _several(self, A, m, address, kind, parts, values) -> object:
        """Threads that reach into different arrays; or outside of all."""
        address = np.broadcast_to(address, A.slots.shape)
        size = np.dtype(kind).itemsize * parts
        starts = np.array(self.memory.starts, u64)
        ends = np.array([r.end for r in self.memory.regions], u64)
        which = np.searchsorted(starts, address, "right") - 1
        bad = which < 0
        if len(starts):
            bad |= address + u64(size) > ends[which]
        else:
            bad[:] = True
        if bad.any():
            self._refuse(A, m, address, bad, f"{'write' if values else 'read'} outside of all arrays")
        out = [np.empty(A.n, kind) for _ in range(parts)]
        for k in np.unique(which):
            keep = which == k
            sub = Active(A.slots[keep], False)
            some = None
            if values is not None:
                some = tuple([v if v.ndim == 0 else v[keep] for v in values])
            got = self._global(sub, m, address[keep], kind, parts, some)
            if values is None:
                for o, g in zip(out, got if parts > 1 else [got], strict=True):
                    o[keep] = g
        if values is not None:
            return None
        return out if parts > 1 else out[0]

    def _poison(self, A, m, region, v) -> None:
        bits = np.asarray(v).view(f"u{v.dtype.itemsize}")
        bad = bits == np.iinfo(bits.dtype).max
        if bad.any():
            k = int(np.flatnonzero(np.broadcast_to(bad, A.slots.shape))[0])
            kind = "memory that was never written"
            if v.dtype.kind in "iu" and v.dtype.itemsize > 1:
                kind = "memory that was perhaps never written (-1)"
            self.found(kind, m.line, m.text, int(A.slots[k]), count=int(bad.sum()), more=region.name)

    def _sectors(self, A, m, region, address, size, store) -> None:
        region.flags()
        ideal = A.ideal(size)
        m.ideal += ideal
        if address.ndim == 0:
            w = A.w[A.starts]
            s = np.full(len(w), (int(address) >> 5) - region.base_sector)
        else:
            s = (address >> u64(5)).astype(np.int64) - region.base_sector
            w = A.w
            if not ((s[1:] >= s[:-1]) | A.change).all():
                key = np.sort((w << 36) | s)
                w, s = key >> 36, key & ((1 << 36) - 1)
                first = np.flatnonzero(key[1:] != key[:-1])
            else:
                first = np.flatnonzero((s[1:] != s[:-1]) | A.change)
            first = np.concatenate([[0], first + 1])
            w, s = w[first], s[first]
        m.sectors += len(s)
        if store:
            region.wr[s] = True
            region.requests_written += len(s)
            return
        region.requests_read += len(s)
        if region.stored:
            region.rd[s] |= ~region.wr[s]
        else:
            region.rd[s] = True
        block = self.block_of[w << 5]
        if region.last is None:
            if region.touched is None or len(region.touched) != len(self.blocks):
                region.touched = np.zeros((len(self.blocks), len(region.rd)), bool)
            region.touched[block, s] = True
            return
        number = self.blocks[block].astype(np.int32)
        new = region.last[s] != number
        if new.any():
            key = (number[new].astype(np.int64) << 36) | s[new]
            distinct = (key[1:] > key[:-1]).all()
            region.l2_read += len(key) if distinct else len(np.unique(key))
            region.last[s] = number

    def _new_small_tables(self) -> None:
        for r in self._used.values():
            r.touched = None

    def _close_small_tables(self) -> None:
        for r in self._used.values():
            if r.touched is not None:
                r.l2_read += int(np.count_nonzero(r.touched))
                r.touched = None

    def _global_race(self, A, m, region, place, size, store) -> None:
        """Two threads of a launch at one place, one of them writing, with no barrier between."""
        shadow = region.shadow
        grain = min(size, 4)
        if not shadow:
            shadow["grain"] = grain
        if grain < shadow["grain"]:
            times = shadow["grain"] // grain
            for k in ("writer", "epoch", "reader", "rmulti", "repoch"):
                if k in shadow:
                    shadow[k] = np.repeat(shadow[k], times)
            shadow["grain"] = grain
        grain = shadow["grain"]
        if "writer" not in shadow:
            n = -(-(region.end - region.start) // grain)
            shadow["writer"] = np.full(n, -1, np.int32)
            shadow["epoch"] = np.zeros(n, np.int32)
            shadow["reader"] = np.full(n, -1, np.int32)
            shadow["repoch"] = np.zeros(n, np.int32)
            shadow["rmulti"] = np.zeros(n, bool)
        block = self.block_of[A.slots]
        me = (self.blocks[block] * self.slots + A.slots % self.slots).astype(np.int32)
        place = np.broadcast_to(place, A.slots.shape)
        for k in range(size // grain):
            at = place // grain + k
            writer = shadow["writer"][at]
            other = (writer >= 0) & (writer != me)
            ordered = (writer // self.slots == me // self.slots) & (shadow["epoch"][at] < self.epoch)
            other &= ~ordered
            what = "read after write"
            if store:
                reader = shadow["reader"][at]
                read = (reader >= 0) & ((reader != me) | shadow["rmulti"][at])
                ordered = (reader // self.slots == me // self.slots) & (
                    shadow["repoch"][at] < self.epoch
                )
                read &= ~ordered
                other, what = other | read, "write after another thread's read or write"
                shadow["writer"][at], shadow["epoch"][at] = me, self.epoch
                twice = shadow["writer"][at] != me
                if twice.any():
                    other = other | twice
            else:
                reader = shadow["reader"][at]
                shadow["rmulti"][at] |= (reader >= 0) & (reader != me)
                shadow["reader"][at], shadow["repoch"][at] = me, self.epoch
                differ = shadow["reader"][at] != me
                if differ.any():
                    shadow["rmulti"][at[differ]] = True
            if other.any():
                k0 = int(np.flatnonzero(other)[0])
                partner = int(writer[k0])
                text = f"{what}"
                if partner >= 0:
                    text += f" (block {partner // self.slots}, thread {partner % self.slots})"
                self.found("race in global memory", m.line, m.text, int(A.slots[k0]),
                           count=int(other.sum()), more=text)  # fmt: skip

    def atomic(self, A, number, address, what, values, kind, mask) -> object:
        """One thread after the other, in their order."""
        m = self.report.accesses[number]
        m.warps += A.nw
        m.lanes += A.n
        self.found("atomic operation", m.line, m.text, int(A.slots[0]), count=A.n)
        address = np.broadcast_to(address, A.slots.shape)
        keep = np.ones(A.n, bool) if mask is None else np.broadcast_to(mask, A.slots.shape)
        wide = [np.broadcast_to(v, A.slots.shape) for v in values]
        out = np.zeros(A.n, kind)
        size = np.dtype(kind).itemsize
        for k in np.flatnonzero(keep):
            if m.space == "shared":
                base = int(self.block_of[A.slots[k]]) * self.shared_bytes + int(address[k])
                memory, at = self.shared.view(kind), base // size
            else:
                region = self.memory.find(int(address[k]))
                if region is None:
                    self._refuse(A, m, address, np.arange(A.n) == k, "atomic outside")
                memory, at = region.view(kind), (int(address[k]) - region.start) // size
            old = memory[at]
            out[k] = old
            memory[at] = _ATOMIC[what](old, *[x[k] for x in wide])
        return out

    def _close(self) -> None:
        report = self.report
        for r in self._used.values():
            if r.rd is None:
                continue
            read, written = int(np.count_nonzero(r.rd)), int(np.count_nonzero(r.wr))
            report.dram_read += 32 * read
            report.dram_written += 32 * written
            report.l2_read += 32 * r.l2_read
            report.l2_written += 32 * r.requests_written
            report.l1_sectors += r.requests_read + r.requests_written
            report.regions.append(
                (r.name, r.end - r.start, 32 * read, 32 * written, 32 * r.l2_read,
                 32 * r.requests_written)
            )  # fmt: skip
            r.fresh()


_ATOMIC = {
    "add": lambda old, v: old + v, "min": min, "max": max, "exch": lambda old, v: v,
    "and": lambda old, v: old & v, "or": lambda old, v: old | v, "xor": lambda old, v: old ^ v,
    "cas": lambda old, v, new: new if old == v else old,
}  # fmt: skip
_ZERO = {
    "pred": np.bool_(False), "f32": np.float32(0), "f64": np.float64(0),
    **{f"{k}{n}": getattr(np, f"uint{n}")(0) for k in "bus" for n in (8, 16, 32, 64)},
}  # fmt: skip


def _argument(value: object, t: str) -> object:
    if t == "f32":
        return np.float32(value)
    if t == "f64":
        return np.float64(value)
    n = int(t[1:])
    return getattr(np, f"uint{n}")(int(value) % (1 << n))

"""One launch of a kernel: blocks of threads, barriers, registers, warps.

Blocks of threads are run in chunks. All threads of a chunk that stand at the smallest basic block
are run together, so threads of a warp come together again as soon as the code lets them.
"""

from collections.abc import Sequence

import numpy as np

from emulator.generate import Code
from emulator.memory import GlobalMemory, LocalMemory, MemoryMap, Region, SharedMemory
from emulator.races import Moment
from emulator.report import Access, Fault, Finding, Report
from emulator.threads import Active

__all__ = ["Fault", "Finding", "Machine", "MemoryMap", "Region", "Report"]

CHUNK = 1 << 14
"""Threads that are run together, about: their registers stay in the cache."""
WAITS, EXITED = 1 << 30, (1 << 30) + 1
u32, u64 = np.uint32, np.uint64


class Machine:
    """A kernel with its arguments, in memory that exists: addresses and numbers."""

    NEXT, EXIT = -1, EXITED
    WINDOW = {"shared": u64(1 << 56), "local": u64(1 << 57)}  # noqa: RUF012

    def __init__(
        self,
        code: Code,
        grid: int,
        threads: int,
        arguments: Sequence[int | float],
        memory: MemoryMap,
        races: bool = True,
    ):
        self.code, self.grid, self.threads, self.races = code, grid, threads, races
        self.slots = -(-threads // 32) * 32
        pairs = zip(code.entry.params, arguments, strict=True)
        self.arguments = {name: _argument(value, t) for (name, t), value in pairs}
        n = len(code.functions)
        accesses = [Access(m.line, m.text, m.space, m.store, m.size, m.block) for m in code.memory]
        counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.report = Report(code.entry.name, grid, threads, *counts, accesses)
        constants, symbols = self._constants()
        regions = MemoryMap([*memory.regions, *constants])
        written = [regions.find(int(self.arguments[name])) for name in code.written_params]
        self.memory = GlobalMemory(self, regions, {r for r in written if r is not None})
        self._symbols = symbols

    def _constants(self) -> tuple[list[Region], dict[str, np.uint64]]:
        """Tables that the kernel has in global or constant memory."""
        regions, symbols, self._kept = [], {}, []
        for v in self.code.entry.variables.values():
            if v.space in ("global", "const"):
                data = np.zeros(v.size + 64, np.uint8)
                skip = -data.ctypes.data % 64
                data[skip : skip + v.size] = np.frombuffer(v.data or bytes(v.size), np.uint8)
                self._kept.append(data)
                regions.append(Region(data.ctypes.data + skip, v.size, v.name, constant=True))
                symbols[v.name] = u64(regions[-1].start)
        return regions, symbols

    # Running

    def run(self, blocks: Sequence[int] | None = None) -> Report:
        """Runs all blocks of threads, or only those given."""
        every = np.arange(self.grid) if blocks is None else np.array(blocks)
        self.report.sampled = len(every) / self.grid
        step = max(1, CHUNK // self.slots)
        with np.errstate(all="ignore"):
            for k in range(0, len(every), step):
                self._begin(every[k : k + step])
                self._run()
                self.memory.next_blocks()
        for t in self.memory.traffic.values():
            read, written = [32 * int(np.count_nonzero(x)) for x in (t.read, t.written)]
            self.report.arrays.append((32 * len(t.read), read, written))
            self.report.dram_read += read
            self.report.dram_written += written
            self.report.l2_read += 32 * t.block_reads
            self.report.l2_written += 32 * t.stores
        return self.report

    def _begin(self, blocks: np.ndarray) -> None:
        """Fresh registers and memory for these blocks of threads."""
        self.blocks, self.total = blocks, len(blocks) * self.slots
        slots = np.arange(self.total)
        self.everything = Active(slots, True)
        self.block_of = slots // self.slots
        tid = slots % self.slots
        self.thread = (blocks[self.block_of] * self.slots + tid).astype(np.int32)
        self.specials = {
            "tid.x": tid.astype(u32), "ctaid.x": blocks.astype(u32)[self.block_of],
            "ntid.x": u32(self.threads), "nctaid.x": u32(self.grid),
            "laneid": (tid & 31).astype(u32),
        }  # fmt: skip
        self.registers: dict[str, np.ndarray] = {}
        self.owned: set[str] = set()
        """Registers whose arrays nothing else has."""
        own = list(self.code.entry.variables.values())
        shared = SharedMemory(self, [v for v in own if v.space == "shared"], len(blocks))
        local = LocalMemory(self, [v for v in own if v.space == "local"], self.total)
        self.spaces = {
            "shared": shared,
            "local": local,
            "global": self.memory,
            "const": self.memory,
        }
        self.symbols = self._symbols | shared.symbols | local.symbols
        self.epoch, self.warp_syncs = 0, np.zeros(self.total // 32, np.int32)
        self.at = np.where(tid < self.threads, 0, EXITED)
        """The basic block of each thread, while they are at different ones."""
        self.resume = np.zeros(self.total, np.int64)

    def _run(self) -> None:
        """Until all threads have left."""
        together = bool((self.at == 0).all())
        block = 0
        while True:
            if together:
                A = self.everything
            else:
                block = int(self.at.min())
                if block == EXITED:
                    return
                if block == WAITS:
                    self._release()
                    continue
                slots = np.flatnonzero(self.at == block)
                A = self.everything if len(slots) == self.total else Active(slots, False)
            self.report.block_threads[block] += A.n
            self.report.block_warps[block] += A.warp_count
            self.block = block
            following = self.code.functions[block](self, A)
            if following is None:  # they have gone different ways
                together = False
                continue
            following = block + 1 if following == self.NEXT else following
            together = A.full and following < WAITS
            if together:
                block = following
            else:
                self.at[A.slots] = following

    def branch(self, A: Active, p: np.ndarray, target: int) -> int | None:
        if p.all():
            return target
        if not p.any():
            return self.NEXT
        self.at[A.slots] = np.where(p, target, self.block + 1)
        return None

    def barrier(self, A: Active, line: int) -> int:
        if A.full:
            self.epoch += 1
            self.report.barriers += len(self.blocks)
            return self.NEXT
        self.resume[A.slots] = self.block + 1
        self._barrier = Access(line, "bar.sync", "", False, 0, self.block)
        return WAITS

    def _release(self) -> None:
        """All threads that have not left wait: each block's at one barrier, if all is well."""
        shape = len(self.blocks), self.slots
        waits = (self.at == WAITS).reshape(shape)
        place = self.resume.reshape(shape)
        some = waits.any(1)
        first = np.where(waits, place, WAITS).min(1)
        apart = some & (np.where(waits, place, 0).max(1) != first)
        missing = some & (~waits & (np.arange(self.slots) < self.threads)).any(1)
        kinds = (
            (apart, "barrier at different places"),
            (missing, "barrier that some threads never reach"),
        )
        for wrong, kind in kinds:
            if wrong.any():
                self.found(kind, self.everything, self._barrier, np.repeat(wrong, self.slots))
        self.report.barriers += int(some.sum())
        self.at = np.where(waits.ravel(), self.resume, self.at)
        self.epoch += 1

    # Registers

    def get(self, r: str, A: Active) -> np.ndarray:
        v = self.registers.get(r)
        if v is None:  # never written on the way here
            t = self.code.entry.registers[r]
            return np.bool_(False) if t == "pred" else _argument(0, t)
        if A.full:
            self.owned.discard(r)
            return v
        return v if v.ndim == 0 else v[A.slots]

    def put(self, r: str, A: Active, v: np.ndarray) -> None:
        if A.full:
            self.registers[r] = v
            self.owned.discard(r)
            return
        if r not in self.owned:
            old = self.registers.get(r, v.dtype.type(0))
            self.registers[r] = np.broadcast_to(old, self.total).copy()
            self.owned.add(r)
        self.registers[r][A.slots] = v

    def special(self, name: str, A: Active) -> np.ndarray:
        if name not in self.specials:
            raise Fault(f"special register {name}")
        v = self.specials[name]
        return v if v.ndim == 0 or A.full else v[A.slots]

    # What is wrong

    def _where(self, slot: int, line: int) -> str:
        block, thread = int(self.blocks[slot // self.slots]), slot % self.slots
        return f"{self.code.entry.name}, line {line}, block {block}, thread {thread}"

    def found(self, kind: str, A: Active, m: Access, which: np.ndarray, more: str = "") -> None:
        """Notes what is wrong for some of the threads."""
        key = kind, m.line
        if key not in self.report.findings:
            example = self._where(int(A.slots[np.flatnonzero(which)[0]]), m.line)
            example += f": {more}" if more else ""
            self.report.findings[key] = Finding(kind, m.line, m.text, example)
        self.report.findings[key].count += int(np.count_nonzero(which))

    def refuse(self, A: Active, m: Access, k: int, what: str, address: np.ndarray) -> None:
        where = self._where(int(A.slots[k]), m.line)
        place = int(A.spread(address)[k])
        raise Fault(f"{where}: {what}: {m.size} bytes at {place:#x}: {m.text}")

    def now(self, A: Active) -> Moment:
        clock = self.epoch + self.warp_syncs[A.warps]
        return Moment(self.thread[A.slots], self.slots, self.epoch, clock)

    # Warps

    def shuffle(self, A: Active, line: int, way: str, a, b, c, mask) -> tuple:
        """The values, and whether each came from inside of its segment.

        PTX ISA, "shfl.sync": c has the last lane and, above 8 bits, the mask of segments.
        """
        lane = A.lane
        last, segments = c & u32(31), (c >> u32(8)) & u32(31)
        low = lane & segments
        high = low | (last & ~segments)
        if way == "up":
            j = lane - b
            inside = j.view(np.int32) >= high.view(np.int32)
        else:
            j = {"bfly": lane ^ b, "down": lane + b, "idx": low | (b & u32(31) & ~segments)}[way]
            inside = j <= high
        source = (A.slots & ~31) | np.where(inside, j, lane)
        if A.full:
            return a if a.ndim == 0 else a[source], inside
        m = Access(line, "shfl.sync", "", False, 4, self.block)
        self._lanes_there(A, m, mask)
        values, there = np.zeros(self.total, u32), np.zeros(self.total, bool)
        values[A.slots], there[A.slots] = a, True
        if not there[source].all():
            self.found("shuffle from a lane that is not there", A, m, ~there[source])
        return values[source], inside

    def _complete(self, A: Active, line: int, name: str, mask: np.ndarray) -> None:
        if not A.full:
            self._lanes_there(A, Access(line, name, "", False, 4, self.block), mask)

    def matched(self, A: Active, line: int, a: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """For each thread the lanes of its warp with the same value, as bits."""
        self._complete(A, line, "match.any.sync", mask)
        a, out = A.spread(a), np.zeros(A.n, u32)
        for start, count in zip(A.starts, A.counts, strict=True):
            warp = slice(start, start + count)
            same = a[warp, None] == a[None, warp]
            bits = np.where(same, u32(1) << A.lane[warp].astype(u32), u32(0))
            out[warp] = np.bitwise_or.reduce(bits, axis=1)
        return out

    def any_lane(self, A: Active, line: int, a: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Whether the predicate is true in any lane of the thread's warp."""
        self._complete(A, line, "vote.sync.any", mask)
        return np.repeat(np.logical_or.reduceat(A.spread(a), A.starts), A.counts)

    def _lanes_there(self, A: Active, m: Access, mask: np.ndarray) -> None:
        """All lanes of the mask must come to the instruction together."""
        have = np.add.reduceat(np.uint64(1) << A.lane.astype(u64), A.starts).astype(u32)
        missing = A.spread(mask) & ~np.repeat(have, A.counts)
        if missing.any():
            lanes = int(missing[np.flatnonzero(missing)[0]])
            kind = f"{m.text} without lanes of its mask"
            self.found(kind, A, m, missing != 0, f"lanes {lanes:#010x} are missing")

    def warp_barrier(self, A: Active, line: int, mask: np.ndarray) -> None:
        if not A.full:
            self._lanes_there(A, Access(line, "bar.warp.sync", "", False, 0, self.block), mask)
        self.warp_syncs[A.warps[A.starts]] += 1

    # Memory

    def load(self, A: Active, number: int, address, kind, parts: int, mask) -> list:
        if mask is None:
            return self._access(A, number, address, kind, parts, None)
        keep = A.spread(mask)
        out = [np.zeros(A.n, kind) for _ in range(parts)]
        if keep.any():
            place = A.spread(address)[keep]
            got = self._access(A.kept(keep), number, place, kind, parts, None)
            for o, g in zip(out, got, strict=True):
                o[keep] = g
        return out

    def store(self, A: Active, number: int, address, values: tuple, kind, mask) -> None:
        if mask is not None:
            keep = A.spread(mask)
            if not keep.any():
                return
            values = tuple([A.spread(v)[keep] for v in values])
            A, address = A.kept(keep), A.spread(address)[keep]
        self._access(A, number, address, kind, len(values), values)

    def _access(self, A: Active, number: int, address, kind, parts: int, values) -> list:
        m = self.report.accesses[number]
        m.warps += A.warp_count
        m.lanes += A.n
        space = m.space
        if space == "generic":
            low = int(address.min())
            space = "shared" if low >= self.WINDOW["shared"] else "global"
            space = "local" if low >= self.WINDOW["local"] else space
            address = address - self.WINDOW.get(space, u64(0))
        return self.spaces[space].access(A, m, address, kind, parts, values)

    def atomic(self, A: Active, line: int, text: str, mask) -> None:
        if mask is None or np.any(mask):
            raise Fault(f"{self._where(int(A.slots[0]), line)}: atomic operation: {text}")


def _argument(value: float, t: str) -> np.generic:
    """A number as a register of a type keeps it."""
    if t[0] == "f":
        return np.dtype(f"f{int(t[1:]) // 8}").type(value)
    n = int(t[1:])
    return np.dtype(f"u{n // 8}").type(int(value) % (1 << n))

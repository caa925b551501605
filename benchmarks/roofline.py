"""Counters of a launch as times: lower bounds on a GPU, from published rates, not measurements.

Each resource alone would need so long at its full rate; the largest of them bounds the launch from
below. `latency` is what the threads in flight can fetch by Little's law, `rounds` the latencies that
a thread waits for one after the other: both with an assumed latency.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchmarks import sass
from emulator.generate import Code
from emulator.machine import Report


@dataclass(frozen=True)
class GPU:
    name: str
    peak: float  # bytes a second of DRAM
    copy: float  # what a copy reaches
    sms: int = 132
    clock: float = 1.98e9
    l2: float = 5.5e12
    latency: float = 700e-9  # of a load from DRAM under load: an assumption
    cached_latency: float = 300e-9  # from L2: an assumption
    cached: float = 32e6  # what has been written before and is still in L2, about
    registers: int = 65536
    threads: int = 2048
    blocks: int = 32
    shared: int = 228 * 1024


H100 = GPU("H100", 3.35e12, 3.0e12)
H200 = GPU("H200", 4.8e12, 4.3e12)

LANES = {
    "fp32": 128, "imad": 64, "alu": 64, "half32": 64, "fp64": 64, "sfu": 16, "conv": 16,
    "load": 32, "store": 32, "shared": 32, "local": 32, "shuffle": 32,
}  # fmt: skip
"""Threads that a multiprocessor serves in a clock. Those of one unit are added up below."""
UNITS = {
    "FMA": ("fp32", "imad"), "ALU": ("alu", "half32"), "FP64": ("fp64",), "SFU": ("sfu", "conv"),
    "LSU": ("load", "store", "shared", "local", "shuffle"),
}  # fmt: skip


def occupancy(threads: int, registers: int, shared: int, gpu: GPU = H200) -> tuple[int, float, str]:
    """Blocks on a multiprocessor, the part of its threads that they are, and what limits them."""
    warps = -(-threads // 32)
    each = -(-max(registers, 16) * 32 // 256) * 256
    found = {
        "threads": gpu.threads // 32 // warps,
        "registers": gpu.registers // 4 // each * 4 // warps if warps % 4 == 0
        else gpu.registers // each // warps,
        "shared memory": gpu.shared // max(shared, 1024),
        "blocks": gpu.blocks,
    }  # fmt: skip
    what = min(found, key=lambda k: found[k])
    return found[what], found[what] * warps * 32 / gpu.threads, what


def instructions(code: Code, report: Report, lines: dict | None) -> Counter:
    """Warp instructions of a launch by class: machine instructions where they are known, else one
    for each instruction of PTX that is not a move."""
    total: Counter = Counter()
    if lines is not None:
        blocks = sass.of_blocks(code.entry, lines)
    else:
        blocks = [_of_ptx(b) for b in code.entry.blocks]
    for k, counts in enumerate(blocks):
        n = int(report.block_warps[k])
        for name, c in counts.items():
            total[name] += n * c / report.sampled
    return total


def _of_ptx(block) -> Counter:
    found: Counter = Counter()
    for x in block.instrs:
        name, t = x.op[0], x.op[-1]
        wide = 2 if t[-2:] == "64" and t[0] != "f" else 1
        if name in ("mov", "cvta") or x.op[:2] == ("ld", "param"):
            continue
        if name in ("ld", "st", "atom", "red"):
            space = next((s for s in ("shared", "local") if s in x.op), None)
            found[space or ("load" if name == "ld" else "store")] += 1
        elif name in ("ex2", "lg2", "sin", "cos", "rsqrt", "tanh"):
            found["sfu"] += 1
        elif name in ("div", "sqrt", "rcp") and t[0] == "f":
            found["sfu"] += 1
            found["fp64" if t == "f64" else "fp32"] += 8
        elif name == "cvt":
            found["alu" if "f" not in t and "f" not in x.op[-2] else "conv"] += 1
        elif name == "shfl":
            found["shuffle"] += 1
        elif name in ("bar", "barrier"):
            found["barrier"] += 1
        elif name in ("bra", "ret", "exit"):
            found["control"] += 1
        elif t == "f64":
            found["fp64"] += 1
        elif t == "f32" and name in ("add", "sub", "mul", "fma", "mad"):
            found["fp32"] += 1
        elif name in ("mul", "mad"):
            found["imad"] += 2 * wide
        else:
            found["alu"] += wide
    return found


def in_flight(code: Code, report: Report) -> float:
    """Bytes that a thread asks for before it waits: those of the loads of one basic block."""
    by_block: Counter = Counter()
    done: Counter = Counter()
    for a in report.accesses:
        if a.space in ("global", "generic") and not a.store and a.lanes:
            threads = max(int(report.block_threads[a.block]), 1)
            # A load of lanes that share an address brings fewer bytes.
            share = min(1.0, 32 * a.sectors / max(a.lanes * a.size, 1))
            by_block[a.block] += a.size * share * a.lanes / threads
            done[a.block] += a.sectors
    total = sum(done.values())
    return sum(by_block[b] * done[b] for b in done) / total if total else 0.0


@dataclass
class Bound:
    """Seconds that each resource needs at least; `binding` is the one that needs most."""

    times: dict[str, float]
    binding: str
    seconds: float
    occupancy: float
    limit: str
    resident: float


def bound(
    code: Code, report: Report, lines: dict | None, registers: int, shared: int, gpu: GPU = H200,
    scale: float = 1.0, grid: int | None = None, resident_bytes: float = 0.0,
) -> Bound:  # fmt: skip
    """For a launch that does `scale` times what was counted, in `grid` blocks."""
    grid = grid or report.grid
    scale = scale / report.sampled
    blocks, part, limit = occupancy(report.threads, registers, shared, gpu)
    counts = instructions(code, report, lines)
    counts = Counter({k: n * scale * report.sampled for k, n in counts.items()})
    clocks = gpu.sms * gpu.clock
    times = {
        "DRAM": (report.dram_read + report.dram_written) * scale / gpu.copy,
        "L2": (report.l2_read + report.l2_written) * scale / gpu.l2,
        "L1": _l1_clocks(report) * scale / clocks,
        "issue": sum(counts.values()) / 4 / clocks,
    }
    for unit, kinds in UNITS.items():
        times[unit] = sum(counts[k] * 32 / LANES[k] for k in kinds) / clocks
    per_sm = min(blocks, -(-grid // gpu.sms))
    threads = per_sm * report.threads * min(1.0, grid / (per_sm * gpu.sms))
    flight = in_flight(code, report)
    if flight and report.dram_read:
        near = report.dram_read * scale < gpu.cached
        rate = threads * gpu.sms * flight / (gpu.cached_latency if near else gpu.latency)
        times["latency"] = report.dram_read * scale / rate
    # A warp waits for memory in every round of a loop that loads; blocks that do not fit wait too.
    warps = -(-report.threads // 32)
    rounds = max(
        [a.warps / (report.grid * report.sampled * warps) for a in report.accesses
         if a.space in ("global", "generic") and not a.store], default=0.0,
    )  # fmt: skip
    rounds *= scale * report.sampled * report.grid / grid
    near = report.dram_read * scale < gpu.cached
    waves = -(-grid // (blocks * gpu.sms))
    times["rounds"] = rounds * waves * (gpu.cached_latency if near else gpu.latency)
    # Some multiprocessors have a block more than others.
    waves = grid / gpu.sms
    if waves > 1:
        uneven = -(-grid // gpu.sms) / waves if grid <= blocks * gpu.sms else 1.0
    else:
        uneven = 1.0 / max(waves, 1e-9)
    for k in (*UNITS, "issue", "L1"):
        times[k] *= max(1.0, uneven)
    binding = max(times, key=lambda k: times[k])
    return Bound(times, binding, times[binding], part, limit, threads)


def _l1_clocks(report: Report) -> float:
    """Clocks of the data path to L1 and shared memory, 128 bytes each."""
    waves = sum(a.waves for a in report.accesses)
    sectors = sum(max(a.sectors / 4, a.warps) for a in report.accesses if a.space != "shared")
    return waves + sectors

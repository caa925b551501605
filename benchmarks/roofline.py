"""Lower bounds of a launch's time on a GPU, from what it does and published rates.

Each resource alone would need so long at its full rate; the one that needs longest binds, and no
launch is faster. Two of the times rest on an assumed latency besides, and can be too long where
loads are issued ahead of their use: "latency", which the bytes in flight leave of the bandwidth
(Little's law), and "rounds", the loads that a warp waits for one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WARP = 32


@dataclass(frozen=True)
class GPU:
    """Rates of a GPU.

    `bandwidth` and `sms` are NVIDIA's data sheets' of H100 SXM and H200 SXM, `clock` is the boost
    clock at which their 67 TFLOPS of float32 are those of 132 × 128 lanes, the limits of a
    multiprocessor are those of compute capability 9.0 in the CUDA C++ Programming Guide.
    """

    name: str
    bandwidth: float
    sms: int = 132
    clock: float = 1.98e9
    flops: float = 67e12
    """Of matrix products: float32 without TF32, float64 on tensor cores."""
    registers: int = 65536
    threads: int = 2048
    blocks: int = 32
    shared: int = 228 * 1024
    shared_reserved: int = 1024
    """Shared memory that the system takes of each block."""
    copied: float = 0.9
    """Assumed: the part of the bandwidth that a copy reaches."""
    l2: float = 5.5e12
    """Assumed: bytes a second of L2, about what benchmarks of H100 have found."""
    latency: float = 700e-9
    """Assumed: seconds of a load from DRAM, under load."""
    l2_latency: float = 300e-9
    """Assumed: seconds of a load from L2."""
    l2_kept: float = 32e6
    """Assumed: bytes written just before that are read from L2."""

    @property
    def copy(self) -> float:
        """Bytes a second that a copy reads and writes."""
        return self.copied * self.bandwidth


GPUS = {gpu.name: gpu for gpu in (GPU("H100", 3.35e12), GPU("H200", 4.8e12))}

UNITS = {
    "FMA": {"fma": 128, "imad": 64},
    "ALU": {"alu": 64},
    "FP64": {"fp64": 64},
    "XU": {"xu": 16},
    "LSU": dict.fromkeys(("load", "store", "shared", "local", "shuffle"), 32),
}
"""Threads that a multiprocessor serves in a clock, by unit and class of instruction: "Throughput of
Native Arithmetic Instructions" in the CUDA C++ Programming Guide, for compute capability 9.0."""
SCHEDULERS = 4
"""Of a multiprocessor; each issues an instruction of a warp in a clock, and has a quarter of the
registers."""


@dataclass(frozen=True)
class Counts:
    """What a launch needs and does."""

    grid: int
    threads: int
    registers: int = 0
    shared: int = 0
    dram_read: float = 0.0
    dram_written: float = 0.0
    l2_read: float = 0.0
    l2_written: float = 0.0
    l1_clocks: float = 0.0
    """Of the data path of L1 and shared memory, 128 bytes each, of all multiprocessors."""
    instructions: Mapping[str, float] | None = None
    """Of warps, by class."""
    rounds: float = 0.0
    """Loads from memory that a warp waits for one after the other."""
    in_flight: float = 0.0
    """Bytes that a thread asks for before it waits."""


@dataclass(frozen=True)
class Occupancy:
    """How many blocks a multiprocessor holds, what part of its threads, and what limits them."""

    blocks: int
    part: float
    limit: str


@dataclass(frozen=True)
class Bound:
    """The seconds that each resource needs at least, and the one that needs most."""

    times: Mapping[str, float]
    binding: str
    occupancy: Occupancy

    @property
    def seconds(self) -> float:
        return self.times[self.binding]


def round_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def occupancy(threads: int, registers: int, shared: int, gpu: GPU) -> Occupancy:
    """By the rules of the CUDA occupancy calculator, for compute capability 9.0."""
    warps = -(-threads // WARP)
    of_warp = round_up(max(registers, 1) * WARP, 256)
    warps_held = SCHEDULERS * (gpu.registers // SCHEDULERS // of_warp)
    found = {
        "threads": gpu.threads // WARP // warps,
        "registers": warps_held // warps,
        "shared memory": gpu.shared // (round_up(shared, 128) + gpu.shared_reserved),
        "blocks": gpu.blocks,
    }
    limit = min(found, key=lambda k: found[k])
    return Occupancy(found[limit], found[limit] * warps * WARP / gpu.threads, limit)


def bound(counts: Counts, gpu: GPU) -> Bound:
    """The lower bound of a launch."""
    held = occupancy(counts.threads, counts.registers, counts.shared, gpu)
    instructions = counts.instructions or {}
    clocks = gpu.sms * gpu.clock / _busiest(counts.grid, held.blocks, gpu)
    times = {
        "DRAM": (counts.dram_read + counts.dram_written) / gpu.copy,
        "L2": (counts.l2_read + counts.l2_written) / gpu.l2,
        "L1": counts.l1_clocks / clocks,
        "issue": sum(instructions.values()) / SCHEDULERS / clocks,
    }
    for unit, lanes in UNITS.items():
        times[unit] = sum(instructions.get(k, 0) * WARP / n for k, n in lanes.items()) / clocks
    latency = _latency(counts, gpu)
    resident = min(counts.grid, held.blocks * gpu.sms)
    if counts.in_flight:
        flying = resident * counts.threads * counts.in_flight
        times["latency"] = counts.dram_read * latency / flying
    waves = -(-counts.grid // (held.blocks * gpu.sms))
    times["rounds"] = counts.rounds * waves * latency
    return Bound(times, max(times, key=lambda k: times[k]), held)


def _latency(counts: Counts, gpu: GPU) -> float:
    """Seconds of a load, on average: what is read again comes from L2, and all of it where that is
    little enough to be there already."""
    if counts.dram_read < gpu.l2_kept:
        return gpu.l2_latency
    first = counts.dram_read / max(counts.l2_read, counts.dram_read)
    return first * gpu.latency + (1 - first) * gpu.l2_latency


def _busiest(grid: int, held: int, gpu: GPU) -> float:
    """The work of the multiprocessor that has most of it, by that of all on average: some have a
    block more than others, unless blocks are still waiting for a place."""
    average = grid / gpu.sms
    return -(-grid // gpu.sms) / average if grid <= held * gpu.sms else 1.0

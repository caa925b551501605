"""What one launch has done, scaled to full size: bytes, instructions, accesses, time at least."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks import roofline, sass
from benchmarks.roofline import GPU, WARP, Counts
from gpuad.executors.cuda.cublas import is_product
from gpuad.executors.cuda.scatter import is_scatter
from gpuad.executors.explain import flops_of_call, moved_by_call
from gpuad.plan.roles import is_view

GLOBAL = ("global", "generic")


@dataclass
class KernelCount:
    """A launch at full size; the fields are those of the JSON file."""

    name: str
    digest: str
    family: str
    rows: int
    grid: int
    threads: int
    registers: int
    spills: int
    shared: int
    occupancy: float
    limited_by: str
    dram_read: float
    dram_written: float
    l2_read: float
    l2_written: float
    instructions: dict[str, float]
    """Of warps, by class."""
    load_efficiency: float
    store_efficiency: float
    bank_ways: float
    """Passes through shared memory for each access of a warp; 1 is without conflicts."""
    times: dict[str, float]
    seconds: float
    binding: str
    worst_access: str | None = None
    worst_banks: str | None = None
    findings: list[str] = field(default_factory=list)

    @property
    def moved(self) -> float:
        return self.dram_read + self.dram_written

    @property
    def thread_instructions(self) -> float:
        """Slots of threads that instructions have taken, idle lanes too."""
        return WARP * sum(self.instructions.values())


@dataclass(frozen=True)
class FullSize:
    """What a launch is at full size: its rows and blocks, and how many times the work counted."""

    family: str
    rows: int
    grid: int
    scale: float


def kernel_count(launched: Any, lines: sass.Lines | None, full: FullSize, gpu: GPU) -> KernelCount:
    """The numbers of a launch of the emulator."""
    report, compiled = launched.report, launched.compiled
    resources = compiled.resources
    shared = resources.shared + resources.given
    counts = counted(launched, lines, full)
    bound = roofline.bound(counts, gpu)
    inside = [a for a in report.accesses if a.space == "shared" and a.groups]
    return KernelCount(
        report.name, compiled.kernel.digest, full.family, full.rows, counts.grid, counts.threads,
        resources.registers, resources.spills, shared, bound.occupancy.part,
        bound.occupancy.limit, counts.dram_read, counts.dram_written, counts.l2_read,
        counts.l2_written, dict(counts.instructions or {}),
        efficiency(report, store=False), efficiency(report, store=True),
        sum(a.waves for a in inside) / max(1, sum(a.groups for a in inside)),
        dict(bound.times), bound.seconds, bound.binding, worst_access(report), worst_banks(inside),
        [f"{f.kind}, {f.count} times, {f.example}: {f.text}" for f in report.findings.values()],
    )  # fmt: skip


def counted(launched: Any, lines: sass.Lines | None, full: FullSize) -> Counts:
    """What the launch does at full size, which is proportional to what was seen of it."""
    report, resources = launched.report, launched.compiled.resources
    scale = full.scale / report.sampled
    of_blocks = sass.of_blocks(launched.compiled.code.entry.blocks, lines)
    instructions: Counter[str] = Counter()
    for once, warps in zip(of_blocks, report.block_warps, strict=True):
        instructions.update({kind: n * int(warps) * scale for kind, n in once.items()})
    read, written = traffic(report)
    return Counts(
        full.grid, report.threads, resources.registers, resources.shared + resources.given,
        read * full.scale, written * full.scale, report.l2_read * scale, report.l2_written * scale,
        l1_clocks(report) * scale, instructions, rounds(report) * scale / full.grid,
        in_flight(report),
    )  # fmt: skip


def traffic(report: Any) -> tuple[float, float]:
    """Bytes read from DRAM and written, each place once. Where only some blocks were executed the
    others touch as much, up to all of an array."""
    if report.sampled == 1:
        return report.dram_read, report.dram_written
    read = sum(min(size, read / report.sampled) for size, read, _ in report.arrays)
    return read, sum(min(size, written / report.sampled) for size, _, written in report.arrays)


def l1_clocks(report: Any) -> float:
    """Clocks of the data path to L1 and shared memory, 128 bytes each."""
    outside = [a for a in report.accesses if a.space != "shared"]
    return sum(a.waves for a in report.accesses) + sum(max(a.sectors / 4, a.warps) for a in outside)


def loads(report: Any) -> list[Any]:
    return [a for a in report.accesses if a.space in GLOBAL and not a.store and a.lanes]


def rounds(report: Any) -> float:
    """Loads that a warp of a block waits for one after the other, of all blocks: those of the
    instruction that is executed most often."""
    warps = -(-report.threads // WARP)
    return max((a.warps / warps for a in loads(report)), default=0.0)


def in_flight(report: Any) -> float:
    """Bytes that a thread asks for before it waits: those of the loads of one basic block."""
    asked: Counter[int] = Counter()
    sectors: Counter[int] = Counter()
    for a in loads(report):
        threads = max(int(report.block_threads[a.block]), 1)
        # Lanes that share an address bring fewer bytes.
        asked[a.block] += min(a.size * a.lanes, 32 * a.sectors) / threads
        sectors[a.block] += a.sectors
    total = sum(sectors.values())
    return sum(asked[b] * n for b, n in sectors.items()) / total if total else 0.0


def efficiency(report: Any, store: bool) -> float:
    """The sectors that the accesses of warps need at least, by those that they touch."""
    used = [a for a in report.accesses if a.space in GLOBAL and a.store == store]
    total = sum(a.sectors for a in used)
    return sum(min(a.ideal, a.sectors) for a in used) / total if total else 1.0


def worst_access(report: Any) -> str | None:
    """The access to global memory that touches most sectors in vain."""
    used = [a for a in report.accesses if a.space in GLOBAL and a.sectors > a.ideal]
    worst = max(used, key=lambda a: a.sectors - a.ideal, default=None)
    if worst is None:
        return None
    return f"line {worst.line}: {worst.sectors} sectors for {worst.ideal}: {worst.text}"


def worst_banks(accesses: list[Any]) -> str | None:
    """The access to shared memory with most bank conflicts."""
    worst = max(accesses, key=lambda a: a.waves - a.groups, default=None)
    if worst is None or worst.waves == worst.groups:
        return None
    return f"line {worst.line}: {worst.waves / worst.groups:.2f} ways: {worst.text}"


@dataclass
class LibraryCount:
    """The calls of libraries at full size, counted from their shapes."""

    calls: list[str] = field(default_factory=list)
    products: int = 0
    flops: float = 0.0
    moved: float = 0.0
    seconds: float = 0.0


def library_count(program: Any, gpu: GPU) -> LibraryCount:
    """Each call reads its operands and writes its results at the speed of a copy, or multiplies at
    the full rate, whichever takes longer. Those with kernels of gpuad are counted as these."""
    out = LibraryCount()
    whole = [e for stage in program.plan.stages for e in stage.whole]
    for e in [e for e in whole if not is_view(e) and not is_scatter(e)]:
        flops, moved = flops_of_call(e) if is_product(e) else 0, moved_by_call(e)
        out.calls.append(e.primitive.name)
        out.products += is_product(e)
        out.flops += flops
        out.moved += moved
        out.seconds += max(flops / gpu.flops, moved / gpu.copy)
    return out

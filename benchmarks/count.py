"""``python -m benchmarks.count``: what the suite's kernels do on a GPU, counted, not measured.

Each GPU case is made small, planned and compiled as for a GPU, executed by the emulator of the
tests, checked against float64 and then scaled to its full size. Cases of several calls that depend
on one another are counted for one of them.

The JSON file has `heading`, `gpu`, `instructions` ("from machine code", or "guessed from PTX") and
`rows`, a list of `CaseCount`: `error` says what is wrong, and then the rest is missing. Times are
in seconds, memory in bytes, all at full size; `kernels` has a `counters.KernelCount` for each
launch in their order, `library` the calls of cuBLAS and CuPy.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import emulated, reduced, run, sass, suite
from benchmarks.__main__ import output_file
from benchmarks.counters import FullSize, KernelCount, LibraryCount, kernel_count, library_count
from benchmarks.report import seconds
from benchmarks.roofline import GPU, GPUS
from benchmarks.suite import Case
from benchmarks.terminal import Console, Table
from gpuad.executors.cuda.row_pipeline import DTYPES
from gpuad.executors.cuda.scatter import is_scatter
from gpuad.executors.explain import moved_by_call

SCATTERING = ("ascending", "decide", "tally", "rank", "place", "spans", "segments")
"""The kernels of a scatter-add outside of other kernels, in their order."""
HEADING = "counted, not measured"


@dataclass
class CaseCount:
    """One case at full size."""

    id: str
    variant: str
    error: str | None = None
    max_rel_err: float | None = None
    plan: str = ""
    """At full size, beside the small one: "same kernels", "same layouts" (with sizes written into
    their texts) or "other kernels"."""
    launches: int = 0
    rows: int = 0
    compulsory: int = 0
    kernels: list[KernelCount] = field(default_factory=list)
    library: LibraryCount = field(default_factory=LibraryCount)
    floor_seconds: float = 0.0
    counted_in: float = 0.0
    """Seconds that it took to count."""

    @property
    def moved(self) -> float:
        return sum(k.moved for k in self.kernels) + self.library.moved

    @property
    def seconds(self) -> float:
        return sum(k.seconds for k in self.kernels) + self.library.seconds

    @property
    def instructions_a_row(self) -> float:
        return sum(k.thread_instructions for k in self.kernels) / max(1, self.rows)

    @property
    def binding(self) -> str:
        """What most of the time goes to."""
        times = Counter({"library": self.library.seconds})
        for k in self.kernels:
            times[k.binding] += k.seconds
        return times.most_common(1)[0][0]

    @property
    def longest(self) -> KernelCount | None:
        return max(self.kernels, key=lambda k: k.seconds, default=None)

    def json(self) -> dict[str, Any]:
        if self.error is not None:
            return {"id": self.id, "variant": self.variant, "error": self.error}
        totals = ("moved", "seconds", "instructions_a_row", "binding")
        return asdict(self) | {name: getattr(self, name) for name in totals}


class Wrong(Exception):
    """A result that is not right, or an access that is not allowed."""


def predict(case: Case, gpu: GPU, emulator: Any) -> CaseCount:
    """The case counted at full size.

    Raises
    ------
    Wrong
        If the emulated result is not within the case's tolerance of float64, or the emulator has
        found something.
    """
    start = time.perf_counter()
    small = reduced.reduced(case)
    data = reduced.shapes(case)
    big = emulator.program(reduced.recorded(case, *data)[0])
    graph, operands = reduced.recorded(small, *small.data)
    blocks = reduced.sampled_blocks(case)
    with reduced.blocks_as_in(big, sampled=blocks is not None):
        program = emulator.program(graph)
    emulator.launches.clear()
    emulator.blocks = blocks
    try:
        results = program(emulator.arrays(operands))
    finally:
        emulator.blocks = None
    outputs = tuple(emulator.cupy.asnumpy(x) for x in results)
    compulsory = reduced.compulsory_bytes(case, data)
    growth = compulsory / small.bytes_floor
    out = CaseCount(
        case.row, case.variant,
        max_rel_err=reduced.error_of(small, outputs, operands),
        plan=comparison(program.kernels, big.kernels),
        launches=big.explain().launches,
        rows=max((k.rows for k in big.kernels), default=0),
        compulsory=compulsory,
        kernels=kernel_counts(emulator, program, big, growth, gpu),
        library=library_count(big, gpu),
        floor_seconds=compulsory / gpu.copy,
    )  # fmt: skip
    if not out.max_rel_err <= small.tolerance:
        raise Wrong(f"wrong by {out.max_rel_err:.2g} of the largest value, beside float64")
    if findings := [f for k in out.kernels for f in k.findings]:
        raise Wrong("; ".join(findings))
    out.counted_in = time.perf_counter() - start
    return out


def comparison(small: Sequence[Any], big: Sequence[Any]) -> str:
    """How the kernels of one plan are those of another."""
    if [k.source.kernel.digest for k in small] == [k.source.kernel.digest for k in big]:
        return "same kernels"
    same = [k.source.layout for k in small] == [k.source.layout for k in big]
    return "same layouts" if same else "other kernels"


def kernel_counts(
    emulator: Any, program: Any, big: Any, growth: float, gpu: GPU
) -> list[KernelCount]:
    """Each launch at full size: a kernel of the plan grows with its rows, those of a scatter with
    its operands, others with the compulsory bytes; the sum over blocks is executed again, over as
    many as there are then."""
    waiting = paired(program.kernels, big.kernels)
    scatters = scatter_growths(program, big)
    out: list[KernelCount] = []
    blocks, folder = 1, emulator.cache.folder
    for launched in list(emulator.launches):
        report, kernel = launched.report, launched.compiled.kernel
        if pairs := waiting.get(kernel.digest):
            a, b = pairs.popleft()
            blocks = b.blocks
            full = FullSize(b.source.layout.family, b.rows, blocks, b.rows / a.rows)
        elif report.name == "combine" and waiting:
            launched = combined(emulator, launched, blocks)
            full = FullSize("combine", blocks, report.grid, 1.0)
        else:
            scale = scatters[0] if report.name in SCATTERING and scatters else growth
            if report.name == "segments" and scatters:
                scatters.popleft()
            idle = report.name == "rank" and not report.dram_written  # in order: nothing is done
            fixed = report.name in ("decide", "rank")
            scale = 1.0 if idle or report.name == "decide" else scale
            grid = report.grid if fixed else max(1, round(report.grid * scale))
            full = FullSize(report.name, 0, grid, scale)
        lines = sass.lines_of(launched.compiled.ptx, emulator.device.capability, folder)
        out.append(kernel_count(launched, lines, full, gpu))
    return out


def paired(small: Sequence[Any], big: Sequence[Any]) -> dict[str, deque[tuple[Any, Any]]]:
    """By its digest each kernel of a plan with that of the plan at full size; none where there are
    more of one than of the other."""
    out: dict[str, deque[tuple[Any, Any]]] = {}
    if len(small) == len(big):
        for a, b in zip(small, big, strict=True):
            out.setdefault(a.source.kernel.digest, deque()).append((a, b))
    return out


def scatter_growths(program: Any, big: Any) -> deque[float]:
    """How many times as many bytes each scatter-add of a plan moves at full size."""
    sizes = [
        [moved_by_call(e) for stage in p.plan.stages for e in stage.whole if is_scatter(e)]
        for p in (program, big)
    ]
    same = len(sizes[0]) == len(sizes[1])
    return deque([b / a for a, b in zip(*sizes, strict=True)] if same else [])


def combined(emulator: Any, launched: Any, blocks: int) -> Any:
    """The launch that adds up the sums of blocks, for so many of them."""
    kernel, report = launched.compiled.kernel, launched.report
    size, dtype = launched.values[3], DTYPES[kernel.types[0][:-1]]
    partial = emulator.arrays([np.zeros(blocks * size, dtype)])
    arguments = [*partial, emulator.cupy.empty(size, dtype), np.int64(blocks), np.int64(size)]
    emulator.device.ready(kernel)(report.grid, report.threads, arguments)
    return emulator.launches.pop()


def guarded(case: Case, gpu: GPU, emulator: Any) -> CaseCount:
    """The case counted; or what went wrong, so that the others can go on."""
    try:
        return predict(case, gpu, emulator)
    except Exception as error:
        name = "" if isinstance(error, Wrong) else f"{type(error).__name__}: "
        return CaseCount(case.row, case.variant, error=f"{name}{error}")
    finally:
        emulator.launches.clear()
        case.forget()
        gc.collect()
        emulator.cupy.get_default_memory_pool().free_all_blocks()


# What is shown


def source_of_instructions() -> str:
    return "guessed from PTX" if sass.nvdisasm() is None else "from machine code"


def heading(gpu: GPU) -> str:
    """What stands above every form of the results."""
    doubt = f", which may be off by a factor of two (pip install {sass.PACKAGE})"
    doubt = doubt if sass.nvdisasm() is None else ""
    return f"{HEADING}: {gpu.name}, instructions {source_of_instructions()}{doubt}"


COLUMNS = (  # of the table; `LEGEND` says what they are
    "row", "variant", "GB", "× least", "instr./row", "occupancy", "launches", "bound", "by",
    "floor", "floor/bound",
)  # fmt: skip
LEGEND = (
    "GB: bytes moved, and by the compulsory ones; instr./row: slots of threads in machine "
    "instructions, by the rows of the plan; occupancy: of the longest kernel; bound: seconds at "
    "least, and what most of them go to; floor: the compulsory bytes at the speed of a copy, which "
    "only rows that memory binds can come near"
)


def cells(row: CaseCount) -> tuple[str, ...]:
    if row.error is not None:
        return row.id, row.variant, "error", *[""] * (len(COLUMNS) - 3)
    longest = row.longest
    held = "" if longest is None else f"{longest.occupancy:.0%} ({longest.limited_by})"
    return (
        row.id, row.variant, f"{row.moved / 1e9:.3g}", f"{row.moved / row.compulsory:.2f}×",
        f"{row.instructions_a_row:.0f}", held, str(row.launches), seconds(row.seconds),
        row.binding, seconds(row.floor_seconds), f"{row.floor_seconds / row.seconds:.0%}",
    )  # fmt: skip


def table(rows: Sequence[CaseCount], gpu: GPU) -> Table:
    out = Table(title=heading(gpu))
    for k, name in enumerate(COLUMNS):
        out.add_column(name, justify="left" if k < 2 else "right", no_wrap=True)
    for row in rows:
        out.add_row(*cells(row))
    return out


def markdown(rows: Sequence[CaseCount], gpu: GPU) -> str:
    lines = [f"*{heading(gpu)}*", "", f"| {' | '.join(COLUMNS)} |"]
    lines.append("|---|---|" + "--:|" * (len(COLUMNS) - 2))
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    lines += ["", f"{LEGEND}."]
    return "\n".join([*lines, "", *[f"- {x}" for x in remarks(rows)]]).rstrip() + "\n"


def remarks(rows: Sequence[CaseCount]) -> list[str]:
    """Errors, and plans that are others at full size than those executed."""
    found = [f"{r.id} {r.variant}: {r.error}" for r in rows if r.error is not None]
    other = [f"{r.id} {r.variant}" for r in rows if r.plan == "other kernels"]
    if other:
        found.append(f"other kernels at full size than those executed: {', '.join(other)}")
    return found


def details(row: CaseCount) -> list[str]:
    """A line for each kernel of a case, and for its calls of libraries."""
    lines = [f"{row.id} {row.variant}: within {row.max_rel_err:.1g} of float64, {row.plan}"]
    for k in row.kernels:
        lines.append(
            f"  {k.family} {k.digest[:8]}: {k.grid} blocks of {k.threads}, {k.registers} registers,"
            f" {k.shared} B shared, {k.occupancy:.0%} ({k.limited_by}); loads"
            f" {k.load_efficiency:.0%}, stores {k.store_efficiency:.0%}, banks {k.bank_ways:.2f}"
            f" ways; {seconds(k.seconds)} ({k.binding})"
        )
        lines += [f"    {x}" for x in (k.worst_access, k.worst_banks) if x]
    if row.library.calls:
        calls = Counter(row.library.calls)
        said = ", ".join(f"{n} {name}" for name, n in calls.items())
        lines.append(
            f"  libraries: {said}; {row.library.flops:.3g} flops, "
            f"{row.library.moved / 1e9:.3g} GB, {seconds(row.library.seconds)}"
        )
    return lines


def save_json(path: Path, rows: Sequence[CaseCount], gpu: GPU) -> None:
    meta = {"heading": HEADING, "gpu": gpu.name, "instructions": source_of_instructions()}
    text = json.dumps(meta | {"rows": [r.json() for r in rows]}, indent=1, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else str(x)


# The command


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        prog="python -m benchmarks.count", description=(__doc__ or "").split("\n\n")[0]
    )
    add = out.add_argument
    add("rows", nargs="*", metavar="ROW", help="rows to count (default: all)")
    add("--only", default="", metavar="TEXT", help="variants with this in their name")
    add("--gpu", choices=tuple(GPUS), default="H200")
    add("--json", type=output_file, metavar="FILE", help="write all numbers")
    add("--markdown", type=output_file, metavar="FILE", help="write the table as Markdown")
    add("--verbose", action="store_true", help="a line for each kernel")
    return out


def main(arguments: Sequence[str] | None = None, emulator: Any = None) -> int:
    command = parser()
    options = command.parse_args(arguments)
    try:
        cases = [c for c in suite.cases(options.rows, "full", "cuda") if options.only in c.variant]
        emulator = emulator or emulated.emulator()
    except (suite.UnknownRow, emulated.Unavailable) as error:
        command.error(str(error))
    gpu, console = GPUS[options.gpu], Console()
    rows: list[CaseCount] = []
    with run.display(console) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            progress.update(task, description=f"{case.row} {case.variant}")
            rows.append(guarded(case, gpu, emulator))
            progress.advance(task)
            if options.json:
                save_json(options.json, rows, gpu)
    console.print(table(rows, gpu))
    console.print(LEGEND)
    for line in [x for row in rows if options.verbose and not row.error for x in details(row)]:
        console.print(line, markup=False, highlight=False)
    for line in remarks(rows):
        console.print(line, markup=False, highlight=False)
    if options.markdown:
        options.markdown.write_text(markdown(rows, gpu), encoding="utf-8")
    return 1 if any(row.error for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

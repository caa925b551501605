"""Time and memory of compiled second-order programs by the number of rows.

``python -m benchmarks.growth [--json FILE] [--plot FILE] [--threads N] [--rows N ...]``

The programs are those of the suite (W1, W2, W3) and a logsumexp of each row. What is compiled once
should cost the same for each row from a thousand rows on, and the least for very few: the chart is
logarithmic in both directions, so that cost in proportion to the rows is a line like the dashed
one. Each program is checked at the fewest rows; sizes that would fill the memory are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import threadpoolctl

from benchmarks import machine, memory, oracle, peers, report
from benchmarks.__main__ import output_file, positive
from benchmarks.rows import chain, glm, rosenbrock
from benchmarks.run import display
from benchmarks.suite import Case
from benchmarks.terminal import Console, Table

ROWS = (*[m * 10**k for k in range(3, 7) for m in (1, 3)], 10**7)
SAMPLE = 2e-3  # seconds that one timing takes at least: short calls are repeated within it
MOST_CALLS = 1000
SHARE = 0.5  # of the memory available, that arguments and results may take
STEADY = 100_000  # rows from which on the cost of a row is fitted


def logsumexp(xp: Any, x: Any) -> Any:
    return xp.sum(xp.logsumexp(x, 1))


def make_matrix(rng: np.random.Generator, n: int, d: int) -> Any:
    return [rng.standard_normal((n, d), np.float32)], [rng.standard_normal((n, d), np.float32)]


@dataclass(frozen=True)
class Program:
    """A scalar function of arrays with so many rows, whose HVP is taken."""

    name: str
    objective: Callable[..., Any]
    make: Callable[..., Any]

    def case(self, rows: int) -> Case:
        return Case("growth", self.name, self.objective, partial(self.make, n=rows))


def small(d: int) -> Program:
    make = partial(rosenbrock.make, d=d, hessians=False)
    return Program(f"Rosenbrock {d}", rosenbrock.objective, make)


PROGRAMS = (
    Program("chain", chain.chain, chain.make_chain),
    *[small(d) for d in (2, 4, 8)],
    Program("logistic 32", glm.logistic, partial(glm.make_logistic, d=32, m=1)),
    Program("logsumexp 32", logsumexp, partial(make_matrix, d=32)),
)


@dataclass(frozen=True)
class Point:
    """One program at one number of rows; bytes beside the arguments, results included."""

    program: str
    rows: int
    median_s: float
    min_s: float
    first_s: float
    peak_bytes: int | None
    predicted_peak_bytes: int
    argument_bytes: int
    runs: int
    calls: int

    @property
    def row_s(self) -> float:
        return self.median_s / self.rows


# Measuring


def measure(engine: peers.Gpuad, case: Case, rows: int, repeats: int) -> Point:
    """One point: a first call, one that is weighed, and `repeats` timings."""
    engine.forget()
    operands = engine.operands(case, case.dtype)
    start = time.perf_counter()
    call = engine.build(case, "hvp", operands)
    call()
    first = time.perf_counter() - start
    account = engine.explain(case, "hvp", operands)
    engine.release()
    peak = memory.peak_rise(call)
    calls = calls_for(call)
    times = [seconds(call, calls) for _ in range(repeats)]
    size = sum(x.nbytes for arrays in operands for x in arrays)
    found = account.peak_bytes
    return Point(
        case.variant, rows, median(times), min(times), first, peak, found, size, repeats, calls
    )


def calls_for(call: Callable[[], Any]) -> int:
    """How many calls make a timing long enough."""
    call()
    once = seconds(call, 1)
    return max(1, min(MOST_CALLS, round(SAMPLE / max(once, 1e-9))))


def seconds(call: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def check(engine: peers.Gpuad, case: Case) -> None:
    """Raises if the compiled product is not that of float64, operation by operation."""
    found = engine.fetch(engine.build(case, "hvp", engine.operands(case, case.dtype))())
    args, tangents = engine.operands(case, "float64")
    error = oracle.relative_error(found, engine.derivative(case, "hvp")(*args, *tangents))
    if not error <= case.tolerance:
        raise ArithmeticError(f"{case.variant}: wrong: rel err {error:.1e}")


def available_bytes() -> int:
    """Memory that this process can take without driving another out."""
    info = Path("/proc/meminfo")
    if info.exists():
        line = next(x for x in info.read_text().splitlines() if x.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def fits(last: Point | None, rows: int) -> bool:
    """Whether so many rows fit into memory, by what the last point took."""
    if last is None:
        return True
    needed = (last.argument_bytes + last.predicted_peak_bytes) * rows / last.rows
    return needed <= SHARE * available_bytes()


def grow(
    programs: Sequence[Program],
    sizes: Sequence[int],
    repeats: int,
    threads: int,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Point | None]:
    """The points, program by program; None for each that is left out."""
    engine = peers.Gpuad("cpu", threads)
    for program in programs:
        last: Point | None = None
        for rows in sorted(sizes):
            say(f"{program.name}, {rows:.0e} rows")
            if not fits(last, rows):
                yield None
                continue
            case = program.case(rows)
            if last is None:
                check(engine, case)
            last = measure(engine, case, rows, repeats)
            case.forget()
            yield last
    engine.forget()


def exponent(points: Sequence[Point], of: Callable[[Point], float]) -> float | None:
    """The power of the rows that a cost grows with, fitted where rows are many."""
    steady = [p for p in points if p.rows >= STEADY]
    steady = steady if len(steady) > 1 else list(points)[-2:]
    costs = [of(p) for p in steady]
    if len(steady) < 2 or min(costs) <= 0:
        return None
    return float(np.polyfit(np.log([p.rows for p in steady]), np.log(costs), 1)[0])


def by_program(points: Sequence[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for p in points:
        found.setdefault(p.program, []).append(p)
    return found


# What is shown and saved


def table(points: Sequence[Point]) -> Table:
    """A line for each point, and for each program the powers its costs grow with."""
    out = Table(title="HVPs by rows: median time of a call, and memory beside the arguments in MB")
    out.add_column("program", no_wrap=True)
    for name in ("rows", "time", "ns per row", "peak", "predicted", "bytes per row"):
        out.add_column(name, justify="right")
    for name, found in by_program(points).items():
        for p in found:
            out.add_row(name if p is found[0] else "", *cells(p))
        time, space = (power(found, of) for of in (seconds_of, bytes_of))
        out.add_row("", "[dim]grows as[/]", time, "", "", space, "", end_section=True)
    return out


def cells(p: Point) -> tuple[str, ...]:
    megabytes = [report.megabytes(x) for x in (p.peak_bytes, p.predicted_peak_bytes)]
    per_row = f"{p.predicted_peak_bytes / p.rows:.1f}"
    return f"{p.rows:,}", report.seconds(p.median_s), f"{p.row_s * 1e9:.2f}", *megabytes, per_row


def seconds_of(p: Point) -> float:
    return p.median_s


def bytes_of(p: Point) -> float:
    return p.predicted_peak_bytes


def power(points: Sequence[Point], of: Callable[[Point], float]) -> str:
    value = exponent(points, of)
    return "–" if value is None else f"[dim]rows^{round(value, 2) + 0.0:.2f}[/]"


def save_json(path: Path, meta: dict[str, Any], points: Sequence[Point]) -> None:
    growth = {
        name: {"time": exponent(found, seconds_of), "memory": exponent(found, bytes_of)}
        for name, found in by_program(points).items()
    }
    content = {"meta": meta, "exponents": growth, "points": [asdict(p) for p in points]}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


COLOURS = ("#2a7f62", "#9ecae1", "#4292c6", "#08519c", "#c98a1b", "#b5382a")


def save_chart(path: Path, meta: dict[str, Any], points: Sequence[Point]) -> None:
    """Time beside memory, both by rows on logarithmic axes; dashed: in proportion to the rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (times, bytes_) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    for colour, (name, found) in zip(COLOURS * 9, by_program(points).items(), strict=False):
        rows = [p.rows for p in found]
        times.plot(rows, [p.median_s for p in found], "o-", ms=4, lw=1.5, color=colour, label=name)
        bytes_.plot(rows, [p.predicted_peak_bytes for p in found], "-", lw=1.5, color=colour)
        weighed = [p for p in found if p.peak_bytes]
        bytes_.plot(
            [p.rows for p in weighed], [p.peak_bytes for p in weighed],
            "o", ms=5, color=colour, markerfacecolor="none",
        )  # fmt: skip
    times.set_ylabel("seconds per HVP (median)")
    bytes_.set_ylabel("bytes beside the arguments")
    bytes_.set_title("lines: predicted; rings: measured", fontsize=9)
    for axes, of in ((times, seconds_of), (bytes_, bytes_of)):
        decorate(axes, points, of)
    times.legend(fontsize=8, frameon=False)
    versions = ", ".join(f"{k} {v}" for k, v in meta["versions"].items() if k in VERSIONS and v)
    figure.suptitle(f"{meta['device']}, {meta['threads']} threads; {versions}", fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


VERSIONS = ("gpuad", "numpy", "numba")


def decorate(axes: Any, points: Sequence[Point], of: Callable[[Point], float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    most, least = max(p.rows for p in points), min(p.rows for p in points)
    top = 1.5 * max(of(p) / p.rows for p in points if p.rows == most)
    axes.plot([least, most], [top * least, top * most], "k--", lw=0.8, zorder=0, label="∝ rows")
    axes.set_xlabel("rows")
    axes.grid(True, which="major", color="#dddddd", lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)


def rows_number(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value < 1 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(value)


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = out.add_argument
    add("--rows", nargs="+", type=rows_number, default=ROWS, metavar="N", help="1e3 to 1e7")
    add("--repeats", type=positive, default=9, help="timings of each point (default 9)")
    add("--threads", type=positive, default=machine.threads(), help="default: all cores")
    add("--json", type=output_file, metavar="FILE", help="write the results")
    add("--plot", type=output_file, metavar="FILE", help="draw the chart (.png, .svg, .pdf)")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    console = Console()
    meta = machine.meta("cpu", options.threads, "growth", options.repeats)
    if warning := machine.warning(meta):
        console.print(f"[yellow]{warning}[/]")
    os.environ["GPUAD_NUM_THREADS"] = str(options.threads)
    points: list[Point] = []
    with display(console) as progress, threadpoolctl.threadpool_limits(options.threads):
        task = progress.add_task("", total=len(PROGRAMS) * len(options.rows))

        def say(what: str) -> None:
            progress.update(task, description=what)

        for point in grow(PROGRAMS, options.rows, options.repeats, options.threads, say):
            points += [] if point is None else [point]
            progress.advance(task)
    console.print(table(points))
    if left_out := len(PROGRAMS) * len(options.rows) - len(points):
        console.print(f"{left_out} points left out: they would take over {SHARE:.0%} of the memory")
    if options.json:
        save_json(options.json, meta, points)
    if options.plot:
        save_chart(options.plot, meta, points)
    return 0


if __name__ == "__main__":
    sys.exit(main())

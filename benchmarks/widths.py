"""``python -m benchmarks.widths``: every row with vectors of 256 and of 512 bits, gpuad alone.

Which is faster, and which of them the compiler takes (`gpuad.codegen.cpu.vector_width`). By the
time that one thread computes, in turns: other programs on the machine hardly matter.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import peers, suite
from benchmarks.terminal import Console, Table

WIDTHS = (256, 512)
SECONDS = 2.0
"""Of turns, at least, for each row."""
ROUNDS = 8
"""Of turns, at least."""

Program = Callable[[], Any]


def compiled(engine: Any, case: suite.Case, bits: int | None) -> tuple[Program, set[int | None]]:
    """The case as gpuad compiles it in vectors of this width, and the widths of its sweeps;
    None: as it chooses."""
    from gpuad import compile as compile_
    from gpuad.codegen.cpu import sweeps

    args, tangents = engine.operands(case, case.dtype)
    engine.ad.clear_cache()
    widths = sweeps.vector_bits if bits is None else lambda *_: bits
    with patch.object(sweeps, "vector_bits", widths):
        f = engine.jit(engine.derivative(case, engine.names(case)[0]))
        f.explain(*args, *tangents)
        (entry,) = f._entries.values()
        program = compile_.compiled(entry.recorded.graph, np, "auto")
    arrays = [*args, *tangents, *entry.recorded.captured]
    program(arrays)
    return lambda: program(arrays), {s.bits for s in program.sweeps if s is not None}


def in_turns(programs: Sequence[Program], seconds: float) -> list[float]:
    """The shortest processor time of each."""
    times: list[list[float]] = [[] for _ in programs]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < ROUNDS:
        for program, taken in zip(programs, times, strict=True):
            start = time.process_time()
            program()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


def compare(
    cases: Sequence[suite.Case], seconds: float, say: Callable[[str], None]
) -> list[tuple[str, str, list[float], str]]:
    """For each case its times, and the widths that are chosen."""
    engine = peers.Gpuad("cpu", 1)
    found = []
    for case in cases:
        say(f"{case.row} {case.variant}")
        programs = [compiled(engine, case, bits)[0] for bits in WIDTHS]
        chosen = sorted(compiled(engine, case, None)[1], key=str)
        times = in_turns(programs, seconds)
        found.append((case.row, case.variant, times, ", ".join(map(str, chosen))))
        case.forget()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.widths", description=__doc__)
    options.add_argument("rows", nargs="*", metavar="ROW", help="rows to run (default: all)")
    options.add_argument("--size", choices=("small", "full"), default="small")
    options.add_argument("--seconds", type=float, default=SECONDS, help="for each row")
    given = options.parse_args(arguments)
    os.environ["GPUAD_NUM_THREADS"] = "1"
    console = Console()
    table = Table("row", "variant", "256 bits", "512 bits", "256 / 512", "chosen")
    cases = [c for c in suite.cases(given.rows, given.size, "cpu") if c.derivative != "powers"]
    for row, variant, (narrow, wide), chosen in compare(cases, given.seconds, console.print):
        times = [f"{t * 1e3:.3f} ms" for t in (narrow, wide)]
        table.add_row(row, variant, *times, f"{narrow / wide:.2f}", chosen)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

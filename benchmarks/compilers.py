"""``python -m benchmarks.compilers``: every kernel of the tests and of the small rows, in texts
short enough for both compilers, compiled for one compute capability, beside each other.

Compiled, not run: no GPU is needed. Machine instructions are counted where nvdisasm is at hand
(`benchmarks/sass.py` says how it is found), else those of PTX.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gpuad as ad
from benchmarks import reduced, sass, suite
from benchmarks.emulated import TESTS
from gpuad.codegen.cuda import compilers, planning, source, toolchain
from gpuad.codegen.cuda.compilers import Compiler
from gpuad.codegen.cuda.source import KernelText
from gpuad.ir.graph import Graph
from gpuad.transforms.guards import for_kernels
from gpuad.transforms.split_products import lower_for_gpu

sys.path.append(str(TESTS))

from emulator.checks import use
from executors.kernel_programs import PROGRAMS, SETTINGS

SHARED = 227 * 1024
"""Bytes of shared memory that a block can have there."""
CAPABILITY = (9, 0)
LINES = min(c.lines for c in compilers.COMPILERS if c.lines is not None)
"""Of a text, at most."""
ROWS = 8192
"""Of data, at most: kernels do not depend on more."""


# The kernels


def cut(case: suite.Case) -> suite.Case:
    """The case with fewer rows."""
    sizes = case.make.keywords if isinstance(case.make, partial) else {}
    if sizes.get("n", 0) <= ROWS or case.row == "W6":
        return case
    return replace(case, make=partial(case.make.func, **{**sizes, "n": ROWS}))


def graph_of_case(case: suite.Case) -> Graph:
    """What kernels are made from for a row of the suite."""
    return lower_for_gpu(reduced.recorded(case, *cut(case).data)[0])


def graph_of(function: Callable[..., Any], *arguments: Any) -> Graph:
    """The graph of a function as kernels are made from it."""
    return lower_for_gpu(for_kernels(ad.make_graph(function)(*arguments).graph))


@contextmanager
def planner(numbers: dict[str, int]) -> Iterator[None]:
    """The planner with these numbers."""
    with ExitStack() as changed:

        def setattr(owner: Any, name: str, value: int) -> None:
            changed.enter_context(patch.object(owner, name, value))

        use(SimpleNamespace(setattr=setattr), numbers)
        yield


def accepts(made: source.KernelSource) -> bool:
    """Whether both compilers get the kernel and link it as it is, a block of it runs, and nothing
    is spilled."""
    if made.kernel.text.count("\n") > LINES:
        return False
    resources = toolchain.compile_kernel(made.kernel, CAPABILITY).resources
    return not resources.given and resources.fit(made.layout.threads, SHARED)


def kernels_of(graph: Graph) -> list[KernelText]:
    """The kernels of a graph's plan."""
    plan = planning.cuda_plan(graph, accepts)
    return [s.source.kernel for s in plan.stages if s.source is not None]


def all_kernels() -> Iterator[tuple[str, KernelText]]:
    """The kernels of the tests' programs and of the suite's small rows, each once, with a name."""
    seen = set()
    for name, graph, numbers in all_graphs():
        with planner(numbers):
            kernels = kernels_of(graph)
        for k, kernel in enumerate(kernels):
            if kernel.digest not in seen:
                seen.add(kernel.digest)
                yield f"{name} {k}", kernel


def all_graphs() -> Iterator[tuple[str, Graph, dict[str, int]]]:
    """Each with a name, and with numbers of the planner."""
    for name, (function, arguments, _) in PROGRAMS.items():
        yield name, graph_of(function, *arguments), {}
    for name, (numbers, _) in SETTINGS.items():
        yield name, graph_of(PROGRAMS[name][0], *PROGRAMS[name][1]), numbers
    for case in suite.cases([], "small", "cpu"):
        yield f"{case.row} {case.variant}", graph_of_case(case), {}


# What a compiler makes of them


@dataclass(frozen=True)
class Made:
    """A kernel as one compiler makes it."""

    registers: int
    instructions: int
    spills: int
    """Bytes."""
    compile_seconds: float
    """From text to PTX."""
    link_seconds: float


def made(kernel: KernelText, compiler: Compiler) -> Made:
    """The kernel as this compiler makes it."""
    with patch.object(compilers, "chosen", lambda: compiler):
        start = time.perf_counter()
        ptx = toolchain.compile_ptx(kernel, CAPABILITY)
        compiled = time.perf_counter()
        binary = toolchain.link(ptx, CAPABILITY)
        linked = time.perf_counter()
    found = binary.resources
    count = machine_instructions(binary.cubin) or ptx_instructions(ptx)
    return Made(found.registers, count, found.spills, compiled - start, linked - compiled)


def machine_instructions(cubin: bytes) -> int | None:
    """Of a kernel, its padding left out; None without nvdisasm."""
    tool = sass.nvdisasm()
    if tool is None:
        return None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        run = subprocess.run([tool, "-c", file.name], capture_output=True, text=True, check=True)
    names = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", run.stdout, re.M)
    return sum(name != "NOP" for name in names)


def ptx_instructions(ptx: str) -> int:
    """Of a kernel, before the linker."""
    return len(re.findall(r"^\s+(?:@!?%\w+\s+)?[a-z][\w.:]*\s.*;$", ptx, re.M))


# The table


Row = tuple[str, list[Made]]


def compare(pair: Sequence[Compiler], say: Callable[[str], None]) -> list[Row]:
    """Every kernel, as each of these compilers makes it."""
    warm = KernelText("warm", "def warm(a, i):\n    a[i] = exp_f32(a[i])\n", ("f32*", "i64"))
    for compiler in pair:
        made(warm, compiler)  # the first one pays for the imports
    rows = []
    for name, kernel in all_kernels():
        say(name)
        rows.append((name, [made(kernel, compiler) for compiler in pair]))
    return rows


NUMBERS = {
    "registers": "registers",
    "instructions": "instructions",
    "spills": "spilled bytes",
    "compile_seconds": "s to PTX",
    "link_seconds": "s to link",
}


def table(rows: Sequence[Row], pair: Sequence[Compiler]) -> str:
    """The table in Markdown; each cell has a number of each compiler."""
    counted = "machine" if sass.nvdisasm() else "PTX"
    capability = "{}.{}".format(*CAPABILITY)
    lines = [
        "# Compilers of CUDA kernels",
        "",
        f"`python -m benchmarks.compilers`: compiled for compute capability {capability}, not run",
        f"on a GPU, in texts of at most {LINES} lines; instructions are {counted} instructions.",
        "In each cell:",
        f"{' / '.join(c.package for c in pair)} ({'; '.join(c.versions for c in pair)}).",
        "",
        "| kernel | " + " | ".join(NUMBERS.values()) + " |",
        "|---|" + "--:|" * len(NUMBERS),
    ]
    lines += [_line(name, [[getattr(m, n) for m in both] for n in NUMBERS]) for name, both in rows]
    sums = [
        [sum(getattr(both[k], n) for _, both in rows) for k in range(len(pair))] for n in NUMBERS
    ]
    lines.append(_line(f"all {len(rows)}", sums))
    lines.append(_line("ratio, of the sums", [[_ratio(*s)] for s in sums]))
    means = [[_mean_ratio(rows, n)] for n in NUMBERS]
    lines.append(_line("ratio, geometric mean", means))
    return "\n".join(lines) + "\n"


def _line(name: str, cells: Sequence[Sequence[Any]]) -> str:
    return f"| {name} | " + " | ".join(" / ".join(map(_text, cell)) for cell in cells) + " |"


def _text(x: Any) -> str:
    return f"{x:.3g}" if isinstance(x, float) else str(x)


def _ratio(first: float, second: float) -> float | str:
    return second / first if first else "-"


def _mean_ratio(rows: Sequence[Row], number: str) -> float | str:
    """Of the second compiler to the first."""
    pairs = [[getattr(m, number) for m in both] for _, both in rows]
    if not all(x and y for x, y in pairs):
        return "-"
    return statistics.geometric_mean(y / x for x, y in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.compilers", description=__doc__)
    options.add_argument("--json", type=Path, metavar="FILE", help="write every number here")
    chosen = options.parse_args(arguments)
    pair = compilers.COMPILERS
    missing = [c.package for c in pair if not compilers._installed(c.package)]
    if missing:
        options.error(f"not installed: {', '.join(missing)}. pip install -e '.[test]' brings them")
    rows = compare(pair, lambda name: print(name, file=sys.stderr))
    print(table(rows, pair))
    if chosen.json:
        found = {name: dict(zip([c.package for c in pair], map(asdict, both), strict=True))
                 for name, both in rows}  # fmt: skip
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

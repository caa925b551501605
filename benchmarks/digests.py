"""``python -m benchmarks.digests``: what gpuad generates for the suite, as digests to be compared.

A change that is to change nothing leaves every digest as it was: of the plan, of the source of each
sweep and kernel, and with ``--ptx`` of what the compiler makes of the kernels. ``--out`` writes
them, ``--against`` compares with such a file and ends with 1 if anything differs; ``--texts`` keeps
the texts themselves, for a look at what differs. Nothing is run, and no GPU is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import reduced, suite
from benchmarks.compilers import CAPABILITY, accepts
from gpuad.codegen.cuda import planning, toolchain
from gpuad.executors.native.program import NativeProgram
from gpuad.ir.graph import Graph
from gpuad.plan.show import show
from gpuad.transforms.guards import nan_shows, without_guards
from gpuad.transforms.lower import lower
from gpuad.transforms.split_products import lower_for_gpu

SIZES: list[tuple[suite.Size, suite.Device]] = [
    ("small", "cpu"),
    ("full", "cpu"),
    ("full", "cuda"),
]


def texts_on_cpu(graph: Graph, operands: Any) -> Iterator[tuple[str, str]]:
    """What a graph becomes on the CPU: each with what it is."""
    plain = without_guards(graph) if nan_shows(graph) else graph
    program = NativeProgram(lower(plain), plain)
    yield "plan", show(program.plan)
    explanation = program.explain(operands)
    yield "explanation", explanation.text
    for k, text in enumerate(explanation.sources):
        yield f"source {k}", text
    for k, sweep in enumerate(s for s in program.sweeps if s is not None):
        source = sweep.source
        yield f"sweep {k}", "\n".join([source.text, source.slow or "", *source.types])


def texts_on_gpu(graph: Graph, ptx: bool) -> Iterator[tuple[str, str]]:
    """What a graph becomes on a GPU: each with what it is."""
    plan = planning.cuda_plan(lower_for_gpu(graph), accepts)
    yield "plan", show(plan)
    sources = [stage.source for stage in plan.stages if stage.source is not None]
    for k, source in enumerate(sources):
        kernel = source.kernel
        yield f"kernel {k}", "\n".join([str(source.layout), kernel.text, *kernel.types])
        if ptx:
            yield f"PTX {k}", toolchain.compile_ptx(kernel, CAPABILITY)


def all_texts(rows: Sequence[str], ptx: bool) -> Iterator[tuple[str, str]]:
    for size, device in SIZES:
        for case in suite.cases(rows, size, device):
            graph, operands = reduced.recorded(case, *reduced.shapes(case))
            texts = texts_on_gpu(graph, ptx) if device == "cuda" else texts_on_cpu(graph, operands)
            for what, text in texts:
                yield f"{case.row} {case.variant}, {size} on {device}: {what}", text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows of the suite (all)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--ptx", action="store_true")
    options = parser.parse_args(arguments)
    found = {}
    for name, text in all_texts(options.rows, options.ptx):
        found[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
        if options.texts is not None:
            options.texts.mkdir(parents=True, exist_ok=True)
            (options.texts / name.replace("/", "-")).write_text(text)
    print(f"{len(found)} texts")
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=0) + "\n")
    if options.against is None:
        return 0
    before = json.loads(options.against.read_text())
    other = [name for name in before.keys() | found.keys() if before.get(name) != found.get(name)]
    for name in sorted(other):
        print(f"differs: {name}")
    print(f"{len(other)} differ")
    return bool(other)


if __name__ == "__main__":
    sys.exit(main())

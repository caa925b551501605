"""A sweep over one row, for small operations on whole arrays: without loops over rows."""

import re
from collections.abc import Sequence
from dataclasses import replace

from gpuad.codegen.argument import SweepSource
from gpuad.codegen.cpu.block_source import block_source
from gpuad.codegen.cpu.block_sweep import BlockForm
from gpuad.ir.graph import Equation, Var
from gpuad.plan.plan import in_one_row


def one_row_source(equations: Sequence[Equation], results: Sequence[Var]) -> SweepSource:
    """The source of a function of whole arrays that leaves these results. It has no loops over
    rows, and takes half the time to compile."""
    made = {v for e in equations for v in e.outputs}
    sweep = [in_one_row(e, made) for e in equations]
    source = block_source(sweep, set(results), form=BlockForm(lane_major=False, block=1))
    slow = source.slow and _without_rows(source.slow)
    return replace(source, text=_without_rows(source.text), slow=slow)


def _without_rows(text: str) -> str:
    """The text of a sweep in blocks of one row without the loops over blocks and rows."""
    head, *lines = text.splitlines()
    kept: list[str] = []
    dropped: list[int] = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        while dropped and indent <= dropped[-1]:
            dropped.pop()
        if _OVER_ROWS.match(line):
            dropped.append(indent)
        elif not _BLOCK.match(line):
            kept.append(_at_row_0(line[4 * len(dropped) :]))
    return "\n".join([head, *kept]) + "\n"


_OVER_ROWS = re.compile(r" *for (r in range\(n\)|b0 in range\(.*\)):$")
_BLOCK = re.compile(r" *(n = min|(\w+)b = \2\[\d+ \* b0:)")
_ROW = re.compile(r"\[(?:\d+ \* )?r( \+ )?")


def _at_row_0(line: str) -> str:
    line = _ROW.sub(lambda match: "[" if match[1] else "[0", line)
    line = re.sub(r"(range\(\d+) \* n\b", r"\1", line)
    return re.sub(r"\b([ao]\d+)b\b", r"\1", line)

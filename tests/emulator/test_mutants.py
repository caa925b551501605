"""Kernels with one fault each: the emulator sees it, or the result is another one.

Each barrier is taken out in turn, and each bound of a place made wrong. What makes no difference is
listed with the reason. ``GPUAD_EXAMPLES=1 pytest -n0 tests/emulator/test_mutants.py`` takes all
programs.
"""

import re
from dataclasses import replace

import pytest

from emulator.checks import EVERYTHING, graph_of, same, use
from emulator.device import host
from emulator.machine import Fault
from executors.kernel_programs import PROGRAMS
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
A_FEW = ["extremes", "scatter of many"]
ALL = [
    *A_FEW, "logistic", "rosenbrock", "rosenbrock, a block for a row", "neighbours",
    "neighbours, a block for a row", "sum", "scatter", "scatter by a sort", "hessians", "shifted",
    "shifted, a block for a row", "block for a row", "moved", "mixed",
]  # fmt: skip

MOVED_FIRST = "what is moved first is read before the last barrier of a round"
ALWAYS_LIVE = "a block that has one row at a time always has it"
NOT_NEEDED = {
    ("neighbours", "barrier 3 of 4"): MOVED_FIRST,
    ("neighbours, a block for a row", "barrier 5 of 5"): MOVED_FIRST,
    ("rosenbrock, a block for a row", "barrier 5 of 5"): MOVED_FIRST,
    ("shifted, a block for a row", "barrier 8 of 8"): MOVED_FIRST,
    ("neighbours, a block for a row", "clamp"): ALWAYS_LIVE,
    ("neighbours, a block for a row", "bound"): ALWAYS_LIVE,
    ("rosenbrock, a block for a row", "clamp"): ALWAYS_LIVE,
    ("rosenbrock, a block for a row", "bound"): ALWAYS_LIVE,
    ("shifted, a block for a row", "clamp"): ALWAYS_LIVE,
    ("shifted, a block for a row", "bound"): ALWAYS_LIVE,
    ("block for a row", "clamp"): ALWAYS_LIVE,
    ("block for a row", "bound"): ALWAYS_LIVE,
    ("scatter by a sort", "barrier 4 of 4"): "more than a million updates are ranked in rounds",
}
"""Faults that make no difference. The second kernel of a program may need what the first does not:
these are where one of its kernels does not."""

BARRIER = re.compile(r"^( *)cuda\.sync(?:threads|warp)\(\)$", re.MULTILINE)
BOUNDS = {
    "clamp": (r"min\((r\d+), n - 1\)", r"\1", "q0"),
    "bound": (r"(live\d+ = r\d+ )<( n)", r"\1<=\2", "live0"),
    "read in": (r", n \* ", ", 1 + n * ", ""),
    "written out": (r"< n \* ", "<= n * ", ""),
}
"""A pattern, what it becomes, and the name that has to be used for it to matter."""


def mutants(text):
    """(what, text) for each fault."""
    found = list(BARRIER.finditer(text))
    for k, m in enumerate(found):
        without = text[: m.start()] + m[1] + "pass" + text[m.end() :]
        yield f"barrier {k + 1} of {len(found)}", without
    for what, (pattern, changed, name) in BOUNDS.items():
        if re.search(pattern, text) and (not name or text.count(name) > 1):
            yield what, re.sub(pattern, changed, text)


@pytest.mark.parametrize("name", ALL if EVERYTHING else A_FEW)
def test_faults_are_seen(emulator, monkeypatch, name):
    function, arguments, _ = PROGRAMS[name]
    graph, _ = graph_of(function, arguments)
    planted = {}
    run = emulator.cupy.machine.runner
    emulator.cupy.machine.runner = lambda text, *rest: run(planted.get(text.digest, text), *rest)

    def outcome(program):
        emulator.launches.clear()
        try:
            results = host(program(emulator.arrays(arguments)))
        except Fault:
            return None, {"fault"}
        return results, {f.kind for x in emulator.launches for f in x.report.findings.values()}

    kernels, runs = {}, []
    for blocks in (1024, 1):  # many with a round each, one with all rounds
        use(monkeypatch, {"BLOCKS": blocks})
        program = emulator.program(graph)
        runs.append((program, *outcome(program)))
        kernels |= {x.compiled.kernel.digest: x.compiled.kernel for x in emulator.launches}

    def is_seen():
        for program, expected, before in runs:
            got, kinds = outcome(program)
            if kinds - before or got is None or not same(got, expected):
                return True
        return False

    unseen = set()
    for digest, kernel in kernels.items():
        for what, text in mutants(kernel.text):
            planted.clear()
            planted[digest] = replace(kernel, text=text)
            if not is_seen():
                unseen.add((name, what))
    assert unseen == {x for x in NOT_NEEDED if x[0] == name}

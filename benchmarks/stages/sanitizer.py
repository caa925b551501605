"""Stage c: the kernel families under compute-sanitizer, which finds bad accesses and races."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from benchmarks.stages import tools
from benchmarks.stages.programs import END, MARK, programs
from benchmarks.stages.record import Skip, Work

TOOLS = ("memcheck", "racecheck", "initcheck")
KEPT = 20
"""Lines of one program that are kept."""
_SUMMARY = re.compile(r"=+ (?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)")
_NOISE = re.compile(r"=+ (COMPUTE-SANITIZER|(ERROR|RACECHECK|LEAK) SUMMARY.*)?\s*$")


@dataclass
class Reader:
    """Writes what a tool says of each program, from the lines that both print."""

    work: Work
    tool: str
    errors: int | None = None
    """Of the tool's summary."""
    _name: str | None = None
    _lines: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        if text.startswith(MARK):
            self.end()
            self._name = text.removeprefix(MARK)
            self.work.begin(self._item)
        elif text.startswith(END):
            self.end()
        elif found := _SUMMARY.match(text):
            self.end()
            self.errors = int(found[1])
        elif text.startswith("=====") and not _NOISE.match(text):
            self._lines.append(text)

    def end(self) -> None:
        """Of a program."""
        if self._name is not None:
            found = {"error": self._lines[0], "lines": self._lines[:KEPT]} if self._lines else {}
            self.work.write(self._item, "failed" if found else "done", **found)
        self._name, self._lines = None, []

    @property
    def _item(self) -> str:
        return f"{self.tool}: {self._name}"


def run(work: Work) -> None:
    names = [f"{tool}: {name}" for tool in TOOLS for name in work.reduced(list(programs()))]
    begun = work.record.items(work.letter)
    for tool in TOOLS:
        left = [x.partition(": ")[2] for x in names if x.startswith(tool) and x not in begun]
        if left and work.seconds_left > 0:
            check(work, tool, left)


def check(work: Work, tool: str, names: list[str]) -> None:
    """The programs under one tool."""
    total = f"{tool}: summary"
    try:
        command = [tools.find("compute-sanitizer"), "--tool", tool]
    except Skip as why:
        work.write(total, "skipped", why=str(why))
        return
    if tool == "memcheck":
        command += ["--leak-check", "no"]
    reader = Reader(work, tool)
    for line in tools.lines([*command, *tools.program(work, "programs", *names)]):
        reader.line(line)
    if reader.errors is None:
        work.write(total, "failed", error="no summary: it did not come to its end")
    elif reader.errors:
        work.write(total, "failed", errors=reader.errors, error=f"{reader.errors} errors")
    else:
        work.write(total, "done", errors=0)

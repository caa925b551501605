"""What the pages of applications take from elsewhere: the code and its description from
`benchmarks.applications`, and the times from the results that are kept."""

import importlib
import inspect
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import chapters

from benchmarks import applications, report
from benchmarks.machine import BUSY

PAGES = Path(__file__).parent / "applications"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "applications.json"
CODE = re.compile(r"(<!-- made: code of ([\w, ]+) -->\n).*?(\n<!-- end -->)", re.S)
HEADER = "| | gpuad | JAX | JAX by gpuad |\n|---|--:|--:|--:|"


def pages() -> list[Path]:
    """The page of each module."""
    return [page for page in sorted(PAGES.glob("*.md")) if page.stem != "index"]


def module_of(page: Path) -> ModuleType:
    return importlib.import_module(f"benchmarks.applications.{page.stem}")


def about(module: ModuleType) -> str:
    """The docstring of a module."""
    return re.sub(r"([*_])", r"\\\1", chapters.paragraphs(module.__doc__))


def with_code(page: str, module: ModuleType) -> str:
    """The page with what is named in its comments ``made: code of`` as it is in the module."""

    def block(found: re.Match[str]) -> str:
        parts = [source(module, name) for name in found[2].split(", ")]
        return f"{found[1]}\n```python\n" + "\n\n".join(parts) + f"```\n{found[3]}"

    return CODE.sub(block, page)


def source(module: ModuleType, name: str) -> str:
    """The text of a function, or the line in which a constant is given."""
    thing = getattr(module, name)
    if inspect.isfunction(thing):
        return inspect.getsource(thing)
    (line,) = re.findall(rf"^{name} = .*\n", inspect.getsource(module), re.M)
    return line


def times(module: ModuleType) -> str:
    """A table for each application of a module."""
    mine = [a for a in applications.ALL.values() if a.function.__module__ == module.__name__]
    parts = []
    for application in mine:
        title = f"{application.name[0].upper()}{application.name[1:]}: "
        size = f"{application.size}, {application.dtype}."
        lines = [line(row["variant"], row) for row in rows() if row["id"] == application.name]
        parts.append(f"{title * (len(mine) > 1)}{size}\n\n" + "\n".join([HEADER, *lines]))
    return "\n\n".join(parts)


def all_times() -> str:
    """The table of all applications, and the machine."""
    lines = ["| | | gpuad | JAX | JAX by gpuad |", "|---|---|--:|--:|--:|"]
    lines += [f"| {row['id']} {line(row['variant'], row)}" for row in rows()]
    meta = results()["meta"]
    names = ("jax", "numpy", "numba")
    versions = ", ".join(f"{name} {meta['versions'][name]}" for name in names)
    days = sorted({date[:10] for row in rows() for date in row["dates"]})
    where = f"{meta['device']}, {meta['threads']} threads, {versions}, {' and '.join(days)}"
    busy = meta["load"]["busy_share"] or 0.0
    words = f"Measured on {where}."
    if any(len(row["dates"]) > 1 for row in rows()):
        words += " Of rows that were run more than once, the run with the smallest last column."
    if busy > BUSY:
        words += f" Other processes kept {busy:.0%} of the cores busy, so the times say little."
    return "\n".join(lines) + f"\n\n{words}"


def line(name: str, row: dict[str, Any]) -> str:
    """A row of a table: our median, JAX's, and the median of its time by ours."""
    ours, theirs = row["ours"], row["peers"].get("jax.jit", {})
    ratio = "–" if row["ratio_to_best"] is None else f"{row['ratio_to_best']:.2f}×"
    return f"| {name} | {time(ours)} | {time(theirs)} | {ratio} |"


def time(result: dict[str, Any]) -> str:
    return report.seconds(result["median_s"]) if "median_s" in result else "no right result"


def rows() -> list[dict[str, Any]]:
    return results()["rows"]


def results() -> Any:
    return json.loads(RESULTS.read_text(encoding="utf-8"))

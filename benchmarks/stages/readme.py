"""The README's table of a GPU's results: what has been measured, and "unmeasured" where nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import suite
from benchmarks.report import seconds
from benchmarks.stages.record import Record
from benchmarks.stages.rows import FIRST, headline, ratio_of

GPUS = {"h100": "H100", "h200": "H200"}
UNMEASURED = "unmeasured"


def table(results: Path) -> str:
    """Markdown: for each headline row and GPU our time, JAX's by it, and the part of a copy's
    speed at which the compulsory traffic passed."""
    names = headline([f"{c.row} {c.variant}" for c in suite.cases((), "full", "cuda")])
    found = {gpu: measured(results / gpu) for gpu in GPUS}
    columns = [f"{name}: gpuad | × {FIRST} | of a copy" for name in GPUS.values()]
    lines = [f"| row | {' | '.join(columns)} |", "|---" + "|--:|--:|--:" * len(GPUS) + "|"]
    for name in names:
        cells = [" | ".join(of_row(found[gpu].get(name))) for gpu in GPUS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def measured(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows that a run on hardware has beside JAX, by name."""
    record = Record(folder)
    if any(line.get("rehearsed") for line in record.lines()):
        return {}
    rows = [x for x in record.items("d").values() if x["status"] == "done" and "ours" in x]
    return {f"{x['id']} {x['variant']}": x for x in rows if FIRST in x["peers"]}


def of_row(row: dict[str, Any] | None) -> tuple[str, str, str]:
    if row is None:
        return UNMEASURED, "", ""
    if "error" in row["ours"]:
        return "no right result", "–", "–"
    ratio, share = ratio_of(row, "median_s"), row.get("share_of_copy")
    return (
        seconds(row["ours"]["median_s"]),
        f"{ratio:.2f}" if ratio else "–",
        f"{share:.0%}" if share else "–",
    )

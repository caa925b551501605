"""Stage f: the hardware's counters of each row's kernels (ncu), beside what was counted before.

`benchmarks/results/counted.json` has the predictions, where it is there.
"""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.stages import tools
from benchmarks.stages.record import Work
from benchmarks.stages.rows import all_cases, headline
from benchmarks.stages.running import ROOT

COUNTED = ROOT / "benchmarks" / "results" / "counted.json"
METRICS = {
    "gpu__time_duration.sum": "nanoseconds",
    "dram__bytes_read.sum": "dram_read",
    "dram__bytes_write.sum": "dram_written",
    "smsp__inst_executed.sum": "instructions",
    "smsp__issue_active.avg.pct_of_peak_sustained_active": "issue_percent",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy_percent",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "dram_percent",
    "launch__registers_per_thread": "registers",
    "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio": "stall_memory",
    "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio": "stall_barrier",
    "smsp__average_warps_issue_stalled_math_pipe_throttle_per_issue_active.ratio": "stall_math",
    "smsp__average_warps_issue_stalled_lg_throttle_per_issue_active.ratio": "stall_queue",
}
ESSENTIAL = list(METRICS)[:4]
"""What is asked for where ncu does not know one of the others."""
COMPARED = ("dram_read", "dram_written", "instructions")


class NoCounters(RuntimeError):
    """What ncu said when it gave none."""


def run(work: Work) -> None:
    names = headline(list(all_cases(work)))
    predictions = counted()
    for name in work.pending(names):
        with work.item(name) as found:
            kernels = profile(work, name)
            found["kernels"] = kernels
            found["predicted"] = beside(kernels, predictions.get(name))
            found["seconds_of_kernels"] = sum(k.get("nanoseconds", 0) for k in kernels) / 1e9


def profile(work: Work, name: str) -> list[dict[str, Any]]:
    """The kernels of one call of a row, with their counters."""
    try:
        return ask(work, name, list(METRICS))
    except NoCounters as error:
        if "metric" not in str(error):
            raise
        return ask(work, name, ESSENTIAL)


def ask(work: Work, name: str, metrics: list[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        launched = Path(folder) / "launched.json"
        command = [
            tools.find("ncu"), "--csv", "--print-units", "base", "--clock-control", "none",
            "--profile-from-start", "off", "--metrics", ",".join(metrics),
            *tools.program(work, "profiled", name, "--launched", str(launched)),
        ]  # fmt: skip
        output = list(tools.lines(command))
        kernels = parse(output)
        if not kernels:
            raise NoCounters(complaint(output))
        return with_digests(kernels, json.loads(launched.read_text(encoding="utf-8")))


def parse(output: Iterable[str]) -> list[dict[str, Any]]:
    """The kernels in ncu's CSV, in the order of their launches."""
    table = [line for line in output if line.startswith('"')]
    kernels: dict[str, dict[str, Any]] = {}
    for line in csv.DictReader(table):
        kernel = kernels.setdefault(
            line["ID"],
            {
                "kernel": re.split(r"[(<]", line["Kernel Name"])[0],
                "grid": product(line["Grid Size"]),
                "threads": product(line["Block Size"]),
            },
        )
        name = METRICS.get(line["Metric Name"])
        value = number(line["Metric Value"])
        if name is not None and value is not None:
            kernel[name] = value
    return list(kernels.values())


def product(text: str) -> int:
    """Of the numbers of a size such as (132, 1, 1)."""
    out = 1
    for digits in re.findall(r"\d+", text):
        out *= int(digits)
    return out


def number(text: str) -> float | None:
    """A number with commas between its thousands; None for n/a."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def complaint(output: Iterable[str]) -> str:
    """The line in which ncu says why it has nothing."""
    said = [x for x in output if x.startswith(("==ERROR==", "==WARNING=="))]
    return said[0] if said else "ncu gave no counters; log.txt has what it printed"


def with_digests(kernels: list[Any], launched: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """ncu's kernels, with the digests of those that gpuad launched; the others are libraries'."""
    ours = iter(launched)
    awaited = next(ours, None)
    for kernel in kernels:
        if awaited is not None and kernel["kernel"] == awaited["name"]:
            kernel["digest"] = awaited["digest"]
            awaited = next(ours, None)
    return kernels


def counted(path: Path = COUNTED) -> dict[str, list[dict[str, Any]]]:
    """The kernels that `benchmarks.count` predicts, by row and variant; none without its file."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    kernels = {f"{r['id']} {r['variant']}": r.get("kernels", []) for r in rows}
    return {
        name: [k | {"instructions": sum(k["instructions"].values())} for k in found]
        for name, found in kernels.items()
    }


def beside(measured: list[dict[str, Any]], predicted: list[dict[str, Any]] | None) -> Any:
    """Sums over a row's own kernels, measured and predicted; None without a prediction."""
    if not predicted:
        return None
    ours = [k for k in measured if "digest" in k]
    found: dict[str, Any] = {}
    for name in COMPARED:
        found[name] = [total(ours, name), total(predicted, name)]
    found["seconds"] = [
        sum(k.get("nanoseconds", 0) for k in ours) / 1e9,
        total(predicted, "seconds"),
    ]
    found["binding"] = sorted({k["binding"] for k in predicted})
    return found


def total(kernels: list[dict[str, Any]], name: str) -> float:
    return float(sum(k.get(name) or 0 for k in kernels))

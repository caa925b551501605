"""What a run has found, on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.report import seconds
from benchmarks.stages.record import Line, Record
from benchmarks.stages.table import STAGES

REHEARSED = "REHEARSED, NOT MEASURED: kernels ran in the emulator, at small sizes"
WIDTH = 110
FAULTS = 5
"""Of a stage that are shown; the record has all."""
MOST = 40
"""Lines."""


def summary(record: Record) -> str:
    """Every stage with its state, what counts in it, and its first faults."""
    lines = [head(record)]
    for stage in STAGES:
        lines += of_stage(record, stage.letter, f"{stage.letter} {stage.name}")
    if len(lines) > MOST:
        lines = [*lines[: MOST - 1], "... more of this in results.jsonl"]
    return "\n".join(line[:WIDTH] for line in lines) + "\n"


def head(record: Record) -> str:
    about = record.lines()[:1]
    rehearsed = bool(about) and about[0].get("rehearsed", False)
    gpu = record.items("a").get("gpu", {}).get("gpu", "GPU unknown")
    return REHEARSED if rehearsed else f"gpuad on {gpu}"


def of_stage(record: Record, letter: str, title: str) -> list[str]:
    ends = [x for x in record.lines(letter) if "item" not in x]
    if not ends and not record.items(letter):
        return []
    items = list(record.items(letter).values())
    end = ends[-1] if ends else {"status": "cut off"}
    state = end["status"] if end["status"] != "ended" else ""
    why = f": {end['why']}" if end.get("why") else ""
    counts = [f"{n} {what}" for what in ("done", "failed", "skipped") if (n := count(items, what))]
    parts = [*([state + why] if state else []), *counts]
    if end.get("seconds") is not None:
        parts.append(f"{end['seconds']:.0f} s")
    lines = [f"{title}: {', '.join(parts)}", *DETAILS[letter](items)]
    faults = [x for x in items if x["status"] == "failed"]
    lines += [f"   FAILED {x['item']}: {x.get('error', '')}" for x in faults[:FAULTS]]
    if len(faults) > FAULTS:
        lines.append(f"   ... and {len(faults) - FAULTS} more that failed")
    why_not = dict.fromkeys(x.get("why", "") for x in items if x["status"] == "skipped")
    return [*lines, *[f"   skipped: {why}" for why in list(why_not)[:2]]]


def count(items: Sequence[Line], status: str) -> int:
    return sum(x["status"] == status for x in items)


def of_here(items: Sequence[Line]) -> list[str]:
    found: dict[str, Any] = {x["item"]: x for x in items}
    speed = found.get("copy", {}).get("bytes_per_second")
    copied = f"copy {speed / 1e9:.0f} GB/s read and written" if speed else "copy not measured"
    gpu = found.get("gpu", {})
    versions = found.get("versions", {}).get("versions", {})
    names = [f"{k} {versions[k]}" for k in ("cupy", "numpy", "jax", "torch") if versions.get(k)]
    return [f"   {copied}; driver for CUDA {gpu.get('driver')}; {', '.join(names)}"]


def of_rows(items: Sequence[Line]) -> list[str]:
    """A row each: ours, the GPU's own time, the ratio to the peer, the share of a copy's speed."""
    lines = []
    for x in items:
        if x["status"] != "done" or "ours" not in x:
            continue
        ours, peer = x["ours"], next(iter(x["peers"]), "-")
        if "error" in ours:
            lines.append(f"   {x['id']} {x['variant']}: gpuad: {ours['error']}")
            continue
        theirs = x["peers"].get(peer, {})
        shown = seconds(theirs["median_s"]) if "median_s" in theirs else theirs.get("error", "-")
        parts = [f"{seconds(ours['median_s'])} (GPU {seconds(ours.get('device_s'))})"]
        parts.append(f"{peer} {shown[:40]}")
        if x.get("ratio_to_best"):
            parts.append(f"{x['ratio_to_best']:.2f}×")
        if x.get("share_of_copy"):
            parts.append(f"{x['share_of_copy']:.0%} of a copy")
        lines.append(f"   {x['id']} {x['variant']}: {', '.join(parts)}")
    return lines


def of_repeated(items: Sequence[Line]) -> list[str]:
    lines = [x for line in of_rows(items) for x in [line]]
    runs = [x for x in items if "replays" in x]
    if not runs:
        return lines
    captured = sum(x["replays"] > 0 for x in runs)
    off = [abs(x["peak_bytes"] / max(x["predicted_peak_bytes"], 1) - 1) for x in runs]
    lines.append(
        f"   {captured} of {len(runs)} rows are replayed; the same bits in every run: "
        f"{sum(x['differing'] == 0 for x in runs)}; memory is off its prediction by "
        f"{max(off):.0%} at most"
    )
    return lines


def of_counters(items: Sequence[Line]) -> list[str]:
    """What was counted against what was predicted, a row each."""
    lines = []
    for x in items:
        if x["status"] != "done":
            continue
        text = f"{len(x['kernels'])} kernels, {seconds(x['seconds_of_kernels'])}"
        for name, pair in (x.get("predicted") or {}).items():
            if isinstance(pair, list) and len(pair) == 2 and pair[1]:
                text += f", {name} {pair[0] / pair[1]:.2f}× the prediction"
        lines.append(f"   {x['item']}: {text}")
    return lines


def nothing(items: Sequence[Line]) -> list[str]:
    return []


DETAILS = {
    "a": of_here,
    "b": nothing,
    "c": nothing,
    "d": of_rows,
    "e": of_repeated,
    "f": of_counters,
    "g": of_rows,
}

"""What a run has found, on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.report import seconds
from benchmarks.stages.record import Line, Record
from benchmarks.stages.table import STAGES

REHEARSED = "REHEARSED, NOT MEASURED: kernels ran in the emulator, at small sizes"
WIDTH = 132
FAULTS = 3
"""Of a stage that are shown; the record has all."""
SHORT = {"dram_read": "read", "instructions": "issued", "seconds": "time"}
MOST = 40
"""Lines."""


def summary(record: Record) -> str:
    """Every stage with its state, what counts in it, and its first faults."""
    parts = [of_stage(record, stage.letter, f"{stage.letter} {stage.name}") for stage in STAGES]
    while sum(map(len, parts)) >= MOST:
        longest = max(parts, key=len)
        longest[-2:] = ["   ... more of this in results.jsonl"]
    lines = [head(record), *[line for part in parts for line in part]]
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
    """For each row ours, the GPU's own time, the ratio to each peer, the share of a copy's."""
    rows: dict[str, list[Line]] = {}
    for x in items:
        if "ours" in x and "error" not in x["ours"]:
            rows.setdefault(f"{x['id']} {x['variant']}", []).append(x)
    return packed([f"{name}: {' '.join(of_row(found))}" for name, found in rows.items()])


def of_row(found: Sequence[Line]) -> list[str]:
    """One row, which has been timed beside one peer or several."""
    ours = found[0]["ours"]
    parts = [seconds(ours["median_s"]), f"(GPU {seconds(ours.get('device_s'))})"]
    for x in found:
        for peer, theirs in x["peers"].items():
            ratio = x["ratio_to_best"] if x.get("best_peer") == peer else None
            short = peer.split(".")[0]
            parts.append(f"{short} {ratio:.2f}×" if ratio else f"{short} {theirs['error'][:20]}")
    if found[0].get("share_of_copy"):
        parts.append(f"{found[0]['share_of_copy']:.0%} of a copy")
    return parts


def packed(texts: Sequence[str]) -> list[str]:
    """Several in a line, where they fit."""
    lines: list[str] = []
    for text in texts:
        if lines and len(lines[-1]) + len(text) + 3 <= WIDTH:
            lines[-1] += f" | {text}"
        else:
            lines.append(f"   {text}")
    return lines


def of_repeated(items: Sequence[Line]) -> list[str]:
    lines = of_rows(items)
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
    """What was counted against what was predicted."""
    texts = []
    for x in items:
        if x["status"] != "done":
            continue
        text = f"{x['item']}: {len(x['kernels'])} kernels {seconds(x['seconds_of_kernels'])}"
        for name, pair in (x.get("predicted") or {}).items():
            if isinstance(pair, list) and len(pair) == 2 and pair[1] and name in SHORT:
                text += f", {SHORT[name]} {pair[0] / pair[1]:.2f}× the prediction"
        texts.append(text)
    return packed(texts)


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

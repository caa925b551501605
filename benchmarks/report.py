"""What a run leaves: a table, the JSON file and a chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from benchmarks.terminal import Console, Table

Row = dict[str, Any]

TARGETS = {"R1": 0.8, "W8": 0.8}  # every other row: 1.0
MEAN_TARGET = 3.0
COLOURS = {"win": "#2a7f62", "near": "#c98a1b", "loss": "#b5382a"}


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 1e-3:
        return f"{value * 1e6:.1f} µs"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


def megabytes(value: int | None) -> str:
    return "–" if value is None else f"{value / 1e6:.1f}"


def target(row: Row) -> float:
    return TARGETS.get(row["id"], 1.0)


def mean_ratio(rows: Sequence[Row]) -> float | None:
    """The geometric mean over the W rows of the geometric means over their variants."""
    by_row: dict[str, list[float]] = {}
    for row in rows:
        if row["ratio_to_best"] is not None and row["id"].startswith("W"):
            by_row.setdefault(row["id"], []).append(row["ratio_to_best"])
    return geometric_mean(map(geometric_mean, by_row.values())) if by_row else None


def table(rows: Sequence[Row]) -> Table:
    """One line per case; times are medians, memory the peak of one call."""
    peers = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    out = Table(title="Derivatives per call: median time, and peak memory in MB")
    out.add_column("row")
    out.add_column("variant")
    for name in ("gpuad", *peers):
        out.add_column(name, justify="right")
    for name in ("ratio", "after a pause", "copy", "HVP/grad"):
        out.add_column(name, justify="right")
    for row in rows:
        cells = [cell(row["ours"]), *(cell(row["peers"].get(name)) for name in peers)]
        own = (ratio(row), after_pause(row), *ours_ratios(row))
        out.add_row(row["id"], row["variant"], *cells, *own)
    return out


def cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return ""
    if "error" in result:
        return "[red]wrong[/]" if result["error"].startswith("wrong") else "[dim]failed[/]"
    return f"{seconds(result['median_s'])} [dim]{megabytes(result['peak_bytes'])}[/]"


def ratio(row: Row) -> str:
    value = row["ratio_to_best"]
    if value is None:
        return "–"
    return f"[{'green' if value >= target(row) else 'red'}]{value:.2f}×[/]"


def after_pause(row: Row) -> str:
    """Our time for a call after a pause, and the best peer's by it."""
    ours, theirs = rested(row)
    if ours is None:
        return "–"
    return seconds(ours) if theirs is None else f"{seconds(ours)}, {theirs / ours:.2f}×"


def rested(row: Row) -> tuple[float | None, float | None]:
    """Our time for a call after a pause and the best peer's, None where there is none."""
    best = row["peers"].get(row["best_peer"], {})
    return row["ours"].get("rested_s"), best.get("rested_s")


def ours_ratios(row: Row) -> tuple[str, str]:
    """Our time by a bare copy of the compulsory traffic, and by our own gradient."""
    ours = row["ours"]
    if "error" in ours:
        return "–", "–"
    copy = f"{ours['median_s'] / row['floor']['copy_s']:.1f}×"
    gradient = ours["grad_s"]
    return copy, f"{ours['beside_grad_s'] / gradient:.2f}" if gradient else "–"


def show(console: Console, rows: Sequence[Row]) -> None:
    """The table, the mean, and every error in full."""
    console.print(table(rows))
    mean = mean_ratio(rows)
    if mean is not None:
        console.print(f"geometric mean of the W rows: {mean:.2f}× (target {MEAN_TARGET:.0f}×)")
    for row in rows:
        for name, result in {"gpuad": row["ours"], **row["peers"]}.items():
            if "error" in result:
                console.print(
                    f"{row['id']} {row['variant']}, {name}: {result['error']}", markup=False
                )


def markdown(rows: Sequence[Row]) -> str:
    """The table that the README shows: our time, the best peer's, and the ratio of the two; in a
    loop and, where that was measured, after a pause."""
    pauses = any(rested(row)[0] is not None for row in rows)
    last = "| after a pause |" if pauses else "|"
    lines = [f"| row | variant | gpuad | best peer | ratio {last}"]
    lines.append("|---|---|--:|--:|--:|" + "--:|" * pauses)
    for row in rows:
        best, value = row["best_peer"], row["ratio_to_best"]
        ours = "no right result" if "error" in row["ours"] else seconds(row["ours"]["median_s"])
        theirs = "–" if best is None else f"{best} {seconds(row['peers'][best]['median_s'])}"
        shown = "–" if value is None else f"{value:.2f}×"
        cells = (row["id"], row["variant"], ours, theirs, shown, *[after_pause(row)] * pauses)
        lines.append(f"| {' | '.join(cells)} |")
    mean = mean_ratio(rows)
    if mean is not None:
        lines.append(f"| | geometric mean of the W rows | | | {mean:.2f}× |" + " |" * pauses)
    return "\n".join(lines) + "\n"


def worse(rows: Sequence[Row], earlier: Sequence[Row]) -> list[Row]:
    """Each row of either run, with all its dates; of a row in both the one with the smaller ratio,
    where none counts as the least."""
    out = {(row["id"], row["variant"]): row for row in earlier}
    for row in rows:
        key = row["id"], row["variant"]
        if key in out:
            dates = [*out[key]["dates"], *row["dates"]]
            row = min(out[key], row, key=lambda row: row["ratio_to_best"] or 0.0) | {"dates": dates}
        out[key] = row
    return list(out.values())


def save_json(path: Path, meta: dict[str, Any], rows: Sequence[Row]) -> None:
    text = json.dumps({"meta": meta, "rows": list(rows)}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def save_chart(path: Path, meta: dict[str, Any], rows: Sequence[Row]) -> None:
    """A bar for each case, its length the best peer's time by ours: right of 1, gpuad wins."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn = [row for row in rows if row["best_peer"] is not None]
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.32 * len(drawn)), layout="constrained")
    for y, row in enumerate(drawn):
        value = row["ratio_to_best"]
        axes.plot([target(row)] * 2, [y - 0.42, y + 0.42], color="black", lw=2)
        if value is None:
            axes.text(1, y, "  gpuad: no right result", va="center", color=COLOURS["loss"])
            continue
        axes.barh(y, value - 1, left=1, height=0.7, color=COLOURS[verdict(row)])
        label = f"  {value:.2f}× {row['best_peer']}"
        axes.text(max(value, 1), y, label, va="center", fontsize=8)
    axes.axvline(1, color="black", lw=0.8)
    mean = mean_ratio(drawn)
    if mean is not None:
        axes.axvline(mean, color="grey", ls="--", lw=1, zorder=0)
        axes.text(mean, -0.9, f" mean of W rows {mean:.2f}×", color="grey", fontsize=8)
    decorate(axes, meta, drawn)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def decorate(axes: Any, meta: dict[str, Any], rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    ratios = [row["ratio_to_best"] for row in rows if row["ratio_to_best"] is not None]
    largest, smallest = max([*ratios, 4]), min([*ratios, 0.5])
    ticks = [t for t in (0.01, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 50, 100) if smallest / 2 <= t]
    axes.set_xscale("log")
    axes.set_xlim(smallest / 1.5, largest * 3)
    shown = [t for t in ticks if t <= largest * 2]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{t:g}×" for t in shown])
    axes.set_yticks(range(len(rows)), [f"{row['id']}  {row['variant']}" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -1.2)
    axes.set_xlabel("time of the best peer / time of gpuad (log scale; black ticks: targets)")
    packages = {"gpuad", *(name.split(".")[0] for row in rows for name in row["peers"])}
    versions = ", ".join(f"{k} {v}" for k, v in meta["versions"].items() if k in packages)
    axes.set_title(
        f"{meta['device']}, {meta['threads']} threads, {meta['size']} size\n{versions}", fontsize=9
    )
    axes.spines[["top", "right"]].set_visible(False)


def verdict(row: Row) -> str:
    value = row["ratio_to_best"]
    if value >= 1:
        return "win"
    return "near" if value >= target(row) else "loss"

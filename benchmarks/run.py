"""A whole run: the engines' processes, the cases in turn, a progress display."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import machine, measure, memory, peers
from benchmarks.oracle import PREFERENCE
from benchmarks.suite import Case, Device, Size
from benchmarks.terminal import (
    BarColumn,
    Console,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from benchmarks.worker import Remote

PATIENCE = {"small": 120.0, "full": 900.0}  # seconds that one answer of an engine may take


def cuda_available() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.is_available())


@contextmanager
def processes(
    names: Sequence[str], size: Size, device: Device, threads: int
) -> Iterator[tuple[dict[str, Remote], dict[str, Remote], Remote | None]]:
    """Processes: to time each engine installed, to weigh some of them, and for the oracle."""
    start = (size, device, threads, PATIENCE[size])
    present = [name for name in (measure.OURS, *names) if peers.installed(name)]
    timed = {name: Remote(name, *start) for name in present}
    # Peers compile once more to be weighed: at small size that would take longer than all the rest.
    heavy = present if size == "full" else [measure.OURS]
    weighed = {name: Remote(name, *start, environment=memory.ONE_HEAP) for name in heavy}
    checker = next((name for name in PREFERENCE if peers.installed(name)), None)
    oracle = None
    if checker is not None:
        oracle = Remote(checker, size, "cpu", threads, PATIENCE[size])
    try:
        yield timed, weighed, oracle
    finally:
        for remote in (*timed.values(), *weighed.values(), oracle):
            if remote is not None:
                remote.stop()


def run(
    cases: Sequence[Case],
    names: Sequence[str],
    size: Size,
    device: Device,
    repeats: int,
    threads: int,
    console: Console,
    keep: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """The JSON rows of the cases, gpuad beside the engines named; `keep` has them after each."""
    machine.hold_threads(threads)
    missing = [name for name in names if not peers.installed(name)]
    if missing:
        console.print(f"not installed, so not measured: {', '.join(missing)}")
    rows: list[dict[str, Any]] = []
    with processes(names, size, device, threads) as remotes, display(console) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            title = f"{case.row} {case.variant}"

            def say(stage: str, title: str = title) -> None:
                progress.update(task, description=f"{title}: {stage}")

            rows.append(measure.measure(case, *remotes, repeats, threads, say))
            keep(rows)
            progress.advance(task)
    return rows


def display(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )

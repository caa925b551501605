"""The machine under a run: versions, commit, threads and how idle it was."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks import peers

BUSY = (
    0.10  # share of all cores' time in other processes above which a run is not on an idle machine
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hold_threads(count: int) -> None:
    """Give every engine the same number of threads; inherited by the processes started later."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)


def busy_share(seconds: float = 1.0) -> float | None:
    """The share of all cores' time that was spent working, over a second in which we sleep."""
    if not Path("/proc/stat").exists():
        return None
    before = cpu_times()
    time.sleep(seconds)
    spent = [after - start for start, after in zip(before, cpu_times(), strict=True)]
    idle = spent[3] + spent[4]
    return 1 - idle / max(1, sum(spent))


def cpu_times() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal; in ticks, over all cores."""
    return [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def meta(device: str, count: int, size: str, repeats: int) -> dict[str, Any]:
    """The "meta" of the JSON."""
    packages = {peers.ENGINES[name].package: peers.version(name) for name in peers.ENGINES}
    for package in ("jaxlib", "numpy", "numba", "cupy"):
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            packages[package] = None
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **packages},
        "device": device if device == "cuda" else processor(),
        "threads": count,
        "date": now(),
        "size": size,
        "repeats": repeats,
        "load": {"busy_share": busy_share(), "average_1min": os.getloadavg()[0]},
    }


def warning(meta: dict[str, Any]) -> str | None:
    """What to tell the reader when the machine was not idle."""
    busy = meta["load"]["busy_share"]
    if busy is None or busy <= BUSY:
        return None
    return (
        f"other processes keep {busy:.0%} of the cores busy: these times are not worth quoting; "
        "run again on an idle machine"
    )


def commit() -> str | None:
    """The commit of the source tree, with a + when files differ from it; None outside git."""
    here = Path(__file__).parent
    try:
        name = git(here, "rev-parse", "--short=12", "HEAD")
        return name + ("+" if git(here, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def processor() -> str:
    info = Path("/proc/cpuinfo")
    models = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return models[0] if models else platform.processor() or platform.machine()

"""Stage a: the GPU, its driver, the versions, `gpuad info`, the speed of a copy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from benchmarks import machine, rehearsal
from benchmarks.stages import tools
from benchmarks.stages.record import Skip, Work
from gpuad import info
from gpuad.executors.cuda import compile_cache

COMMIT = "commit"
"""A file beside the ready-made kernels."""
COPIED = 1 << 31
"""Bytes; far more than the L2 cache holds."""


def gpu(work: Work) -> dict[str, Any]:
    import cupy

    driver = info.read_driver()
    assert driver is not None
    name = rehearsal.NAME if work.rehearsed else driver.gpus[0].name
    return {
        "gpu": name,
        "capability": ".".join(map(str, driver.gpus[0].capability)),
        "memory": driver.gpus[0].memory,
        "driver": ".".join(map(str, driver.cuda)),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
    }


def versions(work: Work) -> dict[str, Any]:
    meta = machine.meta("cuda", machine.threads(), "full", 0)
    found = {name: meta[name] for name in ("commit", "versions", "threads", "date")}
    return found | {"prepared": prepared_from()}


def prepared_from() -> str | None:
    """The commit that the ready-made kernels are of: the source may have come without git."""
    folder = compile_cache.ready_made()
    path = folder / COMMIT if folder is not None else None
    return path.read_text(encoding="utf-8").strip() if path and path.exists() else None


def report(work: Work) -> dict[str, Any]:
    text = str(info.report())
    print(text, flush=True)
    return {"text": text}


def copy(work: Work) -> dict[str, Any]:
    speed = info.copy_bandwidth() if work.rehearsed else info.copy_bandwidth(COPIED)
    if speed is None:
        raise RuntimeError("a copy on the GPU failed")
    return {"bytes_per_second": speed}


def driver(work: Work) -> dict[str, Any]:
    """What nvidia-smi says; nothing is set."""
    if work.rehearsed:
        raise Skip("rehearsed: there is no driver")
    query = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,power.limit"
    command = [tools.find("nvidia-smi"), f"--query-gpu={query}", "--format=csv"]
    return {"text": subprocess.run(command, capture_output=True, text=True, timeout=30).stdout}


ITEMS: dict[str, Callable[[Work], dict[str, Any]]] = {
    "gpu": gpu,
    "versions": versions,
    "copy": copy,
    "gpuad info": report,
    "driver": driver,
}


def run(work: Work) -> None:
    for name in work.pending(ITEMS):
        with work.item(name) as found:
            found |= ITEMS[name](work)


def copy_speed(work: Work) -> float | None:
    """What this stage has measured, in bytes a second."""
    found = work.record.items("a").get("copy", {})
    return found.get("bytes_per_second")

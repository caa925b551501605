"""Peak memory of a call, and how fast this machine copies and reads memory.

The peak is the kernel's high-water mark of resident memory, reset before the call (Linux's
/proc/self/clear_refs): it sees every allocator alike, NumPy's, XLA's and PyTorch's.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LARGEST = 1 << 30

# glibc's extra heaps keep what a thread frees, where `malloc_trim` does not reach it, and a warm
# call would seem to take nothing. Slower (XLA then returns its buffers to the system after every
# call), so it is set for the processes that weigh and not for those that are timed.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}


def peak_rise(call: Callable[[], Any]) -> int | None:
    """Bytes by which `call` raises resident memory at its peak; None where Linux is not."""
    if not CLEAR_REFS.exists():
        return None
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    CLEAR_REFS.write_text("5")
    before = resident("VmRSS")
    outputs = call()
    peak = resident("VmHWM")
    del outputs
    return max(0, peak - before)


def limit(share: float = 0.7) -> None:
    """Make an allocation beyond a share of the machine's memory fail in this process alone."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    most = int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def resident(field: str) -> int:
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


@functools.cache
def copy_seconds(traffic: int, threads: int) -> float:
    """Seconds to copy `traffic` / 2 bytes, which moves `traffic` of them."""
    size = max(64, min(traffic, LARGEST)) // 2
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    pieces = zip(np.array_split(source, threads), np.array_split(target, threads), strict=True)
    return best_of(lambda a, b: np.copyto(b, a), list(pieces)) * traffic / (2 * size)


@functools.cache
def read_seconds(traffic: int, threads: int) -> float:
    """Seconds of one pass over `traffic` bytes that keeps nothing (a dot product with itself)."""
    size = max(64, min(traffic, LARGEST)) // 4
    pieces = [(piece,) for piece in np.array_split(np.ones(size, np.float32), threads)]
    return best_of(lambda a: np.dot(a, a), pieces) * traffic / (4 * size)


def best_of(work: Callable[..., Any], pieces: list[tuple[Any, ...]], repeats: int = 7) -> float:
    with ThreadPoolExecutor(len(pieces)) as pool:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            for done in [pool.submit(work, *piece) for piece in pieces]:
                done.result()
            times.append(time.perf_counter() - start)
    return min(times)

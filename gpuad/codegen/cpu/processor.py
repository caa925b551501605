"""What the CPU is like, as far as it decides how sweeps are written."""

import functools
import os

UNKNOWN_CACHE = 32 * 1024 * 1024


@functools.cache
def has_avx512() -> bool:
    """Whether vectors can be 512 bits wide, and need not be."""
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512vl", False))


@functools.cache
def cache_bytes() -> int:
    """The size of the last level of cache."""
    name = "SC_LEVEL3_CACHE_SIZE"
    found = os.sysconf(name) if name in os.sysconf_names else 0
    return found if found > 0 else UNKNOWN_CACHE

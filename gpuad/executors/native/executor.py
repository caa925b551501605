"""The executor of the CPU, as `gpuad.compile` uses it: compiled sweeps on NumPy arrays."""

from gpuad.executors.memory import with_least_memory
from gpuad.executors.native import compile_cache
from gpuad.executors.native.fast_path import prepared
from gpuad.executors.native.guarded import GuardedProgram
from gpuad.executors.native.program import NativeProgram


def available() -> bool:
    """Whether sweeps can be compiled: Numba is installed."""
    return compile_cache.available()


__all__ = ["GuardedProgram", "NativeProgram", "available", "prepared", "with_least_memory"]

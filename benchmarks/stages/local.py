"""An engine in this process, driven like the suite's own processes (`measure.Handle`).

On a GPU the engines do not fight over cores, and one process makes each row's data once.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.suite import Case
from benchmarks.worker import EngineFailed, Session, explain_error

AT_ONCE = (3, 100)
"""Calls one behind the other, at least and at most."""


class Local(Session):
    """A session in this process, for one case at a time; `loop` are the seconds for which it makes
    calls one behind the other, about."""

    def __init__(self, engine: peers.Engine, loop: float) -> None:
        super().__init__(engine, "full", "cuda")
        self.loop = loop
        self.given: Case | None = None

    def call(self, method: str, *arguments: Any) -> Any:
        """As `worker.Remote.call`, errors included."""
        try:
            return getattr(self, method)(*arguments)
        except EngineFailed:
            raise
        except Exception as error:
            raise EngineFailed(explain_error(error)) from error

    def open(self, key: tuple[str, str], dtype: str | None = None) -> list[str]:
        assert self.given is not None and self.given.key == key
        self.case = self.given
        self.operands = self.engine.operands(self.case, self.case.dtype)
        if dtype is not None and dtype != self.case.dtype:
            self.operands = in_dtype(self.engine, self.operands, dtype)
        return self.engine.names(self.case)

    def run(self, way: str) -> float:
        assert self.case is not None
        return self.timed(self.calls[way]) / self.case.calls

    def throughput(self, way: str, once: float) -> float:
        """Seconds of a call among many that do not wait for one another, of one product where
        there are several: kernels and what launches cannot hide, without the wait."""
        assert self.case is not None
        call, count = self.calls[way], self.count(once)
        start = time.perf_counter()
        for _ in range(count):
            outputs = call()
        self.engine.wait(outputs)
        return (time.perf_counter() - start) / count / self.case.calls

    def count(self, once: float) -> int:
        """Calls to make one behind the other, where a product takes so long."""
        assert self.case is not None
        least, most = AT_ONCE
        return int(max(least, min(most, self.loop / max(once * self.case.calls, 1e-6))))

    def close(self) -> None:
        super().close()
        gc.collect()
        if isinstance(self.engine, peers.Gpuad):
            self.engine.cupy.get_default_memory_pool().free_all_blocks()


class LocalGpuad(Local):
    """gpuad, of which the GPU itself tells more."""

    def on_device(self, way: str, once: float) -> float:
        """Seconds of a call by the GPU's own clock, between events around many calls."""
        assert self.case is not None
        cuda, call, count = self.engine.cupy.cuda, self.calls[way], self.count(once)
        begin, end = cuda.Event(), cuda.Event()
        begin.record()
        for _ in range(count):
            call()
        end.record()
        end.synchronize()
        return float(cuda.get_elapsed_time(begin, end)) / 1e3 / count / self.case.calls

    def allocated(self, way: str) -> int:
        """Bytes that one call takes at its peak, run plainly and not from a captured graph."""
        assert self.case is not None
        self.engine.ad.clear_cache()
        call = self.engine.build(self.case, way, self.operands)
        call()
        return peak_of(self.engine.cupy, call)


def peak_of(cupy: Any, call: Callable[[], Any]) -> int:
    """The most memory that a call has at one time."""
    gc.collect()
    pool, used = cupy.cuda.MemoryPool(), [0]

    def malloc(size: int) -> Any:
        memory = pool.malloc(size)
        used.append(pool.used_bytes())
        return memory

    with cupy.cuda.using_allocator(malloc):
        result = call()
        del result
        gc.collect()
    return max(used)


def in_dtype(engine: peers.Engine, operands: peers.Operands, dtype: str) -> peers.Operands:
    """The operands cast on the device, where that is quicker than on the host."""

    def cast() -> peers.Operands:
        return tuple(
            tuple(x.astype(dtype) if np.dtype(x.dtype).kind == "f" else x for x in group)
            for group in operands
        )

    if isinstance(engine, peers.Jax):
        with engine.jax.enable_x64(True):
            return cast()
    return cast()


class Repeated:
    """A generator whose large arrays of normal numbers repeat a block: a billion of them would
    take longer to draw than all the rest of a row."""

    BLOCK = (1 << 24) + 1  # odd, so that columns differ

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._random, name)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64) -> Any:
        count = int(np.prod(size)) if size is not None else 1
        if count <= self.BLOCK:
            return self._random.standard_normal(size, dtype)
        return np.resize(self._random.standard_normal(self.BLOCK, dtype), size)


def with_data(case: Case, seed: int = 20250117) -> Case:
    """The case, its data made."""
    args, tangents = case.make(Repeated(seed))  # type: ignore[arg-type]
    case.__dict__["data"] = case.cast(args, case.dtype), case.cast(tangents, case.dtype)
    return case

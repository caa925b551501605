"""A process that holds one engine, and the handle by which the suite drives it.

Engines that share a process share a heap and fight over cores with their idle, spinning threads.
Here each lives alone, so that its peak memory is its own and only the one being timed is awake.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import memory, peers, suite

SHORT = 0.2  # seconds; a longer call hardly notices what ran before it
REST = {"small": 0.01, "full": 0.03}  # seconds
PAUSE = 0.05  # seconds without a call, after which threads sleep and caches are others'
WARM_UP = {"small": 0.01, "full": 0.02}  # seconds


class EngineFailed(RuntimeError):
    """What an engine said when it could not run a case."""


class EngineDied(EngineFailed):
    """An engine whose process is gone; the next call starts another, which knows no case."""


class Session:
    """One engine, one case at a time; the timings are taken here, beside the engine."""

    def __init__(self, engine: peers.Engine, size: suite.Size, device: suite.Device) -> None:
        self.engine, self.size, self.device = engine, size, device
        self.case: suite.Case | None = None
        self.operands: peers.Operands = ((), ())
        self.calls: dict[str, peers.Call] = {}
        self.last: dict[str, float] = {}

    def open(self, key: tuple[str, str], dtype: str | None = None) -> list[str]:
        """Take up a case, in float64 for an oracle; the names of the formulations to try."""
        self.case = suite.find(key, self.size, self.device)
        self.operands = self.engine.operands(self.case, dtype or self.case.dtype)
        return self.engine.names(self.case)

    def first(self, way: str) -> float:
        """Seconds from a function never seen to its first result, inputs in place."""
        assert self.case is not None
        start = time.perf_counter()
        self.calls[way] = self.engine.build(self.case, way, self.operands)
        self.engine.wait(self.calls[way]())
        return time.perf_counter() - start

    def output(self, way: str) -> tuple[np.ndarray, ...]:
        """The result, in the host's memory."""
        return self.engine.fetch(self.calls[way]())

    def run(self, way: str) -> float:
        """Seconds of one warm call, results included; of one product where there are several.

        Before a short one come a rest, in which the threads of the engine before stop spinning, or
        they would take the cores from this one; and untimed calls until all is warm.
        """
        assert self.case is not None
        call = self.calls[way]
        if self.case.calls == 1 and self.last.get(way, 0.0) < SHORT:
            time.sleep(REST[self.size])
            warm = time.perf_counter() + WARM_UP[self.size]
            while time.perf_counter() < warm:
                self.timed(call)
        self.last[way] = self.timed(call)
        return self.last[way] / self.case.calls

    def rested(self, way: str) -> float:
        """Seconds of one call after a pause, of one product where there are several."""
        assert self.case is not None
        time.sleep(PAUSE)
        return self.timed(self.calls[way]) / self.case.calls

    def timed(self, call: peers.Call) -> float:
        start = time.perf_counter()
        outputs = call()
        self.engine.wait(outputs)
        return time.perf_counter() - start

    def peak(self, way: str) -> int | None:
        """Bytes by which one warm call raises the process's resident memory."""
        if self.device == "cuda":
            return None
        self.engine.release()
        return memory.peak_rise(lambda: self.engine.wait(self.calls[way]()))

    def unjitted(self, way: str) -> float:
        """Seconds to a first result without `jit`, for an engine that has both."""
        assert self.case is not None and isinstance(self.engine, peers.Gpuad)
        return self.timed(self.engine.unjitted(self.case, way, self.operands))

    def with_gradient(self, way: str, repeats: int) -> tuple[float | None, ...]:
        """Median seconds of the objective, of its gradient, and of what is measured, in turn."""
        assert self.case is not None
        cheaper = self.engine.value_and_gradient(self.case, self.operands[0])
        if cheaper is None:
            return None, None, None
        calls = (*cheaper, self.calls[way])
        per_call = (1, 1, self.case.calls)
        rounds = [[self.timed(call) for call in calls] for _ in range(repeats + 2)]
        medians = np.median(rounds[2:], axis=0)
        return tuple([float(m) / n for m, n in zip(medians, per_call, strict=True)])

    def explain(self, way: str) -> dict[str, int | None]:
        """The compiler's own account, None for what it does not say."""
        assert self.case is not None and isinstance(self.engine, peers.Gpuad)
        names = ("peak_bytes", "bytes_moved", "launches")
        if not hasattr(self.engine.jit(len), "explain"):
            return dict.fromkeys(names)
        account = self.engine.explain(self.case, way, self.operands)
        return {name: getattr(account, name) for name in names}

    def close(self) -> None:
        """Let go of the case."""
        self.case = None
        self.operands = ((), ())
        self.calls.clear()
        self.last.clear()
        self.engine.forget()


def serve(
    pipe: Connection, name: str, size: suite.Size, device: suite.Device, threads: int
) -> None:
    """Answer method calls on a `Session` until the pipe closes.

    What goes wrong is reported by the suite, so the engines' own logs are kept quiet.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if device == "cpu":
        memory.limit()
    try:
        session = Session(peers.ENGINES[name](device, threads), size, device)
        pipe.send((True, None))
    except Exception as error:
        pipe.send((False, explain_error(error)))
        return
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, getattr(session, method)(*arguments)))
        except Exception as error:
            pipe.send((False, explain_error(error)))


def explain_error(error: BaseException) -> str:
    """One line: the last line of the traceback, cut to a table's width."""
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[0][:300]


class Remote:
    """A `Session` in a process of its own."""

    def __init__(
        self,
        name: str,
        size: suite.Size,
        device: suite.Device,
        threads: int,
        patience: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.patience, self.environment = name, patience, environment or {}
        self.start = (size, device, threads)
        self.pipe: Connection | None = None

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the session; `EngineFailed` with its words when it raises or hangs."""
        if self.pipe is None:
            self.spawn()
        assert self.pipe is not None
        try:
            self.pipe.send((method, arguments))
            return self.answer()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.stop()
            raise EngineDied("its process died: a crash, or out of memory") from None

    def spawn(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, self.name, *self.start), daemon=True
        )
        with patch.dict(os.environ, self.environment):
            self.process.start()
        theirs.close()
        try:
            self.answer()
        except EngineFailed:
            self.stop()
            raise
        except EOFError:
            self.stop()
            raise EngineDied("its process died as it began") from None

    def answer(self) -> Any:
        assert self.pipe is not None
        if not self.pipe.poll(self.patience):
            self.stop()
            raise EngineDied(f"no answer within {self.patience:.0f} s")
        good, answer = self.pipe.recv()
        if not good:
            raise EngineFailed(answer)
        return answer

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None
            self.process.join(2)
            self.process.kill()

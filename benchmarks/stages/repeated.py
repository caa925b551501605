"""Stage e: runs again and again: the latency of L0, the same bits, replay, memory as predicted."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from benchmarks import peers, rehearsal, suite
from benchmarks.stages.local import peak_of
from benchmarks.stages.record import Work
from benchmarks.stages.rows import FIRST, MEMORY, Bench
from benchmarks.suite import Case

RUNS = 20


def run(work: Work) -> None:
    os.environ.update(MEMORY)
    cases = {f"{c.row} {c.variant}": c for c in suite.cases((), "small", "cuda")}
    if work.rehearsed:
        cases = {k: rehearsal.smaller(c) for k, c in cases.items()}
    jobs = {f"latency of {k}": partial(latency, work) for k in cases if k.startswith("L0")}
    jobs |= {f"{RUNS} runs of {k}": again for k in cases}
    for item in work.pending(jobs):
        case = cases[item.split(" of ", 1)[1]]
        with work.item(item) as found:
            try:
                found |= jobs[item](case)
            finally:
                case.forget()


def latency(work: Work, case: Case) -> dict[str, Any]:
    """The time of a product among many that depend on one another, beside JAX's."""
    bench = Bench(work.rehearsed)
    row = bench.row(case, FIRST, None)
    bench.release(case)
    return row


def again(case: Case) -> dict[str, Any]:
    """The same call many times, its results let go each time, as a loop of a user's does."""
    engine = peers.Gpuad("cuda", 1)
    engine.ad.clear_cache()
    way = engine.names(case)[0]
    operands = engine.operands(case, case.dtype)
    function = engine.jit(engine.derivative(case, way))
    args = [*operands[0], *operands[1]]
    predicted = function.explain(*args)
    function(*args)
    peak = peak_of(engine.cupy, lambda: function(*args))
    first = engine.fetch(function(*args))
    differing = sum(not same(engine.fetch(function(*args)), first) for _ in range(RUNS - 1))
    replayed = of_jitted(function, args)
    found = {
        "differing": differing,
        "replays": replayed.replays,
        "replay_fault": replayed.fault,
        "launches": predicted.launches,
        "peak_bytes": peak,
        "predicted_peak_bytes": predicted.peak_bytes,
    }
    engine.forget()
    if differing:
        raise Differs(f"{differing} of {RUNS} runs gave other bits: {found}")
    return found


class Differs(AssertionError):
    """Runs on the same arrays that gave different results."""


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


def of_jitted(function: Any, args: list[Any]) -> Any:
    """The replayed program that a jitted function runs on these arrays."""
    entry, _ = function._entry(tuple(args), {})
    derived = entry.recorded.graph.derived
    executor = next(v for k, v in derived.items() if k[:2] == ("compiled", "cupy"))
    return executor.program(0)

"""Stages d and g: rows of the suite at their GPU sizes, beside their peers.

A row's right result is JAX's in float64 on the same GPU, at the same size and on the same data;
where that does not fit into memory, the row's own formula or its peers in float32, and the result
says which. Only what is right is timed. A row is timed call by call (launches and the wait
included), by calls one behind the other, and by the GPU's own clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from benchmarks import machine, measure, oracle, peers, rehearsal, suite
from benchmarks.stages import here
from benchmarks.stages.local import Local, LocalGpuad, with_data
from benchmarks.stages.record import Skip, Work
from benchmarks.suite import Arrays, Case
from benchmarks.worker import EngineFailed

HEADLINE = (
    "W3 logistic 1e+06x256 m=1",
    "W2 HVP d=4",
    "W5 1255268 observations",
    "W6 N=32768 m=1",
    "W4 n=2e+06 d=10 K=25",
    "W7 Laplacian 4x32 d=2",
    "W3 logistic 1e+06x256 m=8",
    "W2 HVP d=32",
    "W3 logistic 1e+06x1024 m=1",
    "W6 N=4096 m=8",
    "W3 logistic 1e+06x1024 m=8",
    "W7 training gradient 4x32 d=2",
    "W2 Hessians d=4",
    "W10",
    "W11",
)
"""The first word is a row; without more, all its variants."""
FIRST, SECOND = "jax.jit", "torch.compile"

OURS = measure.OURS
MEMORY = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": ".5",  # the rest is for the others in this process
}


@dataclass(frozen=True)
class Effort:
    """How long a row is timed: rounds of calls in turns at least and at most, their seconds and
    those of calls one behind the other, about; rounds of gpuad's cheaper derivatives."""

    rounds: tuple[int, int] = (5, 50)
    turns: float = 3.0
    loop: float = 0.5
    cheaper: int = 10


REHEARSED = Effort((2, 2), 0.0, 0.0, 1)


def all_cases(work: Work) -> dict[str, Case]:
    """The cases by name; rehearsed, at sizes for the emulator."""
    found = {f"{c.row} {c.variant}": c for c in suite.cases((), "full", "cuda")}
    return {k: rehearsal.smaller(c) for k, c in found.items()} if work.rehearsed else found


def headline(names: list[str]) -> list[str]:
    """Those of the names that stage d is for, in its order."""
    return [x for h in HEADLINE for x in names if x == h or x.split()[0] == h]


def run(work: Work) -> None:
    os.environ.update(MEMORY)
    cases = all_cases(work)
    first = headline(list(cases))
    todo = [(x, FIRST) for x in (first if work.letter == "d" else cases)]
    if work.letter == "d":
        todo += [(x, SECOND) for x in first]
    else:
        todo = [(x, peer) for x, peer in todo if x not in first and not x.startswith("L0")]
    by_name = {f"{name} beside {peer}": (name, peer) for name, peer in todo}
    bench = Bench(work.rehearsed)
    for item in work.pending(by_name):
        name, peer = by_name[item]
        with work.item(item) as found:
            if not peers.installed(peer):
                raise Skip(f"{peer} is not installed")
            case = with_data(cases[name])
            try:
                found |= bench.row(case, peer, here.copy_speed(work))
            finally:
                bench.release(case)
            if "error" in found["ours"]:
                raise EngineFailed(f"gpuad: {found['ours']['error']}")


class Bench:
    """The engines of one process, each made when it is first asked for."""

    def __init__(self, rehearsed: bool) -> None:
        self.rehearsed = rehearsed
        self.effort = REHEARSED if rehearsed else Effort()
        self.threads = machine.threads()
        self.handles: dict[str, Local] = {}
        # JAX first: it decides about its devices when it is imported.
        for name in (FIRST, OURS):
            self.engine(name)

    def engine(self, name: str) -> Local | None:
        """An engine's handle; None where it is not installed."""
        if name not in self.handles and peers.installed(name):
            device = "cpu" if self.rehearsed and name != OURS else "cuda"
            made = LocalGpuad if name == OURS else Local
            self.handles[name] = made(peers.ENGINES[name](device, self.threads), self.effort.loop)
        return self.handles.get(name)

    def release(self, case: Case) -> None:
        for handle in self.handles.values():
            handle.close()
        case.forget()

    def row(self, case: Case, peer: str, copy: float | None) -> dict[str, Any]:
        """gpuad and one peer on a case, as the suite's files have it."""
        start = time.perf_counter()
        for handle in self.handles.values():
            handle.given = case
        expected, checked = self.expected(case)
        racing: dict[str, measure.Contestant] = {}
        failed: dict[str, dict[str, Any]] = {}
        for name in (OURS, peer):
            handle = self.engine(name)
            assert handle is not None
            handle.given = case
            try:
                ways = handle.call("open", case.key)
                right = ours(racing) if expected is None else expected
                racing[name] = contestant(case, handle, ways, right)
            except EngineFailed as error:
                failed[name] = {"error": str(error)}
        rounds = self.rounds(case, racing)
        failed |= {k: {"error": v} for k, v in measure.alternate(racing, rounds).items()}
        results = failed | {k: self.summary(c) for k, c in racing.items()}
        own = results.pop(OURS)
        return {
            "id": case.row,
            "variant": case.variant,
            "dtype": case.dtype,
            "ours": own,
            "peers": results,
            "checked": checked,
            **measure.against_best(racing),
            **by_bandwidth(case, own, copy),
            "whole_s": time.perf_counter() - start,
        }

    def rounds(self, case: Case, racing: Mapping[str, measure.Contestant]) -> int:
        """So many that the timing takes seconds and not minutes."""
        once = sum(min(c.trials) for c in racing.values()) * case.calls
        least, most = self.effort.rounds
        return int(max(least, min(most, self.effort.turns / max(once, 1e-6))))

    def expected(self, case: Case) -> tuple[Arrays | None, str]:
        """The right result, and where it is from."""
        judge = self.engine(FIRST)
        if judge is not None:
            try:
                return from_float64(case, judge), "jax.jit in float64 at this size"
            except EngineFailed as error:
                print(f"{case.row} {case.variant}: no float64 at this size: {error}", flush=True)
            finally:
                judge.close()
        if case.exact is not None and case.bytes_floor < 1 << 24:
            return oracle.reference(case, None), "its formula in float64 at this size"
        return None, "the engines against one another in float32"

    def summary(self, racer: measure.Contestant) -> dict[str, Any]:
        """The times of one engine, and for gpuad what the GPU and the compiler say."""
        found = racer.summary()
        once = found["median_s"]
        if not isfinite(found["max_rel_err"]):
            found["max_rel_err"] = None
        engine, effort = racer.engine, self.effort
        asked: dict[str, tuple[Any, ...]] = {"throughput": (once,)}
        if isinstance(engine, LocalGpuad):
            asked |= {"on_device": (once,), "explain": (), "allocated": ()}
            asked |= {"with_gradient": (effort.cheaper,)}
        for method, arguments in asked.items():
            try:
                found |= named(method, engine.call(method, racer.way, *arguments))
            except EngineFailed as error:  # the times stand without it
                found.setdefault("missing", {})[method] = str(error)
        return found


def named(method: str, answer: Any) -> dict[str, Any]:
    """An answer of a handle's by the names of the suite's files."""
    if method == "explain":
        names = {"peak_bytes": "predicted_peak_bytes"}
        return {names.get(k, k): v for k, v in answer.items()}
    if method == "with_gradient":
        return dict(zip(("value_s", "grad_s", "beside_grad_s"), answer, strict=True))
    name = {"throughput": "throughput_s", "on_device": "device_s", "allocated": "peak_bytes"}
    return {name[method]: answer}


def from_float64(case: Case, judge: Local) -> Arrays:
    """JAX's result in float64, by the first formulation that runs."""
    ways = judge.call("open", case.key, "float64")
    errors = []
    for way in ways:
        try:
            judge.call("first", way)
            return judge.call("output", way)
        except EngineFailed as error:
            errors.append(str(error))
    raise EngineFailed("; ".join(errors))


def ours(racing: Mapping[str, measure.Contestant]) -> Arrays | None:
    """gpuad's result, to hold a peer to where nothing better is."""
    if OURS not in racing:
        return None
    return racing[OURS].engine.call("output", racing[OURS].way)


def contestant(
    case: Case, handle: Local, ways: list[str], right: Arrays | None
) -> measure.Contestant:
    """The fastest formulation that is right; where nothing says what is, the first one."""
    if right is not None:
        return measure.best_formulation(case, handle, ways, right)
    way = ways[0]
    first = handle.call("first", way)
    return measure.Contestant(handle, way, first, nan, {way: handle.call("run", way)})


def by_bandwidth(case: Case, own: dict[str, Any], copy: float | None) -> dict[str, Any]:
    """The compulsory traffic, and how near its time in a copy is to ours on the GPU."""
    taken = own.get("device_s")
    found: dict[str, Any] = {"bytes_floor": case.bytes_floor}
    if copy and taken:
        found["share_of_copy"] = case.bytes_floor / copy / taken
    return found


def ratio_of(row: Mapping[str, Any], field: str) -> float | None:
    """The best peer's time by ours."""
    theirs = row["peers"].get(row.get("best_peer") or "", {}).get(field)
    mine = row["ours"].get(field)
    return theirs / mine if theirs and mine else None

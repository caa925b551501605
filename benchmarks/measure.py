"""One case, measured: every engine checked, then timed in turn against the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from statistics import median
from typing import Any, Protocol

from benchmarks import machine, memory, oracle
from benchmarks.suite import Arrays, Case
from benchmarks.worker import EngineDied, EngineFailed

OURS = "gpuad"
TRIALS = 3  # runs of each formulation, of which the best decides
LONG = 0.2  # seconds, beyond which one trial decides
SCREEN = 6  # the part of the rounds in which all engines take part: one in so many
PAUSES = 8  # calls after a pause, at most; others in a row come before them
HOPELESS = 4.0  # times the best peer's median, beyond which a peer rests after the screen


class Handle(Protocol):
    """A session, in a process of its own (`worker.Remote`) or here in the tests."""

    def call(self, method: str, *arguments: Any) -> Any: ...


@dataclass
class Contestant:
    """An engine that gave the right answer, and how long it took."""

    engine: Handle
    way: str
    first_s: float
    max_rel_err: float
    tried: dict[str, float | str]
    times: list[float] = field(default_factory=list)
    rested: list[float] = field(default_factory=list)

    @property
    def trials(self) -> list[float]:
        return [t for t in self.tried.values() if isinstance(t, float)]

    def run(self) -> None:
        self.times.append(self.engine.call("run", self.way))

    def summary(self) -> dict[str, Any]:
        return {
            "median_s": median(self.times),
            "min_s": min(self.times),
            "rested_s": median(self.rested) if self.rested else None,
            "first_s": self.first_s,
            "max_rel_err": self.max_rel_err,
            "formulation": self.way,
            "tried": self.tried,
            "runs": len(self.times),
        }


def measure(
    case: Case,
    engines: Mapping[str, Handle],
    scales: Mapping[str, Handle],
    oracle_engine: Handle | None,
    repeats: int,
    threads: int,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The JSON row of a case; an engine that fails or is wrong is reported, not timed.

    ``scales`` are engines again, in processes that weigh memory and are never timed.
    """
    say("oracle")
    expected = oracle.reference(case, oracle_engine)
    results: dict[str, dict[str, Any]] = {}
    racing: dict[str, Contestant] = {}
    first_unjitted = None
    for name, engine in engines.items():
        if case.engines is not None and name not in case.engines:
            continue
        say(name)
        try:
            ways = engine.call("open", case.key)
            if name == OURS:
                first_unjitted = engine.call("unjitted", ways[0])
            peers = [min(c.trials) for other, c in racing.items() if other != OURS]
            racing[name] = best_formulation(case, engine, ways, expected, min(peers, default=inf))
        except EngineFailed as error:
            results[name] = {"error": str(error)}
    say("timing")
    results |= {name: {"error": why} for name, why in alternate(racing, repeats).items()}
    say("after a pause")
    results |= {name: {"error": why} for name, why in after_pauses(racing, repeats).items()}
    for name, contestant in racing.items():
        say(f"memory of {name}")
        weight = peak(case, scales[name], contestant.way) if name in scales else None
        results[name] = contestant.summary() | {"peak_bytes": weight}
    if OURS in racing:
        say("gradient and value")
        results[OURS] |= ours_alone(case, racing[OURS], first_unjitted, repeats, threads)
    for name in racing:
        engines[name].call("close")
    case.forget()
    ours = results.pop(OURS, {"error": "not asked for"})
    return {
        "id": case.row,
        "variant": case.variant,
        "dtype": case.dtype,
        "ours": ours,
        "peers": results,
        "floor": floor(case, threads),
        "dates": [machine.now()],
        **against_best(racing),
    }


def best_formulation(
    case: Case, engine: Handle, ways: list[str], expected: Arrays, best: float = inf
) -> Contestant:
    """The fastest of an engine's formulations that give the right answer; `best` is what other
    peers take."""
    tried: dict[str, float | str] = {}
    right: dict[str, tuple[float, float]] = {}
    alive: set[str] = set()
    for way in ways:
        try:
            first = engine.call("first", way)
            error = oracle.relative_error(engine.call("output", way), expected)
            if error <= case.tolerance:
                tried[way] = trial(case, engine, way, best)
                best = min(best, tried[way])
                right[way] = first, error
                alive.add(way)
            else:
                tried[way] = f"wrong: rel err {error:.1e} (at most {case.tolerance:.0e})"
        except EngineDied as problem:
            tried[way] = str(problem)
            alive.clear()
            engine.call("open", case.key)
        except (EngineFailed, ValueError) as problem:
            tried[way] = str(problem)
    if not right:
        raise EngineFailed("; ".join(str(reason) for reason in dict.fromkeys(tried.values())))
    way = min(right, key=lambda name: tried[name])
    if way not in alive:
        engine.call("first", way)
    return Contestant(engine, way, *right[way], tried)


def trial(case: Case, engine: Handle, way: str, best: float) -> float:
    """The best of a few runs, or one run where it is long or far from the best."""
    once = engine.call("run", way)
    if once * case.calls > LONG or once > HOPELESS * best:
        return once
    return min(once, *(engine.call("run", way) for _ in range(TRIALS - 1)))


def peak(case: Case, scale: Handle, way: str) -> int | None:
    """Bytes that one warm call of a formulation takes at its peak, results included."""
    try:
        scale.call("open", case.key)
        scale.call("first", way)
        weight = scale.call("peak", way)
        scale.call("close")
    except EngineFailed:
        return None
    return weight


def alternate(racing: dict[str, Contestant], repeats: int) -> dict[str, str]:
    """Run by run in turn, starting with another engine each round; what went wrong, by engine.

    After the screening rounds only gpuad and the peers near the best one go on.
    """
    failed: dict[str, str] = {}
    screen = screening(repeats)
    for i in range(repeats):
        names = worth_timing(racing, screen) if i >= screen else list(racing)
        for j in range(len(names)):
            name = names[(i + j) % len(names)]
            try:
                racing[name].run()
            except EngineFailed as error:
                failed[name] = str(error)
                del racing[name]
    return failed


def after_pauses(racing: dict[str, Contestant], repeats: int) -> dict[str, str]:
    """gpuad and the best peer in turn, each time after a pause: users call once, not in a loop."""
    failed: dict[str, str] = {}
    best = opponent(racing)
    for _ in range(min(repeats, PAUSES)):
        for name in [x for x in (OURS, best) if x in racing]:
            contestant = racing[name]
            try:
                contestant.rested.append(contestant.engine.call("rested", contestant.way))
            except EngineFailed as error:
                failed[name] = str(error)
                del racing[name]
    return failed


def opponent(racing: Mapping[str, Contestant]) -> str | None:
    """The peer with the least median."""
    rivals = [name for name in racing if name != OURS]
    return min(rivals, key=lambda name: median(racing[name].times), default=None)


def screening(repeats: int) -> int:
    """Of so many rounds, those in which all engines take part."""
    return max(1, repeats // SCREEN)


def worth_timing(racing: Mapping[str, Contestant], screen: int) -> list[str]:
    medians = {name: median(c.times[:screen]) for name, c in racing.items()}
    best = min((m for name, m in medians.items() if name != OURS), default=0.0)
    return [name for name, m in medians.items() if name == OURS or m <= HOPELESS * best]


def against_best(racing: Mapping[str, Contestant]) -> dict[str, Any]:
    """Which peer is the opponent, and the median over rounds of its time by ours."""
    best = opponent(racing)
    if best is None or OURS not in racing:
        return {"best_peer": best, "ratio_to_best": None}
    pairs = zip(racing[best].times, racing[OURS].times, strict=True)
    ratios = [theirs / ours for theirs, ours in pairs]
    return {"best_peer": best, "ratio_to_best": median(ratios)}


def ours_alone(
    case: Case, ours: Contestant, first_unjitted: float | None, repeats: int, threads: int
) -> dict[str, Any]:
    """The fields that only gpuad has: what its compiler says, and its cheaper derivatives."""
    value, gradient, beside = ours.engine.call("with_gradient", ours.way, max(repeats, 10))
    account = ours.engine.call("explain", ours.way)
    return {
        "first_unjitted_s": first_unjitted,
        "value_s": value,
        "grad_s": gradient,
        "beside_grad_s": beside,
        "predicted_peak_bytes": account["peak_bytes"],
        "launches": account["launches"],
        "bytes_moved": account["bytes_moved"],
        "bytes_floor": case.bytes_floor,
    }


def floor(case: Case, threads: int) -> dict[str, Any]:
    """The compulsory traffic, and the times of a bare copy and of a bare read of as much."""
    traffic = case.bytes_floor
    return {
        "bytes": traffic,
        "copy_s": memory.copy_seconds(traffic, threads),
        "read_s": memory.read_seconds(traffic, threads),
    }

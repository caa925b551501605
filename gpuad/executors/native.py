"""The CPU executor: plans run as Numba sweeps over fixed segments of rows.

Numba's own parallel layers are not used (the one that is always there aborts when two threads call
it): a shared pool of threads runs functions that hold no lock, one segment of rows at a time.
Segments depend on the number of rows alone, each is summed in order and the segments are combined
in order, so the result does not depend on how many threads there are.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from gpuad.executors.source import Argument, SweepSource, SweepWriter, inner, joins, zero_of
from gpuad.executors.views import size_of
from gpuad.ir.graph import Equation, Graph, Literal, Var
from gpuad.ir.interpret import evaluate
from gpuad.kernels import reductions, vecmath
from gpuad.plan.plan import Plan, Stage, make_plan, stored

SEGMENT_VALUES = 1 << 15
"""A segment has at least so many values to read: below that a thread is not worth waking."""
SEGMENTS = 16
"""At most so many segments: enough for the threads to balance, few enough for sums to be small."""

_pool: ThreadPoolExecutor | None = None
_pool_owner = 0
_lock = threading.Lock()


def threads() -> int:
    """How many threads sweeps use: GPUAD_NUM_THREADS, or the cores this process may use."""
    given = os.environ.get("GPUAD_NUM_THREADS")
    return max(1, int(given)) if given else len(os.sched_getaffinity(0))


def pool() -> ThreadPoolExecutor:
    """The shared threads; new ones after a fork, which takes none along."""
    global _pool, _pool_owner
    with _lock:
        if _pool is None or _pool_owner != os.getpid():
            _pool = ThreadPoolExecutor(threads(), thread_name_prefix="gpuad")
            _pool_owner = os.getpid()
        return _pool


_functions = {np.dtype(t): frozenset(vecmath.namespace(np.dtype(t))) for t in ("f4", "f8")}
KNOWN = frozenset(_functions[np.dtype("f4")]) | {"x", "y", "z", "if", "else", "cast", "inf", "nan"}


def can_join(e: Equation) -> bool:
    """Whether a sweep can compute this equation."""
    return joins(e, KNOWN | frozenset("0 1 2 0 5".split()))


class Sweep:
    """One compiled sweep, called with the arrays of one run."""

    def __init__(self, source: SweepSource, rows: int, dtype: np.dtype):
        self.source = source
        self.rows = rows
        self.segments = _segments(source, rows)
        names = {
            "np": np, **reductions.NAMES, "inf": np.inf, "nan": np.nan, **vecmath.namespace(dtype),
            **{k: zero_of(k) for k in ("f32", "f64", "i32", "i64", "b1")},
        }  # fmt: skip
        exec(compile(source.text, "<gpuad sweep>", "exec"), names)
        self.function = numba.njit(nogil=True)(names["sweep"])
        self._scratch = threading.local()

    def scratch(self) -> list[Any]:
        """This thread's scratch, made once."""
        found = getattr(self._scratch, "arrays", None)
        if found is None:
            kinds = sorted(self.source.scratch.items())
            found = self._scratch.arrays = [np.empty(n, zero_of(k)) for k, n in kinds]
        return found

    def __call__(self, env: dict[Any, Any]) -> None:
        """Reads the sweep's operands from `env` and puts its results there."""
        s = self.source
        arrays = [_flat(env[a.var], a) for a in s.reads]
        outs = [np.empty((self.rows, *inner(a.var.aval.shape, a.axis)), a.var.aval.dtype) for a in s.writes]
        flat_outs = [x.reshape(-1) for x in outs]
        count = len(self.segments)
        totals = [np.zeros((count, size_of(a.var.aval.shape)), np.float64) for a in s.sums]

        def run(k: int) -> None:
            lo, hi = self.segments[k]
            self.function(*arrays, *flat_outs, *[t[k] for t in totals], *self.scratch(), lo, hi)

        if count == 1:
            run(0)
        else:
            list(pool().map(run, range(count)))
        for a, x in zip(s.writes, outs, strict=True):
            env[a.var] = np.moveaxis(x, 0, a.axis) if a.axis else x
        for a, t in zip(s.sums, totals, strict=True):
            total = t[0] if count == 1 else t.sum(axis=0)
            env[a.var] = total.astype(a.var.aval.dtype).reshape(a.var.aval.shape)


def _flat(x: Any, a: Argument) -> Any:
    if a.matrix is not None:
        x = x.transpose(a.matrix)
    elif a.axis:
        x = np.moveaxis(x, a.axis, 0)
    return np.ascontiguousarray(x).reshape(-1)


def _segments(source: SweepSource, rows: int) -> list[tuple[int, int]]:
    """Ranges of rows, each a whole number of blocks."""
    width = sum(size_of(inner(a.var.aval.shape, a.axis)) for a in source.reads if a.kind == "rows")
    wanted = min(SEGMENTS, max(1, rows * max(width, 1) // SEGMENT_VALUES))
    step = -(-rows // wanted)
    step = -(-step // source.block) * source.block
    return [(lo, min(lo + step, rows)) for lo in range(0, rows, step)]


class NativeProgram:
    """A plan with its sweeps compiled, ready to run."""

    def __init__(self, graph: Graph):
        self.plan: Plan = make_plan(graph, can_join)
        keep = stored(self.plan)
        self.sweeps: list[Sweep | None] = []
        for stage, whole in zip(self.plan.stages, keep, strict=True):
            self.sweeps.append(_compile(stage, whole, self.plan.rows) if stage.sweep else None)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        graph = self.plan.graph
        env: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
        for stage, sweep in zip(self.plan.stages, self.sweeps, strict=True):
            for e in stage.whole:
                values = [env[x] if type(x) is Var else x.value for x in e.operands]
                env.update(zip(e.outputs, evaluate(e, np, values), strict=True))
            if sweep is not None:
                sweep(env)
        return [env[x] if type(x) is Var else x.value for x in graph.outputs]


def _compile(stage: Stage, whole: set[Var], rows: int) -> Sweep:
    source = SweepWriter(stage.sweep, whole).write()
    dtypes = [s.equation.outputs[0].aval.dtype for s in stage.sweep]
    dtype = next((d for d in dtypes if d.kind == "f"), np.dtype(np.float64))
    return Sweep(source, rows, dtype)


__all__ = ["Literal", "NativeProgram", "Callable", "threads"]

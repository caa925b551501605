"""Numba sweeps over fixed segments of rows, the threads that run them, and BLAS beside them.

Numba's own parallel layers are not used (the one that is always there aborts when two threads call
it): a shared pool of threads runs functions that hold no lock, one segment of rows at a time.
Segments depend on the plan alone, each is summed in order and the segments are combined in order,
so the result does not depend on how many threads there are.
"""

import functools
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import threadpoolctl

from gpuad.executors import buffers
from gpuad.executors.source import Argument, SweepSource, SweepWriter, inner, joins
from gpuad.executors.store import load
from gpuad.executors.unrolled import UnrolledWriter, can_unroll
from gpuad.executors.views import size_of
from gpuad.ir.graph import Equation, Var
from gpuad.plan.plan import SweepEquation

SEGMENT_VALUES = 1 << 15
"""A segment reads at least so many values: below that a thread is not worth waking (20 µs)."""
SEGMENTS = 16
"""At most so many segments: enough to balance threads, few enough for small sums."""
TYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "b1": np.bool_}


@functools.cache
def available() -> bool:
    """Whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None


@functools.cache
def _known_words() -> frozenset[str]:
    """What the scalar text of a primitive may use in a CPU sweep."""
    from gpuad.kernels import vecmath

    names = {"x", "y", "z", "cast", "inf", "nan"}
    return frozenset(vecmath.namespace(np.float32)) | names


def can_join(e: Equation) -> bool:
    """Whether a sweep can compute this equation."""
    return joins(e, _known_words())


# Threads


def threads() -> int:
    """How many threads sweeps use: GPUAD_NUM_THREADS, or the cores this process may use."""
    given = os.environ.get("GPUAD_NUM_THREADS")
    return max(1, int(given)) if given else len(os.sched_getaffinity(0))


class _Pool:
    """The shared threads; new ones after a fork, which takes none along."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._executor = None

    def run(self, function: Callable[[int], None], count: int) -> None:
        """`function` of 0, 1, ..., count - 1, on all threads, this one among them."""
        helpers = min(threads(), count) - 1
        if helpers == 0:
            for k in range(count):
                function(k)
            return
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(threads(), thread_name_prefix="gpuad")
            executor = self._executor
        left = iter(range(count))
        futures = [executor.submit(_drain, function, left) for _ in range(helpers)]
        _drain(function, left)
        for future in futures:
            future.result()


def _drain(function: Callable[[int], None], left: Iterator[int]) -> None:
    """Takes segments until there are none; `next` of a range iterator is atomic."""
    for k in left:
        function(k)


_pool = _Pool()


class _OneThreadBlas:
    """BLAS held to one thread while sweeps that multiply matrices run on ours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a forked process nobody multiplies yet, whatever other threads were at."""
        self._lock = threading.Lock()
        if self._users:
            self._limit.__exit__(None, None, None)
        self._users = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._limit = _blas().limit(limits=1, user_api="blas")
                self._limit.__enter__()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._limit.__exit__(None, None, None)


@functools.cache
def _blas() -> Any:
    import scipy.linalg.cython_blas  # noqa: F401  (loads the library that Numba multiplies with)

    return threadpoolctl.ThreadpoolController()


_one_thread_blas = _OneThreadBlas()


# Sweeps


class Sweep:
    """One compiled sweep, called with the values of one run."""

    def __init__(self, source: SweepSource, rows: int, dtype: np.dtype):
        self.source = source
        self.rows = rows
        self.segments = _segments(source, rows)
        self._dtype = dtype
        self._scratch = threading.local()

    @functools.cached_property
    def _function(self) -> Callable[..., Any]:
        return load(self.source.text, self._dtype, self.source.types)

    def _own_scratch(self) -> list[Any]:
        """This thread's scratch, made once."""
        found = getattr(self._scratch, "arrays", None)
        if found is None:
            kinds = sorted(self.source.scratch.items())
            found = self._scratch.arrays = [np.empty(n, TYPES[k]) for k, n in kinds]
        return found

    def __call__(self, env: dict[Any, Any]) -> None:
        """Reads the sweep's operands from `env` and puts its results there."""
        s, count = self.source, len(self.segments)
        arrays = [_flat(env[a.var], a) for a in s.reads]
        shapes = [inner(a.var.aval.shape, a.axis) for a in s.writes]
        outs = [
            buffers.empty((self.rows, *shape), a.var.aval.dtype)
            for a, shape in zip(s.writes, shapes, strict=True)
        ]
        arrays += [x.reshape(-1) for x in outs]
        totals = [np.zeros((count, size_of(a.var.aval.shape))) for a in s.sums]

        function = self._function

        def run(k: int) -> None:
            lo, hi = self.segments[k]
            function(*arrays, *[t[k] for t in totals], *self._own_scratch(), lo, hi)

        if count == 1 and not s.products:
            run(0)
        elif s.products:
            with _one_thread_blas():
                _pool.run(run, count)
        else:
            _pool.run(run, count)
        for a, x in zip(s.writes, outs, strict=True):
            env[a.var] = np.moveaxis(x, 0, a.axis) if a.axis else x
        if totals:
            self._combine(totals, env)

    def _combine(self, totals: list[Any], env: dict[Any, Any]) -> None:
        """The sums of all segments, in order."""
        with np.errstate(all="ignore"):
            for a, t in zip(self.source.sums, totals, strict=True):
                total = t[0] if len(t) == 1 else t.sum(axis=0)
                env[a.var] = total.astype(a.var.aval.dtype).reshape(a.var.aval.shape)


def sweep_of(equations: Sequence[SweepEquation], whole: set[Var], rows: int) -> Sweep:
    """The sweep of these equations; `whole` are the results that it stores."""
    writer = UnrolledWriter if can_unroll(equations) else SweepWriter
    source = writer(equations, whole).write()
    dtypes = [s.equation.outputs[0].aval.dtype for s in equations]
    dtype = next((d for d in dtypes if d.kind == "f"), np.dtype(np.float64))
    return Sweep(source, rows, dtype)


def _flat(x: Any, a: Argument) -> Any:
    if a.order is not None:
        x = x.transpose(a.order)
    elif a.axis:
        x = np.moveaxis(x, a.axis, 0)
    flags = x.flags
    if not flags.aligned:
        x = x.copy()
    elif x.ndim == 1 and flags.c_contiguous:
        return x
    return np.ascontiguousarray(x).reshape(-1)


def _segments(source: SweepSource, rows: int) -> list[tuple[int, int]]:
    """Ranges of rows, each a whole number of blocks."""
    lanes = [size_of(inner(a.var.aval.shape, a.axis)) for a in source.reads if a.kind == "rows"]
    width = max(1, sum(lanes), source.width)
    wanted = min(SEGMENTS, max(1, rows * width // SEGMENT_VALUES))
    blocks = -(-rows // source.block)
    step = -(-blocks // wanted) * source.block
    return [(lo, min(lo + step, rows)) for lo in range(0, rows, step)]

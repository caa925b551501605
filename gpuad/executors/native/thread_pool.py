"""Threads that take segments of rows, shared by all sweeps of the process.

Between two calls a helper thread spins for a millisecond, in compiled code that holds no lock,
before it sleeps: waking a thread takes 70 to 200 µs, as long as some sweeps. After a signal it
waits a few more microseconds, in which the other thread releases the interpreter's lock.

The operating system rarely moves a spinning thread, not even off a core that it shares with the
caller while another core is idle. So helpers check which cores the others are on, and move
themselves (work on 12 MB beside another program then takes a third of the time). A sleeping helper
may be woken on the core of the caller, and would begin only when the caller is done: the caller
moves it as soon as it is late. If other programs take all cores, nothing helps: a call takes as
long as on one thread, or longer by the time for which a thread that has begun a segment has no
core.
"""

import atexit
import ctypes
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuad.executors.environment import number_set
from gpuad.executors.native.compile_cache import load

LOOKOUT = 1e-3
"""Seconds that a thread spins before it sleeps."""
COURTESY = 4e-6
"""Seconds that it spins after a signal, in which the other thread releases the interpreter's
lock."""
LATE = 2e-4
"""Seconds after which a helper that has not begun may be on the core of the caller."""
LINE = 8
"""Numbers of 8 bytes in a cache line."""
WAIT = """\
def sweep(numbers, place, seen, turns, courtesy):
    for turn in range(turns):
        if load_acquire(numbers, place) != seen:
            for more in range(courtesy):
                pause()
            return
        pause()
        if turn % 128 == 127:
            sched_yield()
"""
"""Spins until a number differs from `seen`, for so many turns at most. Other threads on the same
core may run meanwhile."""


def threads() -> int:
    """How many threads sweeps use: GPUAD_NUM_THREADS, or the cores this process may use.

    Raises
    ------
    ArgumentError
        If GPUAD_NUM_THREADS is not a number of threads.
    """
    given = number_set("GPUAD_NUM_THREADS", "threads", least=1)
    return len(os.sched_getaffinity(0)) if given is None else given


@functools.cache
def _wait() -> Callable[..., None]:
    return load(WAIT, np.dtype(np.float64), ["write(i64)", *["int64"] * 4])


@functools.cache
def _turns_per_second() -> float:
    wait, numbers, turns = _wait(), np.zeros(1, np.int64), 1000
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        wait(numbers, 0, 0, turns, 0)
        spent.append(time.perf_counter() - start)
    return turns / min(spent)


@functools.cache
def _core_here() -> Callable[[], int]:
    """The C library's function for the core of the calling thread; it gives -1 if there is none."""
    try:
        return ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):
        return lambda: -1


def move_off(taken: Collection[int], thread: int = 0) -> None:
    """Moves a thread (0: the calling one) to a core that is not in `taken`, if it may use one.

    Nothing happens where this is forbidden, as in some containers, or if the thread has ended.
    """
    with suppress(OSError):
        allowed = os.sched_getaffinity(thread)
        free = allowed.difference(taken)
        if free:
            os.sched_setaffinity(thread, free)
            os.sched_setaffinity(thread, allowed)


class _Signal:
    """A number that one thread changes and others wait for."""

    def __init__(self) -> None:
        self._numbers = np.zeros(2 * LINE, np.int64)
        self._changed = threading.Condition()

    @property
    def value(self) -> int:
        return int(self._numbers[LINE])

    def change(self) -> None:
        with self._changed:
            self._numbers[LINE] += 1
            self._changed.notify_all()

    def wait(self, seen: int) -> None:
        """Waits until the number is not `seen`: spins first, then sleeps."""
        rate = _turns_per_second()
        _wait()(self._numbers, LINE, seen, int(LOOKOUT * rate), int(COURTESY * rate))
        if self.value != seen:
            return
        with self._changed:
            self._changed.wait_for(lambda: self.value != seen)


@dataclass
class _Job:
    """A function of segments, those still to take, and the helpers that may take them."""

    function: Callable[[int], None]
    left: Iterator[int]
    helpers: int
    begun: list[tuple[_Signal, int]] = field(default_factory=list)
    """Of each helper that has begun: the signal of its end, and the value before that."""
    errors: list[BaseException] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Helpers that have not begun."""
        return self.helpers - len(self.begun)

    def work(self, between: Callable[[], None] | None = None) -> None:
        """Takes segments until there are none; `next` of a range iterator is atomic."""
        try:
            for k in self.left:
                self.function(k)
                if between is not None:
                    between()
        except BaseException as error:
            self.errors.append(error)
            for _ in self.left:
                pass

    def finish(self) -> None:
        """Waits for the helpers, which write to memory that is freed afterwards."""
        try:
            for _ in self.left:  # not empty if an interrupt came before `work`
                pass
            for done, seen in self.begun:
                done.wait(seen)
        except KeyboardInterrupt as error:
            self.errors.append(error)
            self.finish()


class Workers:
    """Helper threads for one job at a time. A forked process has none and starts its own."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self._stop)

    def _reset(self) -> None:
        self._busy = threading.Lock()
        self._call = _Signal()
        self._job: _Job | None = None
        self._threads: list[threading.Thread] = []
        self._cores: list[int] = [-1]
        """The last known core of the caller, then of each helper."""
        self._stopping = False

    def run(self, function: Callable[[int], Any], count: int, most: int) -> None:
        """Calls `function` with 0, 1, ..., count - 1, on at most `most` threads, this one included.

        The helpers work for one caller at a time; another one meanwhile makes all calls itself.
        """
        helpers = min(most, count) - 1
        if helpers <= 0 or not self._busy.acquire(blocking=False):
            for k in range(count):
                function(k)
            return
        try:
            self._run(_Job(function, iter(range(count)), helpers))
        finally:
            self._busy.release()

    def _run(self, job: _Job) -> None:
        self._hire(job.helpers)
        self._cores[0] = _core_here()()
        self._job = job
        deadline = time.perf_counter() + LATE

        def look_after() -> None:
            """Moves helpers that are late, once, while there is work."""
            nonlocal deadline
            if job.missing and time.perf_counter() > deadline:
                deadline = math.inf
                self._hurry(job.missing)

        try:
            self._call.change()
            job.work(look_after)
        finally:
            job.finish()
            self._job = None
        self._hurry(job.missing)
        if job.errors:
            raise job.errors[0]

    def _hire(self, helpers: int) -> None:
        _turns_per_second()  # compiled in this thread: a fork during it could never compile again
        for number in range(len(self._threads), helpers):
            thread = threading.Thread(
                target=self._help, args=(number, self._call.value), name="gpuad", daemon=True
            )
            self._cores.append(-1)
            thread.start()
            self._threads.append(thread)

    def _help(self, number: int, seen: int) -> None:
        """What a helper thread runs."""
        call, done = self._call, _Signal()
        while not self._stopping:
            call.wait(seen)
            seen, job = call.value, self._job
            if job is not None and number < job.helpers:
                job.begun.append((done, done.value))
                job.work()
                done.change()
            job = None  # its arrays must not be kept alive while this helper waits
            self._leave_taken_core(number)

    def _hurry(self, late: int) -> None:
        """Moves helpers off the caller's core if some have not begun: there they cannot run."""
        core = _core_here()()
        if late > 0 and core >= 0:
            for thread in self._threads:
                if thread.native_id is not None:
                    move_off([core], thread.native_id)

    def _leave_taken_core(self, number: int) -> None:
        """Moves a helper off the core of the caller or of a helper before it."""
        core = _core_here()()
        taken = self._cores[: number + 1]
        if core >= 0 and core in taken:
            move_off(taken)
            core = _core_here()()
        self._cores[number + 1] = core

    def dismiss(self) -> None:
        """Ends the helpers, with the memory that they keep; the next job starts others."""
        with self._busy:
            self._stop()
            self._reset()

    def _stop(self) -> None:
        """Ends the helpers: at the end of the interpreter no thread may be in compiled code."""
        self._stopping = True
        self._call.change()
        for thread in self._threads:
            thread.join()


workers = Workers()

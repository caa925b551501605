"""Threads that take segments of rows, shared by all sweeps of the process.

Between two calls a helper looks out for work for a millisecond, in compiled code that holds no
lock, before it sleeps: waking a thread takes 70 to 200 µs, as long as some sweeps. What the threads
would still meet at is the interpreter's lock, so they take it a moment after the other is done.

A thread that waits like this is hardly ever moved by the system, even off a core that it shares
with the caller while another is idle. So helpers look where the others are, and move themselves
(work on 12 MB beside another program then takes a third of the time). A sleeping one may be woken
there, and would begin when the caller is done: the caller has it moved as soon as it is late. Where
all cores are taken by other programs nothing helps: a call takes as long as on one thread, or more,
by the time for which a thread that has begun a segment is kept from its core.
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

from gpuad.executors.native.compile_cache import load

LOOKOUT = 1e-3
"""Seconds that a thread looks out before it sleeps."""
COURTESY = 4e-6
"""Seconds in which the other thread lets go of the interpreter after a signal."""
LATE = 2e-4
"""Seconds after which a helper that has not begun may be on the core of the caller."""
LINE = 8
"""Numbers in a cache line."""
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
"""Returns soon after a number is not what was seen. A thread on the same core may run meanwhile."""


def threads() -> int:
    """How many threads sweeps use: GPUAD_NUM_THREADS, or the cores this process may use."""
    given = os.environ.get("GPUAD_NUM_THREADS")
    return max(1, int(given)) if given else len(os.sched_getaffinity(0))


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
    """The C library's: which core the calling thread is on; -1 where the system does not say."""
    try:
        return ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError, TypeError):
        return lambda: -1


def move_off(taken: Collection[int], thread: int = 0) -> None:
    """Has the system take a thread (0: the calling one) to a core that is not `taken`, if it may
    use one.

    Where this is forbidden, as in some containers, or the thread is gone, nothing moves."""
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
        """Until the number is not what was seen; asleep after a while."""
        rate = _turns_per_second()
        _wait()(self._numbers, LINE, seen, int(LOOKOUT * rate), int(COURTESY * rate))
        if self.value != seen:
            return
        with self._changed:
            self._changed.wait_for(lambda: self.value != seen)


@dataclass
class _Job:
    """Segments to take, by this many helpers at most, and those that have begun."""

    function: Callable[[int], None]
    left: Iterator[int]
    helpers: int
    begun: list[tuple[_Signal, int]] = field(default_factory=list)
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
        """Waits for the helpers, who write to memory that is freed afterwards."""
        try:
            for _ in self.left:  # if an interrupt came before they were taken
                pass
            for done, seen in self.begun:
                done.wait(seen)
        except KeyboardInterrupt as error:
            self.errors.append(error)
            self.finish()


class Workers:
    """Helper threads for one job at a time; new ones after a fork, which takes none along."""

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
        """Where the caller was last, then each helper."""
        self._stopping = False

    def run(self, function: Callable[[int], Any], count: int, most: int) -> None:
        """`function` of 0, 1, ..., count - 1, on at most so many threads, this one among them.

        While the helpers work for one thread, others that call work alone.
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
            """Helpers that are late are moved while there is work, once."""
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
        _turns_per_second()  # compiled here: a process forked meanwhile could never compile
        for number in range(len(self._threads), helpers):
            thread = threading.Thread(
                target=self._help, args=(number, self._call.value), name="gpuad", daemon=True
            )
            self._cores.append(-1)
            thread.start()
            self._threads.append(thread)

    def _help(self, number: int, seen: int) -> None:
        """The life of a helper."""
        call, done = self._call, _Signal()
        while not self._stopping:
            call.wait(seen)
            seen, job = call.value, self._job
            if job is not None and number < job.helpers:
                job.begun.append((done, done.value))
                job.work()
                done.change()
            job = None  # what it works on must not live on while this one waits
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

    def _stop(self) -> None:
        """Before the interpreter goes: it ends with no thread in compiled code."""
        self._stopping = True
        self._call.change()
        for thread in self._threads:
            thread.join()


workers = Workers()

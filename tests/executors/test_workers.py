"""The helper threads: every segment once, errors, sleep, cores, several callers, fork and exit."""

import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from gpuad.executors.native import thread_pool as module
from gpuad.executors.native.thread_pool import Workers

pytest.importorskip("numba")


@pytest.fixture
def crew():
    crew = Workers()
    yield crew
    crew._stop()


def run(crew, count=8, most=3, seconds=0.002):
    """The segments in the order in which they were taken, and by which threads."""
    taken = []

    def work(k):
        taken.append((k, threading.get_ident()))
        time.sleep(seconds)

    crew.run(work, count, most)
    assert sorted(k for k, _ in taken) == list(range(count))
    return {thread for _, thread in taken}


def test_every_segment_is_taken_once_by_as_many_threads_as_allowed(crew):
    for most in (1, 2, 3):
        for _ in range(20):
            assert len(run(crew, most=most, seconds=0.0005)) <= most
    assert len(run(crew, seconds=0.02)) == 3
    assert run(crew, count=0) == set()


@pytest.mark.parametrize("lookout", [0.0, module.LOOKOUT, 0.1])
def test_helpers_are_found_asleep_awake_and_in_between(crew, monkeypatch, lookout):
    monkeypatch.setattr(module, "LOOKOUT", lookout)
    for gap in (0.0, module.LOOKOUT / 2, module.LOOKOUT, 3 * module.LOOKOUT):
        for _ in range(10):
            time.sleep(gap)
            run(crew, seconds=0.0003)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_a_thread_moves_off_a_core_and_may_use_all_again():
    allowed = os.sched_getaffinity(0)
    moved = []
    for _ in range(20):
        core = module._core_here()()
        module.move_off([core])
        moved.append(module._core_here()() != core)  # unless the system has moved it once more
        assert os.sched_getaffinity(0) == allowed
    assert sum(moved) > 10
    module.move_off(allowed)
    assert os.sched_getaffinity(0) == allowed


def test_where_moving_is_forbidden_work_goes_on(crew, monkeypatch):
    def forbidden(*_):
        raise PermissionError("sched_setaffinity")

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    monkeypatch.setattr(module, "_core_here", lambda: lambda: min(os.sched_getaffinity(0)))
    for _ in range(5):
        run(crew)
    crew._hurry(1)
    module.move_off([], 1 << 30)  # no such thread


@pytest.fixture
def moves(monkeypatch):
    """Threads all believe to be on core 5; where they ask to be moved is noted."""
    noted = []
    monkeypatch.setattr(module, "_core_here", lambda: lambda: 5)
    monkeypatch.setattr(module, "move_off", lambda taken, thread=0: noted.append((taken, thread)))
    return noted


def test_helpers_move_off_the_cores_of_those_before_them(crew, moves):
    run(crew, most=3, seconds=0.01)
    time.sleep(0.01)
    own = [taken for taken, thread in moves if not thread]
    assert len(own) >= 2
    assert all(taken[0] == 5 for taken in own)


def test_the_caller_moves_helpers_that_do_not_begin(crew, moves):
    run(crew, most=3, seconds=0.01)
    time.sleep(0.01)
    moves.clear()
    crew._hurry(0)
    assert moves == []
    crew._hurry(1)
    assert moves == [([5], t.native_id) for t in crew._threads]


def test_a_helper_that_is_late_is_moved_while_there_is_work(crew, moves, monkeypatch):
    run(crew, most=3, seconds=0.01)
    time.sleep(0.01)
    threads, pause = [t.native_id for t in crew._threads], threading.Event()
    monkeypatch.setattr(crew._call, "change", lambda: None)  # nobody hears of the job
    moves.clear()
    seen = []

    def work(k):
        pause.wait(module.LATE / 3)
        seen.append(len(moves))

    crew.run(work, 8, 3)
    assert seen[0] == 0 and seen[-1] == len(threads)
    assert moves == 2 * [([5], t) for t in threads]  # and once more at the end


def test_where_the_system_does_not_say_the_core_nothing_moves(crew, moves, monkeypatch):
    monkeypatch.setattr(module, "_core_here", lambda: lambda: -1)
    run(crew, most=3)
    crew._hurry(1)
    assert moves == []


def test_nothing_runs_after_the_call(crew):
    running = []

    def work(k):
        running.append(k)
        time.sleep(0.0005 * (k % 3))
        running.remove(k)

    for _ in range(50):
        crew.run(work, 5, 3)
        assert not running


@pytest.mark.parametrize("bad", [0, 4, 7])
def test_an_error_in_any_thread_reaches_the_caller(crew, bad):
    def work(k):
        time.sleep(0.001)
        if k == bad:
            raise ZeroDivisionError(f"segment {k}")

    for _ in range(3):
        with pytest.raises(ZeroDivisionError, match=f"segment {bad}"):
            crew.run(work, 8, 3)
    run(crew)


def test_a_helper_that_comes_late_finds_nothing_to_do():
    """An interrupt can come before its caller has taken any segment."""
    taken = []
    job = module._Job(taken.append, iter(range(8)), 2)
    job.finish()
    job.work()
    assert not taken


def test_callers_at_the_same_time_work_alone(crew):
    with ThreadPoolExecutor(4) as callers:
        for threads in callers.map(lambda _: run(crew), range(24)):
            assert 1 <= len(threads) <= 3


def test_a_call_within_a_call(crew):
    inner = []
    crew.run(lambda k: crew.run(lambda j: inner.append((k, j)), 3, 2), 4, 2)
    assert sorted(inner) == [(k, j) for k in range(4) for j in range(3)]


def test_helpers_sleep_when_nobody_calls(crew):
    run(crew)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.05


def test_nothing_of_a_job_is_kept(crew):
    run(crew, most=3, seconds=0.01)

    class Segment:
        def __call__(self, k):
            time.sleep(0.005)

    segment = Segment()
    kept = weakref.ref(segment)
    crew.run(segment, 4, 2)  # of two helpers one looks at the job and takes no part
    time.sleep(0.05)
    del segment
    assert kept() is None


def printed(program):
    """What a Python process of its own prints, without an error."""
    imports = "import os, threading, time\nfrom gpuad.executors.native.thread_pool import workers"
    program = f"{imports}\n{program}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout.decode().split()


FORK = """
def threads():
    taken = set()
    workers.run(lambda k: (taken.add(threading.get_ident()), time.sleep(0.02)), 8, 3)
    return len(taken)
before = threads()
child = os.fork()
if child == 0:
    os._exit(threads())
print(before, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), threads())
"""


def test_a_forked_process_has_helpers_of_its_own():
    assert printed("import warnings; warnings.simplefilter('ignore')" + FORK) == ["3", "3", "3"]


@pytest.mark.parametrize("pause", [0, 0.01])
def test_the_interpreter_ends_with_helpers_awake_or_asleep(pause):
    work = f"workers.run(lambda k: time.sleep(0.001), 8, 3); time.sleep({pause}); print('done')"
    assert printed(work) == ["done"]

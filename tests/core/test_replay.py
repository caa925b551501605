"""Replay of captured runs: only on the same buffers, only when the last results are gone.

CUDA itself is not needed for that: a "graph" here writes to the buffers of its capture, as one
does.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from gpuad.executors.cuda.replay import GRAPHS, KEPT, SEEN, TRIED, Captured, Replayed, forget_all


class Buffer:
    """An array on a pretended GPU."""

    def __init__(self, pointer, shape=(3,), device=0):
        self.data = SimpleNamespace(ptr=pointer)
        self.shape, self.dtype, self.strides = shape, np.dtype(np.float32), (4,)
        self.device = SimpleNamespace(id=device)
        self.value = 0.0


class Lent:
    """A result in the memory of a graph."""

    def __init__(self, owner, token):
        self.owner, self.token = owner, token

    def view(self):
        return Lent(self.owner, self.token)


def program(inputs):
    return [sum(x.value for x in inputs)]


class Recorder:
    """Captures runs of `program`, and remembers them."""

    def __init__(self):
        self.captures = 0

    def __call__(self, function, inputs):
        self.captures += 1
        memory = Buffer(1000 + self.captures)

        def launch():
            memory.value = function(inputs)[0]

        return Captured(launch, [lambda token: Lent(memory, token)])


@pytest.fixture
def replayed():
    return Replayed(program, Recorder())


def test_the_same_buffers_are_captured_and_replayed(replayed):
    x = Buffer(1)
    for k in range(SEEN):
        x.value = k
        assert replayed([x]) == [k]
    assert replayed._capture.captures == 0
    for k in range(3):
        x.value = k
        assert replayed([x])[0].owner.value == k
    assert replayed._capture.captures == 1
    assert replayed.replays == 3


@pytest.mark.parametrize("other", [Buffer(2), Buffer(1, (4,))])
def test_other_buffers_are_never_replayed(replayed, other):
    x = Buffer(1)
    for _ in range(SEEN + 1):
        replayed([x])
    other.value = 7.0
    assert replayed([other]) == [7.0]
    assert replayed.replays == 1


def test_results_in_use_are_not_written_over(replayed):
    x = Buffer(1)
    for _ in range(SEEN):
        replayed([x])
    x.value = 1.0
    (first,) = replayed([x])
    kept = first.view()
    del first
    x.value = 2.0
    (second,) = replayed([x])
    assert kept.owner.value == 1.0
    assert second.owner.value == 2.0
    x.value = 3.0
    assert replayed([x]) == [3.0]
    assert replayed._capture.captures == GRAPHS
    del kept
    x.value = 4.0
    assert replayed([x])[0].owner.value == 4.0


def test_only_so_many_sets_of_buffers_are_remembered(replayed):
    for k in range(3 * KEPT):
        replayed([Buffer(k)])
    assert len(replayed._buffers) == KEPT


def test_host_values_are_no_buffers(replayed):
    for _ in range(SEEN + 3):
        replayed.program = lambda inputs: ["run"]
        assert replayed([np.float32(1.0)]) == ["run"]
    assert replayed._capture.captures == 0


def test_what_cannot_be_captured_runs_as_it_is():
    def fails(function, inputs):
        raise RuntimeError("this library cannot be captured")

    replayed, x = Replayed(program, fails), Buffer(1)
    x.value = 5.0
    for _ in range(SEEN + 2):
        assert replayed([x]) == [5.0]
    assert "cannot be captured" in str(replayed.fault)


def failing(times, error):
    """A capture that fails so many times, then works."""
    recorder, count = Recorder(), iter(range(times))

    def capture(function, inputs):
        if next(count, None) is not None:
            capture.failures += 1
            raise error
        return recorder(function, inputs)

    capture.failures = 0
    return capture


def ended_by(error):
    """The error of a capture that another one had ended."""
    ended = RuntimeError("cudaErrorStreamCaptureInvalidated")
    ended.__context__ = error
    return ended


@pytest.mark.parametrize("error", [MemoryError("full"), ended_by(MemoryError("full"))])
def test_out_of_memory_is_tried_again_after_plain_runs(error):
    capture = failing(TRIED - 1, error)
    replayed, x = Replayed(program, capture), Buffer(1)
    for k in range((TRIED - 1) * (SEEN + 1)):
        x.value = k
        assert replayed([x]) == [k]
        assert capture.failures == (k + 1) // (SEEN + 1)
    for _ in range(SEEN + 2):
        replayed([x])
    assert replayed.fault is None
    assert replayed.replays == 2


def test_out_of_memory_is_not_tried_for_ever():
    capture = failing(1000, MemoryError("full"))
    replayed, x = Replayed(program, capture), Buffer(1)
    for _ in range(10 * (SEEN + 1)):
        replayed([x])
    assert capture.failures == TRIED
    assert "MemoryError: full" in replayed.fault


def test_each_stream_has_graphs_of_its_own():
    streams = iter([1, 1, 1, 2, 2, 2, 2, 1, None])
    replayed, x = Replayed(program, Recorder(), lambda _: next(streams)), Buffer(1)
    for _ in range(8):
        replayed([x])
    assert replayed._capture.captures == 2
    assert replayed.replays == 4
    replayed([x])
    assert replayed.replays == 4


def test_memory_of_graphs_is_given_back(replayed):
    x = Buffer(1)
    for _ in range(SEEN + 1):
        replayed([x])
    forget_all()
    for _ in range(SEEN + 1):
        replayed([x])
    assert replayed._capture.captures == 2


def test_without_a_capture_nothing_is_kept():
    replayed, x = Replayed(program, None), Buffer(1)
    for _ in range(SEEN + 2):
        replayed([x])
    assert not replayed._buffers

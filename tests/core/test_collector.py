"""Recording and transforming wake no garbage collector, and leave it as it was."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest

import gpuad
from gpuad.collector import gc_paused


@pytest.fixture(autouse=True)
def on():
    assert gc.isenabled()
    yield
    gc.enable()


def steps(count):
    def f(x):
        for _ in range(count):
            x = 3.7 * x * (1 - x)
        return x

    return f


def test_it_is_as_it_was_after_the_last_block():
    with gc_paused:
        assert not gc.isenabled()
        with gc_paused:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    with gc_paused:
        pass
    assert not gc.isenabled()


def test_after_an_error():
    def f(x):
        raise ValueError(f"{gc.isenabled()}")

    with pytest.raises(ValueError, match="False"):
        gpuad.grad(f)(1.0)
    assert gc.isenabled()


def test_two_threads_in_turn():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with gc_paused:
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with gc_paused:
        thread.start()
        assert entered.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_a_long_program_hardly_wakes_it():
    woken = []

    def note(phase, info):
        woken.append(info["generation"])

    gc.collect()
    gc.callbacks.append(note)
    try:
        gpuad.hessian(steps(250))(0.3)
    finally:
        gc.callbacks.remove(note)
    assert len(woken) < 40  # of some hundred otherwise


def test_memory_of_an_equation():
    count = 1500
    f = steps(count)
    gpuad.make_graph(gpuad.grad(steps(2)))(0.3)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = gpuad.make_graph(gpuad.grad(f))(0.3)
    taken = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    equations = len(made.graph)
    assert equations > 5 * count
    assert taken < 2000 * equations
    assert np.isfinite(f(0.3))

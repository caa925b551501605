"""The fast path: a jitted function called again as it was before, or otherwise."""

import numpy as np
import pytest

import gpuad as ad
from gpuad.errors import ArgumentError, InPlaceError, IntegerRangeError
from gpuad.executors.native import fast_path, program

pytest.importorskip("numba")

LARGE = 1 << 20


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture
def runs(monkeypatch):
    """Runs of whole programs are counted."""
    calls = []
    run = program.NativeProgram.__call__
    monkeypatch.setattr(
        program.NativeProgram, "__call__", lambda self, *a: calls.append(1) or run(self, *a)
    )
    yield calls
    ad.clear_cache()


@pytest.mark.parametrize("n", [10, LARGE])
def test_a_sweep_is_called_directly_from_the_second_call_on(runs, n):
    f = ad.jit(lambda x, y: (x * y, np.sin(x).sum()))
    x, y = normal(n), normal(n, seed=1)
    first = f(x, y)
    assert len(runs) == 1
    for _ in range(3):
        again = f(x, y)
        assert len(runs) == 1
        np.testing.assert_array_equal(again[0], x * y)
        np.testing.assert_allclose(again[1], np.sin(x).sum(), rtol=1e-12)
        assert type(again[1]) is type(first[1]) is np.float64
        assert again[1] == first[1]


@pytest.mark.parametrize("n", [10, LARGE])
def test_with_one_thread_and_with_more(monkeypatch, n):
    f = ad.jit(lambda x: (x * x, np.cos(x).sum()))
    x = normal(n)
    f(x)
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(fast_path, "threads", lambda count=count: count)
        found.append(f(x))
    assert len({y.tobytes() for y, _ in found}) == len({float(s) for _, s in found}) == 1


def test_results_are_new_each_time():
    f = ad.jit(lambda x: x + 1)
    x = np.zeros(LARGE)
    f(x)
    y, z = f(x), f(x)
    y[:] = 5
    assert (z == 1).all() and (x == 0).all() and (f(x) == 1).all()


def test_another_call_than_the_one_before():
    f = ad.jit(lambda x: np.sin(x) * 2)
    x = normal(12)
    others = [
        x,
        x[::-1],
        x[::2],
        x.reshape(3, 4),
        x.reshape(3, 4).T,
        x.astype(np.float32),
        x.astype(">f8"),
        np.lib.stride_tricks.as_strided(x, (5, 5), (0, 8)),
        normal(0),
        np.array(1.5),
    ]
    for _ in range(3):
        for other in others:
            for _ in range(2):
                found = f(other)
                rtol = 1e-6 if other.dtype == np.float32 else 1e-14
                np.testing.assert_allclose(found, np.sin(other) * 2, rtol=rtol)
        assert f(1.5) == pytest.approx(np.sin(1.5) * 2)


def test_arguments_by_name_and_in_structures():
    f = ad.jit(lambda x, y: x - y)
    x, y = normal(5), normal(5, seed=1)
    for _ in range(3):
        np.testing.assert_array_equal(f(x, y), x - y)
        np.testing.assert_array_equal(f(x, y=y), x - y)
        np.testing.assert_array_equal(f(y=x, x=y), y - x)
    g = ad.jit(lambda p: {"sum": p[0] + p[1]["b"]})
    for _ in range(3):
        np.testing.assert_array_equal(g((x, {"b": y}))["sum"], x + y)
        np.testing.assert_array_equal(g([x, {"b": y}])["sum"], x + y)


def test_a_wrong_call_is_as_wrong_as_at_first():
    f = ad.jit(lambda x, y: x + y)
    x = normal(5)
    f(x, x), f(x, x), f(x, x)
    with pytest.raises(TypeError):
        f(x)
    with pytest.raises(TypeError):
        f(x, x, x)
    with pytest.raises(ArgumentError, match="y"):
        f(x, "no array")


def test_captured_arrays_are_watched():
    held = normal(7)
    f = ad.jit(lambda x: x * held)
    x = normal(7, seed=1)
    for _ in range(3):
        np.testing.assert_array_equal(f(x), x * held)
    held[3] += 1
    with pytest.raises(InPlaceError):
        f(x)


def test_inside_another_transform():
    f = ad.jit(lambda x: (x * x).sum())
    x = normal(6)
    for _ in range(3):
        f(x)
        np.testing.assert_allclose(ad.grad(f)(x), 2 * x)


def test_the_fast_path_of_several_steps(runs):
    """A program of several passes is run whole, without a look at each argument's kind."""
    f = ad.jit(lambda x: x - (x - x.mean(axis=0)).std(axis=0))
    x = normal(50, 3)
    expected = x - (x - x.mean(axis=0)).std(axis=0)
    for k in range(1, 4):
        np.testing.assert_allclose(f(x), expected, rtol=1e-12)
        assert len(runs) == k


def test_forgotten_with_the_cache():
    calls = []
    f = ad.jit(lambda x: calls.append(1) or x + 1)
    x = normal(3)
    f(x), f(x), f(x)
    ad.clear_cache()
    f(x)
    assert len(calls) == 2


def test_nothing_as_a_result():
    f = ad.jit(lambda x: None)
    assert [f(normal(3)) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("position", [0, 1])
def test_static_arguments_that_are_floats(position):
    """They are told apart by their value, also where they look like ordinary floats."""
    f = ad.jit((lambda p, x: p * x) if position == 0 else (lambda x, p: p * x), position)
    x = normal(5)
    for _ in range(3):
        for p in (2.0, 3.0, 3.0, 3):
            args = (p, x) if position == 0 else (x, p)
            np.testing.assert_array_equal(f(*args), p * x)
    g = ad.jit(lambda x, p=1.0: p * x, static_argnames="p")
    for _ in range(3):
        np.testing.assert_array_equal(g(x), x)
        np.testing.assert_array_equal(g(x, 2.0), 2 * x)
        np.testing.assert_array_equal(g(x, p=3.0), 3 * x)


def test_static_arguments_that_are_equal_and_not_the_same():
    f = ad.jit(lambda x, p: x * (10 if type(p[0]) is bool else 20), static_argnums=1)
    assert [f(1.0, p) for p in ((1,), (True,), (1.0,), (True,))] == [20, 10, 20, 10]
    g = ad.jit(lambda x, p: x * np.copysign(1, p), static_argnums=1)
    assert [g(1.0, p) for p in (0.0, -0.0, 0.0)] == [1, -1, 1]


def test_a_large_integer_after_a_small_one():
    f = ad.jit(lambda a, b: a + b)
    assert f(1, 1.0) == 2.0 and f(1 << 63, 1.0) == float(1 << 63)
    with pytest.raises(IntegerRangeError, match="beyond the 64 bits"):
        f(1 << 70, 1.0)


def test_captured_arrays_that_lie_otherwise():
    held = normal(14)[::2]
    f = ad.jit(lambda x: x * held)
    x = normal(7, seed=1)
    for _ in range(3):
        np.testing.assert_array_equal(f(x), x * held)


def test_memory_mapped_arguments(runs, tmp_path):
    x = normal(7)
    x.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", mode="r")
    f = ad.jit(lambda x: x * x)
    for _ in range(3):
        for given in (mapped.view(np.memmap).view(np.float64), x):
            np.testing.assert_array_equal(f(given), x * x)
    assert len(runs) == 1

"""The account of a compiled program: what is run, moved and computed, and the generated text."""

import numpy as np
import pytest

import gpuad
from executors.memory_programs import array, prepared
from gpuad.codegen.cpu import target

pytest.importorskip("numba")
gnp = gpuad.numpy


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(target, "LIMIT", target.LIMIT)
    gpuad.clear_cache()
    yield
    gpuad.clear_cache()


def explained(function, *arguments):
    return gpuad.jit(function).explain(*arguments)


def test_one_sweep_moves_what_it_reads_and_writes():
    x = array(50_000, 4)
    found = explained(lambda x: np.sin(x) * np.cos(x), x)
    assert found.bytes_moved == found.bytes_floor == 2 * x.nbytes
    assert found.launches == len(found.sources) == 1
    assert found.flops == 3 * x.size


def test_what_passes_from_sweep_to_sweep_is_not_moved():
    function, (x,) = prepared("several_sweeps", 50_000)
    found = explained(function, x)
    assert found.launches == len(found.sources) > 1
    assert found.bytes_moved == found.bytes_floor == 2 * x.nbytes + x.shape[1] * 8


def test_what_passes_through_products_is_not_moved():
    x, w = array(4000, 200), array(200, 200)
    found = explained(lambda x, w: np.sin(np.cos(x) @ w), x, w)
    assert "library call: dot_general f64[4000,200] f64[200,200], 256 rows at a time" in str(found)
    assert found.bytes_moved == found.bytes_floor == 2 * x.nbytes + w.nbytes
    assert found.flops == 2 * x.size + 2 * x.size * 200
    assert found.launches == 3 and len(found.sources) == 2


def test_products_in_sweeps_count_too():
    x, w = array(4000, 40), array(40, 30)
    found = explained(lambda x, w: np.sin(x) @ w, x, w)
    assert found.launches == 1
    assert found.flops == x.size + 2 * x.size * 30


def test_rows_that_two_sweeps_read_apart_are_moved_twice():
    """With nothing between them the sweeps of a pass take all rows, one after the other."""
    target.LIMIT = 1
    x = array(50_000, 4)
    found = explained(lambda x: (np.sin(x), np.cos(x)), x)
    assert found.launches == 2
    assert found.bytes_moved == 4 * x.nbytes


def test_views_are_neither_moved_nor_launched():
    x = array(20_000, 40)
    found = explained(lambda x: np.sum(np.sin(x), axis=0).reshape(5, 8), x)
    assert str(found).count("a view") == 1
    assert found.launches == 1
    assert found.bytes_moved == found.bytes_floor == x.nbytes + 40 * 8


def test_functions_of_small_operations_have_their_source():
    x, w = array(20_000, 6), array(6)

    def f(x, w):
        for _ in range(6):
            w = np.tanh(w) + w[::-1] * np.sum(w)
        return x * w

    found = explained(f, x, w)
    assert "compiled function of" in str(found)
    assert found.launches == len(found.sources) == 2
    assert all("def sweep(" in text for text in found.sources)
    # Operations on six values, and those on rows.
    assert x.size < found.flops < x.size + 6 * 100
    assert 2 * x.nbytes < found.bytes_moved < 2 * x.nbytes + 2000


def test_it_is_said_what_runs_together_and_in_what_pieces():
    function, arguments = prepared("several_sweeps", 50_000)
    text = str(explained(function, *arguments))
    head = next(line for line in text.splitlines() if line.startswith("pass over"))
    assert "50000 rows" in head and "at a time" in head
    assert "2.4 MB read" in head and "left" in head

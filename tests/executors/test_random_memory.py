"""Random programs under limits of memory and with donated arguments.

Sweeps run as plain Python (see `test_random_native`), and matrix products and other library calls
by rows over tiles of a few rows. Results have the same bits for every limit; arguments stay as they
were unless they are donated; and what NumPy allocates stays below what was predicted.

``GPUAD_EXAMPLES=1000 pytest -n0 tests/executors/test_random_memory.py`` takes as many programs.
"""

from contextlib import contextmanager

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gpuad
from executors.memory_programs import measured
from executors.programs import program
from executors.test_random_native import (
    MODES,
    compiled_in,
    derivatives,
    examples,
    function_of,
    given_to,
    laid_out,
    layouts,
    ways,
)
from gpuad.codegen.cpu import contraction, target
from gpuad.errors import MemoryLimitError
from gpuad.executors.native import result_pool, row_calls, sweep

SLACK = 400_000
"""Bytes of Python's own objects, of arrays of a few numbers, and of the buffers of 8192 numbers
that ufuncs of NumPy take on each thread."""
KINDS = ("value", "gradient", "hvp")


@contextmanager
def called_by_rows(tile, calls):
    """Library calls run over tiles of a few rows; products, or all operations, are such calls."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(row_calls, "LEAST_BYTES", 0)
        monkeypatch.setattr(row_calls, "TILE_BYTES", 64 * tile)
        monkeypatch.setattr(row_calls, "PRODUCT_BYTES", 64 * tile)
        monkeypatch.setattr(row_calls, "PRODUCT_ROWS", tile)
        monkeypatch.setattr(row_calls, "SUM_ROWS", tile)
        if calls == "products":
            monkeypatch.setattr(contraction, "GEMM_VALUES", 0)
        if calls == "all":
            monkeypatch.setattr(target.CpuTarget, "joins", lambda self, e: False)
        yield


tiles = st.sampled_from([1, 2, 4])
calls = st.sampled_from(["few", "products", "all"])


def bits(results):
    return [np.asarray(x).tobytes() for x in results]


def enough_for(function, given, **options):
    """The smallest limit that will do, from the error."""
    try:
        gpuad.jit(function, executor="native", max_bytes=0, **options)(*given)
    except MemoryLimitError as error:
        return int(str(error).split("Give max_bytes=")[1].split()[0])
    return 0


def batched(asked, mode, kind, rows, transform=lambda f: f):
    """One of the program's derivatives for a batch, and its arguments."""
    one = derivatives(transform(function_of(asked, False)), asked.seed, mode)
    function = gpuad.vmap(one[mode if kind == "hvp" else kind])
    shifts = np.linspace(0, 1e-4, rows)
    return function, [np.stack([x + h for h in shifts]) for x in given_to(asked, False)]


@examples(25)
@hypothesis.given(
    program(longest=6), ways, tiles, calls, st.sampled_from(MODES),
    st.sampled_from(KINDS), layouts, st.sampled_from([2, 5, 17, 40]), st.randoms(),
)  # fmt: skip
def test_every_limit_gives_the_same_bits(asked, way, tile, calls, mode, kind, chosen, rows, rng):
    function, batch = batched(asked, mode, kind, rows)
    given = laid_out(batch, chosen)
    before = [x.copy() for x in given]
    with compiled_in(way), called_by_rows(tile, calls):
        expected = bits(gpuad.jit(function, executor="native")(*given))
        least = enough_for(function, given)
        for limit in (least, least + rng.randrange(least + 1), 10**9):
            f = gpuad.jit(function, executor="native", max_bytes=limit)
            assert bits(f(*given)) == expected
            assert f.explain(*given).peak_bytes <= limit
    for x, y in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, y, "an argument was modified")


@examples(25)
@hypothesis.given(
    program(longest=6), ways, tiles, calls, st.sampled_from(MODES),
    st.sampled_from(KINDS), layouts, st.sampled_from([5, 17, 40]), st.randoms(),
)  # fmt: skip
def test_donated_arguments_change_no_bit(asked, way, tile, calls, mode, kind, chosen, rows, rng):
    function, batch = batched(asked, mode, kind, rows)
    before = laid_out(batch, chosen)
    donated = [i for i in range(len(before)) if rng.randrange(2)]
    # Copies have the layout, but nothing else sees them: they can be taken.
    given = [x.copy(order="K") if i in donated else x for i, x in enumerate(before)]
    with compiled_in(way), called_by_rows(tile, calls):
        expected = bits(gpuad.jit(function, executor="native")(*before))
        f = gpuad.jit(function, executor="native", donate_argnums=tuple(donated))
        results = f(*given)
        assert bits(results) == expected
        least = enough_for(function, before, donate_argnums=tuple(donated))
        for limit in (least, 2 * least):
            f = gpuad.jit(
                function, executor="native", donate_argnums=tuple(donated), max_bytes=limit
            )
            fresh = [x.copy(order="K") if i in donated else x for i, x in enumerate(before)]
            assert bits(f(*fresh)) == expected
    for i, (x, y) in enumerate(zip(before, batch, strict=True)):
        np.testing.assert_array_equal(x, y, f"argument {i} was modified")
    for i, (x, y) in enumerate(zip(given, batch, strict=True)):
        shared = any(np.may_share_memory(x, r) for r in results if isinstance(r, np.ndarray))
        assert i in donated or not shared
        if x.flags.writeable:
            np.testing.assert_array_equal(x, y, f"argument {i} was taken and can be written")


def load_nothing(text, dtype, arguments, vector_bits=None):
    """In place of a sweep: zeros. Memory does not depend on values."""
    written = [k for k, kind in enumerate(arguments) if kind.startswith("write")]

    def sweep(*args):
        for k in written:
            args[k][...] = 0

    return sweep


@examples(25)
@hypothesis.given(
    program(longest=6), st.sampled_from(MODES), st.sampled_from(KINDS), layouts, calls,
    st.sampled_from([None, 0.0, 0.3]),
)  # fmt: skip
def test_measured_memory_is_below_the_predicted(asked, mode, kind, chosen, calls, share):
    """`share`: where the limit lies, from the smallest on to the peak without one."""
    function, batch = batched(asked, mode, kind, 20_000)
    given = laid_out(batch, chosen)
    with pytest.MonkeyPatch.context() as monkeypatch, called_by_rows(64, calls):
        monkeypatch.setattr(sweep, "load", load_nothing)
        gpuad.clear_cache()
        f = gpuad.jit(function, executor="native")
        if share is not None:
            least, most = enough_for(function, given), f.explain(*given).peak_bytes
            limit = least + int(share * max(0, most - least))
            f = gpuad.jit(function, executor="native", max_bytes=limit)
        predicted = f.explain(*given).peak_bytes
        assert share is None or predicted <= limit
        for _ in range(2):
            f(*given)
        result_pool.release()
        # The least of three: other threads of the process allocate now and then.
        found = min([measured(lambda: f(*given)) for _ in range(3)])
        gpuad.clear_cache()
    assert found <= predicted + SLACK

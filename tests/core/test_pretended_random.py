"""Random programs on a pretended GPU, each operation a library call by rows over a few rows.

Results have the same bits for every limit of memory and with donated arguments; arguments stay as
they were unless they are donated; what is allocated stays below what was predicted.

``GPUAD_EXAMPLES=1000 pytest -n0 tests/core/test_pretended_random.py`` takes as many programs.
"""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gpuad as ad
import pretended_cupy
from executors.programs import program
from executors.test_random_memory import KINDS, batched
from executors.test_random_native import MODES, examples
from gpuad.codegen.cuda import planning
from gpuad.errors import ArgumentError, MemoryLimitError
from gpuad.executors.cuda import cublas as cublas_module
from gpuad.executors.cuda import executor, row_calls
from gpuad.executors.cuda import program as compiled_program
from pretended_cupy import with_peak

UNKNOWN = (ArgumentError, TypeError, AttributeError, NotImplementedError, ImportError)
"""Of what the pretended CuPy cannot do."""
SLACK = 1 << 13
"""Bytes of numbers, for each of which the pool gives 512."""


def bits(results):
    found = results if isinstance(results, tuple | list) else [results]
    return [getattr(x, "_host", np.asarray(0)).tobytes() for x in found]


def enough_for(function, given, **options):
    try:
        ad.jit(function, max_bytes=0, **options)(*given)
    except MemoryLimitError as error:
        return int(str(error).split("Give max_bytes=")[1].split()[0])
    return 0


def on_gpu(cupy, arrays, turned):
    """The arrays, some of them with their axes in memory the other way round."""
    return [
        cupy.asarray(x.T.copy()).T if k in turned else cupy.asarray(x) for k, x in enumerate(arrays)
    ]


@examples(15)
@hypothesis.given(
    program(longest=6), st.sampled_from([2, 3, 7]), st.booleans(), st.sampled_from(MODES),
    st.sampled_from(KINDS), st.sampled_from([5, 17, 1000]), st.booleans(), st.randoms(),
)  # fmt: skip
def test_limits_and_donation_change_no_bit(asked, tiles, cublas, mode, kind, rows, held, rng):
    """`held`: a checkpoint around it all is compiled as a graph that is held."""
    ad.clear_cache()
    function, batch = batched(asked, mode, kind, rows, ad.checkpoint if held else lambda f: f)
    turned = [k for k in range(len(batch)) if rng.randrange(2)]
    donated = tuple([k for k in range(len(batch)) if rng.randrange(2)])
    with pytest.MonkeyPatch.context() as patch:
        cupy = pretended_cupy.installed(patch)
        if held:
            patch.setattr(executor, "with_least_memory", lambda programs: len(programs) - 1)
        patch.setattr(planning, "joins", lambda e: False)
        patch.setattr(row_calls, "tile_rows", lambda calls, rows: max(1, rows // tiles))
        patch.setattr(row_calls, "SUMMED", 0)
        for module in (row_calls, compiled_program):
            patch.setattr(module, "is_scatter", lambda e: False)
        if not cublas:
            patch.setattr(cublas_module, "library", lambda: None)
        given = on_gpu(cupy, batch, turned)
        try:
            ad.jit(function, executor="reference")(*given)
        except UNKNOWN:
            hypothesis.reject()
        expected = bits(ad.jit(function)(*given))
        least = enough_for(function, given)
        for limit in (least, least + rng.randrange(least + 1), 10**9):
            f = ad.jit(function, max_bytes=limit)
            found, peak = with_peak(cupy, lambda f=f: bits(f(*given)))
            assert found == expected
            assert peak <= f.explain(*given).peak_bytes + SLACK
            assert f.explain(*given).peak_bytes <= limit
        assert [x._host.tobytes() for x in given] == [x.tobytes() for x in batch]
        least = enough_for(function, given, donate_argnums=donated)
        for limit in (None, least):
            f = ad.jit(function, donate_argnums=donated, max_bytes=limit)
            fresh = on_gpu(cupy, batch, turned)
            account = f.explain(*fresh)
            found, peak = with_peak(cupy, lambda f=f, fresh=fresh: bits(f(*fresh)))
            assert found == expected
            assert peak <= account.peak_bytes + SLACK
            for k, (x, y) in enumerate(zip(fresh, batch, strict=True)):
                assert k in donated or np.array_equal(x._host, y)
    ad.clear_cache()

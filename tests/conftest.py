"""For all tests: every transform gives a legal graph; the benchmarks can be imported."""

import gc
import sys
from pathlib import Path

import gpuad.scipy  # noqa: F401  all primitives and functions are registered
from gpuad.transforms import memo

memo.checking = True
sys.path.append(str(Path(__file__).parents[1]))  # last, so that gpuad is the installed one


def pytest_collection_finish():
    """The tests themselves are half a million objects, which no collection has to look through.
    What they leave is much too, and a twentieth of their time went into looking through it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)

"""For all tests: every transform gives a legal graph; the benchmarks can be imported."""

import gc
import sys
from pathlib import Path

import gpuad.scipy  # noqa: F401  all primitives and functions are registered
from gpuad.transforms import memo

memo.checking = True
sys.path.append(str(Path(__file__).parents[1]))  # last, so that gpuad is the installed one


def pytest_collection_finish():
    """The tests themselves are half a million objects, which no collection has to look through."""
    gc.collect()
    gc.freeze()

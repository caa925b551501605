"""For all tests: the result of every transform is checked for legality."""

import gc

from gpuad.transforms import memo

memo.checking = True


def pytest_collection_finish():
    """The tests themselves are half a million objects, which no collection has to look through."""
    gc.collect()
    gc.freeze()

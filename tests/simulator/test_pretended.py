"""Kernels in the simulator, called with the addresses that the program for a GPU gives them.

The whole way from `jit` is taken, with a pretended CuPy: memory as it is allocated and given back,
captured runs, and runs in pieces of rows. An access to memory that is not allocated is an error.
"""

import pytest

from simulator.test_simulator import UNITS, pytestmark, simulated

__all__ = ["pytestmark"]

SEVERAL = ["several kernels", "several kernels, one value", "stages", "long rows"]
ONE = ["logistic", "mixed lanes", "scatter"]


def check(found):
    assert found["same again"]
    assert found["same in pieces"]
    assert found["waits"] == []
    assert found["peak"] <= found["predicted"]
    assert found["least peak"] <= found["least"]


@pytest.mark.parametrize("name", [*SEVERAL, *ONE])
def test_whole_replayed_and_in_pieces(name):
    (found,) = simulated("pieces.py", name)
    assert found["units"] <= UNITS
    check(found)
    if name in SEVERAL:
        assert found["least"] < 0.8 * found["predicted"]
        assert found["launches in pieces"] > found["launches"]
    if "turned" in found:
        check(found["turned"])
        assert found["turned"]["same"]

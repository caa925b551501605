"""Kernels in the simulator, called with the addresses that the program for a GPU gives them.

The whole way from `jit` is taken, with a pretended CuPy: memory as it is allocated and given back,
captured runs, and runs in pieces of rows. An access to memory that is not allocated is an error.
"""

import pytest

from simulator.test_simulator import UNITS, pytestmark, simulated

__all__ = ["pytestmark"]

SEVERAL = ["several kernels", "several kernels, one value", "stages", "long rows"]
CALLS = ["products", "sorts"]
ONE = ["logistic", "mixed lanes", "scatter"]


def check(found, name):
    assert found["same again"], name
    assert found["same in pieces"], name
    assert found["waits"] == [], name
    assert found["peak"] <= found["predicted"], name
    assert found["least peak"] <= found["least"], name
    assert found["same donated"], name
    assert found["donated peak"] <= found["predicted"], name
    assert found["donated least peak"] <= found["donated least"] <= found["least"], name


@pytest.mark.parametrize("names", [SEVERAL[:2], SEVERAL[2:], CALLS, ONE], ids=", ".join)
def test_whole_replayed_and_in_pieces(names):
    for found in simulated("pieces.py", *names):
        name = found["name"]
        assert found["units"] <= UNITS, name
        check(found, name)
        if name in (*SEVERAL, *CALLS):
            # What cuBLAS works in does not depend on the rows.
            share = 1 if name == "products" else 0.8
            assert found["least"] < share * found["predicted"], name
            assert found["launches in pieces"] > found["launches"], name
        if "turned" in found:
            check(found["turned"], f"{name}, turned")
            # A matrix that lies the other way round is multiplied in another order.
            assert found["turned"]["same"] or name == "products", name

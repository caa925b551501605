"""What compiled kernels move: sectors of 32 bytes, counted as they run."""

import numpy as np
import pytest

import gpuad as ad
from emulator.checks import check_launches
from emulator.device import host
from executors.kernel_programs import hessians, normal
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER


@pytest.mark.parametrize("d", [3, 4])
def test_stores_of_hessians_divide_no_sector(emulator, d):
    """(d, rows, d) of an odd number of rows: its runs of rows begin inside sectors."""
    arguments = normal(1001, d), np.eye(d, dtype=np.float32)
    graph = ad.make_graph(hessians)(*arguments).graph
    (found,) = host(emulator.program(graph)(emulator.arrays(arguments)))
    check_launches(emulator)
    (launched,) = emulator.launches
    stores = [a for a in launched.report.accesses if a.store and a.space == "global"]
    least = -(-found.nbytes // 32)
    # Each block of 256 rows and each run of it ends inside a sector that another one begins in.
    assert sum(a.sectors for a in stores) <= least + 2 * d * launched.report.grid

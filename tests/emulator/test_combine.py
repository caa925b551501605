"""The kernel that adds up the partial sums of all blocks, for few and many of them."""

import numpy as np
import pytest
from gpuad.kernels import cuda_text

from emulator.checks import check_launches, same
from emulator.device import host
from gpuad.executors.cuda.row_pipeline import DTYPES, combine_text
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize(
    ("blocks", "size"),
    [(2, 1), (63, 8), (64, 9), (65, 7), (511, 17), (513, 3), (576, 5), (577, 5), (1024, 40)],
)
def test_partial_sums_of_blocks_are_added_up(emulator, kind, blocks, size):
    dtype = np.dtype(DTYPES[kind])
    parts = np.random.default_rng(blocks).integers(-99, 100, (blocks, size)).astype(dtype)
    launch = emulator.device.ready(combine_text(kind))
    grid = -(-size // cuda_text.COMBINE_COLUMNS)
    results = []
    for _ in range(2):
        (given,) = emulator.arrays([parts.ravel()])
        out = emulator.cupy.empty(size, dtype)
        launch(grid, cuda_text.COMBINE_THREADS, [given, out, np.int64(blocks), np.int64(size)])
        results.append(host([out]))
    check_launches(emulator)
    np.testing.assert_array_equal(results[0][0], parts.sum(0))
    assert same(*results)


def test_an_infinite_sum_stays_in_its_column(emulator):
    parts = np.ones((70, 9), np.float32)
    parts[-1, 4] = np.inf
    (given,) = emulator.arrays([parts.ravel()])
    out = emulator.cupy.empty(9, np.float32)
    launch = emulator.device.ready(combine_text("f32"))
    launch(2, cuda_text.COMBINE_THREADS, [given, out, np.int64(70), np.int64(9)])
    np.testing.assert_array_equal(host([out])[0], parts.sum(0))

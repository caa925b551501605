"""Sweeps that no kernel can hold as they are: refused by the layout, and divided by the plan."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.layout import layouts
from gpuad.codegen.cuda.planning import WRITERS, CudaTarget, cuda_plan
from gpuad.codegen.cuda.toolchain import compile_kernel
from gpuad.codegen.cuda.writer import SHARED_BYTES
from gpuad.plan.plan import stored
from gpuad.plan.staging import make_plan
from gpuad.transforms.lower import lower

ROWS = 5000


def sums_and_moves(x, y):
    """Sums over rows in two dtypes, which need shared memory, and rows that move through it."""
    a, b = x * x, gnp.exp(x)
    turned, back = a[:, ::-1] * x, b[:, ::-1] + x
    sums = [gnp.sum(v, 0) for v in (turned, back, gnp.sin(x), gnp.cos(x))]
    return *sums, gnp.sum(y * y, 0)


def a_matrix_for_each_row(x, y):
    return 2 * x, gnp.swapaxes(y, 1, 2)


WIDE = (np.ones((ROWS, 128)), np.ones((ROWS, 128), np.float32))
MATRICES = (np.ones((ROWS, 70)), np.ones((ROWS, 33, 34)))


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (sums_and_moves, WIDE, "more shared memory than a kernel can declare"),
        (a_matrix_for_each_row, MATRICES, "a value has two axes of lanes"),
    ],
    ids=["shared memory", "two axes"],
)
def test_a_sweep_that_is_too_much_is_refused_and_divided(function, arguments, reason):
    graph = lower(ad.make_graph(function)(*arguments).graph)
    plan = make_plan(graph, CudaTarget())
    (stage,) = [s for s in plan.stages if s.sweep]
    kept = stored(plan)[plan.stages.index(stage)]
    refused = []
    for layout in layouts(stage.sweep, ROWS):
        with pytest.raises(Unsuitable) as error:
            WRITERS[layout.family](stage.sweep, kept, layout).write()
        refused.append(str(error.value))
    assert reason in refused
    sources = [s.source for s in cuda_plan(graph).stages if s.source]
    assert sources
    for source in sources:
        assert source.shared_bytes <= SHARED_BYTES
        assert compile_kernel(source.kernel, (9, 0)).resources.shared <= SHARED_BYTES

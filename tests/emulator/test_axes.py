"""Which axis a kernel takes as rows: one whose rows lie together in memory, of whatever rank."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from emulator.checks import check_launches, check_results, graph_of
from emulator.device import host
from gpuad.plan.roles import is_view
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER


def softmax(axis):
    return lambda x: gnp.softmax(x, axis)


def squares(axis):
    return lambda x: gnp.sum(x * x, axis)


def layer_norm(x):
    y = x - gnp.mean(x, -1, keepdims=True)
    return y / gnp.sqrt(gnp.mean(y * y, -1, keepdims=True) + 1e-3)


# name: (function, shapes, rows, family, threads of a row; None for several)
CASES = {
    "rows of memory": (softmax(1), [(300, 1000)], 300, "row", None),
    "few rows": (softmax(1), [(40, 1000)], 40, "row", None),
    "few rows of many lanes": (softmax(1), [(33, 9000)], 33, "pair", 1024),
    "a loss of few rows": (
        ad.value_and_grad(lambda x: gnp.sum(gnp.softmax(x, 1) ** 2)),
        [(33, 9000)],
        33,
        "pair",
        1024,
    ),
    "few rows of which nothing is combined": (
        lambda x, w: gnp.exp(x * w[:, None]),
        [(50, 1100), (50,)],
        1100,
        "sample",
        1,
    ),
    "columns": (softmax(0), [(100, 1100)], 1100, "pair", 1),
    "short columns": (softmax(0), [(50, 1100)], 1100, "sample", 1),
    "columns added up": (squares(0), [(100, 1100)], 1100, "pair", 1),
    "columns of vectors": (lambda x: gnp.sum(x * x, 0)[1], [(100, 2, 1100)], 1100, "pair", 1),
    "three axes, of elements": (lambda x: gnp.tanh(x) * x, [(10, 33, 64)], 21120, "flat", 1),
    "three axes, all added up": (squares(None), [(10, 33, 64)], 21120, "flat", 1),
    "three axes, the first added up": (squares(0), [(33, 40, 50)], 2000, "sample", 1),
    "three axes, the last added up": (squares(2), [(40, 50, 60)], 2000, "row", None),
    "three axes, softmax": (softmax(-1), [(35, 34, 40)], 1190, "row", None),
    "three axes, softmax of the first": (softmax(0), [(70, 35, 40)], 1400, "pair", 1),
    "three axes, layer norm": (layer_norm, [(35, 34, 64)], 1190, "row", None),
    "four axes": (lambda x, w: gnp.exp(x * w), [(5, 7, 33, 64), (64,)], 1155, "row", None),
    "two long axes of a row": (
        lambda x, y: (gnp.exp(x) * x, y * y),
        [(100, 40, 36), (100, 3)],
        100,
        "row",
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_kernel_reads_rows_as_they_lie(emulator, name):
    function, shapes, rows, family, group = CASES[name]
    rng = np.random.default_rng(4)
    arguments = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    graph, expected = graph_of(function, arguments)
    program = emulator.program(graph)
    check_results(host(program(emulator.arrays(arguments))), expected)
    check_launches(emulator, name)
    (kernel,) = program.kernels
    layout = kernel.source.layout
    assert (kernel.rows, layout.family) == (rows, family)
    assert group is None or layout.group == group
    assert all(is_view(e) for s in program.plan.stages for e in s.whole)
    read = [a for x in emulator.launches for a in x.report.accesses if a.space != "shared"]
    assert sum(a.sectors for a in read) <= 1.7 * sum(a.ideal for a in read)


def test_truth_values_of_several_axes_are_stored(emulator):
    """What compares an array with its extrema, in kernels of their own."""
    x = np.random.default_rng(4).standard_normal((34, 36, 40)).astype(np.float32)
    graph, expected = graph_of(lambda x: x == gnp.max(x, 1, keepdims=True), [x])
    check_results(host(emulator.program(graph)(emulator.arrays([x]))), expected)
    check_launches(emulator)


def test_a_donated_array_of_several_axes_is_written_over(emulator):
    x = np.random.default_rng(4).standard_normal((10, 33, 64)).astype(np.float32)
    graph, expected = graph_of(lambda x: gnp.tanh(x) * x, [x])
    program = emulator.program(graph)
    (given,) = emulator.arrays([x])
    donation = program.donation([given], [0])
    assert len(donation.placed) == 1
    check_results(host(program([given], given=donation)), expected)
    check_launches(emulator)

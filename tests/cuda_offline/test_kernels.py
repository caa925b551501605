"""The kernels of the benchmark's rows: machine code, what it needs and what it moves."""

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from gpuad.kernels.cuda_functions import APPROXIMATIONS, LIBDEVICE

import gpuad as ad
import gpuad.numpy as gnp
from benchmarks import suite
from benchmarks.compilers import SHARED, graph_of, graph_of_case
from compiled_kernels import CAPABILITIES, KERNELS, LONG_TO_COMPILE
from executors.kernel_programs import PROGRAMS, SETTINGS, layers
from gpuad.codegen.cuda import planning, toolchain
from gpuad.codegen.cuda.cells import Unsuitable
from gpuad.codegen.cuda.instruction_order import by_first_use
from gpuad.codegen.cuda.layout import Layout, row_shapes
from gpuad.codegen.cuda.matrices import sums_by_block
from gpuad.codegen.cuda.planning import cuda_plan
from gpuad.codegen.cuda.row_batches import BatchWriter
from gpuad.codegen.cuda.source import KernelText
from gpuad.codegen.views import size_of
from gpuad.ir.rows import inner
from gpuad.transforms.lower import lower

ON_GPU = [
    ("W2", "HVP d=128"),
    ("W2", "Hessians d=8"),
    ("W3", "logistic 1e+06x1024 m=32"),
    ("W6", "N=4096 m=8"),
    ("W7", "Laplacian 4x64 d=3"),
    ("W8", "N=2048 float32"),
    ("W8", "N=2048 float64"),
]
"""Cases of the suite's GPU sizes that have other kernels than the small sizes; `benchmarks.count`
has all of them."""
SMALL = [case.key for case in suite.cases([], "small", "cpu")]
TRAINING = ("W7", "training gradient 4x32 d=2")
# As long to compile as the one for a GPU above; many small ones like those of other rows; and one
# that has a test of its own, since for an older GPU it is divided after many attempts.
LEFT_OUT = {("W6", "N=512 m=8"), ("R1", "N=512"), TRAINING} | LONG_TO_COMPILE
SMALL = [key for key in SMALL if key not in LEFT_OUT]


def accepts(source, capabilities=CAPABILITIES):
    threads = source.layout.threads
    return all(KERNELS.resources(source.kernel, c).fit(threads, SHARED) for c in capabilities)


def newest_accepts(source):
    return accepts(source, CAPABILITIES[-1:])


def plan_of(function, *arguments):
    return cuda_plan(graph_of(function, *arguments), accepts)


def sources_of(function, *arguments):
    return [s.source for s in plan_of(function, *arguments).stages if s.source is not None]


@cache
def plan_of_case(key, size="small", device="cpu"):
    case = suite.find(key, size, device)
    return cuda_plan(graph_of_case(case), accepts), case.dtype


def check(key, size, device):
    """Every kernel of a case fits into the registers, keeps to its dtype and moves values once."""
    plan, dtype = plan_of_case(key, size, device)
    stages = [s for s in plan.stages if s.source is not None]
    assert stages
    for stage in stages:
        source = stage.source
        if source.layout.family in ("flat", "row"):
            moves_once(stage)
        for capability in CAPABILITIES:
            resources = KERNELS.resources(source.kernel, capability)
            assert resources.spills == 0
            assert resources.fit(source.layout.threads, SHARED)
            assert resources.shared + resources.given >= source.shared_bytes
        assert dtype == "float64" or not instructions(source, r"\.f64", large_angles=False)


@pytest.mark.parametrize("key", SMALL, ids="-".join)
def test_kernels_of_a_row(key):
    check(key, "small", "cpu")


@pytest.mark.parametrize("key", ON_GPU, ids="-".join)
def test_kernels_of_a_row_at_its_size_on_a_gpu(key):
    check(key, "full", "cuda")


LARGE_ANGLE = re.compile(r"cvt\.f64\.f32[^$]*0d3FE45F3060000000[^$]*(?=\$L)")
"""What stands after the branch, up to a label; the number is the first part of 2/π."""


def instructions(source, pattern, large_angles=True):
    """The lines of PTX with an instruction that matches; without those for large angles, which are
    reduced in float64 after a branch that is hardly ever taken."""
    ptx = KERNELS.ptx(source.kernel)
    if not large_angles:
        ptx = LARGE_ANGLE.sub("", ptx)
    lines = [x.strip() for x in ptx.splitlines()]
    return [x for x in lines if re.search(pattern, x) and not x.startswith(".")]


# What a round of rows moves


def moves_once(stage):
    """Loads and stores of a flat or row kernel are those of the plan: each value of a row once.

    The text has a loop over rounds of rows, and most kernels of the row family a second one, for
    the last rows. The compiler may write a loop out several times, or once for each value of a
    condition that all rounds have in common. What is the same for all rows is loaded once, or once
    in each round; sums are stored when the rows are done.
    """
    source = stage.source
    counted = traffic(source)
    for a in (*source.reads, *source.writes):
        shape = inner(a.var.aval.shape, a.axis)
        least = floor(stage, shape)
        found = counted.pop(a.name)
        if a.kind == "rows":
            rows = written_rows(source, bool(source.layout.long_axes(shape)))
            assert elements(source.kernel.text, a.name) == least * rows, a
            assert found >= least, a
        else:
            assert found >= least, a
    of_blocks = {s.equation.outputs[0] for s in stage.sweep if sums_by_block(s.equation)}
    if of_blocks & {s.var for s in source.sums}:
        return  # each thread stores a few of them
    sums = sum(floor(stage, s.var.aval.shape) for s in source.sums)
    filled = sum(n > sum(s.size for s in source.sums if s.kind == k)
                 for k, n in source.sum_sizes.items())  # fmt: skip
    assert sum(counted.values()) == sums + filled


def elements(text, name):
    """How many elements of an array a text accesses."""
    vectors = re.findall(rf"\b(?:load|store)(\d)\({name},", text)
    return len(re.findall(rf"\b{name}\[", text)) + sum(map(int, vectors))


def written_rows(source, lanes):
    """For how many rows a text has what has lanes, or what has none."""
    if lanes or source.layout.family == "flat":
        return len(re.findall(r"\bq\d+ = ", source.kernel.text))
    return loops(source)


def loops(source):
    """The loops over rounds of rows, each in one or two levels."""
    text = source.kernel.text
    return text.count(" while ") - text.count(" middle = ")


def floor(stage, shape):
    """Instructions that move a row of this shape: its lanes are shared by the threads of a group,
    and what has no lanes each thread loads, all from one place, or one thread stores."""
    source, size = stage.source, size_of(shape)
    layout = source.layout
    rows = [*row_shapes(stage.sweep), *[inner(a.var.aval.shape, a.axis) for a in source.writes]]
    held = {n for x in rows for n in x if n > layout.short}
    lanes = max(held.intersection(shape) or held, default=1)
    if size < lanes or layout.family == "flat":
        return size
    assert size % lanes == 0
    return size // lanes * layout.slots(lanes)


def traffic(source):
    """How often PTX loads from and stores to each argument: addresses followed to where they
    come from."""
    names = [a.name for a in (*source.reads, *source.writes)]
    names += [f"c_{kind}" for kind in sorted(source.sum_sizes)]
    comes_from, places = {}, []
    for line in KERNELS.ptx(source.kernel).splitlines():
        access = re.search(r"\b(?:ld|st)\.global\S*\s.*\[(%rd\d+)", line)
        result = re.match(r"\s+(?:@\S+\s+)?[a-z]\S+\s+(%rd\d+), (.*);", line)
        if access:
            vector = re.search(r"\.v(\d)\.", line)
            places += [access[1]] * (int(vector[1]) if vector else 1)
        elif result:
            comes_from.setdefault(result[1], set()).update(re.findall(r"%rd\d+|_\d+\]", result[2]))
    counts = Counter()
    for place in places:
        arguments = [int(x[1:-1]) for x in origins(place, comes_from) if x[0] == "_"]
        (pointer,) = [k for k in arguments if k < len(names)]
        counts[names[pointer]] += 1
    return counts


def origins(place, comes_from):
    """All that a register is computed from."""
    found, todo = set(), [place]
    while todo:
        x = todo.pop()
        if x not in found:
            found.add(x)
            todo += comes_from.get(x, ())
    return found


# What is stored between kernels


def stored(plan):
    """The values that the kernels of a plan write."""
    return [a.var.aval for s in plan.stages if s.source for a in s.source.writes]


def test_a_mixture_is_one_kernel_that_stores_nothing():
    plan, _ = plan_of_case(("W4", "n=2e+03 d=10 K=25"))
    assert len([s for s in plan.stages if s.source]) == 1
    assert not stored(plan)


def test_the_training_gradient_of_a_network_is_one_kernel_that_stores_nothing():
    """Its values wait in shared memory, and each weight has one sum of products. It needs nearly
    all registers: for an older GPU the same text may be divided."""
    plan = cuda_plan(graph_of_case(suite.find(TRAINING, "full", "cuda")), newest_accepts)
    (stage,) = [s for s in plan.stages if s.source]
    assert stage.source.layout.parked
    assert not instructions(stage.source, r"\.f64", large_angles=False)
    assert not stored(plan)
    assert [s.var.aval.shape for s in stage.source.sums].count((32, 32)) == 3


def test_tiles_that_are_refused_with_vectors_are_not_tried_without():
    tried = []
    function, arguments = PROGRAMS["layers"][0], layers(300, 4, 32, 32, 1)
    cuda_plan(graph_of(function, *arguments), lambda source: bool(tried.append(source.layout)))
    assert {x.vector for x in tried if x.family == "tile"} == {4}


@pytest.mark.parametrize("d", [32, 128])
def test_neighbouring_lanes_meet_in_one_kernel(d):
    x = np.ones((1000, d), np.float32)
    (source,) = sources_of(hvp(rosenbrock), x, x)
    assert source.layout.family == "row"
    assert len(instructions(source, r"st\.global")) == source.layout.slots(d) * loops(source)


def test_a_mixture_of_many_dimensions_is_a_few_kernels():
    """By the cost of their operations alone, without compiling them."""
    case = suite.find(("W4", "n=1e+05 d=32 K=50"), "full", "cuda")
    plan = cuda_plan(graph_of_case(case), lambda source: True)
    assert len([s for s in plan.stages if s.source]) <= 3


def test_parts_of_a_divided_sweep_are_put_together(monkeypatch):
    """Halves of halves would be seven kernels."""
    function, arguments, _ = PROGRAMS["divided"]
    monkeypatch.setattr(planning, "COST", SETTINGS["divided"][0]["COST"])
    assert len(sources_of(function, *arguments)) == 3


def test_pairs_in_many_directions_are_never_stored():
    plan, _ = plan_of_case(("W6", "N=4096 m=8"), "full", "cuda")
    assert max(x.size for x in stored(plan)) <= 8 * 4096 * 3


def test_no_kernel_of_a_network_stores_a_transpose():
    plan = cuda_plan(graph_of_case(suite.find(("R1", "N=512"), "small", "cpu")), lambda s: True)
    assert all(a.axis == 0 for s in plan.stages if s.source for a in s.source.writes)


# Loads and stores of a row


def hvp(function):
    return lambda x, v, *rest: ad.jvp(ad.grad(lambda x: function(x, *rest)), (x,), (v,))[1]


def test_a_flat_kernel_moves_three_numbers_for_each():
    x = np.ones(1000, np.float32)
    (source,) = sources_of(hvp(lambda x: gnp.sum(gnp.exp(-x * x) * x)), x, x)
    assert source.layout.family == "flat"
    rows = source.layout.rows
    assert source.layout.vector == rows == 4
    # A vector, and rows of which some may not exist.
    assert len(instructions(source, r"ld\.global")) == 2 * (1 + rows)
    assert len(instructions(source, r"st\.global")) == 1 + rows


def test_a_result_is_stored_before_the_next_one_is_computed():
    """64 of them, side by side, would take all 255 registers."""
    plan, _ = plan_of_case(("W2", "Hessians d=8"), "full", "cuda")
    (source,) = [s.source for s in plan.stages if s.source]
    assert KERNELS.resources(source.kernel, (9, 0)).registers <= 176


def test_results_in_the_order_of_their_text():
    lines = ["v2 = v1 + v1", "v3 = v1 * v1", "v4 = v2 + v3", "v9 += v3 if live0 else f32(0)"]
    stores = ["s_o0[0] = v2", "if live0:", "    o1[r0] = v4"]
    assert by_first_use(lines, stores) == [
        *["v3 = v1 * v1", "v9 += v3 if live0 else f32(0)"],
        *["v2 = v1 + v1", "s_o0[0] = v2"],
        *["v4 = v2 + v3", "if live0:", "    o1[r0] = v4"],
    ]


@pytest.mark.parametrize(("width", "loads"), [(3, 3), (4, 1), (6, 3), (8, 2)])
def test_a_sample_kernel_moves_its_rows_once(width, loads):
    x = np.ones((1000, width), np.float32)
    (source,) = sources_of(hvp(rosenbrock), x, x)
    assert source.layout.family == "sample"
    assert len(instructions(source, r"ld\.global")) == 2 * loads
    assert len(instructions(source, r"st\.global")) == loads


def rosenbrock(x):
    head, tail = x[..., :-1], x[..., 1:]
    step, rest = tail - head * head, 1.0 - head
    return gnp.sum(100.0 * step * step + rest * rest)


def test_a_row_kernel_moves_its_rows_once():
    x = np.ones((1000, 128), np.float32)
    (source,) = sources_of(hvp(lambda x: gnp.sum(gnp.logsumexp(x, 1))), x, x)
    assert source.layout.family == "row"
    vectors = source.layout.slots(128) // source.layout.vector * loops(source)
    assert source.layout.vector == 4
    assert len(instructions(source, r"ld\.global\.v4")) == 2 * vectors
    assert len(instructions(source, r"st\.global\.v4")) == vectors


def test_lanes_that_are_no_whole_vectors_have_none():
    """The last vector would begin before the lanes that its thread holds."""
    x = np.ones((800, 50), np.float32)
    plan = plan_of(lambda x: gnp.tanh(x) * gnp.sum(x, 1)[:, None], x)
    (stage,) = [s for s in plan.stages if s.source is not None]
    assert stage.source.layout.vector == 1
    with pytest.raises(Unsuitable, match="whole vectors"):
        BatchWriter(stage.sweep, set(), Layout("row", 32, 16, 256, 1, vector=4))


def test_large_angles_stay_in_float32():
    x = np.ones(1000, np.float32)
    (source,) = sources_of(gnp.tan, x)
    assert not instructions(source, r"\.f64")
    assert instructions(source, "0f1FC90FDB")


def test_sine_and_cosine_of_one_number_share_its_reduction():
    x = np.ones(1000, np.float32)
    (source,) = sources_of(lambda x: gnp.sin(x) + gnp.cos(x), x)
    assert source.kernel.text.count("> f32(131072.0)") == 2 * source.layout.rows
    assert instructions(source, r"\.f64")
    assert not instructions(source, r"\.f64", large_angles=False)
    # Small, or infinite: then both are NaN in any case.
    for within in (gnp.tanh, gnp.log, lambda x: -gnp.log1p(x * x) - gnp.tanh(x)):
        (source,) = sources_of(lambda x, within=within: gnp.sin(within(x)), x)
        assert not instructions(source, r"\.f64")


def test_pairs_of_any_number_are_never_stored():
    def potential(p):
        d = p[:, None] - p[None, :]
        return gnp.sum(1 / (d * d + 0.5))

    p = np.ones(20_000, np.float32)
    graph = lower(ad.make_graph(hvp(potential))(p, p).graph)
    plan = cuda_plan(graph, accepts)
    assert {s.source.layout.family for s in plan.stages if s.source} >= {"pair"}
    made = [v for s in plan.stages for e in s.whole for v in e.outputs]
    made += [a.var for s in plan.stages if s.source for a in s.source.writes]
    assert max(v.aval.size for v in made) <= 20_000


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_every_function_compiles(kind):
    operands = dict.fromkeys("arctan2 copysign fmod hypot larger_number nextafter power".split(), 2)
    operands["fma"] = 3
    lines = [
        f"    a0[i] += {name}_{kind}({', '.join(['x'] * operands.get(name, 1))})"
        for name in (*LIBDEVICE, *(APPROXIMATIONS if kind == "f32" else ()))
    ]
    text = "\n".join(["def k(a0, i):", "    x = a0[i]", *lines]) + "\n"
    kernel = KernelText("k", text, (f"{kind}*", "i64"))
    ptx = KERNELS.ptx(kernel)
    assert ".extern" not in ptx
    # The tests run on what is compiled for the oldest GPU.
    other = toolchain.compile_ptx(kernel, CAPABILITIES[-1])
    assert re.sub(r"\.target .*", "", other) == re.sub(r"\.target .*", "", ptx)
    if kind == "f32":
        assert not re.search(r"^\s+\w+[.\w]*\.f64", ptx, re.MULTILINE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mixed_dtypes_and_booleans(dtype):
    x = np.ones((300, 6), dtype)
    mask = np.ones((300, 6), bool)

    def f(x, mask):
        y = gnp.where(mask & (x > 0), x, -x)
        return gnp.sum(y, 0), (y.astype(np.float64) * 2).sum(1), y > 1

    for source in sources_of(f, x, mask):
        assert KERNELS.resources(source.kernel, (9, 0)).spills == 0

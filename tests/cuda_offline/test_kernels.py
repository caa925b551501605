"""The kernels of the benchmark's rows: machine code, what it needs and what it moves."""

import re
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from gpuad.kernels.cuda_functions import LIBDEVICE

import gpuad as ad
import gpuad.numpy as gnp
from benchmarks import peers, suite
from gpuad.executors.cuda import toolchain
from gpuad.executors.cuda.planning import cuda_plan
from gpuad.executors.cuda.source import KernelText
from gpuad.transforms.lower import lower

CAPABILITIES = [(8, 0), (9, 0)]
ROWS = 8192
"""Of data, at most: kernels do not depend on more."""
ON_GPU = [
    ("W2", "HVP d=128"),
    ("W3", "logistic 1e+06x1024 m=32"),
    ("W4", "n=1e+04 d=64 K=100"),
    ("W6", "N=4096 m=8"),
    ("W7", "Laplacian 4x64 d=3"),
    ("W8", "N=2048 float32"),
    ("W8", "N=2048 float64"),
]
"""Cases of the suite's GPU sizes that have other kernels than the small sizes."""
SMALL = [case.key for case in suite.cases([], "small", "cpu")]


@cache
def ptx_of(kernel):
    """PTX for the oldest of the GPUs, which the others run too: it is what takes time."""
    return toolchain.compile_ptx(kernel, CAPABILITIES[0])


@cache
def binary(kernel, capability):
    return toolchain.link(ptx_of(kernel), capability)


def accepts(source):
    return binary(source.kernel, (9, 0)).resources.fit(source.layout.threads)


def plan_of(function, *arguments):
    return cuda_plan(lower(ad.make_graph(function)(*arguments).graph), accepts)


def sources_of(function, *arguments):
    return [s.source for s in plan_of(function, *arguments).stages if s.source is not None]


def cut(case):
    """The case with fewer rows."""
    sizes = case.make.keywords if isinstance(case.make, partial) else {}
    if sizes.get("n", 0) <= ROWS or case.row == "W6":
        return case
    return replace(case, make=partial(case.make.func, **{**sizes, "n": ROWS}))


@cache
def plan_of_case(key, size="small", device="cpu"):
    case = cut(suite.find(key, size, device))
    engine = peers.Gpuad("cpu", 1)
    way = next(iter(engine.ways(case)))
    arguments, tangents = engine.operands(case, case.dtype)
    return plan_of(engine.derivative(case, way), *arguments, *tangents), case.dtype


def check(key, size, device):
    """Every kernel of a case fits into the registers, and keeps to its dtype."""
    plan, dtype = plan_of_case(key, size, device)
    sources = [s.source for s in plan.stages if s.source is not None]
    assert sources
    for source in sources:
        for capability in CAPABILITIES:
            resources = binary(source.kernel, capability).resources
            assert resources.spills == 0
            assert resources.fit(source.layout.threads)
            assert resources.shared >= source.shared_bytes
        assert dtype == "float64" or not instructions(source, r"\.f64")


@pytest.mark.parametrize("key", SMALL, ids="-".join)
def test_kernels_of_a_row(key):
    check(key, "small", "cpu")


@pytest.mark.parametrize("key", ON_GPU, ids="-".join)
def test_kernels_of_a_row_at_its_size_on_a_gpu(key):
    check(key, "full", "cuda")


def instructions(source, pattern):
    """The lines of PTX with an instruction that matches."""
    lines = [x.strip() for x in ptx_of(source.kernel).splitlines()]
    return [x for x in lines if re.search(pattern, x) and not x.startswith(".")]


# What is stored between kernels


def stored(plan):
    """The values that the kernels of a plan write."""
    return [a.var.aval for s in plan.stages if s.source for a in s.source.writes]


def test_a_mixture_is_one_kernel_that_stores_what_the_products_need():
    plan, _ = plan_of_case(("W4", "n=2e+03 d=10 K=25"))
    assert len([s for s in plan.stages if s.source]) == 1
    assert [x.shape for x in stored(plan)] == [(2000, 25, 10)] * 2


@pytest.mark.parametrize("d", [32, 128])
def test_neighbouring_lanes_meet_in_one_kernel(d):
    x = np.ones((1000, d), np.float32)
    (source,) = sources_of(hvp(rosenbrock), x, x)
    assert source.layout.family == "row"
    assert len(instructions(source, r"st\.global")) == source.layout.slots(d)


def test_pairs_in_many_directions_are_never_stored():
    plan, _ = plan_of_case(("W6", "N=4096 m=8"), "full", "cuda")
    assert max(x.size for x in stored(plan)) <= 8 * 4096 * 3


def test_no_kernel_of_a_network_stores_a_transpose():
    plan, _ = plan_of_case(("R1", "N=512"))
    assert all(a.axis == 0 for s in plan.stages if s.source for a in s.source.writes)


# Loads and stores of a row


def hvp(function):
    return lambda x, v, *rest: ad.jvp(ad.grad(lambda x: function(x, *rest)), (x,), (v,))[1]


def test_a_flat_kernel_moves_three_numbers_for_each():
    x = np.ones(1000, np.float32)
    (source,) = sources_of(hvp(lambda x: gnp.sum(gnp.exp(-x * x) * x)), x, x)
    assert source.layout.family == "flat"
    rows = source.layout.rows
    assert len(instructions(source, r"ld\.global")) == 2 * rows
    assert len(instructions(source, r"st\.global")) == rows


def test_a_sample_kernel_moves_its_rows_once():
    x = np.ones((1000, 4), np.float32)
    (source,) = sources_of(hvp(rosenbrock), x, x)
    assert source.layout.family == "sample"
    assert len(instructions(source, r"ld\.global")) == 8
    assert len(instructions(source, r"st\.global")) == 4


def rosenbrock(x):
    head, tail = x[..., :-1], x[..., 1:]
    step, rest = tail - head * head, 1.0 - head
    return gnp.sum(100.0 * step * step + rest * rest)


def test_a_row_kernel_moves_its_rows_once():
    x = np.ones((1000, 128), np.float32)
    (source,) = sources_of(hvp(lambda x: gnp.sum(gnp.logsumexp(x, 1))), x, x)
    assert source.layout.family == "row"
    slots = source.layout.slots(128)
    assert len(instructions(source, r"ld\.global")) == 2 * slots
    assert len(instructions(source, r"st\.global")) == slots


def test_large_angles_stay_in_float32():
    x = np.ones(1000, np.float32)
    (source,) = sources_of(lambda x: gnp.sin(x) + gnp.cos(x) * gnp.tan(x), x)
    assert not instructions(source, r"\.f64")
    assert instructions(source, "0f1FC90FDB")


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
    operands = dict.fromkeys("arctan2 copysign fmod hypot nextafter power".split(), 2)
    operands["fma"] = 3
    lines = [
        f"    a0[i] += {name}_{kind}({', '.join(['x'] * operands.get(name, 1))})"
        for name in LIBDEVICE
    ]
    text = "\n".join(["def k(a0, i):", "    x = a0[i]", *lines]) + "\n"
    ptx = toolchain.compile_ptx(KernelText("k", text, (f"{kind}*", "i64")), (9, 0))
    assert ".extern" not in ptx
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
        assert binary(source.kernel, (9, 0)).resources.spills == 0

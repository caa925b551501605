"""The kernels of the benchmark's rows: machine code, what it needs and what it moves."""

import re
from functools import cache

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
ROWS = ["L0", "W1", "W2", "W3", "W5", "W6"]


@cache
def binary(kernel, capability):
    return toolchain.compile_kernel(kernel, capability)


@cache
def ptx_of(kernel):
    return toolchain.compile_ptx(kernel, (9, 0))


def accepts(source):
    return binary(source.kernel, (9, 0)).resources.fit(source.layout.threads)


def sources_of(function, *arguments):
    graph = lower(ad.make_graph(function)(*arguments).graph)
    return [s.source for s in cuda_plan(graph, accepts).stages if s.source is not None]


@cache
def sources_of_row(key):
    case = suite.find(key, "small", "cpu")
    engine = peers.Gpuad("cpu", 1)
    way = next(iter(engine.ways(case)))
    arguments, tangents = engine.operands(case, case.dtype)
    found = sources_of(engine.derivative(case, way), *arguments, *tangents)
    case.forget()
    return found


KEYS = [case.key for case in suite.cases(ROWS, "small", "cpu")]


@pytest.mark.parametrize("capability", CAPABILITIES, ids=["sm_80", "sm_90"])
@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_row_compiles_without_spills(key, capability):
    sources = sources_of_row(key)
    assert sources
    for source in sources:
        resources = binary(source.kernel, capability).resources
        assert resources.spills == 0
        assert resources.fit(source.layout.threads)
        assert resources.shared >= source.shared_bytes


@pytest.mark.parametrize("key", KEYS, ids="-".join)
def test_a_float32_kernel_has_no_float64(key):
    for source in sources_of_row(key):
        assert not instructions(source, r"\.f64")


def instructions(source, pattern):
    """The lines of PTX with an instruction that matches."""
    lines = [x.strip() for x in ptx_of(source.kernel).splitlines()]
    return [x for x in lines if re.search(pattern, x) and not x.startswith(".")]


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

"""How wide vectors are: by what a sweep waits for, the same values in either width."""

import re

import numpy as np
import pytest

import gpuad
from gpuad import compile as compile_
from gpuad.codegen.cpu import processor, sweeps, vector_width
from gpuad.executors.native import compile_cache, row_pipeline

pytest.importorskip("numba")

from gpuad.kernels import vecmath

from vecmath_reference import samples

wide_only = pytest.mark.skipif(
    not processor.has_avx512(), reason="this processor has no vectors of 512 bits"
)
TEXT = """\
def sweep(a0, o0, lo, hi):
    for i in range(lo, hi):
        o0[i] = exp(a0[i]) * a0[i]
"""
TYPES = ["read(f32)", "write(f32)", "int64", "int64"]


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path))
    compile_cache._compiled.cache_clear()
    gpuad.clear_cache()
    yield
    gpuad.clear_cache()


def registers(bits):
    sweep = compile_cache.load(TEXT, np.dtype(np.float32), TYPES, bits)
    (code,) = sweep.inspect_asm().values()
    return {name: len(re.findall(name, code)) for name in ("ymm", "zmm")}


@wide_only
def test_the_function_has_the_vectors_asked_for(fresh):
    wide, narrow = registers(512), registers(256)
    assert wide["zmm"] > 20 and wide["ymm"] < 10
    assert narrow["ymm"] > 20 and narrow["zmm"] == 0


def test_a_width_is_part_of_the_key(fresh):
    load = [
        compile_cache.load(TEXT, np.dtype(np.float32), TYPES, bits)
        for bits in (256, 512, None, 256)
    ]
    assert load[0] is load[3] and len(set(map(id, load))) == 3


VALUES = 300


@wide_only
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_vector_math_has_the_same_bits_in_either_width(dtype):
    """The accuracy tests run in the width that LLVM takes."""
    names = [name for name, f in vecmath.FUNCTIONS.items() if f.operands < 3]
    names = [name for name in names if not name.startswith(("is", "signbit"))]
    lines, columns = [], []
    for k, name in enumerate(names):
        operands = domain(name, dtype)
        reads = ", ".join(f"a0[{(2 * k + j) * VALUES} + i]" for j in range(len(operands)))
        lines += ["    for i in range(lo, hi):", f"        o0[{k * VALUES} + i] = {name}({reads})"]
        columns += [*operands, *[operands[0]] * (2 - len(operands))]
    text = "\n".join(["def sweep(a0, o0, lo, hi):", *lines, ""])
    kind = "f32" if dtype == np.float32 else "f64"
    types = [f"read({kind})", f"write({kind})", "int64", "int64"]
    found = []
    for bits in vector_width.NARROW, vector_width.WIDE:
        out = np.zeros((len(names), VALUES), dtype)
        sweep = compile_cache.load(text, np.dtype(dtype), types, bits)
        sweep(np.concatenate(columns), out.reshape(-1), 0, VALUES)
        found.append(out)
    for name, x, y in zip(names, *found, strict=True):
        assert x.tobytes() == y.tobytes(), name
        assert len(np.unique(x)) > 1, name


def domain(name, dtype):
    """Operands all over the domain of a function, edges among them."""
    rng = np.random.default_rng(0)
    operands = [rng.choice(x, VALUES) for x in samples(name, dtype, 4 * VALUES)]
    return [*operands, operands[0][::-1]][: vecmath.FUNCTIONS[name].operands]


def rosenbrock(x):
    head, tail = x[..., :-1], x[..., 1:]
    step, rest = tail - head * head, 1.0 - head
    return (100.0 * step * step + rest * rest).sum()


def product(x, v):
    return gpuad.hvp(rosenbrock, (x,), (v,))[0]


def hessians(x):
    return gpuad.vmap(gpuad.hessian(rosenbrock))(x)


def rows(n, d, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(n, d)).astype(dtype)


def bits_of(f, *args):
    jitted = gpuad.jit(f)
    jitted.explain(*args)
    (entry,) = jitted._entries.values()
    program = compile_.compiled(entry.recorded.graph, np, "auto")
    return [s.bits for s in program.sweeps if s is not None]


@pytest.mark.parametrize("n", [5_000, 100_000])
@pytest.mark.parametrize(
    ("f", "shapes", "bits"),
    [
        (lambda x: np.exp(np.sin(x)) * np.log1p(x * x), [(1,)], 512),
        (lambda x: np.tanh(np.sin(x).sum(1)), [(4,)], 512),
        (lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)), [(8,)], 256),
        (lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)), [(2,)], 512),
        (lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)), [(64,)], 512),
        (product, [(4,), (4,)], 256),
        (product, [(32,), (32,)], 512),
        (hessians, [(8,)], 256),
    ],
)
def test_arithmetic_takes_wide_vectors_and_rows_to_take_apart_narrow_ones(
    f, shapes, bits, n, monkeypatch
):
    monkeypatch.setattr(vector_width, "has_avx512", lambda: True)
    gpuad.clear_cache()
    arrays = [rows(n, *shape) for shape in shapes]
    assert bits_of(f, *[x[:, 0] if x.shape[1] == 1 else x for x in arrays]) == [bits]
    gpuad.clear_cache()


def test_where_there_is_no_choice_nothing_is_said(monkeypatch):
    monkeypatch.setattr(vector_width, "has_avx512", lambda: False)
    gpuad.clear_cache()
    assert bits_of(np.sin, rows(1000, 4)) == [None]
    gpuad.clear_cache()


@wide_only
@pytest.mark.parametrize("bits", [256, 512])
def test_the_same_bits_on_any_number_of_threads(bits, monkeypatch):
    monkeypatch.setattr(sweeps, "vector_bits", lambda *_: bits)
    gpuad.clear_cache()
    x, v = rows(150_000, 4), rows(150_000, 4)
    f = gpuad.jit(lambda x, v: (product(x, v), np.sum(np.tanh(x) * v, axis=0)))
    found = []
    for count in (1, 2, 5):
        monkeypatch.setenv("GPUAD_NUM_THREADS", str(count))
        monkeypatch.setattr(row_pipeline, "threads", lambda count=count: count)
        found.append([y.tobytes() for y in f(x, v)])
    assert found[0] == found[1] == found[2]
    gpuad.clear_cache()

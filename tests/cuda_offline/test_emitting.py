"""Kernels as gpuad emits them: each form of the language, beside Numba's own translation of it."""

import dataclasses

import numpy as np
import pytest
from gpuad.kernels.emitting_expressions import TextError

from emulator.device import Emulator
from gpuad.codegen.cuda import compilers, toolchain
from gpuad.codegen.cuda.source import KernelText
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
CAPABILITY = (9, 0)
FROM_PYTHON = dataclasses.replace(compilers.NUMBA_CUDA, function=compilers.as_python)

INTEGERS = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    i = t & 3
    out[t] = i64(i32(a[t]) << 2) + (t >> 1) * 3 - min(t, 5) + max(i, 2) + t // 3 + t % 3
    if t == 31:
        out[t] += -a[i] if x[0] > x[1] else ~a[i]
"""
BIG = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    big = (t + 2000000000) * 2 + a[t] * 4000000000
    out[t] = big ^ 1
"""
LOOPS = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    total = 0
    for i in range(t):
        total += a[i]
    for i in range(t, 32, 7):
        for j in (1, 10):
            total += a[i] * j
    first = t
    while first < 32:
        total += first
        first += t + 1
    out[t] = total
"""
FLOATS = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    y = x[t]
    z = f32(a[t]) / y if (y < f32(0)) | (not (y == y)) else -y
    live = y < 2 and y > -2 or y != y
    out[t] = i64(f64(z) * 1e3) if live else i64(fma_f32(y, y, z))
"""
SHARED = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    s = cuda.shared.array(64, f32)
    s[t] = x[t]
    s[t + 32] = x[31 - t]
    cuda.syncthreads()
    v1, v2 = load2(s, 2 * t)
    v3, v4, v5, v6 = load4(x, 4 * (t & 7))
    store2(s, 2 * t, v2, v1)
    cuda.syncwarp()
    v7 = cuda.shfl_xor_sync(-1, s[t], 4) + cuda.shfl_sync(-1, v3 - v4 * v5 + v6, i32(31 - t))
    part = s[32:]
    rest = part[4:]
    part[t] = v7 + s[t]
    cuda.syncthreads()
    out[t] = i64((v7 + rest[t % 28]) * f32(1000))
"""
BITS = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    y = f64(x[t]) * 1.1
    z = as_i64(from_halves(high_half(y), low_half(y)))
    out[t] = z + f32_as_bits(x[t]) - as_i64(as_f64(a[t]))
"""
OFFSETS = """\
def k(a, x, out):
    t = cuda.threadIdx.x
    s = cuda.shared.array(160, f32)
    for i in range(4):
        s[t + i * 32 + 32] = x[(t + 5 - 5) & 31] * f32(i + 1)
    s[t] = x[t]
    cuda.syncthreads()
    start = (t & 3) * 4 + (t >> 4) * 16
    v1, v2, v3, v4 = load4(s, start)
    w1, w2, w3, w4 = load4(s, 64 + start + 16 + 0)
    y1, y2, y3, y4 = load4(s, (start + 32) + 16)
    total = v1 * w4 + v2 * w3 + v3 * y2 + v4 * y1 + w1 + w2 + y3 + y4
    out[t + 1 - 1] = i64(total * f32(1000)) + a[(3 + (t & 7)) + 2] + a[2 + 4]
"""
TEXTS = {
    "integers": INTEGERS, "large integers": BIG, "loops": LOOPS, "floats": FLOATS,
    "shared memory": SHARED, "bits": BITS, "offsets": OFFSETS,
}  # fmt: skip


def result(monkeypatch, tmp_path, text, compiler):
    """What 32 threads leave in `out`, and the PTX."""
    monkeypatch.setattr(compilers, "chosen", lambda: compiler)
    emulator = Emulator(cache=tmp_path, patch=monkeypatch)
    rng = np.random.default_rng(5)
    a, x = rng.integers(-40, 40, 32), rng.standard_normal(32).astype(np.float32)
    arrays = emulator.arrays([a, x, np.zeros(32, np.int64)])
    kernel = KernelText("k", text, ("i64*", "f32*", "i64*"))
    emulator.device.ready(kernel)(1, 32, arrays)
    assert not emulator.findings
    return emulator.cupy.asnumpy(arrays[-1]), toolchain.compile_ptx(kernel, CAPABILITY)


@pytest.mark.parametrize("name", TEXTS)
def test_it_means_what_it_means_to_numba(monkeypatch, tmp_path, name):
    got, _ = result(monkeypatch, tmp_path / "own", TEXTS[name], compilers.NUMBA_CUDA)
    expected, _ = result(monkeypatch, tmp_path / "python", TEXTS[name], FROM_PYTHON)
    assert len(np.unique(expected)) > 8
    np.testing.assert_array_equal(got, expected)


def test_vectors_are_one_instruction(monkeypatch, tmp_path):
    _, ptx = result(monkeypatch, tmp_path, SHARED, compilers.NUMBA_CUDA)
    for instruction in ("ld.global.v4.f32", "ld.shared.v2.f32", "st.shared.v2.f32"):
        assert instruction in ptx


def test_indices_have_32_bits_where_that_is_enough(monkeypatch, tmp_path):
    _, ptx = result(monkeypatch, tmp_path, INTEGERS, compilers.NUMBA_CUDA)
    assert "div.s64" not in ptx and "rem.s64" not in ptx


def test_constants_of_an_index_are_part_of_the_load(monkeypatch, tmp_path):
    _, ptx = result(monkeypatch, tmp_path, OFFSETS, compilers.NUMBA_CUDA)
    loads = [line for line in ptx.split("\n") if "ld.shared.v4" in line]
    assert [line[line.index("[") :].count("+") for line in loads] == [0, 1, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("out[t] = unknown(t)", "no way to say 'unknown"),
        ("out[t] = a[t] // -3", "division of negative integers"),
        ("out[t] = cuda.clock(t)", "cuda.clock"),
        ("s = [1, 2]", "no way to say"),
        ("t += 1.5", "t changes its type"),
    ],
)
def test_what_the_language_does_not_have(line, message):
    text = f"def k(a, x, out):\n    t = cuda.threadIdx.x\n    {line}\n"
    with pytest.raises(TextError, match=message):
        toolchain.compile_ptx(KernelText("k", text, ("i64*", "f32*", "i64*")), CAPABILITY)

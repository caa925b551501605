"""The compilers of kernels: which is used, what it needs, and the results of both's kernels."""

import dataclasses
import importlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from emulator.checks import UNITS, use
from emulator.device import Emulator, host
from executors.kernel_programs import PROGRAMS, SETTINGS
from gpuad.codegen.cuda import compilers, toolchain
from gpuad.codegen.cuda.compilers import COMPILERS, MLIR, NUMBA_CUDA, VARIABLE
from gpuad.codegen.cuda.source import KernelText
from gpuad.errors import CompilerError
from gpuad.executors import reference
from gpuad.executors.cuda import compile_cache

CAPABILITY = (9, 0)
PACKAGES = [c.package for c in COMPILERS]

both = pytest.mark.parametrize("compiler", COMPILERS, ids=PACKAGES)


@pytest.fixture
def chosen(monkeypatch):
    """A function that chooses a compiler, as a user does."""
    for c in COMPILERS:
        pytest.importorskip(f"{c.module}.cuda", reason=f"{c.package} is not installed")

    def choose(compiler):
        monkeypatch.setenv(VARIABLE, compiler.package)

    return choose


# Which one


def test_the_first_that_is_installed(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert compilers.chosen(lambda package: True) is COMPILERS[0]
    for c in COMPILERS:
        assert compilers.chosen(lambda package, c=c: package == c.package) is c
    assert compilers.chosen(lambda package: False) is None


@both
def test_the_one_that_the_environment_names(monkeypatch, compiler):
    monkeypatch.setenv(VARIABLE, compiler.package)
    assert compilers.chosen(lambda package: True) is compiler
    with pytest.raises(CompilerError, match=rf"{compiler.package}, which is not installed.*unset"):
        compilers.chosen(lambda package: package != compiler.package)


def test_an_unknown_one(monkeypatch):
    monkeypatch.setenv(VARIABLE, "nvcc")
    with pytest.raises(CompilerError, match=r"GPUAD_CUDA_COMPILER=nvcc.*set it to numba-cuda or"):
        compilers.chosen()


def test_without_any(monkeypatch):
    monkeypatch.setattr(compilers, "chosen", lambda: None)
    assert not toolchain.available()
    with pytest.raises(CompilerError, match="`gpuad info` has the command"):
        toolchain.compile_kernel(copied("f32"), CAPABILITY)


# What it needs


def copied(kind):
    return KernelText("copied", "def copied(a, i):\n    a[i] = a[i + 1]\n", (f"{kind}*", "i64"))


def test_the_capability_is_not_remembered(chosen):
    chosen(MLIR)
    tools = importlib.import_module("numba_cuda_mlir.tools")
    before = tools._cached_cc
    assert ".target sm_90" in toolchain.compile_ptx(copied("f32"), (9, 0))
    assert ".target sm_80" in toolchain.compile_ptx(copied("f32"), (8, 0))
    assert tools._cached_cc is before


def test_a_version_that_remembers_none(chosen, monkeypatch):
    chosen(MLIR)
    monkeypatch.delattr("numba_cuda_mlir.tools._cached_cc")
    with pytest.raises(CompilerError, match=r"numba-cuda-mlir \d.*_cached_cc.*pip install"):
        toolchain.compile_ptx(copied("f32"), CAPABILITY)


def test_numpy_without_row_stack(chosen):
    """As of NumPy 2.5: numba-cuda finds the name, which is not left behind."""
    code = """
        import sys
        import numba.np.arrayobj  # Numba's own asks for NumPy's version
        import numpy as np
        vars(np).pop("row_stack", None)
        from gpuad.codegen.cuda.compilers import NUMBA_CUDA
        with NUMBA_CUDA.ready((9, 0)):
            print("numba.cuda.np.arrayobj" in sys.modules, "row_stack" in vars(np))
    """
    chosen(NUMBA_CUDA)
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_shared_memory_that_must_be_given_at_the_launch(chosen):
    """numba-cuda-mlir links what it compiles: such a kernel does not fit."""
    text = (
        "def k(a):\n"
        "    t = cuda.threadIdx.x\n"
        "    s = cuda.shared.array(20000, f32)\n"
        "    s[t * 600] = a[t]\n"
        "    cuda.syncthreads()\n"
        "    a[t] = s[600 * (31 - t)]\n"
    )
    kernel = KernelText("k", text, ("f32*",))
    chosen(NUMBA_CUDA)
    assert toolchain.compile_kernel(kernel, CAPABILITY).resources.given == 80000
    chosen(MLIR)
    with pytest.raises(toolchain.TooLarge, match="numba-cuda-mlir"):
        toolchain.compile_kernel(kernel, CAPABILITY)


# The kernels


def test_each_keeps_its_own_kernels(chosen, monkeypatch, tmp_path):
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path))
    kernel = copied("f64")
    for k, compiler in enumerate(COMPILERS, 1):
        chosen(compiler)
        assert compiler.package in toolchain.versions()
        compile_cache.load(kernel, CAPABILITY)
        assert compile_cache.kept_on_disk()[0] == k


def nan_kept(x, y):
    """What compares, which NaN makes false, except for what is unequal."""
    return x != y, gnp.isnan(x), gnp.maximum(x, y), gnp.fmin(x, y), x.astype(bool), gnp.sign(x)


def nan_in_lanes(x):
    return gnp.max(x, 1), gnp.min(x, 1), gnp.sum(x, 1)


def with_nan(*shape, dtype=np.float32):
    x = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    x.flat[::50] = np.nan
    x.flat[3::7] = 0
    return x


NAN = {
    "NaN": (nan_kept, (with_nan(70), with_nan(70)[::-1])),
    "NaN in lanes": (nan_in_lanes, (with_nan(20, 33),)),
    "NaN in lanes, float64": (nan_in_lanes, (with_nan(20, 33, dtype=float),)),
}
OF_EACH_FAMILY = [
    "sum",
    "rosenbrock",
    "extremes",
    "shifted",
    "block for a row",
    "scatter",
    "scatter of many",
    "softmax over many lanes",
]


FROM_PYTHON = dataclasses.replace(NUMBA_CUDA, function=compilers.as_python)
"""Numba's own translation of the text, which has the same meaning as what gpuad emits."""


@pytest.mark.parametrize("compiler", [*COMPILERS, FROM_PYTHON], ids=[*PACKAGES, "from Python"])
@pytest.mark.parametrize("name", [*OF_EACH_FAMILY, *NAN])
def test_results(chosen, monkeypatch, tmp_path, compiler, name):
    chosen(compiler)
    monkeypatch.setattr(compilers, "chosen", lambda: compiler)
    function, arguments, *_ = PROGRAMS.get(name) or NAN[name]
    graph = ad.make_graph(function)(*arguments).graph
    emulator = Emulator(cache=tmp_path, patch=monkeypatch)
    use(monkeypatch, SETTINGS[name][0] if name in SETTINGS else {})
    got = host(emulator.program(graph)(emulator.arrays(arguments)))
    assert not [x.report.findings for x in emulator.launches if x.report.findings]
    for x, y in zip(got, reference.run(graph, arguments, np), strict=True):
        assert x.dtype == y.dtype
        close(x, np.asarray(y))


def close(got, expected):
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
        return
    scale = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(got, expected, rtol=0, atol=UNITS * np.spacing(scale))

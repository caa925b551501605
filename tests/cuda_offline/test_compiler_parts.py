"""What gpuad takes of the compilers of kernels beyond their manuals, each part tried alone."""

import functools
import importlib
import importlib.util
import re
import sys
import threading
import time
import types

import pytest

from gpuad.codegen.cuda import compilers, toolchain
from gpuad.codegen.cuda.compilers import COMPILERS, MLIR, NUMBA_CUDA, VARIABLE
from gpuad.codegen.cuda.source import KernelText
from relied_on import one_line

CAPABILITY = (9, 0)
TEXT = """\
def k(a, t, x):
    s = cuda.shared.array(32, f32)
    s[t] = sin_f32(a[t])
    cuda.syncthreads()
    a[t] = s[31 - t] + f32(t // 5) + x
"""
KERNEL = KernelText("k", TEXT, ("f32*", "i64", "f32"))


def versions(compiler=NUMBA_CUDA, **_):
    return compiler.versions


def installed(compiler):
    """Skips a test if this compiler is not installed."""
    pytest.importorskip(f"{compiler.module}.cuda", reason=f"{compiler.package} is not installed")


both = pytest.mark.parametrize("compiler", COMPILERS, ids=[c.package for c in COMPILERS])


@functools.cache
def compiled(compiler, time):
    """The PTX that a compiler makes of the kernel, for the first or the second time."""
    installed(compiler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, compiler.package)
        return toolchain.compile_ptx(KERNEL, CAPABILITY)


@pytest.fixture(autouse=True, scope="module")
def warm():
    """Compilers take seconds to start."""
    for compiler in COMPILERS:
        if compilers._installed(compiler.package):
            compiled(compiler, 1)


@both
@one_line(toolchain._signature, versions)
def test_parameters_are_as_in_the_text(compiler):
    assert re.findall(r"\.param \.(\w+) ", compiled(compiler, 1)) == ["u64", "u64", "f32"]


@both
@one_line(compilers.with_stable_names, versions)
def test_names_are_the_same_each_time(compiler):
    ptx = compiled(compiler, 1)
    assert ".entry k(" in ptx
    assert "shared_" in ptx, "shared memory has another name"
    assert ptx == compiled(compiler, 2), "a name has a counter in it"


@both
@one_line(toolchain.without_double_reduction, versions)
def test_a_large_angle_is_found(compiler):
    assert "0f1FC90FDB" in compiled(compiler, 1), "libdevice does something else with large angles"


@one_line(compilers._without_row_stack, versions)
def test_row_stack_is_named_as_the_module_is_loaded():
    installed(NUMBA_CUDA)
    spec = importlib.util.find_spec(compilers._ARRAYS)
    if spec is None:
        pytest.skip(f"{versions()} has no {compilers._ARRAYS}")
    code = spec.loader.get_code(spec.name)
    inside = [x.co_names for x in code.co_consts if isinstance(x, types.CodeType)]
    assert all("row_stack" not in names for names in inside), "a function in it names row_stack"


def test_a_module_is_imported_with_another_name(tmp_path, monkeypatch):
    (tmp_path / "renamed").mkdir()
    (tmp_path / "renamed" / "__init__.py").write_text("")
    (tmp_path / "renamed" / "of_numpy.py").write_text(
        "import numpy as np\nfound = np.row_stack_x\ndef f():\n    return found"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "renamed.of_numpy"
    with pytest.raises(AttributeError):
        compilers._import_renamed(name, "row_stack_x", "row_stack_y")
    assert name not in sys.modules
    compilers._import_renamed(name, "row_stack_x", "vstack")
    renamed = importlib.import_module("renamed")
    assert renamed.of_numpy is importlib.import_module(name)
    assert renamed.of_numpy.f().__name__ == "vstack"
    for loaded in (name, "renamed"):
        monkeypatch.delitem(sys.modules, loaded)
    compilers._import_renamed("renamed.missing", "a", "b")


def of_mlir(**_):
    return MLIR.versions


@pytest.fixture
def tools():
    installed(MLIR)
    return importlib.import_module("numba_cuda_mlir.tools")


@one_line(compilers._with_capability, of_mlir)
def test_the_capability_is_remembered(tools):
    before = tools._cached_cc
    with MLIR.ready((7, 5)):
        assert tools.get_gpu_compute_capability(tuple) == (7, 5)
    assert tools._cached_cc is before


def test_threads_take_turns_with_the_capability(tools):
    before, seen = tools._cached_cc, []

    def enter(capability):
        with MLIR.ready(capability):
            time.sleep(0.02)
            seen.append(tools._cached_cc == capability)

    threads = [threading.Thread(target=enter, args=((8, k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4
    assert tools._cached_cc is before

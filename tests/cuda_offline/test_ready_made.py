"""Ready-made kernels: found by their text and the GPU alone, with no compiler and only read."""

import pytest

from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from gpuad.executors import disk_cache
from gpuad.executors.cuda import compile_cache, executor

TEXT = KernelText(
    "sweep",
    "def sweep(a0, n):\n    i = cuda.threadIdx.x\n    if i < n:\n        a0[i] = sin_f32(a0[i])\n",
    ("f32*", "i64"),
)
CAPABILITY = (9, 0)


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A folder with the kernel, and a process without a compiler that looks there."""
    folder = tmp_path / "ready"
    binary = toolchain.compile_kernel(TEXT, CAPABILITY)
    compile_cache.put(TEXT, CAPABILITY, binary, folder)
    monkeypatch.setenv("GPUAD_KERNELS", str(folder))
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(disk_cache, "_warned", set())
    monkeypatch.setattr(toolchain, "available", lambda: False)
    compile_cache._binary.cache_clear()
    yield folder, binary
    compile_cache._binary.cache_clear()


def compiles(monkeypatch):
    """With a compiler again, of other versions than before; what is compiled, in order."""
    found = []
    binary = toolchain.Binary(b"\x7fELF", toolchain.Resources(1, 0, 0, 0))
    monkeypatch.setattr(toolchain, "available", lambda: True)
    monkeypatch.setattr(toolchain, "versions", lambda: "another compiler")
    monkeypatch.setattr(toolchain, "compile_kernel", lambda *a: found.append(a) or binary)
    return found


def test_no_compiler_is_needed(ready, tmp_path):
    _, binary = ready
    assert compile_cache.load(TEXT, CAPABILITY) == binary
    assert executor.available()
    assert not (tmp_path / "cache").exists()


def test_the_compilers_versions_do_not_matter(ready, monkeypatch):
    found = compiles(monkeypatch)
    assert compile_cache.load(TEXT, CAPABILITY) == ready[1]
    assert not found


def test_another_gpu_has_kernels_of_its_own(ready, monkeypatch):
    found = compiles(monkeypatch)
    assert compile_cache.load(TEXT, (8, 0)).cubin == b"\x7fELF"
    assert found == [(TEXT, (8, 0))]


def test_a_damaged_one_is_compiled_and_the_folder_is_left_as_it_was(ready, monkeypatch):
    folder, _ = ready
    found = compiles(monkeypatch)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    compile_cache.load(TEXT, CAPABILITY)
    assert len(found) == 1
    assert path.read_bytes() == before
    assert list(folder.iterdir()) == [path]


def test_one_that_is_missing_is_named_where_nothing_can_compile_it(ready):
    other = KernelText("sweep", TEXT.text.replace("sin", "cos"), TEXT.types)
    missing = rf"{other.digest[:8]}.* is missing.*the compiler that would make it"
    with pytest.raises(toolchain.CompilerError, match=missing):
        compile_cache.load(other, CAPABILITY)


def test_without_a_folder_there_are_none(monkeypatch):
    monkeypatch.delenv("GPUAD_KERNELS", raising=False)
    monkeypatch.setattr(toolchain, "available", lambda: False)
    assert compile_cache.ready_made() is None
    assert not executor.available()

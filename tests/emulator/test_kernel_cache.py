"""Kernels of the tests on disk: compiled once, again where a file is damaged."""

import pytest

from compiled_kernels import KernelCache
from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from needing import NEEDS_COMPILER

pytestmark = NEEDS_COMPILER
KERNEL = KernelText("k", "def k(a0):\n    a0[0] = 1.0\n", ("f32*",))


@pytest.fixture
def compiled(monkeypatch):
    """What is compiled, in order."""
    found = []

    def compile_ptx(kernel, capability):
        found.append(kernel)
        return f"PTX of {kernel.name}"

    monkeypatch.setattr(toolchain, "compile_ptx", compile_ptx)
    return found


def test_a_second_process_compiles_nothing(tmp_path, compiled):
    assert KernelCache(tmp_path).ptx(KERNEL) == KernelCache(tmp_path).ptx(KERNEL) == "PTX of k"
    assert len(compiled) == 1
    assert len(list(tmp_path.glob("*.kernel"))) == 1


def test_another_version_has_its_own(tmp_path, compiled, monkeypatch):
    KernelCache(tmp_path).ptx(KERNEL)
    monkeypatch.setattr(toolchain, "versions", lambda: "another one")
    KernelCache(tmp_path).ptx(KERNEL)
    assert len(compiled) == 2


@pytest.mark.parametrize("damage", [lambda x: b"", lambda x: x[:-1], lambda x: x + b"\xff"])
def test_a_damaged_file_is_made_again(tmp_path, compiled, damage):
    KernelCache(tmp_path).ptx(KERNEL)
    (path,) = tmp_path.glob("*.kernel")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert KernelCache(tmp_path).ptx(KERNEL) == "PTX of k"
    assert path.read_bytes() == whole
    assert len(compiled) == 2


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path, compiled, capsys):
    (tmp_path / "file").write_text("in the way")
    cache = KernelCache(tmp_path / "file" / "cache")
    assert cache.ptx(KERNEL) == cache.ptx(KERNEL) == "PTX of k"
    assert len(compiled) == 1
    assert "cannot be kept" in capsys.readouterr().err

"""The compiler of kernels, and its files: used again, and harmless when damaged or read-only."""

import os
import subprocess
import sys
import textwrap
import warnings

import pytest

from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from gpuad.errors import CacheWarning, CompilerError
from gpuad.executors import disk_cache
from gpuad.executors.cuda import compile_cache

TEXT = KernelText(
    "sweep",
    "def sweep(a0, n):\n    i = cuda.threadIdx.x\n    if i < n:\n        a0[i] = exp_f32(a0[i])\n",
    ("f32*", "i64"),
)
CAPABILITY = (9, 0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(disk_cache, "_warned", set())
    compile_cache._binary.cache_clear()
    yield tmp_path
    compile_cache._binary.cache_clear()


@pytest.fixture
def compiled(monkeypatch):
    """The kernels that are compiled, in order."""
    found = []
    original = toolchain.compile_kernel

    def count(kernel, capability):
        found.append((kernel, capability))
        return original(kernel, capability)

    monkeypatch.setattr(toolchain, "compile_kernel", count)
    return found


def load(capability=CAPABILITY):
    """The kernel, as a process that has not seen it loads it."""
    compile_cache._binary.cache_clear()
    return compile_cache.load(TEXT, capability)


def kernels(folder):
    return list(folder.glob(f"*{disk_cache.KERNEL}"))


def test_machine_code_and_a_report():
    binary = toolchain.compile_kernel(TEXT, CAPABILITY)
    assert binary.cubin[:4] == b"\x7fELF"
    assert TEXT.name.encode() in binary.cubin
    assert toolchain.compile_kernel(TEXT, CAPABILITY) == binary
    assert 0 < binary.resources.registers < 64
    assert binary.resources.spills == 0


def ptx(body, parameters="", shared=()):
    arrays = [f".shared .align 4 .b8 s{k}[{size}];" for k, size in enumerate(shared)]
    head = [".version 8.0", ".target sm_90", ".address_size 64", *arrays]
    return "\n".join([*head, f".visible .entry k({parameters}) {{", body, "ret;", "}"]) + "\n"


BOTH_ARRAYS = ".reg .f32 %f<2>;\nld.shared.f32 %f1, [s0];\nst.shared.f32 [s1], %f1;"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ptx(BOTH_ARRAYS, shared=(60000, 60000)), toolchain.TooLarge),
        (ptx("", ", ".join(f".param .u64 p{k}" for k in range(5000))), toolchain.TooLarge),
        (ptx("no.instruction %x;"), CompilerError),
    ],
    ids=["shared memory", "parameters", "wrong"],
)
def test_what_needs_too_much_is_told_from_what_is_wrong(text, kind):
    with pytest.raises(CompilerError, match="linker refused a kernel") as error:
        toolchain.link(text, CAPABILITY)
    assert error.type is kind


def test_the_second_process_compiles_nothing(folder, compiled):
    first = load()
    assert load() == first
    assert len(compiled) == 1
    assert len(kernels(folder)) == 1 and not list(folder.glob("*.tmp"))


def test_a_write_holds_the_limit_and_reading_is_a_use(folder, monkeypatch):
    load((8, 0))
    (first,) = kernels(folder)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    monkeypatch.setenv("GPUAD_CACHE_BYTES", "1")
    load((8, 0))
    load((9, 0))
    assert first in kernels(folder)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    load((8, 6))
    assert len(kernels(folder)) == 1


def test_each_capability_has_its_own(folder, compiled):
    assert load((8, 0)).cubin != load((9, 0)).cubin
    assert compile_cache.kept_on_disk()[0] == 2


@pytest.mark.parametrize("damage", [lambda x: b"", lambda x: x[:-1], lambda x: x[:-9] + b"\0" * 9])
def test_a_damaged_file_is_made_again(folder, compiled, damage):
    first = load()
    (path,) = kernels(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert load() == first
    assert path.read_bytes() == whole
    assert len(compiled) == 2


def test_a_folder_that_cannot_be_written_is_warned_of_once(tmp_path, monkeypatch, folder):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(blocked / "cache"))
    with pytest.warns(CacheWarning, match="GPUAD_CACHE_DIR"):
        load()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load()


def test_processes_share_the_folder(folder):
    code = textwrap.dedent(
        f"""
        from gpuad.executors.cuda import compile_cache
        from gpuad.codegen.cuda.source import KernelText
        text = KernelText({TEXT.name!r}, {TEXT.text!r}, {TEXT.types!r})
        print(compile_cache.load(text, {CAPABILITY!r}).resources.registers)
        """
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = {p.communicate()[0] for p in running}
    assert all(p.returncode == 0 for p in running)
    assert len(outputs) == 1
    assert compile_cache.kept_on_disk()[0] == 1


def test_a_text_that_is_wrong_is_refused():
    wrong = KernelText("sweep", "def sweep(n):\n    undefined(n)\n", ("i64",))
    with pytest.raises(Exception, match="undefined"):
        toolchain.compile_kernel(wrong, CAPABILITY)


def test_a_numpy_that_the_compiler_does_not_work_with(folder, monkeypatch):
    def fails(*args, **options):
        raise AttributeError("module 'numpy' has no attribute 'row_stack'")

    monkeypatch.setattr(toolchain.compiler().cuda, "compile", fails)
    with pytest.raises(CompilerError, match=r"does not work with NumPy.*another compiler"):
        toolchain.compile_kernel(TEXT, CAPABILITY)


def test_the_largest_of_many_shared_arrays_is_given_at_the_launch():
    text = KernelText(
        "sweep",
        "def sweep(a0, n):\n"
        "    t = cuda.threadIdx.x\n"
        "    s = cuda.shared.array(256, f32)\n"
        "    large = cuda.shared.array(50000, f32)\n"
        "    s[t] = a0[t]\n"
        "    large[t * n] = a0[t]\n"
        "    cuda.syncthreads()\n"
        "    a0[t] = s[255 - t] + large[(255 - t) * n]\n",
        ("f32*", "i64"),
    )
    resources = toolchain.compile_kernel(text, CAPABILITY).resources
    assert resources.given == 200_000
    assert resources.shared < 48 * 1024
    assert resources.fit(256, 227 * 1024)
    assert not resources.fit(256, 200_000)
    assert toolchain.compile_kernel(TEXT, CAPABILITY).resources.given == 0

"""The disk cache of compiled sweeps: used again, and harmless when damaged, full or read-only."""

import os
import resource
import subprocess
import sys
import textwrap
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from gpuad.errors import CacheWarning, CompilerError
from gpuad.executors import disk_cache
from gpuad.executors.native import compile_cache

pytest.importorskip("numba")

TEXT = """\
def sweep(a0, o0, lo, hi):
    for i in range(lo, hi):
        o0[i] = maximum(a0[i], f64(0)) * f64(3)
"""
TYPES = ["read(f64)", "write(f64)", "int64", "int64"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(disk_cache, "_warned", set())
    return tmp_path


def load():
    """The sweep, as a process that has not seen it loads it."""
    compile_cache._compiled.cache_clear()
    return compile_cache.load(TEXT, np.dtype(np.float64), TYPES)


def is_right(sweep):
    out = np.zeros(3)
    sweep(np.array([1.0, -1.0, 2.0]), out, 0, 3)
    return out.tolist() == [3.0, 0.0, 6.0]


def from_disk(sweep):
    return sum(sweep.stats.cache_hits.values()) == 1


def files(folder, suffix):
    return sorted(folder.rglob(f"*{suffix}"))


def assert_works_with_a_warning():
    with pytest.warns(CacheWarning, match="GPUAD_CACHE_DIR"):
        sweep = load()
    assert is_right(sweep)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_right(load())


def test_the_second_process_compiles_nothing(folder):
    first = load()
    assert is_right(first) and not from_disk(first)
    second = load()
    assert is_right(second) and from_disk(second)
    assert not files(folder, ".tmp")
    assert "def sweep" in files(folder, "sweep.py")[0].read_text()


def test_a_second_plan_shares_the_function(folder):
    assert load() is compile_cache.load(TEXT, np.dtype(np.float64), TYPES)


def test_other_functions_for_other_dtypes(folder):
    text = TEXT.replace("maximum(a0[i], f64(0)) * f64(3)", "exp_f32(a0[i])")
    sweep = compile_cache.load(text, np.dtype(np.float64), ["read(f32)", "write(f32)", *TYPES[2:]])
    x, out = np.float32([0, 1, 2]), np.zeros(3, np.float32)
    sweep(x, out, 0, 3)
    np.testing.assert_allclose(out, np.exp(x), rtol=1e-6)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def change(path):
    content = bytearray(path.read_bytes())
    for i in range(len(content) // 3, len(content), 97):
        content[i] ^= 0x55
    path.write_bytes(bytes(content))


def fill_with_garbage(path):
    path.write_bytes(b"\xff\xfe garbage (")


@pytest.mark.parametrize("damage", [cut, empty, change, fill_with_garbage])
@pytest.mark.parametrize("suffix", [".nbc", ".nbi", "sweep.py", "checksums"])
def test_a_damaged_file_is_made_again(folder, suffix, damage):
    load()
    for path in files(folder, suffix):
        damage(path)
    mended = load()
    assert is_right(mended) and from_disk(mended) == (suffix == "sweep.py")
    again = load()
    assert is_right(again) and from_disk(again)


@pytest.mark.parametrize("suffix", [".nbc", ".nbi", "sweep.py", "checksums"])
def test_a_missing_file_is_made_again(folder, suffix):
    load()
    for path in files(folder, suffix):
        path.unlink()
    assert is_right(load())
    assert from_disk(load())


def test_a_folder_that_cannot_be_made(folder, monkeypatch):
    monkeypatch.setenv("GPUAD_CACHE_DIR", "/dev/null/gpuad")
    assert_works_with_a_warning()


def test_a_folder_where_a_file_should_be(folder):
    load()
    path = files(folder, "sweep.py")[0]
    path.unlink()
    path.mkdir()
    assert_works_with_a_warning()


def test_a_missing_folder_is_made(folder, monkeypatch):
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(folder / "not" / "yet"))
    assert is_right(load())
    assert from_disk(load())


@contextmanager
def full_disk(bytes_left):
    """No file can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("bytes_left", [0, 3000])
def test_a_full_disk(folder, bytes_left):
    with full_disk(bytes_left):
        assert_works_with_a_warning()
    assert not files(folder, ".tmp")
    assert is_right(load())
    assert from_disk(load())


READ_ONLY = """
    import warnings
    import numpy as np
    from gpuad.errors import CacheWarning, CompilerError
    from gpuad.executors.native import compile_cache
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sweep = compile_cache.load(%r, np.dtype(np.float64), %r)
    out = np.zeros(3)
    sweep(np.array([1.0, -1.0, 2.0]), out, 0, 3)
    print(out.tolist(), [w.category.__name__ for w in caught if w.category is CacheWarning])
"""


# Makes permissions hold for root too: CAP_DAC_OVERRIDE is dropped for what is executed next. (Not
# with preexec_fn, which forks, and a test before this one may have started JAX's threads.)
WITHOUT_PRIVILEGE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


@pytest.mark.parametrize("filled", [False, True])
def test_a_read_only_folder(folder, filled):
    if filled:
        load()
    before = files(folder, "")
    folders = [folder, *[p for p in before if p.is_dir()]]
    for path in folders:
        path.chmod(0o555)
    code = textwrap.dedent(READ_ONLY % (TEXT, TYPES))
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_PRIVILEGE, code], capture_output=True, text=True,
        timeout=120, env={**os.environ, **home},
    )  # fmt: skip
    for path in folders:
        path.chmod(0o755)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "[3.0, 0.0, 6.0] ['CacheWarning']\n"
    assert files(folder, "") == before


TWO_AT_ONCE = """
    import os, sys, time
    import numpy as np
    from gpuad.executors.native import compile_cache
    sys.stdin.readline()
    import warnings
    warnings.simplefilter("error")
    for k in range(3):
        text = %r.replace("f64(3)", f"f64({3 + k})")
        sweep = compile_cache.load(text, np.dtype(np.float64), %r)
        out = np.zeros(2)
        sweep(np.array([1.0, -1.0]), out, 0, 2)
        assert out.tolist() == [3.0 + k, 0.0]
"""


def test_two_processes_at_once(folder):
    code = textwrap.dedent(TWO_AT_ONCE % (TEXT, TYPES))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert is_right(load())


def test_a_fault_in_the_source_is_raised(folder):
    compile_cache._compiled.cache_clear()
    with pytest.raises(CompilerError, match="unknown_function"):
        compile_cache.load(TEXT.replace("maximum", "unknown_function"), np.dtype(np.float64), TYPES)


def test_text_that_cannot_be_compiled_says_what_else_to_do(folder):
    with pytest.raises(CompilerError, match=r"'unknown' where it is not known") as caught:
        compile_cache.load(TEXT.replace("maximum", "unknown"), np.dtype(np.float64), TYPES)
    assert 'executor="reference"' in str(caught.value)


@pytest.mark.parametrize("line", ["while n:\n        pass", "raise a0[0]", "x = [n]"])
def test_text_that_the_emitter_has_no_form_for(folder, line):
    text = f"def sweep(a0, o0, n):\n    {line}\n"
    with pytest.raises(CompilerError, match="no way to say") as caught:
        compile_cache.load(text, np.dtype(np.float64), [*TYPES[:2], "int64"])
    assert 'executor="reference"' in str(caught.value)

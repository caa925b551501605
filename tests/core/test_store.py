"""The disk cache of compiled sweeps: used again, and harmless when damaged, full or read-only."""

import os
import resource
import subprocess
import sys
import textwrap
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from gpuad.errors import ArgumentError, CacheWarning, CompilerError
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
    assert is_right(mended)
    if suffix != "sweep.py":  # its machine code is right, though an older Numba makes it again
        assert not from_disk(mended)
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
    from gpuad.errors import ArgumentError, CacheWarning, CompilerError
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


def run_in_two_processes(code):
    """The code waits for a line, after which both go on at once; neither may fail."""
    code = textwrap.dedent(code)
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


def test_two_processes_at_once(folder):
    run_in_two_processes(TWO_AT_ONCE % (TEXT, TYPES))
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


# The limit


LONG_AGO = time.time() - 1e5


def kernel(folder, k, size=1000, seconds=0):
    """A kernel's file, used so many seconds after long ago."""
    path = folder / f"{k:032x}{disk_cache.KERNEL}"
    path.write_bytes(b"x" * size)
    os.utime(path, (LONG_AGO + seconds,) * 2)
    return path


def look(folder, most, monkeypatch):
    """Holds the folder under so many bytes, as if nobody had looked for a while."""
    monkeypatch.setenv("GPUAD_CACHE_BYTES", str(most))
    (folder / disk_cache.CHECKED).unlink(missing_ok=True)
    disk_cache.hold_limit(folder)


def test_what_was_used_least_recently_goes(folder, monkeypatch):
    paths = [kernel(folder, k, seconds=-k % 5) for k in range(5)]  # the first, then the last
    look(folder, 5000, monkeypatch)
    assert all(p.exists() for p in paths)
    look(folder, 2999, monkeypatch)
    assert [p.exists() for p in paths] == [False, True, True, False, False]


def test_what_is_in_use_stays(folder, monkeypatch):
    path = kernel(folder, 1)
    disk_cache.note_use(path)
    look(folder, 1, monkeypatch)
    assert path.exists()


def test_zero_is_no_limit(folder, monkeypatch):
    path = kernel(folder, 1)
    look(folder, 0, monkeypatch)
    assert path.exists()


def test_the_size_is_looked_at_rarely(folder, monkeypatch):
    look(folder, 500, monkeypatch)
    path = kernel(folder, 1)
    disk_cache.hold_limit(folder)
    assert path.exists()
    os.utime(folder / disk_cache.CHECKED, (LONG_AGO,) * 2)
    disk_cache.hold_limit(folder)
    assert not path.exists()


def test_a_limit_that_is_no_number(folder, monkeypatch):
    monkeypatch.setenv("GPUAD_CACHE_BYTES", "1GB")
    with pytest.raises(ArgumentError, match=r"GPUAD_CACHE_BYTES=.*number of bytes"):
        load()


def grow_old(folder):
    for path in folder.iterdir():
        os.utime(path, (LONG_AGO,) * 2)


def test_a_sweep_goes_whole_and_is_made_again(folder, monkeypatch):
    load()
    grow_old(folder)
    look(folder, 1, monkeypatch)
    assert [p.name for p in folder.iterdir()] == [disk_cache.CHECKED]
    sweep = load()
    assert is_right(sweep) and not from_disk(sweep)


def test_reading_a_sweep_is_a_use(folder, monkeypatch):
    load()
    grow_old(folder)
    assert from_disk(load())
    look(folder, 1, monkeypatch)
    assert from_disk(load())


def test_a_write_holds_the_limit(folder, monkeypatch):
    monkeypatch.setenv("GPUAD_CACHE_BYTES", "1")
    path = kernel(folder, 1)
    load()
    assert not path.exists()
    assert from_disk(load())


def test_a_file_that_was_never_finished_goes(folder, monkeypatch):
    path = folder / "gpuad-a1b2c3.tmp"
    path.write_bytes(b"x" * 1000)
    os.utime(path, (LONG_AGO,) * 2)
    look(folder, 1, monkeypatch)
    assert not path.exists()


def test_what_is_somebody_elses_stays(folder, monkeypatch):
    load()
    (mine,) = [p for p in folder.iterdir() if p.is_dir()]
    name = "0af" * 10 + "ab"
    (folder / name).mkdir()
    others = [
        folder / "notes.kernel",
        folder / name.replace("0", "1"),
        folder / f"{name}-1234abcd-sm_90{disk_cache.KERNEL}",
        folder / "tmpabcd.tmp",
        folder / name / "sweep.py",
        mine / "notes",
        mine / "__pycache__" / "notes",
    ]
    for path in others:
        path.write_bytes(b"x" * 1000)
    grow_old(folder)
    look(folder, 1, monkeypatch)
    assert all(p.exists() for p in others)
    assert not files(folder, ".nbc") and not (mine / "sweep.py").exists()


def test_an_entry_that_goes_while_it_is_read_is_made_again(folder, monkeypatch):
    load()
    load_module, gone = compile_cache._module, []

    def go_first(path):
        if not gone:
            disk_cache._remove(path.parent)
            gone.append(path.exists())
        return load_module(path)

    monkeypatch.setattr(compile_cache, "_module", go_first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_right(load())
    assert gone == [False]


HOLDING = """
    import sys
    from gpuad.executors import disk_cache
    sys.stdin.readline()
    disk_cache.RECENT = 50000
    folder = disk_cache.cache_folder()
    for _ in range(30):
        (folder / disk_cache.CHECKED).unlink(missing_ok=True)
        disk_cache.hold_limit(folder)
"""


def test_processes_that_hold_the_limit_at_once(folder, monkeypatch):
    old = [kernel(folder, k, seconds=k % 50) for k in range(200)]
    new = [kernel(folder, k, seconds=9e4) for k in range(200, 300)]
    monkeypatch.setenv("GPUAD_CACHE_BYTES", "200000")
    run_in_two_processes(HOLDING)
    assert all(p.exists() for p in new)
    assert sum(p.exists() for p in old) == 100

"""A cache folder that cannot be written: everything runs from memory, after one warning."""

import warnings

import numpy as np
import pytest

import gpuad as ad
from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from gpuad.errors import CacheWarning
from gpuad.executors import disk_cache
from gpuad.executors.cuda import compile_cache as kernels
from gpuad.executors.native import compile_cache

pytest.importorskip("numba")


@pytest.fixture
def blocked(tmp_path, monkeypatch):
    """A folder that nobody can make, root included: a file is in its place."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(disk_cache, "_warned", set())
    for cached in (kernels._binary, compile_cache._compiled):
        cached.cache_clear()
    ad.clear_cache()
    yield tmp_path / "file" / "cache"
    kernels._binary.cache_clear()


def test_sweeps_and_kernels_share_one_warning(blocked):
    x = np.linspace(0, 1, 1000)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for k in range(2):
            f = ad.jit(lambda x, k=k: np.sin(x) * np.exp(x) + k)
            np.testing.assert_allclose(f(x), np.sin(x) * np.exp(x) + k)
        if toolchain.available():
            for k in range(2):
                text = f"def sweep(a0, n):\n    a0[n] = f32({k})\n"
                kernel = KernelText("sweep", text, ("f32*", "i64"))
                assert kernels.load(kernel, (9, 0)).cubin[:4] == b"\x7fELF"
    (warning,) = [w for w in found if w.category is CacheWarning]
    assert f"cannot be kept in {blocked}" in str(warning.message)
    assert "Set GPUAD_CACHE_DIR" in str(warning.message)
    assert kernels.kept_on_disk() == (0, 0)

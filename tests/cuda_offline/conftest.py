"""Kernels compiled without a GPU or a driver: only where the CUDA compiler is installed."""

import pytest

from gpuad.executors.cuda import toolchain

REASON = "no CUDA compiler is installed: pip install gpuad[cuda13]"


def pytest_collection_modifyitems(items):
    if not toolchain.available():
        for item in items:
            if "cuda_offline" in str(item.path):
                item.add_marker(pytest.mark.skip(reason=REASON))

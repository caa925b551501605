"""Kernels compiled without a GPU or a driver: only where the CUDA compiler is installed."""

from needing import NEEDS_COMPILER


def pytest_collection_modifyitems(items):
    for item in items:
        if "cuda_offline" in str(item.path):
            item.add_marker(NEEDS_COMPILER)

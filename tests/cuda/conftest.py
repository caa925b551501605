"""What needs a GPU: skipped without one, with the reason.

Runs with pytest alone, without the network: ``python -m pytest -o addopts=--import-mode=importlib
tests/cuda``.
"""

import sys
from pathlib import Path

import pytest

from gpuad import info
from gpuad.executors.cuda import executor

TESTS = Path(__file__).parents[1]
sys.path += [str(p) for p in (TESTS.parent, TESTS) if str(p) not in sys.path]


def reason():
    """Why these tests cannot run here, or nothing."""
    fault, command = info.gpu_fault(info.read_driver(), info.installed_cupys())
    if fault:
        return f"{fault}; {command}" if command else fault
    if not executor.available():
        return "the CUDA compiler or its linker is not installed, and no kernels are ready-made"
    return ""


def pytest_collection_modifyitems(items):
    why = reason()
    for item in items:
        if why and "tests/cuda/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy")

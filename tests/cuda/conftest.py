"""What needs a GPU: skipped without one, with the reason.

Runs with pytest alone, without the network: ``python -m pytest -o addopts=--import-mode=importlib
tests/cuda``.
"""

import sys
from pathlib import Path

import pytest

from gpuad import info

TESTS = Path(__file__).parents[1]
sys.path += [str(p) for p in (TESTS.parent, TESTS) if str(p) not in sys.path]


def reason():
    """Why these tests cannot run here, or nothing."""
    fault, command = info.gpu_fault(info.read_driver(), info.installed_cupys())
    if fault:
        return f"{fault}; {command}" if command else fault
    if not info.version("numba-cuda") or info.linker_version() is None:
        return "numba-cuda or its linker is not installed"
    return ""


def pytest_collection_modifyitems(items):
    why = reason()
    for item in items:
        if why and "tests/cuda/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy")

"""What needs a GPU: skipped without one, with the reason."""

import pytest

from gpuad import info


def reason():
    """Why these tests cannot run here, or nothing."""
    driver = info.read_driver()
    cupys = [name for name in info.CUPY_PACKAGES if info.version(name)]
    fault, command = info.gpu_fault(driver, cupys)
    if fault:
        return f"{fault}; {command}" if command else fault
    return "" if info.version("numba-cuda") else "numba-cuda is not installed"


def pytest_collection_modifyitems(items):
    why = reason()
    for item in items:
        if why and "tests/cuda/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason=why))

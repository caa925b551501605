import pytest

from emulator.device import Emulator


@pytest.fixture
def emulator(monkeypatch):
    """A pretended GPU that runs kernels, in CuPy's place."""
    return Emulator(patch=monkeypatch)

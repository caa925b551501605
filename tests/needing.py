"""Marks of tests that need more than a CPU."""

import pytest

from gpuad.codegen.cuda import toolchain

NEEDS_COMPILER = pytest.mark.skipif(
    not toolchain.available(), reason="no CUDA compiler is installed: pip install gpuad[cuda13]"
)

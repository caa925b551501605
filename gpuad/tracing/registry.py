"""Which gpuad function answers for which operator, NumPy function or CuPy kernel.

`gpuad.numpy` fills these tables; Tracers and DualArrays read them.
"""

from collections.abc import Callable
from typing import Any

OPERATIONS: dict[str, Callable[..., Any]] = {}
"""gpuad.numpy's functions by name."""

NUMPY: dict[Any, Callable[..., Any]] = {}
"""NumPy functions and ufuncs to gpuad.numpy's."""

CUPY: dict[str, Callable[..., Any]] = {}
"""Names of CuPy kernels (``cupy_sin``) to gpuad.numpy's functions."""


def operation(name: str) -> Callable[..., Any]:
    return OPERATIONS[name]

"""Which gpuad function is called for which operator, NumPy function or CuPy kernel.

`gpuad.numpy` fills these tables; Tracers and DualArrays read them.
"""

import sys
from collections.abc import Callable
from typing import Any

OPERATIONS: dict[str, Callable[..., Any]] = {}
"""gpuad.numpy's functions by name."""

NUMPY: dict[Any, Callable[..., Any]] = {}
"""NumPy functions and ufuncs to gpuad.numpy's."""

SPECIAL: dict[str, Callable[..., Any]] = {}
"""Names of ufuncs of `scipy.special`, which is not imported here, to gpuad.numpy's functions."""

CUPY: dict[str, Callable[..., Any]] = {}
"""Names of CuPy kernels (``cupy_sin``) to gpuad.numpy's functions."""


def special_function(ufunc: Any) -> Callable[..., Any] | None:
    """gpuad.numpy's function for a ufunc of `scipy.special`."""
    name = ufunc.__name__
    for module in ("scipy.special", "scipy.special._ufuncs"):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return SPECIAL.get(name)
    return None

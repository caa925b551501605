"""Which gpuad function is called for which operator, NumPy function or CuPy kernel.

`gpuad.numpy` fills these tables, and `gpuad.scipy` when a name is looked up that is not in them.
Tracers and DualArrays read them.
"""

import sys
from collections.abc import Callable
from typing import Any

from gpuad.ir.primitive import declare_all

OPERATIONS: dict[str, Callable[..., Any]] = {}
"""gpuad.numpy's functions by name."""

NUMPY: dict[Any, Callable[..., Any]] = {}
"""NumPy functions and ufuncs to gpuad.numpy's."""

SPECIAL: dict[str, Callable[..., Any]] = {}
"""Names of ufuncs of `scipy.special`, which is not imported here, to gpuad.numpy's functions."""

CUPY: dict[str, Callable[..., Any]] = {}
"""Names of CuPy kernels (``cupy_sin``) to gpuad.numpy's functions."""


def lookup(table: dict[Any, Callable[..., Any]], key: Any) -> Callable[..., Any] | None:
    """What a table has under a key, also if it has to be filled for that."""
    if key not in table:
        declare_all()
    return table.get(key)


def special_function(ufunc: Any) -> Callable[..., Any] | None:
    """The function for a ufunc of `scipy.special`."""
    name = ufunc.__name__
    for module in ("scipy.special", "scipy.special._ufuncs"):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            declare_all()  # gpuad.scipy has other dtypes for some than gpuad.numpy
            return SPECIAL.get(name)
    return None

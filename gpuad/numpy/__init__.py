"""NumPy's functions, on arrays and on traced arrays: the namespace of the array API, and more.

Every function takes NumPy arrays, CuPy arrays and Tracers, with the meaning that NumPy gives it.
Unchanged NumPy code arrives here by itself; write ``import gpuad.numpy as gnp`` for what NumPy has
no name for (``gnp.sigmoid``), and for arrays that are created and then updated by traced values
(``gnp.zeros``). ``__array_namespace__`` of a traced array is this module.

Examples
--------
>>> import gpuad as ad, gpuad.numpy as gnp
>>> ad.grad(lambda x: gnp.softplus(x))(0.0)
np.float64(0.5)
"""

# ruff: noqa: F403  what each chapter adds to the namespace is what its __all__ names

import typing as _typing
from types import ModuleType as _ModuleType

import numpy as _np

from gpuad.numpy import fft as fft
from gpuad.numpy import linalg as linalg
from gpuad.numpy._missing import missing as _missing
from gpuad.numpy.composed import *
from gpuad.numpy.contraction import *
from gpuad.numpy.conversion import *
from gpuad.numpy.creation import *
from gpuad.numpy.cumulative import *
from gpuad.numpy.datatypes import *
from gpuad.numpy.elementwise import *
from gpuad.numpy.histograms import *
from gpuad.numpy.indexing import *
from gpuad.numpy.joining import *
from gpuad.numpy.linear_algebra import *
from gpuad.numpy.log_sum_exp import *
from gpuad.numpy.manipulation import *
from gpuad.numpy.nan_statistics import *
from gpuad.numpy.rearranging import *
from gpuad.numpy.searching import *
from gpuad.numpy.sets import *
from gpuad.numpy.sorting import *
from gpuad.numpy.special import *
from gpuad.numpy.statistics import *
from gpuad.numpy.unchanged import *
from gpuad.numpy.updating import *

__array_namespace_info__ = _np.__array_namespace_info__

if not _typing.TYPE_CHECKING:
    # Type checkers read the imports above. A list that is computed they do not follow, and a module
    # with __getattr__ has every name for them.
    __all__ = sorted(
        name
        for name, x in globals().items()
        if name in ("fft", "linalg") or not (name.startswith("_") or isinstance(x, _ModuleType))
    )

    def __getattr__(name: str) -> _typing.Any:
        raise _missing(name, __name__, _np, __all__)

    def __dir__() -> list[str]:
        return list(__all__)

"""gpuad: second-order automatic differentiation of NumPy and CuPy code.

A transform takes a function of arrays, or of pytrees of arrays (tuples, lists and dicts that hold
them, in any nesting), and records it: it calls the function once with traced arrays, which note
every operation. While a function is recorded, every transform may raise:

UnsupportedError
    If it calls a function of NumPy or CuPy that cannot be recorded, such as `numpy.packbits`.
ConversionError
    If a traced array would become a plain array or number, without its derivative: ``float(x)``,
    ``math.sin(x)``, ``a[i] = x`` for a plain array ``a``.
UnknownValueError
    If it asks for the value of a traced array, as ``if x > 0:`` does, where there is none: under
    `jit`, `vmap` and `linear_transpose`.
InPlaceError
    If it updates a traced array through ``x.reshape(...)`` or ``x.ravel()`` where NumPy gives a
    view or a copy by the memory layout, which is not known; or a plain array, by traced values.
EscapedTracerError
    If it uses a traced array of a transform that has ended, kept in a global or a list.
ArgumentError, DTypeError, BadIndexError
    If an operation has operands of shapes, dtypes or indices that do not fit.

These and all other errors are classes of `gpuad.errors`, derived from `GpuadError` and from the
built-in error that NumPy would raise; each message ends with what to do next.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

if not (_Path(__file__).parent / "kernels").is_dir():
    # A clone of the repository, where `kernels/` stands beside this folder: Python started in it
    # finds this folder before what is installed.
    __path__ = [*__path__, str(_Path(__file__).parents[1])]

from gpuad import numpy
from gpuad.api.batching import vmap
from gpuad.api.compiled import jit
from gpuad.api.custom import custom_jvp, custom_vjp, stop_gradient
from gpuad.api.derivatives import jvp, linear_transpose, linearize, vjp
from gpuad.api.gradients import grad, value_and_grad
from gpuad.api.graph_text import make_graph
from gpuad.api.host import ShapeDtype, external
from gpuad.api.jacobians import hessian, hvp, jacfwd, jacrev
from gpuad.api.other_names import no_attribute as _no_attribute
from gpuad.api.rematerialize import checkpoint
from gpuad.compile import clear_cache
from gpuad.dual import DualArray
from gpuad.ir.primitive import ON_DEMAND as _ON_DEMAND

if _TYPE_CHECKING:
    from gpuad import scipy
else:
    # A fifth of the time of the import is left for when it is needed.
    _ON_DEMAND.append(lambda: _import_module("gpuad.scipy"))

    def __getattr__(name):
        if name == "scipy":
            return _import_module("gpuad.scipy")
        raise _no_attribute(name, __all__)

    def __dir__():
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

__all__ = [
    "DualArray",
    "ShapeDtype",
    "checkpoint",
    "clear_cache",
    "custom_jvp",
    "custom_vjp",
    "external",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jit",
    "jvp",
    "linear_transpose",
    "linearize",
    "make_graph",
    "numpy",
    "scipy",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

"""gpuad: second-order automatic differentiation of NumPy and CuPy code."""

from pathlib import Path as _Path

if not (_Path(__file__).parent / "kernels").is_dir():
    # A clone of the repository, where `kernels/` stands beside this folder: Python started in it
    # finds this folder before what is installed.
    __path__ = [*__path__, str(_Path(__file__).parents[1])]

from gpuad import numpy
from gpuad.api.batching import vmap
from gpuad.api.compiled import jit
from gpuad.api.custom import custom_jvp, custom_vjp, stop_gradient
from gpuad.api.derivatives import grad, jvp, linear_transpose, linearize, value_and_grad, vjp
from gpuad.api.graph_text import make_graph
from gpuad.api.host import ShapeDtype, external
from gpuad.api.jacobians import hessian, hvp, jacfwd, jacrev
from gpuad.api.rematerialize import checkpoint
from gpuad.compile import clear_cache
from gpuad.dual import DualArray

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
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

"""Vector math for Numba's CPU target: elementary functions that LLVM vectorises inside a loop.

Numba from the package index has no vector math library; `math.exp` in a loop is a scalar call. The
functions here are straight-line code of polynomials and selects, compiled without fast-math, right
to 2 units in the last place over their whole domain, subnormals and special values included
(`python -m benchmarks.vecmath` measures it); log Γ and its derivatives, the functions of the normal
distribution and those of Bessel to 10. Without fused multiply-add in hardware they are right
but slow.

Generated text such as `v3 = exp(v1) * v2` is compiled with `namespace(dtype)` in its globals; all
literals in it must have that dtype. A function with a bound is right where `<name>_inside` holds,
and a loop takes `<name>_slow` for a block in which that fails anywhere:

    inside = True
    for i in range(lo, hi):
        inside &= sin_inside(x[i])
    if inside:
        for i in range(lo, hi):
            out[i] = sin(x[i])
    else:
        for i in range(lo, hi):
            out[i] = sin_slow(x[i])
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from . import vecmath_instructions as instructions
from .vecmath_bessel import bessel_functions
from .vecmath_erf import error_functions
from .vecmath_exp import exponentials
from .vecmath_gamma import gamma_functions
from .vecmath_instructions import F32, F64, Format
from .vecmath_log import logarithms
from .vecmath_normal import normal_functions
from .vecmath_plain import plain_functions
from .vecmath_power import powers
from .vecmath_trig import circular, inverse_circular

FORMATS = {np.dtype(np.float32): F32, np.dtype(np.float64): F64}


def format_of(dtype):
    """The floating-point format of float32 or float64."""
    try:
        return FORMATS[np.dtype(dtype)]
    except KeyError:
        raise TypeError(
            f"dtype {np.dtype(dtype)} has no vector math: compute in float32 or float64"
        ) from None


@dataclass(frozen=True)
class VecFunction:
    """An elementwise function, by dtype; nothing is compiled before a loop that calls it is.

    `bound` names what `inside` tests, or is None for a function right everywhere.
    """

    name: str
    operands: int
    family: Callable[[Format], SimpleNamespace]
    bound: str | None = None

    def fast(self, dtype):
        """The branch-free function, an njit dispatcher to be called from njit code only."""
        return self._member(self.name, dtype)

    def slow(self, dtype):
        """The scalar function that is right everywhere; None where `fast` already is."""
        return self._member(f"{self.name}_slow", dtype) if self.bound else None

    def inside(self, dtype):
        """A branch-free predicate of the operands: `fast` is right; None where it always is."""
        return self._member(f"{self.name}_inside", dtype) if self.bound else None

    def _member(self, name, dtype):
        return getattr(self.family(format_of(dtype)), name)


def _primitive_operations(form):
    return instructions


_DECLARED = [
    *(VecFunction(name, 1, exponentials) for name in ("exp", "exp2", "expm1", "sigmoid")),
    *(VecFunction(name, 1, exponentials) for name in ("sinh", "cosh", "tanh")),
    *(VecFunction(name, 1, logarithms) for name in ("log", "log2", "log10", "log1p", "softplus")),
    *(VecFunction(name, 1, logarithms) for name in ("arcsinh", "arccosh", "arctanh")),
    *(VecFunction(name, 1, circular, "|x| ≤ BOUND") for name in ("sin", "cos", "tan")),
    *(VecFunction(name, 1, inverse_circular) for name in ("arcsin", "arccos", "arctan")),
    VecFunction("arctan2", 2, inverse_circular),
    *(VecFunction(name, 1, error_functions) for name in ("erf", "erfc")),
    *(VecFunction(name, 1, gamma_functions) for name in ("gammaln", "digamma")),
    *(VecFunction(name, 1, gamma_functions) for name in ("trigamma", "tetragamma")),
    *(VecFunction(name, 1, normal_functions) for name in ("ndtr", "log_ndtr", "inverse_mills")),
    VecFunction("inverse_mills_excess", 1, normal_functions),
    *(VecFunction(name, 1, bessel_functions) for name in ("i0e", "i1e", "i0e_minus_i1e")),
    *(VecFunction(name, 1, bessel_functions) for name in ("i0e_curvature", "i1e_over_x")),
    VecFunction("i1e_over_x_slope", 1, bessel_functions),
    *(VecFunction(name, 1, powers) for name in ("cbrt", "rsqrt")),
    *(VecFunction(name, 2, powers) for name in ("power", "hypot")),
    *(VecFunction(name, 2, plain_functions) for name in ("maximum", "minimum", "fmax", "fmin")),
    *(VecFunction(name, 2, plain_functions, "|x/y| < 2^p") for name in ("fmod", "remainder")),
    VecFunction("floor_divide", 2, plain_functions, "|x/y| < 2^p"),
    *(VecFunction(name, 1, plain_functions) for name in ("sign", "signbit")),
    *(VecFunction(name, 1, plain_functions) for name in ("isnan", "isinf", "isfinite")),
    *(VecFunction(name, 1, _primitive_operations) for name in ("floor", "ceil", "trunc", "rint")),
    *(VecFunction(name, 1, _primitive_operations) for name in ("sqrt", "absolute")),
    VecFunction("copysign", 2, _primitive_operations),
    VecFunction("where", 3, _primitive_operations),
    VecFunction("fma", 3, _primitive_operations),
]
FUNCTIONS = {function.name: function for function in _DECLARED}


def namespace(dtype):
    """Globals for generated text in one dtype: every function, and its `_slow` and `_inside`."""
    names = {}
    for name, function in FUNCTIONS.items():
        names[name] = function.fast(dtype)
        if function.bound:
            names[f"{name}_slow"] = function.slow(dtype)
            names[f"{name}_inside"] = function.inside(dtype)
    return names

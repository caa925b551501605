"""Special functions: those of `scipy.special`, and the activations that NumPy has no name for.

``scipy.special.erf(x)`` of a traced array finds its function here; of plain arrays it is SciPy's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.numpy._arguments import alias
from gpuad.numpy._dispatch import Elementwise, elementwise
from gpuad.numpy.elementwise import cbrt, exp2, expm1, log1p
from gpuad.primitives import elementwise as ew
from gpuad.primitives import special as sp
from gpuad.tracing.registry import CUPY, SPECIAL


def _special(
    name: str, function: Callable[..., Any], doc: str, *names_in_scipy: str, operands: int = 1
) -> Elementwise:
    """A function of real floats, and the names of SciPy's ufuncs that it answers for."""
    like = np.cbrt if operands == 1 else np.logaddexp
    result = elementwise(name, function, like, doc=doc)
    for n in names_in_scipy:
        SPECIAL[n] = result
    return result


def _relu(x: Any) -> Any:
    return ew.select(ew.le(x, 0.0), 0.0, x)


def _log_sigmoid(x: Any) -> Any:
    return ew.neg(ew.softplus(ew.neg(x)))


sigmoid = _special("sigmoid", ew.sigmoid, "1 / (1 + exp(-x)).", "expit")
log_sigmoid = _special("log_sigmoid", _log_sigmoid, "log(sigmoid(x)).", "log_expit")
expit = alias("expit", sigmoid)
log_expit = alias("log_expit", log_sigmoid)
logit = _special("logit", sp.logit, "log(x / (1 - x)), the inverse of sigmoid.", "logit")
softplus = _special("softplus", ew.softplus, "log(1 + exp(x)).", "softplus")
relu = _special("relu", _relu, "max(x, 0); its derivative at 0 is 0.")
erf = _special("erf", sp.erf, "The error function, 2/√π ∫₀ˣ exp(-t²) dt.", "erf")
erfc = _special("erfc", sp.erfc, "1 - erf(x) without cancellation.", "erfc")
erfinv = _special("erfinv", sp.erfinv, "The inverse of erf.", "erfinv")
erfcinv = _special("erfcinv", sp.erfcinv, "The inverse of erfc.", "erfcinv")
xlogy = _special("xlogy", sp.xlogy, "x log y, and 0 where x is 0.", "xlogy", operands=2)
xlog1py = _special(
    "xlog1py", sp.xlog1py, "x log(1 + y), and 0 where x is 0.", "xlog1py", operands=2
)
entr = _special("entr", sp.entr, "-x log x, and 0 at 0.", "entr")

rsqrt = _special("rsqrt", ew.rsqrt, "1 / sqrt(x), as `cupyx.rsqrt`.")

SPECIAL.update(cbrt=cbrt, exp2=exp2, expm1=expm1, log1p=log1p)
for _pattern, _names in {
    "cupyx_scipy_special_{}": "cbrt exp2 expm1 entr erf erfc erfcinv erfinv",
    "cupyx_scipy_{}": "log1p",
    "cupy_{}": "expit log_expit logit xlogy xlog1py",
}.items():
    CUPY.update({_pattern.format(n): SPECIAL[n] for n in _names.split()})
CUPY["cupy_rsqrt"] = rsqrt

__all__ = [
    "entr", "erf", "erfc", "erfcinv", "erfinv", "expit", "log_expit", "log_sigmoid", "logit",
    "relu", "rsqrt", "sigmoid", "softplus", "xlog1py", "xlogy",
]  # fmt: skip

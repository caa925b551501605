"""Special functions under the names of `scipy.special`."""

from typing import TYPE_CHECKING, Any

from gpuad.numpy._arguments import alias
from gpuad.numpy._missing import missing
from gpuad.numpy.elementwise import cbrt, exp2, expm1, log1p
from gpuad.numpy.log_sum_exp import log_softmax, logsumexp, softmax
from gpuad.numpy.special import (
    entr,
    erf,
    erfc,
    erfcinv,
    erfinv,
    expit,
    log_expit,
    logit,
    softplus,
    xlog1py,
    xlogy,
)
from gpuad.scipy._special_text import digamma, gammaln, i0e, i1e, log_ndtr, ndtr, psi

__all__ = [
    "cbrt", "digamma", "entr", "erf", "erfc", "erfcinv", "erfinv", "exp2", "expit", "expm1",
    "gammaln", "i0e", "i1e", "log1p", "log_expit", "log_ndtr", "log_softmax", "logit", "logsumexp",
    "ndtr", "psi", "softmax", "softplus", "xlog1py", "xlogy",
]  # fmt: skip

for _name in __all__:
    alias(f"scipy.special.{_name}", globals()[_name])

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute

    def __getattr__(name: str) -> Any:
        import scipy.special

        raise missing(name, __name__, scipy.special, __all__)


def __dir__() -> list[str]:
    return list(__all__)

"""Of `scipy.special`: what gpuad.numpy has too, in the dtypes of SciPy's functions here."""

from collections.abc import Callable
from typing import Any

from gpuad.numpy import elementwise as of_numpy
from gpuad.numpy import log_sum_exp
from gpuad.numpy import special as of_special
from gpuad.numpy._arguments import alias
from gpuad.numpy._dispatch import implements
from gpuad.numpy._ufuncs import Elementwise, elementwise
from gpuad.scipy._elementwise import Loops
from gpuad.tracing.registry import SPECIAL


def _ufunc(name: str, function: Elementwise) -> Elementwise:
    loops = Loops(name, function._like.nin)
    doc = function.__doc__ or ""
    SPECIAL[name] = elementwise(f"scipy.special.{name}", function._function, loops, doc=doc)
    return SPECIAL[name]  # type: ignore[return-value]


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    name = f"scipy.special.{function.__name__}"
    return implements(name=name)(function.__wrapped__)  # type: ignore[attr-defined]


cbrt = _ufunc("cbrt", of_numpy.cbrt)
exp2 = _ufunc("exp2", of_numpy.exp2)
expm1 = _ufunc("expm1", of_numpy.expm1)
log1p = _ufunc("log1p", of_numpy.log1p)
entr = _ufunc("entr", of_special.entr)
erf = _ufunc("erf", of_special.erf)
erfc = _ufunc("erfc", of_special.erfc)
erfcinv = _ufunc("erfcinv", of_special.erfcinv)
erfinv = _ufunc("erfinv", of_special.erfinv)
expit = _ufunc("expit", of_special.expit)
log_expit = _ufunc("log_expit", of_special.log_expit)
logit = _ufunc("logit", of_special.logit)
xlog1py = _ufunc("xlog1py", of_special.xlog1py)
xlogy = _ufunc("xlogy", of_special.xlogy)
log_softmax = _function(log_sum_exp.log_softmax)
logsumexp = _function(log_sum_exp.logsumexp)
softmax = _function(log_sum_exp.softmax)
sinc = alias("scipy.special.sinc", of_numpy.sinc)
softplus = alias("scipy.special.softplus", of_special.softplus)

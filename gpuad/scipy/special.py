"""Special functions under the names of `scipy.special`.

Of plain arrays they are SciPy's own functions, or those of `cupyx.scipy.special`. SciPy's ufuncs
find them for traced arrays. Derivatives are as accurate, relatively, as values are, to second order
and in all tails.
"""

from typing import TYPE_CHECKING

from gpuad.numpy._missing import only
from gpuad.scipy._special_bessel import (
    i0,
    i1,
    iv,
    ive,
    j0,
    j1,
    jn,
    jv,
    k0,
    k0e,
    k1,
    k1e,
    kn,
    kv,
    kve,
    y0,
    y1,
    yn,
    yv,
)
from gpuad.scipy._special_gamma import (
    beta,
    betainc,
    betaincc,
    betainccinv,
    betaincinv,
    betaln,
    binom,
    factorial,
    gamma,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    gammasgn,
    loggamma,
    multigammaln,
    poch,
    polygamma,
    rgamma,
    zeta,
)
from gpuad.scipy._special_of_numpy import (
    cbrt,
    entr,
    erf,
    erfc,
    erfcinv,
    erfinv,
    exp2,
    expit,
    expm1,
    log1p,
    log_expit,
    log_softmax,
    logit,
    logsumexp,
    sinc,
    softmax,
    softplus,
    xlog1py,
    xlogy,
)
from gpuad.scipy._special_others import (
    boxcox,
    boxcox1p,
    cosm1,
    dawsn,
    ellipe,
    ellipk,
    ellipkm1,
    erfcx,
    erfi,
    exp1,
    exp10,
    expi,
    expn,
    exprel,
    huber,
    inv_boxcox,
    inv_boxcox1p,
    kl_div,
    lambertw,
    ndtri,
    ndtri_exp,
    pseudo_huber,
    rel_entr,
    spence,
    voigt_profile,
    wofz,
)
from gpuad.scipy._special_text import digamma, gammaln, i0e, i1e, log_ndtr, ndtr, psi
from gpuad.tracing.registry import CUPY, SPECIAL

__all__ = [
    "beta", "betainc", "betaincc", "betainccinv", "betaincinv", "betaln", "binom", "boxcox",
    "boxcox1p", "cbrt", "cosm1", "dawsn", "digamma", "ellipe", "ellipk", "ellipkm1", "entr",
    "erf", "erfc", "erfcinv", "erfcx", "erfi", "erfinv", "exp1", "exp2", "exp10", "expi", "expit",
    "expm1", "expn", "exprel", "factorial", "gamma", "gammainc", "gammaincc", "gammainccinv",
    "gammaincinv", "gammaln", "gammasgn", "huber", "i0", "i0e", "i1", "i1e", "inv_boxcox",
    "inv_boxcox1p", "iv", "ive", "j0", "j1", "jn", "jv", "k0", "k0e", "k1", "k1e", "kl_div", "kn",
    "kv", "kve", "lambertw", "log1p", "log_expit", "log_ndtr", "log_softmax", "loggamma", "logit",
    "logsumexp", "multigammaln", "ndtr", "ndtri", "ndtri_exp", "poch", "polygamma",
    "pseudo_huber", "psi", "rel_entr", "rgamma", "sinc", "softmax", "softplus", "spence",
    "voigt_profile", "wofz", "xlog1py", "xlogy", "y0", "y1", "yn", "yv", "zeta",
]  # fmt: skip

for _pattern, _names in {
    "cupyx_scipy_special_{}": "erfcx exp1 expi expn i0 i1 j0 j1 k0 k0e k1 k1e ndtri y0 y1 yn",
    "cupyx_scipy_{}": "beta betainc betaln binom gamma gammainc gammaincc gammaincinv gammasgn "
    "loggamma poch rgamma",
    "cupy_{}": "boxcox boxcox1p inv_boxcox inv_boxcox1p",
}.items():
    CUPY.update({_pattern.format(n): SPECIAL[n] for n in _names.split()})
CUPY["cupyx_scipy_zeta"] = SPECIAL["_zeta"]

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)

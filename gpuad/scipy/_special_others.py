"""Of `scipy.special`: the normal distribution, exponential and elliptic integrals, losses."""

from typing import Any

import numpy as np

from gpuad.numpy._dispatch import cast_to, implements
from gpuad.primitives import integrals, losses, normal
from gpuad.scipy._elementwise import ufunc
from gpuad.scipy._special_gamma import static_integer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import SPECIAL

ndtri = ufunc(
    "ndtri", normal.ndtri, 1,
    "The quantile x with Φ(x) = y. Its derivative is √(2π) exp(x²/2).",
    "ndtri(0.975) -> 1.959964",
)  # fmt: skip
ndtri_exp = ufunc(
    "ndtri_exp", normal.ndtri_exp, 1,
    "The x with log Φ(x) = y.",
    "ndtri_exp(-1000.0) -> -44.615748",
)  # fmt: skip
erfcx = ufunc(
    "erfcx", normal.erfcx, 1,
    "exp(x²) erfc(x). Its derivatives do not cancel for large x.",
    "erfcx(10.0) -> 0.056141",
)  # fmt: skip
erfi = ufunc(
    "erfi", normal.erfi, 1,
    "-i erf(ix) = 2/√π ∫₀ˣ exp(t²) dt.",
    "erfi(1.0) -> 1.650426",
)  # fmt: skip
dawsn = ufunc(
    "dawsn", normal.dawsn, 1,
    "Dawson's integral exp(-x²) ∫₀ˣ exp(t²) dt. Its derivatives do not cancel for large x.",
    "dawsn(10.0) -> 0.050254",
)  # fmt: skip
wofz = ufunc(
    "wofz", lambda z: normal.wofz(z, n=0), 1,
    "Faddeeva's function exp(-z²) erfc(-iz) of complex z.",
    "wofz(1.0 + 1.0j) -> (0.304744+0.208219j)",
)  # fmt: skip
voigt_profile = ufunc(
    "voigt_profile", lambda x, sigma, gamma: normal.voigt_profile(x, sigma, gamma, n=0, k=0), 3,
    "Voigt's profile: the density of a normal value with deviation σ plus one of Cauchy's with\n"
    "    half width γ. Derivatives by all three.",
    "voigt_profile(1.0, 2.0, 3.0) -> 0.078685",
)  # fmt: skip

expi = ufunc(
    "expi", integrals.expi, 1,
    "Ei(x), the integral of exp(t)/t from -∞ to x, of real or complex x.",
    "expi(1.0) -> 1.895118",
)  # fmt: skip
exp1 = ufunc(
    "exp1", integrals.exp1, 1,
    "E₁(x), the integral of exp(-t)/t from x to ∞, of real or complex x.",
    "exp1(1.0) -> 0.219384",
)  # fmt: skip
expn = ufunc(
    "expn", integrals.expn, 2,
    "Eₙ(x) = ∫ exp(-xt)/tⁿ dt from 1 to ∞, for whole n; not differentiated by n.",
    "expn(2, 1.0) -> 0.148496",
)  # fmt: skip
exprel = ufunc(
    "exprel", lambda x: integrals.exprel(x, n=0), 1,
    "(exp(x) - 1)/x, and 1 at 0, where its derivatives are right too.",
    "exprel(1.0) -> 1.718282",
)  # fmt: skip
exp10 = ufunc("exp10", integrals.exp10, 1, "10ˣ.", "exp10(0.5) -> 3.162278")
cosm1 = ufunc("cosm1", integrals.cosm1, 1, "cos(x) - 1, exact near 0.", "cosm1(0.1) -> -0.004996")
spence = ufunc(
    "spence", integrals.spence, 1,
    "The dilogarithm Li₂(1 - x). Its derivative is log(x)/(1 - x).",
    "spence(2.0) -> -0.822467",
)  # fmt: skip
ellipk = ufunc(
    "ellipk", integrals.ellipk, 1,
    "The complete elliptic integral K(m) of the first kind, by the parameter m.",
    "ellipk(0.5) -> 1.854075",
)  # fmt: skip
ellipkm1 = ufunc(
    "ellipkm1", integrals.ellipkm1, 1,
    "K(1 - p), for p near 0.",
    "ellipkm1(1e-20) -> 24.412145",
)  # fmt: skip
ellipe = ufunc(
    "ellipe", integrals.ellipe, 1,
    "The complete elliptic integral E(m) of the second kind, by the parameter m.",
    "ellipe(0.5) -> 1.350644",
)  # fmt: skip

rel_entr = ufunc(
    "rel_entr", losses.rel_entr, 2,
    "x log(x/y), and 0 where x is 0: a term of the relative entropy.",
    "rel_entr(0.5, 0.25) -> 0.346574",
)  # fmt: skip
kl_div = ufunc(
    "kl_div", losses.kl_div, 2,
    "x log(x/y) - x + y: a term of the divergence of Kullback and Leibler.",
    "kl_div(0.5, 0.25) -> 0.096574",
)  # fmt: skip
huber = ufunc(
    "huber", losses.huber, 2,
    "Huber's loss of the residual r: r²/2 for |r| ≤ δ, and δ(|r| - δ/2) beyond.",
    "huber(1.0, 3.0) -> 2.5",
)  # fmt: skip
pseudo_huber = ufunc(
    "pseudo_huber", losses.pseudo_huber, 2,
    "The smooth loss δ² (√(1 + (r/δ)²) - 1) of the residual r.",
    "pseudo_huber(1.0, 3.0) -> 2.162278",
)  # fmt: skip
boxcox = ufunc(
    "boxcox", losses.boxcox, 2,
    "(x^λ - 1)/λ, and log(x) for λ = 0, where its derivatives are right too.",
    "boxcox(2.0, 0.5) -> 0.828427",
)  # fmt: skip
boxcox1p = ufunc(
    "boxcox1p", losses.boxcox1p, 2,
    "((1 + x)^λ - 1)/λ, and log(1 + x) for λ = 0.",
    "boxcox1p(1.0, 0.5) -> 0.828427",
)  # fmt: skip
inv_boxcox = ufunc(
    "inv_boxcox", losses.inv_boxcox, 2,
    "(1 + λy)^(1/λ), the inverse of `boxcox` by x.",
    "inv_boxcox(1.0, 0.5) -> 2.25",
)  # fmt: skip
inv_boxcox1p = ufunc(
    "inv_boxcox1p", losses.inv_boxcox1p, 2,
    "(1 + λy)^(1/λ) - 1, the inverse of `boxcox1p` by x.",
    "inv_boxcox1p(1.0, 0.5) -> 1.25",
)  # fmt: skip


@implements(name="scipy.special.lambertw")
def lambertw(z: Any, k: int = 0, tol: float = 1e-8) -> Any:
    """Lambert's function, the complex w with w exp(w) = z on the branch `k`, which is one int.

    Its derivative is exp(-w) / (1 + w). As SciPy's it is complex128, of real z too.

    Examples
    --------
    >>> from gpuad.scipy.special import lambertw
    >>> print(lambertw(1.0).real.round(6))
    0.567143
    """
    branch = static_integer(k, "lambertw", "k")
    dtype = np.dtype(complex)
    return apply(lambda v: integrals.lambertw(cast_to(v, dtype), k=branch, tol=float(tol)), z)


def _lambertw(z: Any, k: Any, tol: Any) -> Any:
    return lambertw(z, k.item() if np.ndim(k) == 0 else k, tol)


SPECIAL["_lambertw"] = _lambertw

"""Of `scipy.special`: the gamma function and its kin, the incomplete gamma and beta functions."""

import operator
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.numpy._arguments import into
from gpuad.numpy._dispatch import cast_to, implements
from gpuad.numpy._ufuncs import elementwise
from gpuad.numpy.cumulative import real_floats
from gpuad.primitives import gamma as g
from gpuad.primitives import incomplete
from gpuad.scipy._elementwise import Loops, ufunc
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply
from gpuad.tracing.registry import SPECIAL

gamma = ufunc(
    "gamma", g.gamma, 1,
    "Γ(x), of real or complex x. Its derivative is Γ(x) ψ(x).",
    "gamma(4.5) -> 11.631728",
)  # fmt: skip
loggamma = ufunc(
    "loggamma", g.loggamma, 1,
    "The logarithm of the gamma function: for complex x its principal branch, for real x < 0 NaN.",
    "loggamma(1.0 + 1.0j) -> (-0.650923-0.30164j)",
)  # fmt: skip
rgamma = ufunc(
    "rgamma", g.rgamma, 1,
    "1/Γ(x), which is 0 at 0, -1, ...; its derivatives are right there too.",
    "rgamma(-1.0) -> 0.0",
)  # fmt: skip
gammasgn = ufunc(
    "gammasgn", g.gammasgn, 1,
    "The sign of Γ(x). Its derivative is 0.",
    "gammasgn(-0.5) -> -1.0",
)  # fmt: skip
beta = ufunc(
    "beta", g.beta, 2,
    "B(a, b) = Γ(a) Γ(b) / Γ(a + b). Its derivative by a is B(a, b) (ψ(a) - ψ(a + b)), without\n"
    "    cancellation for a much larger than b.",
    "beta(2.0, 3.0) -> 0.083333",
)  # fmt: skip
betaln = ufunc(
    "betaln", g.betaln, 2,
    "log |B(a, b)|. Its derivative by a is ψ(a) - ψ(a + b), without cancellation.",
    "betaln(1e5, 2.0) -> -23.025861",
)  # fmt: skip
poch = ufunc(
    "poch", g.poch, 2,
    "Pochhammer's symbol Γ(x + m) / Γ(x).",
    "poch(1.0, 3.5) -> 11.631728",
)  # fmt: skip
binom = ufunc(
    "binom", g.binom, 2,
    "The binomial coefficient Γ(n + 1) / (Γ(k + 1) Γ(n - k + 1)), of real n and k.",
    "binom(4.5, 2.0) -> 7.875",
)  # fmt: skip
gammainc = ufunc(
    "gammainc", incomplete.gammainc, 2,
    "The regularised lower incomplete gamma function P(a, x) = 1/Γ(a) ∫₀ˣ tᵃ⁻¹ exp(-t) dt.\n\n"
    "    Derivatives of any order by x and by a, accurate relatively in both tails.",
    "gammainc(2.0, 1.0) -> 0.264241",
)  # fmt: skip
gammaincc = ufunc(
    "gammaincc", incomplete.gammaincc, 2,
    "The regularised upper incomplete gamma function 1 - P(a, x); see `gammainc`.",
    "gammaincc(2.0, 1.0) -> 0.735759",
)  # fmt: skip
gammaincinv = ufunc(
    "gammaincinv", incomplete.gammaincinv, 2,
    "The x for which gammainc(a, x) is y.",
    "gammaincinv(2.0, 0.5) -> 1.678347",
)  # fmt: skip
gammainccinv = ufunc(
    "gammainccinv", incomplete.gammainccinv, 2,
    "The x for which gammaincc(a, x) is y.",
    "gammainccinv(2.0, 0.25) -> 2.692635",
)  # fmt: skip
betainc = ufunc(
    "betainc", incomplete.betainc, 3,
    "The regularised incomplete beta function 1/B(a, b) ∫₀ˣ tᵃ⁻¹ (1 - t)ᵇ⁻¹ dt.\n\n"
    "    Derivatives up to the third by a, b and x, accurate relatively in both tails.",
    "betainc(2.0, 3.0, 0.5) -> 0.6875",
)  # fmt: skip
betaincc = ufunc(
    "betaincc", incomplete.betaincc, 3,
    "The complement 1 - betainc(a, b, x).",
    "betaincc(2.0, 3.0, 0.5) -> 0.3125",
)  # fmt: skip
betaincinv = ufunc(
    "betaincinv", incomplete.betaincinv, 3,
    "The x for which betainc(a, b, x) is y.",
    "betaincinv(2.0, 3.0, 0.5) -> 0.385728",
)  # fmt: skip
betainccinv = ufunc(
    "betainccinv", incomplete.betainccinv, 3,
    "The x for which betaincc(a, b, x) is y.",
    "betainccinv(2.0, 3.0, 0.5) -> 0.385728",
)  # fmt: skip


def static_integer(value: Any, function: str, argument: str) -> int:
    """An argument that has to be one whole number while the program is recorded."""
    if isinstance(value, Tracer):
        raise UnsupportedError(
            f"{function}: {argument} is a traced array, and has to be a number; leave it out of "
            "the arguments that are traced (static_argnums= of jit)."
        )
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentError(
            f"{function}: {argument}={value!r:.40} has to be one int for a traced array; call it "
            "for each of several."
        ) from None


@implements(name="scipy.special.polygamma")
def polygamma(n: Any, x: Any) -> Any:
    """The derivative of order `n` of the digamma function ψ(x), of real x.

    Examples
    --------
    >>> from gpuad.scipy.special import polygamma
    >>> print(polygamma(1, 1.0).round(6))
    1.644934
    """
    order = static_integer(n, "polygamma", "n")
    if order < 0:
        raise ArgumentError(f"polygamma: n={order}; give an order of 0 or more.")
    return apply(lambda v: g.psi(as_double(v, "polygamma"), order), x)


def as_double(v: Any, name: str) -> Any:
    """SciPy's functions of this group that are no ufuncs give float64."""
    return cast_to(real_floats(v, name), np.dtype(float))


@implements(name="scipy.special.multigammaln")
def multigammaln(a: Any, d: int) -> Any:
    """The logarithm of the multivariate gamma function of dimension `d`, for a > (d - 1) / 2.

    Smaller `a` give other values than an error, which SciPy raises: a traced array has no value.

    Examples
    --------
    >>> from gpuad.scipy.special import multigammaln
    >>> print(multigammaln(23.5, 10).round(6))
    457.176675
    """
    size = static_integer(d, "multigammaln", "d")
    return apply(lambda v: g.multigammaln(as_double(v, "multigammaln"), size), a)


@implements(name="scipy.special.factorial")
def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """n! = Γ(n + 1) of real floats, and 0 for n < 0.

    Examples
    --------
    >>> from gpuad.scipy.special import factorial
    >>> import numpy as np
    >>> print(factorial(np.array([3.0, 4.5])).round(6))
    [ 6.       52.342778]
    """
    if exact:
        raise UnsupportedError(
            "factorial(exact=True) is Python's long integers, which a traced array does not hold; "
            "leave exact out."
        )
    if extend != "zero":
        raise UnsupportedError(
            f"factorial(extend={extend!r}) is not recorded; write gpuad.scipy.special.gamma(n + 1)."
        )
    return apply(lambda v: g.factorial(as_double(v, "factorial")), n)


_hurwitz = elementwise("_zeta", g.zeta, Loops("_zeta", 2), doc="Hurwitz's zeta function.")
_riemann = elementwise("_riemann_zeta", g.riemann_zeta, Loops("_riemann_zeta", 1), doc="Riemann's.")
SPECIAL.update(_zeta=_hurwitz, _riemann_zeta=_riemann)


@implements(name="scipy.special.zeta")
def zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    """Hurwitz's zeta function Σ (q + k)⁻ˣ for x > 1, or Riemann's if `q` is not given.

    Its derivative by q is -x zeta(x + 1, q).

    Examples
    --------
    >>> from gpuad.scipy.special import zeta
    >>> print(zeta(2.0, 1.0).round(6))
    1.644934
    """
    result = _riemann(x) if q is None else _hurwitz(x, q)
    return into(result, out)

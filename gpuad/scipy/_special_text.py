"""log Γ and its derivative, the normal distribution, and scaled modified Bessel functions."""

from collections.abc import Callable
from typing import Any

from gpuad.numpy._arguments import alias
from gpuad.numpy._ufuncs import Elementwise, elementwise
from gpuad.primitives import gamma
from gpuad.primitives import special_text as primitives
from gpuad.scipy._elementwise import Loops
from gpuad.tracing.registry import CUPY, SPECIAL


def _special(name: str, function: Callable[..., Any], doc: str) -> Elementwise:
    """A function of one float, and what answers for SciPy's ufunc and CuPy's kernel."""
    result = elementwise(f"scipy.special.{name}", function, Loops(name, 1), doc=doc)
    SPECIAL[name] = CUPY[f"cupyx_scipy_special_{name}"] = result
    return result


gammaln = _special(
    "gammaln",
    primitives.gammaln,
    """log |Γ(x)|; infinite at 0, -1, -2, ...

    Its derivative is `digamma`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> gammaln = ad.scipy.special.gammaln
    >>> print(gammaln(np.array([0.5, 1.0, 1e300])))
    [5.72364943e-001 0.00000000e+000 6.89775528e+302]
    >>> print(ad.grad(gammaln)(1.0))
    -0.5772156649015329
    """,
)
digamma = _special(
    "digamma",
    gamma.psi,
    """ψ(x), the derivative of log Γ(x), of real or complex x; infinite at 0, NaN at -1, -2, ...

    Its derivative is ψ⁽¹⁾(x) = Σ 1/(x + k)², k ≥ 0 (`polygamma`).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> digamma = ad.scipy.special.digamma
    >>> print(digamma(np.array([1.0, 2.0])))
    [-0.57721566  0.42278434]
    >>> print(round(ad.grad(digamma)(1.0), 12), round(np.pi**2 / 6, 12))
    1.644934066848 1.644934066848
    """,
)
psi = alias("scipy.special.psi", digamma)
SPECIAL["psi"] = digamma
ndtr = _special(
    "ndtr",
    primitives.ndtr,
    """Φ(x), the distribution function of the standard normal distribution.

    Its derivative is the density, exp(-x²/2)/√(2π).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ndtr = ad.scipy.special.ndtr
    >>> print(ndtr(np.array([-1.0, 0.0, 1.0])))
    [0.15865525 0.5        0.84134475]
    >>> print(ad.grad(ndtr)(0.0))
    0.3989422804014327
    """,
)
log_ndtr = _special(
    "log_ndtr",
    primitives.log_ndtr,
    """log Φ(x), without cancellation or underflow in either tail, as its derivatives.

    They are r = φ(x)/Φ(x) and -r (x + r), φ being the density.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> log_ndtr = ad.scipy.special.log_ndtr
    >>> print(log_ndtr(np.array([-1000.0, 0.0])))
    [-5.00007827e+05 -6.93147181e-01]
    >>> print(ad.grad(log_ndtr)(-1000.0), ad.grad(ad.grad(log_ndtr))(-1000.0))
    1000.00099999800... -0.99999900000...
    """,
)
i0e = _special(
    "i0e",
    primitives.i0e,
    """exp(-|x|) I₀(x), the modified Bessel function of order 0 without overflow.

    For x > 0 its derivative is i1e(x) - i0e(x); at 0 it is 0.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> i0e = ad.scipy.special.i0e
    >>> print(i0e(np.array([0.0, 1.0, 1000.0])))
    [1.         0.46575961 0.01261724]
    >>> print(ad.grad(i0e)(1e6))
    -1.9947121500...e-10
    """,
)
i1e = _special(
    "i1e",
    primitives.i1e,
    """exp(-|x|) I₁(x), the modified Bessel function of order 1 without overflow.

    For x > 0 its derivative is i0e(x) - i1e(x) (1 + 1/x); at 0 it is ½.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> i1e = ad.scipy.special.i1e
    >>> print(i1e(np.array([0.0, 1.0, 1000.0])))
    [0.         0.20791042 0.01261093]
    >>> print(ad.grad(i1e)(0.0))
    0.5
    """,
)

__all__ = ["digamma", "gammaln", "i0e", "i1e", "log_ndtr", "ndtr", "psi"]

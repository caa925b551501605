"""Special functions: those of `scipy.special`, and the activations that NumPy has no name for.

``scipy.special.erf(x)`` of a traced array finds its function here; of plain arrays it is SciPy's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.numpy._arguments import alias
from gpuad.numpy._ufuncs import Elementwise, elementwise
from gpuad.numpy.elementwise import cbrt, exp2, expm1, log1p
from gpuad.primitives import elementwise as ew
from gpuad.primitives import special as sp
from gpuad.tracing.registry import CUPY, OPERATIONS, SPECIAL, lookup


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


sigmoid = _special(
    "sigmoid",
    ew.sigmoid,
    """1 / (1 + exp(-x)), the logistic function, without overflow; `expit` in SciPy.

    Its derivative is sigmoid(x) (1 - sigmoid(x)).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """,
    "expit",
)
expit = alias("expit", sigmoid)
log_sigmoid = _special(
    "log_sigmoid",
    _log_sigmoid,
    """log(sigmoid(x)) = -log(1 + exp(-x)), without overflow; `log_expit` in SciPy.

    Its derivative is sigmoid(-x).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.log_sigmoid(np.array([-1000.0, 0.0])))
    [-1.00000000e+03 -6.93147181e-01]
    """,
    "log_expit",
)
log_expit = alias("log_expit", log_sigmoid)
logit = _special(
    "logit",
    sp.logit,
    """log(x / (1 - x)), the inverse of `sigmoid`; NaN outside of 0 to 1.

    Its derivative is 1 / (x (1 - x)).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.logit(np.array([0.0, 0.5, 0.75])))
    [      -inf 0.         1.09861229]
    """,
    "logit",
)
softplus = _special(
    "softplus",
    ew.softplus,
    """log(1 + exp(x)), without overflow.

    Its derivative is sigmoid(x).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.softplus(np.array([-1.0, 0.0, 1000.0])))
    [3.13261688e-01 6.93147181e-01 1.00000000e+03]
    """,
    "softplus",
)
relu = _special(
    "relu",
    _relu,
    """max(x, 0); its derivative is 1 above 0 and 0 elsewhere, at 0 too.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """,
)
erf = _special(
    "erf",
    sp.erf,
    """The error function, 2/√π ∫₀ˣ exp(-t²) dt.

    Its derivative is 2/√π exp(-x²).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.erf(np.array([0.0, 1.0])))
    [0.         0.84270079]
    """,
    "erf",
)
erfc = _special(
    "erfc",
    sp.erfc,
    """1 - erf(x), the complementary error function, without cancellation.

    Its derivative is -2/√π exp(-x²).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.erfc(np.array([0.0, 10.0])))
    [1.00000000e+00 2.08848758e-45]
    """,
    "erfc",
)
erfinv = _special(
    "erfinv",
    sp.erfinv,
    """The inverse of `erf`; infinite at -1 and 1, NaN beyond.

    Its derivative is √π/2 exp(erfinv(x)²).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.erfinv(np.array([0.0, 0.5, 1.0])))
    [0.         0.47693628        inf]
    """,
    "erfinv",
)
erfcinv = _special(
    "erfcinv",
    sp.erfcinv,
    """The inverse of `erfc`; infinite at 0 and 2, NaN beyond.

    Its derivative is -√π/2 exp(erfcinv(x)²).

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.erfcinv(np.array([1e-45, 0.5])))
    [10.03657436  0.47693628]
    """,
    "erfcinv",
)
xlogy = _special(
    "xlogy",
    sp.xlogy,
    """x log(y), and 0 where x is 0, also at y = 0.

    Its derivatives are log(y) by x and x / y by y.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.xlogy(np.array([0.0, 2.0]), np.array([0.0, 3.0])))
    [0.         2.19722458]
    """,
    "xlogy",
    operands=2,
)
xlog1py = _special(
    "xlog1py",
    sp.xlog1py,
    """x log(1 + y) without cancellation, and 0 where x is 0, also at y = -1.

    Its derivatives are log(1 + y) by x and x / (1 + y) by y.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.xlog1py(np.array([0.0, 2.0]), np.array([-1.0, 1e-20]))
    array([0.e+00, 2.e-20])
    """,
    "xlog1py",
    operands=2,
)
entr = _special(
    "entr",
    sp.entr,
    """-x log(x), the entropy of one probability: 0 at 0, and -∞ below.

    Its derivative is -log(x) - 1.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> print(gnp.entr(np.array([0.0, 0.5])))
    [0.         0.34657359]
    """,
    "entr",
)
rsqrt = _special(
    "rsqrt",
    ew.rsqrt,
    """1 / sqrt(x), as `cupyx.rsqrt`.

    Its derivative is -x**(-3/2) / 2.

    Examples
    --------
    >>> import numpy as np, gpuad.numpy as gnp
    >>> gnp.rsqrt(np.array([0.25, 4.0]))
    array([2. , 0.5])
    """,
)

SPECIAL.update(cbrt=cbrt, exp2=exp2, expm1=expm1, log1p=log1p)
for _pattern, _names in {
    "cupyx_scipy_special_{}": "cbrt exp2 expm1 entr erf erfc erfcinv erfinv",
    "cupyx_scipy_{}": "log1p",
    "cupy_{}": "expit log_expit logit xlogy xlog1py",
}.items():
    CUPY.update({_pattern.format(n): SPECIAL[n] for n in _names.split()})
CUPY["cupy_rsqrt"] = rsqrt


def __getattr__(name: str) -> Any:
    """The other functions of `gpuad.scipy.special`: with SCIPY_ARRAY_API set, SciPy's functions of
    traced arrays look for ``xp.special.name``, where `xp` is `gpuad.numpy`."""
    found = None if name.startswith("_") else lookup(OPERATIONS, f"scipy.special.{name}")
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


__all__ = [
    "entr", "erf", "erfc", "erfcinv", "erfinv", "expit", "log_expit", "log_sigmoid", "logit",
    "relu", "rsqrt", "sigmoid", "softplus", "xlog1py", "xlogy",
]  # fmt: skip

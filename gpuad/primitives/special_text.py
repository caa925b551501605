"""Special functions that sweeps compute: log Γ and its derivatives, the normal distribution, and
the modified Bessel functions I₀ and I₁ times exp(-|x|).

Their scalar texts are functions of the language (`kernels/vecmath_gamma.py`, `vecmath_normal.py`,
`vecmath_bessel.py`). On whole arrays they are SciPy's and CuPy's where these are as accurate; the
others, and those that only derivatives need, are the same polynomials as in the sweeps.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.primitive import Primitive
from gpuad.ir.ranges import function
from gpuad.kernels import special_coefficients
from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import abs_, div_or_zero, mul, neg, sign, sub
from gpuad.primitives.library import from_library, special
from gpuad.primitives.special import gaussian_array

DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)


def _coefficients(name: str, x: Any) -> Sequence[float]:
    """The polynomial of this name for the dtype of an array."""
    return getattr(special_coefficients, name)["f32" if x.dtype == np.float32 else "f64"]


def _polynomial(xp: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Σ c_k x^k by Horner's rule."""
    *lower, highest = coefficients
    total = xp.full_like(x, highest)
    for c in reversed(lower):
        total *= x
        total += c
    return total


# log |Γ| and its derivatives ψ⁽ⁿ⁾. ψ⁽ⁿ⁾(x) = (-1)ⁿ⁺¹ n! ζ(n + 1, x), n > 0.

_PSI_TEXTS = ("digamma(x)", "trigamma(x)", "tetragamma(x)")


def _psi_text(n: int) -> str:
    return _PSI_TEXTS[n] if n < len(_PSI_TEXTS) else f"polygamma({n}, x)"


def _psi_array(xp: Any, x: Any, n: int) -> Any:
    """For x < 0 by reflection up to n = 2, since SciPy's zeta takes |x| steps there."""
    if n == 0:
        return from_library("psi")(xp, x)
    zeta, factor = special(xp).zeta, (-1.0) ** (n + 1) * math.factorial(n)
    order = x.dtype.type(n + 1)
    if n >= len(_PSI_TEXTS):
        return zeta(order, x) * factor
    d = xp.where(x > -1e15, x - xp.rint(x), 0)
    series = zeta(order, xp.where(x < 0, 1 - x, x)) * factor
    v = math.pi / xp.sin(math.pi * d)
    if n == 1:
        return xp.where(x < 0, v * v - series, series)
    c = xp.sin(math.pi * (0.5 - abs(d)))
    return xp.where(x < 0, series - 2 * c * v * v * v, series)


psi = elementwise(
    "psi", _psi_array, _psi_text, lambda x, out, n: psi(x, n=n + 1),
    range=function(finite=lambda x, n: x.low > 0), domain=(0.5, 3.0),
    shows_nan=True, workspace=6.0,
)  # fmt: skip
gammaln = elementwise(
    "gammaln", from_library("gammaln"), "gammaln(x)", lambda x, out: psi(x, n=0),
    range=function(finite=lambda x: x.low > 0), domain=(0.5, 3.0), shows_nan=True,
)  # fmt: skip

# The normal distribution: its density φ, distribution function Φ, log Φ, and of this the derivative
# φ/Φ (the inverse of Mills's ratio, at -x) with φ/Φ' = -φ/Φ (x + φ/Φ). For x < 0 the last sum would
# cancel; it is the mean excess of the distribution over -x.


def _half_gaussian_array(xp: Any, x: Any) -> Any:
    return gaussian_array(xp, x, 0.5)


def _density_array(xp: Any, x: Any) -> Any:
    result = _half_gaussian_array(xp, x)
    result *= DENSITY_AT_0
    return result


def _tail_array(xp: Any, x: Any) -> tuple[Any, Any, Any]:
    """e, g and d: the upper tail at |x| is e g / d, of which e is the exponential."""
    y = abs(x)
    v = 2 - 8 / (y + 4)
    g = _polynomial(xp, v - 1, _coefficients("NORMAL_TAIL", x))
    g *= v
    g += 0.5
    return _half_gaussian_array(xp, x), g, y + 1


def _ndtr_array(xp: Any, x: Any) -> Any:
    """SciPy's loses x² units in the last place where x < 0, and log_ndtr where x > 0."""
    e, g, d = _tail_array(xp, x)
    tail = e * (g / d)
    return xp.where(x > 0, 1 - tail, tail)


def _log_ndtr_array(xp: Any, x: Any) -> Any:
    e, g, d = _tail_array(xp, x)
    g /= d
    return xp.where(x < 0, xp.log(g) - 0.5 * x * x, xp.log1p(-e * g))


def _inverse_mills_array(xp: Any, x: Any) -> Any:
    e, g, d = _tail_array(xp, x)
    return xp.where(x < 0, DENSITY_AT_0 * d / g, DENSITY_AT_0 * e / (1 - e * (g / d)))


def _excess_array(xp: Any, x: Any) -> Any:
    y = abs(x)
    below = _polynomial(xp, 1 - 8 / (y + 4), _coefficients("EXCESS", x)) / (y + 1)
    return xp.where(x < 0, below, x + _inverse_mills_array(xp, y))


_Y = "minimum(absolute(x), 40)"
_SQUARE = f"(0.5 * {_Y} * {_Y})"
_DENSITY = f"{DENSITY_AT_0} * exp(-{_SQUARE}) * (1 - fma(0.5 * {_Y}, {_Y}, -{_SQUARE}))"

normal_density = elementwise(
    "normal_density", _density_array, _DENSITY, lambda x, out: neg(mul(x, out)),
    range=function((0, 0.4)), shows_nan=True, workspace=4.0,
)  # fmt: skip
ndtr = elementwise(
    "ndtr", _ndtr_array, "ndtr(x)", lambda x, out: normal_density(x),
    range=function((0, 1)), shows_nan=True, workspace=7.0,
)  # fmt: skip
log_ndtr = elementwise(
    "log_ndtr", _log_ndtr_array, "log_ndtr(x)", lambda x, out: inverse_mills(x),
    range=function((-math.inf, 0)), shows_nan=True, workspace=7.0,
)  # fmt: skip
inverse_mills = elementwise(
    "inverse_mills", _inverse_mills_array, "inverse_mills(x)",
    lambda x, out: neg(mul(out, inverse_mills_excess(x))),
    range=function((0, math.inf)), shows_nan=True, workspace=7.0,
)  # fmt: skip
inverse_mills_excess = elementwise(
    "inverse_mills_excess", _excess_array, "inverse_mills_excess(x)",
    lambda x, out: sub(1.0, mul(inverse_mills(x), out)),
    range=function((0, math.inf)), shows_nan=True, workspace=10.0,
)  # fmt: skip

# i0e and i1e. With y = |x|, i0e' = -(i0e - i1e), (i0e - i1e)' = -curvature, (i1e/y)' = -slope and
# i1e' = (i0e - i1e) - i1e/y. They are functions of y, so at 0 their derivatives by x are 0.


def _falling_array(name: str, power: int) -> Callable[..., Any]:
    """A function of |x| that falls as |x|^(-power - ½), by its polynomials (`vecmath_bessel`)."""

    def run(xp: Any, x: Any) -> Any:
        y = abs(x)
        near = y < 8
        z = xp.where(near, y - 4, 1) / xp.where(near, y + 4, y)
        value = xp.where(
            near,
            _polynomial(xp, 1.5 * z + 0.5, _coefficients(name, x)),
            _polynomial(xp, 16 * z - 1, _coefficients(f"{name}_TAIL", x)),
        )
        r = xp.where(near, 1 / (y + 1), z)
        value *= xp.sqrt(r)
        for _ in range(power):
            value *= r
        return value

    return run


def _i0e_array(xp: Any, x: Any) -> Any:
    """SciPy's. CuPy's multiplies exp(-|x|) with a number that overflows."""
    return from_library("i0e")(xp, x) if xp is np else _falling_array("I0E", 0)(xp, x)


def _i1e_array(xp: Any, x: Any) -> Any:
    """The same; |x|/(|x| + 1) is what its polynomial up to 8 leaves of |x|."""
    if xp is np:
        return from_library("i1e")(xp, x)
    y = abs(x)
    value = _falling_array("I1E_OVER_X", 0)(xp, x) * xp.where(y < 8, y / (y + 1), 1)
    return xp.copysign(value, x)


def _even(name: str, power: int, low: float, high: float, derivative: Any) -> Primitive:
    """A function of |x|; `derivative` gives its derivative by |x|."""
    return elementwise(
        name,
        _falling_array(name.upper(), power),
        f"{name}(x)",
        lambda x, out: mul(sign(x), derivative(x, out)),
        range=function((low, high)),
        domain=(0.2, 3.0),
        shows_nan=True,
        workspace=5.0,
    )


i0e = elementwise(
    "i0e", _i0e_array, "i0e(x)", lambda x, out: neg(mul(sign(x), i0e_minus_i1e(x))),
    range=function((0, 1)), domain=(0.2, 3.0), shows_nan=True, workspace=5.0,
)  # fmt: skip
i1e = elementwise(
    "i1e", _i1e_array, "i1e(x)", lambda x, out: sub(i0e_minus_i1e(x), i1e_over_x(x)),
    range=function((-0.5, 0.5)), domain=(0.2, 3.0), shows_nan=True, workspace=6.0,
)  # fmt: skip
i0e_minus_i1e = _even("i0e_minus_i1e", 1, 0, 1, lambda x, out: neg(i0e_curvature(x)))
i1e_over_x = _even("i1e_over_x", 1, 0, 0.5, lambda x, out: neg(i1e_over_x_slope(x)))
i0e_curvature = _even(
    "i0e_curvature", 2, 0, 1.5, lambda x, out: sub(i1e_over_x_slope(x), mul(2.0, out))
)
i1e_over_x_slope = _even(
    "i1e_over_x_slope", 2, 0, 0.5,
    lambda x, out: div_or_zero(sub(i0e_curvature(x), mul(3.0, out)), abs_(x)),
)  # fmt: skip

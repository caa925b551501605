"""The gamma function and its kin: gamma, beta, polygamma, binomial coefficients."""

import math
from typing import Any

import numpy as np

from gpuad.primitives.elementwise import (
    add,
    bit_and,
    bit_or,
    exp,
    gt,
    is_complex,
    le,
    literal,
    lt,
    mul,
    neg,
    remainder,
    rint,
    select,
    sub,
)
from gpuad.primitives.library import by_library, call, in_double
from gpuad.primitives.special_text import gammaln
from gpuad.primitives.special_text import psi as real_psi
from gpuad.primitives.trigonometric import cos, sin

BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
             43867 / 798, -174611 / 330)  # fmt: skip
"""The Bernoulli numbers B₂, B₄, ..."""
SHIFT = 12
"""From where the asymptotic series in 1/x, with those numbers, is right."""


def real_polygamma(xp: Any, n: int, x: Any) -> Any:
    """The derivative of order n of digamma, in float64, as SciPy computes it."""
    x = x.astype(np.float64, copy=False)
    if n == 0:
        return call(xp, "digamma", x)
    return (-1) ** (n + 1) * math.factorial(n) * call(xp, "zeta", n + 1.0, x)


def psi(x: Any, n: int = 0) -> Any:
    """The derivative of order `n` of digamma, of real or complex x."""
    return complex_psi(x, n=n) if is_complex(x) else real_psi(x, n=n)


def _cotangent(xp: Any, z: Any, n: int) -> Any:
    """The derivative of order n of π cot(πz)."""
    c = 1 / xp.tan(math.pi * (z - xp.rint(z.real)))
    polynomial = np.polynomial.Polynomial((0.0, 1.0))
    for _ in range(n):
        polynomial = polynomial.deriv() * np.polynomial.Polynomial((-1.0, 0.0, -1.0))
    total = 0.0
    for coefficient in polynomial.coef[::-1].tolist():
        total = total * c + coefficient
    return math.pi ** (n + 1) * total


def _complex_polygamma(xp: Any, z: Any, n: int) -> Any:
    """The asymptotic series where Re z is large, moved there by recurrence and reflection."""
    left = z.real < 0.5
    w = xp.where(left, 1 - z, z)
    moved = 0.0
    for _ in range(SHIFT):
        moved = moved + w ** -(n + 1.0)
        w = w + 1
    total = _asymptotic(w, n) - (-1) ** n * math.factorial(n) * moved
    reflected = (-1) ** n * total - _cotangent(xp, z, n)
    return xp.where(left, reflected, total).astype(z.dtype)


def _terms(n: int) -> list[float]:
    """The coefficients of (-1)^(n-1) ψ⁽ⁿ⁾(1/u) by powers of u, from u^n on; ln u apart."""
    terms = [float(math.factorial(n - 1)) if n else 0.0, 0.5 * math.factorial(n)]
    for k, b in enumerate(BERNOULLI, 1):
        terms += [b * math.factorial(2 * k + n - 1) / math.factorial(2 * k), 0.0]
    return terms


def _asymptotic(x: Any, n: int) -> Any:
    total, u = 0.0, 1 / x
    for coefficient in reversed(_terms(n)):
        total = total * u + coefficient
    return (-1) ** (n - 1) * total * u**n


def _complex_psi_array(xp: Any, z: Any, n: int) -> Any:
    return call(xp, "psi", z) if n == 0 else _complex_polygamma(xp, z, n)


complex_psi = by_library(
    "complex_psi", lambda x, out, n: complex_psi(x, n=n + 1),
    run=_complex_psi_array, dtypes="c", workspace=14.0,
)  # fmt: skip


def _log_ratio(xp: Any, x: Any, h: Any, n: int) -> Any:
    """ψ⁽ⁿ⁾(x + h) - ψ⁽ⁿ⁾(x) for positive x and x + h, without cancellation.

    By recurrence up to large x, and the divided differences of the asymptotic series there.
    """
    sign, recurred = (-1) ** n * math.factorial(n), 0.0
    for k in range(SHIFT):
        u, v = 1 / (x + k), 1 / (x + h + k)
        powers = 1.0
        for p in range(1, n + 1):
            powers = powers * u + v**p
        recurred = recurred - h * u * v * powers
    u, v = 1 / (x + SHIFT), 1 / (x + h + SHIFT)
    value, slope = 0.0, 0.0
    for coefficient in [*reversed(_terms(n)), *[0.0] * n]:
        slope = slope * u + value
        value = value * v + coefficient
    series = (-1) ** n * h * u * v * slope
    logarithm = xp.log1p(h * u) if n == 0 else 0.0
    return logarithm + series - sign * recurred


def polygamma_difference_array(xp: Any, x: Any, h: Any, n: int) -> Any:
    positive = (x > 0) & (x + h > 0)
    inside = _log_ratio(xp, xp.where(positive, x, 1.0), xp.where(positive, h, 0.0), n)
    if bool(positive.all()) if xp is np else False:
        return inside
    plain = real_polygamma(xp, n, x + h) - real_polygamma(xp, n, x)
    return xp.where(positive, inside, plain)


# ψ⁽ⁿ⁾(x + h) - ψ⁽ⁿ⁾(x): the slope of a logarithm of a quotient of gamma functions.
polygamma_difference = by_library(
    "polygamma_difference",
    lambda x, h, out, n: polygamma_difference(x, h, n=n + 1),
    lambda x, h, out, n: psi(add(x, h), n + 1),
    run=in_double(polygamma_difference_array), workspace=14.0,
)  # fmt: skip


def _loggamma_partial(x: Any, out: Any) -> Any:
    if is_complex(x):
        return psi(x)
    return select(gt(x, 0.0), psi(x), math.nan)


loggamma = by_library("loggamma", _loggamma_partial, dtypes="fc")
gammasgn = by_library("gammasgn", None)
gamma = by_library("gamma", lambda x, out: mul(out, psi(x)), dtypes="fc")


def sin_cos_pi(x: Any) -> tuple[Any, Any]:
    """sin(πx) and cos(πx), exact at integers."""
    nearest = rint(x)
    sign = sub(1.0, mul(2.0, remainder(nearest, 2.0)))
    inside = mul(math.pi, sub(x, nearest))
    return mul(sign, sin(inside)), mul(sign, cos(inside))


def _rgamma_partial(x: Any, out: Any) -> Any:
    """Of 1/Γ(x); on the left that of Γ(1 - x) sin(πx) / π, which has no poles."""
    if is_complex(x):
        return neg(mul(out, psi(x)))
    other = sub(1.0, x)
    s, c = sin_cos_pi(x)
    left = mul(gamma(other), sub(c, mul(mul(1 / math.pi, s), psi(other))))
    return select(lt(x, 0.5), left, neg(mul(out, psi(x))))


rgamma = by_library("rgamma", _rgamma_partial, dtypes="fc")

# Quotients of gamma functions.


def _beta_mixed_array(xp: Any, a: Any, b: Any) -> Any:
    """∂²B/∂a∂b / B = (ψ(s) - ψ(a)) (ψ(s) - ψ(b)) - ψ'(s), with s = a + b. For small a and b the
    leading terms b / (as) and a / (bs) of the factors, and 1 / s² of the last, cancel."""
    s = a + b
    small = (xp.maximum(a, b) < 1) & (xp.minimum(a, b) > 0)
    p, q = xp.where(small, a, 0.5), xp.where(small, b, 0.5)
    rest_a = polygamma_difference_array(xp, p + 1, q, 0)
    rest_b = polygamma_difference_array(xp, q + 1, p, 0)
    products = (q / p * rest_b + p / q * rest_a) / (p + q) + rest_a * rest_b
    near = products - real_polygamma(xp, 1, p + q + 1)
    slopes = polygamma_difference_array(xp, a, b, 0) * polygamma_difference_array(xp, b, a, 0)
    return xp.where(small, near, slopes - real_polygamma(xp, 1, s))


def _beta_mixed_partial(a: Any, b: Any, out: Any) -> Any:
    first, second = polygamma_difference(a, b, n=0), polygamma_difference(b, a, n=0)
    slope, above = psi(add(a, b), 1), psi(add(a, b), 2)
    return sub(add(mul(polygamma_difference(a, b, n=1), second), mul(first, slope)), above)


_beta_mixed = by_library(
    "beta_mixed", _beta_mixed_partial, lambda a, b, out: _beta_mixed_partial(b, a, out),
    run=in_double(_beta_mixed_array), workspace=22.0,
)  # fmt: skip


def _beta_slope_by_a(a: Any, b: Any, out: Any) -> Any:
    slope = neg(mul(out, polygamma_difference(a, b, n=0)))
    return sub(slope, mul(beta(a, b), polygamma_difference(a, b, n=1)))


# ∂B/∂a.
_beta_slope = by_library(
    "beta_slope", _beta_slope_by_a, lambda a, b, out: mul(beta(a, b), _beta_mixed(a, b)),
    run=in_double(
        lambda xp, a, b: -call(xp, "beta", a, b) * polygamma_difference_array(xp, a, b, 0)
    ),
    workspace=16.0,
)  # fmt: skip
beta = by_library("beta", lambda a, b, out: _beta_slope(a, b), lambda a, b, out: _beta_slope(b, a))
betaln = by_library(
    "betaln",
    lambda a, b, out: neg(polygamma_difference(a, b, n=0)),
    lambda a, b, out: neg(polygamma_difference(b, a, n=0)),
)  # fmt: skip


def _poch_by_base(x: Any, m: Any, out: Any) -> Any:
    """Of Γ(x + m) / Γ(x), which is zero at the poles of Γ(x)."""
    top = add(x, m)
    left = add(mul(out, psi(top)), mul(gamma(top), _rgamma_partial(x, rgamma(x))))
    near_pole = bit_and(le(x, 0.0), gt(top, 0.0))
    return select(near_pole, left, mul(out, polygamma_difference(x, m, n=0)))


poch = by_library("poch", _poch_by_base, lambda x, m, out: mul(out, psi(add(x, m))))


def _binom_parts(n: Any, k: Any) -> tuple[Any, Any, Any, Any]:
    """Γ(n + 1), k + 1, n - k + 1, and where the quotient of the three is next to a pole."""
    lower, upper = add(k, 1.0), add(sub(n, k), 1.0)
    near_pole = bit_and(gt(n, -1.0), bit_or(le(lower, 0.0), le(upper, 0.0)))
    return gamma(add(n, 1.0)), lower, upper, near_pole


def _binom_by_n(n: Any, k: Any, out: Any) -> Any:
    top, lower, upper, near_pole = _binom_parts(n, k)
    slope = mul(mul(top, rgamma(lower)), _rgamma_partial(upper, rgamma(upper)))
    left = add(mul(out, psi(add(n, 1.0))), slope)
    return select(near_pole, left, mul(out, polygamma_difference(upper, k, n=0)))


def _binom_by_k(n: Any, k: Any, out: Any) -> Any:
    top, lower, upper, near_pole = _binom_parts(n, k)
    a, b = rgamma(lower), rgamma(upper)
    slopes = sub(mul(_rgamma_partial(lower, a), b), mul(a, _rgamma_partial(upper, b)))
    difference = polygamma_difference(lower, sub(upper, lower), n=0)
    return select(near_pole, mul(top, slopes), mul(out, difference))


binom = by_library("binom", _binom_by_n, _binom_by_k)


def factorial(n: Any) -> Any:
    """Γ(n + 1), and 0 below 0."""
    return select(lt(n, 0.0), 0.0, gamma(add(n, 1.0)))


def multigammaln(a: Any, d: int) -> Any:
    """log of the multivariate gamma function of dimension d."""
    total = gammaln(a)
    for j in range(1, d):
        total = add(total, gammaln(sub(a, 0.5 * j)))
    return add(total, d * (d - 1) * 0.25 * math.log(math.pi))


# Zeta functions: Σ (q + k)⁻ˣ by Euler's and Maclaurin's formula, as polynomials in the change of x.


def _product(p: list[Any], q: list[Any]) -> list[Any]:
    """The product of two polynomials, up to the degree of the first."""
    return [sum([p[i] * q[k - i] for i in range(k + 1) if k - i < len(q)]) for k in range(len(p))]


def _power(xp: Any, w: Any, x: Any, n: int) -> list[Any]:
    """w⁻ˣ about x."""
    value, slope = xp.power(w, -x), -xp.log(w)
    return [value * slope**k / math.factorial(k) for k in range(n + 1)]


def _zeta_by_exponent_array(xp: Any, x: Any, q: Any, n: int) -> Any:
    total = 0.0
    for k in range(SHIFT):
        total = total + _power(xp, q + k, x, n)[n]
    w = q + SHIFT
    power = _power(xp, w, x, n)
    pole = [(-1) ** k * w / (x - 1) ** (k + 1) for k in range(n + 1)]
    total = total + _product(power, pole)[n] + 0.5 * power[n]
    term = _product(power, [x / w, 1 / w])
    for k, b in enumerate(BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * term[n]
        for shift in (2 * k - 1, 2 * k):
            term = _product(term, [(x + shift) / w, 1 / w])
    return math.factorial(n) * total


def _zeta_exponent_by_q(x: Any, q: Any, out: Any, n: int) -> Any:
    above = add(x, 1.0)
    before = zeta(above, q) if n == 1 else zeta_by_exponent(above, q, n=n - 1)
    return neg(add(mul(x, zeta_by_exponent(above, q, n=n)), mul(float(n), before)))


zeta_by_exponent = by_library(
    "zeta_by_exponent",
    lambda x, q, out, n: zeta_by_exponent(x, q, n=n + 1), _zeta_exponent_by_q,
    run=in_double(_zeta_by_exponent_array), domain=(1.5, 3.0), workspace=26.0,
)  # fmt: skip
zeta = by_library(
    "zeta",
    lambda x, q, out: zeta_by_exponent(x, q, n=1),
    lambda x, q, out: neg(mul(x, zeta(add(x, 1.0), q))), domain=(1.5, 3.0),
)  # fmt: skip


def _riemann_by_exponent(x: Any, out: Any) -> Any:
    """Left of 0 from ζ(x) = 2 (2π)ˣ⁻¹ sin(πx/2) Γ(1 - x) ζ(1 - x)."""
    one = literal(1.0, x.aval.dtype)
    left = lt(x, 0.0)
    other = sub(1.0, select(left, x, -1.0))
    size = mul(2.0, mul(exp(mul(-math.log(2 * math.pi), other)), gamma(other)))
    s, c = sin_cos_pi(mul(0.5, x))
    value = riemann_zeta(other)
    slope = sub(mul(math.log(2 * math.pi), value), zeta_by_exponent(other, one, n=1))
    slope = sub(slope, mul(psi(other), value))
    reflected = mul(size, add(mul(slope, s), mul(mul(0.5 * math.pi, c), value)))
    return select(left, reflected, zeta_by_exponent(select(left, 2.0, x), one, n=1))


riemann_zeta = by_library(
    "riemann_zeta", _riemann_by_exponent,
    run=lambda xp, x: call(xp, "zeta", x).astype(x.dtype), domain=(1.5, 3.0),
)  # fmt: skip

"""Exponential integrals, the dilogarithm, complete elliptic integrals and Lambert's function."""

import math
from typing import Any

from gpuad.errors import UnsupportedError
from gpuad.primitives.declare import Term
from gpuad.primitives.elementwise import add, div, exp, log, lt, mul, neg, select, sub
from gpuad.primitives.library import by_library, call, in_double, integral
from gpuad.primitives.trigonometric import sin

DEPTH = 40.0

# (exp(x) - 1) / x and its derivatives ∫ tⁿ exp(xt) dt over 0 to 1.


def _exprel_array(xp: Any, x: Any, n: int) -> Any:
    if n == 0:
        return call(xp, "exprel", x)
    size = abs(x)
    end = xp.minimum(1.0, DEPTH / xp.maximum(size, DEPTH))
    positive = x > 0
    inside = integral(lambda u: xp.where(positive, 1 - u, u) ** n * xp.exp(-size * u), end)
    half = xp.exp(0.5 * xp.maximum(x, 0.0))
    return half * inside * half


exprel = by_library(
    "exprel", lambda x, out, n: exprel(x, n=n + 1),
    run=in_double(_exprel_array), domain=(-2.0, 2.0), workspace=10.0,
)  # fmt: skip

# log(1 + x) / x and its derivatives (-1)ⁿ n! ∫ tⁿ / (1 + xt)ⁿ⁺¹ dt over 0 to 1.


def _log1p_ratio_array(xp: Any, x: Any, n: int) -> Any:
    near = abs(x) < 0.5
    small, large = xp.where(near, x, 0.0), xp.where(near, 1.0, x)
    inside = integral(lambda t: t**n / (1 + small * t) ** (n + 1), xp.ones_like(x))
    value = xp.log1p(large) / large
    for k in range(1, n + 1):
        slope = (-1) ** (k - 1) * math.factorial(k - 1) / (1 + large) ** k
        value = (slope - k * value) / large
    return xp.where(near, (-1) ** n * math.factorial(n) * inside, value)


log1p_ratio = by_library(
    "log1p_ratio", lambda x, out, n: log1p_ratio(x, n=n + 1),
    run=in_double(_log1p_ratio_array), domain=(-0.8, 2.0), workspace=10.0,
)  # fmt: skip


def _spence_partial(x: Any, out: Any) -> Any:
    """log(x) / (1 - x), by log1p around 1."""
    above = sub(x, 1.0)
    near = log1p_ratio(select(lt(x, 0.5), 0.0, above), n=0)
    return neg(select(lt(x, 0.5), div(log(x), above), near))


spence = by_library("spence", _spence_partial)
cosm1 = by_library("cosm1", lambda x, out: neg(sin(x)), domain=(-2.0, 2.0), entire=True)
exp10 = by_library("exp10", lambda x, out: mul(math.log(10.0), out), domain=(-2.0, 2.0))
expi = by_library("expi", lambda x, out: div(exp(x), x), dtypes="fc")
exp1 = by_library("exp1", lambda x, out: neg(div(exp(neg(x)), x)), dtypes="fc")


def fixed(name: str, argument: str) -> Term:
    """The partial derivative of an operand by which an operation is not differentiated."""

    def refuse(*operands: Any, **params: Any) -> Any:
        raise UnsupportedError(
            f"{name} is not differentiated by its argument {argument}; give a number, or "
            f"ad.stop_gradient({argument}) if that derivative is meant to be lost."
        )

    return Term(refuse)


HIGHEST = 8


def _expn_below_array(xp: Any, n: Any, x: Any) -> Any:
    """Eₙ(x), also for n from -HIGHEST to 0: exp(-x) m!/xᵐ⁺¹ (1 + x + ... + xᵐ/m!), m = -n."""
    terms, total = 1.0, 1.0 / x
    for m in range(1, HIGHEST + 1):
        terms = terms * x / m
        total = xp.where(-n >= m, m * total / x + 1.0 / x, total)
    return xp.where(n > 0, call(xp, "expn", xp.maximum(n, 1.0), x), xp.exp(-x) * total)


_expn_below = by_library(
    "expn_below", fixed("expn", "n"), lambda n, x, out: neg(_expn_below(sub(n, 1.0), x)),
    run=in_double(_expn_below_array), workspace=6.0,
)  # fmt: skip
expn = by_library("expn", fixed("expn", "n"), lambda n, x, out: neg(_expn_below(sub(n, 1.0), x)))

# Lambert's W: W exp(W) = z, so that W' = exp(-W) / (1 + W).
lambertw = by_library(
    "lambertw", lambda z, out, k, tol: div(exp(neg(out)), add(1.0, out)),
    run=lambda xp, z, k, tol: call(xp, "lambertw", z, k, tol).astype(z.dtype), dtypes="c",
)  # fmt: skip

# Complete elliptic integrals: hypergeometric series for small m. For others the closed form of the
# first derivative, and y⁽ⁿ⁺²⁾ from their equation m (1 - m) y'' + c y' = y / 4.

SERIES = 0.25
SERIES_TERMS = 28


def _series(m: Any, a: float, n: int) -> Any:
    """The derivative of order n of π/2 ₂F₁(a, 1/2; 1; m)."""
    coefficients, now = [], math.pi / 2
    for k in range(SERIES_TERMS + n):
        coefficients.append(now)
        now *= (a + k) * (0.5 + k) / (k + 1) ** 2
    total = 0.0
    for k in reversed(range(n, len(coefficients))):
        total = total * m + coefficients[k] * math.perm(k, n)
    return total


def _ellipk_array(xp: Any, m: Any, p: Any, n: int) -> Any:
    """By m and p = 1 - m."""
    near = abs(m) < SERIES
    small = xp.where(near, m, 0.0)
    m, p = xp.where(near, 0.5, m), xp.where(near, 0.5, p)
    before = call(xp, "ellipkm1", p)
    now = (call(xp, "ellipe", m) - p * before) / (2 * m * p)
    for k in range(n - 1):
        after = ((k + 0.5) ** 2 * before - (k + 1) * (p - m) * now) / (m * p)
        before, now = now, after
    return xp.where(near, _series(small, 0.5, n), now)


def _ellipe_array(xp: Any, m: Any, n: int) -> Any:
    near = abs(m) < SERIES
    small = xp.where(near, m, 0.0)
    m = xp.where(near, 0.5, m)
    before = call(xp, "ellipe", m)
    now = (before - call(xp, "ellipk", m)) / (2 * m)
    for k in range(n - 1):
        after = ((k * k - 0.25) * before - (k + 1 - (2 * k + 1) * m) * now) / (m * (1 - m))
        before, now = now, after
    return xp.where(near, _series(small, -0.5, n), now)


_ellipk_derivative = by_library(
    "ellipk_derivative", lambda m, out, n: _ellipk_derivative(m, n=n + 1),
    run=in_double(lambda xp, m, n: _ellipk_array(xp, m, 1 - m, n)),
    domain=(-1.0, 0.8), workspace=10.0,
)  # fmt: skip
_ellipkm1_derivative = by_library(
    "ellipkm1_derivative", lambda p, out, n: neg(_ellipkm1_derivative(p, n=n + 1)),
    run=in_double(lambda xp, p, n: _ellipk_array(xp, 1 - p, p, n)), workspace=10.0,
)  # fmt: skip
_ellipe_derivative = by_library(
    "ellipe_derivative", lambda m, out, n: _ellipe_derivative(m, n=n + 1),
    run=in_double(_ellipe_array), domain=(-1.0, 0.8), workspace=10.0,
)  # fmt: skip
ellipk = by_library("ellipk", lambda m, out: _ellipk_derivative(m, n=1), domain=(-1.0, 0.8))
ellipkm1 = by_library("ellipkm1", lambda p, out: neg(_ellipkm1_derivative(p, n=1)))
ellipe = by_library(
    "ellipe", lambda m, out: _ellipe_derivative(m, n=1), domain=(-1.0, 0.8), workspace=8.0
)

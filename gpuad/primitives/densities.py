"""The densities of the gamma and the beta distribution, right for large parameters too.

The terms of their logarithms are much larger than their sum. For large parameters that sum is taken
about the mode, after C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.
"""

import functools
import math
from typing import Any

from gpuad.primitives.elementwise import (
    div,
    eq,
    keep,
    mul,
    neg,
    select,
    sub,
)
from gpuad.primitives.gamma import BERNOULLI, polygamma_difference, psi
from gpuad.primitives.library import by_library, call, in_double, piecewise
from gpuad.primitives.special import xlog1py, xlogy

LARGE = 15.0
"""From where Stirling's series for log Γ is right."""


def stirling_error(a: Any) -> Any:
    """log Γ(a + 1) - (a + 1/2) log a + a - log √(2π), for large `a`."""
    u, total = 1 / a, 0.0
    for k in reversed(range(1, len(BERNOULLI))):
        total = total * u * u + BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return total * u


def deviance(xp: Any, a: Any, x: Any) -> Any:
    """a log(a / x) + x - a, without cancellation where x is near a."""
    v = (a - x) / (a + x)
    near = abs(v) < 0.1
    w = xp.where(near, v * v, 0.0)
    series = 0.0
    for k in reversed(range(1, 10)):
        series = series * w + 2.0 / (2 * k + 1)
    close = (a - x) * v + a * v * w * series
    ratio = xp.where(near | (x == 0), 1.0, a / xp.where(x == 0, 1.0, x))
    far = xp.where(x == 0, math.inf, a * xp.log(ratio) + x - a)
    return xp.where(near, close, far)


def poisson(xp: Any, a: Any, x: Any) -> Any:
    """xᵃ exp(-x) / Γ(a + 1)."""

    def of_many(a: Any, x: Any) -> Any:
        exponent = -stirling_error(a) - deviance(xp, a, x)
        return xp.exp(exponent) / xp.sqrt(2 * math.pi * a)

    def of_few(a: Any, x: Any) -> Any:
        product = xp.power(x, a) * xp.exp(-x) * call(xp, "rgamma", a + 1)
        return xp.where(x > 1e4, 0.0, product)

    return piecewise(xp, [(a >= LARGE, of_many), (True, of_few)], a, x)


def _ratio(c: Any, f: Any, x: Any) -> Any:
    """c f / x, of which nothing is left where the weight c is zero."""
    return keep(c, div(mul(c, f), x))


def _gamma_by_x(a: Any, x: Any, out: Any) -> Any:
    power = sub(a, 1.0)
    inside = div(mul(out, sub(power, x)), select(eq(x, 0.0), 1.0, x))
    return select(eq(x, 0.0), sub(_ratio(power, out, x), out), inside)


def log_over_mean_array(xp: Any, a: Any, x: Any) -> Any:
    """log(x) - ψ(a): of log x, what is above its mean in the gamma distribution."""
    big = a >= LARGE
    u = 1 / xp.where(big, a, LARGE)
    few = xp.where(big, 1.0, a)
    series = 0.0
    for k in reversed(range(1, len(BERNOULLI))):
        series = series * u * u + BERNOULLI[k - 1] / (2 * k)
    rest = u * (0.5 + u * series)
    return xp.where(big, xp.log(x * u) + rest, xp.log(x) - call(xp, "digamma", few))


log_over_mean = by_library(
    "log_over_mean", lambda a, x, out: neg(psi(a, 1)), lambda a, x, out: div(1.0, x),
    run=in_double(log_over_mean_array), workspace=9.0,
)  # fmt: skip


# xᵃ⁻¹ exp(-x) / Γ(a).
gamma_density = by_library(
    "gamma_density", lambda a, x, out: keep(out, mul(out, log_over_mean(a, x))), _gamma_by_x,
    run=in_double(lambda xp, a, x: poisson(xp, a - 1, x)), workspace=20.0,
)  # fmt: skip


def _power(xp: Any, x: Any, y: Any, b: Any) -> Any:
    """yᵇ, where y = 1 - x."""
    near = xp.exp(b * xp.log1p(-xp.minimum(x, 0.5)))
    return xp.where(x < 0.5, near, xp.power(y, b))


def _beta_weight_of_few(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """For small a and large b, by Stirling's formula for Γ(a + b) / Γ(b)."""
    exponent = (b - 0.5) * xp.log1p(a / b) - a + stirling_error(a + b) - stirling_error(b)
    size = xp.power((a + b) * x, a) * call(xp, "rgamma", a)
    return size * xp.exp(exponent) * _power(xp, x, y, b)


def _beta_weight_of_many(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """For large a and b."""
    n = a + b
    exponent = stirling_error(n) - stirling_error(a) - stirling_error(b)
    exponent = exponent - deviance(xp, a, n * x) - deviance(xp, b, n * y)
    return xp.sqrt(a * (b / n) / (2 * math.pi)) * xp.exp(exponent)


def beta_weight(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """xᵃ yᵇ / B(a, b), where y = 1 - x."""
    swap = a > b
    a, b = xp.minimum(a, b), xp.maximum(a, b)
    x, y = xp.where(swap, y, x), xp.where(swap, x, y)

    def plain(a: Any, b: Any, x: Any, y: Any) -> Any:
        return xp.power(x, a) * _power(xp, x, y, b) / call(xp, "beta", a, b)

    pieces: list[tuple[Any, Any]] = [
        (b < LARGE, plain),
        (a >= LARGE, functools.partial(_beta_weight_of_many, xp)),
        (True, functools.partial(_beta_weight_of_few, xp)),
    ]
    return piecewise(xp, pieces, a, b, x, y)


def _beta_density_array(xp: Any, a: Any, b: Any, x: Any) -> Any:
    y = 1 - x
    edge = (x <= 0) | (y <= 0)
    at_edge = xp.power(x, a - 1) * xp.power(y, b - 1) / call(xp, "beta", a, b)
    x, y = xp.where(edge, 0.5, x), xp.where(edge, 0.5, y)
    return xp.where(edge, at_edge, beta_weight(xp, a, b, x, y) / (x * y))


def _beta_by_x(a: Any, b: Any, x: Any, out: Any) -> Any:
    y = sub(1.0, x)
    return sub(_ratio(sub(a, 1.0), out, x), _ratio(sub(b, 1.0), out, y))


def log_by_parameter(a: Any, b: Any) -> Any:
    """The derivative by a of log B(a, b)."""
    return neg(polygamma_difference(a, b, n=0))


# xᵃ⁻¹ (1 - x)ᵇ⁻¹ / B(a, b).
beta_density = by_library(
    "beta_density",
    lambda a, b, x, out: sub(xlogy(out, x), mul(out, log_by_parameter(a, b))),
    lambda a, b, x, out: sub(xlog1py(out, neg(x)), mul(out, log_by_parameter(b, a))),
    _beta_by_x, run=in_double(_beta_density_array), domain=(0.3, 0.8), workspace=26.0,
)  # fmt: skip

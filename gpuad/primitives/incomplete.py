"""The incomplete gamma and beta functions, with their derivatives by the parameters.

A derivative of order n by a parameter is the integral of the density times a polynomial in the
logarithm of its variable: the complete Bell polynomial of the logarithm less its mean, and of the
cumulants. It is taken over the tail in which the first one has one sign, from the end of the range
outwards, by Gauss's quadrature: it is as exact, relatively, in the tails as in the middle.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpuad.errors import UnsupportedError
from gpuad.primitives.densities import (
    beta_density,
    beta_weight,
    gamma_density,
    log_over_mean,
    log_over_mean_array,
    poisson,
)
from gpuad.primitives.elementwise import add, div, keep, log, log1p, mul, neg
from gpuad.primitives.gamma import (
    polygamma_difference,
    polygamma_difference_array,
    psi,
    real_polygamma,
)
from gpuad.primitives.library import by_library, call, in_double, integral, piecewise

DEPTH = 40.0
NODES = 48


def bells(arguments: list[Any]) -> list[Any]:
    """The complete Bell polynomials of the first 0, 1, ... of these arguments."""
    found = [1.0]
    for n in range(len(arguments)):
        terms = [math.comb(n, k) * found[n - k] * arguments[k] for k in range(n + 1)]
        found.append(functools.reduce(lambda x, y: x + y, terms))
    return found


def recorded_bell(arguments: list[Any]) -> Any:
    """The complete Bell polynomial of these arguments, recorded."""
    found: list[Any] = [1.0, arguments[0]]
    for n in range(1, len(arguments)):
        total = arguments[n]
        for k in range(n):
            total = add(total, mul(float(math.comb(n, k)), mul(found[n - k], arguments[k])))
        found.append(total)
    return found[-1]


# The incomplete gamma function


def _cumulants(xp: Any, a: Any, n: int) -> list[Any]:
    return [-real_polygamma(xp, k, a) for k in range(1, n)]


def _gamma_series(xp: Any, a: Any, x: Any, n: int) -> Any:
    """For x up to 1, by the series of which each term is a density."""
    term, total = poisson(xp, a, x), 0.0
    mean = xp.log(x) - call(xp, "digamma", a + 1)
    cumulants = _cumulants(xp, a + 1, n)
    for k in range(1, 21):
        total = total + term * bells([mean, *cumulants])[n]
        term = term * x / (a + k)
        mean = mean - 1 / (a + k)
        cumulants = [
            c - (-1) ** m * math.factorial(m) / (a + k) ** (m + 1)
            for m, c in enumerate(cumulants, 1)
        ]
    return total


def _gamma_tail(xp: Any, a: Any, x: Any, n: int) -> Any:
    """For larger x: over x exp(-s) below the mean, and less that over x exp(s) above it."""
    lower = log_over_mean_array(xp, a, x) < 0
    sign = xp.where(lower, -1.0, 1.0)
    slope = xp.where(lower, a - x - DEPTH / 3, x - a)
    end = 2 * DEPTH / (slope + xp.sqrt(slope * slope + 2 * DEPTH * x))
    for _ in range(3):  # from above, by Newton's steps or by those of a fixed point
        depth = a * end + x * xp.expm1(-end) - DEPTH
        step = depth / xp.maximum(a - x * xp.exp(-end), 1e-300)
        shorter = xp.minimum(end, xp.log1p((DEPTH + a * end) / x))
        end = xp.where(lower, xp.where(depth > 0, end - step, end), shorter)
    few = a < 1  # 1/Γ(a) is a/Γ(a + 1) there, with smaller cumulants
    shifted, once = xp.where(few, a + 1, a), xp.where(few, float(n), 0.0)
    mean, cumulants = log_over_mean_array(xp, shifted, x), _cumulants(xp, shifted, n)

    def integrand(s: Any) -> Any:
        moved = sign * s
        *_, before, polynomial = bells([mean + moved, *cumulants])
        weight = xp.exp(a * moved - x * xp.expm1(moved))
        return (a * polynomial + once * before) * weight

    return -sign * poisson(xp, a, x) * integral(integrand, end, NODES)


def _gammainc_by_a_array(xp: Any, a: Any, x: Any, n: int) -> Any:
    inside = (a > 0) & (x > 0) & (x < math.inf) & (a < math.inf)
    pieces = [
        (inside & (x <= 1), lambda a, x: _gamma_series(xp, a, x, n)),
        (inside, lambda a, x: _gamma_tail(xp, a, x, n)),
        (True, lambda a, x: xp.where((a > 0) & (x >= 0), 0.0, math.nan)),
    ]
    return piecewise(xp, pieces, a, x)


def _gamma_density_by_a(a: Any, x: Any, n: int) -> Any:
    """The derivative of order n by a of xᵃ⁻¹ exp(-x) / Γ(a)."""
    density = gamma_density(a, x)
    cumulants = [neg(psi(a, k)) for k in range(1, n)]
    polynomial = recorded_bell([log_over_mean(a, x), *cumulants])
    return keep(density, mul(density, polynomial))


gammainc_by_a = by_library(
    "gammainc_by_a",
    lambda a, x, out, n: gammainc_by_a(a, x, n=n + 1),
    lambda a, x, out, n: _gamma_density_by_a(a, x, n),
    run=in_double(_gammainc_by_a_array), workspace=30.0,
)  # fmt: skip
gammainc = by_library(
    "gammainc",
    lambda a, x, out: gammainc_by_a(a, x, n=1), lambda a, x, out: gamma_density(a, x),
)  # fmt: skip
gammaincc = by_library(
    "gammaincc",
    lambda a, x, out: neg(gammainc_by_a(a, x, n=1)), lambda a, x, out: neg(gamma_density(a, x)),
)  # fmt: skip


def _gamma_quantile_by_a(a: Any, y: Any, out: Any) -> Any:
    return neg(div(gammainc_by_a(a, out, n=1), gamma_density(a, out)))


gammaincinv = by_library(
    "gammaincinv", _gamma_quantile_by_a, lambda a, y, out: div(1.0, gamma_density(a, out)),
    domain=(0.2, 0.8),
)  # fmt: skip
gammainccinv = by_library(
    "gammainccinv", _gamma_quantile_by_a, lambda a, y, out: div(-1.0, gamma_density(a, out)),
    domain=(0.2, 0.8),
)  # fmt: skip

# The incomplete beta function. Over logit(t) the density is log-concave. With s the distance from
# the end, t = x exp(-s) / (1 - x + x exp(-s)) in the lower tail; the upper one is that of 1 - t.


def _polynomials(logs: tuple[Any, Any], slopes: dict, i: int, j: int) -> dict:
    """The factors of the density in its derivatives up to order i by a and j by b, from the
    logarithms of t and 1 - t and the slopes of that of the normalization."""
    found = {(0, 0): 1.0}
    for total in range(1, i + j + 1):
        for p in range(max(0, total - j), min(i, total) + 1):
            q = total - p
            by_a = p > 0
            p1, q1 = (p - 1, q) if by_a else (p, q - 1)
            value = 0.0
            for k in range(p1 + 1):
                for m in range(q1 + 1):
                    order = (k + 1, m) if by_a else (k, m + 1)
                    kappa = -slopes[order]
                    if sum(order) == 1:
                        kappa = kappa + logs[0 if by_a else 1]
                    factor = math.comb(p1, k) * math.comb(q1, m)
                    value = value + factor * kappa * found[p1 - k, q1 - m]
            found[p, q] = value
    return found


def _log_beta_slopes(xp: Any, a: Any, b: Any, i: int, j: int) -> dict:
    """The derivatives of log B(a, b), by their orders; without log(1/a) and log(1/b) where these
    are less than 1."""
    found = {}
    shift_a, shift_b = xp.where(a < 1, 1.0, 0.0), xp.where(b < 1, 1.0, 0.0)
    for p in range(i + 1):
        for q in range(j + 1):
            order = p + q - 1
            if p and q:
                found[p, q] = -real_polygamma(xp, order, a + b)
            elif p:
                found[p, q] = -polygamma_difference_array(xp, a + shift_a, b - shift_a, n=order)
            elif q:
                found[p, q] = -polygamma_difference_array(xp, b + shift_b, a - shift_b, n=order)
    return found


def _tail_end(xp: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Where the density over logit(t) is exp(-40) of that at the end, at least."""
    end = (DEPTH - (a + b) * xp.log(y)) / a
    for _ in range(20):
        e = xp.exp(-end)
        depth = a * end + (a + b) * xp.log(y + x * e) - DEPTH
        slope = a - (a + b) * (x * e / (y + x * e))
        end = xp.where((depth > 0) & (slope > 0), end - depth / slope, end)
    return end


def _shifted_logs(xp: Any, x: Any, y: Any, s: Any) -> tuple[Any, Any]:
    """How much log(t) and log(1 - t) are less than at the end, at the distance s from it."""
    small = xp.log1p(xp.minimum(x, 0.5) * xp.expm1(-s))
    rise = xp.log1p(y * xp.expm1(xp.minimum(s, 700.0))) + xp.maximum(s - 700.0, 0.0)
    near = x < 0.5
    return xp.where(near, -s - small, -rise), xp.where(near, -small, s - rise)


FLAT = 38.0
SPLIT = 0.25
_LAGUERRE = tuple(zip(*[v.tolist() for v in np.polynomial.laguerre.laggauss(4)], strict=True))


def _from(f: Callable[[Any], Any], start: Any, s: Any) -> Any:
    return f(start + s)


def _over_tail(xp: Any, f: Callable[[Any], Any], a: Any, end: Any, turn: Any) -> Any:
    """∫ f(s) from 0. The density turns from one exponential to another at `turn`; long after that,
    f is exp(-as) times a polynomial."""
    flat = FLAT + turn
    near = xp.minimum(end, flat)
    turn = xp.minimum(turn, near)
    middle = turn + SPLIT * (near - turn)
    panels = [(turn, middle), (middle, near)]
    if xp is not np or turn.any():
        panels = [(0.0, 0.5 * turn), (0.5 * turn, turn), *panels]
    total = 0.0
    for start, stop in panels:
        total = total + integral(functools.partial(_from, f, start), stop - start, 32)
    beyond = 0.0
    for node, weight in _LAGUERRE:
        beyond = beyond + weight * math.exp(node) / a * f(flat + node / a)
    return total + xp.where(end > flat, beyond, 0.0)


def _beta_tail(xp: Any, sides: Any, lower: Any, i: int, j: int) -> Any:
    """The derivative of the integral over the tail of the first variable. `sides` has a, b, x, y,
    log x and log y of it; `lower` says where that is the given one."""
    a, b, x, y, log_x, log_y = sides
    first_a, first_b = xp.where(lower, a, b), xp.where(lower, b, a)
    slopes = _log_beta_slopes(xp, first_a, first_b, i, j)
    by_a = xp.where(first_a < 1, i / first_a, 0.0)
    by_b = xp.where(first_b < 1, j / first_b, 0.0)

    def integrand(s: Any) -> Any:
        down, up = _shifted_logs(xp, x, y, s)
        first, second = log_x + down, log_y + up
        logs = xp.where(lower, first, second), xp.where(lower, second, first)
        found = _polynomials(logs, slopes, i, j)
        polynomial = found[i, j] + by_a * found.get((i - 1, j), 0.0)
        polynomial = polynomial + by_b * found.get((i, j - 1), 0.0)
        polynomial = polynomial + by_a * by_b * found.get((i - 1, j - 1), 0.0)
        return polynomial * xp.exp(a * down + b * up)

    turn = xp.maximum(log_x - log_y, 0.0)
    return _over_tail(xp, integrand, a, _tail_end(xp, a, b, x, y), turn)


def _betainc_array(xp: Any, a: Any, b: Any, x: Any, i: int, j: int) -> Any:
    inside = (a > 0) & (b > 0) & (x > 0) & (x < 1)
    outside = xp.where((a > 0) & (b > 0) & (x >= 0) & (x <= 1), 0.0, math.nan)
    a, b, x = xp.where(inside, a, 1.0), xp.where(inside, b, 1.0), xp.where(inside, x, 0.5)
    y = 1 - x
    logs = xp.log(x), xp.log1p(-x)
    if not j:
        lower = logs[0] < -polygamma_difference_array(xp, a, b, n=0)
    elif not i:
        lower = logs[1] > -polygamma_difference_array(xp, b, a, n=0)
    else:
        lower = x * b < y * a
    weight = beta_weight(xp, a, b, x, y)
    given = (a, b, x, y, *logs)
    other = (b, a, y, x, *logs[::-1])
    sides = [xp.where(lower, p, q) for p, q in zip(given, other, strict=True)]

    def tail(*given: Any) -> Any:
        return _beta_tail(xp, given[:-1], given[-1], i, j)

    turned = sides[2] > 0.5  # with more nodes there
    value = piecewise(xp, [(turned, tail), (True, tail)], *sides, lower)
    value = xp.where(lower, weight, -weight) * value
    return xp.where(inside, value, outside)


def _beta_density_by(a: Any, b: Any, x: Any, i: int, j: int) -> Any:
    """The derivative of order i by a and j by b of xᵃ⁻¹ (1 - x)ᵇ⁻¹ / B(a, b)."""
    density = beta_density(a, b, x)
    first = add(log(x), polygamma_difference(a, b, n=0))
    second = add(log1p(neg(x)), polygamma_difference(b, a, n=0))
    if i + j == 1:
        return keep(density, mul(density, first if i else second))
    if i and j:
        rest = psi(add(a, b), 1)
    else:
        rest = polygamma_difference(a, b, n=1) if i else polygamma_difference(b, a, n=1)
    product = mul(first if i else second, second if j else first)
    return keep(density, mul(density, add(product, rest)))


def _by_x(a: Any, b: Any, x: Any, out: Any, i: int, j: int) -> Any:
    if i + j > 2:
        raise UnsupportedError(
            "betainc(a, b, x) is not differentiated more than three times by a, b and x together; "
            "write ad.stop_gradient(a) and ad.stop_gradient(b) for derivatives by x."
        )
    return _beta_density_by(a, b, x, i, j)


betainc_by = by_library(
    "betainc_by",
    lambda a, b, x, out, i, j: betainc_by(a, b, x, i=i + 1, j=j),
    lambda a, b, x, out, i, j: betainc_by(a, b, x, i=i, j=j + 1), _by_x,
    run=in_double(_betainc_array), domain=(0.3, 0.8), workspace=60.0,
)  # fmt: skip
betainc = by_library(
    "betainc",
    lambda a, b, x, out: betainc_by(a, b, x, i=1, j=0),
    lambda a, b, x, out: betainc_by(a, b, x, i=0, j=1),
    lambda a, b, x, out: beta_density(a, b, x), domain=(0.3, 0.8),
)  # fmt: skip
betaincc = by_library(
    "betaincc",
    lambda a, b, x, out: neg(betainc_by(a, b, x, i=1, j=0)),
    lambda a, b, x, out: neg(betainc_by(a, b, x, i=0, j=1)),
    lambda a, b, x, out: neg(beta_density(a, b, x)), domain=(0.3, 0.8), workspace=2.0,
)  # fmt: skip


def _beta_quantile(name: str, sign: float) -> Any:
    def by_parameter(i: int, j: int) -> Any:
        return lambda a, b, y, out: neg(
            div(betainc_by(a, b, out, i=i, j=j), beta_density(a, b, out))
        )

    return by_library(
        name, by_parameter(1, 0), by_parameter(0, 1),
        lambda a, b, y, out: div(sign, beta_density(a, b, out)), domain=(0.3, 0.8),
    )  # fmt: skip


betaincinv = _beta_quantile("betaincinv", 1.0)
betainccinv = _beta_quantile("betainccinv", -1.0)

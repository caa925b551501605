"""Bessel functions of real order. By the order, only K is differentiated."""

import math
from collections.abc import Callable
from typing import Any

from gpuad.ir.primitive import Primitive
from gpuad.primitives.elementwise import add, div, eq, exp, literal, mul, neg, select, sub
from gpuad.primitives.integrals import fixed
from gpuad.primitives.library import by_library, call, has, in_double, integral, piecewise


def _family(name: str, argument: str, rule: Callable[..., Any]) -> Primitive:
    """A function of an order and a variable, from its derivative by the variable."""
    return by_library(name, fixed(name, argument), rule, domain=(0.5, 2.0))


def _half_difference(of: Callable[..., Any]) -> Callable[..., Any]:
    """(Cᵥ₋₁ - Cᵥ₊₁) / 2, the derivative of J and Y."""
    return lambda v, x, out: mul(0.5, sub(of(sub(v, 1.0), x), of(add(v, 1.0), x)))


def _half_sum(of: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """±(Cᵥ₋₁ + Cᵥ₊₁) / 2, the derivative of I and K."""
    return lambda v, x, out: mul(factor, add(of(sub(v, 1.0), x), of(add(v, 1.0), x)))


jv = _family("jv", "v", _half_difference(lambda v, x: jv(v, x)))
yv = _family("yv", "v", _half_difference(lambda v, x: yv(v, x)))
iv = _family("iv", "v", _half_sum(lambda v, x: iv(v, x), 0.5))
kv = by_library(
    "kv",
    lambda v, x, out: mul(exp(neg(x)), _kve_derivative(v, x, n=0, m=1)),
    _half_sum(lambda v, x: kv(v, x), -0.5),
)  # fmt: skip
yn = _family("yn", "n", _half_difference(lambda n, x: yn(n, x)))
kn = _family("kn", "n", _half_sum(lambda n, x: kv(n, x), -0.5))
# Those of order 0 and 1, and what they need of order 2, which CuPy has not: by recurrence there.


def _order_2(name: str, factor: float, one: str, slope: Callable[..., Any]) -> Primitive:
    def run(xp: Any, x: Any) -> Any:
        if has(xp, f"{name}v"):
            return call(xp, f"{name}v", x.dtype.type(2), x)
        first, zeroth = call(xp, f"{name}1", x), call(xp, f"{name}0", x)
        steep = 2 * first / xp.where(x == 0, 1, x)
        return (factor * steep + (zeroth if one == "+" else -zeroth)).astype(x.dtype)

    def partial(x: Any, out: Any) -> Any:
        at_zero = eq(x, 0.0)
        return sub(slope(x), select(at_zero, out, div(mul(2.0, out), select(at_zero, 1.0, x))))

    return by_library(f"{name}2", partial, run=run, workspace=3.0)


_j2 = _order_2("j", 1.0, "-", lambda x: j1(x))
_y2 = _order_2("y", 1.0, "-", lambda x: y1(x))
_i2 = _order_2("i", -1.0, "+", lambda x: i1(x))
_k2 = _order_2("k", 1.0, "+", lambda x: neg(k1(x)))
j1 = by_library("j1", lambda x, out: mul(0.5, sub(j0(x), _j2(x))), entire=True)
j0 = by_library("j0", lambda x, out: neg(j1(x)), entire=True)
y1 = by_library("y1", lambda x, out: mul(0.5, sub(y0(x), _y2(x))))
y0 = by_library("y0", lambda x, out: neg(y1(x)))
i1 = by_library("i1", lambda x, out: mul(0.5, add(i0(x), _i2(x))))
i0 = by_library("i0", lambda x, out: i1(x))
k1 = by_library("k1", lambda x, out: mul(-0.5, add(k0(x), _k2(x))))
k0 = by_library("k0", lambda x, out: neg(k1(x)))

# exp(-|x|) Iᵥ(x) and exp(x) Kᵥ(x). Their derivatives of order n are the differences of order 2n by
# the order v, which cancel for large x: the first ones lose 2x units in the last place. There they
# are taken from the asymptotic series, and from integrals of one sign.


def _differences(xp: Any, name: str, v: Any, x: Any, n: int) -> Any:
    total = 0.0
    for j in range(2 * n + 1):
        total = total + (-1) ** j * math.comb(2 * n, j) * call(xp, name, v + (n - j), x)
    return total / 2**n


ASYMPTOTIC = 20.0
TERMS = 34


def _ive_series(v: Any, x: Any, n: int) -> Any:
    """Σ (-1)ᵏ aₖ(v) / xᵏ, over √(2πx), with each term differentiated n times."""
    term, total = 1.0, 0.0
    for k in range(TERMS):
        falling = math.prod([-(k + 0.5 + i) for i in range(n)])
        total = total + term * falling
        term = term * -(4 * v * v - (2 * k + 1) ** 2) / (8 * (k + 1) * x)
    return total / (x**n * (2 * math.pi * x) ** 0.5)


POINTS = 64


def _ive_integral(xp: Any, v: Any, x: Any, n: int) -> Any:
    """1/π ∫ (cos t - 1)ⁿ exp(x (cos t - 1)) cos(vt) dt over a period, for integer v."""
    total = 0.0
    for i in range(POINTS):
        t = (i + 0.5) * math.pi / POINTS
        c = -2 * math.sin(t / 2) ** 2
        total = total + c**n * xp.exp(c * x) * xp.cos(v * t)
    return total / POINTS


def _ive_derivative_array(xp: Any, v: Any, x: Any, n: int) -> Any:
    size = abs(x)
    whole = (v == xp.rint(v)) & (size > xp.maximum(1.0, v * v / 3))
    pieces = [
        (size > xp.maximum(v * v, ASYMPTOTIC), lambda v, x: _ive_series(v, x, n)),
        (whole, lambda v, x: _ive_integral(xp, v, x, n)),
        (True, lambda v, x: _differences(xp, "ive", v, x, n)),
    ]
    value = piecewise(xp, pieces, v, size)
    odd = (v + n) % 2
    at_zero = xp.where((x == 0) & (odd == 1), 0.0, value)
    return xp.where(x < 0, (1 - 2 * odd) * value, at_zero)


DEPTH = 46.0


def _kve_integral(xp: Any, v: Any, x: Any, n: int, m: int) -> Any:
    """∫ (1 - cosh t)ⁿ tᵐ exp(-x (cosh t - 1)) cosh⁽ᵐ⁾(vt) dt over positive t, to both sides of the
    peak of exp(vt - x cosh t)."""
    size = abs(v)
    peak = xp.arcsinh(size / x)
    start = xp.maximum(peak - 1.5 - DEPTH / xp.maximum(size, 1e-3), 0.0)
    end = 10.0
    for _ in range(6):
        end = xp.arccosh(1 + (DEPTH + size * end) / x)

    def integrand(t: Any) -> Any:
        c = 2 * xp.sinh(t / 2) ** 2
        other = -xp.expm1(-2 * size * t) if m % 2 else 1 + xp.exp(-2 * size * t)
        return (-c) ** n * t**m * xp.exp(size * t - c * x) * other

    below = integral(lambda s: integrand(peak - s), peak - start)
    above = integral(lambda s: integrand(peak + s), xp.maximum(end - peak, 0.0))
    return (xp.sign(v) if m % 2 else 1.0) * 0.5 * (below + above)


def _kve_derivative_array(xp: Any, v: Any, x: Any, n: int, m: int) -> Any:
    if m:
        inside = x > 0
        value = _kve_integral(xp, v, xp.where(inside, x, 1.0), n, m)
        return xp.where(inside, value, math.nan)
    pieces = [
        ((x >= 1) & (v * v <= x + 9), lambda v, x: _kve_integral(xp, v, x, n, 0)),
        (True, lambda v, x: (-1) ** n * _differences(xp, "kve", v, x, n)),
    ]
    return piecewise(xp, pieces, v, x)


_ive_derivative = by_library(
    "ive_derivative", fixed("ive", "v"), lambda v, x, out, n: _ive_derivative(v, x, n=n + 1),
    run=in_double(_ive_derivative_array), workspace=16.0,
)  # fmt: skip
# The derivative of exp(x) Kᵥ(x) of order n by x and m by v.
_kve_derivative = by_library(
    "kve_derivative",
    lambda v, x, out, n, m: _kve_derivative(v, x, n=n, m=m + 1),
    lambda v, x, out, n, m: _kve_derivative(v, x, n=n + 1, m=m),
    run=in_double(_kve_derivative_array), workspace=18.0,
)  # fmt: skip


def _kve_slope(order: float) -> Callable[..., Any]:
    return lambda x, out: _kve_derivative(literal(order, x.aval.dtype), x, n=1, m=0)


ive = _family("ive", "v", lambda v, x, out: _ive_derivative(v, x, n=1))
kve = by_library(
    "kve",
    lambda v, x, out: _kve_derivative(v, x, n=0, m=1),
    lambda v, x, out: _kve_derivative(v, x, n=1, m=0),
)  # fmt: skip
k0e = by_library("k0e", _kve_slope(0.0))
k1e = by_library("k1e", _kve_slope(1.0))

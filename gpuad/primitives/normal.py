"""The normal distribution, the scaled error functions and Voigt's profile.

The derivatives of erfcx, dawsn and wofz by their recurrences lose x² units in the last place with
each order. Here they are integrals of one sign, by Gauss's quadrature.
"""

import math
from typing import Any

import numpy as np

from gpuad.ir.ranges import function
from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import (
    div,
    gt,
    mul,
    neg,
    select,
)
from gpuad.primitives.library import by_library, call, in_double, integral
from gpuad.primitives.special import TWO_OVER_SQRT_PI, gaussian

DEPTH = 40.0
"""Integrands smaller by exp(-40) than at their largest do not count."""

# exp(-x²/2), as `gaussian`.


def _normal_array(xp: Any, x: Any) -> Any:
    y = xp.minimum(abs(x), 40)
    m = xp.rint(64 * y) * 0.015625
    return xp.exp(-0.5 * m * m) * xp.exp(0.5 * (m - y) * (m + y))


_Y = "minimum(absolute(x), 40)"
_NORMAL = f"exp(-0.5 * ({_Y} * {_Y})) * (1 - 0.5 * fma({_Y}, {_Y}, -({_Y} * {_Y})))"
exp_half_square = elementwise(
    "exp_half_square", _normal_array, _NORMAL, lambda x, out: neg(mul(x, out)),
    range=function((0, 1)),
    shows_nan=True, workspace=4.0,
)  # fmt: skip


def normal_density(x: Any) -> Any:
    return mul(1 / math.sqrt(2 * math.pi), exp_half_square(x))


def hazard(x: Any) -> Any:
    """The derivative of log_ndtr: the density over the distribution function."""
    scaled = erfcx(mul(-math.sqrt(0.5), x))
    tail = div(math.sqrt(2 / math.pi), scaled)
    return select(gt(x, 0.0), div(normal_density(x), ndtr(x)), tail)


ndtr = by_library("ndtr", lambda x, out: normal_density(x))
log_ndtr = by_library("log_ndtr", lambda x, out: hazard(x), domain=(-2.0, 2.0))
ndtri = by_library("ndtri", lambda x, out: div(1.0, normal_density(out)), domain=(0.1, 0.9))
ndtri_exp = by_library("ndtri_exp", lambda x, out: div(1.0, hazard(out)), domain=(-3.0, -0.2))
erfi = by_library("erfi", lambda x, out: div(TWO_OVER_SQRT_PI, gaussian(x)), domain=(-2.0, 2.0))

# erfcx: f' = 2x f - 2/√π and f⁽ⁿ⁺¹⁾ = 2x f⁽ⁿ⁾ + 2n f⁽ⁿ⁻¹⁾, stable for small and negative x.


def _recurred(first: Any, x: Any, sign: float, constant: Any, n: int) -> Any:
    before, now = first, sign * 2 * x * first + constant
    for k in range(1, n):
        before, now = now, sign * 2 * (x * now + k * before)
    return now


def _erfcx_derivative_array(xp: Any, x: Any, n: int) -> Any:
    low, high = xp.minimum(x, 0.5), xp.maximum(x, 0.5)
    small = _recurred(call(xp, "erfcx", low), low, 1.0, -TWO_OVER_SQRT_PI, n)
    end = DEPTH / (high + xp.sqrt(high * high + DEPTH))
    moment = integral(lambda u: u**n * xp.exp(-u * (u + 2 * high)), end)
    large = (-2.0) ** n * TWO_OVER_SQRT_PI * moment
    return xp.where(x < 0.5, small, xp.where(x == math.inf, 0.0, large))


erfcx_derivative = by_library(
    "erfcx_derivative", lambda x, out, n: erfcx_derivative(x, n=n + 1),
    run=in_double(_erfcx_derivative_array), domain=(-2.0, 2.0), workspace=10.0,
)  # fmt: skip
erfcx = by_library("erfcx", lambda x, out: erfcx_derivative(x, n=1), domain=(-2.0, 2.0))

# dawsn: F(y) = ∫ exp(u² - 2yu) du from 0 to y, for positive y.


def _dawsn_derivative_array(xp: Any, x: Any, n: int) -> Any:
    y = abs(x)
    low, high = xp.minimum(y, 1.0), xp.maximum(y, 1.0)
    small = _recurred(call(xp, "dawsn", low), low, -1.0, 1.0, n)
    root = xp.sqrt(xp.maximum(high * high - DEPTH, 0.0))
    end = xp.minimum(high, DEPTH / (high + root))
    moment = integral(lambda u: u**n * xp.exp(u * (u - 2 * high)), end)
    edge = np.polynomial.Polynomial((0.0,))
    for k in range(n):
        edge = edge.deriv() - np.polynomial.Polynomial((0.0, 2.0)) * edge
        edge = edge + (-2.0) ** k * np.polynomial.Polynomial((0.0, 1.0)) ** k
    rest = _horner(edge.coef, high) * xp.exp(-high * high)
    large = (-2.0) ** n * moment + xp.where(high < 27, rest, 0.0)
    odd = 1.0 if n % 2 else xp.sign(x)
    return odd * xp.where(y < 1, small, xp.where(y == math.inf, 0.0, large))


def _horner(coefficients: Any, x: Any) -> Any:
    total = 0.0
    for c in coefficients[::-1].tolist():
        total = total * x + c
    return total


dawsn_derivative = by_library(
    "dawsn_derivative", lambda x, out, n: dawsn_derivative(x, n=n + 1),
    run=in_double(_dawsn_derivative_array), domain=(-2.0, 2.0), workspace=12.0,
)  # fmt: skip
dawsn = by_library("dawsn", lambda x, out: dawsn_derivative(x, n=1), domain=(-2.0, 2.0))

# wofz: w(z) = 2/√π ∫ exp(-u² + 2izu) du over positive u, where Im z ≥ 0. Along the real line where
# that is steeper, else from 0 to iz and on from there.

NODES = 64
STEEPER = 1.6


def _w_by_real_line(xp: Any, z: Any, n: int) -> Any:
    end = DEPTH / (z.imag + xp.sqrt(z.imag * z.imag + DEPTH))
    return integral(lambda u: u**n * xp.exp(-u * (u - 2j * z)), end, NODES)


def _w_by_saddle(xp: Any, z: Any, n: int) -> Any:
    square = z * z
    depth = xp.minimum(DEPTH / square.real, 1.0)
    end = depth / (1 + xp.sqrt(1 - depth))
    along = (1j * z) ** (n + 1) * integral(
        lambda t: t**n * xp.exp(-square * (t * (2 - t))), end, NODES
    )
    beyond = 0.0
    for j in range(n + 1):
        beyond = beyond + math.comb(n, j) * (1j * z) ** (n - j) * (0.5 * math.gamma((j + 1) / 2))
    return along + xp.where(square.real < 745, xp.exp(-square) * beyond, 0.0)


def _wofz_derivative_upper(xp: Any, z: Any, n: int) -> Any:
    near = abs(z) < 1.0
    small = xp.where(near, z, 0.0)
    near_value = _recurred(call(xp, "wofz", small), small, -1.0, 1j * TWO_OVER_SQRT_PI, n)
    steep = abs(z.real) < STEEPER * z.imag
    real_line = _w_by_real_line(xp, xp.where(near | ~steep, 1j, z), n)
    saddle = _w_by_saddle(xp, xp.where(near | steep, 2.0 + 0j, z), n)
    far = TWO_OVER_SQRT_PI * 2j**n * xp.where(steep, real_line, saddle)
    return xp.where(near, near_value, xp.where(xp.isinf(z), 0.0, far))


def wofz_derivative_array(xp: Any, z: Any, n: int) -> Any:
    if n == 0:
        return call(xp, "wofz", z)
    with np.errstate(all="ignore"):
        below = z.imag < 0
        value = _wofz_derivative_upper(xp, xp.where(below, -z, z), n)
        if xp is np and not below.any():
            return value
        hermite = np.polynomial.Polynomial((1.0,))
        for _ in range(n):
            hermite = hermite.deriv() - np.polynomial.Polynomial((0.0, 2.0)) * hermite
        lower = xp.where(below, z, -1j)
        reflected = 2 * _horner(hermite.coef, lower) * xp.exp(-lower * lower) - (-1) ** n * value
        return xp.where(below, reflected, value)


wofz = by_library(
    "wofz", lambda z, out, n: wofz(z, n=n + 1),
    run=lambda xp, z, n: wofz_derivative_array(xp, z.astype(np.complex128), n).astype(z.dtype),
    dtypes="c", workspace=40.0,
)  # fmt: skip

# Voigt's profile is the real part of U = w(z) / (σ √(2π)), z = (x + iγ) / (σ √2). U solves the heat
# equation, and depends on x + iγ only: ∂U/∂σ = σ ∂²U/∂x² and ∂U/∂γ = i ∂U/∂x. The operation is the
# real part of iᵏ ∂ⁿU/∂xⁿ.


def _voigt_array(xp: Any, x: Any, sigma: Any, gamma: Any, n: int, k: int) -> Any:
    if n == k == 0:
        return call(xp, "voigt_profile", x, sigma, gamma)
    point = x + 1j * gamma
    some = xp.where(sigma == 0, 1.0, sigma)
    scale = math.sqrt(2) * some
    smooth = wofz_derivative_array(xp, point / scale, n) / (math.sqrt(math.pi) * scale ** (n + 1))
    cauchy = (-1) ** n * math.factorial(n) * 1j / (math.pi * point ** (n + 1))
    return (1j**k * xp.where(sigma == 0, cauchy, smooth)).real


voigt_profile = by_library(
    "voigt_profile",
    lambda x, sigma, gamma, out, n, k: voigt_profile(x, sigma, gamma, n=n + 1, k=k),
    lambda x, sigma, gamma, out, n, k: mul(sigma, voigt_profile(x, sigma, gamma, n=n + 2, k=k)),
    lambda x, sigma, gamma, out, n, k: voigt_profile(x, sigma, gamma, n=n + 1, k=k + 1),
    run=in_double(_voigt_array), workspace=50.0,
)  # fmt: skip

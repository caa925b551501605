"""The normal distribution, the scaled error functions and Voigt's profile.

The derivatives of erfcx, dawsn and wofz by their recurrences lose x² units in the last place with
each order. Here they are integrals of one sign, by Gauss's quadrature.
"""

import math
from typing import Any

import numpy as np

from gpuad.primitives.declare import elementwise
from gpuad.primitives.elementwise import (
    div,
    mul,
)
from gpuad.primitives.library import by_library, call, has, in_double, integral, piecewise
from gpuad.primitives.special import TWO_OVER_SQRT_PI
from gpuad.primitives.special_text import inverse_mills

DEPTH = 40.0
"""Integrands smaller by exp(-40) than at their largest do not count."""

# exp(cx²) for c of 1/2 and 1, with the rounding error of the square as in `gaussian`.


def _exp_of_square_array(xp: Any, x: Any, c: float) -> Any:
    y = xp.minimum(abs(x), 40)
    m = xp.rint(64 * y) * 0.015625
    return xp.exp(c * m * m) * xp.exp(c * (y - m) * (y + m))


def _exp_of_square_text(c: float) -> str:
    y = "minimum(absolute(x), 40)"
    return f"exp({c} * ({y} * {y})) * (1 + {c} * fma({y}, {y}, -({y} * {y})))"


exp_of_square = elementwise(
    "exp_of_square", _exp_of_square_array, _exp_of_square_text,
    lambda x, out, c: mul(mul(2 * c, x), out),
    shows_nan=True, workspace=4.0,
)  # fmt: skip


def _reciprocal_density(x: Any) -> Any:
    return mul(math.sqrt(2 * math.pi), exp_of_square(x, c=0.5))


ndtri = by_library("ndtri", lambda x, out: _reciprocal_density(out), domain=(0.1, 0.9))
ndtri_exp = by_library(
    "ndtri_exp", lambda x, out: div(1.0, inverse_mills(out)), domain=(-3.0, -0.2)
)
erfi = by_library(
    "erfi", lambda x, out: mul(TWO_OVER_SQRT_PI, exp_of_square(x, c=1.0)), domain=(-2.0, 2.0)
)

# erfcx: f' = 2x f - 2/√π and f⁽ⁿ⁺¹⁾ = 2x f⁽ⁿ⁾ + 2n f⁽ⁿ⁻¹⁾, stable for small and negative x.


def _recurred(first: Any, x: Any, sign: float, constant: Any, n: int) -> Any:
    before, now = first, sign * 2 * x * first + constant
    for k in range(1, n):
        before, now = now, sign * 2 * (x * now + k * before)
    return now


def _erfcx_derivative_array(xp: Any, x: Any, n: int) -> Any:
    def large(x: Any) -> Any:
        end = DEPTH / (x + xp.sqrt(x * x + DEPTH))
        moment = integral(lambda u: u**n * xp.exp(-u * (u + 2 * x)), end)
        return (-2.0) ** n * TWO_OVER_SQRT_PI * moment

    pieces = [
        (x < 0.5, lambda x: _recurred(call(xp, "erfcx", x), x, 1.0, -TWO_OVER_SQRT_PI, n)),
        (x == math.inf, xp.zeros_like),
        (True, large),
    ]
    return piecewise(xp, pieces, x)


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
    run=in_double(_dawsn_derivative_array), domain=(-2.0, 2.0), workspace=12.0, entire=True,
)  # fmt: skip
dawsn = by_library(
    "dawsn", lambda x, out: dawsn_derivative(x, n=1), domain=(-2.0, 2.0), entire=True
)

# wofz: w(z) = i/π ∫ exp(-t²)/(z - t) dt over the real line, where Im z > 0. Not near that line it
# is computed by the trapezoidal rule, with what the pole at z adds (Chiarella and Reichel, Math.
# Comp. 22, 137, 1968). Near it w(z) = 2/√π ∫ exp(-u² + 2izu) du over positive u, along the real
# line where that is steeper, else from 0 to iz and on from there.

STEP = 0.4
STEPS = 18
OFF_LINE = 0.3


def _w_by_trapezoid(xp: Any, z: Any, n: int) -> Any:
    total = 0.0
    for k in range(-STEPS, STEPS + 1):
        pole = 1 / (z - k * STEP)
        power = pole
        for _ in range(n):
            power = power * pole
        total = total + math.exp(-((k * STEP) ** 2)) * power
    factor = (-1) ** n * math.factorial(n) * 1j * STEP / math.pi
    return factor * total + 2 * _pole_derivative(xp, z, n)


def _pole_derivative(xp: Any, z: Any, n: int) -> Any:
    """The derivative of order n of exp(-z²) g with g = 1/(1 - exp(cz)), where g' = c (g² - g)."""
    c = -2j * math.pi / STEP
    g = 1 / (1 - xp.exp(c * z))
    slope, total = np.polynomial.Polynomial((0.0, 1.0)), 0.0
    for m in range(n + 1):
        moved = _horner(slope.coef, g) * _of_gaussian(z, n - m)
        total = total + math.comb(n, m) * c**m * moved
        slope = slope.deriv() * np.polynomial.Polynomial((0.0, -1.0, 1.0))
    return total * xp.exp(-z * z)


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


FAR = 7.0
FAR_TERMS = 30


def _w_far(xp: Any, z: Any, n: int) -> Any:
    """The asymptotic series i/√π Σ (2k - 1)!! / (2ᵏ z²ᵏ⁺¹), differentiated term by term."""
    u, coefficient, total = 1 / (z * z), 1.0, 0.0
    terms = []
    for k in range(FAR_TERMS):
        terms.append(coefficient * math.perm(2 * k + n, n))
        coefficient *= (2 * k + 1) / 2
    for c in reversed(terms):
        total = total * u + c
    series = (-1) ** n * 1j / math.sqrt(math.pi) * total / z ** (n + 1)
    on_line = (z.imag < 1e-3) & (abs(z.real) < 40)
    return series + xp.where(on_line, _gaussian_derivative(xp, z, n), 0.0)


def _gaussian_derivative(xp: Any, z: Any, n: int) -> Any:
    """The derivative of order n of exp(-z²)."""
    return _of_gaussian(z, n) * xp.exp(-z * z)


def _of_gaussian(z: Any, n: int) -> Any:
    """The derivative of order n of exp(-z²), by exp(-z²)."""
    hermite = np.polynomial.Polynomial((1.0,))
    for _ in range(n):
        hermite = hermite.deriv() - np.polynomial.Polynomial((0.0, 2.0)) * hermite
    return _horner(hermite.coef, z)


def _w_near(xp: Any, z: Any, n: int) -> Any:
    value = wofz_derivative_array(xp, z, 0)
    return _recurred(value, z, -1.0, 1j * TWO_OVER_SQRT_PI, n)


def _wofz_derivative_upper(xp: Any, z: Any, n: int) -> Any:
    size, factor = abs(z), TWO_OVER_SQRT_PI * 2j**n
    steep = (abs(z.real) < STEEPER * z.imag) | (size < 1)
    pieces: list[tuple[Any, Any]] = [
        (size > 1e100, lambda z: xp.zeros_like(z)),
        (size > FAR, lambda z: _w_far(xp, z, n)),
        (z.imag > OFF_LINE, lambda z: _w_by_trapezoid(xp, z, n)),
        (steep, lambda z: factor * _w_by_real_line(xp, z, n)),
        (True, lambda z: factor * _w_by_saddle(xp, z, n)),
    ]
    if n:
        pieces.insert(0, (size < 1, lambda z: _w_near(xp, z, n)))
    return piecewise(xp, pieces, z)


def wofz_derivative_array(xp: Any, z: Any, n: int) -> Any:
    if n == 0 and has(xp, "wofz"):
        return call(xp, "wofz", z)
    with np.errstate(all="ignore"):
        below = z.imag < 0
        value = _wofz_derivative_upper(xp, xp.where(below, -z, z), n)
        pieces = [
            (below, lambda z, w: 2 * _gaussian_derivative(xp, z, n) - (-1) ** n * w),
            (True, lambda z, w: w),
        ]
        return piecewise(xp, pieces, z, value)


wofz = by_library(
    "wofz", lambda z, out, n: wofz(z, n=n + 1),
    run=lambda xp, z, n: wofz_derivative_array(xp, z.astype(np.complex128), n).astype(z.dtype),
    dtypes="c", workspace=40.0,
)  # fmt: skip

# Voigt's profile is the real part of U = w(z) / (σ √(2π)), z = (x + iγ) / (σ √2). U solves the heat
# equation, and depends on x + iγ only: ∂U/∂σ = σ ∂²U/∂x² and ∂U/∂γ = i ∂U/∂x. The operation is the
# real part of iᵏ ∂ⁿU/∂xⁿ.


NARROW = 1e40
"""So many deviations away it is Cauchy's density."""


def _voigt_array(xp: Any, x: Any, sigma: Any, gamma: Any, n: int, k: int) -> Any:
    if n == k == 0 and has(xp, "voigt_profile"):
        return call(xp, "voigt_profile", x, sigma, gamma)
    point = x + 1j * gamma
    narrow = abs(point) > NARROW * sigma
    scale = math.sqrt(2) * xp.where(narrow, 1.0, sigma)
    smooth = wofz_derivative_array(xp, point / scale, n) / (math.sqrt(math.pi) * scale ** (n + 1))
    cauchy = (-1) ** n * math.factorial(n) * 1j / math.pi * (1 / point) ** (n + 1)
    return (1j**k * xp.where(narrow, cauchy, smooth)).real


voigt_profile = by_library(
    "voigt_profile",
    lambda x, sigma, gamma, out, n, k: voigt_profile(x, sigma, gamma, n=n + 1, k=k),
    lambda x, sigma, gamma, out, n, k: mul(sigma, voigt_profile(x, sigma, gamma, n=n + 2, k=k)),
    lambda x, sigma, gamma, out, n, k: voigt_profile(x, sigma, gamma, n=n + 1, k=k + 1),
    run=in_double(_voigt_array), workspace=50.0,
)  # fmt: skip

"""Demand for products by a mixed logit model.

The share of product j in a market is the mean over consumers of exp(δⱼ + μᵢⱼ) / (1 + Σₖ exp(δₖ +
μᵢₖ)) with μᵢⱼ = Σ σ xⱼ νᵢ. The mean utilities δ that give the shares S that were seen are found by
the contraction δ ← δ + log S - log s(δ); what they leave beside x β has no correlation with
instruments z (Berry, Levinsohn and Pakes, Econometrica 63, 841, 1995).

By the implicit function theorem the derivative of δ by σ needs no derivative of the contraction.
Newton's method from the solution has it: each step from there doubles the number of derivatives
that are right, so that two steps have the right ones up to the third.
"""

import numpy as np


def choices(xp, delta, sigma, x, draws):
    """The probabilities, (markets, consumers, products), of delta (markets,
    products), x (markets, products, features), draws (consumers, features)."""
    mu = xp.sum(draws[:, None, :] * (sigma * x)[:, None, :, :], axis=-1)
    exponentials = xp.exp(delta[:, None, :] + mu)
    return exponentials / (1 + xp.sum(exponentials, axis=-1, keepdims=True))


def shares(xp, delta, sigma, x, draws):
    """The shares of the products, (markets, products)."""
    return xp.mean(choices(xp, delta, sigma, x, draws), axis=1)


def contraction(xp, sigma, seen, x, draws, steps):
    """The mean utilities that give the shares seen."""
    delta = xp.log(seen) - xp.log(1 - xp.sum(seen, axis=-1, keepdims=True))
    for _ in range(steps):
        found = shares(xp, delta, sigma, x, draws)
        delta = delta + xp.log(seen) - xp.log(found)
    return delta


def newton_step(xp, scipy, delta, sigma, seen, x, draws):
    """One step towards s(δ) = S. The derivative of sⱼ by δₖ is the mean of
    pⱼ ([j = k] - pₖ), a positive definite matrix for each market."""
    p = choices(xp, delta, sigma, x, draws)
    found = xp.mean(p, axis=1)
    products = xp.einsum("tij,tik->tjk", p, p) / len(draws)
    slope = found[:, :, None] * xp.eye(x.shape[1]) - products
    step = scipy.linalg.solve(slope, (seen - found)[..., None], assume_a="pos")
    return delta + step[..., 0]


def objective(xp, scipy, sigma, beta, delta, seen, x, draws, z):
    """The squared moments of what x β leaves of the mean utilities, with z
    (markets · products, instruments). delta is the solution at sigma, from the
    contraction; it is held constant."""
    for _ in range(2):
        delta = newton_step(xp, scipy, delta, sigma, seen, x, draws)
    moments = xp.reshape(delta - x @ beta, -1) @ z
    return 0.5 * xp.sum(moments**2)


def make(rng, markets, products, consumers):
    x = rng.uniform(-1, 1, (markets, products, 2))
    draws = rng.standard_normal((consumers, 2))
    sigma, beta = np.array([0.8, 0.5]), np.array([1.0, -0.7])
    utilities = x @ beta - 2.5 + 0.3 * rng.standard_normal((markets, products))
    seen = shares(np, utilities, np.array([0.7, 0.6]), x, draws)
    delta = contraction(np, sigma, seen, x, draws, 60)
    cubes = np.concatenate([x, x**2, x**3], axis=-1).reshape(markets * products, -1)
    args = [sigma, beta, delta, seen, x, draws, cubes / len(cubes)]
    return args, [rng.standard_normal(2), rng.standard_normal(2)]

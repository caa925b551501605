"""The likelihood of many time series by Kalman filters.

A stochastic cycle (Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989,
section 2.3): the state turns by a frequency, shrinks by 0.9 and gets noise; one combination of its
two components is seen with noise. The filter moves the state's mean m and covariance P, and adds
the logarithms of the normal densities of the prediction errors (Schweppe, IEEE Trans. Inf. Theory
11, 1965). Each series has parameters of its own.
"""

import numpy as np

SEEN = np.array([1.0, 0.5])


def matrices(xp, p):
    """How the state moves, the covariance of its noise, and the variance of the
    observation's, of p (..., 3): a frequency and logarithms of variances."""
    c, s = xp.cos(p[..., 0]), xp.sin(p[..., 0])
    turn = xp.stack([c, s, -s, c], axis=-1).reshape(*c.shape, 2, 2)
    noise = xp.exp(p[..., 1, None, None]) * xp.eye(2)
    return 0.9 * turn, noise, xp.exp(p[..., 2])


def step(xp, model, state, y):
    """The state after one observation of each series, and its log-density."""
    F, W, v = model
    m, P = state
    covariance = P @ SEEN
    variance = covariance @ SEEN + v
    error = y - m @ SEEN
    gain = covariance / variance[..., None]
    m = m + gain * error[..., None]
    P = P - gain[..., :, None] * covariance[..., None, :]
    m, P = (F @ m[..., None])[..., 0], F @ P @ xp.swapaxes(F, -1, -2) + W
    return (m, P), -0.5 * (xp.log(2 * xp.pi * variance) + error**2 / variance)


def log_likelihood(xp, p, y):
    """Of series y (..., steps) with parameters p (..., 3), summed over them."""
    model = matrices(xp, p)
    state = xp.zeros_like(p[..., :2]), xp.eye(2) + xp.zeros_like(model[1])
    total = xp.zeros_like(p[..., 0])
    for t in range(y.shape[-1]):
        state, log_density = step(xp, model, state, y[..., t])
        total = total + log_density
    return xp.sum(total)


def scanned(xp, p, y):
    """The same for JAX, which would compile every step of a Python loop."""
    import jax

    model = matrices(xp, p)
    state = xp.zeros_like(p[..., :2]), xp.eye(2) + xp.zeros_like(model[1])
    observations = xp.moveaxis(y, -1, 0)
    _, densities = jax.lax.scan(lambda s, y: step(xp, model, s, y), state, observations)
    return xp.sum(densities)


def make(rng, series, steps):
    p = np.array([0.4, -1.0, -0.5]) + 0.1 * rng.standard_normal((series, 3))
    return [p, rng.standard_normal((series, steps))], [rng.standard_normal(p.shape)]

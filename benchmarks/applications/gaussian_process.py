"""The marginal likelihood of a Gaussian process.

With a covariance K of the observations y, log p(y) = -½ yᵀK⁻¹y - ½ log det K - n/2 log 2π
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equation 2.30). With K = LLᵀ
and z = L⁻¹y, the first term is -½ zᵀz and the second the sum of the logarithms of L's diagonal.
"""

import numpy as np


def log_likelihood(xp, scipy, theta, x, y):
    """Of values y at points x; theta: logarithms of scale, length and noise."""
    scale, length, noise = xp.exp(theta)
    squares = xp.sum((x[:, None] - x) ** 2, axis=-1)
    smooth = scale * xp.exp(-0.5 * squares / length**2)
    L = xp.linalg.cholesky(smooth + noise * xp.eye(len(x)))
    z = scipy.linalg.solve_triangular(L, y, lower=True)
    log_det = 2 * xp.sum(xp.log(xp.diagonal(L)))
    return -0.5 * (z @ z + log_det + len(x) * xp.log(2 * xp.pi))


def make(rng, n, d):
    x = rng.uniform(-2, 2, (n, d))
    y = np.sin(x.sum(1)) + 0.3 * rng.standard_normal(n)
    return [np.log([1.2, 0.9, 0.1]), x, y], [rng.standard_normal(3)]

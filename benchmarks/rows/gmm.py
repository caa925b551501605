"""W4: the log-likelihood of a Gaussian mixture with a Wishart prior, ADBench's first objective.

Srajer, Kukelova and Fitzgibbon, "A benchmark of selected algorithmic differentiation tools" (2018),
https://github.com/microsoft/ADBench:

    sum_n logsumexp_k(alpha_k + sum q_k - 1/2 |Q_k (x_n - mu_k)|^2) - N logsumexp(alpha)
        + sum_k (gamma^2 / 2) (|exp q_k|^2 + |l_k|^2) - m sum q_k

Q_k is lower triangular with exp(q_k) on its diagonal and l_k, column by column, below it. ADBench's
gamma = 1 and m = 0; constants are left out. Q_k (x - mu_k) is one product of X with all Q_k side by
side, the form that suits every engine. The direction runs over (alpha, mu, q, l).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Case, Device, Size, pick

GAMMA = 1.0


def objective(xp: Any, alpha: Any, mu: Any, q: Any, l: Any, x: Any, place: Any) -> Any:
    (n, d), k = x.shape, alpha.shape[0]
    diagonal = xp.exp(q)
    padded = xp.concatenate([diagonal, l, 0.0 * q[:, :1]], 1)
    factors = xp.reshape(xp.take(padded, place, 1), (k * d, d))
    centres = xp.sum(xp.reshape(factors, (k, d, d)) * mu[:, None, :], 2)
    z = xp.reshape(x @ factors.T, (n, k, d)) - centres
    weights = alpha + xp.sum(q, 1)
    likelihood = xp.sum(xp.logsumexp(weights - 0.5 * xp.sum(z * z, 2), 1))
    prior = 0.5 * GAMMA**2 * (xp.sum(diagonal * diagonal) + xp.sum(l * l))
    return likelihood - n * xp.logsumexp(alpha, 0) + prior


def places(d: int) -> np.ndarray:
    """For entry (i, j) of Q, row-major, its column in (exp q, l by columns, 0)."""
    place = np.full((d, d), d + d * (d - 1) // 2)
    place[np.arange(d), np.arange(d)] = np.arange(d)
    columns, rows = np.triu_indices(d, 1)
    place[rows, columns] = d + np.arange(len(rows))
    return place.ravel()


def make(rng: np.random.Generator, n: int, d: int, k: int) -> Any:
    def parameters() -> list[np.ndarray]:
        shapes = [(k,), (k, d), (k, d), (k, d * (d - 1) // 2)]
        return [rng.standard_normal(shape) for shape in shapes]

    alpha, mu, q, lower = parameters()
    x = rng.standard_normal((n, d), np.float32)
    return [alpha, mu, 0.3 * q, 0.3 * lower, x, places(d)], parameters()


def cases(size: Size, device: Device) -> Iterator[Case]:
    shapes = pick(
        size,
        device,
        small=[(2_000, 10, 25)],
        cpu=[(10_000, 10, 25)],
        cuda=[(2_500_000, 10, 25), (100_000, 32, 50), (10_000, 64, 100)],
    )
    for n, d, k in shapes:
        yield Case(
            "W4",
            f"n={n:.0e} d={d} K={k}",
            objective,
            partial(make, n=n, d=d, k=k),
            active=(0, 1, 2, 3),
            tolerance=1e-3,
            dtype="float64" if device == "cuda" and d == 64 else "float32",
        )

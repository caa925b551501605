"""W3: generalised linear models, whose cost is the traffic of the data matrix X.

Logistic: f(w) = sum_n log(1 + exp(-y_n x_n.w)) + lambda/2 |w|^2 with y = +-1, so
H V = X^T (s (1 - s) * (X V)) + lambda V, s the logistic function of the margins; for m directions
at once. Softmax: f(W) = sum_n logsumexp(x_n W) - sum(Y * X W) + lambda/2 |W|^2, Y one-hot, so with
P the probabilities and Z = X V: H V = X^T (P * (Z - sum(P * Z))) + lambda V.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Arrays, Case, Device, Size, pick

LAMBDA = 1e-3


def logistic(xp: Any, w: Any, x: Any, y: Any) -> Any:
    return xp.sum(xp.softplus(-y * (x @ w))) + 0.5 * LAMBDA * xp.sum(w * w)


def softmax(xp: Any, w: Any, x: Any, onehot: Any) -> Any:
    z = x @ w
    return xp.sum(xp.logsumexp(z, 1)) - xp.sum(onehot * z) + 0.5 * LAMBDA * xp.sum(w * w)


def make_logistic(rng: np.random.Generator, n: int, d: int, m: int) -> Any:
    x = rng.standard_normal((n, d), np.float32)
    y = rng.choice(np.array([-1, 1], np.float32), n)
    w = rng.standard_normal(d) / d**0.5
    return [w, x, y], [rng.standard_normal((m, d) if m > 1 else d)]


def make_softmax(rng: np.random.Generator, n: int, d: int, classes: int = 10) -> Any:
    x = rng.standard_normal((n, d), np.float32)
    onehot = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, n)]
    return [rng.standard_normal((d, classes)) / d**0.5, x, onehot], [
        rng.standard_normal((d, classes))
    ]


def exact_logistic(w: np.ndarray, x: np.ndarray, y: np.ndarray, v: np.ndarray) -> Arrays:
    s = 1 / (1 + np.exp(y * (x @ w)))
    z = x @ np.atleast_2d(v).T
    z *= (s * (1 - s))[:, None]
    return ((x.T @ z).T.reshape(v.shape) + LAMBDA * v,)


def exact_softmax(w: np.ndarray, x: np.ndarray, onehot: np.ndarray, v: np.ndarray) -> Arrays:
    p = np.exp(x @ w)
    p /= p.sum(1, keepdims=True)
    z = x @ v
    return (x.T @ (p * (z - (p * z).sum(1, keepdims=True))) + LAMBDA * v,)


def cases(size: Size, device: Device) -> Iterator[Case]:
    shapes = pick(
        size,
        device,
        small=[(100_000, 64)],
        cpu=[(500_000, 64), (100_000, 256)],
        cuda=[(1_000_000, 256), (1_000_000, 1024)],
    )
    for n, d in shapes:
        for m in (1, 8) if size == "small" else (1, 8, 32):
            yield Case(
                "W3",
                f"logistic {n:.0e}x{d} m={m}",
                logistic,
                partial(make_logistic, n=n, d=d, m=m),
                exact=exact_logistic,
                derivative="hvp" if m == 1 else "hvps",
                tolerance=1e-3,
            )
        yield Case(
            "W3",
            f"softmax {n:.0e}x{d} 10 classes",
            softmax,
            partial(make_softmax, n=n, d=d),
            exact=exact_softmax,
            tolerance=1e-3,
        )

"""W2: a large batch of small problems, each with its own direction or its own full Hessian.

Rosenbrock's function in d dimensions, sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2, summed over
samples: the Hessian of the sum is block diagonal, so one batched product gives every sample its
own. The Hessian of one sample is tridiagonal with diagonal 1200 x_i^2 - 400 x_{i+1} + 2 (without
the last entry) plus 200 (without the first), and off-diagonal -400 x_i.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Arrays, Case, Device, Size, pick


def objective(xp: Any, x: Any) -> Any:
    head, tail = x[..., :-1], x[..., 1:]
    step, rest = tail - head * head, 1.0 - head
    return xp.sum(100.0 * step * step + rest * rest)


def make(rng: np.random.Generator, n: int, d: int, hessians: bool) -> Any:
    x = rng.standard_normal((n, d), np.float32)
    return [x], [] if hessians else [rng.standard_normal((n, d), np.float32)]


def bands(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal (n, d) and off-diagonal (n, d-1) of each sample's Hessian."""
    diagonal = np.zeros_like(x)
    diagonal[:, :-1] += 1200 * x[:, :-1] ** 2 - 400 * x[:, 1:] + 2
    diagonal[:, 1:] += 200
    return diagonal, -400 * x[:, :-1]


def exact_product(x: np.ndarray, v: np.ndarray) -> Arrays:
    diagonal, off = bands(x)
    out = diagonal * v
    out[:, :-1] += off * v[:, 1:]
    out[:, 1:] += off * v[:, :-1]
    return (out,)


def exact_hessians(x: np.ndarray) -> Arrays:
    diagonal, off = bands(x)
    d = x.shape[1]
    out = np.zeros((*x.shape, d))
    i = np.arange(d)
    out[:, i, i] = diagonal
    out[:, i[:-1], i[1:]] = out[:, i[1:], i[:-1]] = off
    return (out,)


def cases(size: Size, device: Device) -> Iterator[Case]:
    values = pick(size, device, small=2**20, cpu=2**22, cuda=2**25)
    for d in (4, 32) if size == "small" else (4, 8, 32, 128):
        yield Case(
            "W2",
            f"HVP d={d}",
            objective,
            partial(make, n=values // d, d=d, hessians=False),
            exact=exact_product,
        )
    for d in (4,) if size == "small" else (4, 8):
        yield Case(
            "W2",
            f"Hessians d={d}",
            objective,
            partial(make, n=values // d, d=d, hessians=True),
            exact=exact_hessians,
            derivative="hessians",
        )

"""W14: a batch of small symmetric positive definite systems, each with its own direction.

½ Σ b·A⁻¹b over the batch. With x = A⁻¹b and x' = A⁻¹(b' - A'x), the derivatives move by x' and, by
the matrices, -½ (x' xᵀ + x x'ᵀ). Every engine solves in the way that it has for such matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Arrays, Case, Device, Size, pick


def objective(xp: Any, a: Any, b: Any) -> Any:
    return 0.5 * xp.sum(b * xp.solve_positive(a, b))


def make(rng: np.random.Generator, n: int, d: int) -> Any:
    x, t = rng.standard_normal((2, n, d, d), np.float32)
    a = x @ x.swapaxes(1, 2) / d + np.eye(d, dtype=np.float32)
    b, b_dot = rng.standard_normal((2, n, d), np.float32)
    return [a, b], [t + t.swapaxes(1, 2), b_dot]


def exact(a: np.ndarray, b: np.ndarray, a_dot: np.ndarray, b_dot: np.ndarray) -> Arrays:
    x = np.linalg.solve(a, b[..., None])
    moved = np.linalg.solve(a, b_dot[..., None] - a_dot @ x)
    across = moved @ x.swapaxes(1, 2)
    return -0.5 * (across + across.swapaxes(1, 2)), moved[..., 0]


def cases(size: Size, device: Device) -> Iterator[Case]:
    values = pick(size, device, small=2**16, cpu=2**20, cuda=2**25)
    for d in (3, 4, 8):
        yield Case(
            "W14",
            f"HVP n={d}",
            objective,
            partial(make, n=values // d**2, d=d),
            active=(0, 1),
            exact=exact,
        )

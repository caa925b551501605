"""L0: what one Hessian-vector product costs when there is almost nothing to compute.

f(x) = 1/2 sum a_i x_i^2 + 1/4 sum x_i^4, so H = diag(a + 3 x^2). Each product feeds the next, as in
a Krylov method on the host; a and x are chosen so that H is near the identity and nothing over- or
underflows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.suite import Arrays, Case, Device, Size


def objective(xp: Any, x: Any, a: Any) -> Any:
    x2 = x * x
    return 0.5 * xp.sum(a * x2) + 0.25 * xp.sum(x2 * x2)


def make(rng: np.random.Generator, d: int = 100) -> tuple[list[np.ndarray], list[np.ndarray]]:
    a = rng.uniform(0.3, 0.7, d)
    x = np.sqrt((1 + rng.uniform(-1e-3, 1e-3, d) - a) / 3)
    return [x, a], [rng.standard_normal(d)]


def cases(size: Size, device: Device) -> Iterator[Case]:
    calls = 200 if size == "small" else 1000

    def exact(x: np.ndarray, a: np.ndarray, v: np.ndarray) -> Arrays:
        return ((a + 3 * x * x) ** calls * v,)

    yield Case(
        "L0",
        "d=100",
        objective,
        make,
        derivative="powers",
        exact=exact,
        calls=calls,
        tolerance=1e-3,
    )

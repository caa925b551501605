"""W6: a soft-core Lennard-Jones potential over all pairs of N particles in R^3, for m directions.

sum_{i<j} 4 (s^6 - s^3) with s = 1/(r^2 + e). It is half the sum over all i, j without the diagonal,
whose terms are constants: their derivatives vanish exactly, because x_i - x_i does. With
g = d/d(r^2) and h = d^2/d(r^2)^2 of a pair's energy, D = x_i - x_j and dv = v_i - v_j,
(H v)_i = sum_j 2 g dv + 4 h (D.dv) D.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Arrays, Case, Device, Size, pick

SOFTENING = 0.5
BLOCK = 256


def objective(xp: Any, position: Any) -> Any:
    x, y, z = xp.columns(position)
    dx, dy, dz = (c[:, None] - c[None, :] for c in (x, y, z))
    s = 1.0 / (dx * dx + dy * dy + dz * dz + SOFTENING)
    s3 = s * s * s
    diagonal = 2.0 * x.shape[0] * (SOFTENING**-6 - SOFTENING**-3)
    return 2.0 * xp.sum(s3 * s3 - s3) - diagonal


def make(rng: np.random.Generator, n: int, m: int) -> Any:
    position = rng.uniform(0, n ** (1 / 3), (n, 3))
    return [position], [rng.standard_normal((m, n, 3) if m > 1 else (n, 3))]


def exact(position: np.ndarray, v: np.ndarray) -> Arrays:
    return (of_particles(position, v, np.arange(len(position))),)


def of_particles(position: np.ndarray, v: np.ndarray, particles: np.ndarray) -> np.ndarray:
    """Their rows of H v."""
    directions = v.reshape(-1, *position.shape)
    out = np.empty((len(directions), len(particles), 3))
    for start in range(0, len(particles), BLOCK):
        part = slice(start, start + BLOCK)
        rows = particles[part]
        difference = position[rows, None] - position[None]
        s = 1 / ((difference**2).sum(-1) + SOFTENING)
        g = 4 * (3 * s**4 - 6 * s**7)
        h = 4 * (42 * s**8 - 12 * s**5)
        for k, direction in enumerate(directions):
            dv = direction[rows, None] - direction[None]
            slope = 4 * h * (difference * dv).sum(-1)
            out[k, part] = np.einsum("ij,ijc->ic", 2 * g, dv)
            out[k, part] += np.einsum("ij,ijc->ic", slope, difference)
    return out.reshape(*v.shape[:-2], len(particles), 3)


def cases(size: Size, device: Device) -> Iterator[Case]:
    sizes = pick(size, device, small=[512], cpu=[4096], cuda=[4096, 32768, 131072])
    for n in sizes:
        for m in (1, 8):
            yield Case(
                "W6",
                f"N={n} m={m}",
                objective,
                partial(make, n=n, m=m),
                exact=exact,
                derivative="hvp" if m == 1 else "hvps",
            )

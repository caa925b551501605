"""W1: long chains of elementwise work, bound by transcendentals or by memory.

``chain`` puts ten of them behind one another: sin, exp, tanh, log1p, sqrt, exp, cos, sin, log,
arctan. ``Black-Scholes`` is the price of a European call (Black and Scholes 1973),
S Phi(d1) - K exp(-r T) Phi(d2), differentiated by all five of S, K, T, r, sigma, each option with
its own direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Case, Device, Size, pick


def chain(xp: Any, x: Any) -> Any:
    y = xp.sin(x) * xp.exp(-0.5 * x * x)
    y = xp.tanh(y) + xp.log1p(x * x)
    y = xp.exp(-xp.sqrt(1.0 + y * y)) * xp.cos(y)
    return xp.sum(xp.log(2.0 + xp.sin(y)) + xp.arctan(x * y))


def black_scholes(xp: Any, spot: Any, strike: Any, time: Any, rate: Any, sigma: Any) -> Any:
    spread = sigma * xp.sqrt(time)
    d1 = (xp.log(spot / strike) + (rate + 0.5 * sigma * sigma) * time) / spread
    return xp.sum(
        spot * normal_cdf(xp, d1) - strike * xp.exp(-rate * time) * normal_cdf(xp, d1 - spread)
    )


def normal_cdf(xp: Any, z: Any) -> Any:
    return 0.5 * (1.0 + xp.erf(z * 0.5**0.5))


def make_chain(rng: np.random.Generator, n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [rng.standard_normal(n, np.float32)], [rng.standard_normal(n, np.float32)]


def make_options(rng: np.random.Generator, n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    bounds = [(0.8, 1.2), (0.8, 1.2), (0.25, 2.0), (0.0, 0.1), (0.15, 0.5)]
    options = [rng.uniform(low, high, n).astype(np.float32) for low, high in bounds]
    return options, [rng.standard_normal(n, np.float32) for _ in bounds]


def cases(size: Size, device: Device) -> Iterator[Case]:
    n = pick(size, device, small=1_000_000, cpu=10_000_000, cuda=2**26)
    yield Case("W1", f"chain {n:.0e}", chain, partial(make_chain, n=n))
    n = pick(size, device, small=400_000, cpu=2_500_000, cuda=2**24)
    yield Case(
        "W1",
        f"Black-Scholes {n:.1e}",
        black_scholes,
        partial(make_options, n=n),
        active=(0, 1, 2, 3, 4),
    )

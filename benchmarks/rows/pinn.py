"""W7: a narrow tanh network on many points, as physics-informed networks have.

``laplacian``: value u, gradient and Laplacian by the point's d coordinates, at every point.
``training gradient``: by the weights, the gradient of mean (Laplacian u - g)^2, the residual of a
Poisson equation (Raissi, Perdikaris and Karniadakis 2019). Four hidden layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.suite import Arrays, Case, Device, Size, pick


def network(xp: Any, x: Any, *parameters: Any) -> Any:
    """One value per row of x from a tanh network with a linear last layer of width 1."""
    weights, biases = parameters[0::2], parameters[1::2]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = xp.tanh(xp.affine(x, w, b))
    return xp.affine(x, weights[-1], biases[-1])[:, 0]


def residual_network(xp: Any, x: Any, *parameters_and_target: Any) -> Any:
    """`network`, for arguments that end with the Poisson equation's right-hand side."""
    return network(xp, x, *parameters_and_target[:-1])


def make(rng: np.random.Generator, n: int, widths: tuple[int, ...], target: bool) -> Any:
    arrays = [rng.uniform(-1, 1, (n, widths[0]))]
    for fan_in, fan_out in pairwise(widths):
        arrays += [rng.standard_normal((fan_in, fan_out)) / fan_in**0.5]
        arrays += [0.1 * rng.standard_normal(fan_out)]
    return arrays + ([rng.standard_normal(n)] if target else []), []


def exact_laplacian(x: np.ndarray, *parameters: np.ndarray) -> Arrays:
    """u, gradient and Laplacian carried forward layer by layer: h, dh/dx_k and sum_k d2h/dx_k^2."""
    h, slopes, curvature = x, np.eye(x.shape[1])[:, None, :], np.zeros_like(x)
    layers = list(zip(parameters[0::2], parameters[1::2], strict=True))
    for i, (w, b) in enumerate(layers):
        h, slopes, curvature = h @ w + b, slopes @ w, curvature @ w
        if i < len(layers) - 1:
            h = np.tanh(h)
            first = 1 - h * h
            curvature = first * (curvature - 2 * h * (slopes * slopes).sum(0))
            slopes = first * slopes
    return h[:, 0], slopes[:, :, 0].T, curvature[:, 0]


def cases(size: Size, device: Device) -> Iterator[Case]:
    n = pick(size, device, small=2**12, cpu=2**14, cuda=2**20)
    for width in (32,) if size == "small" else (32, 64):
        for d in (2,) if size == "small" else (2, 3):
            widths = (d, *[width] * 4, 1)
            label = f"4x{width} d={d}"
            yield Case(
                "W7",
                f"Laplacian {label}",
                network,
                partial(make, n=n, widths=widths, target=False),
                derivative="laplacian",
                exact=exact_laplacian,
                tolerance=1e-3,
            )
            yield Case(
                "W7",
                f"training gradient {label}",
                residual_network,
                partial(make, n=n, widths=widths, target=True),
                active=tuple(range(1, 11)),
                derivative="residual_gradient",
                tolerance=1e-3,
            )
